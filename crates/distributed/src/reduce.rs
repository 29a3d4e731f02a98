//! Sums over ranks.
//!
//! Above: `group`, `forecast`. Below: `communicator`, `bf16`, `bytes`, `tree`. Not here: sums over one rank's shards (`tree`), buckets (`buckets`).
//! The exact sum is that of a binary tree over ranks, by recursive doubling: after the step of distance d each rank has the sum of
//! the 2d ranks around it. Long vectors are halved on the way and gathered again (recursive halving), which moves fewer bytes and
//! adds each element in the same tree. Source: Thakur, Rabenseifner and Gropp 2005, "Optimization of Collective Communication
//! Operations in MPICH", <https://doi.org/10.1177/1094342005051521>.

use std::ops::Range;

use crate::bytes::expect_bytes;
use crate::tree::{Tree, add};
use crate::{Communicator, Error, Result, bf16};

/// In which order ranks are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reduction {
    /// A fixed binary tree: the same bits on any number of ranks. Ranks are a power of two.
    #[default]
    Exact,
    /// The engine's own order: the same bits on all ranks, but not on another number of them. Any number of ranks.
    Fast,
}

/// What travels between ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReduceDtype {
    /// The values themselves.
    #[default]
    F32,
    /// Their upper halves; what rounding takes away is added to the next sum (error feedback), as this rank's *residual*.
    ///
    /// The sum has the same bits on all ranks, but not on another number of them, whatever the [`Reduction`]: a rank rounds the
    /// sum of its shards. Residuals are state ([`Group::residuals`](crate::Group::residuals)) that goes with the number of ranks.
    Bf16,
}

/// How a bucket is reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReduceOptions {
    /// The order of the sum; without effect with [`ReduceDtype::Bf16`], which has its own.
    pub reduction: Reduction,
    /// What travels.
    pub dtype: ReduceDtype,
}

/// Below, a message costs more by its coming than by its length: 16 KiB, some 40 µs of a link of 10 Gb/s.
const HALVED_FROM: usize = 4096;

/// Sums `values` over all ranks in place; returns the bytes that this rank sent. `scratch` is a vector to be used again.
pub(crate) fn reduce(
    communicator: &mut dyn Communicator,
    values: &mut [f32],
    options: ReduceOptions,
    residual: &mut bf16::Residual,
    scratch: &mut Vec<f32>,
) -> Result<usize> {
    match options {
        ReduceOptions { dtype: ReduceDtype::Bf16, .. } => {
            bf16::reduce(communicator, values, residual)
        }
        ReduceOptions { reduction: Reduction::Exact, .. } => exact(communicator, values, scratch),
        ReduceOptions { reduction: Reduction::Fast, .. } => {
            communicator.all_reduce(values)?;
            Ok(rounds(values.len(), communicator.size(), options)?.iter().map(|it| it.bytes).sum())
        }
    }
}

/// One message of a reduction: a rank sends so many bytes while it receives as many, and adds so many values of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) bytes: usize,
    pub(crate) sums: usize,
}

/// The messages that rank 0 sends in [`reduce`], one after the other. Of the engine's own all-reduce, those of a ring, which sends as little
/// as any does for long vectors.
pub(crate) fn rounds(length: usize, ranks: usize, options: ReduceOptions) -> Result<Vec<Round>> {
    let there_and_back = |bytes: usize| {
        let there = vec![Round { bytes, sums: length / ranks }; ranks - 1];
        let back = vec![Round { bytes, sums: 0 }; ranks - 1];
        [there, back].concat()
    };
    Ok(match options {
        _ if ranks < 2 => Vec::new(),
        ReduceOptions { dtype: ReduceDtype::Bf16, .. } => there_and_back(2 * length / ranks),
        ReduceOptions { reduction: Reduction::Fast, .. } => there_and_back(4 * length / ranks),
        ReduceOptions { reduction: Reduction::Exact, .. } => {
            is_power_of_two(ranks)?;
            if !is_halved(ranks, length) {
                let whole = Round { bytes: 4 * length, sums: length };
                return Ok(distances(ranks).map(|_| whole).collect());
            }
            let halvings = halvings(0, ranks, length);
            let there = halvings.iter().map(|it| (it.theirs.len(), it.kept.len()));
            let back = halvings.iter().rev().map(|it| (it.kept.len(), 0));
            there.chain(back).map(|(sent, sums)| Round { bytes: 4 * sent, sums }).collect()
        }
    })
}

