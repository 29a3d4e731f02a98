//! `taper finetune`: flags to options, the run, and what is said at its end.
//!
//! Above: `args`. Below: `finetune::{averages, files, find_lr, freezing, memory, minutes, optimizer, preset, reading, schedule, splits}`, `taper_recipes`,
//! `progress`, `confusion`, `ranks`. Not here: any default but those of [`FineTuneOptions`].

mod averages;
mod files;
pub(crate) mod find_lr;
mod freezing;
mod memory;
mod minutes;
mod optimizer;
mod preset;
mod reading;
mod schedule;
mod splits;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use taper_recipes::{
    Augment, Calibrated, ClassWeights, FineTuneOptions, FineTuneReport, GroupOptions, LossKind,
    MatmulPrecision, Pretrained, Reduce, ReduceDtype, ResumeOptions, Sampling, shell_quoted,
};

use crate::args::{Arch, Shared, TableFlags};
use crate::augment::{self, AugmentFlag};
use crate::failure::Remembered;
use crate::output::Output;
use crate::progress::Progress;
use crate::{confusion, ranks, scores, signals};
use averages::AverageFlags;
use files::FilesFlags;
use find_lr::FindLrFlags;
use freezing::FreezingFlags;
use memory::MemoryFlags;
use optimizer::OptimizerFlags;
use preset::PresetFlags;
use reading::ReadingFlags;
use schedule::ScheduleFlags;
use splits::SplitFlags;

/// Mistakes shown at the end of a run.
const MISTAKES: usize = 5;

/// What may be said again together with `--resume`.
const WITH_RESUME: [&str; 13] = [
    "resume",
    "data",
    "model",
    "arch",
    "trace",
    "threads",
    "json",
    "max_minutes",
    "cache",
    "cache_size",
    "cache_dir",
    "grad_checkpointing",
    "memory",
];

/// What may be said again together with `--resume` of several splits.
const SPLITS_AGAIN: [&str; 2] = ["resume", "json"];

fn defaults() -> FineTuneOptions {
    FineTuneOptions::default()
}

fn temperature_help() -> String {
    let default = FineTuneOptions::DISTILL_TEMPERATURE;
    format!("Temperature at which student and teacher are compared [default: {default}]")
}

