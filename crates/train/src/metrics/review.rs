//! Which class was taken for which, and the answers that were most surely wrong.
//!
//! Above: `recipes`. Below: `metrics::classification`. Not here: rates (`metrics::classification`), the names of classes and pictures (`recipes`).

use super::classification::{Answer, for_each_row, rank};
use super::{Goal, Metric, Predictions};
use crate::error::{Error, Result};

/// Counts of answers by class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confusion {
    n_classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// How many classes there are.
    #[must_use]
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// How many samples of class `target` were taken for class `predicted`; 0 if there is no such class.
    #[must_use]
    pub fn count(&self, target: usize, predicted: usize) -> u64 {
        let row = self.counts.chunks_exact(self.n_classes.max(1)).nth(target);
        row.and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    }

    pub(super) fn state(&self) -> Vec<f64> {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        self.counts.iter().map(|&count| count as f64).collect()
    }

    pub(super) fn load(state: &[f64]) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "they were counts; a cast saturates"
        )]
        let counts: Vec<u64> = state.iter().map(|&count| count as u64).collect();
        let n_classes = counts.len().isqrt();
        if n_classes * n_classes == counts.len() {
            Self { n_classes, counts }
        } else {
            Self::default()
        }
    }

    pub(super) fn add(&mut self, n_classes: usize, target: usize, predicted: usize) -> Result<()> {
        if self.counts.is_empty() {
            *self = Self { n_classes, counts: vec![0; n_classes * n_classes] };
        }
        match self.counts.get_mut(target * self.n_classes + predicted) {
            Some(count) if self.n_classes == n_classes => *count += 1,
            _ => {
                let expected = format!("{} classes, as before", self.n_classes);
                return Err(Error::shape("the output", &[n_classes], expected));
            }
        }
        Ok(())
    }
}

/// A wrong answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// Index of the sample in its set.
    pub index: usize,
    /// Its class.
    pub target: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// The probability given to that class.
    pub probability: f64,
}

/// How many mistakes a review keeps.
pub(super) const MISTAKES: usize = 20;

/// The confusion matrix, and the wrong answers with the highest probability. A metric without a number.
///
/// # Examples
/// ```
/// use taper_train::{Metric, Output, Predictions, Review};
/// # fn main() -> taper_train::Result<()> {
/// let mut review = Review::new();
/// let output = Output { name: "logits", values: &[2.0, 0.0, 1.0, 0.0], shape: &[2, 2] };
/// review.update(&Predictions::new(vec![output], &vec![0, 1].into(), &[7, 8])?)?;
/// assert_eq!((review.mistakes()[0].index, review.confusion().count(1, 0)), (8, 1));
/// assert_eq!(review.compute(), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Review {
    confusion: Confusion,
    mistakes: Vec<Mistake>,
}

impl Review {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Which class was taken for which.
    #[must_use]
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// The wrong answers with the highest probability, the surest first.
    #[must_use]
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }

    fn keep(&mut self, mistake: Mistake) {
        let place = self.mistakes.partition_point(|kept| kept.probability >= mistake.probability);
        if place < MISTAKES {
            self.mistakes.insert(place, mistake);
            self.mistakes.truncate(MISTAKES);
        }
    }
}

impl Metric for Review {
    fn name(&self) -> String {
        "review".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let rows = batch.single()?.rows().len();
        let mut added = Ok(());
        for_each_row(&self.name(), batch, None, |i, row, target| {
            let Answer { predicted, probability, .. } = Answer::of(row, target);
            if added.is_ok() {
                added = self.confusion.add(row.len(), target, predicted);
            }
            if rank(row, target) > 0 {
                // Of a map, every position belongs to its sample.
                let index = batch.indices()[i / (rows / batch.indices().len())];
                self.keep(Mistake { index, target, predicted, probability });
            }
        })?;
        added
    }

    fn compute(&self) -> Option<f64> {
        None
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn load_state(&mut self, _state: &[f64]) {
        self.reset();
    }
}
