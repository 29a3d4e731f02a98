//! Metrics that give every class the same weight, however many samples it has.
//!
//! Above: `metrics`. Below: `metrics::classification`. Not here: the share of all samples (`metrics::classification`), labels
//! (`metrics::labels`).

use super::classification::{for_each_row, largest};
use super::{Goal, Mean, Metric, Predictions};
use crate::error::{Error, Result};

/// What is averaged over classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Average {
    BalancedAccuracy,
    Precision,
    Recall,
    F1,
}

/// A mean over classes of precision, recall or F1, as scikit-learn computes them with `average="macro"` and `zero_division=0`: over
/// the classes that samples have or are taken for; of [`ClassMean::balanced_accuracy`] over those that samples have.
///
/// # Examples
/// ```
/// use taper_train::{ClassMean, Metric, Output, Predictions};
/// # fn main() -> taper_train::Result<()> {
/// let mut balanced = ClassMean::balanced_accuracy();
/// let output = Output { name: "logits", values: &[2.0, 0.0, 1.0, 0.0, 3.0, 0.0], shape: &[3, 2] };
/// let targets = vec![0, 1, 0].into(); // two of class 0, both right; one of class 1, wrong
/// balanced.update(&Predictions::new(vec![output], &targets, &[7, 8, 9])?)?;
/// assert_eq!((balanced.name(), balanced.compute()), ("balanced_accuracy".to_owned(), Some(0.5)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ClassMean {
    average: Average,
    /// By class: right, predicted, having.
    counts: Vec<[f64; 3]>,
}

impl ClassMean {
    fn new(average: Average) -> Self {
        Self { average, counts: Vec::new() }
    }

    /// The mean over classes of the share of a class's samples that are named rightly: `balanced_accuracy`.
    #[must_use]
    pub fn balanced_accuracy() -> Self {
        Self::new(Average::BalancedAccuracy)
    }

    /// The mean of the share of what is taken for a class that is of it: `precision`.
    #[must_use]
    pub fn precision() -> Self {
        Self::new(Average::Precision)
    }

    /// The mean of the share of a class's samples that are named rightly, 0 of a class without samples: `recall`.
    #[must_use]
    pub fn recall() -> Self {
        Self::new(Average::Recall)
    }

    /// The mean of `2 · right / (predicted + having)`: `f1`.
    #[must_use]
    pub fn f1() -> Self {
        Self::new(Average::F1)
    }
}

impl Metric for ClassMean {
    fn name(&self) -> String {
        let name = match self.average {
            Average::BalancedAccuracy => "balanced_accuracy",
            Average::Precision => "precision",
            Average::Recall => "recall",
            Average::F1 => "f1",
        };
        name.to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.counts.clear();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let k = batch.single()?.channels();
        if self.counts.is_empty() {
            self.counts = vec![[0.0; 3]; k];
        } else if self.counts.len() != k {
            let expected = format!("{} classes, as before", self.counts.len());
            return Err(Error::shape("the output", &[k], expected));
        }
        for_each_row(&self.name(), batch, None, |_, row, class| {
            self.counts[class][2] += 1.0;
            // A row with a NaN takes a sample for nothing.
            if row.iter().all(|logit| !logit.is_nan()) {
                let predicted = largest(row);
                self.counts[predicted][1] += 1.0;
                self.counts[class][0] += f64::from(u8::from(predicted == class));
            }
        })
    }

    fn compute(&self) -> Option<f64> {
        let mut mean = Mean::default();
        for &[right, predicted, having] in &self.counts {
            let (whole, counts) = match self.average {
                Average::BalancedAccuracy => (having, having > 0.0),
                Average::Precision => (predicted, predicted + having > 0.0),
                Average::Recall => (having, predicted + having > 0.0),
                Average::F1 => (0.5 * (predicted + having), predicted + having > 0.0),
            };
            if counts {
                mean.add(if whole > 0.0 { right / whole } else { 0.0 });
            }
        }
        Some(mean.value())
    }

    fn state(&self) -> Vec<f64> {
        self.counts.concat()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.counts = state.as_chunks::<3>().0.to_vec();
    }
}
