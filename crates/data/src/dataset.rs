//! Named pictures with targets, in two parts, decoded once and kept in memory as far as a budget allows.
//!
//! Above: `recipes`. Below: `image`, `parallel`. Not here: finding files (`folder`), batches (`loader`).
//! Keeping a picture changes the time it takes to get it and nothing else.

mod fingerprint;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::image::{self, Image};
use crate::parallel::{for_each, resolve_threads};
use crate::targets::{Target, TargetKind, Targets};

/// Pictures to train on and pictures to validate on.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The names of the classes, of which a class is an index, of the labels, or of the numbers.
    pub classes: Vec<String>,
    /// Pictures to train on, by class, then by name.
    pub train: Vec<Sample>,
    /// Pictures to validate on, by class, then by name.
    pub val: Vec<Sample>,
    /// Files that were found where pictures are expected and cannot be used.
    pub skipped: Vec<Skipped>,
}

impl Dataset {
    /// A data set of your own, of files, bytes or pixels, to learn classes from.
    ///
    /// # Errors
    /// As [`Self::validate_targets`].
    ///
    /// # Examples
    /// ```
    /// use taper_data::{Dataset, Image, Sample};
    ///
    /// let grey = |class: u32, level: u8| {
    ///     Ok(Sample::from_image(format!("{level}"), class, Image::new(8, 8, vec![level; 8 * 8 * 3])?))
    /// };
    /// let train = vec![grey(0, 10)?, grey(0, 30)?, grey(1, 200)?, grey(1, 220)?];
    /// let val = vec![grey(0, 20)?, grey(1, 210)?];
    /// let dataset = Dataset::new(["dark", "bright"], train, val)?;
    /// assert_eq!(dataset.count_by_class(&dataset.train), [2, 2]);
    /// assert!(Dataset::new(["dark", "bright"], vec![grey(2, 0)?], vec![grey(0, 0)?]).is_err());
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn new<C: Into<String>>(
        classes: impl IntoIterator<Item = C>,
        train: Vec<Sample>,
        val: Vec<Sample>,
    ) -> Result<Self> {
        let classes = classes.into_iter().map(Into::into).collect();
        let dataset = Self { classes, train, val, skipped: Vec::new() };
        dataset.validate_targets()?;
        Ok(dataset)
    }

    /// What its samples' targets are: what the first one's is.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        let first = self.train.iter().chain(&self.val).next();
        first.and_then(|sample| sample.target().kind()).map(|(kind, _)| kind).unwrap_or_default()
    }

    /// Refuses samples whose target is none of the classes, or not of the kind of the others with a value for each of `classes`.
    ///
    /// # Errors
    /// [`Error::Sample`] with the first of them.
    pub fn validate_targets(&self) -> Result<()> {
        let kind = self.kind();
        for sample in self.train.iter().chain(&self.val) {
            let source = match sample.class() {
                Some(class)
                    if kind == TargetKind::Class && (class as usize) < self.classes.len() =>
                {
                    continue;
                }
                Some(_) if kind != TargetKind::Class => Error::OtherTarget {
                    got: "a class".to_owned(),
                    expected: expected(kind, self.classes.len()),
                },
                Some(class) => Error::Label { got: class as usize, labels: self.classes.len() },
                None => match sample.target().kind() {
                    Some((is, Some(k))) if is == kind && k == self.classes.len() => continue,
                    Some(_) | None => Error::OtherTarget {
                        got: Targets::from(sample.target().clone()).describe(),
                        expected: expected(kind, self.classes.len()),
                    },
                },
            };
            let (name, source) = (sample.name.clone(), Box::new(source));
            return Err(Error::Sample { name, source });
        }
        Ok(())
    }

    /// Refuses what no classes can be learned from.
    ///
    /// # Errors
    /// [`Error::FewClasses`] for fewer than two, [`Error::EmptyPart`] without samples to train on or to validate on, and those of
    /// [`Self::validate_targets`].
    pub fn validate_training(&self) -> Result<()> {
        let tells_apart = matches!(self.kind(), TargetKind::Class | TargetKind::Probabilities);
        if self.classes.len() < if tells_apart { 2 } else { 1 } {
            return Err(Error::FewClasses { got: self.classes.len() });
        }
        for (part, samples) in [("train", &self.train), ("val", &self.val)] {
            if samples.is_empty() {
                return Err(Error::EmptyPart { part });
            }
        }
        self.validate_targets()
    }

    /// Reads every picture once, on `threads` threads (0: all cores), as opening a folder does: those that cannot be used are removed and
    /// listed in `skipped`, and pixels are kept as far as there is memory for them.
    pub fn check(&mut self, check: Check, threads: usize) {
        let budget = Budget::new(check);
        for part in [&mut self.train, &mut self.val] {
            self.skipped.append(&mut self::check(part, check, threads, &budget));
        }
    }

    /// A weight for each sample of a part, `train` or `val`, with which all classes are drawn alike: one over the number of samples of its
    /// class. Of several labels that hold, the rarest decides, and none of them is a class of its own. All alike where there are neither.
    #[must_use]
    pub fn balanced_weights(&self, part: &[Sample]) -> Vec<f64> {
        let none = self.classes.len();
        let held = |sample: &Sample| match sample.target() {
            Target::Class(class) => vec![*class as usize],
            Target::Labels(array) => {
                let values = array.values().iter().enumerate();
                let held: Vec<usize> = values.filter(|(_, x)| **x >= 0.5).map(|(i, _)| i).collect();
                if held.is_empty() { vec![none] } else { held }
            }
            _ => vec![none],
        };
        let mut counts = vec![0.0; none + 1];
        for class in part.iter().flat_map(held) {
            if let Some(count) = counts.get_mut(class) {
                *count += 1.0;
            }
        }
        let count = |class: usize| counts.get(class).copied().unwrap_or(1.0);
        let rarest =
            |sample: &Sample| held(sample).into_iter().map(count).fold(f64::INFINITY, f64::min);
        part.iter().map(|sample| 1.0 / rarest(sample)).collect()
    }

    /// How many samples of each class are in a part, `train` or `val`.
    #[must_use]
    pub fn count_by_class(&self, part: &[Sample]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in part {
            let count = sample.class().and_then(|class| counts.get_mut(class as usize));
            if let Some(count) = count {
                *count += 1;
            }
        }
        counts
    }
}

