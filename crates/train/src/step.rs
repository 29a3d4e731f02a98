//! The training step, on one screen.
//!
//! Above: `fit`. Below: `hook`, `layers::Network`, `metrics`, `optim`. Not here: which batch and which learning rate (`fit`).

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use taper_data::{Batch, Targets};
use taper_layers::{NamedTensors, Network, loss::Loss};
use taper_optim::{Clip, Optimizer, Rule};

use crate::StepHook;
use crate::error::{Error, Result, at};
use crate::metrics::{Metric, Output, Predictions, scalar, target_tensors};
use crate::parallel::Rows;

/// The numbers of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// Learning rate.
    pub lr: f64,
    /// How gradients are clipped; none: not at all.
    pub clip: Option<Clip>,
    /// Decides which units this step drops.
    pub seed: u64,
    /// Its number in the run, from 0: what hooks are told.
    pub step: u64,
}

/// Who takes part in a step besides network, optimizer and loss: by default nobody.
#[derive(Default)]
pub struct Participants<'s, 'h> {
    /// Sees what the network gave before it moved.
    pub metric: Option<&'s mut dyn Metric>,
    /// See, in their order, the gradients before they are clipped, and the parameters afterwards.
    pub hooks: &'s mut [Box<dyn StepHook + 'h>],
}

impl std::fmt::Debug for Participants<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hooks: Vec<String> = self.hooks.iter().map(|hook| hook.describe()).collect();
        f.debug_struct("Participants").field("hooks", &hooks).finish_non_exhaustive()
    }
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The loss before the step.
    pub loss: f64,
    /// Norm of all gradients before clipping; none where it is not clipped.
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
    loss: &dyn Loss,
    Participants { metric, hooks }: Participants<'_, '_>,
    settings: StepSettings,
) -> Result<StepReport> {
    let Batch { xs, shape, targets, indices, .. } = batch;
    let xs = pictures(xs, shape)?;
    let wanted = target_tensors(&targets)?;
    let value =
        network.value_and_grad_all(&xs, settings.seed, |outputs| loss.loss(outputs, &wanted))?;
    let loss = scalar(&value.loss)?;
    finite("the loss", loss)?;

    let grad_norm = move_parameters(network, optimizer, value.grads, hooks, settings)?;
    if let Some(metric) = metric {
        collect(metric, &value.outputs, &targets, &indices)?;
    }
    Ok(StepReport { loss, grad_norm })
}

/// Pictures `(n, h, w, c)` as the network takes them.
pub(crate) fn pictures(xs: Vec<f32>, [n, h, w]: [usize; 3]) -> Result<Tensor> {
    Tensor::from_vec(xs, (n, h, w, ()), &Device::Cpu)
        .and_then(|xs| xs.permute((0, 3, 1, 2)))
        .map_err(at("batch"))
}

/// All of a step that comes behind its gradients; returns their norm before clipping, if they are clipped.
pub(crate) fn move_parameters<R: Rule>(
    network: &Network,
    optimizer: &mut Optimizer<R>,
    mut grads: GradStore,
    hooks: &mut [Box<dyn StepHook + '_>],
    settings: StepSettings,
) -> Result<Option<f64>> {
    for hook in &mut *hooks {
        hook.on_gradients(settings.step, network, &mut grads)?;
    }
    let grad_norm = match settings.clip {
        Some(clip) => clip.apply(&mut grads, optimizer)?,
        None => None,
    };
    finite("the gradient norm", grad_norm.unwrap_or(0.0))?;

    optimizer.step_at(&grads, settings.lr)?;
    for hook in hooks {
        hook.after_step(settings.step, network)?;
    }
    Ok(grad_norm)
}

/// Refuses what is no number.
pub(crate) fn finite(what: &str, value: f64) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::NotFinite { what: what.to_owned(), value }) }
}

/// Shows a metric the outputs of a batch.
fn collect(
    metric: &mut dyn Metric,
    outputs: &NamedTensors,
    targets: &Targets,
    indices: &[usize],
) -> Result<()> {
    let kept = rows(outputs)?;
    let outputs = kept.iter();
    let outputs = outputs.map(|Rows { name, values, shape }| Output { name, values, shape });
    metric.update(&Predictions::new(outputs.collect(), targets, indices)?)
}

/// Outputs as metrics see them.
pub(crate) fn rows(outputs: &NamedTensors) -> Result<Vec<Rows>> {
    let mut kept = Vec::new();
    for (name, tensor) in outputs.iter() {
        // A map is a channels-last view, so that this only undoes the view.
        let rows =
            if tensor.rank() == 4 { tensor.permute((0, 2, 3, 1)) } else { Ok(tensor.clone()) };
        let values =
            rows.and_then(|rows| Ok((rows.flatten_all()?.to_vec1()?, rows.dims().to_vec())));
        let (values, shape): (Vec<f32>, Vec<usize>) = values.map_err(at("metrics"))?;
        kept.push(Rows { name: name.to_owned(), values, shape });
    }
    Ok(kept)
}
