//! Which column of a table is what, and each row's picture and part.
//!
//! Above: `table`. Below: `records`. Not here: targets (`values`).

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::TableOptions;
use super::error::TableError;
use super::records::{Record, Records};
use crate::folder::layout::Role;
use crate::targets::Target;

type Result<T> = std::result::Result<T, TableError>;

/// What a column of paths is called, the usual first.
const IMAGE: [&str; 12] = [
    "path",
    "image",
    "file",
    "file_name",
    "filename",
    "filepath",
    "image_path",
    "img",
    "image_name",
    "picture",
    "photo",
    "name",
];
/// What a column of targets is called, the usual first.
const TARGET: [&str; 9] =
    ["label", "class", "class_name", "category", "target", "labels", "tags", "y", "species"];
/// What a column of parts is called.
const SPLIT: [&str; 6] = ["split", "part", "subset", "partition", "set", "fold"];
/// What a column is called that says whether a row is for validation (fastai).
const IS_VALID: [&str; 3] = ["is_valid", "is_val", "valid"];

/// What a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Validate,
    Test,
}

/// The columns that are read.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) image: String,
    pub(super) targets: Vec<String>,
    pub(super) split: Option<String>,
}

/// A row that was understood.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) target: Target,
    pub(super) part: Part,
}

impl Columns {
    pub(super) fn of(table: &Records, options: &TableOptions) -> Result<Self> {
        let columns = &table.columns;
        let Self { image, targets, split } = Self::of_pictures(table, options)?;
        let targets = match targets.as_slice() {
            [] => {
                let left = |name: &&String| **name != image && Some(*name) != split.as_ref();
                let left: Vec<String> = columns.iter().filter(left).cloned().collect();
                match (known(&left, &TARGET), left.as_slice()) {
                    (Some(name), _) => vec![name],
                    (None, [only]) => vec![only.clone()],
                    (None, []) => {
                        let wanted = "of targets beside its pictures".to_owned();
                        return Err(TableError::Column { wanted, known: listed(columns) });
                    }
                    (None, several) => return Err(TableError::Targets { known: listed(several) }),
                }
            }
            _ => targets,
        };
        Ok(Self { image, targets, split })
    }

    /// What is to be known of pictures: their paths and parts. Of targets, the columns that are named or likely, none otherwise.
    pub(super) fn of_pictures(table: &Records, options: &TableOptions) -> Result<Self> {
        let columns = &table.columns;
        let image = match &options.image {
            Some(name) => found(columns, name)?,
            None => known(columns, &IMAGE).ok_or_else(|| TableError::Column {
                wanted: format!(
                    "of pictures, such as `{}`, `{}`, `{}`",
                    IMAGE[0], IMAGE[1], IMAGE[3]
                ),
                known: listed(columns),
            })?,
        };
        let is_column = |name: &String| columns.contains(name);
        let is_likely = !options.likely.is_empty() && options.likely.iter().all(is_column);
        let taken: &[String] = match options.targets.as_slice() {
            [] if is_likely => &options.likely,
            named => named,
        };
        let split = split(table, &[taken, std::slice::from_ref(&image)].concat());
        let targets = taken.iter().map(|name| found(columns, name)).collect::<Result<_>>()?;
        Ok(Self { image, targets, split })
    }

    /// The rows with their targets, none of which contradicts another.
    pub(super) fn rows(&self, table: &Records, targets: Vec<Target>) -> Result<Vec<Row>> {
        let mut first: HashMap<PathBuf, (usize, usize)> = HashMap::new();
        let mut rows: Vec<Row> = Vec::with_capacity(targets.len());
        for (record, target) in table.records.iter().zip(targets) {
            let path = self.path(record)?;
            let part = self.part(record)?;
            let key = key(&path);
            let Some(&(at, line)) = first.get(&key) else {
                first.insert(key, (rows.len(), record.line));
                rows.push(Row { path, target, part });
                continue;
            };
            let other = &rows[at];
            let what = match (is_same(&other.target, &target), other.part == part) {
                (false, _) => "targets",
                (true, false) => "parts",
                // The same once more: it is read once, or it could be trained and judged on.
                (true, true) => continue,
            };
            return Err(TableError::Twice { path, lines: [line, record.line], what });
        }
        Ok(rows)
    }

