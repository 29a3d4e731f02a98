//! `taper eval`: how well a model names a folder of pictures.
//!
//! Above: `args`. Below: `taper_recipes::evaluate`. Not here: measuring time alone.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::{EvaluateOptions, Labels};

use crate::args::{Arch, Shared};
use crate::confusion;
use crate::output::Output;
use crate::progress::Progress;

/// Mistakes shown.
const MISTAKES: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = "Example: taper eval --model my-model/model.safetensors --data photos/")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Folder of pictures: its val if it has one, otherwise all of it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Match the folder's classes with the model's by name, or by their order
    #[arg(long, value_name = "name|order", default_value_t = Labels::Name)]
    labels: Labels,
    /// Pictures a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    /// Refuse a folder with files that are no pictures, instead of skipping them
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let output = Output::new(flags.shared.json);
    let options = EvaluateOptions {
        labels: flags.labels,
        batch_size: flags.batch_size,
        strict: flags.strict,
        threads: flags.shared.threads,
        ..EvaluateOptions::new(flags.arch.of(flags.model), flags.data)
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::evaluate(&options, &mut progress);
    progress.end();
    let report = report?;
    output.say(confusion::table(&report.review.confusion));
    output.say(confusion::mistakes(&report.review.mistakes, MISTAKES));
    output.say(format!(
        "top-1 {:.1} %, top-5 {:.1} %, {} pictures, {} skipped, {:.0} images/s",
        100.0 * report.top1,
        100.0 * report.top5,
        report.images,
        report.skipped,
        report.images_per_second
    ));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}
