//! Metrics of how well scores rank samples, whatever the threshold: areas under curves, a class or label at a time.
//!
//! Above: `metrics`. Below: `data::Targets`. Not here: shares of right answers (`metrics::classification`, `metrics::labels`).
//! They keep every score until they are computed: 16 bytes a sample and class.

use taper_data::Targets;

use super::classification::for_each_row;
use super::{Goal, Mean, Metric, Predictions};
use crate::error::{Error, Result};

/// Which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    Roc,
    PrecisionRecall,
}

/// The mean over classes, each against the rest, or over labels, of an area under a curve, as scikit-learn computes it with
/// `average="macro"`. Classes are ranked by their softmax. A class or label that all samples have, or none, does not count; where
/// that are all, there is no value.
///
/// # Examples
/// ```
/// use taper_train::{Metric, Output, Predictions, RankingArea};
/// # fn main() -> taper_train::Result<()> {
/// let mut area = RankingArea::roc();
/// let output = Output { name: "logits", values: &[0.1, 0.4, 0.35, 0.8], shape: &[4, 1] };
/// let labels = [0.0, 0.0, 1.0, 1.0].map(|holds| taper_data::Target::Labels(taper_data::Array::vector(vec![holds])));
/// let targets = taper_data::Targets::collate(labels).unwrap();
/// area.update(&Predictions::new(vec![output], &targets, &[0, 1, 2, 3])?)?;
/// assert_eq!(area.compute(), Some(0.75));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RankingArea {
    curve: Curve,
    /// By class or label: scores, and 1 or 0 for whether it holds.
    scores: Vec<Vec<(f64, f64)>>,
}

impl RankingArea {
    /// Under the receiver operating characteristic: `auroc`. How often a sample that has a class ranks before one that has it not.
    #[must_use]
    pub fn roc() -> Self {
        Self { curve: Curve::Roc, scores: Vec::new() }
    }

    /// Under precision over recall, by steps: `average_precision`.
    #[must_use]
    pub fn average_precision() -> Self {
        Self { curve: Curve::PrecisionRecall, scores: Vec::new() }
    }

    fn of_channels(&mut self, k: usize) -> Result<()> {
        if self.scores.is_empty() {
            self.scores = vec![Vec::new(); k];
        } else if self.scores.len() != k {
            let expected = format!("{} classes, as before", self.scores.len());
            return Err(Error::shape("the output", &[k], expected));
        }
        Ok(())
    }
}

impl Metric for RankingArea {
    fn name(&self) -> String {
        let name = match self.curve {
            Curve::Roc => "auroc",
            Curve::PrecisionRecall => "average_precision",
        };
        name.to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Maximize
    }

    fn reset(&mut self) {
        self.scores.clear();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let output = batch.single()?;
        let k = output.channels();
        self.of_channels(k)?;
        let name = self.name();
        let scores = &mut self.scores;
        match batch.targets() {
            Targets::Labels(array) if array.shape() == output.shape => {
                for (row, targets) in output.rows().zip(array.values().chunks_exact(k.max(1))) {
                    for ((scores, &logit), &target) in scores.iter_mut().zip(row).zip(targets) {
                        scores.push((f64::from(logit), holds(target)));
                    }
                }
                Ok(())
            }
            _ => for_each_row(&name, batch, None, |_, row, class| {
                let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exps = row.iter().map(|logit| f64::from(logit - largest).exp());
                let total: f64 = exps.clone().sum();
                for (at, (scores, exp)) in scores.iter_mut().zip(exps).enumerate() {
                    scores.push((exp / total, if at == class { 1.0 } else { 0.0 }));
                }
            }),
        }
    }

    fn compute(&self) -> Option<f64> {
        let mut mean = Mean::default();
        for scores in &self.scores {
            let known = scores.iter().filter(|(_, holds)| !holds.is_nan());
            let scores: &[(f64, f64)] = &known.copied().collect::<Vec<_>>();
            let area = match self.curve {
                Curve::Roc => roc(scores),
                Curve::PrecisionRecall => average_precision(scores),
            };
            area.into_iter().for_each(|area| mean.add(area));
        }
        // Where all samples have one class, nothing can be ranked.
        (mean.count > 0.0).then(|| mean.value())
    }

    fn state(&self) -> Vec<f64> {
        let k = self.scores.len();
        let n = self.scores.first().map_or(0, Vec::len);
        let rows = (0..n).flat_map(|i| self.scores.iter().map(move |scores| scores[i]));
        #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
        let first = k as f64;
        std::iter::once(first).chain(rows.flat_map(|(score, holds)| [score, holds])).collect()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.scores.clear();
        let Some((&k, rows)) = state.split_first() else { return };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was a number of classes; a cast saturates"
        )]
        let k = (k as usize).min(rows.len());
        self.scores = vec![Vec::new(); k];
        for (at, &[score, holds]) in rows.as_chunks::<2>().0.iter().enumerate() {
            if k > 0 {
                self.scores[at % k].push((score, holds));
            }
        }
    }
}

/// From the highest score to the lowest: how many hold and how many do not, of each group of equal scores.
fn groups(scores: &[(f64, f64)]) -> Vec<[f64; 2]> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let equal = sorted.chunk_by(|(a, _), (b, _)| a.total_cmp(b).is_eq());
    equal
        .map(|group| {
            let holding: f64 = group.iter().map(|(_, holds)| holds).sum();
            #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
            let all = group.len() as f64;
            [holding, all - holding]
        })
        .collect()
}

/// 1 or 0, NaN where nobody knows.
fn holds(target: f32) -> f64 {
    match target {
        target if target.is_nan() => f64::NAN,
        target => f64::from(u8::from(target >= 0.5)),
    }
}

/// Equal scores count half.
fn roc(scores: &[(f64, f64)]) -> Option<f64> {
    let groups = groups(scores);
    let [positive, negative] = totals(&groups)?;
    let (mut above, mut area) = (0.0, 0.0);
    for [holding, not] in groups {
        area += not * (above + 0.5 * holding);
        above += holding;
    }
    Some(area / (positive * negative))
}

fn average_precision(scores: &[(f64, f64)]) -> Option<f64> {
    let groups = groups(scores);
    let [positive, _] = totals(&groups)?;
    let (mut right, mut seen, mut area) = (0.0, 0.0, 0.0);
    for [holding, not] in groups {
        right += holding;
        seen += holding + not;
        area += holding / positive * (right / seen);
    }
    Some(area)
}

/// How many hold and how many do not; none where one of the two is missing.
fn totals(groups: &[[f64; 2]]) -> Option<[f64; 2]> {
    let [positive, negative] = groups.iter().fold([0.0, 0.0], |[p, n], [a, b]| [p + a, n + b]);
    (positive > 0.0 && negative > 0.0).then_some([positive, negative])
}
