//! Files that are complete or as they were before: written aside, synced, and renamed into place.
//!
//! Above: `model`, `data`, `zoo`, `train`, `recipes`, xtask. Below: the file system. Not here: what is written, logs that grow.
//! The new content goes to a hidden neighbor, `.NAME.partial`, which takes the name in one rename when it is on the disk; then
//! the folder is synced, so that the rename itself survives a power cut. What a killed process left aside is overwritten by the
//! next one that writes the file, and two that write it at the same time take turns.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file aside and renames it into place; missing folders are made. A failure leaves the old file and no other.
///
/// # Errors
/// Those of the system and of `write`. A path that ends in no name is refused.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("run/config.json");
/// taper_files::replace(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn replace(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    in_place(path, |aside, file| {
        write(file)?;
        file.sync_all()?;
        rename(aside, path)
    })
}

/// As [`replace`], without waiting for the disk: for many files that can be made again, which a power cut may leave empty.
///
/// # Errors
/// As [`replace`].
pub fn replace_unsynced(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    in_place(path, |aside, file| {
        write(file)?;
        fs::rename(aside, path)
    })
}

/// As [`replace`], of a file that must not be there yet: of two that write it at the same time, one does.
///
/// # Errors
/// As [`replace`]; [`io::ErrorKind::AlreadyExists`] if it is there; it stays as it is. Where files cannot be locked, two at the very same time may both write it.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("config.json");
/// taper_files::create(&path, |file| file.write_all(b"mine"))?;
/// let again = taper_files::create(&path, |file| file.write_all(b"yours"));
/// assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
/// assert_eq!(std::fs::read(&path)?, b"mine");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn create(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let path = path.as_ref();
    in_place(path, |aside, file| {
        // Who else wants it waits for the file aside, and looks then.
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        write(file)?;
        file.sync_all()?;
        rename(aside, path)
    })
}

/// Opens the file aside, calls `put` to fill and rename it, and removes it if that fails.
fn in_place(path: &Path, put: impl FnOnce(&Path, &mut File) -> io::Result<()>) -> io::Result<()> {
    fs::create_dir_all(folder_of(path))?;
    let aside = aside(path)?;
    let mut file = open(&aside)?;
    if let Err(error) = put(&aside, &mut file) {
        // Of no use; if even removing it fails, the first error is the one to report.
        drop(fs::remove_file(&aside));
        return Err(error);
    }
    drop(file); // it was locked until it had its name
    Ok(())
}

/// Gives a file that is complete and synced another name in its file system, and makes that survive a power cut.
///
/// # Errors
/// Those of the system.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync(folder_of(to))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn aside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"));
    };
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".partial");
    Ok(path.with_file_name(hidden))
}

/// Opens the file aside, empty and locked until it is closed: another process, or thread, that writes the same file waits here.
fn open(aside: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(aside)?;
        // Not every file system has locks; without, whoever writes the same file twice at a time has to take care.
        let is_locked = file.lock().is_ok();
        if !is_locked || is_named(&file, aside) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Whether the open file still has this name: the one who was waited for has given it another.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if place(&a) == place(&b))
}

#[cfg(not(unix))]
fn is_named(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Only Unix lets a folder be opened to be synced.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
