//! A folder of pictures to a data set, in torchvision's layout.
//!
//! Above: `recipes`. Below: `layout`, `scan`, `split`, `listing`, `whole`, `dataset`. Not here: decoding (`image`), batches (`loader`).
//! `DIR/train/<class>/**` and `DIR/val/<class>/**` (or other names of the two: `layout`), or `DIR/<class>/**`, which is split.
//! Classes are sorted by name, as torchvision sorts them. Where it differs: names that begin with a dot and systems' own folders are
//! ignored, a file is judged by its content and not by its extension, what is no picture is skipped by name instead of ending the
//! run, and a link makes no picture of one class a picture of another.

pub(crate) mod layout;
mod listing;
mod scan;
pub(crate) mod split;
mod whole;

use std::path::Path;

use crate::cache::Cache;
use crate::dataset::{self, Check, Dataset, Sample, Skipped};
use crate::error::{Error, Result};
use crate::parallel::check_threads;
use layout::Layout;
pub use layout::holds_classes;
use scan::Class;

pub use listing::{Listing, list_pictures, list_pictures_below};

/// How a folder is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The share of every class that validates, where the folder has no `val`. Default 0.2; between 0 and 1.
    pub val_fraction: f64,
    /// Decides which pictures those are. Default 0.
    pub seed: u64,
    /// Whether a file that cannot be used is an error; otherwise it is skipped and listed. Default: skipped.
    pub strict: bool,
    /// What is done with every file. Default: decode all.
    pub check: Check,
    /// What keeps decoded pictures. Default: up to 1 GiB in memory, about 1,800 pictures of 500x400.
    pub cache: Cache,
    /// Threads to read with, 0 for all cores. Default 0.
    pub threads: usize,
    /// Classes that a folder to train on has at least. Default 2: there must be something to tell apart.
    pub least_classes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            val_fraction: 0.2,
            seed: 0,
            strict: false,
            check: Check::default(),
            cache: Cache::in_memory(1 << 30),
            threads: 0,
            least_classes: 2,
        }
    }
}

/// Opens folders of pictures.
#[derive(Debug)]
pub struct ImageFolder;

impl ImageFolder {
    /// Opens a folder to train on: `DIR/train/<class>` and `DIR/val/<class>`, or `DIR/<class>`, split in two.
    ///
    /// `training`, and `valid`, `validation`, `dev` or `eval`, are other names of the two, in any case. `test` (`testing`) is set
    /// aside if there is a folder to validate on, and validates if there is none.
    ///
    /// # Errors
    /// A folder that is missing, has no classes, one class, an empty class, different classes in its parts, or parts that
    /// cannot be told from classes; with
    /// `strict`, the first file that cannot be used. See the variants of [`Error`].
    ///
    /// # Examples
    /// ```
    /// use taper_data::{ImageFolder, folder::Options, sample_set};
    /// let dir = tempfile::tempdir()?;
    /// sample_set::export(dir.path())?;
    /// let dataset = ImageFolder::open(dir.path(), &Options::default())?;
    /// assert_eq!((dataset.train.len(), dataset.val.len()), (425, 105));
    /// assert!(dataset.skipped.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path, options: &Options) -> Result<Dataset> {
        check_options(options)?;
        check_threads(options.threads)?;
        let mut reading = Reading::new(path, options);
        match layout::of(path, &mut reading.skipped)? {
            Layout::Parts { train: Some(train), val: Some(val) } => {
                scan::distinct(path, &[&train, &val])?;
                let train_classes = reading.classes(&train.path, &prefix(&train))?;
                let val_classes = reading.classes(&val.path, &prefix(&val))?;
                let names = same_names(path, [&train, &val], &train_classes, &val_classes)?;
                enough(&train.path, &names, options.least_classes)?;
                let train = reading.part(&train.path, &prefix(&train), &train_classes)?;
                let val = reading.part(&val.path, &prefix(&val), &val_classes)?;
                reading.finish(names, train, val)
            }
            Layout::Parts { train, val } => Err(half(path, train.or(val).as_ref())),
            Layout::Classes(classes) => {
                let classes = reading.checked(path, classes)?;
                let names = names(&classes);
                enough(path, &names, options.least_classes)?;
                let samples = reading.part(path, "", &classes)?;
                let (train, val) =
                    split::stratified(samples, &names, options.val_fraction, options.seed)?;
                reading.finish(names, train, val)
            }
        }
    }

    /// Opens a folder to evaluate on: its folder to validate on, if there are parts (see [`ImageFolder::open`]), else all of
    /// `DIR/<class>`; everything is in `val`.
    ///
    /// One class is enough; a class without pictures is not an error.
    ///
    /// # Errors
    /// As [`ImageFolder::open`], and [`Error::EmptyClass`] only if all classes are empty.
    pub fn open_to_evaluate(path: &Path, options: &Options) -> Result<Dataset> {
        check_threads(options.threads)?;
        let mut reading = Reading::new(path, options);
        let (root, prefix, classes) = match layout::of(path, &mut reading.skipped)? {
            Layout::Parts { val: Some(val), .. } => {
                let classes = reading.classes(&val.path, &prefix(&val))?;
                (val.path.clone(), prefix(&val), classes)
            }
            Layout::Parts { train, val: None } => return Err(half(path, train.as_ref())),
            Layout::Classes(classes) => {
                (path.to_path_buf(), String::new(), reading.checked(path, classes)?)
            }
        };
        let names = names(&classes);
        let Some(first) = names.first().cloned() else {
            return Err(no_classes(&root));
        };
        let val = reading.samples(&prefix, &classes)?;
        if val.is_empty() {
            return Err(reading.empty(&root, &prefix, first));
        }
        reading.finish(names, Vec::new(), val)
    }
}

