//! Keeps house: the rules of `docs/style.md` that a machine can check.
//!
//! Above: `ci`, and `cargo test` through the test at the end. Below: `files`, `tables`, and the modules here, one a group of rules.
//! Not here: formatting (rustfmt), lints (clippy, the tables in `Cargo.toml`).
//! Every problem ends with the rule it breaks, as an anchor of `docs/style.md`.

mod cards;
mod edges;
mod fixtures;
mod packages;
mod sources;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files::{relative, walk};
use crate::tables;

/// A broken rule and where.
#[derive(Debug)]
pub(crate) struct Problem {
    path: PathBuf,
    /// From 1; 0 for the file as a whole.
    line: usize,
    message: String,
    rule: Rule,
}

/// A rule by the heading it has in `docs/style.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    RoomCard,
    Edges,
    Unsafe,
    Tests,
    FileBudget,
    Names,
    Words,
    Fixtures,
    Generated,
    Packages,
}

impl Rule {
    #[cfg(test)]
    const ALL: [Rule; 10] = [
        Rule::RoomCard,
        Rule::Edges,
        Rule::Unsafe,
        Rule::Tests,
        Rule::FileBudget,
        Rule::Names,
        Rule::Words,
        Rule::Fixtures,
        Rule::Generated,
        Rule::Packages,
    ];

    fn anchor(self) -> &'static str {
        match self {
            Rule::RoomCard => "the-room-card",
            Rule::Edges => "arrows-point-down",
            Rule::Unsafe => "unsafe-lives-in-kernels",
            Rule::Tests => "tests-run",
            Rule::FileBudget => "size-of-rooms",
            Rule::Names => "names-of-files",
            Rule::Words => "words",
            Rule::Fixtures => "fixtures-have-a-generator",
            Rule::Generated => "generated-regions-are-fresh",
            Rule::Packages => "packages-are-whole",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}; see docs/style.md#{}", self.message, self.rule.anchor())
    }
}

/// A file of the workspace: its path from the root, with `/`, and its text.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl SourceFile {
    fn problem(&self, line: usize, rule: Rule, message: impl Into<String>) -> Problem {
        Problem { path: PathBuf::from(&self.path), line, message: message.into(), rule }
    }
}

/// Checks the whole workspace at `root`; no problem means a tidy house.
pub(crate) fn check(root: &Path) -> Result<Vec<Problem>> {
    let edges = edges::Table::read(root)?;
    let mut problems = edges::check(root, &edges)?;
    problems.extend(packages::check(root)?);
    let mut paths = Vec::new();
    for top in ["crates", "xtask", "tests", "docs", "README.md"] {
        walk(&root.join(top), &mut paths)?;
    }
    let mut sources = Vec::new();
    for path in paths {
        let name = relative(root, &path);
        if name.ends_with(".safetensors") {
            problems.extend(fixtures::check(root, &name)?);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading `{name}`"))?;
            sources.push(SourceFile { path: name, text });
        }
    }
    let modules = cards::Modules::of(&sources);
    for source in &sources {
        problems.extend(sources::check(source));
        if source.path.ends_with(".rs") {
            problems.extend(cards::check(source, &edges, &modules));
        }
    }
    for file in tables::all(root)?.iter().filter(|file| !file.is_fresh) {
        let (path, message) = (PathBuf::from(&file.path), "it is stale: run `cargo xtask tables`");
        let (message, rule) = (message.to_owned(), Rule::Generated);
        problems.push(Problem { path, line: 0, message, rule });
    }
    problems.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let problems = check(&crate::shell::root()).unwrap();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn every_rule_is_a_heading_of_the_style_guide() {
        let text = fs::read_to_string(crate::shell::root().join("docs/style.md")).unwrap();
        let anchors: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .map(|heading| heading.to_lowercase().replace(' ', "-").replace(['`', ','], ""))
            .collect();
        for rule in Rule::ALL {
            assert!(anchors.iter().any(|anchor| anchor == rule.anchor()), "{rule:?}: {anchors:?}");
        }
    }
}
