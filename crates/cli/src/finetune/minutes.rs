//! `taper finetune --minutes M`: what fits is picked and said.
//!
//! Above: `finetune`. Below: `taper_recipes::fit_minutes`. Not here: a run that ends when time is up (`--max-minutes`).

use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;
use taper_recipes::{FineTuneOptions, FittedRun, Group};

use crate::output::Output;

/// What fits into so many minutes, if that is asked for.
pub(super) fn fitted(
    minutes: Option<f64>,
    options: FineTuneOptions,
    (matches, output): (&ArgMatches, &Output),
    group: &Group,
) -> Result<FineTuneOptions> {
    let Some(minutes) = minutes else { return Ok(options) };
    anyhow::ensure!(
        group.is_alone(),
        "--minutes times steps of one process, and this job has {}: give --model, --image-size and --epochs, and --max-minutes {minutes} to end it",
        group.size()
    );
    let is_said = |field: &str| matches.value_source(field) == Some(ValueSource::CommandLine);
    let (options, run) = taper_recipes::fit_minutes(minutes, &options, &is_said)?;
    let FittedRun { model, image_size, epochs, seconds } = run;
    output.say(format!(
        "{minutes} minutes: {model} at {image_size}x{image_size} pixels for {epochs} epochs, which should take {:.1}",
        seconds / 60.0
    ));
    Ok(options)
}
