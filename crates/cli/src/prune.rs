//! `taper prune`: flags to options, the run, and what was won.
//!
//! Above: `args`. Below: `prune::{sparse, study}`, `taper_recipes::{prune, sparsify, explain_groups}`, `progress`. Not here: any default but
//! those of [`PruneOptions`] and [`SparsifyOptions`].

mod sparse;
mod study;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use taper_recipes::prune::{
    Amount, Criterion, GroupRow, Limits, Metric, Normalizer, PruneOptions, PruneReport, Ranking,
    Reduction, Target, file_size,
};
use taper_recipes::sparsify::SparsifyOptions;
use taper_recipes::{Error, FineTuneOptions, OptimizerKind, parse_bytes};

use crate::args::{Arch, Shared};
use crate::failure::Taken;
use crate::output::Output;
use crate::progress::Progress;
use crate::signals;
use sparse::SparseFlags;
use study::Study;

fn defaults() -> PruneOptions {
    PruneOptions::new("")
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  taper prune --model my-model/model.safetensors --data photos/ --target-macs 0.5 --out small.safetensors
  taper prune --model my-model/model.safetensors --data photos/ --target-latency-ms 60% --batch 1
  taper prune --model my-model/model.safetensors --data photos/ --sparsity 0.8 --sparse-ranking lamp
  taper prune --model mobilenetv2_100 --explain
  taper prune --model my-model/model.safetensors --data photos/ --sensitivity --html layers.html
  taper prune --model my-model/model.safetensors --data photos/ --sweep 0.3..0.9 --control mobilenetv2_050 --html sweep.html

A target is a share of what there is (0.5, 50%) or an amount (150M, 4MiB, 2.5ms). With --out FILE.safetensors the run lies in FILE.run; --resume
goes on with it. Without --data channels are chosen by the weights alone, and nothing recovers.

With --json: {\"params_before\",\"params\",\"macs_before\",\"macs\",\"top1_before\",\"top1_cut\",\"top1_after\",\"latency_before_ms\",\"latency_after_ms\",…}")]
pub(crate) struct Flags {
    /// Model file that was fine-tuned on these pictures, or a name (see `taper models`)
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Folder of pictures: DIR/<class>/*, or DIR/train/<class>/* and DIR/val/<class>/*
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Multiply-accumulates that may be left
    #[arg(long, value_name = "SHARE|N")]
    target_macs: Option<Amount>,
    /// Parameters that may be left
    #[arg(long, value_name = "SHARE|N")]
    target_params: Option<Amount>,
    /// Bytes of the file that may be left, such as 4MiB
    #[arg(long, value_name = "SHARE|SIZE", value_parser = bytes)]
    target_size: Option<Amount>,
    /// Bytes of activations that may be left
    #[arg(long, value_name = "SHARE|SIZE", value_parser = bytes)]
    target_memory: Option<Amount>,
    /// Milliseconds a batch that may be left, as measured here: 60%, 4ms
    #[arg(long, value_name = "SHARE|MS", value_parser = milliseconds)]
    target_latency_ms: Option<Amount>,
    /// What says how much a channel matters: l1, l2, bn, taylor, taylor-joint, fpgm, lamp, fisher, activation, or random as a control [default: fisher with --data, otherwise l2]
    #[arg(long, value_name = "CRITERION")]
    criterion: Option<Criterion>,
    /// Which channels are compared [default: global for criteria on data; otherwise isomorphic for networks with depthwise convolutions]
    #[arg(long, value_name = "global|local|isomorphic")]
    ranking: Option<Ranking>,
    /// Several parameters of a channel to one number: sum, mean, max, first, geometric-mean [default: sum for criteria that say what the loss would do, otherwise mean]
    #[arg(long, value_name = "REDUCTION")]
    reduction: Option<Reduction>,
    /// What scores are divided by in a group [default: nothing for criteria on data, otherwise their mean]
    #[arg(long, value_name = "NORMALIZER")]
    normalizer: Option<Normalizer>,
    /// Channels that a layer keeps at least
    #[arg(long, value_name = "N", default_value_t = defaults().limits.least_channels)]
    least_channels: usize,
    #[arg(long, value_name = "F", default_value_t = defaults().limits.most_cut, help = most_cut_help())]
    most_cut: f64,
    /// Layers that are cut are left with a multiple of so many channels
    #[arg(long, value_name = "N", default_value_t = defaults().limits.multiple)]
    multiple: usize,
    /// Layer, block or stage that keeps all its channels; can be given again
    #[arg(long, value_name = "NAME")]
    protect: Vec<String>,
    /// How much costs count against scores: 1 takes most from the costliest layers, 0 leaves costs aside
    #[arg(long, value_name = "F", default_value_t = defaults().cost_exponent)]
    cost_exponent: f64,
    /// Height and width of the pruned network's images: a part of the budget [default: as before]
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// What else the budget may be met with, if training pictures say that it loses less: smaller images, fewer blocks
    #[arg(long, value_name = "image-size|depth", value_delimiter = ',')]
    allow: Vec<Allowed>,
    #[arg(long, value_name = "N", help = rounds_help())]
    rounds: Option<usize>,
    /// Passes over the training pictures after the cuts; 0 to cut only
    #[arg(long, value_name = "N", default_value_t = defaults().recovery_epochs)]
    recovery_epochs: usize,
    /// Recover without the unpruned network as a teacher
    #[arg(long)]
    no_distill: bool,
    /// Leave the weights of layers that lost inputs as they are, instead of fitting them to what they computed before
    #[arg(long)]
    no_reconstruct: bool,
    /// Temperature of the teacher
    #[arg(long, value_name = "F", conflicts_with = "no_distill")]
    distill_temperature: Option<f64>,
    /// Weight of the teacher against the labels, from 0 to 1
    #[arg(long, value_name = "F", conflicts_with = "no_distill")]
    distill_weight: Option<f64>,
    #[arg(long, value_name = "F", help = lr_help())]
    lr: Option<f64>,
    /// Rule of a step
    #[arg(long, value_name = "OPTIMIZER", default_value_t = defaults().tune.optimizer)]
    optimizer: OptimizerKind,
    /// Keep an exponential moving average of the recovering weights, with this share of itself a step, instead of the last [default: none]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    ema: Option<f64>,
    /// Pictures a step
    #[arg(long, value_name = "N", default_value_t = defaults().tune.batch_size)]
    batch_size: usize,
    /// Images a batch when latencies are measured, beside a batch of one
    #[arg(long, value_name = "N", default_value_t = defaults().latency_batch)]
    batch: usize,
    /// Predict the latency of --target-latency-ms for the machine of this calibration (see `taper cost`)
    #[arg(long, value_name = "FILE", requires = "target_latency_ms")]
    on: Option<PathBuf>,
    /// Share of each class held out when the folder has no val
    #[arg(long, value_name = "F", default_value_t = defaults().tune.val_fraction)]
    val_fraction: f64,
    /// Refuse a folder with files that are no pictures, instead of skipping them
    #[arg(long)]
    strict: bool,
    /// Decides the order, the crops and the split
    #[arg(long, value_name = "N", default_value_t = defaults().tune.seed)]
    seed: u64,
    /// The pruned model's file, or the run's folder [default: runs/prune-N, the first N that is free]
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    /// Go on with the run of the same flags that was stopped
    #[arg(long, requires = "out")]
    resume: bool,
    /// Print which channels go together, and which are protected and why, and do nothing else
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    sparse: SparseFlags,
    #[command(flatten)]
    study: Study,
    #[command(flatten)]
    shared: Shared,
}

/// The error in the words of a command whose `--resume` names no folder.
fn taken(error: Error) -> anyhow::Error {
    match error {
        Error::OutExists { path } => Taken { path }.into(),
        error => error.into(),
    }
}

/// A share, or a size with its unit.
fn bytes(text: &str) -> std::result::Result<Amount, String> {
    if text.ends_with('B') {
        let bytes = parse_bytes(text).map_err(|error| error.to_string())?;
        return Ok(Amount::Absolute(bytes as f64));
    }
    amount(text)
}

/// A share, or a time: with its unit it may be less than one.
fn milliseconds(text: &str) -> std::result::Result<Amount, String> {
    let Some(number) = text.strip_suffix("ms") else { return amount(text) };
    match number.trim().parse() {
        Ok(ms) if ms > 0.0 && f64::is_finite(ms) => Ok(Amount::Absolute(ms)),
        _ => Err(format!("`{text}` is no time; write a share (`60%`) or milliseconds (`4ms`)")),
    }
}

fn amount(text: &str) -> std::result::Result<Amount, String> {
    text.parse::<Amount>().map_err(|error| error.to_string())
}

fn rounds_help() -> String {
    let default = PruneOptions::ROUNDS;
    format!("Cut and recover so many times [default: {default}]")
}

fn lr_help() -> String {
    let (pruning, zeros) = (PruneOptions::LR, SparsifyOptions::LR);
    format!("Highest learning rate of recovery [default: {pruning}, of sparse weights {zeros}]")
}

fn most_cut_help() -> String {
    let gentle = 100.0 * PruneOptions::GENTLE_CUT;
    format!(
        "Largest share of its channels that a layer may lose; above {gentle:.0} % only where the target cannot be met otherwise"
    )
}

/// What a budget may be met with beside channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Allowed {
    ImageSize,
    Depth,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    let mut progress = Progress::new(output.clone());
    if flags.explain {
        let groups =
            taper_recipes::prune::explain_groups(&flags.arch.of(flags.model), &flags.protect)?;
        groups.iter().for_each(|group| output.say(described(group)));
        output.json(&groups)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (sparse, study) = (flags.sparse.clone(), flags.study.clone());
    let options = flags.into_options()?;
    if let Some(zeros) = sparse.zeros() {
        return sparse.run(zeros, options, &stop, &output);
    }
    if study.is_asked() {
        return study.run(&options, (&output, &mut progress), &stop);
    }
    let report = taper_recipes::prune::prune(None, &options, &stop, &mut progress);
    progress.end();
    let report = report.map_err(taken)?;
    say(&report, &output);
    study.page(&options, &report)?;
    output.json(&report)?;
    Ok(if report.stopped { ExitCode::from(signals::STOPPED) } else { ExitCode::SUCCESS })
}

impl Flags {
    fn into_options(self) -> Result<PruneOptions> {
        let model = self.arch.of(self.model);
        let is_file = |out: &PathBuf| out.extension().is_some_and(|ext| ext == "safetensors");
        let file = self.out.clone().filter(is_file);
        let folder = match &file {
            Some(file) => Some(file.with_extension("run")),
            None => self.out,
        };
        let mut targets = Vec::new();
        let asked = [
            (self.target_macs, Metric::Macs),
            (self.target_params, Metric::Params),
            (self.target_memory, Metric::Memory),
        ];
        for (amount, metric) in asked {
            targets.extend(amount.map(|amount| Target { metric, amount }));
        }
        if let Some(amount) = self.target_size {
            targets.push(Target { metric: file_size(&model)?, amount });
        }
        if let Some(amount) = self.target_latency_ms {
            let amount = match amount {
                Amount::Absolute(ms) => Amount::Absolute(ms / 1e3),
                share @ Amount::Share(_) => share,
            };
            targets.push(Target { metric: Metric::Latency, amount });
        }
        let limits = Limits {
            least_channels: self.least_channels,
            most_cut: self.most_cut,
            multiple: self.multiple,
            ..Limits::default()
        };
        let tune = FineTuneOptions {
            data: self.data,
            model,
            lr: self.lr,
            optimizer: self.optimizer,
            ema: self.ema,
            batch_size: self.batch_size,
            val_fraction: self.val_fraction,
            strict: self.strict,
            seed: self.seed,
            out: folder,
            threads: self.shared.threads,
            distill_temperature: self.distill_temperature,
            distill_weight: self.distill_weight,
            ..FineTuneOptions::default()
        };
        Ok(PruneOptions {
            targets,
            criterion: self.criterion,
            ranking: self.ranking,
            reduction: self.reduction,
            reconstruct: !self.no_reconstruct,
            normalizer: self.normalizer,
            limits,
            protect: self.protect,
            cost_exponent: self.cost_exponent,
            image_size: self.image_size,
            allow_image_size: self.allow.contains(&Allowed::ImageSize),
            allow_depth: self.allow.contains(&Allowed::Depth),
            rounds: self.rounds,
            recovery_epochs: self.recovery_epochs,
            distill: !self.no_distill,
            latency_batch: self.batch,
            calibration: self.on,
            file,
            resume: self.resume,
            tune,
            ..defaults()
        })
    }
}

fn described(group: &GroupRow) -> String {
    let (id, units) = (group.id, group.units);
    let mut text = match &group.protected {
        Some(why) => format!("{id:4}: {units} units, protected: {why}"),
        None => format!("{id:4}: {units} units"),
    };
    let members = group.members.iter().map(|member| {
        let each =
            if member.per_unit == 1 { String::new() } else { format!(" x {}", member.per_unit) };
        format!("{}[{}]{each}", member.parameter, member.axis)
    });
    let members: Vec<String> = members.collect();
    text.push_str(&format!("\n      channels of {}", group.nodes.join(", ")));
    text.push_str(&format!("\n      {}", members.join(", ")));
    text
}

fn say(report: &PruneReport, output: &Output) {
    output.say(format!("chosen by {}", report.chosen_by));
    let width = report.layers.iter().map(|layer| layer.name.len()).max().unwrap_or(0);
    for layer in report.layers.iter().filter(|layer| layer.after < layer.before) {
        let (name, before, after) = (&layer.name, layer.before, layer.after);
        output.say(format!("  {name:width$} {before:5} -> {after}"));
    }
    let million = |count: u64| count as f64 / 1e6;
    let share = |after: u64, before: u64| 100.0 * after as f64 / before.max(1) as f64;
    output.say(format!(
        "parameters {:.2} M -> {:.2} M ({:.0} %), multiply-accumulates {:.1} M -> {:.1} M ({:.1} %)",
        million(report.params_before),
        million(report.params),
        share(report.params, report.params_before),
        million(report.macs_before),
        million(report.macs),
        share(report.macs, report.macs_before),
    ));
    for pair in &report.latencies {
        output.say(format!(
            "batch {}: {:.2} ms -> {:.2} ms ({:.2}x)",
            pair.batch,
            pair.before_ms,
            pair.after_ms,
            pair.after_ms / pair.before_ms
        ));
    }
    if report.is_faster == Some(false) {
        output.say("it is NOT faster on this machine");
    }
    let percent = |share: Option<f64>| match share {
        Some(share) => format!("{:.1} %", 100.0 * share),
        None => "not measured".to_owned(),
    };
    if let Some(images) = report.images {
        output.say(format!(
            "top-1 of {images} held-out pictures: {} before, {} after the cut, {} recovered",
            percent(report.top1_before),
            percent(report.top1_cut),
            percent(report.top1_after)
        ));
    }
    if report.stopped {
        output.say("stopped; everything is saved. To go on: the same command with --resume");
    } else if let Some(model) = &report.model {
        output.say(format!("model: {}", model.display()));
    }
}
