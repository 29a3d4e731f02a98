//! `taper look`: what a network makes of pictures, in pictures.
//!
//! Above: `args`. Below: `taper_recipes::look_observed`. Not here: the classes alone (`predict`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use taper_recipes::{LookOptions, LookReport};

use crate::args::{Arch, Shared};
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;

fn defaults() -> LookOptions {
    LookOptions::new("", Vec::new(), "")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper look --model my-model/model.safetensors --out look/ picture.jpg

Writes look.html, one page with everything on it; filters.png, the filters of the first convolution; and for each picture a folder
with the network's input, a heat map of what speaks for a class (Grad-CAM), and feature maps of layers, the channels with the
largest mean absolute value first.

With --json: {\"page\",\"filters\",\"images\":[{\"image\",\"predictions\",\"class\",\"input\",\"heat_map\",\
\"layers\":[{\"name\",\"node\",\"shape\",\"channels\",\"picture\"}…]}…],\"skipped\"}")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Folder for the page and the pictures; files of the same names are replaced
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Node, scope or output whose feature maps are shown; can be given again [default: the ends of the stem and of every stage]
    #[arg(long = "layer", value_name = "NAME")]
    layers: Vec<String>,
    /// Class whose evidence is shown [default: each picture's likeliest]
    #[arg(long, value_name = "NAME|INDEX")]
    class: Option<String>,
    /// Classes to name for each picture
    #[arg(long, value_name = "K", default_value_t = defaults().top)]
    top: usize,
    /// Channels to show of each layer
    #[arg(long, value_name = "N", default_value_t = defaults().channels)]
    channels: usize,
    /// Pictures
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command. A picture that cannot be read is named, and the others are still looked at.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let options = LookOptions {
        layers: flags.layers,
        class: flags.class,
        top: flags.top,
        channels: flags.channels,
        threads: flags.shared.threads,
        ..LookOptions::new(flags.arch.of(flags.model), flags.images, flags.out)
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::look_observed(&options, &stop, &mut progress);
    progress.end();
    let report = report?;
    output.say(words(&report));
    for skipped in &report.skipped {
        let path = skipped.path.display();
        output.warn(format!("error: cannot look at `{path}`: {}", skipped.reason));
    }
    output.json(&report)?;
    Ok(if report.skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn words(report: &LookReport) -> String {
    let mut lines: Vec<String> = Vec::new();
    for look in &report.images {
        let (class, heat_map) = (&look.class, look.heat_map.display());
        lines.push(look.image.clone());
        if look.numbers.is_empty() {
            let percent = 100.0 * class.probability;
            lines.push(format!("  {percent:>5.1} %  {}: {heat_map}", class.class));
        } else {
            let numbers = look.numbers.iter();
            lines.extend(numbers.map(|number| format!("  {:>9.3}  {}", number.value, number.name)));
            lines.push(format!("  what speaks for {}: {heat_map}", class.class));
        }
    }
    lines.extend(report.page.iter().map(|page| format!("everything: {}", page.display())));
    lines.join("\n")
}
