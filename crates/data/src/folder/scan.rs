//! Finds class folders, and the files in them.
//!
//! Above: `folder`. Below: the file system. Not here: opening the files (`dataset`).
//! Order is by name and does not depend on the file system. Names that begin with a dot are ignored. Symbolic links
//! are followed; no folder is entered twice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::Skipped;
use crate::error::{Error, Result};

/// A folder whose pictures are one class.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// The class folders of `root`, sorted by name.
pub(super) fn classes(root: &Path) -> Result<Vec<Class>> {
    let wrap = |path: &Path, source| Error::Read { path: path.to_path_buf(), source };
    let canonical_root = fs::canonicalize(root).map_err(|source| wrap(root, source))?;
    let mut classes = Vec::new();
    for entry in fs::read_dir(root).map_err(|source| wrap(root, source))? {
        let path = entry.map_err(|source| wrap(root, source))?.path();
        if is_hidden(&path) {
            continue;
        }
        // Follows links, so a link to itself or to nothing is an error here.
        if !fs::metadata(&path).map_err(|source| wrap(&path, source))?.is_dir() {
            continue;
        }
        let target = fs::canonicalize(&path).map_err(|source| wrap(&path, source))?;
        if canonical_root.starts_with(&target) {
            return Err(Error::SymlinkLoop { path, target });
        }
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => classes.push(Class { name: name.to_owned(), path }),
            None => return Err(Error::FolderName { path }),
        }
    }
    classes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(classes)
}

/// The files below `dir` as (name, path), sorted by name; what cannot be entered goes to `skipped`.
pub(super) fn files(dir: &Path, name: &str, skipped: &mut Vec<Skipped>) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    let mut entered = BTreeSet::new();
    let mut pending = vec![(name.to_owned(), dir.to_path_buf())];
    while let Some((name, path)) = pending.pop() {
        let outcome = fs::canonicalize(&path).and_then(|target| {
            if entered.insert(target) { list(&path).map(Some) } else { Ok(None) }
        });
        match outcome {
            Ok(Some(entries)) => {
                for path in entries {
                    visit(&name, path, &mut pending, &mut files, skipped);
                }
            }
            Ok(None) => {
                let reason = "it is a link to a folder that is read already".to_owned();
                skipped.push(Skipped { name, reason });
            }
            Err(error) => skipped.push(Skipped { name, reason: error.to_string() }),
        }
    }
    files.sort_unstable();
    files
}

/// The visible entries of a folder, in the reverse order of their names, so that a stack visits them forward.
fn list(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !is_hidden(&path) {
            entries.push(path);
        }
    }
    entries.sort_unstable_by(|a, b| b.cmp(a));
    Ok(entries)
}

/// Puts one entry of the folder `parent` where it belongs.
fn visit(
    parent: &str,
    path: PathBuf,
    pending: &mut Vec<(String, PathBuf)>,
    files: &mut Vec<(String, PathBuf)>,
    skipped: &mut Vec<Skipped>,
) {
    let file_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    let name = format!("{parent}/{file_name}");
    match fs::metadata(&path) {
        Err(error) => skipped.push(Skipped { name, reason: error.to_string() }),
        Ok(metadata) if metadata.is_dir() && has_picture_extension(&path) => {
            let reason = "it is a folder with the name of a picture".to_owned();
            skipped.push(Skipped { name, reason });
        }
        Ok(metadata) if metadata.is_dir() => pending.push((name, path)),
        // Pipes and devices are refused when they are read.
        Ok(_) => files.push((name, path)),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// torchvision's extensions, and GIF.
fn has_picture_extension(path: &Path) -> bool {
    const EXTENSIONS: [&str; 10] =
        ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}
