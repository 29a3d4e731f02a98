//! What an engine must be able to do.
//!
//! Above: `group`, `reduce`, `bf16`. Below: nothing. Not here: engines (`threads`), sums of a fixed order (`reduce`).
//! All ranks make the same calls in the same order. Everything is built on `exchange`; an engine that has better ways of its own
//! overrides the others.

use crate::bytes::{f32s, to_bytes};
use crate::{Error, Result};

/// One rank's way to all others, used by one thread.
///
/// # Errors
/// Every call fails with [`Error::Lost`] or [`Error::Silent`] when a rank is gone, and with [`Error::Aborted`] when one ended the job.
pub trait Communicator {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks, at least 1.
    fn size(&self) -> usize;

    /// Sends to `peer` and receives what it sends, both ways at once; `receive` is resized to what came. Both ranks make the call.
    ///
    /// # Errors
    /// As the trait says.
    fn exchange(&mut self, peer: usize, send: &[u8], receive: &mut Vec<u8>) -> Result<()>;

    /// As [`Self::exchange`], of values whose number both ranks know.
    ///
    /// # Errors
    /// As the trait says; [`Error::Length`] when another number came.
    fn exchange_f32(&mut self, peer: usize, send: &[f32], receive: &mut [f32]) -> Result<()> {
        let mut bytes = Vec::new();
        self.exchange(peer, &to_bytes(send), &mut bytes)?;
        let values = f32s(&bytes, peer, receive.len(), "an exchange of values")?;
        receive.iter_mut().zip(values).for_each(|(place, value)| *place = value);
        Ok(())
    }

    /// Tells all other ranks that the job has failed, and why. Does not wait for them.
    fn abort(&mut self, error: &Error);

    /// Called every few milliseconds while there is nothing to do: gives signs of life and looks for those of the others.
    ///
    /// # Errors
    /// As the trait says.
    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Called once, last: says goodbye, so that leaving is not taken for dying.
    ///
    /// # Errors
    /// As the trait says.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }

    /// The sum of all ranks' values, on all of them with the same bits, in the order that suits the engine.
    ///
    /// # Errors
    /// As the trait says; [`Error::Length`] when ranks have another number of values.
    fn all_reduce(&mut self, values: &mut [f32]) -> Result<()> {
        let all = self.all_gather(&to_bytes(values))?;
        values.fill(0.0);
        for (rank, bytes) in all.iter().enumerate() {
            let theirs = f32s(bytes, rank, values.len(), "an all-reduce")?;
            values.iter_mut().zip(theirs).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }

    /// Makes `bytes` on all ranks what they are on `root`.
    ///
    /// # Errors
    /// As the trait says.
    fn broadcast(&mut self, root: usize, bytes: &mut Vec<u8>) -> Result<()> {
        // A binomial tree: in each round those who have it give it to as many more.
        let (rank, size) = (self.rank(), self.size());
        let place = (rank + size - root) % size;
        let mut reach = 1;
        while reach < size {
            if place < reach && place + reach < size {
                self.exchange((place + reach + root) % size, bytes, &mut Vec::new())?;
            } else if (reach..2 * reach).contains(&place) {
                self.exchange((place - reach + root) % size, &[], bytes)?;
            }
            reach *= 2;
        }
        Ok(())
    }

    /// What every rank has given, by rank; lengths may differ.
    ///
    /// # Errors
    /// As the trait says.
    fn all_gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut all = vec![Vec::new(); self.size()];
        for peer in partners(self.rank(), self.size()) {
            self.exchange(peer, bytes, &mut all[peer])?;
        }
        all[self.rank()] = bytes.to_vec();
        Ok(all)
    }

    /// What every rank has given, by rank, on `root`; nothing on others. Lengths may differ.
    ///
    /// # Errors
    /// As the trait says.
    fn gather(&mut self, root: usize, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
        if self.rank() != root {
            self.exchange(root, bytes, &mut Vec::new())?;
            return Ok(Vec::new());
        }
        let mut all = vec![Vec::new(); self.size()];
        for peer in (0..self.size()).filter(|&peer| peer != root) {
            self.exchange(peer, &[], &mut all[peer])?;
        }
        all[root] = bytes.to_vec();
        Ok(all)
    }

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    /// As the trait says.
    fn barrier(&mut self) -> Result<()> {
        self.all_gather(&[]).map(drop)
    }
}

/// An order in which every rank meets every other once, both at the same time, for any number of ranks.
pub(crate) fn partners(rank: usize, size: usize) -> impl Iterator<Item = usize> {
    (0..size).map(move |round| (round + size - rank) % size).filter(move |&peer| peer != rank)
}
