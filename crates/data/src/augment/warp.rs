//! Pictures moved, turned, sheared, scaled and seen from aside: every pixel of the result is looked up in the source.
//!
//! Above: `augment`. Below: `augment::sample`. Not here: which angle or corner, if it is drawn (`augment::random`).
//! Positions are `(x, y)` in pixels, x to the right and y down, angles in degrees, as in torchvision; the result has the source's
//! size. Nearest sampling is Pillow's to the byte, 16.16 fixed point included; bilinear values that are whole numbers may be cut to one less or more.
//! Source: torchvision 0.26 `transforms.v2.functional.{affine, rotate, perspective}` on PIL images, Pillow 13 `Geometry.c`, `Image.rotate`.

use super::sample::{self, Sampling};
use crate::error::{Error, Result};
use crate::image::Image;

/// The color of what lies outside of the source: red, green, blue.
pub type Fill = [u8; 3];

/// Black: what Pillow fills with unless told otherwise.
pub const BLACK: Fill = [0; 3];

/// A rotation, shear and scale about a point, then a translation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Clockwise rotation, degrees.
    pub degrees: f64,
    /// To the right and down, pixels.
    pub translate: [f64; 2],
    /// Factor of both sides, above 0.
    pub scale: f64,
    /// Shear along x and along y, degrees.
    pub shear: [f64; 2],
    /// The fixed point, `(x, y)` pixels from the upper left corner; the picture's middle when absent.
    pub center: Option<[f64; 2]>,
}

impl Default for Affine {
    /// Changes nothing.
    fn default() -> Self {
        Self { degrees: 0.0, translate: [0.0; 2], scale: 1.0, shear: [0.0; 2], center: None }
    }
}

impl Affine {
    /// `[a, b, c, d, e, f]`, which takes the point `(x, y)` of the result to `(ax + by + c, dx + ey + f)` of a source of
    /// `(height, width)` pixels. In torchvision's order of operations, which decides the last bits.
    fn inverse(&self, [height, width]: [usize; 2]) -> [f64; 6] {
        let [rotation, shear_x, shear_y] =
            [self.degrees, self.shear[0], self.shear[1]].map(f64::to_radians);
        let [cx, cy] = self.center.unwrap_or([width as f64 * 0.5, height as f64 * 0.5]);
        let [tx, ty] = self.translate;
        let (cos, sin) = ((rotation - shear_y).cos(), (rotation - shear_y).sin());
        let a = cos / shear_y.cos();
        let b = -cos * shear_x.tan() / shear_y.cos() - rotation.sin();
        let c = sin / shear_y.cos();
        let d = -sin * shear_x.tan() / shear_y.cos() + rotation.cos();
        let [a, b, c, d] = [d, -b, -c, a].map(|x| x / self.scale);
        let offset = |p: f64, q: f64| p * (-cx - tx) + q * (-cy - ty);
        [a, b, offset(a, b) + cx, c, d, offset(c, d) + cy]
    }
}

/// The picture under an [`Affine`] map, torchvision's `affine`.
///
/// # Errors
/// [`Error::Setting`] if a number is not finite, the scale is not above 0, or a shear is a right angle.
///
/// # Examples
/// ```
/// use taper_data::augment::{Affine, BLACK, Sampling, affine};
/// use taper_data::Image;
/// let image = Image::new(1, 3, vec![1, 1, 1, 2, 2, 2, 3, 3, 3])?;
/// let right = Affine { translate: [1.0, 0.0], ..Affine::default() };
/// let moved = affine(&image, &right, Sampling::Nearest, BLACK)?;
/// assert_eq!(moved.rgb(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
/// # Ok::<(), taper_data::Error>(())
/// ```
pub fn affine(image: &Image, map: &Affine, sampling: Sampling, fill: Fill) -> Result<Image> {
    let matrix = map.inverse([image.height(), image.width()]);
    if map.scale > 0.0 && matrix.iter().all(|x| x.is_finite()) {
        return Ok(sample::affine(image, matrix, sampling, fill));
    }
    let (setting, got) = ("an affine map", format!("{map:?}"));
    let expected = "finite numbers, a scale above 0 and no shear of 90 degrees";
    Err(Error::Setting { setting, got, expected })
}

/// The picture turned counterclockwise about its middle, torchvision's and Pillow's `rotate`; what leaves the frame is lost.
///
/// Half a turn, and a quarter of a square picture, only move pixels.
///
/// # Errors
/// [`Error::Setting`] if the angle is not finite.
pub fn rotate(image: &Image, degrees: f64, sampling: Sampling, fill: Fill) -> Result<Image> {
    if !degrees.is_finite() {
        let (setting, got) = ("an angle", degrees.to_string());
        return Err(Error::Setting { setting, got, expected: "a finite number of degrees" });
    }
    let [height, width] = [image.height(), image.width()];
    let angle = degrees.rem_euclid(360.0);
    let is = |turn: f64| angle.total_cmp(&turn).is_eq();
    if is(0.0) {
        return Ok(image.clone());
    }
    if is(180.0) {
        return Ok(sample::moved(image, |y, x| [height - 1 - y, width - 1 - x]));
    }
    if is(90.0) && height == width {
        return Ok(sample::moved(image, |y, x| [x, width - 1 - y]));
    }
    if is(270.0) && height == width {
        return Ok(sample::moved(image, |y, x| [height - 1 - x, y]));
    }
    let radians = -angle.to_radians();
    let [cos, sin, minus_sin] = [radians.cos(), radians.sin(), -radians.sin()].map(rounded_to_15);
    let [cx, cy] = [width as f64 / 2.0, height as f64 / 2.0];
    let x = cos * -cx + sin * -cy + 0.0 + cx;
    let y = minus_sin * -cx + cos * -cy + 0.0 + cy;
    Ok(sample::affine(image, [cos, sin, x, minus_sin, cos, y], sampling, fill))
}

