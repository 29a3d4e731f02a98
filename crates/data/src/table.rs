//! A table of pictures and what they show to a data set: CSV, TSV or JSON Lines.
//!
//! Above: `recipes`. Below: `table::{records, columns, values, edit}`, `folder::split`, `dataset`. Not here: folders whose names are the classes (`folder`).
//! A row names a picture; its other columns say its class, the labels that hold, probabilities, or numbers, and perhaps which part it
//! belongs to. What is not said is told from the columns' names and values.

mod columns;
mod edit;
mod error;
mod records;
#[cfg(test)]
mod tests;
mod values;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::dataset::{self, Dataset, Sample, Skipped};
use crate::error::{Error, Result};
use crate::folder::{self, Options, split};
use crate::parallel::check_threads;
use crate::targets::{Target, TargetKind};
use columns::{Columns, Part};
use records::Records;

pub use edit::{EditedTable, RowChange};
pub use error::TableError;

/// How a table is read.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// The folder that relative paths begin in; the table's own when absent.
    pub root: Option<PathBuf>,
    /// The column of the pictures' paths; `path`, `image`, `file`, `file_name` and the like when absent.
    pub image: Option<String>,
    /// The columns of the targets; `label`, `class`, `labels`, `tags` and the like, or the only one that is left, when empty.
    pub targets: Vec<String>,
    /// Names of columns that are the targets if all of them are there and `targets` is empty.
    pub likely: Vec<String>,
    /// What the targets are; told from the columns when absent ([`Table::open`]).
    pub kind: Option<TargetKind>,
    /// What is done with the pictures, and how those to validate on are chosen where the table does not say.
    pub reading: Options,
}

/// Opens tables of pictures.
#[derive(Debug)]
pub struct Table;

