//! Folders of pictures, or the embedded ones, as data sets; and what a model makes of them.
//!
//! Above: `fine_tune`, `evaluate`. Below: `taper_data`. Not here: transforms and batches (`setup`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use taper_data::folder::Options;
use taper_data::{Dataset, ImageFolder, sample_set};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{EvaluateOptions, FineTuneOptions};
use crate::report::{Confusion, Mistake, Review, Skipped};
use crate::setup::data;

/// The pictures to train with.
pub(crate) fn to_train(options: &FineTuneOptions) -> Result<Dataset> {
    let Some(path) = &options.data else { return sample_set::emoji6().map_err(data) };
    let reading = Options {
        val_fraction: options.val_fraction,
        seed: options.seed,
        strict: options.strict,
        threads: options.threads,
        ..Options::default()
    };
    ImageFolder::open(path, &reading).map_err(data)
}

/// The pictures that a program made or found by itself; nobody names a folder beside them.
pub(crate) fn of_ones_own(dataset: &Dataset, folder: Option<&Path>) -> Result<Dataset> {
    match folder {
        Some(folder) => {
            Err(Error::option("data", &folder.display(), "absent where a data set is given"))
        }
        None => Ok(dataset.clone()),
    }
}

/// The pictures to evaluate with, all in `val`.
pub(crate) fn to_evaluate(options: &EvaluateOptions) -> Result<Dataset> {
    let reading =
        Options { strict: options.strict, threads: options.threads, ..Options::default() };
    ImageFolder::open_to_evaluate(&options.data, &reading).map_err(data)
}

/// Files that were skipped, by their path, each once.
#[derive(Debug)]
pub(crate) struct SkippedFiles<'a> {
    root: Option<&'a Path>,
    files: Vec<Skipped>,
    known: HashSet<PathBuf>,
}

impl<'a> SkippedFiles<'a> {
    /// None yet, of the folder `root` or of the embedded pictures.
    pub(crate) fn new(root: Option<&'a Path>) -> Self {
        Self { root, files: Vec::new(), known: HashSet::new() }
    }

    /// Remembers files, and tells those that are new.
    pub(crate) fn tell(&mut self, samples: &[taper_data::Skipped], observer: &mut dyn Observer) {
        for taper_data::Skipped { name, reason } in samples {
            let path = self.root.map_or_else(|| PathBuf::from(name), |root| root.join(name));
            if self.known.insert(path.clone()) {
                let skipped = Skipped { path, reason: reason.clone() };
                observer.on_event(&Event::Skipped(&skipped));
                self.files.push(skipped);
            }
        }
    }

    /// Hands over what is known.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.root))
    }

    pub(crate) fn into_files(self) -> Vec<Skipped> {
        self.files
    }
}

/// A review of `dataset.val` with names instead of indices. The model's classes are `classes`.
pub(crate) fn review(
    review: &taper_train::Review,
    dataset: &Dataset,
    classes: &[String],
) -> Review {
    let n = classes.len();
    let counts = (0..n * n).map(|at| review.confusion().count(at / n, at % n)).collect();
    let class = |index: usize| classes.get(index).cloned().unwrap_or_default();
    let mistakes = review.mistakes().iter().map(|mistake| {
        let sample = dataset.val.get(mistake.index);
        let image = sample.map(|sample| match sample.path() {
            Some(path) => path.display().to_string(),
            None => sample.name().to_owned(),
        });
        Mistake {
            image: image.unwrap_or_default(),
            actual: class(mistake.target),
            predicted: class(mistake.predicted),
            probability: mistake.probability,
        }
    });
    Review { confusion: Confusion::new(classes.to_vec(), counts), mistakes: mistakes.collect() }
}
