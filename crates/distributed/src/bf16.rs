//! Sums that travel as bf16, half as many bytes, with error feedback.
//!
//! Above: `reduce`, `group`. Below: `communicator`, `tree`. Not here: f32 sums (`reduce`), which ranks may resume (the training).
//! Every rank owns one part of the vector. It gets that part of all others rounded, sums it in f32 in a binary tree over ranks,
//! and gives the rounded sum to all. Who rounds remembers what was lost, twice: of what it sent, and of the sum of its part.
//! Source: error feedback by Seide et al. 2014, "1-Bit Stochastic Gradient Descent"; in two stages by Tang et al. 2019,
//! "`DoubleSqueeze`", <https://arxiv.org/abs/1905.05957>.

use std::ops::Range;

use crate::bytes::expect_bytes;
use crate::communicator::partners;
use crate::{Communicator, Error, Result, Tree};

/// What rounding took away from one bucket and is still owed.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Residual {
    /// Of all values that this rank has sent.
    sent: Vec<f32>,
    /// Of the sums of the part that it owns.
    owned: Vec<f32>,
}

impl Residual {
    /// Both in one vector, for a checkpoint.
    pub(crate) fn to_vec(&self) -> Vec<f32> {
        [self.sent.as_slice(), &self.owned].concat()
    }

    /// What [`Self::to_vec`] gave, of a bucket of `length` values; other lengths are refused when it is used.
    pub(crate) fn of(mut values: Vec<f32>, length: usize) -> Residual {
        let owned = values.split_off(length.min(values.len()));
        Residual { sent: values, owned }
    }

    fn fit(&mut self, length: usize, owned: usize) -> Result<()> {
        if self.sent.is_empty() && self.owned.is_empty() {
            *self = Residual { sent: vec![0.0; length], owned: vec![0.0; owned] };
        }
        match (self.sent.len(), self.owned.len()) == (length, owned) {
            true => Ok(()),
            false => Err(Error::Call {
                what: format!("a residual of {} and {} values", self.sent.len(), self.owned.len()),
                expected: format!(
                    "this bucket has {length}, of which this rank owns {owned}; bf16 goes on with the number of ranks it began with"
                ),
            }),
        }
    }
}

/// Sums `values` over all ranks in place; returns the bytes that this rank sent.
pub(crate) fn reduce(
    communicator: &mut dyn Communicator,
    values: &mut [f32],
    residual: &mut Residual,
) -> Result<usize> {
    let (rank, size, length) = (communicator.rank(), communicator.size(), values.len());
    let part = |rank: usize| -> Range<usize> { rank * length / size..(rank + 1) * length / size };
    let mine = part(rank);
    residual.fit(length, mine.len())?;
    round_all(values, &mut residual.sent);

    let (mut sent, mut received) = (0, Vec::new());
    let mut parts = vec![Vec::new(); size];
    parts[rank] = values[mine.clone()].to_vec();
    for peer in partners(rank, size) {
        let bytes = to_bytes(&values[part(peer)]);
        communicator.exchange(peer, &bytes, &mut received)?;
        sent += bytes.len();
        parts[peer] = from_bytes(&received, peer, mine.len())?;
    }
    let mut tree = Tree::new();
    parts.into_iter().for_each(|part| tree.push(part));
    let mut sum = tree.finish().unwrap_or_default();
    round_all(&mut sum, &mut residual.owned);

    let bytes = to_bytes(&sum);
    values[mine].copy_from_slice(&sum);
    for peer in partners(rank, size) {
        communicator.exchange(peer, &bytes, &mut received)?;
        sent += bytes.len();
        let theirs = part(peer);
        let sums = from_bytes(&received, peer, theirs.len())?;
        values[theirs].copy_from_slice(&sums);
    }
    Ok(sent)
}

/// Adds what is owed, rounds, and remembers the difference.
fn round_all(values: &mut [f32], owed: &mut [f32]) {
    for (value, owed) in values.iter_mut().zip(owed) {
        let exact = *value + *owed;
        *value = round(exact);
        let lost = exact - *value;
        // An infinite value or a NaN shows in the sum; it must not stay in the residual for good.
        *owed = if lost.is_finite() { lost } else { 0.0 };
    }
}

/// The nearest bf16, ties to even.
fn round(value: f32) -> f32 {
    let bits = value.to_bits();
    if value.is_nan() {
        return f32::from_bits((bits | 0x0040_0000) & 0xffff_0000);
    }
    let even = 0x7fff + (bits >> 16 & 1);
    f32::from_bits((bits + even) & 0xffff_0000)
}

/// The upper halves of values that are rounded.
fn to_bytes(rounded: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 2 * rounded.len()];
    for (two, value) in bytes.chunks_exact_mut(2).zip(rounded) {
        let [_, _, low, high] = value.to_le_bytes();
        two.copy_from_slice(&[low, high]);
    }
    bytes
}

fn from_bytes(bytes: &[u8], rank: usize, expected: usize) -> Result<Vec<f32>> {
    expect_bytes(bytes, rank, 2 * expected, "a part of a bf16 sum")?;
    Ok(bytes.chunks_exact(2).map(|two| f32::from_le_bytes([0, 0, two[0], two[1]])).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_is_to_nearest_even() {
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),               // a tie, down to even
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0), // a tie, up to even
            (1.0 + 1.1 / 256.0, 1.0 + 2.0 / 256.0),
            (-0.0, -0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            assert_eq!(round(value).to_bits(), f32::to_bits(expected), "{value}");
        }
        assert!(round(f32::from_bits(0x7f80_0001)).is_nan());
    }

    proptest! {
        #[test]
        fn what_is_lost_is_owed(values in prop::collection::vec(-1e3_f32..1e3, 1..40)) {
            let (mut rounded, mut owed) = (values.clone(), vec![0.0; values.len()]);
            round_all(&mut rounded, &mut owed);
            for ((value, rounded), owed) in values.iter().zip(&rounded).zip(&owed) {
                prop_assert_eq!((rounded + owed).to_bits(), value.to_bits());
                prop_assert!(owed.abs() <= value.abs() / 256.0);
            }
            let back = from_bytes(&to_bytes(&rounded), 0, rounded.len()).unwrap();
            prop_assert_eq!(back, rounded);
        }
    }
}
