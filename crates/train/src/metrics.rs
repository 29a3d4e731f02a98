//! Metrics of a classifier: loss, top-1, top-5, confusion matrix, and the answers that were most surely wrong.
//!
//! Above: `evaluate`, `fit`. Below: nothing. Not here: the loss that is minimized (`layers::loss`; it may be smoothed, this
//! one never is).
//! Fractions are in 0–1. Sums run in `f64` in the order of the samples, so equal runs give equal bits.

use crate::error::{Error, Result};

/// Mean loss and hit rates over a number of samples.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scores {
    /// Mean cross-entropy in nats, without label smoothing.
    pub loss: f64,
    /// Fraction of samples whose class has the largest logit.
    pub top1: f64,
    /// Fraction of samples whose class is among the five largest logits (all of them, if there are fewer than five).
    pub top5: f64,
    /// How many samples.
    pub samples: usize,
}

/// All that one pass over a labeled set tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Loss and hit rates.
    pub scores: Scores,
    /// Which class was taken for which.
    pub confusion: Confusion,
    /// The wrong answers with the highest probability, the surest first.
    pub mistakes: Vec<Mistake>,
}

/// Counts of answers by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    n_classes: usize,
    counts: Vec<u64>,
}

impl Confusion {
    /// How many classes there are.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// How many samples of class `target` were taken for class `predicted`; 0 if there is no such class.
    pub fn count(&self, target: usize, predicted: usize) -> u64 {
        let row = self.counts.chunks_exact(self.n_classes).nth(target);
        row.and_then(|row| row.get(predicted)).copied().unwrap_or(0)
    }
}

/// A wrong answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// Index of the sample in its set.
    pub index: usize,
    /// Its class.
    pub target: u32,
    /// The class it was taken for.
    pub predicted: u32,
    /// The probability given to that class.
    pub probability: f64,
}

/// How many mistakes an evaluation keeps.
const MISTAKES: usize = 20;

/// Collects metrics batch by batch.
///
/// # Examples
/// ```
/// use taper_train::Metrics;
/// let mut metrics = Metrics::new(2);
/// metrics.update(&[2.0, 0.0, 1.0, 0.0], &[0, 1], &[7, 8])?; // two samples: right, then wrong
/// let evaluation = metrics.finish();
/// assert_eq!(evaluation.scores.top1, 0.5);
/// assert_eq!((evaluation.mistakes[0].index, evaluation.confusion.count(1, 0)), (8, 1));
/// # Ok::<(), taper_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Metrics {
    loss: f64,
    hits1: u64,
    hits5: u64,
    samples: usize,
    confusion: Confusion,
    mistakes: Vec<Mistake>,
}

impl Metrics {
    /// Starts with no samples of `n_classes` classes.
    pub fn new(n_classes: usize) -> Self {
        let confusion = Confusion { n_classes, counts: vec![0; n_classes * n_classes] };
        Self { loss: 0.0, hits1: 0, hits5: 0, samples: 0, confusion, mistakes: Vec::new() }
    }

    /// Adds a batch. Equal logits rank by class, the lower first; a row with a NaN counts as wrong.
    ///
    /// # Shapes
    /// - `logits`: `(n, k)`   - `targets`: `(n)`   - `indices`: `(n)`, of the samples in their set
    ///
    /// # Errors
    /// [`Error::Logits`] if the lengths do not fit, [`Error::Target`] if a target is not below `k`.
    pub fn update(&mut self, logits: &[f32], targets: &[u32], indices: &[usize]) -> Result<()> {
        let k = self.confusion.n_classes;
        if logits.len() != targets.len() * k || indices.len() != targets.len() {
            let (got, rows) = (logits.len(), targets.len());
            return Err(Error::Logits { got, rows, classes: k });
        }
        if let Some(&target) = targets.iter().find(|&&target| target as usize >= k) {
            return Err(Error::Target { target, classes: k });
        }
        for ((row, &target), &index) in logits.chunks_exact(k.max(1)).zip(targets).zip(indices) {
            self.add(row, target, index);
        }
        Ok(())
    }

    fn add(&mut self, row: &[f32], target: u32, index: usize) {
        let answer = Answer::of(row, target as usize);
        self.loss += answer.loss;
        self.hits1 += u64::from(answer.rank < 1);
        self.hits5 += u64::from(answer.rank < 5);
        self.samples += 1;
        self.confusion.counts[target as usize * row.len() + answer.predicted as usize] += 1;
        if answer.rank > 0 {
            let Answer { predicted, probability, .. } = answer;
            self.keep(Mistake { index, target, predicted, probability });
        }
    }

    fn keep(&mut self, mistake: Mistake) {
        let place = self.mistakes.partition_point(|kept| kept.probability >= mistake.probability);
        if place < MISTAKES {
            self.mistakes.insert(place, mistake);
            self.mistakes.truncate(MISTAKES);
        }
    }

