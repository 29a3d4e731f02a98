//! What a run tells while it runs.
//!
//! Above: `recipes`, `cli`. Below: `metrics`. Not here: printing (`cli`), clocks: whoever listens may look at one.

use std::path::Path;

use taper_data::Skipped;

use crate::metrics::{Evaluation, Scores};

/// Something that happened in a run. Epochs, batches and steps count from 0.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, or goes on where a checkpoint was.
    Started {
        /// Epochs of the whole run.
        epochs: usize,
        /// Batches of an epoch.
        batches_per_epoch: usize,
        /// Samples of an epoch.
        samples_per_epoch: usize,
        /// The epoch that comes next: 0, or where the checkpoint was.
        epoch: usize,
        /// The batch of that epoch that comes next.
        batch: usize,
        /// The step that comes next.
        step: u64,
    },
    /// The parameters moved once.
    Step {
        /// Its epoch.
        epoch: usize,
        /// Its batch in that epoch.
        batch: usize,
        /// Its index in the run.
        step: u64,
        /// Samples of the batch.
        samples: usize,
        /// The loss that was minimized.
        loss: f64,
        /// The learning rate.
        lr: f64,
        /// Norm of all gradients before clipping; none without clipping.
        grad_norm: Option<f64>,
    },
    /// Samples of the training or of the validation set could not be read any more; their batch went on without them.
    Skipped {
        /// In which epoch.
        epoch: usize,
        /// Which ones, and why.
        samples: &'a [Skipped],
    },
    /// A batch had fewer samples than the network's batch norms need for a variance: no step was taken with it. Only where samples
    /// could not be read, or a set does not join a small last batch to the one before.
    TooFew {
        /// Its epoch.
        epoch: usize,
        /// Its batch in that epoch.
        batch: usize,
        /// How many samples it had.
        samples: usize,
        /// How many are needed.
        needed: usize,
    },
    /// An epoch was finished and evaluated.
    EpochEnd {
        /// Which one.
        epoch: usize,
        /// The mean of the minimized loss over the epoch's training batches, `loss`, and the metric that picks the best model.
        train: Scores,
        /// On the validation set, at the end of the epoch.
        val: &'a Evaluation,
        /// Whether it is the best so far.
        is_best: bool,
    },
    /// A soup of the best epochs was made: its model is the best.
    Soup {
        /// Of which epochs, counted from 0, the best first; one alone if none made it better.
        epochs: &'a [usize],
        /// How many were tried.
        of: usize,
        /// On the validation set.
        scores: &'a Scores,
    },
    /// Numbers were none any more: the run has gone back to its last checkpoint, and goes on at a smaller rate.
    Recovered {
        /// The epoch that it goes on in.
        epoch: usize,
        /// The step that comes next.
        step: u64,
        /// What all rates are multiplied by from now on.
        scale: f64,
        /// What was no number.
        reason: &'a str,
    },
    /// A file was written and is complete.
    Saved {
        /// Which one.
        path: &'a Path,
    },
    /// The run was asked to stop and can be resumed.
    Stopped {
        /// The step that comes next.
        step: u64,
    },
}

/// Receives events. Any `FnMut(&Event)` is one.
pub trait Observer {
    /// Is told each event when it happens, on the thread that trains.
    fn on_event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn on_event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
