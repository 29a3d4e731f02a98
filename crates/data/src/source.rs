//! A data set from whatever lies at a path: a folder of pictures, MNIST's or CIFAR's files, tar shards of `WebDataset`.
//!
//! Above: `recipes`. Below: `source::{idx, cifar, web}`, `folder`. Not here: tables (`table`), which say more than a class.
//! A source is recognized by the names of what lies there; what it holds is then believed no further than it is checked.

mod cifar;
mod error;
mod idx;
mod names;
#[cfg(test)]
mod tests;
#[cfg(feature = "webdataset")]
mod web;

use std::path::{Path, PathBuf};

use crate::dataset::{self, Dataset, Sample, Skipped};
use crate::error::{Error, Result};
use crate::folder::{self, ImageFolder, Options, split};
use crate::parallel::check_threads;

pub use error::SourceError;

/// What lies at a path.
///
/// # Examples
/// ```
/// use taper_data::{Source, folder::Options};
/// let dir = tempfile::tempdir()?;
/// // CIFAR-10's layout: a label, then the red, green and blue of 32x32 pixels.
/// let record = |label: u8| [&[label][..], &[label * 20; 3072]].concat();
/// std::fs::write(dir.path().join("data_batch_1.bin"), [record(0), record(1)].concat())?;
/// std::fs::write(dir.path().join("test_batch.bin"), record(1))?;
/// std::fs::write(dir.path().join("batches.meta.txt"), "airplane\nautomobile\n")?;
///
/// let source = Source::of(dir.path());
/// assert_eq!(source, Source::Cifar);
/// let dataset = source.open(dir.path(), &Options::default())?;
/// assert_eq!((dataset.train.len(), dataset.val.len()), (2, 1));
/// assert_eq!(dataset.classes, ["airplane", "automobile"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Folders whose names are the classes: [`ImageFolder`].
    Folder,
    /// MNIST's four files, gray, plain or gzip; in the folder or in `raw` below it.
    Idx,
    /// The binary files of CIFAR-10 or CIFAR-100 (its fine labels), in the folder or in the one that their archives make.
    Cifar,
    /// Tar shards of `WebDataset`: a folder of them, one, or several as `name-{000000..000012}.tar`.
    #[cfg(feature = "webdataset")]
    Web,
}

impl Source {
    /// What a path seems to be, by names alone; a folder of pictures if nothing else.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        #[cfg(feature = "webdataset")]
        if web::is_one(path) {
            return Self::Web;
        }
        if idx::folder_of(path).is_some() {
            Self::Idx
        } else if cifar::files_of(path).is_some() {
            Self::Cifar
        } else {
            Self::Folder
        }
    }

    /// Opens it to train on.
    ///
    /// Names of classes are in `classes.txt`, a line each, or in CIFAR's own files; without them classes are called by their numbers. Test
    /// files validate; where there are none, `val_fraction` of each class does. Of shards, those whose name or folder says so validate.
    ///
    /// # Errors
    /// [`Error::Source`], whose source says what is wrong; those of [`ImageFolder::open`].
    pub fn open(self, path: &Path, options: &Options) -> Result<Dataset> {
        folder::check_options(options)?;
        check_threads(options.threads)?;
        let Some(read) = self.read(path)? else { return ImageFolder::open(path, options) };
        let Parts { classes, mut train, mut val, skipped } = read.checked(path, options)?;
        if let [class] = classes.as_slice() {
            return Err(wrap(path)(SourceError::OneClass { class: class.clone() }));
        }
        if train.is_empty() {
            return Err(wrap(path)(SourceError::empty("to train on", &skipped)));
        }
        if val.is_empty() {
            let Options { val_fraction, seed, .. } = *options;
            (train, val) = split::stratified(train, &classes, val_fraction, seed)?;
        }
        let dataset = Dataset { classes, train, val, skipped };
        dataset.validate_targets()?;
        Ok(dataset)
    }

    /// Opens it to evaluate on: what validates or is for tests, if there is such, else all; everything is in `val`.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_to_evaluate(self, path: &Path, options: &Options) -> Result<Dataset> {
        check_threads(options.threads)?;
        let Some(mut read) = self.read(path)? else {
            return ImageFolder::open_to_evaluate(path, options);
        };
        if !read.val.is_empty() {
            read.train.clear(); // nobody looks at them
        }
        let Parts { classes, train, mut val, skipped } = read.checked(path, options)?;
        if val.is_empty() {
            val = train;
        }
        if val.is_empty() {
            return Err(wrap(path)(SourceError::empty("to evaluate on", &skipped)));
        }
        let dataset = Dataset { classes, train: Vec::new(), val, skipped };
        dataset.validate_targets()?;
        Ok(dataset)
    }

    /// What it holds; nothing of a folder of pictures.
    fn read(self, path: &Path) -> Result<Option<Parts>> {
        match self {
            Self::Folder => Ok(None),
            Self::Idx => idx::read(path).map(Some),
            Self::Cifar => cifar::read(path).map_err(wrap(path)).map(Some),
            #[cfg(feature = "webdataset")]
            Self::Web => web::read(path).map_err(wrap(path)).map(Some),
        }
    }
}

/// What a source holds.
#[derive(Debug, Default)]
struct Parts {
    classes: Vec<String>,
    train: Vec<Sample>,
    val: Vec<Sample>,
    skipped: Vec<Skipped>,
}

impl Parts {
    /// Without the pictures that cannot be used.
    fn checked(mut self, path: &Path, options: &Options) -> Result<Self> {
        let Options { check, threads, strict, ref cache, .. } = *options;
        for part in [&mut self.train, &mut self.val] {
            part.iter_mut().for_each(|sample| sample.keep_in(cache));
            self.skipped.append(&mut dataset::check(part, check, threads));
        }
        match self.skipped.first() {
            Some(Skipped { name, reason }) if strict => {
                let name = format!("{}/{name}", path.display());
                let (count, reason) = (self.skipped.len(), reason.clone());
                Err(Error::Strict { count, name, reason })
            }
            _ => Ok(self),
        }
    }
}

/// Says which source an error is of.
fn wrap(path: &Path) -> impl Fn(SourceError) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Source { path: path.clone(), source: Box::new(source) }
}

/// The visible entries of a folder, by name; none of what is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_hidden = |path: &PathBuf| names::of(path).starts_with('.');
    let mut paths: Vec<PathBuf> = paths.filter(|path| !is_hidden(path)).collect();
    paths.sort();
    paths
}
