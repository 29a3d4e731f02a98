//! `taper finetune --find-lr`: a learning rate is looked for, and nothing trained.
//!
//! Above: `finetune`. Below: `taper_recipes::find_lr`, `progress`. Not here: `--lr auto`, which a run does by itself.

use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Args;
use taper_recipes::{FineTuneOptions, LrReport};

use crate::output::Output;
use crate::progress::Progress;
use crate::ranks;

#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub(super) struct FindLrFlags {
    /// Look for a learning rate, draw the curve, and train nothing
    #[arg(long, conflicts_with = "lr")]
    find_lr: bool,
}

impl FindLrFlags {
    /// Whether nothing else is wanted.
    pub(super) fn is_asked(self) -> bool {
        self.find_lr
    }
}

/// Runs the test and says what it has found.
pub(super) fn run(
    options: &FineTuneOptions,
    stop: &AtomicBool,
    output: &Output,
) -> Result<ExitCode> {
    ranks::must_be_alone()?;
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::find_lr(options, stop, &mut progress);
    progress.end();
    let report = report?;
    output.say(format!("picture: {}", report.out.join("lr.html").display()));
    output.say(format!("use it: --lr {}", report.lr));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

/// What was found, in one line.
pub(crate) fn words(report: &LrReport) -> String {
    let LrReport { lr, usual, minimum, valley, steepest, steps, .. } = report;
    let number = |lr: &Option<f64>| lr.map_or_else(|| "none".to_owned(), |lr| lr.to_string());
    let end = report.ended().map_or_else(String::new, |how| format!(", {how}"));
    format!(
        "learning rate: {lr} suggested after {} steps{end} (minimum {}, valley {}, steepest {}, usual {usual})",
        steps.len(),
        number(minimum),
        number(valley),
        number(steepest)
    )
}
