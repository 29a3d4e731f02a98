//! A new head learns alone, on features computed once, before everything else is trained with it.
//!
//! Above: `tune`. Below: `taper_transfer`, `taper_train::step`. Not here: features (`tune`), the main loop (`taper_train::Fit`).
//! Source: linear probing before fine-tuning, Kumar et al. 2022, <https://arxiv.org/abs/2202.10054>.

use taper_layers::Network;
use taper_model::Model;
use taper_optim::{AdamW, Optimizer, Schedule};
use taper_train::{Batches, Participants, StepSettings, Vectors, step};

use crate::error::{Error, Result};
use crate::groups;
use crate::options::FineTuneOptions;
use crate::task::Objective;
use crate::tune::new_network;

/// Highest learning rate of the head alone, with `AdamW`.
const LR: f64 = 1e-3;

/// Trains the head of `model` on the vectors of its backbone, and writes it into `network`.
///
/// The same options give the same bits. Takes milliseconds an epoch.
pub(crate) fn train(
    network: &Network,
    model: &Model,
    vectors: Vectors,
    objective: &Objective,
    options: &FineTuneOptions,
) -> Result<()> {
    let head = taper_transfer::detach_head(model).map_err(|source| Error::Transfer { source })?;
    let head = new_network(&head, options)?;
    let failed = |source| Error::Train { source };
    let optimizer = Optimizer::from_groups(groups::groups(&head, options), AdamW::default());
    let mut optimizer = optimizer.map_err(|source| failed(source.into()))?;
    let batches = vectors.shuffled(options.seed);
    let schedule = Schedule::cosine(LR, (options.head_epochs * batches.n_batches()) as u64);
    let mut done = 0;
    for epoch in 0..options.head_epochs {
        for batch in batches.epoch(epoch, 0) {
            let settings = StepSettings {
                lr: schedule.lr_at(done),
                clip: None,
                seed: options.seed.wrapping_add(done),
                step: done,
            };
            let batch = batch.map_err(failed)?;
            step(&head, &mut optimizer, batch, objective.loss(), Participants::default(), settings)
                .map_err(failed)?;
            done += 1;
        }
    }
    for (name, trained) in head.trainable() {
        let place = network.params().iter().find(|param| param.name == name);
        let Some(param) = place else { continue };
        param.var.set(&trained).map_err(|source| failed(candle(source)))?;
    }
    Ok(())
}

fn candle(source: candle_core::Error) -> taper_train::Error {
    taper_train::Error::Tensor { what: "the head", source }
}
