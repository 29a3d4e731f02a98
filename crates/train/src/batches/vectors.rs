//! Vectors in memory, such as the cached features of a frozen backbone, in batches.
//!
//! Above: `recipes`. Below: `data::random`. Not here: computing them (`transfer::features`).

use std::ops::Range;

use taper_data::batch::batch_ranges;
use taper_data::random::Rng;
use taper_data::{Batch, Targets};

use super::Batches;
use crate::error::{Error, Result};

/// The purpose of the random streams made here.
const ORDER: u64 = 0x6f72_6465;

/// Vectors of one length with targets of any kind, as images of one pixel and as many channels. Of a sample there can be several, such as
/// the features of several augmented views, which epochs show by turns.
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
    /// `(view, sample, dim)`; one view at least.
    views: Vec<Vec<f32>>,
    targets: Targets,
    dim: usize,
    batch_size: usize,
    min_batch: usize,
    /// Indices of the samples in the set they are from.
    indices: Vec<usize>,
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
        let indices = (0..targets.len()).collect();
        let views = vec![values];
        Ok(Self { views, targets, dim, batch_size, min_batch: 1, indices, seed: None })
    }

    /// Adds another view of the same samples, in the same order: of `v` views, epoch `e` shows view `e mod v`.
    ///
    /// # Errors
    /// [`Error::Vectors`] if it has not as many values as the first.
    ///
    /// # Examples
    /// ```
    /// use taper_train::{Batches, Vectors};
    /// let set = Vectors::new(vec![0.0, 1.0], vec![0, 1].into(), 2)?.with_view(vec![0.5, 1.5])?;
    /// let xs = |epoch| set.epoch(epoch, 0).next().unwrap().map(|batch| batch.xs);
    /// assert_eq!((xs(0)?, xs(1)?, xs(2)?), (vec![0.0, 1.0], vec![0.5, 1.5], vec![0.0, 1.0]));
    /// # Ok::<(), taper_train::Error>(())
    /// ```
    pub fn with_view(mut self, values: Vec<f32>) -> Result<Self> {
        let (labels, dim) = (self.targets.len(), self.dim);
        if values.len() != labels * dim {
            return Err(Error::Vectors { values: values.len(), labels, dim });
        }
        self.views.push(values);
        Ok(self)
    }

    /// Names the samples that the vectors are of, where they are not 0, 1, 2, … of their set.
    ///
    /// # Errors
    /// [`Error::Setting`] if there are not as many as vectors.
    pub fn with_indices(mut self, indices: Vec<usize>) -> Result<Self> {
        if indices.len() != self.targets.len() {
            let (name, got) = ("indices", format!("a list of {}", indices.len()));
            return Err(Error::Setting { name, got, expected: "one index a vector" });
        }
        self.indices = indices;
        Ok(self)
    }

    /// The last batch of an epoch has `min_batch` vectors or more: fewer join the batch before.
    #[must_use]
    pub fn with_min_batch(mut self, min_batch: usize) -> Self {
        self.min_batch = min_batch;
        self
    }

    /// The vectors of the first view, `(sample, dim)`, in order.
    pub fn values(&self) -> &[f32] {
        self.views.first().map_or(&[], Vec::as_slice)
    }

    /// The targets of all samples, in order.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    fn ranges(&self) -> Vec<Range<usize>> {
        batch_ranges(self.targets.len(), self.batch_size, self.min_batch)
    }

    /// Shuffles every epoch; the order depends on seed and epoch alone.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The batch of these vectors, in the view of an epoch.
    fn gather(&self, epoch: usize, position: usize, indices: &[usize]) -> Batch {
        let values = &self.views[epoch % self.views.len()];
        let vector = |i: usize| &values[i * self.dim..(i + 1) * self.dim];
        Batch {
            position,
            xs: indices.iter().flat_map(|&i| vector(i)).copied().collect(),
            shape: [indices.len(), 1, 1],
            targets: self.targets.select(indices),
            indices: indices.iter().map(|&i| self.indices[i]).collect(),
            skipped: Vec::new(),
            for_teacher: None,
        }
    }
}

impl Batches for Vectors {
    fn n_samples(&self) -> usize {
        self.targets.len()
    }

    fn n_batches(&self) -> usize {
        self.ranges().len()
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
        let ranges = self.ranges().into_iter().enumerate().skip(start_batch);
        Box::new(
            ranges.map(move |(position, range)| Ok(self.gather(epoch, position, &order[range]))),
        )
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
    fn a_rest_of_one_joins_the_batch_before_and_samples_keep_their_indices() {
        let set = set().with_indices(vec![0, 2, 4, 6, 8, 10, 12]).unwrap();
        let set = set.with_min_batch(2);
        let batches: Vec<Batch> = set.epoch(2, 0).collect::<Result<_>>().unwrap();
        assert_eq!(batches.iter().map(|b| b.shape[0]).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(set.n_batches(), 2);
        for batch in &batches {
            for (&index, &target) in batch.indices.iter().zip(batch.targets.classes().unwrap()) {
                assert_eq!(index, 2 * target as usize);
            }
        }
        assert!(set.with_indices(vec![1]).is_err());
    }

    #[test]
    fn epochs_take_views_by_turns_and_each_sample_keeps_its_target() {
        let another = |by: f32| (0..14u8).map(|value| f32::from(value) + by).collect::<Vec<f32>>();
        let set = set().with_view(another(100.0)).unwrap().with_view(another(200.0)).unwrap();
        for epoch in 0..7 {
            let by = [0.0, 100.0, 200.0][epoch % 3];
            assert_eq!(targets(&set, epoch, 0), targets(&self::set(), epoch, 0));
            for batch in set.epoch(epoch, 1) {
                let batch = batch.unwrap();
                for (vector, &target) in
                    batch.xs.chunks_exact(2).zip(batch.targets.classes().unwrap())
                {
                    assert_eq!(vector[..1], [2.0 * target as f32 + by]);
                }
            }
        }
        assert!(matches!(set.with_view(vec![0.0; 13]), Err(Error::Vectors { .. })));
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
