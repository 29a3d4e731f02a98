//! A folder of pictures to a data set, in torchvision's layout.
//!
//! Above: `recipes`. Below: `scan`, `split`, `dataset`. Not here: decoding (`image`), batches (`loader`).
//! `DIR/train/<class>/**` and `DIR/val/<class>/**`, or `DIR/<class>/**`, which is split. Classes are sorted by name, as
//! torchvision sorts them. Where it differs: names that begin with a dot are ignored, a file is judged by its content
//! and not by its extension, and what is no picture is skipped by name instead of ending the run.

mod scan;
mod split;

use std::path::{Path, PathBuf};

use crate::dataset::{self, Budget, Check, Dataset, Sample, Skipped};
use crate::error::{Error, Result};
use scan::Class;

/// How a folder is read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The share of every class that validates, where the folder has no `val`. Default 0.2; between 0 and 1.
    pub val_fraction: f64,
    /// Decides which pictures those are. Default 0.
    pub seed: u64,
    /// Whether a file that cannot be used is an error; otherwise it is skipped and listed. Default: skipped.
    pub strict: bool,
    /// What is done with every file. Default: decode all, keep up to 1 GiB of pixels.
    pub check: Check,
    /// Threads to read with, 0 for all cores. Default 0.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { val_fraction: 0.2, seed: 0, strict: false, check: Check::default(), threads: 0 }
    }
}

/// Opens folders of pictures.
#[derive(Debug)]
pub struct ImageFolder;

impl ImageFolder {
    /// Opens a folder to train on: `DIR/train/<class>` and `DIR/val/<class>`, or `DIR/<class>`, split in two.
    ///
    /// # Errors
    /// A folder that is missing, has no classes, one class, an empty class, or different classes in its parts; with
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
        let mut reading = Reading::new(path, options);
        match layout(path)? {
            Layout::Split { train, val } => {
                let train_classes = scan::classes(&train)?;
                let val_classes = scan::classes(&val)?;
                let names = same_names(path, &train_classes, &val_classes)?;
                at_least_two(&train, &names)?;
                let train = reading.part(&train, "train/", train_classes)?;
                let val = reading.part(&val, "val/", val_classes)?;
                reading.finish(names, train, val)
            }
            Layout::Classes => {
                let classes = scan::classes(path)?;
                let names = names(&classes);
                at_least_two(path, &names)?;
                let samples = reading.part(path, "", classes)?;
                let (train, val) =
                    split::stratified(samples, &names, options.val_fraction, options.seed)?;
                reading.finish(names, train, val)
            }
        }
    }

    /// Opens a folder to evaluate on: `DIR/val` if there is one, else all of `DIR/<class>`; everything is in `val`.
    ///
    /// One class is enough; a class without pictures is not an error.
    ///
    /// # Errors
    /// As [`ImageFolder::open`], and [`Error::EmptyClass`] only if all classes are empty.
    pub fn open_to_evaluate(path: &Path, options: &Options) -> Result<Dataset> {
        let mut reading = Reading::new(path, options);
        let (root, prefix) = if path.join("val").is_dir() {
            (path.join("val"), "val/")
        } else {
            let _ = layout(path)?; // a missing folder
            (path.to_path_buf(), "")
        };
        let classes = scan::classes(&root)?;
        let names = names(&classes);
        let Some(first) = names.first().cloned() else {
            return Err(Error::NoClasses { path: root });
        };
        let val = reading.samples(prefix, classes)?;
        if val.is_empty() {
            let skipped = reading.skipped.len();
            return Err(Error::EmptyClass { path: root, class: first, skipped });
        }
        reading.finish(names, Vec::new(), val)
    }
}

/// What a data folder holds.
enum Layout {
    Split { train: PathBuf, val: PathBuf },
    Classes,
}

/// Tells the two layouts apart. `train` without `val` is a class only beside other folders (boat, train, …).
fn layout(path: &Path) -> Result<Layout> {
    if !path.is_dir() {
        return match std::fs::metadata(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Read { path: path.to_path_buf(), source })
            }
            _ => Err(Error::NotAFolder { path: path.to_path_buf() }),
        };
    }
    let (train, val) = (path.join("train"), path.join("val"));
    match (train.is_dir(), val.is_dir()) {
        (true, true) => Ok(Layout::Split { train, val }),
        (false, false) => Ok(Layout::Classes),
        (has_train, _) => {
            let others = names(&scan::classes(path)?);
            let is_part = |name: &String| {
                ["train", "val", "valid", "validation", "test"].contains(&name.as_str())
            };
            if !others.iter().all(is_part) {
                return Ok(Layout::Classes);
            }
            let (has, lacks) = if has_train { ("train", "val") } else { ("val", "train") };
            Err(Error::HalfSplit { path: path.to_path_buf(), has, lacks })
        }
    }
}

/// Collects what is skipped while the parts of one folder are read.
struct Reading<'a> {
    path: &'a Path,
    options: &'a Options,
    budget: Budget,
    skipped: Vec<Skipped>,
}

impl<'a> Reading<'a> {
    fn new(path: &'a Path, options: &'a Options) -> Self {
        Self { path, options, budget: Budget::new(options.check), skipped: Vec::new() }
    }

    /// The usable samples of one part; every class must have one.
    fn part(&mut self, root: &Path, prefix: &str, classes: Vec<Class>) -> Result<Vec<Sample>> {
        let names = names(&classes);
        let samples = self.samples(prefix, classes)?;
        for (label, class) in (0_u32..).zip(names) {
            if !samples.iter().any(|sample| sample.class() == Some(label)) {
                let inside = format!("{prefix}{class}/");
                let skipped = self.skipped.iter().filter(|s| s.name.starts_with(&inside)).count();
                return Err(Error::EmptyClass { path: root.to_path_buf(), class, skipped });
            }
        }
        Ok(samples)
    }

    /// The usable samples of one part.
    fn samples(&mut self, prefix: &str, classes: Vec<Class>) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut unusable = Vec::new();
        for (label, class) in (0_u32..).zip(classes) {
            let name = format!("{prefix}{}", class.name);
            let files = scan::files(&class.path, &name, &mut unusable);
            samples
                .extend(files.into_iter().map(|(name, path)| Sample::from_file(name, label, path)));
        }
        let Options { check, threads, .. } = *self.options;
        unusable.extend(dataset::check(&mut samples, check, threads, &self.budget));
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

fn at_least_two(path: &Path, names: &[String]) -> Result<()> {
    match names {
        [] => Err(Error::NoClasses { path: path.to_path_buf() }),
        [class] => Err(Error::OneClass { path: path.to_path_buf(), class: class.clone() }),
        _ => Ok(()),
    }
}

/// The classes' names, if train and val have the same.
fn same_names(path: &Path, train: &[Class], val: &[Class]) -> Result<Vec<String>> {
    let (train, val) = (names(train), names(val));
    if train == val {
        return Ok(train);
    }
    let without = |a: &[String], b: &[String]| {
        a.iter().filter(|name| !b.contains(name)).cloned().collect::<Vec<_>>()
    };
    Err(Error::ClassesDiffer {
        path: path.to_path_buf(),
        only_train: without(&train, &val),
        only_val: without(&val, &train),
    })
}

fn check_options(options: &Options) -> Result<()> {
    if options.val_fraction > 0.0 && options.val_fraction < 1.0 {
        return Ok(());
    }
    let got = options.val_fraction.to_string();
    Err(Error::Setting { setting: "val_fraction", got, expected: "more than 0 and less than 1" })
}

#[cfg(test)]
mod tests;
