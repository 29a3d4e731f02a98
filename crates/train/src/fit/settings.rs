//! The settings of a run and what it returns.
//!
//! Above: `recipes`. Below: `optim::Schedule`, `data::random`. Not here: the defaults (`recipes`), they are measured choices.

use std::collections::BTreeMap;

use taper_data::random::Rng;
use taper_optim::{Clip, Schedule, Scores};

use crate::error::{Error, Result};
use crate::step::StepSettings;
use crate::{Best, Evaluation, Progress, RunFolder};

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
    /// When the run ends before its last epoch, and what becomes of one that diverges.
    pub limits: Limits,
    /// Decides which units each step drops; the order of the samples is the batches' own affair.
    pub seed: u64,
    /// Saves a checkpoint after so many steps, besides the one after each epoch.
    pub save_every: Option<u64>,
    /// Of how many of the best epochs the models are kept, in [`RunFolder::best`], beside the best one's; 0 for none.
    pub keep_best: usize,
    /// Where the run's files lie; made if it is not there.
    pub out: RunFolder,
    /// What makes the run what it is, by name: settings and fingerprints of data and first model. A checkpoint is
    /// resumed only if all of it is the same.
    pub config: BTreeMap<String, String>,
}

/// When a run ends before its last epoch, and what becomes of one that diverges. By default neither happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Epochs without a better one after which the run ends: early stopping; none: it goes on to its last epoch.
    pub patience: Option<usize>,
    /// How often a run whose numbers are no numbers any more goes back to its last checkpoint and on from there at half the rate, before that
    /// is an error; never on several ranks, of which one alone may see it.
    pub recoveries: u32,
}

impl Settings {
    pub(super) fn check(&self) -> Result<()> {
        self.schedule.check()?;
        let refuse = |name, got: String, expected| Err(Error::Setting { name, got, expected });
        if self.epochs == 0 {
            return refuse("epochs", self.epochs.to_string(), "1 or more");
        }
        if self.limits.patience == Some(0) {
            return refuse("patience", "0".to_owned(), "1 or more");
        }
        Ok(self.clip.map_or(Ok(()), Clip::check)?)
    }

    /// The settings of a step, after evaluations with these scores of the metric that picks the best model.
    pub(super) fn step(
        &self,
        Progress { step, recoveries, .. }: &Progress,
        scores: Scores<'_>,
    ) -> StepSettings {
        let step = *step;
        StepSettings {
            lr: self.schedule.lr_after(step, scores) * recovery_scale(*recoveries),
            clip: self.clip,
            seed: Rng::keyed([self.seed, DROPOUT, step]).next_u64(),
            step,
        }
    }

    pub(super) fn saves_after(&self, steps: u64) -> bool {
        self.save_every.is_some_and(|every| every > 0 && steps.is_multiple_of(every))
    }
}

/// What is left of the rate after so many recoveries.
pub(super) fn recovery_scale(recoveries: u32) -> f64 {
    0.5f64.powi(i32::try_from(recoveries).unwrap_or(i32::MAX))
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
    /// Whether there was no time for its last epoch; it can be resumed.
    pub time_up: bool,
}
