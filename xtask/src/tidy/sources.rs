//! Rules about the text of a file: its first line, its size, its name, its words, its tests.
//!
//! Above: `tidy`, `cards`. Below: nothing. Not here: what a card says (`cards`).
//! Lines are looked at one by one, with string literals and comments blanked; no parser. It can be fooled by a string
//! over several lines, and then the string should be written otherwise.

use super::{Problem, Rule, SourceFile};

/// Longest file, in lines.
const BUDGET: usize = 500;

/// Files over the budget, with the lines they may have. This list may only shrink.
const EXCEPTIONS: &[(&str, usize)] = &[];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "base", "common", "helpers"];

/// Words that do not stand in code, and what to write.
const WORDS: [(&str, &str); 4] = [
    ("epsilon", "`eps`"),
    ("bsize", "`batch` or `n`"),
    ("gpu_id", "`rank` or `device`"),
    ("inp", "`xs` or what it is"),
];

pub(super) fn check(source: &SourceFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    if source.path.ends_with(".rs") {
        first_line(source, &mut problems);
        budget(source, &mut problems);
        name(source, &mut problems);
        code_lines(source, &mut problems);
        properties(source, &mut problems);
    }
    examples(source, &mut problems);
    problems
}

fn first_line(source: &SourceFile, problems: &mut Vec<Problem>) {
    if !source.text.starts_with("//! ") {
        problems.push(source.problem(1, Rule::RoomCard, "the file does not begin with `//! `"));
    }
}

fn budget(source: &SourceFile, problems: &mut Vec<Problem>) {
    let lines = source.text.lines().count();
    let exception = EXCEPTIONS.iter().find(|(path, _)| *path == source.path);
    let allowed = exception.map_or(BUDGET, |(_, lines)| *lines);
    if lines > allowed {
        let message =
            format!("{lines} lines, {allowed} are allowed: split it by what changes together");
        problems.push(source.problem(0, Rule::FileBudget, message));
    } else if exception.is_some() && lines <= BUDGET {
        let message = "the file is within the budget again: delete its exception in xtask/src/tidy/sources.rs";
        problems.push(source.problem(0, Rule::FileBudget, message));
    }
}

fn name(source: &SourceFile, problems: &mut Vec<Problem>) {
    let stem = source.path.trim_end_matches(".rs");
    for part in stem.split('/').filter(|part| EMPTY_NAMES.contains(part)) {
        let message = format!("`{part}` says nothing about what is inside");
        problems.push(source.problem(0, Rule::Names, message));
    }
    if stem.ends_with("/mod") {
        let message = "a module `foo` is `foo.rs` and `foo/`, not `foo/mod.rs`";
        problems.push(source.problem(0, Rule::Names, message));
    }
}

fn code_lines(source: &SourceFile, problems: &mut Vec<Problem>) {
    let may_be_unsafe = source.path.starts_with("crates/kernels/src/");
    for (number, line) in (1..).zip(source.text.lines()) {
        let code = blanked(line);
        if !may_be_unsafe && has_word(&code, "unsafe") {
            problems.push(source.problem(
                number,
                Rule::Unsafe,
                "`unsafe` outside of crates/kernels/src",
            ));
        }
        for attribute in ["ignore", "should_panic"] {
            if code.trim_start().starts_with("#[") && has_word(&code, attribute) {
                let message = format!("a test is marked `{attribute}`");
                problems.push(source.problem(number, Rule::Tests, message));
            }
        }
        for (word, instead) in WORDS {
            if has_word(&code, word) {
                let message = format!("`{word}`: write {instead}");
                problems.push(source.problem(number, Rule::Words, message));
            }
        }
        for mark in ["TODO", "FIXME", "XXX"] {
            if has_word(line, mark) && !line.contains(&format!("\"{mark}\"")) {
                let message = format!("`{mark}`: finish it or open an issue");
                problems.push(source.problem(number, Rule::Words, message));
            }
        }
    }
}

/// Properties keep their counter-examples, where proptest finds the place, and have as many cases as they are asked for.
fn properties(source: &SourceFile, problems: &mut Vec<Problem>) {
    let parts: Vec<&str> = source.path.split('/').collect();
    let stands_alone = matches!(parts[..], ["crates", _, "tests", _]);
    for (number, line) in (1..).zip(source.text.lines()) {
        let code = blanked(line);
        let counts = ["with_cases(", " cases:"].iter().any(|mark| {
            let rest = code.split_once(mark).map(|(_, rest)| rest.trim_start());
            rest.is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
        });
        let message = if has_word(&code, "failure_persistence") {
            "a property keeps its counter-examples: leave `failure_persistence` as it is"
        } else if code.contains("ProptestConfig") && counts {
            "a property has a share of the case count, not a number"
        } else if stands_alone && code.trim() == "proptest! {" {
            "properties among integration tests stand in a folder with a `main.rs`, beside which counter-examples are kept"
        } else {
            continue;
        };
        problems.push(source.problem(number, Rule::Tests, message));
    }
}

