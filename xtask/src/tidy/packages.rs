//! Rules about what a crate's package must bring, for those who see nothing but the package.
//!
//! Above: `tidy`. Below: `toml`. Not here: packing (`packages`), what stands in a README (`tables`).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Problem, Rule};

/// Keys of `[package]` that every crate has, its own or the workspace's.
const KEYS: [&str; 8] = [
    "description",
    "license",
    "repository",
    "rust-version",
    "readme",
    "keywords",
    "categories",
    "edition",
];

/// Files that are the same in every package, as at the root.
const LICENSES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Looks at every folder of `crates`.
pub(super) fn check(root: &Path) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for entry in fs::read_dir(root.join("crates")).context("reading `crates`")? {
        let folder = format!("crates/{}", entry?.file_name().to_string_lossy());
        let path = format!("{folder}/Cargo.toml");
        let text =
            fs::read_to_string(root.join(&path)).with_context(|| format!("reading `{path}`"))?;
        let manifest: toml::Table =
            toml::from_str(&text).with_context(|| format!("in `{path}`"))?;
        let missing = missing_keys(&manifest).into_iter();
        problems.extend(
            missing.map(|key| problem(&path, format!("`[package]` says nothing about `{key}`"))),
        );
        for license in LICENSES {
            let same = |path: &str| fs::read(root.join(path)).ok();
            let copy = format!("{folder}/{license}");
            if same(&copy).is_none() || same(&copy) != same(license) {
                problems.push(problem(&copy, "it is not what the root has".to_owned()));
            }
        }
    }
    Ok(problems)
}

fn missing_keys(manifest: &toml::Table) -> Vec<&'static str> {
    let package = manifest.get("package").and_then(toml::Value::as_table);
    let has = |key: &&str| package.is_some_and(|package| package.contains_key(*key));
    KEYS.into_iter().filter(|key| !has(key)).collect()
}

fn problem(path: &str, message: String) -> Problem {
    Problem { path: PathBuf::from(path), line: 0, message, rule: Rule::Packages }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_keywords_is_found() {
        let text = "[package]\ndescription = \"\"\nlicense.workspace = true\nrepository.workspace = true\n\
                    rust-version.workspace = true\nreadme = \"README.md\"\ncategories = []\nedition = \"2024\"\n";
        assert_eq!(missing_keys(&toml::from_str(text).unwrap()), ["keywords"]);
        assert_eq!(missing_keys(&toml::Table::new()), KEYS);
    }
}
