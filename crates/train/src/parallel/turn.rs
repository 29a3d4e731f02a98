//! What all ranks know before a step: how many samples each shard has, which could not be read, and whether anybody wants to stop.
//!
//! Above: `fit`. Below: `parallel::wire`, `batches`. Not here: the step itself (`parallel::step`, `step`).

use super::DataParallel;
use super::wire::{Reader, Writer};
use crate::error::Result;
use crate::{Batch, Batches, Skipped};

/// One batch, of which this rank has its shards.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The batch's number in its epoch.
    pub(crate) position: usize,
    /// Height and width of its pictures.
    pub(crate) size: [usize; 2],
    /// Samples by shard, over all ranks.
    pub(crate) counts: Vec<usize>,
    /// Samples that could not be read, in the order of the batch.
    pub(crate) skipped: Vec<Skipped>,
    /// By shard of this rank.
    pub(crate) parts: Vec<Batch>,
    /// Whether a rank was asked to stop.
    pub(crate) is_stopped: bool,
}

impl Turn {
    /// Samples of all shards.
    pub(crate) fn samples(&self) -> usize {
        self.counts.iter().sum()
    }

    /// Samples of the smallest shard that has any.
    pub(crate) fn smallest(&self) -> usize {
        self.counts.iter().copied().filter(|&count| count > 0).min().unwrap_or(0)
    }

    fn alone(batch: Batch, is_stopped: bool) -> Self {
        let [n, h, w] = batch.shape;
        Self {
            position: batch.position,
            size: [h, w],
            counts: vec![n],
            skipped: batch.skipped.clone(),
            parts: vec![batch],
            is_stopped,
        }
    }

    fn agree(parallel: &DataParallel, parts: Vec<Batch>, is_stopped: bool) -> Result<Self> {
        let mut writer = Writer::default();
        writer.size(usize::from(is_stopped));
        for part in &parts {
            writer.size(part.indices.len());
            writer.skipped(&part.skipped);
        }
        let (position, [_, h, w]) = parts.first().map_or((0, [0; 3]), |it| (it.position, it.shape));
        let mut turn = Self {
            position,
            size: [h, w],
            counts: Vec::new(),
            skipped: Vec::new(),
            parts,
            is_stopped: false,
        };
        for (rank, bytes) in parallel.group.all_gather(writer.bytes)?.iter().enumerate() {
            let mut reader = Reader::new(bytes, rank);
            turn.is_stopped |= reader.size()? > 0;
            for _ in 0..turn.parts.len() {
                turn.counts.push(reader.size()?);
                turn.skipped.extend(reader.skipped()?);
            }
        }
        Ok(turn)
    }
}

/// The batches of the rest of an epoch.
pub(crate) struct Turns<'a> {
    batches: Box<dyn Iterator<Item = Result<Batch>> + 'a>,
    parallel: Option<&'a DataParallel>,
    is_stopped: &'a dyn Fn() -> bool,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(
        set: &'a dyn Batches,
        (epoch, start): (usize, usize),
        parallel: Option<&'a DataParallel>,
        is_stopped: &'a dyn Fn() -> bool,
    ) -> Self {
        let batches = match parallel {
            Some(parallel) => set.pieces(epoch, parallel.pieces(start, set.n_batches())),
            None => set.epoch(epoch, start),
        };
        Self { batches, parallel, is_stopped }
    }
}

impl Iterator for Turns<'_> {
    type Item = Result<Turn>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(parallel) = self.parallel else {
            let batch = self.batches.next()?;
            let is_stopped = (self.is_stopped)();
            return Some(batch.map(|batch| Turn::alone(batch, is_stopped)));
        };
        let parts: Result<Vec<Batch>> = self.batches.by_ref().take(parallel.mine().len()).collect();
        match parts {
            Ok(parts) if parts.is_empty() => None,
            Ok(parts) => Some(Turn::agree(parallel, parts, (self.is_stopped)())),
            Err(error) => Some(Err(error)),
        }
    }
}
