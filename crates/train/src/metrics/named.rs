//! A metric of one output among several.
//!
//! Above: users of networks with several heads. Below: any metric. Not here: networks with one output.

use super::{Goal, Metric, Predictions};
use crate::error::Result;

/// A metric of the output and the targets of one name, where there are several; its own name gets theirs in front: `mask_miou`.
///
/// # Examples
/// ```
/// use taper_train::{MeanAbsoluteError, Metric, OutputMetric};
/// assert_eq!(OutputMetric::new("age", MeanAbsoluteError::new()).name(), "age_mae");
/// ```
#[derive(Debug, Clone)]
pub struct OutputMetric<M> {
    output: String,
    target: String,
    metric: M,
}

impl<M: Metric> OutputMetric<M> {
    /// The output `name` against the targets `name`.
    pub fn new(name: &str, metric: M) -> Self {
        Self { output: name.to_owned(), target: name.to_owned(), metric }
    }

    /// Against the targets of another name.
    #[must_use]
    pub fn with_target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// The metric itself.
    pub fn metric(&self) -> &M {
        &self.metric
    }
}

impl<M: Metric> Metric for OutputMetric<M> {
    fn name(&self) -> String {
        format!("{}_{}", self.output, self.metric.name())
    }

    fn goal(&self) -> Goal {
        self.metric.goal()
    }

    fn reset(&mut self) {
        self.metric.reset();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        self.metric.update(&batch.select(&self.output, &self.target)?)
    }

    fn compute(&self) -> Option<f64> {
        self.metric.compute()
    }

    fn state(&self) -> Vec<f64> {
        self.metric.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.metric.load_state(state);
    }
}
