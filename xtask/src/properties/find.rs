//! Where properties stand: the functions of `proptest!` blocks in the sources of the crates.
//!
//! Above: `properties`. Below: `files`. Not here: running them.
//! Lines are looked at one by one: a block ends where a brace closes it at the indentation it began with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::files;

/// The properties of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) folder: String,
    pub(super) package: String,
    /// Names of functions, in order of files.
    pub(super) properties: Vec<String>,
}

/// The suites under `root`, or that of the crate in `folder`; an error if there is none.
pub(super) fn suites(root: &Path, folder: Option<&str>) -> Result<Vec<Suite>> {
    let mut paths = Vec::new();
    for top in ["crates", "tests"] {
        files::walk(&root.join(top), &mut paths)?;
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in paths {
        let name = files::relative(root, &path);
        if !name.ends_with(".rs") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{name}`"))?;
        let properties = properties(&text);
        if !properties.is_empty() {
            found.entry(crate_of(&name).to_owned()).or_default().extend(properties);
        }
    }
    if let Some(folder) = folder
        && !found.contains_key(folder)
    {
        let known = found.into_keys().collect::<Vec<_>>().join(", ");
        bail!("no property stands in crates/{folder}; there are some in {known}");
    }
    found.retain(|name, _| folder.is_none_or(|folder| folder == name));
    let suite = |(folder, properties)| {
        let package = format!("taper-{folder}");
        Suite { folder, package, properties }
    };
    Ok(found.into_iter().map(suite).collect())
}

/// The folder of a crate: `kernels` of `crates/kernels/src/lib.rs`, and `tests` of what is in the package `tests`.
fn crate_of(path: &str) -> &str {
    let path = path.strip_prefix("crates/").unwrap_or(path);
    path.split_once('/').map_or(path, |(folder, _)| folder)
}

/// Names of the test functions in the `proptest!` blocks of a source file.
fn properties(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut end, mut is_test) = (None, false);
    for line in text.lines() {
        let code = line.trim_start();
        match &end {
            None if code == "proptest! {" => {
                end = Some(format!("{}}}", &line[..line.len() - code.len()]));
            }
            None => {}
            Some(brace) if line == brace => end = None,
            Some(_) if code == "#[test]" => is_test = true,
            Some(_) => {
                let name = code.strip_prefix("fn ").and_then(|rest| rest.split_once('('));
                if let Some((name, _)) = name.filter(|_| is_test) {
                    names.push(name.to_owned());
                    is_test = false;
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
//! A card.
#[test]
fn an_example() {}

mod tests {
    proptest! {
        #![proptest_config(ProptestConfig::default())]
        /// Always.
        #[test]
        fn first(a in 0..3) {
            fn inner(x: u8) {}
        }

        #[test]
        fn second(
            b: u8,
        ) {}
    }

    #[test]
    fn another_example() {}
}
";

    #[test]
    fn properties_are_told_from_other_tests_and_functions() {
        assert_eq!(properties(SOURCE), ["first", "second"]);
        assert!(properties("//! A card.\nuse proptest::proptest;\n").is_empty());
    }

    #[test]
    fn a_crate_is_found_by_its_folder_and_one_without_properties_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("crates/a/tests/b/main.rs", SOURCE), ("tests/src/lib.rs", "//! C.\n")]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let all = suites(root.path(), None).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].package.as_str(), all[0].properties.len()), ("taper-a", 2));
        assert_eq!(suites(root.path(), Some("a")).unwrap(), all);
        let error = suites(root.path(), Some("tests")).unwrap_err().to_string();
        assert!(error.contains("tests") && error.ends_with("in a"), "{error}");
    }

    #[test]
    fn the_kernels_are_held_to_their_twins() {
        let suites = suites(&crate::shell::root(), Some("kernels")).unwrap();
        assert!(suites[0].properties.iter().any(|name| name == "depthwise_equals_its_twin"));
    }
}