/// What a target should be, in words.
fn expected(kind: TargetKind, names: usize) -> String {
    match kind {
        TargetKind::Class => "the index of a class, as of the first sample".to_owned(),
        TargetKind::Labels => format!("{names} labels, one for each name"),
        TargetKind::Probabilities => format!("{names} probabilities, one for each class"),
        TargetKind::Numbers => format!("{names} numbers, one for each name"),
    }
}

/// A picture with a name and a target: a file, or an encoded or decoded picture in memory.
///
/// Copies share what is in memory.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use taper_data::{Image, Sample};
///
/// let drawn = Sample::from_image("drawn", 1, Arc::new(Image::new(2, 2, vec![255; 12])?));
/// assert_eq!(drawn.image()?.rgb(), [255; 12]);
/// let broken = Sample::from_bytes("broken", 0, *b"no picture");
/// assert_eq!(broken.image().unwrap_err().chain(), "`broken` is not usable: it is no JPEG, PNG, WebP, BMP or GIF file");
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sample {
    name: String,
    target: Target,
    contents: Contents,
    /// Length of the encoded picture.
    bytes: u64,
    pixels: Option<Arc<Image>>,
}

/// Where a picture is.
#[derive(Debug, Clone)]
enum Contents {
    File(PathBuf),
    Static(&'static [u8]),
    Bytes(Arc<[u8]>),
    Image(Arc<Image>),
}

impl Sample {
    /// A file, which is not touched yet.
    #[must_use]
    pub fn from_file(name: impl Into<String>, target: impl Into<Target>, path: PathBuf) -> Self {
        Self::new(name.into(), target.into(), Contents::File(path), 0)
    }

    /// An encoded picture that is part of the program.
    #[must_use]
    pub fn from_static(
        name: impl Into<String>,
        target: impl Into<Target>,
        bytes: &'static [u8],
    ) -> Self {
        Self::new(name.into(), target.into(), Contents::Static(bytes), bytes.len())
    }

    /// An encoded picture in memory: the contents of a JPEG, PNG, WebP, BMP or GIF file, not decoded yet.
    #[must_use]
    pub fn from_bytes(
        name: impl Into<String>,
        target: impl Into<Target>,
        bytes: impl Into<Arc<[u8]>>,
    ) -> Self {
        let bytes = bytes.into();
        let length = bytes.len();
        Self::new(name.into(), target.into(), Contents::Bytes(bytes), length)
    }

    /// A decoded picture in memory.
    #[must_use]
    pub fn from_image(
        name: impl Into<String>,
        target: impl Into<Target>,
        image: impl Into<Arc<Image>>,
    ) -> Self {
        let image = image.into();
        let length = image.rgb().len();
        Self::new(name.into(), target.into(), Contents::Image(image), length)
    }

