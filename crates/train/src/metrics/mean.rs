//! Means over samples: of a loss function, of any function of outputs and targets.
//!
//! Above: `fit`, users' metrics. Below: `layers::loss::Loss`. Not here: metrics with sums of their own.

use candle_core::{Device, Tensor};
use taper_data::Targets;
use taper_layers::NamedTensors;
use taper_layers::loss::Loss;

use super::scores::LOSS;
use super::{Goal, Mean, Metric, Predictions};
use crate::error::{Result, at};

/// The mean of a loss function over samples: `loss`.
#[derive(Clone)]
pub struct MeanLoss<'a> {
    loss: &'a dyn Loss,
    mean: Mean,
}

impl std::fmt::Debug for MeanLoss<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeanLoss").field("mean", &self.mean).finish_non_exhaustive()
    }
}

impl<'a> MeanLoss<'a> {
    /// Of no samples yet. A batch's loss counts as often as it has samples.
    #[must_use]
    pub fn new(loss: &'a dyn Loss) -> Self {
        Self { loss, mean: Mean::default() }
    }
}

impl Metric for MeanLoss<'_> {
    fn name(&self) -> String {
        LOSS.to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Minimize
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    #[expect(clippy::cast_precision_loss, reason = "batch sizes stay far below 2^53")]
    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (outputs, targets) = (output_tensors(batch)?, target_tensors(batch.targets())?);
        let loss = self.loss.loss(&outputs, &targets).map_err(at("the loss"))?;
        let samples = batch.indices().len() as f64;
        self.mean.sum += scalar(&loss)? * samples;
        self.mean.count += samples;
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        Some(self.mean.value())
    }

    fn state(&self) -> Vec<f64> {
        self.mean.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.mean = Mean::load(state);
    }
}

/// The mean of a function over samples, under a name of one's own.
///
/// # Examples
/// ```
/// use taper_train::{Goal, MeanOf, Metric, Output, Predictions};
/// # fn main() -> taper_train::Result<()> {
/// // How far the worst number of each sample is off.
/// let mut worst = MeanOf::new("worst", Goal::Minimize, |batch: &Predictions<'_>| {
///     let (output, targets) = (batch.single()?, batch.targets().values().unwrap_or(&[]));
///     let rows = output.rows().zip(targets.chunks(output.channels()));
///     let worst = rows.map(|(row, targets)| row.iter().zip(targets).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max));
///     Ok(worst.map(f64::from).collect())
/// });
/// let targets = taper_data::Targets::collate([
///     taper_data::Target::numbers(vec![1.0, 2.0]),
///     taper_data::Target::numbers(vec![0.0, 0.0]),
/// ]).unwrap();
/// let output = Output { name: "xy", values: &[1.0, 5.0, 1.0, 0.5], shape: &[2, 2] };
/// worst.update(&Predictions::new(vec![output], &targets, &[0, 1])?)?;
/// assert_eq!(worst.compute(), Some(2.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MeanOf<F> {
    name: String,
    goal: Goal,
    of_samples: F,
    mean: Mean,
}

impl<F> std::fmt::Debug for MeanOf<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeanOf").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Fn(&Predictions<'_>) -> Result<Vec<f64>>> MeanOf<F> {
    /// `of_samples` gives a number for each sample of a batch, or for each of whatever is averaged.
    pub fn new(name: &str, goal: Goal, of_samples: F) -> Self {
        Self { name: name.to_owned(), goal, of_samples, mean: Mean::default() }
    }
}

impl<F: Fn(&Predictions<'_>) -> Result<Vec<f64>>> Metric for MeanOf<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn goal(&self) -> Goal {
        self.goal
    }

    fn reset(&mut self) {
        self.mean = Mean::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        (self.of_samples)(batch)?.into_iter().for_each(|value| self.mean.add(value));
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        Some(self.mean.value())
    }

    fn state(&self) -> Vec<f64> {
        self.mean.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.mean = Mean::load(state);
    }
}

/// Targets as a loss takes them.
pub(crate) fn target_tensors(targets: &Targets) -> Result<NamedTensors> {
    let mut tensors = Vec::new();
    for (name, part) in targets.parts() {
        tensors.push((name, part.to_tensor(&Device::Cpu)?));
    }
    Ok(NamedTensors::new(tensors))
}

/// Outputs as a loss takes them: `(n, k)`, `(n, k, h, w)`.
fn output_tensors(batch: &Predictions<'_>) -> Result<NamedTensors> {
    let mut tensors = Vec::new();
    for output in batch.outputs() {
        let tensor = Tensor::from_slice(output.values, output.shape, &Device::Cpu)
            .and_then(|xs| if xs.rank() == 4 { xs.permute((0, 3, 1, 2)) } else { Ok(xs) });
        tensors.push((output.name, tensor.map_err(at("the outputs"))?));
    }
    Ok(NamedTensors::new(tensors))
}

/// A loss as a number.
pub(crate) fn scalar(loss: &Tensor) -> Result<f64> {
    loss.to_scalar::<f32>().map(f64::from).map_err(at("loss"))
}
