//! The filters of a convolution that reads a color image, as small color pictures.
//!
//! Above: `recipes`. Below: `picture`. Not here: which convolution that is (`recipes`).
//! A filter with three input channels has a weight for red, green and blue at every tap, so it has a color: that of the patch it
//! answers to most.

use crate::error::{Result, check};
use crate::picture::Picture;

/// One picture a filter, one pixel a tap: gray stands for 0, and the filter's largest absolute weight for the full color or
/// its absence. A filter of zeros is gray.
///
/// # Shapes
/// - `weight`: `(out, 3, k_h, k_w)`, of which `shape` is `[out, k_h, k_w]`   - returns `out` pictures of `(k_h, k_w)`
///
/// # Errors
/// [`Error::Length`](crate::Error::Length) for a slice of another length, [`Error::Empty`](crate::Error::Empty) without taps.
///
/// # Examples
/// ```
/// // One filter with one tap: for red, against green, indifferent to blue.
/// let pictures = taper_report::filters(&[2.0, -2.0, 0.0], [1, 1, 1])?;
/// assert_eq!(pictures[0].rgb(), [255, 0, 128]);
/// # Ok::<(), taper_report::Error>(())
/// ```
pub fn filters(weight: &[f32], [out, kh, kw]: [usize; 3]) -> Result<Vec<Picture>> {
    check("filters", &[out, 3, kh, kw], weight.len())?;
    let pictures = weight.chunks_exact(3 * kh * kw).map(|filter| {
        let largest = filter.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
        let shade = |weight: f32| {
            if largest > 0.0 && largest.is_finite() { weight / largest } else { 0.0 }
        };
        Picture::from_fn(kh, kw, |row, column| {
            [0, 1, 2].map(|color| sample(shade(filter[(color * kh + row) * kw + column])))
        })
    });
    Ok(pictures.collect())
}

/// −1 as 0, 0 as 128, 1 as 255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 255, and the conversion saturates"
)]
fn sample(shade: f32) -> u8 {
    (127.5 + 127.5 * shade).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_has_its_own_scale() {
        let weight = [0.1, -0.1, 0.0, 10.0, 0.0, -10.0];
        let pictures = filters(&weight, [2, 1, 1]).unwrap();
        assert_eq!(pictures[0].rgb(), [255, 0, 128]);
        assert_eq!(pictures[1].rgb(), [255, 128, 0]);
    }

    #[test]
    fn weights_are_read_channel_by_channel() {
        // Red has taps 1, 0; green 0, 1; blue 0, 0.
        let pictures = filters(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.0], [1, 1, 2]).unwrap();
        assert_eq!(pictures[0].rgb(), [255, 128, 128, 128, 255, 128]);
    }

    #[test]
    fn filters_of_zeros_or_of_no_numbers_are_gray() {
        for weight in [0.0, f32::NAN, f32::INFINITY] {
            assert_eq!(filters(&[weight; 3], [1, 1, 1]).unwrap()[0].rgb(), [128; 3]);
        }
        assert!(filters(&[], [1, 0, 3]).is_err());
    }
}