    fn new(name: String, target: Target, contents: Contents, length: usize) -> Self {
        Self { name, target, contents, bytes: length as u64, pixels: None }
    }

    /// Its name within the data set, such as `train/bees/1.jpg`; `/` on every system.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the network should give for it.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The index of its class, if that is what the network should give.
    #[must_use]
    pub fn class(&self) -> Option<u32> {
        self.target.class()
    }

    /// Its file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.contents {
            Contents::File(path) => Some(path),
            Contents::Static(_) | Contents::Bytes(_) | Contents::Image(_) => None,
        }
    }

    /// Whether its pixels are kept in memory.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.pixels.is_some() || matches!(self.contents, Contents::Image(_))
    }

    /// Its pixels: those kept, or decoded now.
    ///
    /// # Errors
    /// [`Error::Sample`] with its name; the cause is one of [`image::read`].
    pub fn image(&self) -> Result<Arc<Image>> {
        if let Some(pixels) = &self.pixels {
            return Ok(Arc::clone(pixels));
        }
        let decoded = match &self.contents {
            Contents::File(path) => image::read(path),
            Contents::Static(bytes) => image::decode(bytes),
            Contents::Bytes(bytes) => image::decode(bytes),
            Contents::Image(image) => return Ok(Arc::clone(image)),
        };
        decoded
            .map(Arc::new)
            .map_err(|source| Error::Sample { name: self.name.clone(), source: Box::new(source) })
    }

    /// Reads it once as `check` says: its length in bytes, and its pixels if there is memory to keep them.
    fn check(&mut self, check: Check, budget: &Budget) -> Result<()> {
        let file;
        let encoded: &[u8] = match &self.contents {
            Contents::File(path) => {
                file = image::read_bytes(path)?;
                &file
            }
            Contents::Static(bytes) => bytes,
            Contents::Bytes(bytes) => bytes,
            Contents::Image(_) => return Ok(()),
        };
        let kept = match check {
            Check::Headers => {
                image::header(encoded)?;
                None
            }
            Check::Pixels { .. } => {
                let image = image::decode(encoded)?;
                budget.take(image.rgb().len()).then(|| Arc::new(image))
            }
        };
        self.bytes = encoded.len() as u64;
        self.pixels = kept;
        Ok(())
    }
}

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name within the data set, such as `train/bees/notes.txt`.
    pub name: String,
    /// Why, in one line.
    pub reason: String,
}

/// What is done with every file when a data set is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// The header is read: finds files that are no pictures, not those that are damaged further on.
    Headers,
    /// Every picture is decoded once, and its pixels are kept until `keep_bytes` of memory are used.
    Pixels {
        /// Memory for pixels, bytes.
        keep_bytes: usize,
    },
}

impl Default for Check {
    /// Decode everything, keep one gibibyte: about 1,800 pictures of 500x400.
    fn default() -> Self {
        Self::Pixels { keep_bytes: 1 << 30 }
    }
}

/// Memory for pixels that is still free, shared by the threads and by both parts of a data set.
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub(crate) fn new(check: Check) -> Self {
        Self(AtomicUsize::new(match check {
            Check::Headers => 0,
            Check::Pixels { keep_bytes } => keep_bytes,
        }))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes))
            .is_ok()
    }
}

/// Checks every sample on `threads` threads (0: all cores); the broken ones are removed and returned, in order.
pub(crate) fn check(
    samples: &mut Vec<Sample>,
    check: Check,
    threads: usize,
    budget: &Budget,
) -> Vec<Skipped> {
    let broken = Mutex::new(Vec::new());
    for_each(
        resolve_threads(threads).min(samples.len()),
        samples.iter_mut().enumerate(),
        || (),
        |(), (index, sample)| {
            if let Err(error) = sample.check(check, budget) {
                let skipped = Skipped { name: sample.name.clone(), reason: error.chain() };
                broken.lock().unwrap_or_else(PoisonError::into_inner).push((index, skipped));
            }
        },
    );
    let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    broken.sort_unstable_by_key(|&(index, _)| index);
    let mut indices = broken.iter().map(|&(index, _)| index).peekable();
    let mut index = 0;
    samples.retain(|_| {
        let is_broken = indices.next_if_eq(&index).is_some();
        index += 1;
        !is_broken
    });
    broken.into_iter().map(|(_, skipped)| skipped).collect()
}
