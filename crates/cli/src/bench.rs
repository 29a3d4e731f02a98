//! `taper bench`: how long a model takes on this machine.
//!
//! Above: `args`. Below: `taper_recipes::bench`. Not here: other programs, and where the time goes (`cargo xtask bench`).

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::{BenchMode, BenchOptions, BenchReport, MatmulPrecision};

use crate::args::{Arch, Shared};
use crate::output::Output;

fn defaults() -> BenchOptions {
    BenchOptions::new("")
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example: taper bench --model my-model/model.safetensors --threads 1

A name whose weights are not here is measured with random ones, which take as long.")]
pub(crate) struct Flags {
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Images a batch
    #[arg(long, value_name = "N", default_value_t = defaults().batch)]
    batch: usize,
    /// A batch through the network, or a training step
    #[arg(long, value_name = "infer|train", default_value_t = defaults().mode)]
    mode: BenchMode,
    /// Height and width of the images, in pixels [default: the model's own]
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// What convolutions and linear layers of a training step multiply: values, or values rounded to bfloat16, on a CPU with AMX
    #[arg(long, value_name = "f32|bf16", default_value_t = defaults().matmul_precision)]
    matmul_precision: MatmulPrecision,
    /// How long to measure; five runs at least
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().seconds)]
    seconds: f64,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let output = Output::new(flags.shared.json);
    let options = BenchOptions {
        batch: flags.batch,
        mode: flags.mode,
        image_size: flags.image_size,
        seconds: flags.seconds,
        matmul_precision: flags.matmul_precision,
        threads: flags.shared.threads,
        ..BenchOptions::new(flags.arch.of(flags.model))
    };
    let report = taper_recipes::bench(&options)?;
    output.say(words(&options.model, &report));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

fn words(model: &str, report: &BenchReport) -> String {
    let BenchReport { median_ms, p10_ms, p90_ms, batch, image_size: [h, w], .. } = report;
    let BenchReport { mode, runs, threads, images_per_second, peak_bytes, .. } = report;
    let memory = peak_bytes.map_or_else(String::new, |bytes| {
        format!(", {:.0} MiB at most", bytes as f64 / f64::from(1 << 20))
    });
    format!(
        "{model}, {mode}, {batch} x {h}x{w}, threads {threads}:\n\
         {median_ms:.2} ms ({p10_ms:.2} to {p90_ms:.2} from the 10th to the 90th percentile of {runs} runs), \
         {images_per_second:.0} images/s{memory}"
    )
}