/// Examples in documentation run: no code fence opts out.
fn examples(source: &SourceFile, problems: &mut Vec<Problem>) {
    for (number, line) in (1..).zip(source.text.lines()) {
        let line = line.trim_start();
        let line = line.trim_start_matches("//!").trim_start_matches("///").trim_start();
        let Some(language) = line.strip_prefix("```") else { continue };
        for word in language.split(',').map(str::trim) {
            if ["ignore", "no_run", "should_panic", "compile_fail"].contains(&word) {
                let message = format!("an example is marked `{word}` and does not run");
                problems.push(source.problem(number, Rule::Tests, message));
            }
        }
    }
}

/// `line` without its comment and without what stands in string literals.
pub(super) fn blanked(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut in_string = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' if in_string => {
                chars.next();
            }
            '"' => in_string = !in_string,
            _ if in_string => {}
            '\'' if chars.peek() == Some(&'"') => {
                chars.next(); // the character literal '"'
            }
            '/' if chars.peek() == Some(&'/') => break,
            _ => code.push(char),
        }
    }
    code
}

/// Whether `word` stands in `text` as an identifier of its own.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || char == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(path: &str, text: &str) -> Vec<Rule> {
        let source = SourceFile { path: path.into(), text: text.into() };
        check(&source).iter().map(|problem| problem.rule).collect()
    }

    #[test]
    fn a_file_without_a_card_is_found() {
        assert_eq!(rules("crates/graph/src/op.rs", "use std::fmt;\n"), [Rule::RoomCard]);
        assert_eq!(rules("crates/graph/src/op.rs", "//! Operations.\n"), []);
    }

    #[test]
    fn unsafe_is_found_in_code_and_not_in_words_about_it() {
        let text = "//! A card.\nunsafe { f() }\n// unsafe\nlet s = \"unsafe\"; // unsafe\n";
        assert_eq!(rules("crates/engine/src/a.rs", text), [Rule::Unsafe]);
        assert_eq!(rules("crates/kernels/src/a.rs", text), []);
    }

    #[test]
    fn tests_and_examples_that_do_not_run_are_found() {
        let text = concat!("//! A card.\n#[", "ignore]\n/// ```", "no_run\n#[should", "_panic]\n");
        assert_eq!(rules("crates/zoo/src/a.rs", text), [Rule::Tests, Rule::Tests, Rule::Tests]);
        assert_eq!(rules("README.md", concat!("```rust,", "ignore\n")), [Rule::Tests]);
    }

    #[test]
    fn properties_that_forget_or_count_for_themselves_are_found() {
        let config = |fields: &str| format!("//! A card.\n#![c(ProptestConfig {{ {fields} }})]\n");
        let path = "crates/zoo/src/a.rs";
        assert_eq!(rules(path, &config("failure_persistence: None, ..d()")), [Rule::Tests]);
        assert_eq!(rules(path, &config("cases: 64, ..d()")), [Rule::Tests]);
        assert_eq!(rules(path, "//! A card.\nProptestConfig::with_cases(9)\n"), [Rule::Tests]);
        assert_eq!(rules(path, "//! A card.\nProptestConfig::with_cases(d().cases / 2)\n"), []);
        let block = "//! A card.\nproptest! {\n}\n";
        assert_eq!(rules("crates/zoo/tests/a.rs", block), [Rule::Tests]);
        assert_eq!(rules("crates/zoo/tests/a/main.rs", block), []);
    }

    #[test]
    fn empty_names_and_long_files_are_found() {
        assert_eq!(rules("crates/zoo/src/utils.rs", "//! A card.\n"), [Rule::Names]);
        assert_eq!(rules("crates/zoo/src/a/mod.rs", "//! A card.\n"), [Rule::Names]);
        let long = format!("//! A card.\n{}", "\n".repeat(BUDGET));
        assert_eq!(rules("crates/zoo/src/a.rs", &long), [Rule::FileBudget]);
    }

    #[test]
    fn words_are_found_as_identifiers_only() {
        assert_eq!(rules("xtask/src/a.rs", "//! A card.\nlet epsilon = 1;\n"), [Rule::Words]);
        assert_eq!(rules("xtask/src/a.rs", "//! A card.\nlet input = 1; // epsilon\n"), []);
    }
}