impl Table {
    /// Whether a file is read as a table, by its extension: `csv`, `tsv`, `jsonl`, `ndjson`.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        records::Format::of(path).is_some()
    }

    /// Opens a table to train on.
    ///
    /// A CSV file has a header; its fields are separated by commas, semicolons or tabs. Text is UTF-8.
    ///
    /// - *Classes*: one column of names. Sorted by name, or as numbers if all are whole numbers.
    /// - *Labels*, any number of which hold: several columns of 0 and 1, empty where nobody knows (such a label counts nowhere), an array of names in JSON, or one column of names between
    ///   `;`, `|` or `,` that is called `labels` or `tags`, or if `kind` says so (then between blanks, too).
    /// - *Numbers*: columns of numbers, of one column most with a fraction among them, or if `kind` says so.
    /// - *Probabilities* of classes: columns of numbers from 0 to 1 whose rows have the sum 1; an object of names and numbers in JSON if `kind` says so.
    ///
    /// A column `split` (`part`, `subset`, `partition`, `fold`) says `train`, `val` or `test`, or `is_valid` says true or false; without
    /// one, `val_fraction` of the pictures are held out, of each class alike.
    /// Rows for tests are set aside. A path that leads to no picture is skipped by name.
    ///
    /// # Errors
    /// [`Error::Table`], whose source says what is wrong and in which line; [`Error::Strict`].
    ///
    /// # Examples
    /// ```
    /// use taper_data::table::{Table, TableOptions};
    /// use taper_data::{TargetKind, sample_set};
    ///
    /// let dir = tempfile::tempdir()?;
    /// sample_set::export(dir.path())?;
    /// let table = dir.path().join("tags.csv");
    /// std::fs::write(&table, "file_name,tags,split\n\
    ///     train/vehicle/anchor.png,heavy;wet,train\n\
    ///     train/vehicle/airplane_arriving.png,heavy,train\n\
    ///     val/vehicle/airplane.png,heavy,val\n")?;
    /// let dataset = Table::open(&table, &TableOptions::default())?;
    /// assert_eq!((dataset.kind(), &dataset.classes[..]), (TargetKind::Labels, &["heavy".to_owned(), "wet".to_owned()][..]));
    /// assert_eq!((dataset.train.len(), dataset.val.len()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: &Path, options: &TableOptions) -> Result<Dataset> {
        folder::check_options(&options.reading)?;
        let rows = Rows::read(path, options, Use::Train)?;
        let wrong = |source| Error::Table { path: path.to_path_buf(), source: Box::new(source) };
        let Parts { mut train, mut val, mut skipped } = rows.parts(path, options, Use::Train)?;
        if train.is_empty() {
            return Err(wrong(TableError::empty("train", &skipped)));
        }
        if rows.columns.split.is_none() {
            let Options { val_fraction, seed, .. } = options.reading;
            (train, val) = match rows.kind {
                TargetKind::Class => split::stratified(train, &rows.names, val_fraction, seed)?,
                TargetKind::Labels | TargetKind::Probabilities | TargetKind::Numbers => {
                    split::random(train, val_fraction, seed)?
                }
            };
            rows.learn_all(&mut train, &mut val);
        }
        if val.is_empty() {
            return Err(wrong(TableError::empty("val", &skipped)));
        }
        if let Some(unseen) = rows.never_trained(&train) {
            return Err(wrong(TableError::Unseen { name: unseen }));
        }
        skipped.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Dataset { classes: rows.names, train, val, skipped })
    }

    /// Opens a table to evaluate on: its rows to validate on if it has parts, else all; everything is in `val`.
    ///
    /// # Errors
    /// As [`Table::open`].
    pub fn open_to_evaluate(path: &Path, options: &TableOptions) -> Result<Dataset> {
        Self::held_out(path, options, Use::Evaluate)
    }

    /// Opens the pictures that [`Table::open_to_evaluate`] gives, without their targets, for which there need be no columns: a list of paths
    /// will do. Everything is in `val`, of a class 0 that has no name.
    ///
    /// # Errors
    /// As [`Table::open`], of paths and parts.
    ///
    /// # Examples
    /// ```
    /// use taper_data::sample_set;
    /// use taper_data::table::{Table, TableOptions};
    ///
    /// let dir = tempfile::tempdir()?;
    /// sample_set::export(dir.path())?;
    /// let table = dir.path().join("test.csv");
    /// std::fs::write(&table, "id,file_name\n7,val/vehicle/airplane.png\n9,val/tool/axe.png\n")?;
    /// let dataset = Table::open_to_predict(&table, &TableOptions::default())?;
    /// assert_eq!(dataset.val[0].name(), "val/vehicle/airplane.png");
    /// assert!(dataset.classes.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_to_predict(path: &Path, options: &TableOptions) -> Result<Dataset> {
        Self::held_out(path, options, Use::Predict)
    }

    fn held_out(path: &Path, options: &TableOptions, to: Use) -> Result<Dataset> {
        check_threads(options.reading.threads)?;
        let rows = Rows::read(path, options, to)?;
        let Parts { train, mut val, skipped } = rows.parts(path, options, to)?;
        if rows.columns.split.is_none() {
            val = train;
        }
        if val.is_empty() {
            let source = Box::new(TableError::empty("val", &skipped));
            return Err(Error::Table { path: path.to_path_buf(), source });
        }
        Ok(Dataset { classes: rows.names, train: Vec::new(), val, skipped })
    }

    /// Opens all pictures of a table: its rows to train on and its rows to validate on, or all as pictures to train on where it does not
    /// say. One class, and one that only a part has, are not errors here. What is skipped are pictures alone: rows for tests are not told
    /// of, and are looked at only where no other rows validate.
    ///
    /// # Errors
    /// As [`Table::open`].
    ///
    /// # Examples
    /// ```
    /// use taper_data::sample_set;
    /// use taper_data::table::{Table, TableOptions};
    ///
    /// let dir = tempfile::tempdir()?;
    /// sample_set::export(dir.path())?;
    /// let table = dir.path().join("things.csv");
    /// std::fs::write(&table, "file_name,label,split\n\
    ///     train/vehicle/anchor.png,anchor,train\n\
    ///     train/vehicle/gone.png,anchor,train\n\
    ///     val/vehicle/airplane.png,airplane,val\n")?;
    /// assert!(Table::open(&table, &TableOptions::default()).is_err(), "no airplane to train on");
    /// let dataset = Table::open_whole(&table, &TableOptions::default())?;
    /// assert_eq!((dataset.train.len(), dataset.val.len()), (1, 1));
    /// assert_eq!(dataset.skipped[0].name, "train/vehicle/gone.png");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_whole(path: &Path, options: &TableOptions) -> Result<Dataset> {
        check_threads(options.reading.threads)?;
        let rows = Rows::read(path, options, Use::Whole)?;
        let Parts { train, val, skipped } = rows.parts(path, options, Use::Whole)?;
        if train.is_empty() && val.is_empty() {
            let source = Box::new(TableError::empty("train", &skipped));
            return Err(Error::Table { path: path.to_path_buf(), source });
        }
        Ok(Dataset { classes: rows.names, train, val, skipped })
    }
}

/// A table that was understood.
struct Rows {
    columns: Columns,
    kind: TargetKind,
    names: Vec<String>,
    rows: Vec<columns::Row>,
}

/// What a table is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Train,
    Evaluate,
    /// To evaluate, but for the targets.
    Predict,
    Whole,
}

/// The samples of each part that can be used.
struct Parts {
    train: Vec<Sample>,
    val: Vec<Sample>,
    skipped: Vec<Skipped>,
}

