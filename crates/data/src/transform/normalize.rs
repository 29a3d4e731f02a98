//! Bytes to normalized floats, flipped on the way: `ToTensor`, `RandomHorizontalFlip` and `Normalize` in one pass.
//!
//! Above: `train`, `eval`. Below: nothing. Not here: whether to flip (`train`).
//! The result of `(x / 255 - mean) / std` in `f32` is looked up in a table of 256 entries a channel, computed in
//! torchvision's order of operations, so it is equal bit for bit.

use crate::error::{Error, Result};

/// Whether the columns are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flip {
    /// As they are.
    None,
    /// Left and right exchanged.
    Horizontal,
}

/// Subtracts the mean and divides by the standard deviation, by channel, of samples scaled to 0–1.
#[derive(Debug, Clone)]
pub struct Normalize {
    table: Box<[[f32; 3]; 256]>,
}

impl Normalize {
    /// ImageNet's statistics: mean 0.485, 0.456, 0.406; standard deviation 0.229, 0.224, 0.225.
    #[must_use]
    pub fn imagenet() -> Self {
        Self::tabulate([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    }

    /// Statistics of one's own, RGB, of samples scaled to 0–1.
    ///
    /// # Errors
    /// [`Error::Setting`] if a value is not finite or a standard deviation not positive.
    pub fn new(mean: [f32; 3], std: [f32; 3]) -> Result<Self> {
        if !mean.iter().all(|m| m.is_finite()) {
            let got = format!("{mean:?}");
            return Err(Error::Setting { setting: "mean", got, expected: "finite numbers" });
        }
        if !std.iter().all(|s| s.is_finite() && *s > 0.0) {
            let got = format!("{std:?}");
            return Err(Error::Setting { setting: "std", got, expected: "positive numbers" });
        }
        Ok(Self::tabulate(mean, std))
    }

    fn tabulate(mean: [f32; 3], std: [f32; 3]) -> Self {
        let mut table = Box::new([[0.0; 3]; 256]);
        for (byte, row) in table.iter_mut().enumerate() {
            for (channel, value) in row.iter_mut().enumerate() {
                *value = (byte as f32 / 255.0 - mean[channel]) / std[channel];
            }
        }
        Self { table }
    }

    /// Writes the floats of a picture `width` columns wide.
    ///
    /// # Shapes
    /// - `rgb`: `(h, w, 3)` bytes   - `out`: `(h, w, 3)` floats
    ///
    /// # Errors
    /// [`Error::Buffer`] if `out` has another length than `rgb`, or `rgb` no whole rows.
    pub fn write(&self, rgb: &[u8], width: usize, flip: Flip, out: &mut [f32]) -> Result<()> {
        if out.len() != rgb.len() {
            return Err(Error::Buffer { expected: rgb.len(), got: out.len() });
        }
        let row = width.saturating_mul(3).max(1);
        if !rgb.len().is_multiple_of(row) || (width == 0 && !rgb.is_empty()) {
            return Err(Error::Buffer {
                expected: rgb.len().next_multiple_of(row),
                got: rgb.len(),
            });
        }
        let rows = rgb.chunks_exact(row).zip(out.chunks_exact_mut(row));
        for (bytes, floats) in rows {
            let pixels = bytes.chunks_exact(3);
            match flip {
                Flip::None => self.write_row(pixels, floats),
                Flip::Horizontal => self.write_row(pixels.rev(), floats),
            }
        }
        Ok(())
    }

    fn write_row<'a>(&self, pixels: impl Iterator<Item = &'a [u8]>, floats: &mut [f32]) {
        for (pixel, out) in pixels.zip(floats.chunks_exact_mut(3)) {
            out[0] = self.table[usize::from(pixel[0])][0];
            out[1] = self.table[usize::from(pixel[1])][1];
            out[2] = self.table[usize::from(pixel[2])][2];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flip, Normalize};

    #[test]
    fn a_flip_mirrors_columns_not_channels() {
        let plain = Normalize::new([0.0; 3], [1.0 / 255.0; 3]).unwrap();
        let mut out = [0.0; 12];
        plain
            .write(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], 2, Flip::Horizontal, &mut out)
            .unwrap();
        let rounded = out.map(|x| format!("{x:.0}")).join(" ");
        assert_eq!(rounded, "4 5 6 1 2 3 10 11 12 7 8 9");
    }

    #[test]
    fn a_wrong_length_is_refused_and_not_half_written() {
        let plain = Normalize::imagenet();
        for (bytes, width, floats) in [(12, 2, 9), (12, 2, 15), (9, 2, 9), (6, 0, 6), (0, 1, 3)] {
            let mut out = vec![7.0; floats];
            let refused = plain.write(&vec![0; bytes], width, Flip::None, &mut out);
            assert!(refused.is_err(), "{bytes} bytes, {width} wide, {floats} floats");
            assert!(out.iter().all(|x| x.to_bits() == 7.0_f32.to_bits()));
        }
        plain.write(&[], 0, Flip::None, &mut []).unwrap();
    }

    #[test]
    fn wrong_statistics_are_refused() {
        assert!(Normalize::new([0.0; 3], [1.0, 0.0, 1.0]).is_err());
        assert!(Normalize::new([f32::NAN, 0.0, 0.0], [1.0; 3]).is_err());
    }
}