    pub(super) fn path(&self, record: &Record) -> Result<String> {
        match record.fields.get(&self.image) {
            Some(Value::String(path)) if !path.is_empty() => Ok(path.clone()),
            other => Err(wrong(record, &self.image, other, "path of a picture")),
        }
    }

    fn part(&self, record: &Record) -> Result<Part> {
        let Some(split) = &self.split else { return Ok(Part::Train) };
        let value = record.fields.get(split);
        let said = match value {
            Some(Value::Bool(is_valid)) => is_valid.to_string(),
            Some(Value::String(said)) => said.to_lowercase(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if IS_VALID.contains(&split.to_lowercase().as_str()) {
            return match said.as_str() {
                "true" | "1" | "yes" => Ok(Part::Validate),
                "false" | "0" | "no" => Ok(Part::Train),
                _ => Err(wrong(record, split, value, "`true` or `false`")),
            };
        }
        match Role::of(&said) {
            Some(Role::Train) => Ok(Part::Train),
            Some(Role::Validate) => Ok(Part::Validate),
            Some(Role::Test) => Ok(Part::Test),
            None => Err(wrong(record, split, value, "`train`, `val` or `test`")),
        }
    }
}

/// Whether a column of that name is one of paths, where nobody says which is.
pub(super) fn is_of_pictures(name: &str) -> bool {
    IMAGE.contains(&name.to_lowercase().as_str())
}

/// What a path is known by: `./a.png` is `a.png`.
pub(super) fn key(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| *part != Component::CurDir).collect()
}

/// The column that says what rows are for, which is none of those `taken`. Words that may mean something else do so unless all their fields
/// are parts.
fn split(table: &Records, taken: &[String]) -> Option<String> {
    let free: Vec<String> =
        table.columns.iter().filter(|name| !taken.contains(name)).cloned().collect();
    let says_parts = |name: &String| {
        let is_part = |value: &Value| value.as_str().is_some_and(|said| Role::of(said).is_some());
        table.records.iter().all(|record| record.fields.get(name).is_some_and(is_part))
    };
    let named = known(&free, &SPLIT[..1])
        .or_else(|| SPLIT[1..].iter().filter_map(|name| known(&free, &[name])).find(says_parts));
    named.or_else(|| known(&free, &IS_VALID))
}

/// The column of that name.
fn found(columns: &[String], name: &String) -> Result<String> {
    match columns.contains(name) {
        true => Ok(name.clone()),
        false => {
            let wanted = format!("`{name}`");
            Err(TableError::Column { wanted, known: listed(columns) })
        }
    }
}

/// The column with the first of these names, in any case.
fn known(columns: &[String], names: &[&str]) -> Option<String> {
    let called = |name: &&str| columns.iter().find(|column| column.to_lowercase() == **name);
    names.iter().find_map(called).cloned()
}

/// Names in backticks, the first few.
pub(super) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A field that is not what it should be.
pub(super) fn wrong(
    record: &Record,
    column: &str,
    got: Option<&Value>,
    expected: impl Into<String>,
) -> TableError {
    let got = match got {
        None | Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "an empty field".to_owned(),
        Some(value) => {
            let shown: String = value.to_string().chars().take(60).collect();
            shown
        }
    };
    TableError::Value {
        line: record.line,
        column: column.to_owned(),
        got,
        expected: expected.into(),
    }
}

/// Whether two targets say the same: what is not known in both, too.
fn is_same(one: &Target, other: &Target) -> bool {
    match (one, other) {
        (Target::Labels(a), Target::Labels(b)) | (Target::Numbers(a), Target::Numbers(b)) => {
            let mut pairs = a.values().iter().zip(b.values());
            a.shape() == b.shape()
                && pairs.all(|(a, b)| {
                    a.partial_cmp(b).map_or(a.is_nan() && b.is_nan(), Ordering::is_eq)
                })
        }
        _ => one == other,
    }
}
