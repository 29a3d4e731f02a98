//! Vectors in memory, such as the cached features of a frozen backbone, in batches.
//!
//! Above: `recipes`. Below: `data::random`. Not here: computing them (`transfer::features`).

use taper_data::random::Rng;
use taper_data::{Batch, Targets};

use super::Batches;
use crate::error::{Error, Result};

/// The purpose of the random streams made here.
const ORDER: u64 = 0x6f72_6465;

/// Vectors of one length with targets of any kind, as images of one pixel and as many channels.
///
/// # Examples
/// ```
/// use taper_train::{Batches, Vectors};
/// let set = Vectors::new(vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1], vec![0, 1, 0].into(), 2)?; // three vectors of two
/// let batches: Vec<_> = set.epoch(0, 0).collect::<Result<_, _>>()?;
/// assert_eq!((batches[0].shape, batches[1].shape), ([2, 1, 1], [1, 1, 1]));
/// # Ok::<(), taper_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Vectors {
    values: Vec<f32>,
    targets: Targets,
    dim: usize,
    batch_size: usize,
    seed: Option<u64>,
}

impl Vectors {
    /// Makes a set of `targets.len()` vectors in batches of `batch_size`, in order; the last batch may be smaller.
    ///
    /// # Errors
    /// [`Error::Vectors`] if `values` are not as many vectors as targets, [`Error::Setting`] if `batch_size` is 0.
    pub fn new(values: Vec<f32>, targets: Targets, batch_size: usize) -> Result<Self> {
        if batch_size == 0 {
            let (name, got) = ("batch_size", "0".to_owned());
            return Err(Error::Setting { name, got, expected: "1 or more" });
        }
        let dim = values.len() / targets.len().max(1);
        if dim * targets.len() != values.len() || (dim == 0 && !targets.is_empty()) {
            return Err(Error::Vectors { values: values.len(), labels: targets.len(), dim });
        }
        Ok(Self { values, targets, dim, batch_size, seed: None })
    }

    /// Shuffles every epoch; the order depends on seed and epoch alone.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn gather(&self, position: usize, indices: &[usize]) -> Batch {
        let vector = |i: usize| &self.values[i * self.dim..(i + 1) * self.dim];
        Batch {
            position,
            xs: indices.iter().flat_map(|&i| vector(i)).copied().collect(),
            shape: [indices.len(), 1, 1],
            targets: self.targets.select(indices),
            indices: indices.to_vec(),
            skipped: Vec::new(),
        }
    }
}

impl Batches for Vectors {
    fn n_samples(&self) -> usize {
        self.targets.len()
    }

    fn n_batches(&self) -> usize {
        self.targets.len().div_ceil(self.batch_size)
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let n = self.targets.len();
        let mut order: Vec<usize> = (0..n).collect();
        if let Some(seed) = self.seed {
            Rng::keyed([seed, ORDER, epoch as u64]).shuffle(&mut order);
        }
        let batches = (start_batch..self.n_batches()).map(move |position| {
            let start = position * self.batch_size;
            Ok(self.gather(position, &order[start..n.min(start + self.batch_size)]))
        });
        Box::new(batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Vectors {
        let values = (0..14u8).map(f32::from).collect();
        Vectors::new(values, vec![0, 1, 2, 3, 4, 5, 6].into(), 3).unwrap().shuffled(5)
    }

    fn targets(set: &Vectors, epoch: usize, start: usize) -> Vec<Vec<u32>> {
        set.epoch(epoch, start)
            .map(|batch| batch.unwrap().targets.classes().unwrap().to_vec())
            .collect()
    }

    #[test]
    fn an_epoch_goes_on_in_the_middle_with_the_same_batches() {
        let set = set();
        let whole = targets(&set, 3, 0);
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
        assert_eq!(targets(&set, 3, 1), whole[1..]);
        assert_eq!(targets(&set, 3, 3), Vec::<Vec<u32>>::new());
        assert_ne!(targets(&set, 4, 0), whole);
    }

    #[test]
    fn values_stay_with_their_targets() {
        for batch in set().epoch(1, 0) {
            let batch = batch.unwrap();
            for (i, &target) in batch.targets.classes().unwrap().iter().enumerate() {
                let first = 2.0 * target as f32;
                assert_eq!(batch.xs[2 * i..2 * i + 2], [first, first + 1.0]);
                assert_eq!(batch.indices[i], target as usize);
            }
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        assert!(matches!(
            Vectors::new(vec![0.0; 5], vec![0, 1].into(), 1),
            Err(Error::Vectors { .. })
        ));
        assert!(matches!(Vectors::new(vec![], vec![0].into(), 1), Err(Error::Vectors { .. })));
        assert!(matches!(Vectors::new(vec![0.0], vec![0].into(), 0), Err(Error::Setting { .. })));
    }
}
