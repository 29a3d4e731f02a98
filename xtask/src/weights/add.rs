//! A new record from a repository on the hub: read, checked against the network, hashed, written.
//!
//! Above: `weights`. Below: `add::config`, the zoo, `taper_model`. Not here: downloading (`taper_zoo::hub`).
//! Nothing is believed that can be checked: names and shapes of all tensors, the number of classes, the hash.

mod config;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use taper_model::{KeyMap, Model, Provenance, tensors};
use taper_zoo::{architecture, hub, imagenet, records};

use config::Config;

/// Where lines go, from the root of the workspace.
const TABLE: &str = "crates/zoo/src/record/added.rs";

/// What the hub does not say.
#[derive(Debug)]
pub(super) struct Wish<'a> {
    /// Owner `/` name.
    pub(super) repo: &'a str,
    /// Top-1 on ImageNet's validation set as published, 0 to 1.
    pub(super) top1: f64,
    /// SPDX name, if the configuration has none.
    pub(super) licence: Option<&'a str>,
}

/// Adds a line to the table of the workspace at `root`; `fetch` brings a file of the repository here.
pub(super) fn add(
    root: &Path,
    wish: &Wish<'_>,
    fetch: impl Fn(&str) -> Result<PathBuf>,
) -> Result<String> {
    let config = Config::read(&fetch("config.json")?)?;
    let line = checked(wish, &config, &fetch("model.safetensors")?)?;
    let path = root.join(TABLE);
    let table = fs::read_to_string(&path).with_context(|| format!("reading `{TABLE}`"))?;
    let text = inserted(&table, &line)?;
    taper_files::replace(&path, |file| file.write_all(text.as_bytes()))?;
    Ok(line)
}

/// The line of a file that is what its configuration says.
fn checked(wish: &Wish<'_>, config: &Config, file: &Path) -> Result<String> {
    let name = format!("{}.{}", config.architecture, config.tag);
    if records().iter().any(|record| record.name == name) {
        bail!("`{name}` is known already");
    }
    ensure!(
        (0.0..=1.0).contains(&wish.top1),
        "top-1 is {}, it must be between 0 and 1: 0.75 for 75 %",
        wish.top1
    );
    let Some(licence) = wish.licence.map(str::to_owned).or_else(|| config.licence.clone()) else {
        bail!("the configuration names no licence: look at the repository and give `--licence`");
    };
    ensure!(
        is_plain(wish.repo) && is_plain(&name) && is_plain(&licence),
        "odd characters in `{}`, `{name}` or `{licence}`",
        wish.repo
    );
    let architecture = architecture(&config.architecture)?;
    ensure!(
        architecture.name == config.architecture,
        "`{}` is another name of `{}`",
        config.architecture,
        architecture.name
    );
    let classes = imagenet::classes();
    ensure!(
        config.classes == classes.len(),
        "the weights tell {} classes apart, the zoo's tell {}",
        config.classes,
        classes.len()
    );
    let graph = architecture.graph(classes.len())?;
    let [h, w] = config.preprocess.input_size;
    let macs = taper_cost::macs(&graph, h, w)?.0;
    let (tensors, keymap) = (tensors::read(file)?, KeyMap::identity());
    Model::from_tensors(graph, tensors, &keymap, config.preprocess, classes, Provenance::default())
        .with_context(|| format!("`{}` is no file of `{}`", file.display(), architecture.name))?;
    let sha256 = hub::sha256(file)?;
    Ok(format!(
        "    row!(\"{name}\", [], {h}, {macs}, {:?}, {:?}, {}, {:?}, \"{licence}\", [\n        hub!(\"{}\", \"{sha256}\"),\n    ]),\n",
        config.preprocess.crop_pct,
        config.preprocess.interpolation,
        config.colors,
        wish.top1,
        wish.repo
    ))
}

/// Whether a text can stand in a string literal as it is.
fn is_plain(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    !text.is_empty() && text.len() <= 200 && text.chars().all(is_plain)
}

/// The table with one more line at its end, and the names that lines need.
fn inserted(table: &str, line: &str) -> Result<String> {
    const END: &str = "];\n";
    let Some(lines) = table.strip_suffix(END) else {
        bail!("`{TABLE}` does not end with `];`");
    };
    let lines = lines.replacen(
        "use super::Record;\n",
        "use super::Record;\nuse super::row::{hub, row};\n",
        usize::from(!lines.contains("use super::row::")),
    );
    Ok(format!("{lines}{line}{END}"))
}

#[cfg(test)]
mod tests;
