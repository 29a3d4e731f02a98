//! Rows and columns added, exchanged or painted over: padding, flips, erasing.
//!
//! Above: `augment`. Below: `image`. Not here: flips on the way to floats (`transform::normalize`), where to erase (`augment::random`).
//! Pictures are `(h, w, 3)` bytes; sizes are `(height, width)`.
//! Source: torchvision 0.26 `transforms.v2.functional.{pad, horizontal_flip, vertical_flip, erase}` on PIL images.

use super::warp::Fill;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::transform::Rect;

/// What stands in added rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// One color.
    Constant(Fill),
    /// The outermost samples again.
    Edge,
    /// The picture mirrored, its outermost samples once.
    Reflect,
    /// The picture mirrored, its outermost samples twice.
    Symmetric,
}

impl Padding {
    /// The source's place for place `at` of a padded axis of `n` with `before` added before it; none where it is a color.
    fn place(self, at: usize, before: usize, n: usize) -> Option<usize> {
        if let Some(inside) = at.checked_sub(before).filter(|&inside| inside < n) {
            return Some(inside);
        }
        // How far beyond the rim, from 1.
        let (beyond, is_before) =
            if at < before { (before - at, true) } else { (at - before - n + 1, false) };
        let from_rim = match self {
            Self::Constant(_) => return None,
            Self::Edge => 0,
            Self::Reflect if n == 1 => 0,
            // Mirrored again and again where more is added than there is.
            Self::Reflect => folded(beyond, n - 1),
            Self::Symmetric => folded_twice(beyond - 1, n),
        };
        Some(if is_before { from_rim } else { n - 1 - from_rim })
    }
}

/// A walk of `steps` from one end of `0..=last` to the other and back.
fn folded(steps: usize, last: usize) -> usize {
    let along = steps % (2 * last);
    along.min(2 * last - along)
}

/// The same, resting a step at either end of `0..n`.
fn folded_twice(steps: usize, n: usize) -> usize {
    let along = steps % (2 * n);
    along.min(2 * n - 1 - along)
}

/// Adds rows and columns: `[top, right, bottom, left]` pixels.
///
/// # Errors
/// [`Error::Dimensions`] if the result has more pixels than are read.
///
/// # Examples
/// ```
/// use taper_data::{Image, augment::{Padding, pad}};
/// let image = Image::new(1, 3, vec![1, 1, 1, 2, 2, 2, 3, 3, 3])?;
/// let wide = pad(&image, [0, 2, 0, 2], Padding::Reflect)?;
/// let red: Vec<u8> = wide.rgb().iter().step_by(3).copied().collect();
/// assert_eq!(red, [3, 2, 1, 2, 3, 2, 1]);
/// # Ok::<(), taper_data::Error>(())
/// ```
pub fn pad(
    image: &Image,
    [top, right, bottom, left]: [usize; 4],
    padding: Padding,
) -> Result<Image> {
    let [h, w] = [image.height(), image.width()];
    let height = top.saturating_add(h).saturating_add(bottom);
    let width = left.saturating_add(w).saturating_add(right);
    crate::image::check_dimensions(width, height)?;
    let fill = if let Padding::Constant(fill) = padding { fill } else { [0; 3] };
    let columns: Vec<Option<usize>> = (0..width).map(|x| padding.place(x, left, w)).collect();
    let mut rgb = Vec::with_capacity(3 * height * width);
    for y in 0..height {
        let Some(row) = padding.place(y, top, h) else {
            rgb.extend(fill.iter().copied().cycle().take(3 * width));
            continue;
        };
        let source = &image.rgb()[3 * row * w..3 * (row + 1) * w];
        for column in &columns {
            match column {
                Some(column) => rgb.extend_from_slice(&source[3 * column..3 * column + 3]),
                None => rgb.extend(fill),
            }
        }
    }
    Image::new(height, width, rgb)
}

/// Exchanges left and right.
pub fn horizontal_flip(image: &mut Image) {
    let row_len = 3 * image.width();
    for row in image.rgb_mut().chunks_exact_mut(row_len) {
        row.reverse();
        row.chunks_exact_mut(3).for_each(<[u8]>::reverse);
    }
}

/// Exchanges top and bottom.
pub fn vertical_flip(image: &mut Image) {
    let (row_len, height) = (3 * image.width(), image.height());
    let (upper, lower) = image.rgb_mut().split_at_mut(height / 2 * row_len);
    let pairs = upper.chunks_exact_mut(row_len).zip(lower.chunks_exact_mut(row_len).rev());
    pairs.for_each(|(above, below)| above.swap_with_slice(below));
}

/// Paints a rectangle with one color.
///
/// # Errors
/// [`Error::Rect`] if it does not lie inside of the picture.
pub fn erase(image: &mut Image, rect: Rect, fill: Fill) -> Result<()> {
    let [height, width] = [image.height(), image.width()];
    if !rect.is_inside([height, width]) {
        return Err(Error::Rect { what: "the part to erase", rect, height, width });
    }
    for row in image.rgb_mut().chunks_exact_mut(3 * width).skip(rect.top).take(rect.height) {
        let part = &mut row[3 * rect.left..3 * (rect.left + rect.width)];
        part.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&fill));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Padding, erase, pad};
    use crate::image::Image;
    use crate::transform::Rect;

    fn columns(padding: Padding, n: usize, added: usize) -> Vec<u8> {
        let rgb = (0..n).flat_map(|x| [u8::try_from(x + 1).unwrap(); 3]).collect();
        let image = Image::new(1, n, rgb).unwrap();
        let padded = pad(&image, [0, added, 0, added], padding).unwrap();
        padded.rgb().iter().step_by(3).copied().collect()
    }

    /// As `numpy.pad` has them, which torchvision calls.
    #[test]
    fn more_may_be_added_than_there_is() {
        assert_eq!(columns(Padding::Reflect, 3, 5), [2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3, 2]);
        assert_eq!(columns(Padding::Symmetric, 2, 5), [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(columns(Padding::Reflect, 1, 2), [1; 5]);
        assert_eq!(columns(Padding::Edge, 2, 2), [1, 1, 1, 2, 2, 2]);
        assert_eq!(columns(Padding::Constant([9; 3]), 1, 1), [9, 1, 9]);
    }

    #[test]
    fn sizes_and_places_out_of_range_are_refused() {
        let mut image = Image::new(2, 2, vec![0; 12]).unwrap();
        assert!(pad(&image, [usize::MAX, 0, 1, 0], Padding::Edge).is_err());
        let outside = Rect { top: 1, left: 1, height: 2, width: 1 };
        assert!(erase(&mut image, outside, [0; 3]).is_err());
    }
}
