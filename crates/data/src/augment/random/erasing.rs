//! A random rectangle to erase, and a square one to cut out.
//!
//! Above: `augment::random`, `transform::train` (which erases normalized numbers). Below: `augment::operation`. Not here: the painting
//! (`augment::frame`).

use super::{is_probability, is_range};
use crate::augment::{Augmentation, Fill, Operation};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;
use crate::transform::{Rect, truncated};

/// torchvision's `RandomErasing`: with a probability, a rectangle of random area and shape (Zhong et al. 2020,
/// <https://arxiv.org/abs/1708.04896>).
///
/// # Examples
/// ```
/// use taper_data::{augment::RandomErasing, random::Rng};
/// let always = RandomErasing::new(1.0)?;
/// let rect = always.draw([100, 80], &mut Rng::keyed([4])).unwrap();
/// assert!(rect.is_inside([100, 80]) && rect.height * rect.width <= 8000 / 3);
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RandomErasing {
    p: f64,
    area: [f64; 2],
    ratio: [f64; 2],
}

impl RandomErasing {
    /// With probability `p`; torchvision's area of 0.02 to 0.33 of the picture and height over width of 0.3 to 3.3.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless `p` is from 0 to 1.
    pub fn new(p: f64) -> Result<Self> {
        let p = is_probability("the probability of erasing", p)?;
        Ok(Self { p, area: [0.02, 0.33], ratio: [0.3, 3.3] })
    }

    /// Shares of the picture's area, and height over width, of these ranges.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless both are rising, the area within 0 and 1, the ratio above 0.
    pub fn with_shape(self, area: [f64; 2], ratio: [f64; 2]) -> Result<Self> {
        let area = is_range("an erased area", area, [0.0, 1.0], "a rising range within 0 and 1")?;
        let bounds = [f64::MIN_POSITIVE, f64::MAX];
        let ratio = is_range("an erased shape", ratio, bounds, "a rising range above 0")?;
        Ok(Self { area, ratio, ..self })
    }

    /// The rectangle in a picture of `(height, width)` pixels, if one is erased.
    ///
    /// Draws whether, then area and shape, ten times at most, until a rectangle is smaller than the picture on both sides; then top and left.
    #[must_use]
    pub fn draw(&self, [height, width]: [usize; 2], rng: &mut Rng) -> Option<Rect> {
        if !rng.happens(self.p) {
            return None;
        }
        let (area, log_ratio) = ((height * width) as f64, self.ratio.map(f64::ln));
        for _ in 0..10 {
            let erased = area * rng.between(self.area);
            let ratio = rng.between(log_ratio).exp();
            let side = |square: f64| truncated(square.sqrt().round_ties_even());
            let (h, w) = (side(erased * ratio), side(erased / ratio));
            if h < height && w < width {
                let (top, left) = (rng.below(height - h + 1), rng.below(width - w + 1));
                return (h > 0 && w > 0).then_some(Rect { top, left, height: h, width: w });
            }
        }
        None
    }
}

/// A square of one color about a random point, cut at the rim (`DeVries` and Taylor 2017, <https://arxiv.org/abs/1708.04552>).
#[derive(Debug, Clone, PartialEq)]
pub struct Cutout {
    side: f64,
    fill: Fill,
}

impl Cutout {
    /// A square whose side is this share of the picture's shorter side.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless it is from 0 to 1.
    pub fn new(side: f64, fill: Fill) -> Result<Self> {
        Ok(Self { side: is_probability("the side of a cutout", side)?, fill })
    }

    /// What is cut out of a picture of `(height, width)` pixels; nothing where the square has no pixel. Draws row, then column of its middle.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Option<Rect> {
        let side = truncated((self.side * size[0].min(size[1]) as f64).round_ties_even());
        let [(top, height), (left, width)] = size.map(|n| {
            let middle = rng.below(n);
            let (start, end) = (middle.saturating_sub(side / 2), middle + side - side / 2);
            (start, end.min(n) - start)
        });
        (height > 0 && width > 0 && side > 0).then_some(Rect { top, left, height, width })
    }
}

impl Augmentation for Cutout {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        match self.draw([image.height(), image.width()], rng) {
            Some(rect) => Operation::Erase { rect, fill: self.fill }.apply(image),
            None => Ok(()),
        }
    }
}
