//! What is looked at: a folder in classes, or a table of pictures with targets of any kind.
//!
//! Above: `doctor`. Below: `data`, `taper_data`. Not here: looking at the pictures (`doctor::gather`).

use std::fs;
use std::path::{Path, PathBuf};

use taper_data::folder::Options;
use taper_data::table::Table;
use taper_data::{Check, Dataset, ImageFolder};

use super::gather::FilePrint;
use crate::data;
use crate::download::of_hub;
use crate::error::{Error, Result};
use crate::options::{DoctorOptions, TableColumns};
use crate::setup;

/// Where pictures are from.
#[derive(Debug)]
pub(super) struct Origin {
    /// The folder that their names begin in.
    pub(super) root: PathBuf,
    /// The table that names them, if one does.
    pub(super) table: Option<TableOrigin>,
}

/// A table, as a list of fixes knows it again.
#[derive(Debug)]
pub(super) struct TableOrigin {
    pub(super) path: PathBuf,
    pub(super) columns: TableColumns,
    pub(super) file: FilePrint,
}

/// Opens what the options name. What is skipped are files, and not folders that are no part of the data.
pub(super) fn opened(options: &DoctorOptions) -> Result<(Dataset, Origin)> {
    let DoctorOptions { data: path, table: given, columns, threads, .. } = options;
    let reading = Options { check: Check::Headers, threads: *threads, ..Options::default() };
    let root = data::root(Some(path), given.as_deref()).unwrap_or(path).to_path_buf();
    match data::table(Some(path), given.as_deref(), columns)? {
        (Some(table), of_pictures) => {
            // Before it is opened: what changes it later is another table then. That it cannot be read is best said by who opens it.
            let file = printed(table);
            let dataset = Table::open_whole(table, &columns.of(of_pictures, reading));
            let dataset = dataset.map_err(setup::data)?;
            let (path, columns) = (table.to_path_buf(), columns.clone());
            let table = TableOrigin { path, columns, file: file? };
            Ok((dataset, Origin { root, table: Some(table) }))
        }
        (None, _) => {
            let mut dataset = ImageFolder::open_whole(path, &reading).map_err(setup::data)?;
            dataset.skipped.retain(|skipped| skipped.name.contains('/'));
            Ok((dataset, Origin { root, table: None }))
        }
    }
}

fn printed(table: &Path) -> Result<FilePrint> {
    let unread = |source| {
        let path = table.to_path_buf();
        Error::File { action: "read", path, source }
    };
    let bytes = fs::metadata(table).map_err(unread)?.len();
    let sha256 = taper_zoo::hub::sha256(table).map_err(of_hub)?;
    Ok(FilePrint { bytes, sha256 })
}
