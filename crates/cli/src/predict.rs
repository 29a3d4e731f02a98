//! `taper predict`: what pictures show.
//!
//! Above: `args`. Below: `taper_recipes::predict_observed`. Not here: comparing with the truth (`eval`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::{ArgGroup, Args};
use taper_recipes::{PredictOptions, Prediction};

use crate::args::{Arch, Shared, TableFlags, Views};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("pictures").args(["images", "data"]).required(true).multiple(true))]
#[command(after_help = "\
Examples: taper predict --model my-model/model.safetensors --top 3 picture.jpg
          taper predict --model my-model/model.safetensors --data photos.csv --json

With --json, each picture is one line {\"image\",\"predictions\":[{\"class\",\"index\",\"probability\"}…]},
of a model that predicts numbers {\"image\",\"predictions\":[],\"numbers\":[{\"name\",\"value\"}…]},
with --unknown also \"familiarity\", from -1 to 1, and \"unknown\", true or false.

Probabilities are calibrated by the temperature that `taper finetune` measures on held-out pictures and writes into the model file. With
--image-size, unless it is the file's own, they are as the network gives them, and --unknown is refused: both were measured at the file's.")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Classes to name for each picture
    #[arg(long, value_name = "K", default_value_t = 5)]
    top: usize,
    /// Say `unknown` of pictures of other things than the model was trained on, which its file has a threshold for
    #[arg(long)]
    unknown: bool,
    #[command(flatten)]
    views: Views,
    /// Pictures as `taper eval` takes them, those that validate if there are such: a folder; a table, in which a column says what they show,
    /// though nobody compares; MNIST's or CIFAR's binary files; tar shards
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<PathBuf>,
    #[command(flatten)]
    table: TableFlags,
    /// Pictures, and folders of pictures
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command. A picture that cannot be read is named, and the others are still looked at.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = PredictOptions {
        data: flags.data,
        table: flags.table.table.clone(),
        columns: flags.table.into_columns(),
        top: flags.top,
        unknown: flags.unknown,
        image_size: flags.views.image_size,
        tta: flags.views.tta,
        threads: flags.shared.threads,
        ..PredictOptions::new(flags.arch.of(flags.model), flags.images)
    };
    let mut progress = Progress::new(output.clone());
    let predictions = taper_recipes::predict_observed(&options, &stop, &mut progress);
    progress.end();
    let (mut failed, mut looked_at) = (0, 0);
    for prediction in predictions? {
        looked_at += 1;
        output.check()?;
        if stop.load(Ordering::Relaxed) {
            return Ok(ExitCode::from(signals::STOPPED));
        }
        match prediction {
            Ok(prediction) => {
                output.json(&prediction)?;
                if !output.is_json() {
                    output.say(lines(&prediction));
                }
            }
            Err(error) => {
                failed += 1;
                output.warn(format!("error: {:#}", anyhow::Error::from(error)));
            }
        }
    }
    let skipped = progress.skipped();
    if skipped > 0 || (failed > 0 && looked_at > 1) {
        let failed = format!("{failed} of {looked_at} pictures could not be read");
        output.warn(format!("{failed}, {skipped} skipped"));
    }
    output.check()?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(prediction: &Prediction) -> String {
    let mut text = prediction.image.clone();
    if prediction.unknown == Some(true) {
        let familiarity = prediction.familiarity.unwrap_or_default();
        return format!("{text}\n  unknown  (familiarity {familiarity:.3})");
    }
    for number in &prediction.numbers {
        text.push_str(&format!("\n  {:>9.3}  {}", number.value, number.name));
    }
    for class in &prediction.predictions {
        text.push_str(&format!("\n  {:>5.1} %  {}", 100.0 * class.probability, class.class));
    }
    text
}
