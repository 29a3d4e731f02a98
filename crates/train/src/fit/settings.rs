//! The settings of a run and what it returns.
//!
//! Above: `recipes`. Below: `optim::Schedule`, `data::random`. Not here: the defaults (`recipes`), they are measured choices.

use std::collections::BTreeMap;

use taper_data::random::Rng;
use taper_optim::{Clip, Schedule, Scores};

use crate::error::{Error, Result};
use crate::step::StepSettings;
use crate::{Best, Evaluation, RunFolder};

/// The purpose of the random streams made here.
const DROPOUT: u64 = 0x6472_6f70;

/// How a network is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Passes over the training set, at least 1.
    pub epochs: usize,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// How gradients are clipped; none: not at all.
    pub clip: Option<Clip>,
    /// The metric whose value picks the best model, by name; the first that is not called `loss` when absent.
    pub best_by: Option<String>,
    /// Decides which units each step drops; the order of the samples is the batches' own affair.
    pub seed: u64,
    /// Saves a checkpoint after so many steps, besides the one after each epoch.
    pub save_every: Option<u64>,
    /// Where the run's files lie; made if it is not there.
    pub out: RunFolder,
    /// What makes the run what it is, by name: settings and fingerprints of data and first model. A checkpoint is
    /// resumed only if all of it is the same.
    pub config: BTreeMap<String, String>,
}

impl Settings {
    pub(super) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        let refuse = |name, got: String, expected| Err(Error::Setting { name, got, expected });
        if self.epochs == 0 {
            return refuse("epochs", self.epochs.to_string(), "1 or more");
        }
        Ok(self.clip.map_or(Ok(()), Clip::check)?)
    }

    /// The settings of a step, after evaluations with these scores of the metric that picks the best model.
    pub(super) fn step(&self, step: u64, scores: Scores<'_>) -> StepSettings {
        StepSettings {
            lr: self.schedule.lr_after(step, scores),
            clip: self.clip,
            seed: Rng::keyed([self.seed, DROPOUT, step]).next_u64(),
            step,
        }
    }

    pub(super) fn saves_after(&self, steps: u64) -> bool {
        self.save_every.is_some_and(|every| every > 0 && steps.is_multiple_of(every))
    }
}

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At step 0; what the run folder holds is replaced.
    Fresh,
    /// At the checkpoint in the run folder.
    Resume,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The evaluation after the last epoch; after the last one finished, if the run was stopped (none if that was before
    /// it was resumed).
    pub last: Option<Evaluation>,
    /// The best evaluation; its model is the model file.
    pub best: Option<Best>,
    /// Steps taken since step 0.
    pub steps: u64,
    /// Whether the run was stopped before its end and can be resumed.
    pub stopped: bool,
}
