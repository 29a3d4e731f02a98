//! The edge table of `docs/architecture.md` and the manifests that must match it.
//!
//! Above: `tidy`, `cards`. Below: `toml`, `cargo tree`. Not here: why an edge exists (`docs/decisions`).
//! The table has one row a folder: name, level, purpose, the folders it may use, and how it meets candle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Problem, Rule};

const DOCUMENT: &str = "docs/architecture.md";

/// How a crate meets candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candle {
    /// Not in its tree.
    No,
    /// A feature, off by default, over a core that builds without it.
    Face,
    /// A hard dependency on `candle-core`.
    Core,
    /// Hard dependencies on `candle-core` and `candle-nn`.
    CoreAndNn,
    /// Only through the crates it uses.
    Through,
}

#[derive(Debug)]
struct CrateRow {
    uses: BTreeSet<String>,
    candle: Candle,
}

/// The edge table by folder.
#[derive(Debug)]
pub(crate) struct Table {
    rows: BTreeMap<String, CrateRow>,
}

impl Table {
    /// Reads the table from the document under `root`.
    pub(crate) fn read(root: &Path) -> Result<Table> {
        let path = root.join(DOCUMENT);
        let text = fs::read_to_string(&path).with_context(|| format!("reading `{DOCUMENT}`"))?;
        Table::parse(&text)
    }

    pub(super) fn parse(text: &str) -> Result<Table> {
        let lines = text.lines().skip_while(|line| !line.starts_with("| folder | level |"));
        let cells: Vec<Vec<&str>> = lines
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let folders: Vec<&str> = cells.iter().map(|row| row[0]).collect();
        let mut rows = BTreeMap::new();
        for row in &cells {
            let [folder, _, _, uses, candle] = row[..] else {
                bail!("{DOCUMENT}: the row of `{}` has {} columns, not 5", row[0], row.len());
            };
            let uses = match uses {
                "–" => BTreeSet::new(),
                "all libraries" => folders
                    .iter()
                    .filter(|name| ![folder, "taper", "cli", "xtask"].contains(name))
                    .map(ToString::to_string)
                    .collect(),
                _ => uses.split(',').map(|name| name.trim().to_owned()).collect(),
            };
            let candle = match candle {
                "no" => Candle::No,
                "face" => Candle::Face,
                "core" => Candle::Core,
                "core, nn" => Candle::CoreAndNn,
                "–" => Candle::Through,
                _ => bail!("{DOCUMENT}: `{folder}` meets candle by `{candle}`, which is not known"),
            };
            rows.insert(folder.to_owned(), CrateRow { uses, candle });
        }
        if rows.is_empty() {
            bail!("{DOCUMENT} has no table beginning with `| folder | level |`");
        }
        Ok(Table { rows })
    }

    /// Whether `folder` is a crate of the table.
    pub(crate) fn has(&self, folder: &str) -> bool {
        self.rows.contains_key(folder)
    }

    /// Whether `above` may use `below`.
    pub(crate) fn allows(&self, above: &str, below: &str) -> bool {
        self.rows.get(above).is_some_and(|row| row.uses.contains(below))
    }
}

/// Holds every manifest under `crates` and that of `xtask` to the table.
pub(super) fn check(root: &Path, table: &Table) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let crates = root.join("crates");
    let entries = fs::read_dir(&crates).context("reading `crates`")?;
    let mut folders = BTreeSet::from(["xtask".to_owned()]);
    for entry in entries {
        folders.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for folder in table.rows.keys().filter(|name| !folders.contains(*name)) {
        problems.push(problem(DOCUMENT, format!("`{folder}` is in the table and not in `crates`")));
    }
    for folder in &folders {
        let path = match folder.as_str() {
            "xtask" => "xtask/Cargo.toml".to_owned(),
            folder => format!("crates/{folder}/Cargo.toml"),
        };
        let text =
            fs::read_to_string(root.join(&path)).with_context(|| format!("reading `{path}`"))?;
        let manifest: toml::Table =
            toml::from_str(&text).with_context(|| format!("in `{path}`"))?;
        match table.rows.get(folder) {
            Some(row) => manifest_problems(&path, folder, &manifest, row, table, &mut problems),
            None => problems
                .push(problem(&path, format!("`{folder}` is not in the table of {DOCUMENT}"))),
        }
    }
    if tree_of_xtask_has_candle(root)? {
        problems.push(problem("xtask/Cargo.toml", "candle is in the tree of xtask"));
    }
    Ok(problems)
}

