//! The card at the head of a library file: who calls it, what it calls, what is elsewhere.
//!
//! Above: `tidy`. Below: `edges`, `sources::{blanked, has_word}`. Not here: that the card is there at all (`sources`).
//! A name in backticks whose first segment is a crate must be an arrow of the edge table, and what a card names below is named in
//! the code of its file.

use std::collections::{HashMap, HashSet};

use super::edges::Table;
use super::sources::{blanked, has_word};
use super::{Problem, Rule, SourceFile};

/// The modules of each crate: a room may have the name of another crate.
pub(super) struct Modules {
    /// As `(crate, module)`, and the names it defines for others.
    items: HashMap<(String, String), HashSet<String>>,
}

impl Modules {
    /// Those of library files.
    pub(super) fn of(sources: &[SourceFile]) -> Self {
        let mut all = Modules { items: HashMap::new() };
        for SourceFile { path, text } in sources {
            let split = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
            let Some((folder, file)) = split.filter(|(_, file)| file.ends_with(".rs")) else {
                continue;
            };
            let stem = file.trim_end_matches(".rs");
            let module = stem.rsplit_once('/').map_or(stem, |(_, module)| module);
            let key = (folder.to_owned(), module.to_owned());
            all.items.entry(key).or_default().extend(items(text));
        }
        all
    }

    fn has(&self, folder: &str, module: &str) -> bool {
        self.items.contains_key(&(folder.to_owned(), module.to_owned()))
    }

    /// Whether the code names something that a module of the crate defines.
    fn is_used(&self, folder: &str, module: &str, code: &str) -> bool {
        let items = self.items.get(&(folder.to_owned(), module.to_owned()));
        items.is_some_and(|items| items.iter().any(|item| has_word(code, item)))
    }
}

/// Names that a file defines for others, methods left out.
fn items(text: &str) -> impl Iterator<Item = String> {
    const KINDS: [&str; 8] =
        ["fn", "struct", "enum", "trait", "type", "const", "static", "macro_rules!"];
    text.lines().filter_map(|line| {
        let is_open = line.starts_with("pub") || line.starts_with("macro_rules!");
        let mut words = line.split([' ', '(', '<', ':', ';', '{']).filter(|word| !word.is_empty());
        let words: Vec<&str> = if is_open { words.by_ref().collect() } else { Vec::new() };
        let kind = words.iter().position(|word| KINDS.contains(word))?;
        // `const fn`: the last word that is a kind stands before the name.
        let kind = kind + words[kind..].iter().take_while(|word| KINDS.contains(word)).count();
        words.get(kind).map(|name| (*name).to_owned())
    })
}

pub(super) fn check(source: &SourceFile, edges: &Table, modules: &Modules) -> Vec<Problem> {
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
    let code = code_of(&source.text);
    for name in unused(&card, folder, &code, edges, modules) {
        let message =
            format!("the card says that this calls `{name}`, and the code does not name it");
        problems.push(source.problem(1, Rule::RoomCard, message));
    }
    problems
}

/// What a file says to the compiler: no comments, no string literals, no unit tests at its end.
fn code_of(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| blanked(line) + "\n").collect()
}

/// Names of the sentence `Below: …` of which the code knows nothing: a crate it does not use, or a module or an item it does not name.
fn unused(card: &str, folder: &str, code: &str, edges: &Table, modules: &Modules) -> Vec<String> {
    let names = names_in(card, "Below:").into_iter().flat_map(expanded);
    let is_unused = |name: &String| {
        let mut segments = name.split("::").filter(|segment| !segment.is_empty());
        let Some(first) = segments.next() else { return false };
        let head = first.trim_start_matches("taper_").trim_start_matches("taper-");
        let last = segments.last();
        let is_own = modules.has(folder, head) && !name.starts_with("taper");
        let is_crate = edges.has(head) && head != folder && !is_own;
        if is_crate && !has_word(code, &format!("taper_{}", head.replace('-', "_"))) {
            return true;
        }
        let item = last.or((!is_crate).then_some(first));
        item.is_some_and(|item| {
            !has_word(code, &item.replace('-', "_")) && !modules.is_used(folder, item, code)
        })
    };
    names.filter(is_unused).collect()
}

/// `a::{b, c}` as `a::b` and `a::c`.
fn expanded(name: &str) -> Vec<String> {
    match name.strip_suffix('}').and_then(|name| name.split_once('{')) {
        Some((path, names)) => {
            names.split(',').map(|name| format!("{path}{}", name.trim())).collect()
        }
        None => vec![name.to_owned()],
    }
}

/// What stands in backticks between `part` and the end of its sentence.
fn names_in<'c>(card: &'c str, part: &str) -> Vec<&'c str> {
    let Some((_, after)) = card.split_once(part) else { return Vec::new() };
    let sentence = after.split(". ").next().unwrap_or(after);
    sentence.split('`').skip(1).step_by(2).collect()
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
    let heads = names_in(card, part).into_iter().filter_map(|name| {
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

    #[test]
    fn a_card_names_below_what_the_code_names() {
        let row = |name: &str, uses: &str| format!("| {name} | 0 | what | {uses} | no |\n");
        let text = format!(
            "| folder | level | what it is | may use | candle |\n|---|---|---|---|---|\n{}{}",
            row("graph", "–"),
            row("model", "graph")
        );
        let edges = Table::parse(&text).unwrap();
        let source = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let modules = Modules::of(&[
            source("crates/model/src/file.rs", "pub(crate) const fn read() {}"),
            source("crates/model/src/card.rs", "fn hidden() {}\npub struct Card<T>(T);"),
        ]);
        let found = |below: &str, code: &str| {
            let card = format!("Above: `x`. Below: {below}. Not here: `y`.");
            unused(&card, "model", &code_of(code), &edges, &modules)
        };
        let code =
            "use taper_graph::Graph;\nmod file;\n// card\n#[cfg(test)]\nmod tests {\nuse x::Op;\n";
        assert!(found("`graph`, `graph::Graph`, `file`, `taper_graph::{Graph}`", code).is_empty());
        assert_eq!(found("`card`, `graph::{Graph, Op}`", code), ["card", "graph::Op"]);
        assert_eq!(found("`graph`, files", "mod file;"), ["graph"]);
        assert_eq!(found("`file`, `card`", "use crate::{Card, hidden};"), ["file"]);
        assert_eq!(found("`file`, `card`", "fn f() { super::read() }"), ["card"]);
        assert!(found("nothing", "").is_empty());
    }
}
