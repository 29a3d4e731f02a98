//! What a run tells while it goes on.
//!
//! Above: the binary's progress bar, a test's recorder. Below: nothing. Not here: what is written into the run's folder.

use std::path::PathBuf;
use std::time::Duration;

use taper_data::TargetKind;

use crate::find_lr::LrReport;
use crate::options::{FineTuneOptions, OptionValue};
use crate::report::Skipped;
use crate::task::NamedScore;

/// Listens to a run.
pub trait Observer {
    /// Called in the order of events, on the thread that called the recipe.
    fn on_event(&mut self, event: &Event<'_>);
}

/// Hears nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn on_event(&mut self, _: &Event<'_>) {}
}

/// Remembers what is told besides progress.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) warnings: Vec<String>,
    /// Paths of what was skipped.
    pub(crate) skipped: Vec<PathBuf>,
    /// Files that could not be written.
    pub(crate) unwritten: Vec<String>,
    /// Pictures to train with, by the last plan.
    pub(crate) train_images: usize,
}

#[cfg(test)]
impl Observer for Told {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Warning(text) => self.warnings.push((*text).to_owned()),
            Event::Skipped(skipped) => self.skipped.push(skipped.path.clone()),
            Event::Unwritten { file, .. } => self.unwritten.push((*file).to_owned()),
            Event::Planned(plan) => self.train_images = plan.train_images,
            _ => {}
        }
    }
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A run with a limit of memory knows how it keeps to it.
    Memory(&'a MemoryPlan),
    /// All is read and nothing computed yet.
    Planned(&'a RunPlan),
    /// A file of the folder is no picture, or could not be read any more while the run was under way. Each file once.
    Skipped(&'a Skipped),
    /// Something that may not be what was meant.
    Warning(&'a str),
    /// So few pictures of a batch could be read that the network's batch norms have no variance: no step was taken with it.
    TooFew {
        /// From 1.
        epoch: usize,
        /// In its epoch, from 1.
        step: usize,
        /// Pictures that could be read.
        images: usize,
        /// Pictures that a step needs.
        needed: usize,
    },
    /// Weights come over the network.
    Downloading {
        /// What is downloaded.
        file: &'a str,
        /// Bytes that are here.
        bytes: u64,
        /// Bytes of the whole, once the server has told.
        total: Option<u64>,
    },
    /// A download is whole and has its name.
    Downloaded {
        /// What was downloaded.
        file: &'a str,
        /// What its bytes were checked against.
        check: &'a str,
    },
    /// Another process downloads the same weights and is waited for.
    DownloadingElsewhere {
        /// What is waited for.
        file: &'a str,
    },
    /// A download failed and is tried again.
    DownloadPaused {
        /// After how long.
        pause: Duration,
        /// What failed.
        reason: &'a str,
    },
    /// With a frozen backbone and no augmentation, its outputs are computed once.
    Caching {
        /// Pictures done.
        done: usize,
        /// All pictures.
        total: usize,
    },
    /// Pictures have been looked at, outside of a run.
    Looked {
        /// Pictures done.
        done: usize,
        /// All pictures.
        total: usize,
    },
    /// A step of the range test of learning rates is done.
    TriedLr {
        /// From 1.
        step: usize,
        /// All steps, if the loss is not lost before.
        steps: usize,
        /// Its learning rate.
        lr: f64,
        /// Mean over its batch, in nats.
        loss: f64,
    },
    /// A learning rate was found, and a run that is under way goes on with it.
    FoundLr(&'a LrReport),
    /// The run goes on where it was stopped or killed.
    Resumed {
        /// Epochs that are done.
        epoch: usize,
        /// Steps of the next epoch that are done.
        step: usize,
    },
    /// Work in several parts begins with the next.
    Part {
        /// What it is, in words.
        name: &'a str,
        /// From 1.
        number: usize,
        /// All parts.
        of: usize,
    },
    /// An optimizer step is done.
    Step(Step),
    /// Numbers were none any more: the run goes on from its last checkpoint at a smaller rate.
    Recovered {
        /// The epoch that it goes on in, from 1.
        epoch: usize,
        /// What all rates are multiplied by from now on.
        scale: f64,
        /// What was no number.
        reason: &'a str,
    },
    /// A file about the run could not be written; the run itself is as it should be.
    Unwritten {
        /// Which one.
        file: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A soup of the best epochs was made at the end: its model is the best.
    Soup {
        /// Of which epochs, from 1, the best first; one alone if none made it better.
        epochs: &'a [usize],
        /// How many were tried.
        of: usize,
        /// What picks the best model.
        score: NamedScore,
    },
    /// An epoch is done and the held-out pictures have been looked at.
    Epoch(Epoch),
}

/// How a run keeps to an amount of memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryPlan {
    /// Bytes that the process may take.
    pub limit: u64,
    /// Bytes that it takes at most, as predicted, without decoded pictures that are kept.
    pub needed: u64,
    /// Images a step.
    pub batch: usize,
    /// Shards of a step, one after the other.
    pub shards: usize,
    /// What is computed again, as a share of the multiply-accumulates of a whole step; none without gradient checkpointing.
    pub recomputed: Option<f64>,
}

/// What a run is going to do.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// All options, [resolved](FineTuneOptions::resolved), and with the `image_size`.
    pub options: FineTuneOptions,
    /// Those of them that are other than by default ([`FineTuneOptions::changes`]).
    pub changes: Vec<OptionValue>,
    /// What the pictures' targets are.
    pub targets: TargetKind,
    /// The classes, labels or numbers, in the order of their index.
    pub classes: Vec<String>,
    /// Pictures to train with.
    pub train_images: usize,
    /// Pictures held out.
    pub val_images: usize,
    /// Files that are no pictures.
    pub skipped: usize,
    /// Trained numbers.
    pub trained_params: usize,
    /// All numbers, running statistics excepted.
    pub params: usize,
    /// Optimizer steps an epoch.
    pub steps_per_epoch: usize,
    /// Ranks that share the steps.
    pub ranks: usize,
    /// The run's folder.
    pub out: PathBuf,
}

/// An optimizer step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// From 1.
    pub epoch: usize,
    /// All epochs.
    pub epochs: usize,
    /// In its epoch, from 1.
    pub step: usize,
    /// Of an epoch.
    pub steps: usize,
    /// Mean over the batch, in nats.
    pub loss: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Pictures in the batch.
    pub images: usize,
    /// Pictures a second, from the start of this call.
    pub images_per_second: f64,
}

/// An epoch.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// All epochs.
    pub epochs: usize,
    /// Mean training loss, in nats.
    pub train_loss: f64,
    /// Mean loss over the held-out pictures, without label smoothing and weights of classes; in nats, of numbers in squares of their standard
    /// deviation.
    pub val_loss: f64,
    /// What picks the best epoch.
    pub score: NamedScore,
    /// All metrics of the held-out pictures but the loss.
    pub val_scores: Vec<NamedScore>,
    /// Held-out pictures that could be read: those that the numbers are over.
    pub val_images: usize,
    /// Training pictures that could be read.
    pub train_images: usize,
    /// Whether this is the best epoch so far, and its model the one in `model.safetensors`.
    pub is_best: bool,
}
