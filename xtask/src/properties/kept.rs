//! Counter-examples that are kept: lines `cc SEED # shrinks to VALUE` of the files proptest writes beside the sources.
//!
//! Above: `properties`. Below: `files`. Not here: writing and replaying them, which proptest does.
//! Source: `FileFailurePersistence::SourceParallel`, proptest 1.12.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::files;

/// proptest's default name of the folder, and of the ending of a file where it finds no place for a folder.
const NAME: &str = "proptest-regressions";

/// All counter-examples under a root, by file.
#[derive(Debug)]
pub(super) struct Kept(BTreeMap<String, BTreeSet<String>>);

impl Kept {
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut paths = Vec::new();
        for top in ["crates", "tests"] {
            files::walk(&root.join(top), &mut paths)?;
        }
        let mut kept = BTreeMap::new();
        for path in paths {
            let name = files::relative(root, &path);
            if !(name.contains(&format!("/{NAME}/")) || name.ends_with(&format!(".{NAME}"))) {
                continue;
            }
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{name}`"))?;
            let lines = text.lines().filter(|line| line.starts_with("cc "));
            kept.insert(name, lines.map(str::to_owned).collect());
        }
        Ok(Self(kept))
    }

    /// What is kept now and was not `before`, in words.
    pub(super) fn report(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, now) in &self.0 {
            let is_new = |line: &&String| before.0.get(path).is_none_or(|old| !old.contains(*line));
            let new: Vec<&String> = now.iter().filter(is_new).collect();
            if !new.is_empty() {
                lines.push(format!("\nkept in {path}, to be committed:"));
                lines.extend(new.into_iter().map(|line| format!("  {line}")));
            }
        }
        if lines.is_empty() {
            lines.push(
                "\nnothing new was kept: what failed had failed before, or was no property".into(),
            );
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_counter_examples_are_reported_with_their_file() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("crates/a").join(NAME);
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir(root.path().join("tests")).unwrap();
        let file = folder.join("main.txt");
        fs::write(&file, "# Words.\ncc 01 # shrinks to a = 0\n").unwrap();
        let before = Kept::read(root.path()).unwrap();
        assert_eq!(before.report(&before).len(), 1);

        fs::write(&file, "cc 01 # shrinks to a = 0\ncc 02 # shrinks to a = 7\n").unwrap();
        let lines = Kept::read(root.path()).unwrap().report(&before);
        let kept = format!("\nkept in crates/a/{NAME}/main.txt, to be committed:");
        assert_eq!(lines, [kept.as_str(), "  cc 02 # shrinks to a = 7"]);
    }
}
