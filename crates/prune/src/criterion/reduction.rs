//! From the scores that the members of a unit give it to one number.
//!
//! Above: `criterion`. Below: `words`. Not here: comparing units with one another (`normalizer`).

use std::fmt;
use std::str::FromStr;

use crate::words::{parse_word, word_of};
use crate::{Error, Result};

/// How the scores of several members become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// The first member's alone, in the order of the graph: what makes the channel.
    First,
    /// Their geometric mean: one that is zero makes all zero.
    GeometricMean,
}

const WORDS: [(&str, Reduction); 5] = [
    ("sum", Reduction::Sum),
    ("mean", Reduction::Mean),
    ("max", Reduction::Max),
    ("first", Reduction::First),
    ("geometric-mean", Reduction::GeometricMean),
];

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(self, &WORDS))
    }
}

impl FromStr for Reduction {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        parse_word("reduction", word, &WORDS)
    }
}

impl Reduction {
    /// One number a unit, from one list of them a member; `None` without members.
    pub(crate) fn reduce(self, members: &[Vec<f64>]) -> Option<Vec<f64>> {
        let first = members.first()?;
        let of_unit = |unit: usize| {
            let scores = members.iter().map(|member| member[unit]);
            let count = members.len() as f64;
            match self {
                Self::Sum => scores.sum(),
                Self::Mean => scores.sum::<f64>() / count,
                Self::Max => scores.fold(f64::NEG_INFINITY, f64::max),
                Self::First => first[unit],
                Self::GeometricMean => (scores.map(f64::ln).sum::<f64>() / count).exp(),
            }
        };
        Some((0..first.len()).map(of_unit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_become_one_number_as_the_word_says() {
        let members = [vec![1.0, 0.0], vec![4.0, 3.0]];
        let by = |word: &str| word.parse::<Reduction>().map(|it| it.reduce(&members));
        for (word, expected) in [
            ("sum", [5.0, 3.0]),
            ("mean", [2.5, 1.5]),
            ("max", [4.0, 3.0]),
            ("first", [1.0, 0.0]),
            ("geometric-mean", [2.0, 0.0]),
        ] {
            assert_eq!(by(word).ok(), Some(Some(expected.to_vec())), "{word}");
        }
        assert_eq!(Reduction::Mean.reduce(&[]), None);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for (word, reduction) in WORDS {
            assert_eq!(reduction.to_string(), word);
        }
        let message = "best".parse::<Reduction>().map_err(|error| error.to_string());
        let expected = "`best` is no reduction; one is sum, mean, max, first, geometric-mean";
        assert_eq!(message, Err(expected.to_owned()));
    }
}
