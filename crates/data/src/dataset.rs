//! Named, labelled pictures in two parts, decoded once and kept in memory as far as a budget allows.
//!
//! Above: `recipes`. Below: `image`, `parallel`. Not here: finding files (`folder`), batches (`loader`).
//! Keeping a picture changes the time it takes to get it and nothing else.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::image::{self, Image};
use crate::parallel::{for_each, resolve_threads};

/// Pictures to train on and pictures to validate on.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The classes' names; a label is an index into them.
    pub classes: Vec<String>,
    /// Pictures to train on, by class, then by name.
    pub train: Vec<Sample>,
    /// Pictures to validate on, by class, then by name.
    pub val: Vec<Sample>,
    /// Files that were found where pictures are expected and cannot be used.
    pub skipped: Vec<Skipped>,
}

impl Dataset {
    /// A number that names this data set: of its classes and of every sample's name, label and length in bytes.
    ///
    /// Equal on every machine; a resumed run compares it to tell that the data changed.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fnv1a::default();
        for class in &self.classes {
            hash.write(class.as_bytes());
        }
        for part in [&self.train, &self.val] {
            hash.write(&(part.len() as u64).to_le_bytes());
            for sample in part {
                hash.write(sample.name.as_bytes());
                hash.write(&sample.label.to_le_bytes());
                hash.write(&sample.bytes.to_le_bytes());
            }
        }
        hash.0
    }

    /// How many samples of each class are in a part, `train` or `val`.
    #[must_use]
    pub fn count_by_class(&self, part: &[Sample]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in part {
            if let Some(count) = counts.get_mut(sample.label as usize) {
                *count += 1;
            }
        }
        counts
    }
}

/// A picture with a name and a label.
#[derive(Debug, Clone)]
pub struct Sample {
    name: String,
    label: u32,
    source: Source,
    /// Length of the encoded picture.
    bytes: u64,
    pixels: Option<Arc<Image>>,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Embedded(&'static [u8]),
}

impl Sample {
    /// A file, which is not touched yet.
    #[must_use]
    pub fn from_file(name: String, label: u32, path: PathBuf) -> Self {
        Self { name, label, source: Source::File(path), bytes: 0, pixels: None }
    }

    /// A picture that is part of the program.
    #[must_use]
    pub fn from_static(name: String, label: u32, bytes: &'static [u8]) -> Self {
        let length = bytes.len() as u64;
        Self { name, label, source: Source::Embedded(bytes), bytes: length, pixels: None }
    }

    /// Its name within the data set, such as `train/bees/1.jpg`; `/` on every system.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of its class.
    #[must_use]
    pub fn label(&self) -> u32 {
        self.label
    }

    /// Its file, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Embedded(_) => None,
        }
    }

    /// Whether its pixels are kept in memory.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.pixels.is_some()
    }

    /// Its pixels: those kept, or decoded now.
    ///
    /// # Errors
    /// [`Error::Sample`] with its name; the cause is one of [`image::read`].
    pub fn image(&self) -> Result<Arc<Image>> {
        if let Some(pixels) = &self.pixels {
            return Ok(Arc::clone(pixels));
        }
        self.encoded()
            .and_then(|bytes| image::decode(&bytes))
            .map(Arc::new)
            .map_err(|source| Error::Sample { name: self.name.clone(), source: Box::new(source) })
    }

    fn encoded(&self) -> Result<std::borrow::Cow<'_, [u8]>> {
        match &self.source {
            Source::File(path) => image::read_bytes(path).map(Into::into),
            Source::Embedded(bytes) => Ok((*bytes).into()),
        }
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
            if let Err(error) = check_one(sample, check, budget) {
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

fn check_one(sample: &mut Sample, check: Check, budget: &Budget) -> Result<()> {
    let encoded = sample.encoded()?;
    let length = encoded.len() as u64;
    let kept = match check {
        Check::Headers => {
            image::header(&encoded)?;
            None
        }
        Check::Pixels { .. } => {
            let image = image::decode(&encoded)?;
            budget.take(image.rgb().len()).then(|| Arc::new(image))
        }
    };
    sample.bytes = length;
    sample.pixels = kept;
    Ok(())
}

/// The 64-bit FNV-1a hash, a length before every field. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv1a {
    fn write(&mut self, field: &[u8]) {
        for byte in (field.len() as u64).to_le_bytes().iter().chain(field) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fnv1a;

    #[test]
    fn the_hash_is_fnv1a() {
        let mut hash = Fnv1a::default();
        hash.write(b"");
        // FNV-1a of eight zero bytes.
        let expected =
            (0..8).fold(0xcbf2_9ce4_8422_2325_u64, |h, _| h.wrapping_mul(0x0000_0100_0000_01b3));
        assert_eq!(hash.0, expected);
    }
}
