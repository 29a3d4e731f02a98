//! The README of each crate: what its first page of documentation says, for those who see the package alone.
//!
//! Above: `tables`. Below: the files of the crates. Not here: the README of the workspace, which people write.
//! Left out are the crate's place among the others and lines of examples that rustdoc hides; links into the documentation become plain names.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Files that every crate has, beside those with the notices of others.
const OURS: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The crates' folders, in order of name.
pub(super) fn folders(root: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(root.join("crates")).context("reading `crates`")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

/// The text of a crate's README.
pub(super) fn text(root: &Path, folder: &str) -> Result<String> {
    let place = root.join("crates").join(folder);
    let page = ["src/lib.rs", "src/main.rs"].map(|file| place.join(file));
    let page = page.iter().find(|path| path.is_file());
    let page = page.with_context(|| format!("`crates/{folder}` has no page"))?;
    let source = fs::read_to_string(page).with_context(|| format!("reading {}", page.display()))?;
    let name = if folder == "taper" { folder.to_owned() } else { format!("taper-{folder}") };
    let mut text = format!("# {name}\n\n{}\n", body(&source));
    text.push_str("\nOne of the crates of Taper: efficient convolutional networks in Rust.\n");
    text.push_str("\n## License\n\nMIT or Apache-2.0, at your choice.");
    let notices = notices(&place)?;
    if !notices.is_empty() {
        let list: Vec<String> = notices.iter().map(|file| format!("`{file}`")).collect();
        write!(
            text,
            " What is others' in this package has a notice of its own: {}.",
            list.join(", ")
        )?;
    }
    text.push('\n');
    Ok(text)
}

/// Files of a crate's folder with the terms of others.
fn notices(place: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).with_context(|| format!("reading {}", place.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let is_notice = name.starts_with("LICENSE") || name.starts_with("NOTICE");
        found.extend((is_notice && !OURS.contains(&name.as_str())).then_some(name));
    }
    found.sort();
    Ok(found)
}

/// The documentation at the head of a source file, as a page of its own.
fn body(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let (mut kept, mut is_code, mut is_place) = (Vec::new(), false, false);
    for line in lines {
        if let Some(language) = line.strip_prefix("```") {
            is_code = !is_code;
            let is_rust = is_code && language.is_empty();
            kept.push(if is_rust { "```rust".to_owned() } else { line.to_owned() });
            continue;
        }
        if is_code {
            kept.extend((line != "#" && !line.starts_with("# ")).then(|| line.to_owned()));
            continue;
        }
        if is_place || line.starts_with("Above: ") {
            // Its last sentence ends with a line.
            is_place = !line.ends_with('.');
            continue;
        }
        if line.is_empty() && kept.last().is_some_and(String::is_empty) {
            continue;
        }
        kept.push(if line.starts_with('#') { format!("#{line}") } else { without_links(line) });
    }
    kept.join("\n").trim_end().to_owned()
}

/// A line without links to items: a name in backticks and brackets becomes the name.
fn without_links(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`]") else { break };
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        text.push_str(before);
        rest = match target {
            Some((link, _)) if link.contains("://") => {
                let _ = write!(text, "[`{name}`]");
                after
            }
            Some((_, after)) => {
                let _ = write!(text, "`{name}`");
                after
            }
            None => {
                let _ = write!(text, "`{name}`");
                after
            }
        };
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_documentation_stands_alone() {
        let source = "//! Does it.\n//!\n//! Above: `x`. Below: `y`\n//! and `z`.\n//! A [`Thing`] as [`other`](crate::other).\n//!\n\
                      //! # Terms\n//! ```\n//! # fn main() {\n//! thing();\n//! #[derive(Debug)]\n//! # }\n//! ```\n//! [`Far`](https://a.b)\n\nmod x;\n";
        let expected = "Does it.\n\nA `Thing` as `other`.\n\n## Terms\n```rust\nthing();\n#[derive(Debug)]\n```\n[`Far`](https://a.b)";
        assert_eq!(body(source), expected);
    }
}
