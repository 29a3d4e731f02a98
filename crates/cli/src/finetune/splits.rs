//! `taper finetune --folds K` and `--splits N`: one recipe on several splits of the pictures.
//!
//! Above: `finetune`. Below: `taper_recipes::fine_tune_splits`, `progress`, `scores`. Not here: a single run (`finetune`).

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Args;
use taper_recipes::{
    FineTuneOptions, MeanScore, Splits, SplitsCalibration, SplitsReport, shell_quoted,
};

use crate::output::Output;
use crate::progress::Progress;
use crate::{ranks, scores, signals};

#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub(super) struct SplitFlags {
    /// Cross-validation: divide all pictures into K folds, train K times, and say the mean with its interval
    #[arg(long, value_name = "K", conflicts_with_all = ["splits", "find_lr"])]
    folds: Option<usize>,
    /// Train on N random splits of all pictures, by --val-fraction, and say the mean with its interval
    #[arg(long, value_name = "N", conflicts_with = "find_lr")]
    splits: Option<usize>,
}

impl SplitFlags {
    /// What is asked for, if it is.
    pub(super) fn splits(self) -> Option<Splits> {
        self.folds.map(Splits::Folds).or(self.splits.map(Splits::Random))
    }
}

/// Begins, and says what came of it.
pub(super) fn run(
    splits: Splits,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    output: &Output,
) -> Result<ExitCode> {
    ranks::must_be_alone()?;
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::fine_tune_splits(splits, options, stop, &mut progress);
    progress.end();
    say(&report?, output)
}

/// Goes on.
pub(super) fn resume(folder: &Path, stop: &AtomicBool, output: &Output) -> Result<ExitCode> {
    ranks::must_be_alone()?;
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::resume_splits(folder, stop, &mut progress);
    progress.end();
    say(&report?, output)
}

fn say(report: &SplitsReport, output: &Output) -> Result<ExitCode> {
    if report.stopped {
        let run = shell_quoted(&report.out.display().to_string());
        output
            .say(format!("stopped; everything is saved. To go on: taper finetune --resume {run}"));
        output.json(report)?;
        return Ok(ExitCode::from(signals::STOPPED));
    }
    for run in &report.runs {
        let [train, val] = run.images;
        let line = scores::line(&run.scores);
        output.say(format!("split {}: {train} and {val} pictures: {line}", run.number));
    }
    for (name, MeanScore { mean, std, interval: [low, high] }) in &report.scores {
        let [low, high] = [low, high].map(|bound| scores::value(name, *bound));
        let spread = scores::value(name, *std);
        let mean = scores::words(name, *mean);
        output
            .say(format!("{mean} on average (95 % interval {low} to {high}, deviation {spread})"));
    }
    if let Some(SplitsCalibration { ece, ece_by_chance, images }) = report.calibration {
        output.say(format!(
            "calibration error {ece:.3} over {images} held-out pictures (cross-fitted; {ece_by_chance:.3} by chance)"
        ));
    }
    if let Some(page) = &report.page {
        output.say(format!("report: {}", page.display()));
    }
    output.say(format!("runs: {}", report.out.display()));
    output.json(report)?;
    Ok(ExitCode::SUCCESS)
}
