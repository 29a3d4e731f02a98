//! A learning rate that falls when scores do not get better any more, as a pure function of the scores so far.
//!
//! Above: `schedule`. Below: nothing. Not here: which score (`train`), schedules of the step (`schedule`).
//! Source: `torch.optim.lr_scheduler.ReduceLROnPlateau`, PyTorch 2.x, with its relative threshold.

use crate::error::{Result, check};

/// When to multiply the rate, and by what; the defaults are PyTorch's.
///
/// A score is better than the best so far if it is so by more than a share of `threshold`. After more than `patience` scores in a row that are
/// not, the rate is multiplied by `factor`, and for `cooldown` scores none is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plateau {
    /// What the rate is multiplied by, from 0 to below 1. Default 0.1.
    pub factor: f64,
    /// Scores in a row that may be no better. Default 10.
    pub patience: u64,
    /// The share by which a score must be better to count. Default 1e-4.
    pub threshold: f64,
    /// Scores after a fall that are not counted. Default 0.
    pub cooldown: u64,
    /// The least rate. Default 0.
    pub floor: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, floor: 0.0 }
    }
}

/// Scores of evaluations, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores<'a> {
    /// The scores.
    pub values: &'a [f64],
    /// Which of two is better.
    pub better: Better,
}

impl Scores<'_> {
    /// Before the first evaluation.
    pub const NONE: Self = Self { values: &[], better: Better::Lower };
}

/// Which of two scores is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// The lower one, as of losses.
    Lower,
    /// The higher one, as of accuracies.
    Higher,
}

/// A change of the rate by less is none, in PyTorch.
const LEAST_CHANGE: f64 = 1e-8;

impl Plateau {
    /// Refuses settings outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the field's name.
    pub fn check(&self) -> Result<()> {
        check("factor", self.factor, 0.0..1.0, "a number from 0 to below 1")?;
        check("threshold", self.threshold, 0.0..1.0, "a number from 0 to below 1")?;
        check("floor", self.floor, 0.0..f64::INFINITY, "a finite number, 0 or more")
    }

    /// The rate after these scores, from `lr` on.
    pub fn lr_after(&self, lr: f64, scores: Scores<'_>) -> f64 {
        let (mut lr, mut best, mut bad, mut cooling) = (lr, None, 0, 0);
        for &score in scores.values {
            if self.beats(score, best, scores.better) {
                (best, bad) = (Some(score), 0);
            } else {
                bad += 1;
            }
            if cooling > 0 {
                (cooling, bad) = (cooling - 1, 0);
            }
            if bad > self.patience {
                let lower = (lr * self.factor).max(self.floor);
                if lr - lower > LEAST_CHANGE {
                    lr = lower;
                }
                (cooling, bad) = (self.cooldown, 0);
            }
        }
        lr
    }

    fn beats(&self, score: f64, best: Option<f64>, better: Better) -> bool {
        match (best, better) {
            (None, _) => !score.is_nan(),
            (Some(best), Better::Lower) => score < best * (1.0 - self.threshold),
            (Some(best), Better::Higher) => score > best * (1.0 + self.threshold),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_falls_after_more_scores_than_patience_and_not_below_its_floor() {
        let plateau = Plateau { factor: 0.1, patience: 2, floor: 0.05, ..Plateau::default() };
        let falling = |n: usize| {
            let values: Vec<f64> = std::iter::once(1.0).chain(vec![1.0; n]).collect();
            plateau.lr_after(1.0, Scores { values: &values, better: Better::Lower })
        };
        for (n, expected) in [(0, 1.0), (2, 1.0), (3, 0.1), (5, 0.1), (6, 0.05), (60, 0.05)] {
            assert!((falling(n) - expected).abs() < 1e-12, "{n}: {}", falling(n));
        }
        assert!(Plateau { factor: 1.0, ..plateau }.check().is_err());
    }
}
