//! Metrics: what tells how good a network is, collected batch by batch; any number of them, one of which picks the best model.
//!
//! Above: `evaluate`, `fit`. Below: `metrics::{classification, by_class, ranking, calibration, labels, numbers, segmentation, mean, named}`, `data::Targets`. Not here: the loss that
//! is minimized (`layers::loss`).
//! Fractions are in 0–1. Sums run in `f64` in the order of the samples, so equal runs give equal bits.

mod by_class;
mod calibration;
mod classification;
mod labels;
mod mean;
mod named;
mod numbers;
mod ranking;
mod review;
mod scores;
mod segmentation;
#[cfg(test)]
mod tests;

use taper_data::Targets;

use crate::error::{Error, Result};

pub use by_class::ClassMean;
pub use calibration::{CalibrationBin, CalibrationError};
pub use classification::{Accuracy, LogLoss};
pub use labels::{MultiLabelAccuracy, MultiLabelF1};
pub use mean::{MeanLoss, MeanOf};
pub(crate) use mean::{scalar, target_tensors};
pub use named::OutputMetric;
pub use numbers::{MeanAbsoluteError, SquaredError};
pub use ranking::RankingArea;
pub use review::{Confusion, Mistake, Review};
pub(crate) use scores::LOSS;
pub use scores::{Evaluation, Scores, confidence_interval};
pub use segmentation::MeanIou;

/// Which of two values is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The higher one: accuracy.
    Maximize,
    /// The lower one: an error.
    Minimize,
}

/// A number that is collected batch by batch.
///
/// # Examples
/// ```
/// use taper_train::{Accuracy, Metric, Output, Predictions};
/// # fn main() -> taper_train::Result<()> {
/// let mut top1 = Accuracy::top(1);
/// let output = Output { name: "logits", values: &[2.0, 0.0, 1.0, 0.0], shape: &[2, 2] };
/// let targets = vec![0, 1].into(); // two samples: right, then wrong
/// top1.update(&Predictions::new(vec![output], &targets, &[7, 8])?)?;
/// assert_eq!(top1.compute(), Some(0.5));
/// # Ok(())
/// # }
/// ```
pub trait Metric {
    /// What the log calls it, such as `top1`.
    fn name(&self) -> String;

    /// Which values are better.
    fn goal(&self) -> Goal;

    /// Forgets all samples.
    fn reset(&mut self);

    /// Adds a batch.
    ///
    /// # Errors
    /// [`Error::TargetKind`] for targets it cannot work with, [`Error::Shape`] for an output of another shape than they need,
    /// [`Error::SeveralOutputs`] if it is to look at one and there are several (see [`OutputMetric`]).
    fn update(&mut self, batch: &Predictions<'_>) -> Result<()>;

    /// Its value for all samples since the last reset, 0 of none; nothing for one that is no number, such as a confusion matrix.
    fn compute(&self) -> Option<f64>;

    /// The sums so far. A checkpoint in the middle of an epoch keeps them.
    fn state(&self) -> Vec<f64>;

    /// Goes on from [`Metric::state`] of the same metric.
    fn load_state(&mut self, state: &[f64]);
}

/// A metric that stays with its owner, who reads it afterwards.
impl<M: Metric + ?Sized> Metric for &mut M {
    fn name(&self) -> String {
        (**self).name()
    }

    fn goal(&self) -> Goal {
        (**self).goal()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        (**self).update(batch)
    }

    fn compute(&self) -> Option<f64> {
        (**self).compute()
    }

    fn state(&self) -> Vec<f64> {
        (**self).state()
    }

    fn load_state(&mut self, state: &[f64]) {
        (**self).load_state(state);
    }
}

/// One output of a network for a batch, channels last.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    /// Its name in the network.
    pub name: &'a str,
    /// Its values.
    pub values: &'a [f32],
    /// `(n, k)`, or `(n, h, w, k)` of a map.
    pub shape: &'a [usize],
}

impl<'a> Output<'a> {
    /// Length of the last axis.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    /// The channels of each sample, or of each position of each sample.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.channels().max(1))
    }
}

/// What a network gave for a batch, and what it should have given.
#[derive(Debug, Clone)]
pub struct Predictions<'a> {
    outputs: Vec<Output<'a>>,
    targets: &'a Targets,
    indices: &'a [usize],
}

impl<'a> Predictions<'a> {
    /// Outputs and targets of the same samples; `indices` say which of their set these are.
    ///
    /// # Errors
    /// [`Error::Shape`] if they are not of as many samples, or an output's values do not have its shape.
    pub fn new(
        outputs: Vec<Output<'a>>,
        targets: &'a Targets,
        indices: &'a [usize],
    ) -> Result<Self> {
        let n = indices.len();
        for Output { name, values, shape } in &outputs {
            let fits = shape.first() == Some(&n) && shape.iter().product::<usize>() == values.len();
            if !fits {
                let expected = format!("{n} samples of {} values in all", values.len());
                return Err(Error::shape(&format!("output `{name}`"), shape, expected));
            }
        }
        if targets.len() != n {
            return Err(Error::shape("the targets", &[targets.len()], format!("{n} samples")));
        }
        Ok(Self { outputs, targets, indices })
    }

    /// All outputs.
    #[must_use]
    pub fn outputs(&self) -> &[Output<'a>] {
        &self.outputs
    }

    /// The targets.
    #[must_use]
    pub fn targets(&self) -> &'a Targets {
        self.targets
    }

    /// Indices of the samples in their set, `(n)`.
    #[must_use]
    pub fn indices(&self) -> &'a [usize] {
        self.indices
    }

    /// The output, where there is one only.
    ///
    /// # Errors
    /// [`Error::SeveralOutputs`].
    pub fn single(&self) -> Result<Output<'a>> {
        match *self.outputs.as_slice() {
            [output] => Ok(output),
            _ => Err(Error::SeveralOutputs { names: self.names() }),
        }
    }

    /// The output of one name with the targets of another.
    ///
    /// # Errors
    /// [`Error::NoOutput`] or [`Error::NoTarget`] if there are none of that name.
    pub fn select(&self, output: &str, target: &str) -> Result<Self> {
        let found = self.outputs.iter().find(|known| known.name == output);
        let missing = || Error::NoOutput { name: output.to_owned(), known: self.names() };
        let outputs = vec![*found.ok_or_else(missing)?];
        let mut parts = self.targets.parts().into_iter();
        let targets = parts.find(|(name, _)| name == target).map(|(_, part)| part);
        let targets = targets.ok_or_else(|| Error::NoTarget {
            name: target.to_owned(),
            known: self.targets.parts().into_iter().map(|(name, _)| name).collect(),
        })?;
        Ok(Self { outputs, targets, indices: self.indices })
    }

    fn names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.to_owned()).collect()
    }
}

/// A sum over a number of things: the state of most metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1.0;
    }

    /// Of nothing, 0.
    fn value(self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    fn state(self) -> Vec<f64> {
        vec![self.sum, self.count]
    }

    fn load(state: &[f64]) -> Self {
        if let &[sum, count] = state { Self { sum, count } } else { Self::default() }
    }
}
