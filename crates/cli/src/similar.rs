//! `taper similar`: the pictures of a folder that are most similar to one.
//!
//! Above: `args`. Below: `taper_recipes::similar`. Not here: writing features (`embed`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use taper_recipes::{SimilarOptions, SimilarReport};

use crate::args::{Arch, Shared};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

fn defaults() -> SimilarOptions {
    SimilarOptions::new("", "")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper similar bee.jpg --in photos/ --top 10

Many questions about one folder: `taper embed --data photos/ --out photos.safetensors` once, then --in photos.safetensors.

With --json: {\"image\",\"neighbors\":[{\"path\",\"class\",\"similarity\"}…],\"images\",\"skipped\",\"skipped_files\"}")]
pub(crate) struct Flags {
    /// The picture
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Folder of pictures, in classes or not, or a .safetensors file that `taper embed` wrote with the same model
    #[arg(long = "in", value_name = "DIR|FILE")]
    within: PathBuf,
    /// How many to name
    #[arg(long, value_name = "K", default_value_t = defaults().top)]
    top: usize,
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE", default_value_t = defaults().model)]
    model: String,
    #[command(flatten)]
    arch: Arch,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = SimilarOptions {
        model: flags.arch.of(flags.model),
        top: flags.top,
        threads: flags.shared.threads,
        ..SimilarOptions::new(flags.image, flags.within)
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::similar(&options, &stop, &mut progress);
    progress.end();
    let report = report?;
    output.say(words(&report));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn words(report: &SimilarReport) -> String {
    let mut lines = vec![format!("{}, among {} pictures", report.image.display(), report.images)];
    for neighbor in &report.neighbors {
        let class = neighbor.class.as_ref().map_or(String::new(), |class| format!("  {class}"));
        lines.push(format!("  {:.3}  {}{class}", neighbor.similarity, neighbor.path.display()));
    }
    lines.join("\n")
}
