//! What a new head begins with, and that it learns alone, on features computed once, before everything else is trained with it.
//!
//! Above: `tune`. Below: `taper_transfer`, `taper_train::step`. Not here: features (`tune`), the main loop (`taper_train::Fit`).
//! Source: linear probing before fine-tuning, Kumar et al. 2022, <https://arxiv.org/abs/2202.10054>.

use taper_data::Targets;
use taper_layers::Network;
use taper_model::Model;
use taper_optim::{AdamW, Optimizer, Schedule};
use taper_train::{Batches, Participants, StepSettings, Vectors, step};
use taper_transfer::{detach_head, mixed_head};

use crate::error::{Error, Result};
use crate::groups;
use crate::options::FineTuneOptions;
use crate::task::Objective;
use crate::tune::new_network;

/// Highest learning rate of the head alone, with `AdamW`.
const LR: f64 = 1e-3;

/// Trains a head on the vectors of its backbone where it is to be trained alone, and writes it into `network`.
///
/// The same options give the same bits. Takes milliseconds an epoch.
pub(crate) fn train(
    network: &Network,
    head: &Model,
    vectors: Vectors,
    objective: &Objective,
    options: &FineTuneOptions,
) -> Result<()> {
    let head = new_network(head, options)?;
    let epochs = if options.warms_head() { options.head_epochs } else { 0 };
    let failed = |source| Error::Train { source };
    let optimizer = Optimizer::from_groups(groups::groups(&head, options), AdamW::default());
    let mut optimizer = optimizer.map_err(|source| failed(source.into()))?;
    let batches = vectors.shuffled(options.seed);
    let schedule = Schedule::cosine(LR, (epochs * batches.n_batches()) as u64);
    let mut done = 0;
    for epoch in 0..epochs {
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

/// The head that `model` begins with: its own, or mixed of that of the model it was made of, by what that one says of the training pictures.
pub(crate) fn begun(model: &Model, old: Option<&Model>, vectors: &Vectors) -> Result<Model> {
    let failed = |source| Error::Transfer { source };
    let belongs = belongs(vectors.targets(), model.classes().len());
    match (old, belongs) {
        (Some(old), Some(belongs)) => {
            mixed_head(old, model.classes(), vectors.values(), &belongs).map_err(failed)
        }
        _ => detach_head(model).map_err(failed),
    }
}

/// How much each picture is of each class, `(n, classes)`; nothing where pictures have no classes.
fn belongs(targets: &Targets, classes: usize) -> Option<Vec<f32>> {
    match targets {
        Targets::Classes(of) => {
            let mut shares = vec![0.0; of.len() * classes];
            for (row, &class) in shares.chunks_mut(classes.max(1)).zip(of) {
                *row.get_mut(class as usize)? = 1.0;
            }
            Some(shares)
        }
        Targets::Probabilities(shares) => Some(shares.values().to_vec()),
        _ => None,
    }
}

fn candle(source: candle_core::Error) -> taper_train::Error {
    taper_train::Error::Tensor { what: "the head", source }
}

#[cfg(test)]
mod tests;
