//! Scores of a group's units made comparable with those of other groups.
//!
//! Above: `criterion`, `sparse`. Below: `words`. Not here: ranks among all groups (`ranking`).

use std::fmt;
use std::str::FromStr;

use super::Criterion;
use crate::words::{parse_word, word_of};
use crate::{Error, Result};

/// What the scores `s` of a group become. A divisor of 0 leaves them as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalizer {
    /// `s`.
    None,
    /// `s / Σ s`.
    Sum,
    /// `s / mean(s)`.
    #[default]
    Mean,
    /// `s / max(s)`.
    Max,
    /// `s / median(s)`, of an even number the upper one.
    Median,
    /// `(s − min(s)) / (max(s) − min(s))`: from 0 to 1.
    Standardization,
    /// `(s − mean(s)) / std(s)`, the unbiased standard deviation.
    Gaussian,
    /// `s / Σ` of those that are as large or larger (Lee et al. 2021, <https://arxiv.org/abs/2010.07611>): the largest becomes 1. Of
    /// equal ones the first counts as the smaller.
    Lamp,
}

const WORDS: [(&str, Normalizer); 8] = [
    ("none", Normalizer::None),
    ("sum", Normalizer::Sum),
    ("mean", Normalizer::Mean),
    ("max", Normalizer::Max),
    ("median", Normalizer::Median),
    ("standardization", Normalizer::Standardization),
    ("gaussian", Normalizer::Gaussian),
    ("lamp", Normalizer::Lamp),
];

impl fmt::Display for Normalizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(self, &WORDS))
    }
}

impl FromStr for Normalizer {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        parse_word("normalizer", word, &WORDS)
    }
}

impl Normalizer {
    /// The one that a criterion is used with if this one was chosen.
    pub(crate) fn of(self, criterion: Criterion) -> Self {
        match criterion {
            Criterion::Lamp => Self::Lamp,
            Criterion::Random { .. } => Self::None,
            _ => self,
        }
    }

    /// Changes the scores of a group, or the magnitudes of a layer, in place.
    pub(crate) fn normalize(self, scores: &mut [f64]) {
        let n = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / n;
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self {
            Self::None => {}
            Self::Sum => scale(scores, 0.0, mean * n),
            Self::Mean => scale(scores, 0.0, mean),
            Self::Max => scale(scores, 0.0, max),
            Self::Median => {
                let sorted = ascending(scores);
                let median = sorted.get(sorted.len() / 2).map_or(1.0, |&middle| scores[middle]);
                scale(scores, 0.0, median);
            }
            Self::Standardization => {
                let min = scores.iter().copied().fold(f64::INFINITY, f64::min);
                scale(scores, min, max - min);
            }
            Self::Gaussian => {
                let squares = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
                scale(scores, mean, (squares / (n - 1.0)).sqrt());
            }
            Self::Lamp => lamp(scores),
        }
    }
}

fn scale(scores: &mut [f64], from: f64, divisor: f64) {
    let usable = divisor.is_finite() && divisor != 0.0;
    let divisor = if usable { divisor } else { 1.0 };
    scores.iter_mut().for_each(|score| *score = (*score - from) / divisor);
}

fn lamp(scores: &mut [f64]) {
    let mut rest = 0.0;
    for at in ascending(scores).into_iter().rev() {
        rest += scores[at];
        scores[at] = if rest > 0.0 { scores[at] / rest } else { 0.0 };
    }
}

/// Indices from the lowest score to the highest, equal ones as they come.
pub(crate) fn ascending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(word: &str, scores: &[f64]) -> Vec<f64> {
        let mut scores = scores.to_vec();
        if let Ok(normalizer) = word.parse::<Normalizer>() {
            normalizer.normalize(&mut scores);
        }
        scores
    }

    #[test]
    fn scores_become_comparable_as_the_word_says() {
        let scores = [1.0, 5.0, 2.0, 4.0];
        for (word, expected) in [
            ("none", [1.0, 5.0, 2.0, 4.0]),
            ("sum", [1.0 / 12.0, 5.0 / 12.0, 2.0 / 12.0, 4.0 / 12.0]),
            ("mean", [1.0 / 3.0, 5.0 / 3.0, 2.0 / 3.0, 4.0 / 3.0]),
            ("max", [0.2, 1.0, 0.4, 0.8]),
            ("median", [0.25, 1.25, 0.5, 1.0]),
            ("standardization", [0.0, 1.0, 0.25, 0.75]),
            ("lamp", [1.0 / 12.0, 1.0, 2.0 / 11.0, 4.0 / 9.0]),
        ] {
            assert_eq!(by(word, &scores), expected, "{word}");
        }
        let std = (10.0f64 / 3.0).sqrt();
        assert_eq!(by("gaussian", &scores), [-2.0 / std, 2.0 / std, -1.0 / std, 1.0 / std]);
    }

    #[test]
    fn scores_that_are_all_zero_stay_numbers() {
        for (word, normalizer) in WORDS {
            assert_eq!(normalizer.to_string(), word);
            assert_eq!(by(word, &[0.0, 0.0]), [0.0, 0.0], "{word}");
            assert_eq!(by(word, &[0.0]), [0.0], "{word} of a single one");
        }
    }

    #[test]
    fn lamp_of_equal_scores_takes_the_first_for_the_smallest() {
        assert_eq!(by("lamp", &[1.0, 1.0, 1.0]), [1.0 / 3.0, 0.5, 1.0]);
    }
}
