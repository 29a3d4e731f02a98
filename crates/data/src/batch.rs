//! Pictures and targets of one step.
//!
//! Above: `train`, `transfer`. Below: `targets` (candle behind its feature). Not here: how batches are made (`loader`).

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
    /// Samples that belong to this batch but could not be read any more; the batch is smaller by them.
    ///
    /// Empty if every picture was decoded when the data set was opened and no file has changed since.
    pub skipped: Vec<Skipped>,
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
