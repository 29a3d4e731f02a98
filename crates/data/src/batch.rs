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
