//! The pictures of one folder, without classes.
//!
//! Above: `folder`, and who looks at pictures that nobody has sorted. Below: `scan`, `image`. Not here: folders in the folder.
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
    let entries =
        scan::visible(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let mut listing = Listing::default();
    for entry in entries {
        if entry.is_dir() {
            continue;
        }
        match image::sniff(&entry) {
            Ok(()) => listing.pictures.push(entry),
            Err(error) => {
                let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
                listing.skipped.push(Skipped { name, reason: error.chain() });
            }
        }
    }
    if listing.pictures.is_empty() {
        let first = listing.skipped.first().cloned().map(Box::new);
        let skipped = listing.skipped.len();
        return Err(Error::NoPictures { path: path.to_path_buf(), skipped, first });
    }
    Ok(listing)
}
