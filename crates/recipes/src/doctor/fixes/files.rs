//! The files of a folder that are to be set aside, and doing so.
//!
//! Above: `fixes`. Below: `taper_files`. Not here: rows of a table (`fixes::rows`), which files (`doctor`).
//! A file is moved within its file system, under the same name, into a folder beside the data; nothing is deleted and nothing overwritten.
//! Links are not followed, so that nothing outside of the data is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use taper_data::image::read_bytes;

use super::{ApplyReport, VERSION, refused};
use crate::doctor::Fault;
use crate::doctor::gather::{FilePrint, Gathered, file_print};
use crate::error::{Error, Result};

/// What is behind the data folder's name in that of the folder that files are set aside in.
const ASIDE: &str = ".set-aside";

/// A list of fixes of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileList {
    version: u32,
    /// The folder that paths are in.
    data: PathBuf,
    pub(super) fixes: Vec<Fix>,
}

/// One file to be set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fix {
    action: Action,
    /// Within the folder, with `/`.
    path: String,
    /// For people.
    reason: String,
    /// Length of the file.
    bytes: u64,
    /// Of its content, in hexadecimal.
    sha256: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    Move,
}

impl Fix {
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn new(path: &str, reason: String, FilePrint { bytes, sha256 }: FilePrint) -> Self {
        Self { action: Action::Move, path: path.to_owned(), reason, bytes, sha256 }
    }
}

impl FileList {
    pub(super) fn new(data: &Path, fixes: Vec<Fix>) -> Self {
        let data = fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        Self { version: VERSION, data, fixes }
    }

    /// The list of these faults, and those that cannot be in it, each with the reason: what cannot even be read as a file stays where it is, and so
    /// does what is a link, lies behind one, or has a name that is no text.
    pub(super) fn of(data: &Path, faults: Vec<Fault>, gathered: &Gathered) -> (Self, Vec<String>) {
        let subjects = gathered.subjects.iter();
        let prints: BTreeMap<&str, &FilePrint> =
            subjects.map(|subject| (subject.name(), &subject.file)).collect();
        let root = fs::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        let fix = |Fault { image, reason, .. }: Fault| {
            let left = |why: &str| format!("`{image}` {why}");
            let within = relative(&image).ok_or_else(|| left("is no path within the folder"))?;
            let path = unlinked(&root, &within).map_err(|why| left(&why))?;
            let print = match prints.get(image.as_str()) {
                Some(print) => (*print).clone(),
                None => file_print(&read_bytes(&path).map_err(|error| left(&error.chain()))?),
            };
            Ok(Fix::new(&image, reason, print))
        };
        let (mut fixes, mut left_out) = (Vec::new(), Vec::new());
        for fault in faults {
            match fix(fault) {
                Ok(fix) => fixes.push(fix),
                Err(why) => left_out.push(why),
            }
        }
        (Self::new(data, fixes), left_out)
    }
}

/// Moves all files of a list, or none; `data` is where the folder is now.
pub(super) fn set_aside(list: &Path, fixes: &FileList, data: Option<&Path>) -> Result<ApplyReport> {
    let data = data.unwrap_or(&fixes.data);
    let root = fs::canonicalize(data).map_err(|source| Error::File {
        action: "look at",
        path: data.to_path_buf(),
        source,
    })?;
    let (Some(name), Some(parent)) = (root.file_name(), root.parent()) else {
        return Err(refused(list, "the folder has no name beside which files could be set aside"));
    };
    let mut aside = name.to_owned();
    aside.push(ASIDE);
    let folder = parent.join(aside);
    let mut seen = BTreeSet::new();
    let mut moves = Vec::new();
    for fix in &fixes.fixes {
        let reason = |reason: &str| refused(list, &format!("`{}` {reason}", fix.path));
        let relative = relative(&fix.path).ok_or_else(|| reason("is no path within the folder"))?;
        if !seen.insert(relative.clone()) {
            return Err(reason("is in it twice"));
        }
        let from = unlinked(&root, &relative).map_err(|why| reason(&why))?;
        let bytes = read_bytes(&from).map_err(|error| reason(&error.chain()))?;
        let print = file_print(&bytes);
        if (print.bytes, &print.sha256) != (fix.bytes, &fix.sha256.to_lowercase()) {
            return Err(reason("has changed since; look again with `taper doctor`"));
        }
        let to = folder.join(&relative);
        if fs::symlink_metadata(&to).is_ok() {
            return Err(reason(&format!("was set aside already, as `{}`", to.display())));
        }
        moves.push((from, to));
    }
    // The folder itself and those in it must be no links either.
    for (_, to) in &moves {
        let within = to.strip_prefix(&folder).unwrap_or(to);
        // A separator at the end of a path would follow a link.
        let named = |part: &&Path| !part.as_os_str().is_empty();
        let parents = within.ancestors().skip(1).filter(named).map(|part| folder.join(part));
        for part in parents.chain([folder.clone()]) {
            if fs::symlink_metadata(&part).is_ok_and(|it| !it.is_dir()) {
                return Err(refused(list, &format!("`{}` is no folder", part.display())));
            }
        }
    }
    move_all(&moves)?;
    Ok(ApplyReport::SetAside { moved: moves.len(), folder })
}

/// A path of names alone.
fn relative(path: &str) -> Option<PathBuf> {
    let parts: Option<PathBuf> = Path::new(path)
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect();
    parts.filter(|path| !path.as_os_str().is_empty())
}

/// A regular file below `root` that is reached through no link.
fn unlinked(root: &Path, relative: &Path) -> std::result::Result<PathBuf, String> {
    let mut path = root.to_path_buf();
    for part in relative.components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => {
                return Err("is a link, or lies behind one, and links are not followed".to_owned());
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err("is not there any more".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(path)
}

/// Moves all files, or none: after a failure those that were moved go back.
fn move_all(moves: &[(PathBuf, PathBuf)]) -> Result<()> {
    for (done, (from, to)) in moves.iter().enumerate() {
        let parent = to.parent().unwrap_or(to);
        let moved = fs::create_dir_all(parent).and_then(|()| taper_files::rename(from, to));
        if let Err(source) = moved {
            for (from, to) in moves[..done].iter().rev() {
                // The first error is the one to report; a file that does not come back is in the folder that the message names.
                drop(fs::rename(to, from));
            }
            return Err(Error::File { action: "set aside", path: from.clone(), source });
        }
    }
    Ok(())
}
