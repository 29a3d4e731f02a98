//! Where batches come from: image files through a loader, or vectors in memory.
//!
//! Above: `fit`, `evaluate`. Below: `data::Loader`, `batches::vectors`. Not here: decoding and transforms (`data`).

mod vectors;

use taper_data::{Batch, Loader};

use crate::error::{Error, Result};

pub use vectors::Vectors;

/// A set of labeled samples, batch by batch. A [`Loader`] is one.
///
/// Everything is a pure function of `(epoch, batch)`, so that a run can go on in the middle of an epoch.
pub trait Batches {
    /// Samples of an epoch.
    fn n_samples(&self) -> usize;

    /// Batches of an epoch.
    fn n_batches(&self) -> usize;

    /// The batches of an epoch from `start_batch` on, each with its position.
    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_>;
}

impl Batches for Loader {
    fn n_samples(&self) -> usize {
        self.images()
    }

    fn n_batches(&self) -> usize {
        self.batches()
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        Box::new(self.epoch(epoch, start_batch).map(|batch| batch.map_err(Error::from)))
    }
}
