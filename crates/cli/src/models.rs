//! `taper models`: the zoo as a table.
//!
//! Above: `args`. Below: `taper_recipes::find_models`. Not here: the records (`taper_zoo`).

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taper_recipes::{ModelsOptions, ZooModel, find_models};

use crate::args::Shared;
use crate::output::Output;

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper models --weights mobilenet v3 small

Weights that are not here are downloaded when a command names them. Variables: HF_HOME (or HF_HUB_CACHE) and TORCH_HOME say where
they are kept, HF_ENDPOINT where they come from (a mirror of the hub, or file:///folder), HF_HUB_OFFLINE=1 that no network is asked,
HF_TOKEN who asks, SSL_CERT_FILE whom to trust, HTTPS_PROXY and NO_PROXY the way.")]
pub(crate) struct Flags {
    /// Words that must all stand in a name or an alias; case, underscores and hyphens do not matter
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Only networks with published weights
    #[arg(long)]
    weights: bool,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let output = Output::new(flags.shared.json);
    let options = ModelsOptions { query: flags.query.join(" "), weights: flags.weights };
    let models = find_models(&options)?;
    output.say(table(&models));
    output.json(&json!({ "models": models }))?;
    Ok(ExitCode::SUCCESS)
}

/// Each thing that the files are checked against once.
fn checks(model: &ZooModel) -> String {
    let mut checks = model.checks.clone();
    checks.dedup();
    if checks.is_empty() { "–".to_owned() } else { checks.join("; ") }
}

fn table(models: &[ZooModel]) -> String {
    let width = models.iter().map(|model| model.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>8}  {:>8}  {:>5}  {:>6}  {:<14}  {:<4}  {}",
        "name", "params", "MACs", "input", "top-1", "license", "here", "checked against"
    );
    for model in models {
        let top1 =
            model.top1.map_or_else(|| "–".to_owned(), |top1| format!("{:.1} %", 100.0 * top1));
        text.push_str(&format!(
            "\n{:width$}  {:>6.2} M  {:>6.1} M  {:>5}  {top1:>6}  {:<14}  {:<4}  {}",
            model.name,
            model.params as f64 / 1e6,
            model.macs as f64 / 1e6,
            model.input,
            model.license.as_deref().unwrap_or("–"),
            if model.cached { "yes" } else { "no" },
            checks(model)
        ));
        if !model.aliases.is_empty() {
            text.push_str(&format!("\n{:width$}  also: {}", "", model.aliases.join(", ")));
        }
    }
    text
}
