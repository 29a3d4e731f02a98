//! Which folders of a data folder are parts of it, and which are classes.
//!
//! Above: `folder`. Below: `scan`. Not here: dividing a list of samples (`split`).
//! Parts are known by their names, in any case: `train` and `training` to train on; `val`, `valid`, `validation`, `dev` and `eval` to
//! validate on; `test` and `testing` are for the end and set aside, but validate where nothing else does. Beside other folders, one
//! with such a name is a class if it holds pictures and no folders (planes, boats and trains); if it holds folders it is a part, and
//! what cannot be told apart is an error.

use std::path::Path;

use super::scan::{self, Class};
use crate::dataset::Skipped;
use crate::error::{Error, Result};

/// What a folder is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Train,
    Validate,
    Test,
}

impl Role {
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "val" | "valid" | "validation" | "dev" | "eval" | "evaluation" => Some(Self::Validate),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Whether a part of that name is one to train on.
pub(super) fn is_to_train(name: &str) -> bool {
    Role::of(name) == Some(Role::Train)
}

/// What a data folder holds.
#[derive(Debug)]
pub(super) enum Layout {
    /// Parts; one that is missing is `None`.
    Parts {
        train: Option<Class>,
        /// To validate on.
        val: Option<Class>,
    },
    /// A folder of pictures per class.
    Classes(Vec<Class>),
}

/// Looks at the folders of `path`; what is passed over goes to `skipped`.
pub(super) fn of(path: &Path, skipped: &mut Vec<Skipped>) -> Result<Layout> {
    if !path.is_dir() {
        return match std::fs::metadata(path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Read { path: path.to_path_buf(), source })
            }
            _ => Err(Error::NotAFolder { path: path.to_path_buf() }),
        };
    }
    let folders = scan::classes(path, "", skipped)?;
    let has_others = folders.iter().any(|folder| Role::of(&folder.name).is_none());
    let is_part = |folder: &Class| {
        Role::of(&folder.name).is_some() && (!has_others || scan::holds_folders(&folder.path))
    };
    let (parts, others): (Vec<Class>, Vec<Class>) = folders.into_iter().partition(is_part);
    if parts.is_empty() {
        return Ok(Layout::Classes(others));
    }
    let mut parts = Parts { path, parts };
    let train = parts.take(Role::Train)?;
    let mut val = parts.take(Role::Validate)?;
    if val.is_none() && parts.parts.iter().any(|part| scan::holds_folders(&part.path)) {
        val = parts.take(Role::Test)?;
    }
    if let (None, Some(part), Some(class)) =
        (&train, val.as_ref().or(parts.parts.first()), others.first())
    {
        let (part, class) = (part.name.clone(), class.name.clone());
        return Err(Error::PartBesideClasses { path: path.to_path_buf(), part, class });
    }
    skipped.extend(parts.parts.into_iter().map(|part| {
        let reason = "it is set aside: a model is neither trained nor chosen on it (to evaluate on it, give this folder)";
        Skipped { name: part.name, reason: reason.to_owned() }
    }));
    skipped.extend(others.into_iter().map(|other| {
        let reason =
            "it is neither a folder to train on nor one to validate on, and lies beside such";
        Skipped { name: other.name, reason: reason.to_owned() }
    }));
    Ok(Layout::Parts { train, val })
}

/// Whether every folder in `path` is a class of its own, so that another one would be, too: not if there are none, or parts to train and to
/// validate on.
///
/// # Examples
/// ```
/// let dir = tempfile::tempdir()?;
/// std::fs::create_dir_all(dir.path().join("cats"))?;
/// assert!(taper_data::folder::holds_classes(dir.path()));
/// std::fs::create_dir_all(dir.path().join("train/cats"))?;
/// std::fs::remove_dir(dir.path().join("cats"))?;
/// assert!(!taper_data::folder::holds_classes(dir.path()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn holds_classes(path: &Path) -> bool {
    matches!(of(path, &mut Vec::new()), Ok(Layout::Classes(classes)) if !classes.is_empty())
}

/// The parts that are not taken yet.
struct Parts<'a> {
    path: &'a Path,
    parts: Vec<Class>,
}

impl Parts<'_> {
    /// The only part of that role, if there is one.
    fn take(&mut self, role: Role) -> Result<Option<Class>> {
        let is_it = |part: &Class| Role::of(&part.name) == Some(role);
        let Some(at) = self.parts.iter().position(is_it) else { return Ok(None) };
        let part = self.parts.remove(at);
        match self.parts.iter().find(|part| is_it(part)) {
            None => Ok(Some(part)),
            Some(other) => Err(Error::TwoParts {
                path: self.path.to_path_buf(),
                names: [part.name, other.name.clone()],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn names_of_parts_are_known_in_any_case() {
        for name in ["train", "Train", "TRAINING"] {
            assert_eq!(Role::of(name), Some(Role::Train), "{name}");
        }
        for name in ["val", "VAL", "Valid", "validation", "dev", "Eval", "evaluation"] {
            assert_eq!(Role::of(name), Some(Role::Validate), "{name}");
        }
        for name in ["test", "Testing"] {
            assert_eq!(Role::of(name), Some(Role::Test), "{name}");
        }
        for name in ["trains", "valley", "tests", "device", ""] {
            assert_eq!(Role::of(name), None, "{name}");
        }
    }
}
