//! The rows of a table that are to be left out of it, or to have another label.
//!
//! Above: `fixes`. Below: `serde`. Not here: files of a folder (`fixes::files`).
//! No picture of a table is moved: rows of several tables, and several rows of one, may have one picture.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::VERSION;
use crate::doctor::Fault;
use crate::doctor::gather::FilePrint;
use crate::doctor::opening::TableOrigin;
use crate::options::TableColumns;

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
        let table = fs::canonicalize(&path).unwrap_or(path);
        Self { version: VERSION, table, bytes, sha256, columns, fixes }
    }

    /// Why nothing is set aside, and what to do.
    pub(super) fn by_hand(&self) -> String {
        format!(
            "it is of the table `{}`, whose pictures stay where they are; leave these {} rows out of the table, or correct their labels, \
             by hand",
            self.table.display(),
            self.fixes.len()
        )
    }
}
