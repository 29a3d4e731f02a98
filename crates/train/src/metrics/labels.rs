//! Metrics of many labels at once, each of which holds or not.
//!
//! Above: `metrics`. Below: `data::Targets`. Not here: one class out of many (`metrics::classification`).
//! A label is predicted where its logit is above 0, which is a probability above one half; a target holds from one half on. A target that is
//! NaN is not known, and counts nowhere.

use taper_data::Targets;

use super::{Goal, Mean, Metric, Output, Predictions};
use crate::error::{Error, Result};

/// The share of labels that are told rightly, over all samples and labels: `label_accuracy`.
#[derive(Debug, Clone, Default)]
pub struct MultiLabelAccuracy {
    hits: Mean,
}

impl MultiLabelAccuracy {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Metric for MultiLabelAccuracy {
    fn name(&self) -> String {
        "label_accuracy".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.hits = Mean::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (output, targets) = (batch.single()?, labels(&self.name(), batch)?);
        for (row, targets) in output.rows().zip(targets.chunks_exact(output.channels().max(1))) {
            for (&logit, &target) in row.iter().zip(targets).filter(|(_, target)| !target.is_nan())
            {
                self.hits.add(if is_predicted(logit) == holds(target) { 1.0 } else { 0.0 });
            }
        }
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        Some(self.hits.value())
    }

    fn state(&self) -> Vec<f64> {
        self.hits.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.hits = Mean::load(state);
    }
}

/// The mean over labels of F1, `2 · right / (predicted + holding)`: `f1`. A label that neither holds nor is predicted anywhere counts 0,
/// as in scikit-learn's `f1_score(average="macro")`.
#[derive(Debug, Clone, Default)]
pub struct MultiLabelF1 {
    /// By label: right, predicted, holding.
    counts: Vec<[f64; 3]>,
}

impl MultiLabelF1 {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Metric for MultiLabelF1 {
    fn name(&self) -> String {
        "f1".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.counts.clear();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (output, targets) = (batch.single()?, labels(&self.name(), batch)?);
        let k = output.channels();
        if self.counts.is_empty() {
            self.counts = vec![[0.0; 3]; k];
        } else if self.counts.len() != k {
            let expected = format!("{} labels, as before", self.counts.len());
            return Err(Error::shape("the output", &[k], expected));
        }
        for (row, targets) in output.rows().zip(targets.chunks_exact(k.max(1))) {
            for ((count, &logit), &target) in self.counts.iter_mut().zip(row).zip(targets) {
                if target.is_nan() {
                    continue;
                }
                let (predicted, holds) = (is_predicted(logit), holds(target));
                let add = [predicted && holds, predicted, holds];
                count
                    .iter_mut()
                    .zip(add)
                    .for_each(|(count, add)| *count += f64::from(u8::from(add)));
            }
        }
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        let mut f1 = Mean::default();
        for [right, predicted, holding] in &self.counts {
            f1.add(2.0 * right / (predicted + holding).max(1.0));
        }
        Some(f1.value())
    }

    fn state(&self) -> Vec<f64> {
        self.counts.concat()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.counts = state.as_chunks::<3>().0.to_vec();
    }
}

/// A NaN predicts nothing.
fn is_predicted(logit: f32) -> bool {
    logit > 0.0
}

fn holds(target: f32) -> bool {
    target >= 0.5
}

/// The labels of a batch, `(n, k)`, as many as the output has logits.
fn labels<'a>(metric: &str, batch: &Predictions<'a>) -> Result<&'a [f32]> {
    let output: Output<'_> = batch.single()?;
    match batch.targets() {
        Targets::Labels(array) if array.shape().len() == 2 && output.shape.len() == 2 => {
            if array.shape() != output.shape {
                let what = format!("output `{}`", output.name);
                return Err(Error::shape(&what, output.shape, format!("{:?}", array.shape())));
            }
            Ok(array.values())
        }
        targets => Err(Error::target_kind(metric, "labels (n, k) of an output (n, k)", targets)),
    }
}
