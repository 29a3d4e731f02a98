//! Metrics of maps of classes.
//!
//! Above: `metrics`. Below: `metrics::{classification, review}`. Not here: the share of right pixels, which is [`Accuracy`](super::Accuracy) of maps.

use super::classification::{for_each_row, largest};
use super::review::Confusion;
use super::{Goal, Mean, Metric, Predictions};
use crate::error::Result;

/// The mean over classes of intersection over union, `right / (predicted + true − right)`, counted over all positions of all samples:
/// `miou`. Classes that are neither there nor predicted are left out.
#[derive(Debug, Clone, Default)]
pub struct MeanIou {
    ignore_index: Option<u32>,
    confusion: Confusion,
}

impl MeanIou {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A class that stands for none: its positions are not counted.
    #[must_use]
    pub fn with_ignore_index(mut self, ignore_index: u32) -> Self {
        self.ignore_index = Some(ignore_index);
        self
    }
}

impl Metric for MeanIou {
    fn name(&self) -> String {
        "miou".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.confusion = Confusion::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (name, mut added) = (self.name(), Ok(()));
        for_each_row(&name, batch, self.ignore_index, |_, row, target| {
            if added.is_ok() {
                added = self.confusion.add(row.len(), target, largest(row));
            }
        })?;
        added
    }

    fn compute(&self) -> Option<f64> {
        let mut iou = Mean::default();
        for class in 0..self.confusion.n_classes() {
            let sum = |count: &dyn Fn(usize) -> u64| -> u64 {
                (0..self.confusion.n_classes()).map(count).sum()
            };
            let right = self.confusion.count(class, class);
            let there = sum(&|predicted| self.confusion.count(class, predicted));
            let predicted = sum(&|target| self.confusion.count(target, class));
            if there + predicted > 0 {
                iou.add(ratio(right, there + predicted - right));
            }
        }
        Some(iou.value())
    }

    fn state(&self) -> Vec<f64> {
        self.confusion.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.confusion = Confusion::load(state);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
