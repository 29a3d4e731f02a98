//! Pictures and targets of one step.
//!
//! Above: `train`, `transfer`. Below: `targets` (candle behind its feature). Not here: how batches are made (`loader`).

use std::ops::Range;

use crate::dataset::Skipped;
use crate::targets::Targets;

/// What one step of training or evaluation works on.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The batch's number in its epoch, from 0: the place to continue from is `position + 1`.
    pub position: usize,
    /// Normalized pictures, `(n, h, w, c)`, contiguous; three channels unless the transform is one of your own that says otherwise.
    pub xs: Vec<f32>,
    /// `[n, h, w]`.
    pub shape: [usize; 3],
    /// What the `n` samples should give.
    pub targets: Targets,
    /// Which samples these are, `(n)`: indices into the loader's list.
    pub indices: Vec<usize>,
    /// Samples that belong to this batch but could not be read any more; the batch is smaller by them, down to none.
    ///
    /// Empty if every picture was decoded when the data set was opened and no file has changed since.
    pub skipped: Vec<Skipped>,
    /// The same pictures for a teacher that wants them in another size, where there is one. No loader makes it: `taper_train::Paired` does.
    pub for_teacher: Option<Rendition>,
}

/// The pictures of a [`Batch`] once more, cut, turned and mixed alike, in another size and normalized for another network.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendition {
    /// As [`Batch::xs`].
    pub xs: Vec<f32>,
    /// As [`Batch::shape`], with the same `n`.
    pub shape: [usize; 3],
}

impl Rendition {
    fn rows(&self, rows: Range<usize>) -> Self {
        let [_, h, w] = self.shape;
        Self { xs: pictures(&self.xs, self.shape, rows.clone()), shape: [rows.len(), h, w] }
    }
}

/// Some of the pictures of a batch.
fn pictures(xs: &[f32], [n, ..]: [usize; 3], rows: Range<usize>) -> Vec<f32> {
    let each = xs.len() / n.max(1);
    xs[rows.start * each..rows.end * each].to_vec()
}

/// One of several parts, contiguous and nearly equal, of one batch of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The batch's number in its epoch, from 0.
    pub position: usize,
    /// Which part, from 0.
    pub part: usize,
    /// How many parts there are, at least 1.
    pub of: usize,
}

impl Piece {
    /// A batch as it is.
    #[must_use]
    pub fn whole(position: usize) -> Self {
        Self { position, part: 0, of: 1 }
    }

    /// Its rows in a batch of `rows`: numbers of rows of parts differ by one at most, and can be none.
    ///
    /// # Examples
    /// ```
    /// use taper_data::batch::Piece;
    /// let rows = [0, 1, 2].map(|part| Piece { position: 0, part, of: 3 }.rows(8));
    /// assert_eq!(rows, [0..2, 2..5, 5..8]);
    /// ```
    #[must_use]
    pub fn rows(&self, rows: usize) -> Range<usize> {
        let (of, part) = (self.of.max(1), self.part.min(self.of.max(1) - 1));
        part * rows / of..(part + 1) * rows / of
    }
}

/// The batches of `n` samples as ranges, in order: `batch_size` each and the rest in a last one. A rest of fewer than `min_batch`
/// joins the batch before it, so that no sample is left out and none is alone.
///
/// # Examples
/// ```
/// use taper_data::batch::batch_ranges;
/// assert_eq!(batch_ranges(9, 4, 1), [0..4, 4..8, 8..9]);
/// assert_eq!(batch_ranges(9, 4, 2), [0..4, 4..9]);
/// assert_eq!(batch_ranges(1, 4, 2), [0..1]); // there is none before it
/// ```
#[must_use]
pub fn batch_ranges(n: usize, batch_size: usize, min_batch: usize) -> Vec<Range<usize>> {
    let size = batch_size.max(1);
    let mut ranges: Vec<Range<usize>> =
        (0..n).step_by(size).map(|start| start..n.min(start.saturating_add(size))).collect();
    if ranges.len() > 1 && ranges.last().is_some_and(|last| last.len() < min_batch) {
        ranges.pop();
        if let Some(last) = ranges.last_mut() {
            last.end = n;
        }
    }
    ranges
}

