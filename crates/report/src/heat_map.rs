//! How much each place of an image counts, laid over the image.
//!
//! Above: `recipes`. Below: `colormap`, `picture`. Not here: where the numbers come from (`recipes`).
//! A coarse map is enlarged bilinearly with half-pixel centers: position `i` of `n` stands for the middle of the `i`-th of `n` equal
//! strips, as a convolution of stride `size / n` with symmetric padding sees it.

use crate::colormap::Colormap;
use crate::error::{Result, check};
use crate::picture::Picture;

/// Opacity of the hottest place.
const OPACITY: f32 = 0.65;

/// The share of the largest heat that a line goes around, which is seen without color.
const RIM: f32 = 0.5;

/// A map of heat, not negative.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    height: usize,
    width: usize,
    heat: Vec<f32>,
}

impl HeatMap {
    /// Takes `(height, width)` numbers; negative ones and what is no number count as 0.
    ///
    /// # Errors
    /// [`Error::Empty`](crate::Error::Empty) without positions, [`Error::Length`](crate::Error::Length) for another number of them.
    pub fn new(height: usize, width: usize, heat: &[f32]) -> Result<Self> {
        check("a heat map", &[height, width], heat.len())?;
        let kept = |&heat: &f32| if heat > 0.0 && heat.is_finite() { heat } else { 0.0 };
        Ok(Self { height, width, heat: heat.iter().map(kept).collect() })
    }

    /// The largest heat.
    #[must_use]
    pub fn largest(&self) -> f32 {
        self.heat.iter().copied().fold(0.0, f32::max)
    }

    /// The heat of `height` by `width` places, row by row: interpolated between the centers of positions, and constant beyond the
    /// outermost ones.
    ///
    /// # Examples
    /// ```
    /// let heat = taper_report::HeatMap::new(1, 2, &[0.0, 1.0])?;
    /// assert_eq!(heat.enlarged(1, 4), [0.0, 0.25, 0.75, 1.0]);
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    #[must_use]
    pub fn enlarged(&self, height: usize, width: usize) -> Vec<f32> {
        let rows: Vec<_> = (0..height).map(|row| between(row, height, self.height)).collect();
        let columns: Vec<_> = (0..width).map(|column| between(column, width, self.width)).collect();
        let mut enlarged = Vec::with_capacity(height * width);
        for &(top, bottom, down) in &rows {
            for &(left, right, across) in &columns {
                let at = |row: usize, column: usize| self.heat[row * self.width + column];
                let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
                let upper = mix(at(top, left), at(top, right), across);
                let lower = mix(at(bottom, left), at(bottom, right), across);
                enlarged.push(mix(upper, lower, down));
            }
        }
        enlarged
    }

    /// The heat in color over an image in gray, so that every color is heat: the hotter, the less of the image shines through. The
    /// scale ends at the largest heat, and a line, white on dark and black on light, goes around what has half of it; of a map of zeros, only
    /// the image is seen.
    ///
    /// # Examples
    /// ```
    /// use taper_report::{HeatMap, Picture};
    /// let image = Picture::new(1, 2, vec![100; 6])?;
    /// let over = HeatMap::new(1, 2, &[0.0, 2.0])?.over(&image);
    /// assert_eq!(over.rgb()[..3], [100; 3]);
    /// assert_ne!(over.rgb()[3..], [100; 3]);
    /// # Ok::<(), taper_report::Error>(())
    /// ```
    #[must_use]
    pub fn over(&self, image: &Picture) -> Picture {
        let largest = self.largest();
        let (height, width) = (image.height(), image.width());
        let heat = self.enlarged(height, width);
        let share = |row: usize, column: usize| {
            if largest > 0.0 { heat[row * width + column] / largest } else { 0.0 }
        };
        let is_hot = |row: usize, column: usize| share(row, column) >= RIM;
        // The outermost of what is hot.
        let is_rim = |row: usize, column: usize| {
            let rows = [row.saturating_sub(1), (row + 1).min(height - 1)];
            let columns = [column.saturating_sub(1), (column + 1).min(width - 1)];
            let is_cold_beside = rows.iter().any(|&row| !is_hot(row, column))
                || columns.iter().any(|&column| !is_hot(row, column));
            is_hot(row, column) && is_cold_beside
        };
        Picture::from_fn(height, width, |row, column| {
            let below = gray(image.pixel(row, column));
            if is_rim(row, column) {
                return [if below < 128 { 255 } else { 0 }; 3];
            }
            let share = share(row, column);
            Colormap::Turbo.color(share).map(|above| blend(below, above, OPACITY * share))
        })
    }
}

