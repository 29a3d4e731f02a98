//! Whether probabilities are those of being right.
//!
//! Above: `metrics`. Below: `metrics::classification`. Not here: making them so (temperature scaling).

use super::classification::{Answer, for_each_row};
use super::{Goal, Metric, Predictions};
use crate::error::Result;

/// Bins of confidence.
const BINS: usize = 15;

/// The expected calibration error of the likeliest class: `ece`. Over 15 bins of equal width, the mean distance between how sure
/// the network is and how often it is right, weighed by samples.
///
/// # Source
/// Guo et al. 2017, <https://arxiv.org/abs/1706.04599>; the bins are those of torchmetrics' `CalibrationError`.
///
/// # Examples
/// ```
/// use taper_train::{CalibrationError, Metric, Output, Predictions};
/// # fn main() -> taper_train::Result<()> {
/// let mut error = CalibrationError::new();
/// let sure = (0.9f32 / 0.1).ln(); // 90 % for the first class, which is right once of two times
/// let output = Output { name: "logits", values: &[sure, 0.0, sure, 0.0], shape: &[2, 2] };
/// error.update(&Predictions::new(vec![output], &vec![0, 1].into(), &[0, 1])?)?;
/// assert!(error.compute().is_some_and(|error| (error - 0.4).abs() < 1e-6));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CalibrationError {
    /// By bin: sum of confidences, right answers, samples.
    bins: Vec<[f64; 3]>,
}

impl Default for CalibrationError {
    fn default() -> Self {
        Self { bins: vec![[0.0; 3]; BINS] }
    }
}

impl CalibrationError {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an answer that was `confidence` sure, from 0 to 1; what is no number is left out.
    pub fn add(&mut self, confidence: f64, is_right: bool) {
        if !confidence.is_finite() {
            return;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a small number"
        )]
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        let [sum, right, samples] = &mut self.bins[bin];
        *sum += confidence;
        *right += f64::from(u8::from(is_right));
        *samples += 1.0;
    }

    /// The error; 0 of no samples.
    #[must_use]
    pub fn value(&self) -> f64 {
        let samples: f64 = self.bins.iter().map(|[_, _, samples]| samples).sum();
        let distance: f64 =
            self.bins.iter().map(|[confidence, right, _]| (confidence - right).abs()).sum();
        distance / samples.max(1.0)
    }

    /// The bins that have samples, the least sure first.
    pub fn bins(&self) -> impl Iterator<Item = CalibrationBin> + '_ {
        let filled = self.bins.iter().enumerate().filter(|(_, [_, _, samples])| *samples > 0.0);
        filled.map(|(bin, &[confidence, right, samples])| {
            #[expect(clippy::cast_precision_loss, reason = "a share of a small number")]
            let end = |bin: usize| bin as f64 / BINS as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count; a cast saturates"
            )]
            let count = samples as u64;
            CalibrationBin {
                confidences: [end(bin), end(bin + 1)],
                confidence: confidence / samples,
                accuracy: right / samples,
                samples: count,
            }
        })
    }
}

/// Answers that are about as sure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// The least and the highest confidence of the bin, from 0 to 1.
    pub confidences: [f64; 2],
    /// The mean confidence of its samples.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
    /// How many they are.
    pub samples: u64,
}

impl Metric for CalibrationError {
    fn name(&self) -> String {
        "ece".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Minimize
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        for_each_row(&self.name(), batch, None, |_, row, class| {
            let answer = Answer::of(row, class);
            self.add(answer.probability, answer.predicted == class);
        })
    }

    fn compute(&self) -> Option<f64> {
        Some(self.value())
    }

    fn state(&self) -> Vec<f64> {
        self.bins.concat()
    }

    fn load_state(&mut self, state: &[f64]) {
        *self = Self::default();
        for (bin, kept) in self.bins.iter_mut().zip(state.as_chunks::<3>().0) {
            *bin = *kept;
        }
    }
}
