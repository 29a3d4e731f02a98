//! The sizes of pictures that grow while a network is trained.
//!
//! Above: `tune`. Below: `error`. Not here: batches of them (`tune::sizes`).

use super::{FineTuneOptions, at_least};
use crate::error::{Error, Result};

/// Pixels by which pictures grow: the largest stride of the zoo's networks.
const STEP: usize = 32;

impl FineTuneOptions {
    /// Refuses sizes that do not grow, as far as they are said.
    pub(super) fn check_sizes(&self) -> Result<()> {
        let Some(from) = self.image_size_from else { return Ok(()) };
        at_least("image_size_from", from, STEP)?;
        if self.epochs == 1 {
            let expected = "absent with one epoch, whose pictures have their size";
            return Err(Error::option("image_size_from", &from, expected));
        }
        match self.image_size {
            Some(size) if from >= size => {
                let expected = format!("less than `image_size`, {size}");
                Err(Error::option("image_size_from", &from, expected))
            }
            _ => Ok(()),
        }
    }

    /// The size of the pictures of each epoch, in pixels: `size`, or from `image_size_from` on linearly in steps of 32, of which the last epoch
    /// has come to the last.
    ///
    /// ```
    /// use taper_recipes::FineTuneOptions;
    /// let options = FineTuneOptions { epochs: 6, image_size_from: Some(128), ..FineTuneOptions::default() };
    /// assert_eq!(options.image_sizes(224), [128, 160, 160, 192, 192, 224]);
    /// ```
    pub fn image_sizes(&self, size: usize) -> Vec<usize> {
        let from = self.image_size_from.unwrap_or(size).min(size);
        let steps = (size - from).div_ceil(STEP);
        let last = self.epochs.saturating_sub(1);
        let of = |epoch: usize| match last {
            0 => size,
            // The nearest step, halves upwards.
            _ => size.min(from + STEP * ((2 * epoch * steps + last) / (2 * last))),
        };
        (0..self.epochs).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(epochs: usize, from: Option<usize>, size: usize) -> Vec<usize> {
        FineTuneOptions { epochs, image_size_from: from, ..FineTuneOptions::default() }
            .image_sizes(size)
    }

    #[test]
    fn one_epoch_has_no_time_to_grow() {
        let options = FineTuneOptions { image_size_from: Some(128), ..FineTuneOptions::default() };
        assert!(options.check_sizes().is_ok());
        let error = FineTuneOptions { epochs: 1, ..options }.check_sizes().unwrap_err();
        assert!(error.to_string().contains("one epoch"), "{error}");
    }

    #[test]
    fn pictures_grow_linearly_and_end_at_their_size() {
        assert_eq!(sizes(4, Some(128), 224), [128, 160, 192, 224]);
        assert_eq!(sizes(2, Some(128), 224), [128, 224]);
        assert_eq!(sizes(1, Some(128), 224), [224]);
        assert_eq!(sizes(3, Some(100), 150), [100, 132, 150]);
        assert_eq!(sizes(3, None, 224), [224; 3]);
        for (epochs, from, size) in [(7, 32, 96), (30, 128, 300), (5, 223, 224)] {
            let sizes = sizes(epochs, Some(from), size);
            assert!(sizes.is_sorted(), "{sizes:?}");
            assert_eq!((sizes[0], sizes[epochs - 1]), (from, size));
        }
    }
}
