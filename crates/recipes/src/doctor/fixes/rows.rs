//! The rows of a table that are to be left out of it, or to have another label, and the table in which they are.
//!
//! Above: `fixes`. Below: `taper_data::table`, `taper_files`. Not here: where bytes of a row are (`taper_data`), files of a folder
//! (`fixes::files`).
//! No picture of a table is moved, as rows of several tables may have one; and a table is never written over.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use taper_data::folder::Options;
use taper_data::table::{EditedTable, RowChange, Table};

use super::{ApplyReport, VERSION, refused};
use crate::doctor::Fault;
use crate::doctor::gather::{FilePrint, file_print};
use crate::doctor::opening::TableOrigin;
use crate::error::{Error, Result};
use crate::options::TableColumns;
use crate::setup;

/// A list of fixes of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowList {
    version: u32,
    table: PathBuf,
    /// Length of the table.
    bytes: u64,
    /// Of the table's content, in hexadecimal.
    sha256: String,
    /// As far as they were said.
    columns: TableColumns,
    pub(super) fixes: Vec<RowFix>,
}

/// What is to be done with the rows of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum RowFix {
    LeaveOut {
        /// As in the table.
        path: String,
        /// For people.
        reason: String,
    },
    Relabel {
        /// As in the table.
        path: String,
        /// What the label is to be.
        label: String,
        /// For people.
        reason: String,
    },
}

impl RowList {
    pub(super) fn new(table: TableOrigin, faults: Vec<Fault>) -> Self {
        let TableOrigin { path, columns, file: FilePrint { bytes, sha256 } } = table;
        let fix = |Fault { image: path, reason, suggested }| match suggested {
            Some(label) => RowFix::Relabel { path, label, reason },
            None => RowFix::LeaveOut { path, reason },
        };
        let fixes = faults.into_iter().map(fix).collect();
        // A link stays one: relative paths of pictures begin where it lies.
        let table = std::path::absolute(&path).unwrap_or(path);
        Self { version: VERSION, table, bytes, sha256, columns, fixes }
    }
}

impl RowFix {
    fn change(&self) -> (&str, RowChange) {
        match self {
            RowFix::LeaveOut { path, .. } => (path, RowChange::LeaveOut),
            RowFix::Relabel { path, label, .. } => (path, RowChange::Class(label.clone())),
        }
    }
}

/// Writes the table that the list asks for beside the one that it is of, if that has not changed; `data` is where it is now.
pub(super) fn write_fixed(
    list: &Path,
    fixes: &RowList,
    data: Option<&Path>,
) -> Result<ApplyReport> {
    let path = data.unwrap_or(&fixes.table);
    let bytes = unchanged(list, fixes, path)?;
    let table = fixed(path);
    if fs::symlink_metadata(&table).is_ok() {
        let reason = format!("`{}` is there already; rename or remove it first", table.display());
        return Err(refused(list, &reason));
    }
    let changes: Vec<(&str, RowChange)> = fixes.fixes.iter().map(RowFix::change).collect();
    // Pictures are not read, so that it does not matter where they lie.
    let options = fixes.columns.of(None, Options::default());
    let EditedTable { bytes, left_out, relabelled } =
        Table::edited(path, &bytes, &options, &changes).map_err(setup::data)?;
    taper_files::replace(&table, |file| file.write_all(&bytes)).map_err(|source| Error::File {
        action: "write",
        path: table.clone(),
        source,
    })?;
    Ok(ApplyReport::Written { table, left_out, relabelled })
}

/// The bytes of a table that is as the list says.
fn unchanged(list: &Path, fixes: &RowList, path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::File { action: "read", path: path.to_path_buf(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    // Of the same length, so that nothing endless is read.
    if metadata.is_file() && metadata.len() == fixes.bytes {
        let bytes = fs::read(path).map_err(failed)?;
        if file_print(&bytes).sha256 == fixes.sha256.to_lowercase() {
            return Ok(bytes);
        }
    }
    let reason = format!(
        "`{}` has changed since, or is another table; look again with `taper doctor`",
        path.display()
    );
    Err(refused(list, &reason))
}

/// `photos.fixed.csv` of `photos.csv`.
fn fixed(table: &Path) -> PathBuf {
    let mut name = table.file_stem().unwrap_or_default().to_owned();
    name.push(".fixed");
    if let Some(extension) = table.extension() {
        name.push(".");
        name.push(extension);
    }
    table.with_file_name(name)
}
