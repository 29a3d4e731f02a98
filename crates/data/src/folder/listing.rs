//! The pictures of one folder, or of all below it, without classes.
//!
//! Above: `folder`, and who looks at pictures that nobody has sorted. Below: `scan`, `image`. Not here: folders as classes (`layout`).
//! Order is by name and does not depend on the file system. A file is judged by its first bytes.

use std::path::{Path, PathBuf};

use super::scan;
use crate::dataset::Skipped;
use crate::error::{Error, Result};
use crate::image;

/// What a folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The pictures' files, by name; at least one.
    pub pictures: Vec<PathBuf>,
    /// What is no picture that is read; folders are not counted.
    pub skipped: Vec<Skipped>,
}

/// The pictures that lie in a folder itself, by name: what a flat folder holds.
///
/// Files are opened, but not decoded: one that is damaged behind its first bytes is listed. Names that begin with a dot and
/// systems' own files are passed over.
///
/// # Errors
/// [`Error::NotAFolder`], [`Error::Read`]; [`Error::NoPictures`] if there is none, with the reason of the first file.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// for name in ["b.gif", "a.GIF", "notes.txt"] {
///     std::fs::write(dir.path().join(name), if name == "notes.txt" { "b, then a" } else { "GIF89a..." })?;
/// }
/// let listing = taper_data::folder::list_pictures(dir.path())?;
/// assert_eq!(listing.pictures, ["a.GIF", "b.gif"].map(|name| dir.path().join(name)));
/// assert_eq!(listing.skipped[0].name, "notes.txt");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_pictures(path: &Path) -> Result<Listing> {
    if !path.is_dir() {
        return Err(Error::NotAFolder { path: path.to_path_buf() });
    }
    let mut listing = Listing::default();
    listing.add(path, path)?;
    listing.of_any(path)
}

/// The same of a folder and of all folders in it: its own first, then those of the others by their paths. Links to folders are not followed;
/// a folder in it that cannot be read is among what is skipped, by its path from `path` on, with `/`, as files are.
///
/// # Errors
/// As [`list_pictures`].
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// std::fs::create_dir(dir.path().join("deep"))?;
/// for name in ["z.gif", "deep/a.gif", "deep/notes.txt"] {
///     std::fs::write(dir.path().join(name), if name.ends_with("txt") { "a" } else { "GIF89a..." })?;
/// }
/// let listing = taper_data::folder::list_pictures_below(dir.path())?;
/// assert_eq!(listing.pictures, ["z.gif", "deep/a.gif"].map(|name| dir.path().join(name)));
/// assert_eq!(listing.skipped[0].name, "deep/notes.txt");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list_pictures_below(path: &Path) -> Result<Listing> {
    if !path.is_dir() {
        return Err(Error::NotAFolder { path: path.to_path_buf() });
    }
    let mut listing = Listing::default();
    let mut folders = folders_in(path)?;
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        match folders_in(&folder) {
            Ok(more) => folders.extend(more),
            Err(error) => listing.skip(path, &folder, error.chain()),
        }
        next += 1;
    }
    folders.sort();
    listing.add(path, path)?;
    for folder in &folders {
        // What cannot be read was told when its folders were looked for.
        drop(listing.add(path, folder));
    }
    listing.of_any(path)
}

impl Listing {
    /// Adds the files that lie in `folder`, a folder of `root`.
    fn add(&mut self, root: &Path, folder: &Path) -> Result<()> {
        for entry in visible(folder)? {
            if entry.is_dir() {
                continue;
            }
            match image::sniff(&entry) {
                Ok(()) => self.pictures.push(entry),
                Err(error) => self.skip(root, &entry, error.chain()),
            }
        }
        Ok(())
    }

    fn skip(&mut self, root: &Path, path: &Path, reason: String) {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        self.skipped.push(Skipped { name, reason });
    }

    /// Itself, unless it has no picture.
    fn of_any(self, path: &Path) -> Result<Self> {
        if !self.pictures.is_empty() {
            return Ok(self);
        }
        let (path, skipped) = (path.to_path_buf(), self.skipped.len());
        let first = self.skipped.into_iter().next().map(Box::new);
        Err(Error::NoPictures { path, skipped, first })
    }
}

/// The folders in one, but for links.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_folder = |path: &PathBuf| path.symlink_metadata().is_ok_and(|it| it.is_dir());
    Ok(visible(folder)?.into_iter().filter(is_folder).collect())
}

fn visible(folder: &Path) -> Result<Vec<PathBuf>> {
    scan::visible(folder).map_err(|source| Error::Read { path: folder.to_path_buf(), source })
}