/// Python's `round(x, 15)`: to 15 decimals, the exact value decides.
fn rounded_to_15(x: f64) -> f64 {
    format!("{x:.15}").parse().unwrap_or(x)
}

/// Corners of a picture in order: upper left, upper right, lower right, lower left; `(x, y)` each.
pub type Corners = [[f64; 2]; 4];

/// The corners of a picture of `(height, width)` pixels, the centers of its outermost pixels counted from 0.
#[must_use]
pub fn corners([height, width]: [usize; 2]) -> Corners {
    let [bottom, right] = [height, width].map(|side| side.saturating_sub(1) as f64);
    [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]
}

/// The picture with the corners of a quadrilateral, `from`, moved to those of another, `to`: torchvision's `perspective`.
///
/// # Errors
/// [`Error::Setting`] if three of the corners lie on a line, so that no such map exists.
pub fn perspective(
    image: &Image,
    from: &Corners,
    to: &Corners,
    sampling: Sampling,
    fill: Fill,
) -> Result<Image> {
    let Some(coefficients) = coefficients(from, to) else {
        let (setting, got) = ("the corners of a perspective", format!("{from:?} to {to:?}"));
        return Err(Error::Setting { setting, got, expected: "no three of four on a line" });
    };
    Ok(sample::perspective(image, coefficients, sampling, fill))
}

/// `[a, b, c, d, e, f, g, h]`, which takes `(x, y)` of the result to `((ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1))`;
/// rounded to `f32`, as torchvision does. None if the equations have no single solution.
fn coefficients(from: &Corners, to: &Corners) -> Option<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([x, y], [u, v])) in to.iter().zip(from).enumerate() {
        rows[2 * i] = [*x, *y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, *u];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, *x, *y, 1.0, -v * x, -v * y, *v];
    }
    let solution = solve(rows)?;
    #[expect(clippy::cast_possible_truncation, reason = "as torchvision rounds them")]
    let rounded = solution.map(|x| f64::from(x as f32));
    rounded.iter().all(|x| x.is_finite()).then_some(rounded)
}

/// Gauss's elimination with the largest pivot of each column; the last column is the right side.
fn solve(mut rows: [[f64; 9]; 8]) -> Option<[f64; 8]> {
    for column in 0..8 {
        let largest =
            (column..8).max_by(|&i, &j| rows[i][column].abs().total_cmp(&rows[j][column].abs()))?;
        rows.swap(column, largest);
        let pivot = rows[column];
        if pivot[column].is_nan() || pivot[column].abs() < 1e-9 {
            return None;
        }
        for (i, row) in rows.iter_mut().enumerate() {
            if i != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][8] / rows[i][i]))
}

#[cfg(test)]
mod tests {
    use super::{Affine, BLACK, Sampling, affine, corners, perspective, rotate};
    use crate::image::Image;

    #[test]
    fn what_cannot_be_computed_is_refused() {
        let image = Image::new(2, 2, vec![9; 12]).unwrap();
        for map in [
            Affine { degrees: f64::NAN, ..Affine::default() },
            Affine { scale: 0.0, ..Affine::default() },
            Affine { scale: -1.0, ..Affine::default() },
            Affine { translate: [f64::INFINITY, 0.0], ..Affine::default() },
        ] {
            let refused = affine(&image, &map, Sampling::Nearest, BLACK).unwrap_err().to_string();
            assert!(refused.contains("expected finite numbers"), "{refused}");
        }
        assert!(rotate(&image, f64::INFINITY, Sampling::Nearest, BLACK).is_err());
        let flat = [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]];
        let refused = perspective(&image, &corners([4, 4]), &flat, Sampling::Bilinear, BLACK);
        assert!(refused.unwrap_err().to_string().contains("no three of four on a line"));
    }

    #[test]
    fn maps_far_outside_fill_all_of_the_picture() {
        let image = Image::new(3, 5, vec![9; 45]).unwrap();
        for sampling in [Sampling::Nearest, Sampling::Bilinear] {
            for (degrees, far) in [(0.0, 1e300), (10.0, 1e300), (10.0, -40_000.0)] {
                let map = Affine { degrees, translate: [far, 0.0], ..Affine::default() };
                let moved = affine(&image, &map, sampling, [1, 2, 3]).unwrap();
                assert_eq!(moved.rgb(), [1, 2, 3].repeat(15));
            }
        }
    }
}