fn weight_help() -> String {
    let default = FineTuneOptions::DISTILL_WEIGHT;
    format!("Weight of the teacher against the targets, from 0 to 1 [default: {default}]")
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  taper finetune                                   the built-in pictures, to see it work
  taper finetune --data photos/ --out my-model/    photos/<class>/*.jpg
  taper finetune --resume my-model/                go on after Ctrl-C
  mpirun -np 4 --bind-to none taper finetune --threads 1 --data photos/    on four processes, see docs/distributed.md

Exit codes: 0 done; 1 the work failed; 2 the request was wrong; 130 stopped by Ctrl-C with everything saved")]
pub(crate) struct Flags {
    /// Folder of pictures: DIR/<class>/*, or DIR/train/<class>/* and DIR/val/<class>/*; a table of pictures and what they show: .csv, .tsv,
    /// .jsonl; MNIST's or CIFAR's binary files; tar shards, as webdataset writes them, a folder or name-{000..012}.tar [default: the built-in pictures]
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<PathBuf>,
    #[command(flatten)]
    table: TableFlags,
    /// Name (see `taper models`) or model file
    #[arg(long, value_name = "NAME|FILE", default_value_t = defaults().model)]
    model: String,
    #[command(flatten)]
    arch: Arch,
    /// Keep classes of the model file that have no pictures: trains nothing, makes new classes of the mean features of their pictures
    #[arg(long)]
    keep: bool,
    /// Network to learn from besides, of the same classes: name or model file
    #[arg(long, value_name = "NAME|FILE")]
    teacher: Option<String>,
    /// Folder of pictures without labels, which are trained with by what the teacher says of them
    #[arg(long, value_name = "DIR")]
    unlabelled: Option<PathBuf>,
    #[command(flatten)]
    preset: PresetFlags,
    /// Begin with the model's weights, or with random ones
    #[arg(long, value_name = "yes|none", default_value_t = defaults().pretrained)]
    pretrained: Pretrained,
    /// Passes over the training pictures
    #[arg(long, value_name = "N", default_value_t = defaults().epochs)]
    epochs: usize,
    /// Pictures a step
    #[arg(long, value_name = "N", default_value_t = defaults().batch_size)]
    batch_size: usize,
    /// Passes that train the new head alone first, on features computed once; 0 for none
    #[arg(long, value_name = "N", default_value_t = defaults().head_epochs)]
    head_epochs: usize,
    /// Factor on the learning rate of the new head [default: 1; 10 if it was not trained alone first]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    head_lr_scale: Option<f64>,
    #[command(flatten)]
    find_lr: FindLrFlags,
    #[command(flatten)]
    splits: SplitFlags,
    #[command(flatten)]
    optimizer: OptimizerFlags,
    #[command(flatten)]
    schedule: ScheduleFlags,
    /// Label smoothing
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().label_smoothing)]
    label_smoothing: f64,
    /// What is made small; numbers are in units of their standard deviation
    #[arg(long, value_name = "auto|cross-entropy|focal|bce|mse|huber|smooth-l1", default_value_t = defaults().loss)]
    loss: LossKind,
    /// How strongly the focal loss looks away from what is told surely
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().focal_gamma)]
    focal_gamma: f64,
    /// Every picture counts alike, or every class
    #[arg(long, value_name = "none|balanced", default_value_t = defaults().class_weights)]
    class_weights: ClassWeights,
    /// An epoch shows every picture once, or as many drawn so that all classes are shown alike; auto: the latter where the largest class has five times the pictures of the smallest
    #[arg(long, value_name = "auto|shuffle|balanced", default_value_t = defaults().sampling)]
    sampling: Sampling,
    /// Metric that picks the best epoch: loss, top1, f1, auroc, mae, … [default: top1 of classes, f1 of labels, mae of numbers]
    #[arg(long, value_name = "METRIC")]
    best_by: Option<String>,
    /// Epochs without a better one after which the run ends [default: it goes on to the last epoch]
    #[arg(long, value_name = "EPOCHS")]
    patience: Option<usize>,
    /// How often a run that diverges goes back to its last checkpoint and on at half the rate
    #[arg(long, value_name = "N", default_value_t = defaults().recoveries)]
    recoveries: u32,
    /// Minutes after which the run ends with the best model so far; it can be gone on with [default: no limit]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    max_minutes: Option<f64>,
    /// Pick epochs that fit into so many minutes on this machine, and a network and a size of pictures where these are not given
    #[arg(long, value_name = "F", allow_negative_numbers = true, conflicts_with_all = ["epochs", "max_minutes", "splits", "folds", "find_lr"])]
    minutes: Option<f64>,
    #[command(flatten)]
    averages: AverageFlags,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = temperature_help())]
    distill_temperature: Option<f64>,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = weight_help())]
    distill_weight: Option<f64>,
    /// L1 penalty on the scales of batch norms, which makes channels that can be pruned; 1e-4 is usual [default: none]
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true)]
    bn_l1: Option<f64>,
    /// How training pictures change at random: `none`, crop and flip (`yes`), or others besides, such as trivial, rand-m9-n2 or
    /// rotate=15,color-jitter=0.4; `list` tells all
    #[arg(long, value_name = "yes|none|list|NAME,…", default_value_t = AugmentFlag::Is(defaults().augment))]
    augment: AugmentFlag,
    /// Smallest share of a picture that a random crop keeps
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().min_crop)]
    min_crop: f64,
    /// Share of training pictures of which a random rectangle is erased
    #[arg(long, value_name = "P", allow_negative_numbers = true, default_value_t = defaults().erase)]
    erase: f64,
    /// Mix the pictures of a batch by weights of a beta distribution with this parameter; 0.2 is usual, 0 for never
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true, default_value_t = defaults().mixup)]
    mixup: f64,
    /// Let the pictures of a batch exchange rectangles, the same; 1 is usual. With --mixup, either every other batch
    #[arg(long, value_name = "ALPHA", allow_negative_numbers = true, default_value_t = defaults().cutmix)]
    cutmix: f64,
    /// How often a picture comes in an epoch, each time changed differently; the epoch takes as many fewer pictures
    #[arg(long, value_name = "N", default_value_t = defaults().repeats)]
    repeats: usize,
    #[command(flatten)]
    freezing: FreezingFlags,
    /// Height and width of the network's input, in pixels [default: the model's own]
    #[arg(long, value_name = "N")]
    image_size: Option<usize>,
    /// Share of each class held out when the folder has no val
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().val_fraction)]
    val_fraction: f64,
    /// Refuse a folder with files that are no pictures, instead of skipping them
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    reading: ReadingFlags,
    /// What convolutions and linear layers multiply: values, or values rounded to bfloat16, on a CPU with AMX
    #[arg(long, value_name = "f32|bf16", default_value_t = defaults().matmul_precision)]
    matmul_precision: MatmulPrecision,
    /// Parts that a step is cut into, for ranks to share: a multiple of their number [default: one a rank]
    #[arg(long, value_name = "N")]
    shards: Option<usize>,
    /// How gradients are summed: with the same bits on any number of ranks, or as MPI likes
    #[arg(long, value_name = "exact|fast", default_value_t = defaults().reduce)]
    reduce: Reduce,
    /// What travels between ranks: values, or half as many bytes whose rounding is made up for
    #[arg(long, value_name = "f32|bf16", default_value_t = defaults().reduce_dtype)]
    reduce_dtype: ReduceDtype,
    /// Batch norms use the statistics of all shards of a step, as if it were one batch
    #[arg(long)]
    sync_bn: bool,
    /// Steps that each shard trains alone before the mean of their weights is taken: for slow networks; 1 shares every step's gradient
    #[arg(long, value_name = "STEPS", default_value_t = defaults().sync_every)]
    sync_every: usize,
    /// Learning rate of the outer step, with --sync-every [default: 1, the mean; 0.7 with --outer-momentum]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    outer_lr: Option<f64>,
    /// Nesterov momentum of the outer step, with --sync-every; 0.9 is usual
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().outer_momentum)]
    outer_momentum: f64,
    /// File for what ranks computed and sent, and when: Chrome's viewer and ui.perfetto.dev open it
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryFlags,
    /// Decides the new head's weights, the split, the order and the crops
    #[arg(long, value_name = "N", default_value_t = defaults().seed)]
    seed: u64,
    #[command(flatten)]
    files: FilesFlags,
    /// Folder of the run [default: runs/finetune-N, the first N that is free]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with a run that was stopped; its other flags are remembered
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags, matches: &ArgMatches) -> Result<ExitCode> {
    if let AugmentFlag::List = flags.augment {
        augment::list(&Output::new(flags.shared.json))?;
        return Ok(ExitCode::SUCCESS);
    }
    let stop = signals::stop_flag()?;
    let output = Output::stopping(flags.shared.json, Arc::clone(&stop));
    match (&flags.resume, flags.splits.splits()) {
        (None, _) if flags.find_lr.is_asked() => {
            return find_lr::run(&flags.into_options(matches, &output), &stop, &output);
        }
        (None, Some(splits)) => {
            return splits::run(splits, &flags.into_options(matches, &output), &stop, &output);
        }
        (Some(folder), _) if taper_recipes::has_splits(folder) => {
            let folder = folder.clone();
            only(&SPLITS_AGAIN, matches)?;
            return splits::resume(&folder, &stop, &output);
        }
        _ => {}
    }
    let resumed = match flags.resume.clone() {
        Some(run) => Some(resume_options(run, flags.clone(), matches)?),
        None => None,
    };
    let traced = GroupOptions { trace: flags.trace.is_some(), ..GroupOptions::default() };
    let group = ranks::group(traced)?;
    let group = Arc::new(group);
    let mut progress = Progress::new(output.clone());
    let report = match resumed {
        Some(options) => {
            taper_recipes::resume_on_ranks(group.clone(), &options, &stop, &mut progress)
        }
        None => {
            let minutes = flags.minutes;
            let options = flags.into_options(matches, &output);
            let options = minutes::fitted(minutes, options, (matches, &output), &group)?;
            taper_recipes::fine_tune_on_ranks(group.clone(), &options, &stop, &mut progress)
        }
    };
    progress.end();
    let report = match report {
        Ok(report) => report,
        Err(error) => return Ok(ranks::end(group, error)),
    };
    if !group.is_first() {
        return Ok(ExitCode::SUCCESS); // the first rank says what came of it, and how it ends
    }
    say(&report, &output);
    output.json(&report)?;
    Ok(if report.stopped { ExitCode::from(signals::STOPPED) } else { ExitCode::SUCCESS })
}

impl Flags {
    /// The options that were said, over those of the preset.
    fn into_options(self, matches: &ArgMatches, output: &Output) -> FineTuneOptions {
        let preset = self.preset.preset();
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let is_said = |field: &str| match field {
            "lr_auto" => false, // said by `lr`
            "freeze" => is_given("freeze") || is_given("train"),
            "ema_warmup" => is_given("no_ema_warmup"),
            field => is_given(field),
        };
        let said = self.said();
        let taken: Vec<String> = preset
            .sets_beside(&said, &is_said)
            .into_iter()
            .map(|(field, value)| format!("{} {value}", field.replace('_', " ")))
            .collect();
        if !taken.is_empty() {
            output.say(format!("preset {preset}: {}", taken.join(", ")));
        }
        said.under(preset, &is_said)
    }

    /// The options as if nothing but these flags were.
    pub(crate) fn said(self) -> FineTuneOptions {
        let options = self.optimizer.into_options(FineTuneOptions::default());
        let options = self.schedule.into_options(options);
        let options = self.reading.into_options(options);
        let options = self.memory.into_options(options);
        let options = self.files.into_options(options);
        let options = self.freezing.into_options(options);
        let options = self.averages.into_options(options);
        FineTuneOptions {
            data: self.data,
            table: self.table.table,
            image_column: self.table.image_column,
            target_columns: self.table.target_columns,
            targets: self.table.targets,
            loss: self.loss,
            focal_gamma: self.focal_gamma,
            class_weights: self.class_weights,
            sampling: self.sampling,
            best_by: self.best_by,
            patience: self.patience,
            recoveries: self.recoveries,
            max_minutes: self.max_minutes,
            model: self.arch.of(self.model),
            keep: self.keep,
            unlabelled: self.unlabelled,
            teacher: self.teacher,
            pretrained: self.pretrained,
            epochs: self.epochs,
            batch_size: self.batch_size,
            head_epochs: self.head_epochs,
            head_lr_scale: self.head_lr_scale,
            label_smoothing: self.label_smoothing,
            distill_temperature: self.distill_temperature,
            distill_weight: self.distill_weight,
            bn_l1: self.bn_l1,
            augment: match self.augment {
                AugmentFlag::Is(augment) => augment,
                AugmentFlag::List => Augment::Yes, // answered before
            },
            min_crop: self.min_crop,
            erase: self.erase,
            mixup: self.mixup,
            cutmix: self.cutmix,
            repeats: self.repeats,
            image_size: self.image_size,
            val_fraction: self.val_fraction,
            strict: self.strict,
            shards: self.shards.unwrap_or(defaults().shards),
            reduce: self.reduce,
            reduce_dtype: self.reduce_dtype,
            matmul_precision: self.matmul_precision,
            sync_bn: self.sync_bn,
            sync_every: self.sync_every,
            outer_lr: self.outer_lr,
            outer_momentum: self.outer_momentum,
            trace: self.trace,
            seed: self.seed,
            out: self.out,
            threads: self.shared.threads,
            ..options
        }
    }
}

/// Only the data, the model and the threads may be said again: a run remembers the rest.
fn resume_options(run: PathBuf, flags: Flags, matches: &ArgMatches) -> Result<ResumeOptions> {
    only(&WITH_RESUME, matches)?;
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    Ok(ResumeOptions {
        run,
        model: is_given("model").then(|| flags.arch.of(flags.model)),
        data: flags.data,
        trace: flags.trace,
        max_minutes: flags.max_minutes,
        cache: is_given("cache").then_some(flags.reading.cache),
        cache_size: flags.reading.cache_size,
        cache_dir: flags.reading.cache_dir,
        grad_checkpointing: flags.memory.grad_checkpointing.then_some(true),
        memory: flags.memory.memory,
        threads: is_given("threads").then_some(flags.shared.threads),
    })
}

/// Refuses all flags but these.
fn only(allowed: &[&str], matches: &ArgMatches) -> Result<()> {
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let command = Flags::augment_args(Command::new("finetune"));
    let mut said = command.get_arguments().filter(|flag| is_given(flag.get_id().as_str()));
    match said.find(|flag| !allowed.contains(&flag.get_id().as_str())) {
        Some(flag) => bail!(Remembered { flag: flag.get_long().unwrap_or_default().to_owned() }),
        None => Ok(()),
    }
}

fn say(report: &FineTuneReport, output: &Output) {
    let run = shell_quoted(&report.out.display().to_string());
    if report.stopped {
        output
            .say(format!("stopped; everything is saved. To go on: taper finetune --resume {run}"));
        return;
    }
    if report.time_up {
        let epochs = report.epochs;
        output
            .say(format!("time is up in epoch {epochs}. To go on: taper finetune --resume {run}"));
    }
    if let Some(review) = &report.review {
        output.say(confusion::table(&review.confusion));
        output.say(confusion::mistakes(&review.mistakes, MISTAKES));
    }
    let (last, best) = match (report.val_top1, report.best_val_top1) {
        (Some(last), best) => {
            let best = best.map_or_else(String::new, |best| format!("{:.1} %", 100.0 * best));
            (scores::words("top1", last), best)
        }
        (None, _) => (scores::line(&report.val_scores), scores::line(&report.best_val_scores)),
    };
    output.say(format!(
        "val {last} of {} pictures (best epoch {best}), loss {:.3}, {} skipped, {:.0} s, {:.0} images/s",
        report.val_images.unwrap_or(0),
        report.val_loss.unwrap_or(0.0),
        report.skipped,
        report.seconds,
        report.images_per_second
    ));
    if let Some(cache) = &report.cache {
        output.say(reading::words(cache));
    }
    if let Some(calibrated) = &report.calibrated {
        output.say(calibration(calibrated));
    }
    if let Some(cost) = &report.distributed {
        output.say(ranks::words(cost));
    }
    if let Some(page) = &report.page {
        output.say(format!("report: {}", page.display()));
    }
    if let Some(model) = &report.model {
        let model = model.display().to_string();
        let asked = shell_quoted(&model);
        output.say(format!("model: {model}\nuse it: taper predict --model {asked} PICTURE.jpg"));
    }
}

/// What held-out pictures say about the model's probabilities.
fn calibration(calibrated: &Calibrated) -> String {
    let Calibrated { temperature, ece_before, ece, ece_by_chance, known_from, images } = calibrated;
    let ece = ece.map_or_else(String::new, |ece| {
        format!(", calibration error {ece:.3} (cross-fitted; {ece_before:.3} without, {ece_by_chance:.3} by chance)")
    });
    let known = known_from.map_or("", |_| "; `predict --unknown` tells pictures of other things");
    format!("calibrated on {images} held-out pictures: temperature {temperature:.3}{ece}{known}")
}
