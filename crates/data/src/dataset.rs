//! Named pictures with targets, in two parts.
//!
//! Above: `recipes`. Below: `dataset::sample`, `cache`, `parallel`. Not here: finding files (`folder`), batches (`loader`).

mod fingerprint;
mod sample;
mod splits;

use std::sync::{Mutex, PoisonError};

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::parallel::{for_each, resolve_threads};
use crate::targets::{Target, TargetKind, Targets};

pub(crate) use sample::Layout;
pub use sample::Sample;

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
            let (name, source) = (sample.name().to_owned(), Box::new(source));
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

    /// The same whose pictures are kept by a cache, whenever they are first decoded; those that one keeps already stay there.
    #[must_use]
    pub fn with_cache(mut self, cache: &Cache) -> Self {
        for sample in self.train.iter_mut().chain(&mut self.val) {
            sample.keep_in(cache);
        }
        self
    }

    /// Reads every picture once, on `threads` threads (0: all cores), as opening a folder does: those that cannot be used are removed and
    /// listed in `skipped`.
    pub fn check(&mut self, check: Check, threads: usize) {
        for part in [&mut self.train, &mut self.val] {
            self.skipped.append(&mut self::check(part, check, threads));
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

/// A file that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name within the data set, such as `train/bees/notes.txt`.
    pub name: String,
    /// Why, in one line.
    pub reason: String,
}

/// What is done with every file when a data set is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Check {
    /// Nothing is read: whether a picture is one is found out by whoever reads it.
    Nothing,
    /// The header is read: finds files that are no pictures, not those that are damaged further on.
    Headers,
    /// Every picture is decoded once, and put into the [`Cache`] if there is one.
    #[default]
    Pixels,
}

/// Checks every sample on `threads` threads (0: all cores); the broken ones are removed and returned, in order.
pub(crate) fn check(samples: &mut Vec<Sample>, check: Check, threads: usize) -> Vec<Skipped> {
    let broken = Mutex::new(Vec::new());
    for_each(
        resolve_threads(threads).min(samples.len()),
        samples.iter_mut().enumerate(),
        || (),
        |(), (index, sample)| {
            if let Err(error) = sample.check(check) {
                let skipped = Skipped { name: sample.name().to_owned(), reason: error.chain() };
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
