//! Replacing a file so that it is complete or as it was before.
//!
//! Above: `checkpoint`, `recipes` (`config.json`, reports). Below: the file system. Not here: what is written.
//! The new content goes to a hidden neighbor, is synced, and takes the name in one rename; then the folder is synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes a file aside and renames it into place; missing folders are made. A failure leaves the old file and no other.
///
/// # Errors
/// [`Error::File`] with the path, for instance on a full disk.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("run/config.json");
/// taper_train::replace_file(&path, |file| file.write_all(b"{}"))?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let aside = aside(folder, path);
    let written = write_synced(&aside, write).and_then(|()| fs::rename(&aside, path));
    if let Err(source) = written {
        if let Err(left) = fs::remove_file(&aside)
            && left.kind() != io::ErrorKind::NotFound
        {
            return Err(Error::File { action: "remove", path: aside, source: left });
        }
        return Err(failed(source));
    }
    sync_folder(folder).map_err(failed)
}

fn aside(folder: &Path, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    folder.join(format!(".{name}.partial"))
}

fn write_synced(
    aside: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = File::create(aside)?;
    write(&mut file)?;
    file.sync_all()
}

/// Makes the rename itself survive a power cut; only Unix lets a folder be opened for that.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace_file(&path, |file| file.write_all(b"old")).unwrap();
        let failed = replace_file(&path, |file| {
            file.write_all(b"new, but only ha")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(
            matches!(failed, Err(Error::File { action: "write", path: named, .. }) if named == path)
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn a_process_killed_while_writing_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        replace_file(&path, |file| file.write_all(b"old")).unwrap();
        fs::write(aside(dir.path(), &path), b"ne").unwrap(); // what it leaves behind
        assert_eq!(fs::read(&path).unwrap(), b"old");
        replace_file(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(dir.path()).len()), (b"new".to_vec(), 1));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), b"").unwrap();
        let path = dir.path().join("file/below/state");
        let failed = replace_file(&path, |file| file.write_all(b"x"));
        assert!(failed.unwrap_err().to_string().contains("file/below/state"));
    }
}
