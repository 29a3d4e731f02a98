//! Hugging Face's cache: blobs by hash, snapshots by commit, links between them.
//!
//! Above: `hub`. Below: `digest`. Not here: downloading (`transfer`), files from other addresses (`places`).
//!
//! ```text
//! models--timm--mobilenetv3_small_100.lamb_in1k/
//!     blobs/<etag>                              the bytes
//!     refs/main                                 the commit that `main` was last
//!     snapshots/<commit>/model.safetensors      a link to ../../blobs/<etag>
//! .locks/models--timm--mobilenetv3_small_100.lamb_in1k/<etag>.lock
//! ```
//! Source: `huggingface_hub` 2.4 `file_download.py`; where there are no links, the file itself is in the snapshot.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::digest::{Published, is_complete, is_sha256, move_aside, sha256};
use super::error::{Error, Result};

/// The folder of one repository.
#[derive(Debug, Clone)]
pub(super) struct Repository {
    folder: PathBuf,
    locks: PathBuf,
}

impl Repository {
    pub(super) fn new(cache: &Path, repo: &str) -> Self {
        let name = format!("models--{}", repo.replace('/', "--"));
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    pub(super) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// Whether some snapshot has the file, without looking into it.
    pub(super) fn has(&self, file: &str) -> bool {
        self.snapshots().iter().any(|commit| self.pointer(commit, file).is_file())
    }

    /// A whole file that is the published one, of any snapshot. What is not what its name says is moved aside on the way.
    ///
    /// # Errors
    /// What is wrong with the first snapshot, if no other has the file.
    pub(super) fn find(&self, file: &str, published: Published<'_>) -> Result<Option<PathBuf>> {
        let mut trouble = None;
        for commit in self.snapshots() {
            let pointer = self.pointer(&commit, file);
            match whole(&pointer, published) {
                Ok(true) => return Ok(Some(pointer)),
                Ok(false) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(None), Err)
    }

    /// Names a blob in a snapshot, and the snapshot as the branch's.
    pub(super) fn point(&self, commit: &str, file: &str, blob: &Path) -> Result<PathBuf> {
        let pointer = self.pointer(commit, file);
        let folder = pointer.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let ups = "../".repeat(2 + file.matches('/').count());
        let target = blob.file_name().unwrap_or_default();
        let target = Path::new(&ups).join("blobs").join(target);
        let aside = temporary(&pointer);
        match link(&target, &aside) {
            Ok(()) => fs::rename(&aside, &pointer).map_err(Error::file("write", &pointer))?,
            Err(_) => fs::rename(blob, &pointer).map_err(Error::file("write", &pointer))?,
        }
        let main = self.folder.join("refs").join("main");
        taper_files::replace(&main, |file| file.write_all(commit.as_bytes()))
            .map_err(Error::file("write", &main))?;
        Ok(pointer)
    }

    fn pointer(&self, commit: &str, file: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit).join(file)
    }

    /// Commits that something is here of, the branch's first, the others by name.
    fn snapshots(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join("snapshots")) else { return Vec::new() };
        let names = entries.filter_map(std::result::Result::ok).map(|entry| entry.file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        let main = fs::read_to_string(self.folder.join("refs").join("main")).unwrap_or_default();
        names.sort_by_key(|name| (name != main.trim(), name.clone()));
        names
    }
}

/// Whether `pointer` leads to the published file. Where no hash is published, a file that is shorter than its own header says was
/// left by a download or a copy that broke off.
fn whole(pointer: &Path, published: Published<'_>) -> Result<bool> {
    let Some(Intact { sha256, named }) = intact(pointer)? else { return Ok(false) };
    let is_known = named || !published.is_empty();
    Ok(published.accepts(&sha256) && (is_known || is_complete(pointer)?))
}

/// A file that is not another one than its name says.
struct Intact {
    sha256: String,
    /// Whether its name says anything: a blob's is its hash.
    named: bool,
}

/// The hash of the file that `pointer` leads to, unless the blob that it names by its hash has another one.
fn intact(pointer: &Path) -> Result<Option<Intact>> {
    // One link, not more: what a blob may be a link to has a name of another kind.
    let blob = match fs::read_link(pointer) {
        Ok(target) => Some(pointer.parent().unwrap_or(pointer).join(target)),
        Err(_) => None,
    };
    match fs::metadata(pointer) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() == ErrorKind::NotFound && blob.is_some() => {
            // In a cache that is only read it stays, and is no file either.
            drop(fs::remove_file(pointer));
            return Ok(None);
        }
        _ => return Ok(None),
    }
    let got = sha256(pointer)?;
    let claimed = blob.as_ref().and_then(|blob| blob.file_name()?.to_str().map(str::to_owned));
    let claimed = claimed.filter(|claimed| is_sha256(claimed));
    let named = claimed.is_some();
    if let (Some(blob), Some(claimed)) = (blob, claimed)
        && claimed != got
    {
        move_aside(&blob, &got)?;
        fs::remove_file(pointer).map_err(Error::file("remove", pointer))?;
        return Ok(None);
    }
    Ok(Some(Intact { sha256: got, named }))
}

fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{}.tmp", std::process::id()))
}

#[cfg(unix)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(windows)]
fn link(target: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, at)
}

#[cfg(not(any(unix, windows)))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