fn is_power_of_two(ranks: usize) -> Result<()> {
    if ranks.is_power_of_two() {
        return Ok(());
    }
    let rule =
        "an exact reduction needs a power of two of ranks; any number will do with `--reduce fast`";
    Err(Error::Shards { shards: ranks, ranks, rule })
}

/// Whether a vector is halved on its way, instead of being sent as a whole.
fn is_halved(ranks: usize, length: usize) -> bool {
    ranks > 2 && length >= HALVED_FROM
}

fn exact(
    communicator: &mut dyn Communicator,
    values: &mut [f32],
    scratch: &mut Vec<f32>,
) -> Result<usize> {
    is_power_of_two(communicator.size())?;
    match is_halved(communicator.size(), values.len()) {
        true => halving(communicator, values, scratch),
        false => doubling(communicator, values, scratch),
    }
}

/// Sums few `values` over any number of ranks in place, in the tree that shards are summed in; returns the bytes that this rank sent.
pub(crate) fn sum_f64(communicator: &mut dyn Communicator, values: &mut [f64]) -> Result<usize> {
    let (rank, size, length) = (communicator.rank(), communicator.size(), values.len());
    let of = |bytes: &[u8], rank: usize| -> Result<Vec<f64>> {
        expect_bytes(bytes, rank, 8 * length, "a sum of f64")?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|eight| f64::from_le_bytes(*eight)).collect())
    };
    let mine = |values: &[f64]| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    };
    if !size.is_power_of_two() {
        let mut tree = Tree::new();
        for (rank, bytes) in communicator.all_gather(&mine(values))?.iter().enumerate() {
            tree.push(of(bytes, rank)?);
        }
        values.copy_from_slice(&tree.finish().unwrap_or_default());
        return Ok(8 * length * (size - 1));
    }
    let (mut sent, mut received) = (0, Vec::new());
    for peer in distances(size).map(|distance| rank ^ distance) {
        communicator.exchange(peer, &mine(values), &mut received)?;
        sent += 8 * length;
        let theirs = of(&received, peer)?;
        add(values, &theirs);
    }
    Ok(sent)
}

fn doubling(
    communicator: &mut dyn Communicator,
    values: &mut [f32],
    scratch: &mut Vec<f32>,
) -> Result<usize> {
    let mut sent = 0;
    scratch.resize(values.len(), 0.0);
    for distance in distances(communicator.size()) {
        communicator.exchange_f32(communicator.rank() ^ distance, values, scratch)?;
        sent += 4 * values.len();
        add(values, scratch);
    }
    Ok(sent)
}

/// What a rank shares with one peer: it goes on with one half of what both have, and gives the other.
struct Halving {
    peer: usize,
    kept: Range<usize>,
    theirs: Range<usize>,
}

fn halvings(rank: usize, ranks: usize, length: usize) -> Vec<Halving> {
    let mut mine = 0..length;
    let halve = |distance| {
        let peer = rank ^ distance;
        let middle = mine.start + mine.len() / 2;
        let (lower, upper) = (mine.start..middle, middle..mine.end);
        let (kept, theirs) = if rank < peer { (lower, upper) } else { (upper, lower) };
        mine = kept.clone();
        Halving { peer, kept, theirs }
    };
    distances(ranks).map(halve).collect()
}

fn halving(
    communicator: &mut dyn Communicator,
    values: &mut [f32],
    scratch: &mut Vec<f32>,
) -> Result<usize> {
    let halvings = halvings(communicator.rank(), communicator.size(), values.len());
    let mut sent = 0;
    for Halving { peer, kept, theirs } in &halvings {
        scratch.resize(kept.len(), 0.0);
        communicator.exchange_f32(*peer, &values[theirs.clone()], scratch)?;
        sent += 4 * theirs.len();
        add(&mut values[kept.clone()], scratch);
    }
    for Halving { peer, kept, theirs } in halvings.iter().rev() {
        // What is given back stands right before or behind what is owned.
        let cut = kept.start.max(theirs.start);
        let (lower, upper) = values.split_at_mut(cut);
        let part = |whole: &Range<usize>| whole.start - cut..whole.end - cut;
        let (send, receive) = match kept.start < theirs.start {
            true => (&lower[kept.clone()], &mut upper[part(theirs)]),
            false => (&upper[part(kept)], &mut lower[theirs.clone()]),
        };
        communicator.exchange_f32(*peer, send, receive)?;
        sent += 4 * kept.len();
    }
    Ok(sent)
}

/// 1, 2, 4, ... below `size`.
fn distances(size: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |distance| Some(2 * distance)).take_while(move |&d| d < size)
}