impl Rows {
    fn read(path: &Path, options: &TableOptions, to: Use) -> Result<Self> {
        let understood = || {
            let records = Records::read(path)?;
            let rows = match to {
                Use::Predict => Self::of_pictures(&records, options)?,
                Use::Train | Use::Evaluate | Use::Whole => Self::of(&records, options)?,
            };
            match (rows.kind, rows.names.as_slice()) {
                (TargetKind::Class | TargetKind::Probabilities, [class]) if to != Use::Whole => {
                    Err(TableError::OneClass { class: class.clone() })
                }
                _ => Ok(rows),
            }
        };
        let wrong = |source| Error::Table { path: path.to_path_buf(), source: Box::new(source) };
        understood().map_err(wrong)
    }

    fn of(records: &Records, options: &TableOptions) -> std::result::Result<Self, TableError> {
        let columns = Columns::of(records, options)?;
        let (kind, names, targets) = values::targets(records, &columns, options)?;
        let rows = columns.rows(records, targets)?;
        Ok(Self { columns, kind, names, rows })
    }

    fn of_pictures(
        records: &Records,
        options: &TableOptions,
    ) -> std::result::Result<Self, TableError> {
        let columns = Columns::of_pictures(records, options)?;
        let rows = columns.rows(records, vec![Target::Class(0); records.records.len()])?;
        Ok(Self { columns, kind: TargetKind::Class, names: Vec::new(), rows })
    }

    /// Checks the pictures; without a column that says it, all are for training.
    fn parts(&self, path: &Path, options: &TableOptions, to: Use) -> Result<Parts> {
        let root = match &options.root {
            Some(root) => root.as_path(),
            None => path.parent().unwrap_or(Path::new("")),
        };
        let (mut train, mut val, mut tests) = (Vec::new(), Vec::new(), 0);
        for row in &self.rows {
            let file = root.join(&row.path);
            let sample = Sample::from_file(row.path.clone(), row.target.clone(), file);
            match row.part {
                Part::Train => train.push(sample),
                Part::Validate => val.push(sample),
                Part::Test => tests += 1,
            }
        }
        if matches!(to, Use::Evaluate | Use::Predict) && self.columns.split.is_some() {
            train.clear(); // nobody looks at them
        }
        if val.is_empty() && tests > 0 && (to != Use::Train || !train.is_empty()) {
            // As in a folder: what is for tests validates where nothing else does.
            let of_tests = self.rows.iter().filter(|row| row.part == Part::Test);
            val.extend(of_tests.map(|row| {
                Sample::from_file(row.path.clone(), row.target.clone(), root.join(&row.path))
            }));
            tests = 0;
        }
        let Options { check, threads, strict, ref cache, .. } = options.reading;
        train.iter_mut().chain(&mut val).for_each(|sample| sample.keep_in(cache));
        let mut skipped = dataset::check(&mut train, check, threads);
        skipped.append(&mut dataset::check(&mut val, check, threads));
        if let (true, Some(first)) = (strict, skipped.first()) {
            let (name, reason) = (first.name.clone(), first.reason.clone());
            return Err(Error::Strict { count: skipped.len(), name, reason });
        }
        if tests > 0 && to != Use::Whole {
            let reason = format!(
                "{tests} rows are set aside: a model is neither trained nor chosen on them"
            );
            skipped.push(Skipped { name: "test".to_owned(), reason });
        }
        Ok(Parts { train, val, skipped })
    }

    /// Exchanges the first picture of each label or number that was only held out by chance for one that training can do without.
    fn learn_all(&self, train: &mut Vec<Sample>, val: &mut Vec<Sample>) {
        while let Some(label) = self.unseen(train) {
            let holds = |sample: &Sample| values::held(sample.target()).any(|held| held == label);
            let Some(at) = val.iter().position(holds) else { return };
            let mut counts = vec![0_usize; self.names.len()];
            train.iter().flat_map(|sample| values::held(sample.target())).for_each(|held| {
                counts[held] += 1;
            });
            let is_spare =
                |sample: &Sample| values::held(sample.target()).all(|held| counts[held] > 1);
            match train.iter().position(is_spare) {
                Some(spare) => std::mem::swap(&mut train[spare], &mut val[at]),
                None if val.len() > 1 => train.push(val.remove(at)),
                None => return,
            }
        }
    }

    /// The first class that no row to train on has, label that holds in none, or number that none knows.
    fn never_trained(&self, train: &[Sample]) -> Option<String> {
        self.unseen(train).map(|index| self.names[index].clone())
    }

    fn unseen(&self, train: &[Sample]) -> Option<usize> {
        let seen: HashSet<usize> =
            train.iter().flat_map(|sample| values::held(sample.target())).collect();
        let is_judged = self.kind != TargetKind::Probabilities;
        let mut unseen = (0..self.names.len()).filter(|index| !seen.contains(index));
        unseen.next().filter(|_| is_judged)
    }
}
