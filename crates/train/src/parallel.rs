//! Data parallelism: every step in shards, shared out over the ranks of a group, with the same bits on any number of ranks.
//!
//! Above: `fit`, `recipes`. Below: `parallel::{answers, evaluate, local, replicas, share, state, step, synced, turn, wire}`, `taper-distributed`. Not here: who made the group
//! (`recipes`), how ranks are summed (`taper-distributed`).
//! A *shard* is a contiguous part of the batch that one process would read, with its own forward and backward pass, batch statistics
//! and dropout. Gradients, weighed by samples, are summed in the fixed tree of `taper_distributed::Tree`, which ranks continue; all
//! that comes after, the optimizer with it, every rank does alike. So a run depends on the number of shards alone.

mod answers;
mod evaluate;
mod local;
mod replicas;
mod share;
mod state;
mod step;
mod synced;
mod turn;
mod wire;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use taper_data::batch::Piece;
use taper_distributed::{Group, ReduceDtype, ReduceOptions, Shards, Totals};

use crate::error::{Error, Result};

pub(crate) use answers::Rows;
pub(crate) use evaluate::evaluate_shared;
pub use local::LocalSgd;
pub(crate) use local::local_step;
use replicas::Replicas;
use step::Reducer;
pub(crate) use step::{Lesson, sharded_step};
pub(crate) use turn::{Turn, Turns};

/// How a run is shared out: the ranks, and the shards of a step.
///
/// # Examples
/// A batch of 32 as four shards of 8, here one after the other; on two ranks, two on each. The result is the same.
/// ```
/// use taper_distributed::{Group, ReduceOptions};
/// use taper_train::DataParallel;
/// let parallel = DataParallel::new(Group::alone(), 4, ReduceOptions::default())?; // for `Fit::parallel`
/// assert_eq!(parallel.shards(), 4);
/// assert!(DataParallel::new(Group::alone(), 3, ReduceOptions::default()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DataParallel {
    group: Arc<Group>,
    shards: Shards,
    options: ReduceOptions,
    sync: Synchronization,
    check_every: u64,
    reducer: Mutex<Option<Reducer>>,
    replicas: Mutex<Option<Replicas>>,
}

/// What shards share, and when.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Synchronization {
    /// The gradient of every step. Batch norms use a shard's own statistics.
    #[default]
    Gradients,
    /// The gradient of every step, and the statistics of batch norms, as if the step's batch were whole. Each norm costs two sums over ranks
    /// a step, which nothing hides.
    GradientsAndNorms,
    /// Nothing but losses for some steps, and then their weights.
    Weights(LocalSgd),
}

impl DataParallel {
    /// Steps of `shards` shards on the ranks of `group`, of which the caller may keep a share. With [`ReduceDtype::Bf16`] a run goes on
    /// with as many ranks as it began with.
    ///
    /// # Errors
    /// [`Error::Ranks`] if the ranks cannot share them, or an exact reduction is asked for and they are no power of two.
    pub fn new(
        group: impl Into<Arc<Group>>,
        shards: usize,
        options: ReduceOptions,
    ) -> Result<Self> {
        let group = group.into();
        let shards = Shards::new(shards, group.size(), options.reduction)?;
        Ok(Self {
            group,
            shards,
            options,
            sync: Synchronization::default(),
            check_every: 100,
            reducer: Mutex::default(),
            replicas: Mutex::default(),
        })
    }

    /// What shards share, and when; without this, the gradient of every step.
    ///
    /// # Errors
    /// [`Error::Setting`] if shards that train alone are to meet in a way that cannot be meant.
    pub fn synchronizing(mut self, sync: Synchronization) -> Result<Self> {
        if let Synchronization::Weights(local) = &sync {
            local.check()?;
        }
        self.sync = sync;
        Ok(self)
    }

    /// Compares parameters and optimizer state over all ranks after every so many steps, 100 by default; 0: only before they are saved.
    #[must_use]
    pub fn checked_every(mut self, steps: u64) -> Self {
        self.check_every = steps;
        self
    }

    /// The ranks.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Shards of a step.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.count()
    }

    /// What communication has cost this rank so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.group.totals()
    }

    /// The shards of this rank.
    fn mine(&self) -> Range<usize> {
        self.shards.of(self.group.rank())
    }

    /// A shard, and the rank it is on where there are several.
    fn name(&self, shard: usize) -> String {
        match self.group.size() {
            1 => format!("shard {shard}"),
            _ => format!("shard {shard} on rank {}", shard / self.shards.per_rank()),
        }
    }

    /// This rank's parts of the batches of an epoch from `start` on.
    fn pieces(&self, start: usize, n_batches: usize) -> Vec<Piece> {
        let of = self.shards();
        let parts = |position| self.mine().map(move |part| Piece { position, part, of });
        (start..n_batches).flat_map(parts).collect()
    }

    /// What makes a run another one: the shards, and how they are summed where that changes bits.
    pub(crate) fn describe(&self) -> Vec<(String, String)> {
        let ReduceOptions { reduction, dtype } = self.options;
        let mut facts = vec![("shards".to_owned(), self.shards().to_string())];
        if self.options != ReduceOptions::default() {
            let how = format!("{reduction:?} {dtype:?}").to_lowercase();
            facts.push(("reduction".to_owned(), how));
        }
        if dtype == ReduceDtype::Bf16 {
            let ranks = self.group.size().to_string();
            facts.push(("ranks (fixed by sums in bf16)".to_owned(), ranks));
        }
        match &self.sync {
            Synchronization::Gradients => {}
            Synchronization::GradientsAndNorms => {
                facts.push(("statistics of norms".to_owned(), "of all shards".to_owned()));
            }
            Synchronization::Weights(local) => {
                facts.push(("meetings of shards".to_owned(), local.describe()));
            }
        }
        facts
    }

    /// Samples that are to be compared with those a norm needs: of the smallest shard that has any, or of all.
    pub(crate) fn seen_by_norms(&self, turn: &Turn) -> usize {
        match self.sync {
            Synchronization::GradientsAndNorms => turn.samples(),
            Synchronization::Gradients | Synchronization::Weights(_) => turn.smallest(),
        }
    }

    /// How shards meet, if they train alone.
    pub(crate) fn local(&self) -> Option<&LocalSgd> {
        match &self.sync {
            Synchronization::Weights(local) => Some(local),
            Synchronization::Gradients | Synchronization::GradientsAndNorms => None,
        }
    }

    fn replicas(&self) -> MutexGuard<'_, Option<Replicas>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reducer(&self) -> MutexGuard<'_, Option<Reducer>> {
        self.reducer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this rank writes files and tells events.
pub(crate) fn is_first(parallel: Option<&DataParallel>) -> bool {
    parallel.is_none_or(|parallel| parallel.group.is_first())
}

impl From<taper_distributed::Error> for Error {
    fn from(source: taper_distributed::Error) -> Self {
        Self::Ranks { source }
    }
}

#[cfg(test)]
mod tests;
