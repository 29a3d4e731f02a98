//! Finds class folders, and the files in them.
//!
//! Above: `folder`, `layout`. Below: the file system. Not here: opening the files (`dataset`).
//! Order is by name and does not depend on the file system. Names that begin with a dot are passed over, and what systems put into
//! folders. Symbolic links are followed; no folder is entered twice, and nothing becomes a picture of two classes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::Skipped;
use crate::error::{Error, Result};

/// Why a link to a folder that holds it is not followed.
const ABOVE: &str = "it is a link to a folder above";

/// A folder whose pictures are one class.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The folder itself, where `path` is a link.
    target: PathBuf,
}

/// The class folders of `root`, sorted by name. Links that lead nowhere go to `skipped`, with `prefix` before their names.
pub(super) fn classes(root: &Path, prefix: &str, skipped: &mut Vec<Skipped>) -> Result<Vec<Class>> {
    let wrap = |path: &Path, source| Error::Read { path: path.to_path_buf(), source };
    let canonical_root = fs::canonicalize(root).map_err(|source| wrap(root, source))?;
    let mut classes = Vec::new();
    for path in visible(root).map_err(|source| wrap(root, source))? {
        let name = path.file_name().unwrap_or_default();
        // Follows links.
        let target = match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => continue,
            Ok(_) => fs::canonicalize(&path).map_err(|source| wrap(&path, source))?,
            Err(error) => {
                let name = format!("{prefix}{}", name.to_string_lossy());
                skipped.push(Skipped { name, reason: unfollowed(&path, &error) });
                continue;
            }
        };
        if canonical_root.starts_with(&target) {
            let name = format!("{prefix}{}", name.to_string_lossy());
            skipped.push(Skipped { name, reason: ABOVE.to_owned() });
            continue;
        }
        match name.to_str() {
            Some(name) => classes.push(Class { name: name.to_owned(), path, target }),
            None => return Err(Error::FolderName { path }),
        }
    }
    classes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(classes)
}

/// Refuses two names of one folder, or of one and another inside of it.
pub(super) fn distinct(root: &Path, folders: &[&Class]) -> Result<()> {
    for (i, folder) in folders.iter().enumerate() {
        let overlaps = |other: &&&Class| {
            other.target.starts_with(&folder.target) || folder.target.starts_with(&other.target)
        };
        if let Some(other) = folders[..i].iter().find(overlaps) {
            let names = [other.name.clone(), folder.name.clone()];
            return Err(Error::SameFolder { path: root.to_path_buf(), names });
        }
    }
    Ok(())
}

/// Whether a folder has visible folders in it.
pub(super) fn holds_folders(path: &Path) -> bool {
    visible(path).is_ok_and(|entries| entries.iter().any(|entry| entry.is_dir()))
}

/// The visible entries of a folder, sorted by name.
pub(super) fn visible(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if !is_passed_over(&path) {
            entries.push(path);
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// The files below each of the `classes` as (name, path), sorted by name; what cannot be entered goes to `skipped`.
pub(super) fn files(
    classes: &[Class],
    at: usize,
    prefix: &str,
    skipped: &mut Vec<Skipped>,
) -> Vec<(String, PathBuf)> {
    let class = &classes[at];
    let others = classes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, other)| other);
    let mut walk = Walk {
        class,
        others: others.collect(),
        entered: BTreeSet::new(),
        pending: vec![(format!("{prefix}{}", class.name), class.path.clone())],
        files: Vec::new(),
        skipped,
    };
    while let Some((name, path)) = walk.pending.pop() {
        walk.enter(name, &path);
    }
    walk.files.sort_unstable();
    walk.files
}

/// The folders of one class, while they are looked through.
struct Walk<'a> {
    class: &'a Class,
    others: Vec<&'a Class>,
    entered: BTreeSet<PathBuf>,
    pending: Vec<(String, PathBuf)>,
    files: Vec<(String, PathBuf)>,
    skipped: &'a mut Vec<Skipped>,
}

impl Walk<'_> {
    fn enter(&mut self, name: String, path: &Path) {
        let entries = fs::canonicalize(path).and_then(|target| {
            let is_new = self.entered.insert(target);
            if is_new { visible(path).map(Some) } else { Ok(None) }
        });
        match entries {
            // In reverse, so that a stack visits them forward.
            Ok(Some(entries)) => entries.into_iter().rev().for_each(|path| self.visit(&name, path)),
            Ok(None) => self.skip(name, "it is a link to a folder that is read already"),
            Err(error) => self.skip(name, error.to_string()),
        }
    }

    /// Puts one entry of the folder `parent` where it belongs.
    fn visit(&mut self, parent: &str, path: PathBuf) {
        let file_name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let name = format!("{parent}/{file_name}");
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.skip(name, unfollowed(&path, &error)),
        };
        if let Some(reason) = self.other_class(&path, metadata.is_dir()) {
            self.skip(name, reason);
        } else if metadata.is_dir() && has_picture_extension(&path) {
            self.skip(name, "it is a folder with the name of a picture");
        } else if metadata.is_dir() {
            self.pending.push((name, path));
        } else {
            self.files.push((name, path)); // pipes and devices are refused when they are read
        }
    }

    /// Why a link must not be followed: its pictures are another class' too.
    fn other_class(&self, path: &Path, is_dir: bool) -> Option<String> {
        if !fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
            return None;
        }
        let target = fs::canonicalize(path).ok()?;
        if is_dir && target != self.class.target && self.class.target.starts_with(&target) {
            return Some(ABOVE.to_owned());
        }
        let other = self.others.iter().find(|other| {
            target.starts_with(&other.target) || is_dir && other.target.starts_with(&target)
        })?;
        Some(format!("it is a link into the class `{}`", other.name))
    }

    fn skip(&mut self, name: String, reason: impl Into<String>) {
        self.skipped.push(Skipped { name, reason: reason.into() });
    }
}

/// Why an entry cannot be looked at.
fn unfollowed(path: &Path, error: &std::io::Error) -> String {
    match fs::read_link(path) {
        Ok(target) => format!("it is a link to `{}`: {error}", target.display()),
        Err(_) => error.to_string(),
    }
}

/// What a user did not put there: names that begin with a dot, and folders and files of systems, of archives and of NAS devices.
fn is_passed_over(path: &Path) -> bool {
    const NAMES: [&str; 13] = [
        "__macosx",
        "@eadir",
        "@tmp",
        "#recycle",
        "#snapshot",
        "lost+found",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    ];
    let Some(name) = path.file_name() else { return false };
    name.as_encoded_bytes().starts_with(b".")
        || name.to_str().is_some_and(|name| NAMES.contains(&name.to_ascii_lowercase().as_str()))
}

/// torchvision's extensions, and GIF.
fn has_picture_extension(path: &Path) -> bool {
    const EXTENSIONS: [&str; 10] =
        ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()))
}