    /// The metrics of all batches so far. Of no samples, loss and rates are 0.
    pub fn finish(self) -> Evaluation {
        Evaluation {
            scores: scores(self.loss, [self.hits1, self.hits5], self.samples),
            confusion: self.confusion,
            mistakes: self.mistakes,
        }
    }
}

/// What one row of logits says about its target.
struct Answer {
    loss: f64,
    /// How many classes rank before the target.
    rank: usize,
    predicted: u32,
    probability: f64,
}

impl Answer {
    fn of(row: &[f32], target: usize) -> Self {
        let before = |class: usize, other: usize| {
            row[class] > row[other] || (row[class] >= row[other] && class < other)
        };
        let mut predicted = 0;
        for class in 1..row.len() {
            if before(class, predicted) {
                predicted = class;
            }
        }
        let is_nan = row.iter().any(|logit| logit.is_nan());
        let rank = (0..row.len()).filter(|&class| before(class, target)).count();
        let largest = f64::from(row[predicted]);
        let total: f64 = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
        Self {
            loss: largest + total.ln() - f64::from(row[target]),
            rank: if is_nan { row.len().max(5) } else { rank },
            predicted: u32::try_from(predicted).unwrap_or(u32::MAX),
            probability: total.recip(),
        }
    }
}

/// Divides sums by the number of samples.
#[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^53")]
pub(crate) fn scores(loss: f64, [hits1, hits5]: [u64; 2], samples: usize) -> Scores {
    let n = samples.max(1) as f64;
    Scores { loss: loss / n, top1: hits1 as f64 / n, top5: hits5 as f64 / n, samples }
}

/// How many rows of `(n, k)` logits are largest at their target; the training accuracy of a step.
pub(crate) fn count_hits(logits: &[f32], targets: &[u32]) -> u64 {
    let k = logits.len() / targets.len().max(1);
    let rows = logits.chunks_exact(k.max(1)).zip(targets);
    rows.map(|(row, &target)| u64::from(Answer::of(row, target as usize).rank < 1)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn top5_of_four_classes_is_everything() {
        let mut metrics = Metrics::new(4);
        metrics.update(&[0.0, 1.0, 2.0, 3.0], &[0], &[0]).unwrap();
        let scores = metrics.finish().scores;
        assert_eq!((scores.top1, scores.top5), (0.0, 1.0));
    }

    #[test]
    fn the_surest_mistakes_are_kept_in_order() {
        let mut metrics = Metrics::new(2);
        for i in 0..50u8 {
            metrics.update(&[f32::from(i % 25), 0.0], &[1], &[usize::from(i)]).unwrap();
        }
        let mistakes = metrics.finish().mistakes;
        assert_eq!(mistakes.len(), MISTAKES);
        assert_eq!([mistakes[0].index, mistakes[1].index, mistakes[2].index], [24, 49, 23]);
        assert!(mistakes.is_sorted_by(|a, b| a.probability >= b.probability));
    }

    #[test]
    fn a_nan_is_wrong_and_spoils_the_loss() {
        let mut metrics = Metrics::new(2);
        metrics.update(&[f32::NAN, 1.0], &[1], &[0]).unwrap();
        let scores = metrics.finish().scores;
        assert!(scores.loss.is_nan() && scores.top1 == 0.0 && scores.top5 == 0.0);
    }

    #[test]
    fn wrong_lengths_and_targets_are_refused() {
        let mut metrics = Metrics::new(3);
        assert!(matches!(metrics.update(&[0.0; 5], &[0, 1], &[0, 1]), Err(Error::Logits { .. })));
        assert!(matches!(metrics.update(&[0.0; 3], &[3], &[0]), Err(Error::Target { .. })));
        assert_eq!(metrics.finish().scores.samples, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn ranks_are_places_in_the_sorted_row(
            rows in proptest::collection::vec((proptest::collection::vec(-3i8..3, 7), 0u32..7), 1..20),
        ) {
            let mut metrics = Metrics::new(7);
            let (mut hits1, mut hits5) = (0, 0);
            for (i, (row, target)) in rows.iter().enumerate() {
                let row: Vec<f32> = row.iter().map(|&logit| f32::from(logit)).collect();
                let mut order: Vec<usize> = (0..7).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a])); // stable
                let place = order.iter().position(|&class| class == *target as usize);
                hits1 += usize::from(place < Some(1));
                hits5 += usize::from(place < Some(5));
                metrics.update(&row, &[*target], &[i]).unwrap();
            }
            let evaluation = metrics.finish();
            let rate = |hits: usize| hits as f64 / rows.len() as f64;
            prop_assert!((evaluation.scores.top1 - rate(hits1)).abs() < 1e-12);
            prop_assert!((evaluation.scores.top5 - rate(hits5)).abs() < 1e-12);
            let counted: u64 = (0..49).map(|i| evaluation.confusion.count(i / 7, i % 7)).sum();
            prop_assert_eq!(counted, rows.len() as u64);
            let diagonal: u64 = (0..7).map(|i| evaluation.confusion.count(i, i)).sum();
            prop_assert_eq!(diagonal, hits1 as u64);
        }
    }
}
