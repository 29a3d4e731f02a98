//! Where batches come from: image files through a loader, or vectors in memory.
//!
//! Above: `fit`, `evaluate`. Below: `data::Loader`, `batches::{paired, vectors}`. Not here: decoding and transforms (`data`).

mod paired;
mod vectors;

use taper_data::batch::Piece;
use taper_data::{Batch, Loader};

use crate::error::{Error, Result};

pub use paired::Paired;
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

    /// Only these parts of batches of an epoch, by rising position, each as a batch of its own: what one of several ranks reads.
    ///
    /// The default makes whole batches and takes the parts out of them; a set that can read samples one by one should do better.
    fn pieces(
        &self,
        epoch: usize,
        pieces: Vec<Piece>,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let first = pieces.first().map_or(0, |piece| piece.position);
        let (mut batches, mut last) = (self.epoch(epoch, first), None::<Batch>);
        Box::new(pieces.into_iter().map_while(move |piece| {
            while last.as_ref().is_none_or(|batch| batch.position < piece.position) {
                match batches.next()? {
                    Ok(batch) => last = Some(batch),
                    Err(error) => return Some(Err(error)),
                }
            }
            last.as_ref().map(|batch| Ok(batch.part(piece)))
        }))
    }
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

    fn pieces(
        &self,
        epoch: usize,
        pieces: Vec<Piece>,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        Box::new(self.pieces(epoch, pieces).map(|batch| batch.map_err(Error::from)))
    }
}