fn manifest_problems(
    path: &str,
    folder: &str,
    manifest: &toml::Table,
    row: &CrateRow,
    table: &Table,
    problems: &mut Vec<Problem>,
) {
    for (name, section) in dependencies(manifest) {
        let tested = section == "dev-dependencies";
        if let Some(used) = name.strip_prefix("taper-") {
            let lower = table.has(used) && !table.allows(used, folder);
            if !(row.uses.contains(used) || tested && lower) {
                let message = format!(
                    "`{folder}` may not use `{used}`: the table in {DOCUMENT} has no such edge"
                );
                problems.push(problem(path, message));
            }
        }
        if ["anyhow", "clap", "indicatif"].contains(&name.as_str())
            && !["cli", "xtask"].contains(&folder)
        {
            problems.push(problem(
                path,
                format!("`{name}` belongs to the command line, not to `{folder}`"),
            ));
        }
    }
    let hard = |name: &str| {
        let entry = manifest.get("dependencies").and_then(|table| table.get(name));
        entry.map(|entry| entry.get("optional").and_then(toml::Value::as_bool) != Some(true))
    };
    let fits = match row.candle {
        Candle::No | Candle::Through => (hard("candle-core"), hard("candle-nn")) == (None, None),
        Candle::Face => hard("candle-core") == Some(false) && hard("candle-nn") != Some(true),
        Candle::Core => hard("candle-core") == Some(true) && hard("candle-nn").is_none(),
        Candle::CoreAndNn => hard("candle-core") == Some(true) && hard("candle-nn") == Some(true),
    };
    if !fits {
        let message =
            format!("`{folder}` meets candle otherwise than the table says ({:?})", row.candle);
        problems.push(problem(path, message));
    }
}

/// Names of all dependencies with the section they stand in.
fn dependencies(manifest: &toml::Table) -> Vec<(String, &'static str)> {
    let sections = ["dependencies", "build-dependencies", "dev-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let mut tables = vec![manifest];
    tables
        .extend(targets.into_iter().flat_map(|all| all.values()).filter_map(toml::Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for section in sections {
            let names = table.get(section).and_then(toml::Value::as_table);
            found.extend(
                names
                    .into_iter()
                    .flat_map(|names| names.keys())
                    .map(|name| (name.clone(), section)),
            );
        }
    }
    found
}

/// Asks cargo, because features decide.
fn tree_of_xtask_has_candle(root: &Path) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let args = ["tree", "--package", "xtask", "--edges", "normal,build", "--prefix", "none"];
    let output = Command::new(cargo).args(args).current_dir(root).output();
    let output = output.context("`cargo tree` did not start")?;
    if !output.status.success() {
        bail!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().any(|line| line.starts_with("candle")))
}

fn problem(path: &str, message: impl Into<String>) -> Problem {
    Problem { path: PathBuf::from(path), line: 0, message: message.into(), rule: Rule::Edges }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
| folder | level | what it is | may use | candle |
|---|---|---|---|---|
| graph | 0 | networks | – | no |
| model | 1 | files | graph | no |
| layers | 3 | modules | graph, model | core, nn |
| cli | 8 | binary | all libraries | – |

after";

    #[test]
    fn the_table_says_who_may_use_whom() {
        let table = Table::parse(TEXT).unwrap();
        assert!(table.allows("model", "graph"));
        assert!(!table.allows("graph", "model"));
        assert!(table.allows("cli", "layers"));
        assert!(!table.has("after"));
    }

    #[test]
    fn a_manifest_with_another_edge_is_found() {
        let table = Table::parse(TEXT).unwrap();
        let manifest = toml::from_str("[dependencies]\ntaper-layers.workspace = true\n").unwrap();
        let mut problems = Vec::new();
        let row = &table.rows["model"];
        manifest_problems(
            "crates/model/Cargo.toml",
            "model",
            &manifest,
            row,
            &table,
            &mut problems,
        );
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains("`model` may not use `layers`"));
    }

    #[test]
    fn a_manifest_that_meets_candle_otherwise_is_found() {
        let table = Table::parse(TEXT).unwrap();
        let manifest = toml::from_str("[dependencies]\ncandle-core = \"0.11\"\n").unwrap();
        let mut problems = Vec::new();
        manifest_problems("a", "graph", &manifest, &table.rows["graph"], &table, &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
