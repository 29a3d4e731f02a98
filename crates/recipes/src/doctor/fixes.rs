//! The list of fixes: what is not to be left as it is, and doing something about it.
//!
//! Above: `doctor`, the binary. Below: `fixes::{files, rows}`, `serde_json`, `taper_files`. Not here: what is a fault (`doctor`).
//! A list may have been edited, or made by somebody else: nothing of it is done before all of it has been checked.

mod files;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::Fault;
use super::gather::Gathered;
use super::opening::Origin;
use crate::error::{Error, Result};
use files::FileList;
use rows::RowList;

/// Version of the list.
const VERSION: u32 = 1;

/// A list of fixes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum FixList {
    /// Of a folder.
    Files(FileList),
    /// Of a table.
    Rows(RowList),
}

/// What tells the one from the other.
#[derive(Deserialize)]
struct Beginning {
    version: u32,
    table: Option<IgnoredAny>,
}

impl FixList {
    /// What would be done about the faults: files of a folder are set aside, rows of a table are left out, or have another label.
    /// Also why nothing can be done about some.
    pub(super) fn new(
        origin: Origin,
        faults: Vec<Fault>,
        gathered: &Gathered,
    ) -> (Self, Vec<String>) {
        match origin.table {
            Some(table) => (FixList::Rows(RowList::new(table, faults)), Vec::new()),
            None => {
                let (list, left_out) = FileList::of(&origin.root, faults, gathered);
                (FixList::Files(list), left_out)
            }
        }
    }

    /// Names of the pictures whose files are set aside.
    pub(super) fn set_aside(&self) -> impl Iterator<Item = &str> {
        let fixes = match self {
            FixList::Files(list) => &list.fixes[..],
            FixList::Rows(_) => &[],
        };
        fixes.iter().map(files::Fix::path)
    }

    /// How many fixes.
    pub(super) fn len(&self) -> usize {
        match self {
            FixList::Files(list) => list.fixes.len(),
            FixList::Rows(list) => list.fixes.len(),
        }
    }

    /// Writes the list, to be read and edited.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let failed = |source| Error::File { action: "write", path: path.to_path_buf(), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        taper_files::replace(path, |file| writeln!(file, "{text}")).map_err(failed)
    }

    fn read(path: &Path) -> Result<Self> {
        let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
        let text = fs::read_to_string(path).map_err(failed)?;
        let beginning: Beginning = parsed(path, &text)?;
        if beginning.version != VERSION {
            let reason = format!("it is of version {}, and {VERSION} is read", beginning.version);
            return Err(refused(path, &reason));
        }
        match beginning.table {
            Some(_) => parsed(path, &text).map(FixList::Rows),
            None => parsed(path, &text).map(FixList::Files),
        }
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| refused(path, &format!("it is no list of fixes: {error}")))
}

fn refused(list: &Path, reason: &str) -> Error {
    Error::FixList { path: list.to_path_buf(), reason: reason.to_owned() }
}

/// What came of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum ApplyReport {
    /// Files of a folder are elsewhere.
    SetAside {
        /// How many.
        moved: usize,
        /// Where they are, under the same names.
        folder: PathBuf,
    },
    /// A table was written beside another, which is as it was.
    Written {
        /// The new one.
        table: PathBuf,
        /// Rows that it lacks.
        left_out: usize,
        /// Rows that have another label in it.
        relabelled: usize,
    },
}

/// Does what a list that [`doctor`](super::doctor) wrote says. `data` is where the folder or the table is now, if it was moved since.
///
/// - *Of a folder*: sets files aside. `DIR/train/bees/1.jpg` becomes `DIR.set-aside/train/bees/1.jpg`. All of them or none: first every
///   file is compared with what the list says of it, and if one cannot be moved, those that were are moved back.
/// - *Of a table*: writes `NAME.fixed.csv` beside `NAME.csv`, without the rows that are to be left out and with other labels in those that
///   are to have them; every other byte is as it was. No picture is touched, nor the table.
///
/// # Errors
/// [`Error::FixList`] for a list that is none, has paths that lead out of the folder or through links, or whose files or table have
/// changed, are gone, or are in the folder of what was set aside already, and where there is a `NAME.fixed.csv`; [`Error::Data`] if the
/// table lacks a row or a label that the list names; [`Error::File`] if a file cannot be moved or written.
pub fn apply_fixes(list: &Path, data: Option<&Path>) -> Result<ApplyReport> {
    match FixList::read(list)? {
        FixList::Files(fixes) => files::set_aside(list, &fixes, data),
        FixList::Rows(fixes) => rows::write_fixed(list, &fixes, data),
    }
}

#[cfg(test)]
mod tests;
