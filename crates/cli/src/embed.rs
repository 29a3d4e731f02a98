//! `taper embed`: features of a folder of pictures as a file.
//!
//! Above: `args`. Below: `taper_recipes::embed`. Not here: comparing them (`similar`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use taper_recipes::EmbedOptions;

use crate::args::{Arch, Shared};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

fn defaults() -> EmbedOptions {
    EmbedOptions::new("", "")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper embed --data photos/ --out features.safetensors

A row for each picture, in the order of classes and names. The file's extension says the format: .safetensors (the tensor
`features`, with `paths` and `classes` in the metadata), .npy (with a table of paths and classes beside it), or .csv.")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE", default_value_t = defaults().model)]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Folder of pictures, in classes or not
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// File for the features: .safetensors, .npy or .csv; one that is there is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Pictures a batch
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size)]
    batch_size: usize,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = EmbedOptions {
        model: flags.arch.of(flags.model),
        batch_size: flags.batch_size,
        threads: flags.shared.threads,
        ..EmbedOptions::new(flags.data, flags.out)
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::embed(&options, &stop, &mut progress);
    progress.end();
    let report = report?;
    let beside = report.paths.as_ref();
    let beside = beside.map_or_else(String::new, |paths| format!(", paths in {}", paths.display()));
    output.say(format!(
        "{}: {} pictures, {} features each{beside}; {} skipped, {:.0} images/s",
        report.out.display(),
        report.images,
        report.features,
        report.skipped,
        report.images_per_second
    ));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}
