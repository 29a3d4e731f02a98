//! `cargo xtask tables`: the zoo as tables in README.md and docs/models.md, and as a picture; each crate's README.
//!
//! Above: `main`, `tidy`. Below: `chart`, `readme`, `marked`, the zoo's registry and records. Not here: counting (the zoo's
//! tests compare every number of the records with what `taper-cost` counts).

mod chart;
mod readme;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use taper_cost::{Macs, Params};
use taper_zoo::{Architecture, Family, Record, families, record, records};

use crate::{marked, shell};

/// In README.md: of each size the one to begin with.
const BEGIN_WITH: [&str; 12] = [
    "mobilenetv3_small_100",
    "mobilenetv4_conv_small",
    "mobilenetv2_100",
    "mobilenetv3_large_100",
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "repvit_m1_0",
    "mobilenetv4_conv_medium",
    "tf_efficientnetv2_b3",
    "resnet50.tv2_in1k",
    "efficientnet_b4",
    "tf_efficientnetv2_s.in21k_ft_in1k",
];

/// A picture of all networks.
const CHART: &str = "docs/images/models.svg";

/// A file and what it must say.
#[derive(Debug)]
pub(crate) struct Generated {
    /// From the root of the workspace.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Whether it says so already.
    pub(crate) is_fresh: bool,
}

/// Writes what is stale.
pub(crate) fn write() -> Result<()> {
    let root = shell::root();
    for Generated { path, text, .. } in all(&root)?.iter().filter(|file| !file.is_fresh) {
        taper_files::replace(root.join(path), |file| file.write_all(text.as_bytes()))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// All files with something generated from the zoo, or from the documentation of crates.
pub(crate) fn all(root: &Path) -> Result<Vec<Generated>> {
    let read = |path: &str| {
        fs::read_to_string(root.join(path)).with_context(|| format!("reading `{path}`"))
    };
    let page = |path: &str, body: &str| {
        let old = read(path)?;
        let text = marked::replaced(&old, "tables", "models", body);
        let text = text.with_context(|| format!("in `{path}`"))?;
        anyhow::Ok(Generated { path: path.to_owned(), is_fresh: text == old, text })
    };
    let whole = |path: String, text: String| {
        let is_fresh = root.join(&path).is_file() && read(&path)? == text;
        anyhow::Ok(Generated { path, text, is_fresh })
    };
    let mut all = vec![
        page("README.md", &short()?)?,
        page("docs/models.md", &families().iter().map(section).collect::<Vec<_>>().join("\n"))?,
        whole(CHART.to_owned(), chart::svg(&chart::dots()))?,
    ];
    for folder in readme::folders(root)? {
        all.push(whole(format!("crates/{folder}/README.md"), readme::text(root, &folder)?)?);
    }
    Ok(all)
}

const HEAD: &str = "| name | parameters | MACs | input | top-1 | license | checked against |\n\
                    |---|--:|--:|--:|--:|---|---|\n";

fn short() -> Result<String> {
    let rows = BEGIN_WITH.iter().map(|name| anyhow::Ok(row_of(record(name)?)?));
    Ok(HEAD.to_owned() + &rows.collect::<Result<String>>()?)
}

/// A family's heading and table: every set of weights, the default of its network first.
fn section(family: &Family) -> String {
    let rows = family.architectures.iter().map(|architecture| {
        let of = |record: &&Record| record.architecture_name() == architecture.name;
        let published: Vec<&Record> = records().iter().filter(of).collect();
        match published.is_empty() {
            true => bare(architecture),
            false => published.iter().map(|record| row(record, architecture)).collect(),
        }
    });
    format!("## {}\n\n{HEAD}{}", family.name, rows.collect::<String>())
}

fn row_of(record: &Record) -> Result<String> {
    Ok(row(record, record.architecture()?))
}

fn row(record: &Record, architecture: &Architecture) -> String {
    let (params, macs) = (Params(architecture.params), Macs(record.macs));
    let Record { name, preprocess, top1, licence, .. } = record;
    let size = preprocess.input_size[0];
    let (top1, check) = (100.0 * top1, checks(record));
    format!("| `{name}` | {params} | {macs} | {size} | {top1:.1} % | {licence} | {check} |\n")
}

fn bare(architecture: &Architecture) -> String {
    let (params, macs) = (Params(architecture.params), Macs(architecture.macs));
    let Architecture { name, input_size, .. } = architecture;
    format!("| `{name}` | {params} | {macs} | {input_size} | – | – | – |\n")
}

/// What its files are checked against, in the order in which they are tried.
fn checks(record: &Record) -> String {
    let mut checks: Vec<String> =
        record.sources.iter().map(|source| source.check().to_string()).collect();
    checks.dedup();
    checks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_weights_and_every_network_has_a_line() {
        let text: String = families().iter().map(section).collect();
        for record in records() {
            assert!(text.contains(&format!("| `{}` |", record.name)), "{}", record.name);
        }
        let without = text.lines().filter(|line| line.ends_with("| – | – | – |")).count();
        let networks: usize = families().iter().map(|family| family.architectures.len()).sum();
        let lines = text.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(lines, records().len() + without);
        assert!(without < networks);
    }

    #[test]
    fn the_first_lines_are_the_defaults() {
        let text = short().unwrap();
        assert!(text.contains(
            "| `mobilenetv2_100.tv_in1k` | 3.50 M | 301 M | 224 | 71.9 % | BSD-3-Clause | sha256 |\n"
        ));
        assert_eq!(text.lines().count(), 2 + BEGIN_WITH.len());
    }
}
