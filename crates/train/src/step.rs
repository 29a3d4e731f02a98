//! The training step, on one screen.
//!
//! Above: `fit`. Below: `layers::Network`, `layers::loss`, `optim`. Not here: which batch and which learning rate (`fit`).

use candle_core::{Device, Tensor};
use taper_data::Batch;
use taper_layers::{Network, loss::cross_entropy};
use taper_optim::{Optimizer, Rule, clip_grad_norm};

use crate::error::{Error, Result, at};
use crate::metrics::count_hits;

/// The numbers of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// Learning rate.
    pub lr: f64,
    /// Weight of the uniform distribution in the targets, in `[0, 1]`.
    pub label_smoothing: f64,
    /// Largest norm of all gradients together; none: not clipped.
    pub clip_norm: Option<f64>,
    /// Decides which units this step drops.
    pub seed: u64,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The loss before the step, in nats.
    pub loss: f64,
    /// Samples whose class had the largest logit, before the step.
    pub hits: u64,
    /// Norm of all gradients before clipping; none without clipping.
    pub grad_norm: Option<f64>,
}

/// Runs one batch forward and backward, and moves the trained parameters.
///
/// # Errors
/// [`Error::NotFinite`] if loss or gradient norm are no numbers; then no parameter has moved.
pub fn step<R: Rule>(
    network: &Network,
    optimizer: &mut Optimizer<R>,
    batch: Batch,
    settings: StepSettings,
) -> Result<StepReport> {
    let (xs, targets) = batch.into_tensors(&Device::Cpu)?;
    let value = network.value_and_grad(&xs, settings.seed, |logits| {
        cross_entropy(logits, &targets, settings.label_smoothing)
    })?;
    let loss = f64::from(value.loss.to_scalar::<f32>().map_err(at("loss"))?);
    finite("the loss", loss)?;

    let mut grads = value.grads;
    let grad_norm = match settings.clip_norm {
        Some(max_norm) => Some(clip_grad_norm(&mut grads, optimizer.vars(), max_norm)?),
        None => None,
    };
    finite("the gradient norm", grad_norm.unwrap_or(0.0))?;

    optimizer.step_at(&grads, settings.lr)?;
    let hits = hits(&value.logits, &targets).map_err(at("metrics"))?;
    Ok(StepReport { loss, hits, grad_norm })
}

/// Refuses what is no number.
pub(crate) fn finite(what: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { what: what.to_owned(), value }) }
}

fn hits(logits: &Tensor, targets: &Tensor) -> candle_core::Result<u64> {
    let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    Ok(count_hits(&logits, &targets.to_vec1::<u32>()?))
}