/// The two positions of `n` around place `i` of `size`, and how far it is from the first to the second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative and below `n`; the share is of single precision"
)]
fn between(i: usize, size: usize, n: usize) -> (usize, usize, f32) {
    let last = n.saturating_sub(1);
    let place = ((i as f64 + 0.5) * n as f64 / size as f64 - 0.5).clamp(0.0, last as f64);
    let first = place.floor() as usize;
    (first, (first + 1).min(last), (place - first as f64) as f32)
}

/// How light a color is: Rec. 709's luma.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of three bytes is a byte"
)]
fn gray(color: [u8; 3]) -> u8 {
    let [r, g, b] = color.map(f32::from);
    (0.2126 * r + 0.7152 * g + 0.0722 * b).round() as u8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of two bytes is a byte"
)]
fn blend(below: u8, above: u8, opacity: f32) -> u8 {
    let (below, above) = (f32::from(below), f32::from(above));
    (below + (above - below) * opacity).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_position_fills_everything() {
        assert_eq!(HeatMap::new(1, 1, &[3.0]).unwrap().enlarged(2, 2), [3.0; 4]);
    }

    #[test]
    fn a_map_of_the_same_size_is_itself() {
        let heat = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(HeatMap::new(2, 3, &heat).unwrap().enlarged(2, 3), heat);
    }

    #[test]
    fn enlarging_keeps_the_mean_of_the_middle_and_the_corners() {
        let enlarged = HeatMap::new(2, 2, &[0.0, 4.0, 8.0, 12.0]).unwrap().enlarged(4, 4);
        assert!(enlarged[0].abs() < 1e-6);
        assert!((enlarged[15] - 12.0).abs() < 1e-5);
        let middle = [5, 6, 9, 10].map(|i| enlarged[i]).iter().sum::<f32>();
        assert!((middle / 4.0 - 6.0).abs() < 1e-6);
    }

    #[test]
    fn what_is_negative_or_no_number_is_cold() {
        let heat = HeatMap::new(1, 3, &[-1.0, f32::NAN, 1.0]).unwrap();
        assert_eq!(heat.enlarged(1, 3), [0.0, 0.0, 1.0]);
        let image = Picture::new(1, 1, vec![9; 3]).unwrap();
        assert_eq!(HeatMap::new(1, 1, &[-1.0]).unwrap().over(&image), image);
        assert!(matches!(HeatMap::new(0, 1, &[]), Err(Error::Empty { .. })));
    }

    #[test]
    fn colors_are_heat_alone() {
        let image = Picture::new(1, 3, vec![255, 0, 0, 0, 255, 0, 0, 0, 255]).unwrap();
        let over = HeatMap::new(1, 3, &[0.0; 3]).unwrap().over(&image);
        assert_eq!(over.rgb(), [[54; 3], [182; 3], [18; 3]].concat());
    }

    #[test]
    fn a_line_goes_around_what_is_hot_and_is_seen_on_dark_and_on_light() {
        let image = Picture::new(1, 5, [[0; 9], [250; 9]].concat()[..15].to_vec()).unwrap();
        let over = HeatMap::new(1, 5, &[0.0, 1.0, 2.0, 1.5, 0.0]).unwrap().over(&image);
        let at = |column| over.pixel(0, column);
        assert_eq!([at(1), at(3)], [[255; 3], [0; 3]]);
        assert!(at(2) != [255; 3] && at(2) != [0; 3], "{:?}", at(2));
        assert_eq!([at(0), at(4)], [[0; 3], [250; 3]]);
    }

    #[test]
    fn the_hottest_place_has_the_color_of_the_top() {
        let image = Picture::new(1, 1, vec![0; 3]).unwrap();
        let over = HeatMap::new(1, 1, &[0.01]).unwrap().over(&image);
        let top = Colormap::Turbo.color(1.0);
        assert_eq!(over.rgb(), top.map(|sample| blend(0, sample, OPACITY)));
    }
}
