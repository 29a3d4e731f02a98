//! The files of the workspace.
//!
//! Above: `tidy`, `properties`. Below: the file system. Not here: what is in them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// All files below `path`, or `path` itself, in order of name; build outputs are left out.
pub(crate) fn walk(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    let entries = fs::read_dir(path).with_context(|| format!("reading `{}`", path.display()))?;
    let mut entries = entries.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name() != "target" {
            walk(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// `path` from `root`, with `/` on every system.
pub(crate) fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.to_string_lossy().replace('\\', "/")
}
