//! `taper predict`: what pictures show.
//!
//! Above: `args`. Below: `taper_recipes::predict_observed`. Not here: comparing with the truth (`eval`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::Args;
use taper_recipes::{PredictOptions, Prediction};

use crate::args::{Arch, Shared, Views};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper predict --model my-model/model.safetensors --top 3 picture.jpg

With --json, each picture is one line {\"image\",\"predictions\":[{\"class\",\"index\",\"probability\"}…]},
of a model that predicts numbers {\"image\",\"predictions\":[],\"numbers\":[{\"name\",\"value\"}…]},
with --unknown also \"familiarity\", from -1 to 1, and \"unknown\", true or false.

Probabilities are calibrated by the temperature that `taper finetune` measures on held-out pictures and writes into the model file.")]
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
    /// Pictures, and folders of pictures
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command. A picture that cannot be read is named, and the others are still looked at.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = PredictOptions {
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
    let mut failed = 0;
    for prediction in predictions? {
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
