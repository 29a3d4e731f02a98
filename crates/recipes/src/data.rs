//! Folders of pictures, or the embedded ones, as data sets; and what a model makes of them.
//!
//! Above: `fine_tune`, `evaluate`, `predict`, `doctor`. Below: `taper_data`. Not here: transforms and batches (`setup`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use taper_data::folder::Options;
use taper_data::table::{Table, TableOptions};
use taper_data::{Cache, Check, Dataset, Sample, Source, TargetKind, sample_set};
use taper_model::{Model, Task};

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{EvaluateOptions, FineTuneOptions, PredictOptions, TableColumns};
use crate::report::{Confusion, Mistake, Review, Skipped};
use crate::setup::data;

/// The pictures to train with, kept in a cache.
pub(crate) fn to_train(options: &FineTuneOptions, cache: &Cache) -> Result<Dataset> {
    open(options, Options { cache: cache.clone(), ..Options::default() })
}

/// The pictures to train with, to be counted: none is decoded.
pub(crate) fn to_count(options: &FineTuneOptions) -> Result<Dataset> {
    open(options, Options { check: Check::Headers, ..Options::default() })
}

fn open(options: &FineTuneOptions, reading: Options) -> Result<Dataset> {
    let reading = Options {
        val_fraction: options.val_fraction,
        seed: options.seed,
        strict: options.strict,
        threads: options.threads,
        // To what is kept, one class can be added.
        least_classes: if options.keep { 1 } else { 2 },
        ..reading
    };
    let (table, root) =
        table(options.data.as_deref(), options.table.as_deref(), &options.columns())?;
    match (table, &options.data) {
        (Some(table), _) => Table::open(table, &options.columns().of(root, reading)).map_err(data),
        (None, Some(path)) => {
            let opened = Source::of(path).open(path, &reading).map_err(data);
            opened.map_err(|error| one_class(error, options))
        }
        (None, None) => sample_set::emoji6().map_err(data),
    }
}

/// Of a folder with one class and a model file: what was meant may be to add the class.
fn one_class(error: Error, options: &FineTuneOptions) -> Error {
    match &error {
        Error::Data { source: taper_data::Error::OneClass { path, class } }
            if crate::source::is_file(&options.model) =>
        {
            let expected = format!(
                "true to add one class to those of a model file (`{}` holds `{class}` alone, which cannot be trained with)",
                path.display()
            );
            Error::option("keep", &options.keep, expected)
        }
        _ => error,
    }
}

/// The table that is meant, and the folder that its pictures lie in unless it is its own.
pub(crate) fn table<'a>(
    data: Option<&'a Path>,
    table: Option<&'a Path>,
    columns: &TableColumns,
) -> Result<(Option<&'a Path>, Option<&'a Path>)> {
    match (table, data) {
        (Some(table), root) => Ok((Some(table), root)),
        (None, Some(file)) if Table::is_one(file) && !file.is_dir() => Ok((Some(file), None)),
        (None, _) => match columns.first() {
            Some(name) => {
                let expected = "absent without a table (--data FILE.csv, or --table FILE.csv)";
                Err(Error::option(name, &"given", expected))
            }
            None => Ok((None, None)),
        },
    }
}

/// The pictures that a program made or found by itself; nobody names a folder or a table beside them.
pub(crate) fn of_ones_own(
    dataset: &Dataset,
    folder: Option<&Path>,
    table: Option<&Path>,
    columns: &TableColumns,
) -> Result<Dataset> {
    let expected = "absent where a data set is given";
    for (name, path) in [("data", folder), ("table", table)] {
        if let Some(path) = path {
            return Err(Error::option(name, &path.display(), expected));
        }
    }
    match columns.first() {
        Some(name) => Err(Error::option(name, &"given", expected)),
        None => Ok(dataset.clone()),
    }
}

/// The folder that names of pictures are in: the one that is named, or that of a table which is named in its place.
pub(crate) fn root<'a>(data: Option<&'a Path>, table: Option<&Path>) -> Option<&'a Path> {
    match table {
        None => data.map(|data| match data.is_dir() {
            true => data,
            false => data.parent().unwrap_or(data), // a table, or shards
        }),
        Some(_) => data,
    }
}

/// The pictures to evaluate with, all in `val`.
pub(crate) fn to_evaluate(options: &EvaluateOptions, model: &Model) -> Result<Dataset> {
    let reading =
        Options { strict: options.strict, threads: options.threads, ..Options::default() };
    let given = (&*options.data, options.table.as_deref(), &options.columns);
    held_out(given, reading, model, Table::open_to_evaluate)
}

/// The pictures of the source at `path` to look at, all in `val`: those that [`to_evaluate`] gives, none of which is read yet. A table need
/// not say what they show.
pub(crate) fn to_predict(path: &Path, options: &PredictOptions, model: &Model) -> Result<Dataset> {
    let (check, cache, threads) = (Check::Nothing, Cache::none(), options.threads);
    let reading = Options { check, cache, threads, ..Options::default() };
    let given = (path, options.table.as_deref(), &options.columns);
    held_out(given, reading, model, Table::open_to_predict)
}

/// What validates in a source, else all of it, in `val`, of a table as `open` gives it.
///
/// What is not said of a table's columns is told from the model.
fn held_out(
    (path, given, columns): (&Path, Option<&Path>, &TableColumns),
    reading: Options,
    model: &Model,
    open: fn(&Path, &TableOptions) -> taper_data::Result<Dataset>,
) -> Result<Dataset> {
    match table(Some(path), given, columns)? {
        (Some(table), root) => {
            let mut said = columns.of(root, reading);
            said.kind = said.kind.or(match model.task() {
                Task::Classification => None,
                Task::MultiLabel => Some(TargetKind::Labels),
                Task::Regression => Some(TargetKind::Numbers),
            });
            said.likely = model.classes().to_vec();
            open(table, &said).map_err(data)
        }
        (None, _) => Source::of(path).open_to_evaluate(path, &reading).map_err(data),
    }
}

/// Files that were skipped, by their path, each once.
#[derive(Debug, Clone)]
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

/// What a picture is called to its owner: its file, or its name in a file of many.
pub(crate) fn path_or_name(sample: &Sample) -> &Path {
    sample.path().unwrap_or_else(|| Path::new(sample.name()))
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
        let image = sample.map(|sample| path_or_name(sample).display().to_string());
        Mistake {
            image: image.unwrap_or_default(),
            actual: class(mistake.target),
            predicted: class(mistake.predicted),
            probability: mistake.probability,
        }
    });
    Review { confusion: Confusion::new(classes.to_vec(), counts), mistakes: mistakes.collect() }
}
