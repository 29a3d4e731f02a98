//! Wider and deeper: how a family's table becomes its variants.
//!
//! Above: `mobile`, the families. Below: `taper_graph::scaling`. Not here: larger images, which are no part of a network.
//! Source: timm 1.0.31 `_efficientnet_builder.py`, `_scale_stage_depth`.

use taper_graph::scaling::{make_divisible, round_half_even, scale_depth};

/// How wide and how deep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Factor of all channel counts, which are then rounded to multiples of 8.
    pub width_mult: f64,
    /// Factor of the repeats of a stage, rounded up.
    pub depth_mult: f64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self::ONE
    }
}

impl Scaling {
    /// Neither wider nor deeper.
    pub const ONE: Self = Self { width_mult: 1.0, depth_mult: 1.0 };

    /// Only wider or narrower.
    #[must_use]
    pub const fn width(width_mult: f64) -> Self {
        Self { width_mult, depth_mult: 1.0 }
    }

    /// `c` channels of a network that rounds nothing unless it is scaled; then to multiples of 8.
    pub(crate) fn channels(self, c: usize) -> usize {
        let is_scaled = (self.width_mult - 1.0).abs() > f64::EPSILON;
        if is_scaled { make_divisible(c as f64 * self.width_mult, 8, 0.9) } else { c }
    }

    /// `n` repeats, scaled and rounded up.
    pub(crate) fn repeats(self, n: usize) -> usize {
        scale_depth(n, self.depth_mult)
    }

    /// One after the other.
    pub(crate) fn times(self, other: Self) -> Self {
        Self {
            width_mult: self.width_mult * other.width_mult,
            depth_mult: self.depth_mult * other.depth_mult,
        }
    }
}

/// Repeats of the rows of a stage whose sum is scaled: shared out in proportion, from the last row to the first, each at least
/// once. So the first row, which has the stride, grows last.
pub(crate) fn distribute(repeats: &[usize], depth_mult: f64) -> Vec<usize> {
    let mut n: usize = repeats.iter().sum();
    let mut scaled = scale_depth(n, depth_mult);
    let mut shares: Vec<usize> = Vec::with_capacity(repeats.len());
    for &row in repeats.iter().rev() {
        let share = round_half_even(row as f64 / n as f64 * scaled as f64).max(1);
        shares.push(share);
        n -= row;
        scaled = scaled.saturating_sub(share);
    }
    shares.reverse();
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_is_rounded_up() {
        assert_eq!(distribute(&[4], 1.0), [4]);
        assert_eq!(distribute(&[4], 1.1), [5]);
        assert_eq!(distribute(&[1], 3.1), [4]);
    }

    #[test]
    fn the_first_row_grows_last() {
        // timm's mobilenetv3_large_150d, stages 1 and 3: 2 -> 3 and 4 -> 5 blocks.
        assert_eq!(distribute(&[1, 1], 1.2), [1, 2]);
        assert_eq!(distribute(&[1, 1, 2], 1.2), [1, 2, 2]);
    }

    #[test]
    fn endless_depth_saturates() {
        let endless = distribute(&[1, 2], f64::INFINITY);
        assert!(endless.iter().all(|&n| n > 1 << 30), "{endless:?}");
    }
}
