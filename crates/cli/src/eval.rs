//! `taper eval`: how well a model names a folder of pictures.
//!
//! Above: `args`. Below: `taper_recipes::evaluate`. Not here: measuring time alone.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::{EvaluateOptions, EvaluateReport, Labels};

use crate::args::{Arch, Shared, TableFlags, Views};
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
    /// Folder of pictures: its val if it has one, otherwise all of it; a table of pictures: .csv, .tsv, .jsonl; MNIST's or CIFAR's binary
    /// files; tar shards, as webdataset writes them
    #[arg(long, value_name = "DIR|FILE")]
    data: PathBuf,
    #[command(flatten)]
    table: TableFlags,
    /// Folder of pictures of other things: how well are they told from those of --data?
    #[arg(long, value_name = "DIR")]
    others: Option<PathBuf>,
    /// Match the folder's classes with the model's by name, or by their order
    #[arg(long, value_name = "name|order", default_value_t = Labels::Name)]
    labels: Labels,
    /// Pictures a batch
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch_size: usize,
    #[command(flatten)]
    views: Views,
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
        others: flags.others,
        labels: flags.labels,
        batch_size: flags.batch_size,
        image_size: flags.views.image_size,
        tta: flags.views.tta,
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
    output.say(trust(&report));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// How far probabilities can be trusted, and what is told of pictures of other things.
fn trust(report: &EvaluateReport) -> String {
    let mut lines = Vec::new();
    let ece = |name: &str| report.scores.get(name).copied();
    if let (Some(temperature), Some(after), Some(before)) =
        (report.temperature, ece("ece"), ece("ece_before"))
    {
        lines.push(format!(
            "probabilities at the file's temperature {temperature:.3}: calibration error {after:.3}, without it {before:.3}"
        ));
    }
    if let Some(others) = &report.others {
        let area = others.auroc.map_or_else(|| "–".to_owned(), |area| format!("{area:.3}"));
        lines.push(format!(
            "{} pictures of other things: AUROC {area}; {:.1} % of them are called unknown, and {:.1} % of the model's own",
            others.images,
            100.0 * others.unknown,
            100.0 * others.own_unknown
        ));
    }
    lines.join("\n")
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