/// What stands before the names of a part's samples.
fn prefix(part: &Class) -> String {
    format!("{}/", part.name)
}

/// Only one part is there.
fn half(path: &Path, part: Option<&Class>) -> Error {
    let has = part.map(|part| part.name.clone()).unwrap_or_default();
    let lacks = if layout::is_to_train(&has) { "val" } else { "train" };
    Error::HalfSplit { path: path.to_path_buf(), has, lacks }
}

/// No class folder is there; perhaps pictures are.
fn no_classes(path: &Path) -> Error {
    match list_pictures(path) {
        Ok(Listing { pictures, .. }) => {
            Error::FlatFolder { path: path.to_path_buf(), pictures: pictures.len() }
        }
        Err(_) => Error::NoClasses { path: path.to_path_buf() },
    }
}

/// Collects what is skipped while the parts of one folder are read.
struct Reading<'a> {
    path: &'a Path,
    options: &'a Options,
    skipped: Vec<Skipped>,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, options: &'a Options) -> Self {
        Self { path, options, skipped: Vec::new() }
    }

    /// The class folders of a part, no two of which are one folder.
    fn classes(&mut self, root: &Path, prefix: &str) -> Result<Vec<Class>> {
        let classes = scan::classes(root, prefix, &mut self.skipped)?;
        self.checked(root, classes)
    }

    fn checked(&self, root: &Path, classes: Vec<Class>) -> Result<Vec<Class>> {
        scan::distinct(root, &classes.iter().collect::<Vec<_>>())?;
        Ok(classes)
    }

    /// The usable samples of one part; every class must have one.
    fn part(&mut self, root: &Path, prefix: &str, classes: &[Class]) -> Result<Vec<Sample>> {
        let names = names(classes);
        let samples = self.samples(prefix, classes)?;
        for (label, class) in (0_u32..).zip(names) {
            if !samples.iter().any(|sample| sample.class() == Some(label)) {
                return Err(self.empty(root, prefix, class));
            }
        }
        Ok(samples)
    }

    /// A class has no usable picture; the first file that was skipped says why.
    fn empty(&self, root: &Path, prefix: &str, class: String) -> Error {
        let inside = format!("{prefix}{class}");
        let of_class = |skipped: &&Skipped| {
            skipped
                .name
                .strip_prefix(&inside)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let skipped = self.skipped.iter().filter(of_class).count();
        let first = self.skipped.iter().find(of_class).cloned().map(Box::new);
        Error::EmptyClass { path: root.to_path_buf(), class, skipped, first }
    }

    /// The usable samples of one part.
    fn samples(&mut self, prefix: &str, classes: &[Class]) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut unusable = Vec::new();
        for (label, at) in (0_u32..).zip(0..classes.len()) {
            let files = scan::files(classes, at, prefix, &mut unusable);
            samples
                .extend(files.into_iter().map(|(name, path)| Sample::from_file(name, label, path)));
        }
        let Options { check, threads, ref cache, .. } = *self.options;
        samples.iter_mut().for_each(|sample| sample.keep_in(cache));
        unusable.extend(dataset::check(&mut samples, check, threads));
        unusable.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let (true, Some(first)) = (self.options.strict, unusable.first()) {
            let name = format!("{}/{}", self.path.display(), first.name);
            let reason = first.reason.clone();
            return Err(Error::Strict { count: unusable.len(), name, reason });
        }
        self.skipped.append(&mut unusable);
        Ok(samples)
    }

    fn finish(self, classes: Vec<String>, train: Vec<Sample>, val: Vec<Sample>) -> Result<Dataset> {
        Ok(Dataset { classes, train, val, skipped: self.skipped })
    }
}

fn names(classes: &[Class]) -> Vec<String> {
    classes.iter().map(|class| class.name.clone()).collect()
}

fn enough(path: &Path, names: &[String], least: usize) -> Result<()> {
    match names {
        [] => Err(no_classes(path)),
        [class] if least > 1 => {
            Err(Error::OneClass { path: path.to_path_buf(), class: class.clone() })
        }
        _ => Ok(()),
    }
}

/// The classes' names, if train and val have the same.
fn same_names(
    path: &Path,
    parts: [&Class; 2],
    train: &[Class],
    val: &[Class],
) -> Result<Vec<String>> {
    let parts = Box::new(parts.map(|part| part.name.clone()));
    let (train, val) = (names(train), names(val));
    if train == val {
        return Ok(train);
    }
    let without = |a: &[String], b: &[String]| {
        a.iter().filter(|name| !b.contains(name)).cloned().collect::<Vec<_>>()
    };
    Err(Error::ClassesDiffer {
        path: path.to_path_buf(),
        parts,
        only_train: without(&train, &val),
        only_val: without(&val, &train),
    })
}

pub(crate) fn check_options(options: &Options) -> Result<()> {
    if options.val_fraction > 0.0 && options.val_fraction < 1.0 {
        return Ok(());
    }
    let got = options.val_fraction.to_string();
    Err(Error::Setting { setting: "val_fraction", got, expected: "more than 0 and less than 1" })
}

#[cfg(test)]
mod tests;
