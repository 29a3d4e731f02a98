//! `taper eval`: how well a model names a folder of pictures.
//!
//! Above: `args`. Below: `taper_recipes::evaluate`. Not here: measuring time alone.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::{EvaluateOptions, EvaluateReport, Labels};

use crate::args::{Arch, Shared, TableFlags};
use crate::output::Output;
use crate::progress::Progress;
use crate::{confusion, scores};

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
    /// Folder of pictures: its val if it has one, otherwise all of it; or a table of pictures: .csv, .tsv, .jsonl
    #[arg(long, value_name = "DIR|FILE")]
    data: PathBuf,
    #[command(flatten)]
    table: TableFlags,
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
        table: flags.table.table.clone(),
        columns: flags.table.into_columns(),
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
    if let Some(review) = &report.review {
        output.say(confusion::table(&review.confusion));
        output.say(confusion::mistakes(&review.mistakes, MISTAKES));
        output.say(confusion::by_class(&review.confusion));
    }
    output.say(scores::line(&report.scores));
    output.say(format!(
        "{}loss {:.3}, {} pictures, {} skipped, {:.0} images/s",
        top1(&report),
        report.loss,
        report.images,
        report.skipped,
        report.images_per_second
    ));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// How often the likeliest class is right, and how sure that is.
fn top1(report: &EvaluateReport) -> String {
    match (report.top1, report.top1_interval) {
        (Some(top1), Some([low, high])) => {
            let share = scores::words("top1", top1);
            format!("{share} (95 % interval {:.1}-{:.1}), ", 100.0 * low, 100.0 * high)
        }
        _ => String::new(),
    }
}
