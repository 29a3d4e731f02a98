//! One download of a file at a time, over threads and processes.
//!
//! Above: `hub`. Below: the system's file locks. Not here: what is downloaded.
//! The lock is on an open file, so it ends with its process, however that ends. The file of the lock stays.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::error::{Error, Result};
use super::progress::{Listener, Progress};

/// How often it is looked whether the other one is done.
const LOOK: Duration = Duration::from_millis(20);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    /// `None` on a file system without locks.
    file: Option<File>,
}

impl Lock {
    /// Waits until nobody else has it.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Stopped`] if the listener does not want to wait.
    pub(super) fn acquire(path: &Path, what: &str, listener: &mut Listener<'_>) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
        let file = open.map_err(Error::file("open", path))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file: Some(file) }),
                Err(TryLockError::WouldBlock) => {
                    if listener(Progress::Waiting { file: what }).is_break() {
                        return Err(Error::Stopped);
                    }
                    std::thread::sleep(LOOK);
                }
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(Self { file: None });
                }
                Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
            }
        }
    }

    /// What to put into the name of an unfinished file: nothing, unless somebody else may be writing one too.
    pub(super) fn mark(&self) -> String {
        self.file.as_ref().map_or_else(|| format!(".{}", std::process::id()), |_| String::new())
    }
}
