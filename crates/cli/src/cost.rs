//! `taper cost`: what a network costs, before it runs.
//!
//! Above: `args`. Below: `taper_recipes::{calibrate, cost}`, `cost::{ranks, table}`. Not here: the counting (`taper_recipes`).

mod ranks;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use taper_recipes::{
    Assertion, CalibrationOptions, CostNetwork, CostOptions, CostReport, FineTuneOptions, Freeze,
    Measure, OptimizerKind, RanksCostOptions, Sweep, parse_bytes,
};

use self::ranks::RanksFlags;
use crate::args::{Arch, Shared};
use crate::output::Output;
use crate::progress::Share;
use crate::signals;

fn defaults() -> CostOptions {
    CostOptions::new("")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples: taper cost --model mobilenetv2_100
          taper cost --calibrate                      then every time is predicted, for any network
          taper cost --model my-model/model.safetensors --batch 32 --memory 4GiB
          taper cost --model mobilenetv3_small_100 --assert 'macs<=60M' --assert 'latency<=4ms'
          taper cost --model mobilenetv2_100 --sweep image-size=96..256:32 --sweep width=0.5,0.75,1
          taper cost --model mobilenetv2_100 --batch 16 --threads 1 --ranks 2..64 --network 1Gb,10Gb
          taper cost --compare mobilenetv2_100 mobilenetv3_large_100 efficientnet_lite0

Counts are of one image: multiply-accumulates of convolutions, linear layers and attention; what norms, activations and pools do is
listed apart. Memory is of the plan that the engine obeys. Times are predicted from a calibration of this machine, or of the one
that --on names. Exit code 1 if an assertion does not hold.

With --json: {\"params\",\"macs\",\"peak_activation_bytes\",\"memory\",\"training_memory\",\"time\",\
\"layers\":[{\"name\",\"op\",\"params\",\"macs\",…}…],\"sweeps\",\"savings\",\"ranks\",…}")]
pub(crate) struct Flags {
    /// Name (see `taper models`), model file, or a graph in JSON
    #[arg(long, value_name = "NAME|FILE", required_unless_present_any = ["calibrate", "compare"])]
    model: Option<String>,
    #[command(flatten)]
    arch: Arch,
    /// Networks to be laid side by side; `all` is the whole zoo
    #[arg(long, value_name = "NAME|FILE", num_args = 1.., conflicts_with = "model")]
    compare: Vec<String>,
    /// Height and width of the image: a number for a square, or `HxW` [default: the model's own]
    #[arg(long, value_name = "N|HxW", value_parser = image_size)]
    image_size: Option<[usize; 2]>,
    /// Images a batch
    #[arg(long, value_name = "N", default_value_t = defaults().batch)]
    batch: usize,
    /// What is not trained: none, backbone, or everything up to a stage
    #[arg(long, value_name = "none|backbone|STAGE", default_value_t = defaults().freeze)]
    freeze: Freeze,
    /// The optimizer, whose state takes memory and time
    #[arg(long, value_name = "OPTIMIZER", default_value_t = defaults().optimizer)]
    optimizer: OptimizerKind,
    /// Find the largest batch that trains in so much memory, such as 4GiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Measure this machine for half a minute, with all cores or --threads N, so that times can be predicted; --out says where the file goes
    #[arg(long)]
    calibrate: bool,
    /// The file of --calibrate [default: in the cache directory, named for the machine]
    #[arg(long, value_name = "FILE", requires = "calibrate")]
    out: Option<PathBuf>,
    /// Predict times for the machine that this calibration was made on
    #[arg(long, value_name = "FILE")]
    on: Option<PathBuf>,
    /// Run it too, and show both times
    #[arg(long)]
    measure: bool,
    /// What if: one factor at several values. image-size, width, depth, classes, batch or threads; filters, stride or pool of a LAYER.
    /// Such as `image-size=96..256:32`, `width=0.5,0.75,1`, `filters:conv_stem=8..32:8`, `pool:conv_stem=stride,max,avg`; can be given again
    #[arg(long = "sweep", value_name = "FACTOR[:LAYER]=VALUES", conflicts_with = "compare")]
    sweeps: Vec<String>,
    /// Predict a whole run of fine-tuning on the pictures of this folder, of which some are read; with --batch and --epochs
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    data: Option<PathBuf>,
    /// Epochs of that run
    #[arg(long, value_name = "N", requires = "data", default_value_t = FineTuneOptions::default().epochs)]
    epochs: usize,
    #[command(flatten)]
    ranks: RanksFlags,
    /// What leaving each block and each layer out would save
    #[arg(long, conflicts_with = "compare")]
    savings: bool,
    /// A budget, such as macs<=300M, params<=5M, memory<=64MiB or latency<=4ms; can be given again
    #[arg(long = "assert", value_name = "BUDGET", allow_hyphen_values = true)]
    assertions: Vec<String>,
    /// How many scopes deep the table goes; every layer if it is large
    #[arg(long, value_name = "N", default_value_t = 2)]
    depth: usize,
    /// Write the layers as a table of comma-separated values; with --ranks, their lines
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write everything onto one page with pictures: where costs come from, memory over time, the roofline, what is swept
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

fn image_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let side = |text: &str| {
        text.parse::<usize>()
            .map_err(|_parse| "expected a number of pixels, or HxW such as 192x256".to_owned())
    };
    match text.split_once('x') {
        Some((h, w)) => Ok([side(h)?, side(w)?]),
        None => Ok([side(text)?; 2]),
    }
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    if flags.calibrate {
        calibrate(&flags, &output, &stop)?;
        if flags.model.is_none() && flags.compare.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut assertions = Vec::new();
    for text in &flags.assertions {
        assertions.push(text.parse::<Assertion>()?);
    }
    let options = CostOptions {
        image_size: flags.image_size,
        batch: flags.batch,
        threads: flags.shared.threads,
        freeze: flags.freeze,
        optimizer: flags.optimizer,
        on: flags.on,
        measure: if flags.measure { Measure::Yes } else { Measure::No },
        memory: flags.memory.as_deref().map(parse_bytes).transpose()?,
        ..CostOptions::new(flags.arch.of(flags.model.unwrap_or_default()))
    };
    let has_ranks = flags.ranks.options()?.is_some();
    let reports = if flags.compare.is_empty() {
        let asked = Asked {
            sweeps: &flags.sweeps,
            savings: flags.savings,
            depth: flags.depth,
            html: flags.html.as_deref(),
            ranks: flags.ranks.options()?,
            ranks_csv: flags.csv.as_deref(),
            recipe: flags.data.map(|data| FineTuneOptions {
                data: Some(data),
                epochs: flags.epochs,
                threads: flags.shared.threads,
                ..FineTuneOptions::default()
            }),
        };
        vec![one(&options, &asked, &output)?]
    } else {
        let reports = taper_recipes::compare_costs(&options, &expanded(&flags.compare)?)?;
        output.say(table::comparison(&reports));
        if let Some(path) = &flags.html {
            taper_recipes::comparison_page(path, &reports)?;
        }
        output.json(&json!({ "models": reports }))?;
        reports
    };
    if let Some(path) = flags.csv.as_ref().filter(|_| !has_ranks) {
        taper_recipes::write_costs_csv(path, &reports)?;
    }
    let mut broken = 0;
    for report in &reports {
        for assertion in &assertions {
            if let Some(reason) = assertion.check(report)? {
                output.warn(format!("error: {}: {reason}", report.model));
                broken += 1;
            }
        }
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked of one network.
struct Asked<'a> {
    sweeps: &'a [String],
    savings: bool,
    depth: usize,
    html: Option<&'a Path>,
    ranks: Option<RanksCostOptions>,
    /// Where the lines of ranks go.
    ranks_csv: Option<&'a Path>,
    /// Of a whole run.
    recipe: Option<FineTuneOptions>,
}

/// Shows everything about one network.
fn one(options: &CostOptions, asked: &Asked<'_>, output: &Output) -> Result<CostReport> {
    let mut parsed: Vec<Sweep> = Vec::new();
    for text in asked.sweeps {
        parsed.push(taper_recipes::parse_sweep(text)?);
    }
    let report = taper_recipes::cost(options)?;
    output.say(table::of_network(&report, asked.depth));
    let mut value = serde_json::to_value(&report)?;
    let (mut swept, mut savings) = (Vec::new(), Vec::new());
    if !parsed.is_empty() || asked.savings {
        let network = CostNetwork::open(&options.model)?;
        let calibration = taper_recipes::calibration_for(options)?;
        for sweep in &parsed {
            let sweep = taper_recipes::sweep_costs(&network, options, calibration.as_ref(), sweep)?;
            output.say(format!("\n{}", table::sweep(&sweep)));
            swept.push(sweep);
        }
        value["sweeps"] = serde_json::to_value(&swept)?;
        if asked.savings {
            savings = taper_recipes::savings(&network, options, calibration.as_ref())?;
            output.say(format!("\n{}", table::savings(&savings, &report)));
            value["savings"] = serde_json::to_value(&savings)?;
        }
    }
    if let Some(recipe) = &asked.recipe {
        let network = CostNetwork::open(&options.model)?;
        let run = taper_recipes::run_cost(&network, options, &report, recipe)?;
        output.say(format!("\n{}", table::run(&run)));
        value["run"] = serde_json::to_value(run)?;
    }
    let mut on_ranks = None;
    if let Some(ranks) = &asked.ranks {
        let network = CostNetwork::open(&options.model)?;
        let cost = ranks::predict(&network, options, ranks, asked.ranks_csv)?;
        output.say(format!("\n{}", ranks::table(&cost)));
        value["ranks"] = serde_json::to_value(&cost)?;
        on_ranks = Some(cost);
    }
    if let Some(path) = asked.html {
        taper_recipes::cost_page(path, &report, &swept, &savings, on_ranks.as_ref())?;
    }
    output.json(&value)?;
    Ok(report)
}

/// `all` as every name.
fn expanded(names: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for name in names {
        match name.as_str() {
            "all" => all.extend(taper_recipes::models()?.into_iter().map(|model| model.name)),
            name => all.push(name.to_owned()),
        }
    }
    Ok(all)
}

fn calibrate(flags: &Flags, output: &Output, stop: &AtomicBool) -> Result<()> {
    let options = CalibrationOptions {
        threads: flags.shared.threads,
        out: flags.out.clone(),
        ..CalibrationOptions::default()
    };
    let bar = Share::new(output, "calibrating");
    let report = taper_recipes::calibrate(&options, stop, &mut |share| bar.set(share));
    bar.end();
    let report = report?;
    let threads: Vec<String> = report.threads.iter().map(ToString::to_string).collect();
    output.say(format!(
        "{}, {}: {} units timed on {} threads in {:.0} s\n{}",
        report.processor,
        report.isa,
        report.units,
        threads.join(" and "),
        report.seconds,
        report.path.display()
    ));
    if flags.model.is_none() && flags.compare.is_empty() {
        output.json(&report)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_squares_or_height_by_width() {
        assert_eq!(image_size("224").unwrap(), [224, 224]);
        assert_eq!(image_size("192x256").unwrap(), [192, 256]);
        for wrong in ["", "x", "12x", "-3", "1x2x3", "12 34"] {
            assert!(image_size(wrong).is_err(), "{wrong}");
        }
    }
}
