//! Where to cut: random crops for training, the center for evaluation.
//!
//! Above: `train`, `eval`. Below: nothing. Not here: the cutting and resizing (`resample`), to which size (`eval`).
//! Source: torchvision 0.26 `transforms.RandomResizedCrop.get_params`, `functional.center_crop`.

use crate::error::{Error, Result};

/// A rectangle of pixels. Inside a picture it is never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Rect {
    /// All of a picture of this height and width.
    #[must_use]
    pub fn whole([height, width]: [usize; 2]) -> Self {
        Self { top: 0, left: 0, height, width }
    }

    /// Whether it has pixels, all of them in a picture of this height and width.
    #[must_use]
    pub fn is_inside(&self, [height, width]: [usize; 2]) -> bool {
        let fits = |start: usize, len: usize, all: usize| {
            len > 0 && start.checked_add(len).is_some_and(|end| end <= all)
        };
        fits(self.top, self.height, height) && fits(self.left, self.width, width)
    }

    /// [`Error::Rect`] unless it [is inside](Self::is_inside).
    pub(super) fn must_be_inside(&self, what: &'static str, size: [usize; 2]) -> Result<()> {
        if self.is_inside(size) {
            return Ok(());
        }
        Err(Error::Rect { what, rect: *self, height: size[0], width: size[1] })
    }
}

/// A crop of random area and aspect ratio at a random place, torchvision's `RandomResizedCrop`.
///
/// Ten tries: the area is uniform in `scale` times the picture's, the logarithm of width/height uniform in that of
/// `ratio`; the first that fits is placed uniformly. If none fits, the largest centered crop within `ratio`.
/// `unit` gives uniform numbers in `[0, 1)`: two a try (area, ratio) and two for the place (top, left).
///
/// # Examples
/// ```
/// use taper_data::random::Rng;
/// use taper_data::transform::random_resized_crop;
/// let mut rng = Rng::keyed([1]);
/// let crop = random_resized_crop([480, 640], [0.08, 1.0], [0.75, 4.0 / 3.0], &mut || rng.unit());
/// assert!(crop.top + crop.height <= 480 && crop.left + crop.width <= 640);
/// ```
#[must_use]
pub fn random_resized_crop(
    [height, width]: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    unit: &mut dyn FnMut() -> f64,
) -> Rect {
    let area = (height * width) as f64;
    let log_ratio = ratio.map(f64::ln);
    let mut between = |[low, high]: [f64; 2]| low + (high - low) * unit();
    for _ in 0..10 {
        let target_area = area * between(scale);
        let aspect = between(log_ratio).exp();
        let crop_width = rounded((target_area * aspect).sqrt());
        let crop_height = rounded((target_area / aspect).sqrt());
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let mut place = |slack: usize| truncated(between([0.0, (slack + 1) as f64])).min(slack);
            let top = place(height - crop_height);
            let left = place(width - crop_width);
            return Rect { top, left, height: crop_height, width: crop_width };
        }
    }
    let aspect = width as f64 / height as f64;
    let (crop_height, crop_width) = if aspect < ratio[0] {
        (rounded(width as f64 / ratio[0]).clamp(1, height), width)
    } else if aspect > ratio[1] {
        (height, rounded(height as f64 * ratio[1]).clamp(1, width))
    } else {
        (height, width)
    };
    Rect {
        top: (height - crop_height) / 2,
        left: (width - crop_width) / 2,
        height: crop_height,
        width: crop_width,
    }
}

/// The middle of a picture; where the margins cannot be equal, Python's rounding of halves to even decides.
///
/// `size` must not exceed the picture's; it is cut down to it otherwise.
#[must_use]
pub fn center_crop([height, width]: [usize; 2], size: [usize; 2]) -> Rect {
    let size = [size[0].min(height), size[1].min(width)];
    let margin = |outer: usize, inner: usize| rounded((outer - inner) as f64 / 2.0);
    Rect {
        top: margin(height, size[0]),
        left: margin(width, size[1]),
        height: size[0],
        width: size[1],
    }
}

/// Python's `round`: halves to even.
pub(super) fn rounded(x: f64) -> usize {
    truncated(x.round_ties_even())
}

/// The whole number below what is not negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of pictures; `as` saturates beyond"
)]
pub(crate) fn truncated(x: f64) -> usize {
    x as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Rect, center_crop, random_resized_crop};
    use crate::random::Rng;

    #[test]
    fn odd_margins_round_halves_to_even() {
        let crop = center_crop([7, 9], [4, 4]); // margins 1.5 and 2.5
        assert_eq!(crop, Rect { top: 2, left: 2, height: 4, width: 4 });
    }

    #[test]
    fn a_strip_falls_back_to_the_center() {
        let mut rng = Rng::keyed([0]);
        let crop =
            random_resized_crop([10, 1000], [0.5, 1.0], [0.75, 4.0 / 3.0], &mut || rng.unit());
        assert_eq!(crop, Rect { top: 0, left: 493, height: 10, width: 13 });
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn crops_lie_inside_and_are_not_empty(
            height in 1_usize..2000, width in 1_usize..2000, seed: u64,
            low in 0.001_f64..1.0, flat in 0.1_f64..1.0,
        ) {
            let mut rng = Rng::keyed([seed]);
            for _ in 0..50 {
                let crop = random_resized_crop(
                    [height, width], [low, 1.0], [flat, 1.0 / flat], &mut || rng.unit());
                prop_assert!(crop.height > 0 && crop.width > 0);
                prop_assert!(crop.top + crop.height <= height);
                prop_assert!(crop.left + crop.width <= width);
            }
        }

        #[test]
        fn crops_keep_to_area_and_ratio(seed: u64) {
            let mut rng = Rng::keyed([seed]);
            let crop =
                random_resized_crop([800, 1000], [0.1, 0.5], [0.75, 4.0 / 3.0], &mut || rng.unit());
            let area = (crop.height * crop.width) as f64 / 800_000.0;
            let ratio = crop.width as f64 / crop.height as f64;
            prop_assert!((0.098..=0.502).contains(&area), "{area}");
            prop_assert!((0.74..=1.345).contains(&ratio), "{ratio}");
        }
    }
}
