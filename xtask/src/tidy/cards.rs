//! The card at the head of a library file: who calls it, what it calls, what is elsewhere.
//!
//! Above: `tidy`. Below: `edges`. Not here: that the card is there at all (`sources`).
//! A name in backticks whose first segment is a crate must be an arrow of the edge table.

use std::collections::HashSet;

use super::edges::Table;
use super::{Problem, Rule, Source};

/// The modules of each crate, as `(crate, module)`: a room may have the name of another crate.
pub(super) struct Modules(HashSet<(String, String)>);

impl Modules {
    /// The top modules of library files.
    pub(super) fn of(paths: impl Iterator<Item = String>) -> Self {
        let split = |path: String| {
            let (folder, file) = path.strip_prefix("crates/")?.split_once("/src/")?;
            let module = file.split('/').next()?.trim_end_matches(".rs");
            Some((folder.to_owned(), module.to_owned()))
        };
        Modules(paths.filter_map(split).collect())
    }

    fn has(&self, folder: &str, module: &str) -> bool {
        self.0.contains(&(folder.to_owned(), module.to_owned()))
    }
}

pub(super) fn check(source: &Source, edges: &Table, modules: &Modules) -> Vec<Problem> {
    let Some(folder) = library(&source.path) else { return Vec::new() };
    let card: String = source
        .text
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .map(|line| format!("{} ", line.trim_start_matches("//!").trim()))
        .collect();
    let mut problems = Vec::new();
    for part in ["Above:", "Below:", "Not here:"] {
        if !card.contains(part) {
            problems.push(source.problem(1, Rule::RoomCard, format!("the card has no `{part}`")));
        }
    }
    let is_own = |name: &&str| modules.has(folder, name);
    let others =
        |part| crates_in(&card, part, folder, edges).into_iter().filter(|name| !is_own(name));
    for name in others("Above:") {
        if !edges.allows(name, folder) {
            let message =
                format!("the card says that `{name}` calls this, and the table has no such edge");
            problems.push(source.problem(1, Rule::RoomCard, message));
        }
    }
    for name in others("Below:") {
        if !edges.allows(folder, name) {
            let message =
                format!("the card says that this calls `{name}`, and the table has no such edge");
            problems.push(source.problem(1, Rule::RoomCard, message));
        }
    }
    problems
}

/// The crate of a library file; `None` for roots (`lib.rs`, `main.rs`) and for tests.
fn library(path: &str) -> Option<&str> {
    let (folder, file) = path.strip_prefix("crates/")?.split_once("/src/")?;
    let is_root = file == "lib.rs" || file == "main.rs";
    let is_test = file.ends_with("tests.rs") || file.contains("tests/");
    (!is_root && !is_test).then_some(folder)
}

/// Other crates named in backticks between `part` and the end of its sentence, as `taper-x`, `taper_x` or `x::…`.
fn crates_in<'c>(card: &'c str, part: &str, folder: &str, edges: &Table) -> Vec<&'c str> {
    let Some((_, after)) = card.split_once(part) else { return Vec::new() };
    let sentence = after.split(". ").next().unwrap_or(after);
    let names = sentence.split('`').skip(1).step_by(2);
    let heads = names.filter_map(|name| {
        let stripped = name.strip_prefix("taper_").or_else(|| name.strip_prefix("taper-"));
        let head = stripped.unwrap_or(name).split("::").next()?;
        let is_path = stripped.is_some() || name.contains("::");
        (is_path && edges.has(head) && head != folder).then_some(head)
    });
    heads.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_and_tests_need_no_neighbors() {
        assert_eq!(library("crates/graph/src/op.rs"), Some("graph"));
        assert_eq!(library("crates/graph/src/lib.rs"), None);
        assert_eq!(library("crates/graph/src/op/tests.rs"), None);
        assert_eq!(library("xtask/src/ci.rs"), None);
    }
}