impl Batch {
    /// A part of the samples that could be read; what could not is told with the first part.
    ///
    /// # Examples
    /// ```
    /// use taper_data::{Batch, batch::Piece};
    /// let batch = Batch {
    ///     position: 3,
    ///     xs: vec![0.0, 1.0, 2.0],
    ///     shape: [3, 1, 1],
    ///     targets: vec![1, 0, 1].into(),
    ///     indices: vec![7, 3, 5],
    ///     skipped: vec![],
    ///     for_teacher: None,
    /// };
    /// let last = batch.part(Piece { position: 3, part: 1, of: 2 });
    /// assert_eq!((last.indices, last.xs, last.shape), (vec![3, 5], vec![1.0, 2.0], [2, 1, 1]));
    /// ```
    #[must_use]
    pub fn part(&self, piece: Piece) -> Self {
        let [n, h, w] = self.shape;
        let rows = piece.rows(n);
        let chosen: Vec<usize> = rows.clone().collect();
        Self {
            position: self.position,
            xs: pictures(&self.xs, self.shape, rows.clone()),
            shape: [rows.len(), h, w],
            targets: self.targets.select(&chosen),
            indices: self.indices[rows.clone()].to_vec(),
            skipped: if piece.part == 0 { self.skipped.clone() } else { Vec::new() },
            for_teacher: self.for_teacher.as_ref().map(|seen| seen.rows(rows)),
        }
    }
}

#[cfg(feature = "candle")]
impl Batch {
    /// The batch as candle tensors; the pixels are moved, not copied, if the device is the CPU.
    ///
    /// # Shapes
    /// - returns `(n, c, h, w)`, a channels-last view, and the targets as [`Targets::to_tensor`] has them
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if the device has no memory left, [`Error::SeveralTargets`](crate::Error::SeveralTargets)
    /// if the targets are not one tensor.
    ///
    /// # Examples
    /// ```
    /// use candle_core::Device;
    /// let batch = taper_data::Batch {
    ///     position: 0,
    ///     xs: vec![0.0; 2 * 4 * 5 * 3],
    ///     shape: [2, 4, 5],
    ///     targets: vec![1, 0].into(),
    ///     indices: vec![7, 3],
    ///     skipped: vec![],
    ///     for_teacher: None,
    /// };
    /// let (xs, targets) = batch.into_tensors(&Device::Cpu)?;
    /// assert_eq!(xs.dims(), [2, 3, 4, 5]);
    /// assert_eq!(targets.to_vec1::<u32>()?, [1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_tensors(
        self,
        device: &candle_core::Device,
    ) -> crate::Result<(candle_core::Tensor, candle_core::Tensor)> {
        let [n, h, w] = self.shape;
        let channels = self.xs.len() / (n * h * w).max(1);
        let xs = candle_core::Tensor::from_vec(self.xs, (n, h, w, channels), device)
            .and_then(|xs| xs.permute((0, 3, 1, 2)))
            .map_err(|source| crate::Error::Tensor { source })?;
        Ok((xs, self.targets.to_tensor(device)?))
    }

    /// As [`Self::into_tensors`], but copies the pixels, so that the batch can be used again.
    ///
    /// # Errors
    /// As [`Self::into_tensors`].
    pub fn to_tensors(
        &self,
        device: &candle_core::Device,
    ) -> crate::Result<(candle_core::Tensor, candle_core::Tensor)> {
        self.clone().into_tensors(device)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_has_its_rows_of_what_a_teacher_sees() {
        let batch = Batch {
            position: 0,
            xs: vec![0.0, 1.0, 2.0],
            shape: [3, 1, 1],
            targets: vec![0, 1, 0].into(),
            indices: vec![4, 5, 6],
            skipped: Vec::new(),
            for_teacher: Some(Rendition {
                xs: vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5],
                shape: [3, 1, 2],
            }),
        };
        let part = batch.part(Piece { position: 0, part: 1, of: 2 });
        let expected = Rendition { xs: vec![1.0, 1.5, 2.0, 2.5], shape: [2, 1, 2] };
        assert_eq!((part.xs, part.for_teacher), (vec![1.0, 2.0], Some(expected)));
    }

    proptest! {
        #[test]
        fn rows_are_shared_out_once_and_evenly(of in 1_usize..65, rows in 0_usize..300) {
            let mut next = 0;
            for part in 0..of {
                let share = Piece { position: 0, part, of }.rows(rows);
                prop_assert_eq!(share.start, next);
                prop_assert!(share.len() == rows / of || share.len() == rows / of + 1);
                next = share.end;
            }
            prop_assert_eq!(next, rows);
        }
    }
}
