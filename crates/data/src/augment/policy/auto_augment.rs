//! `AutoAugment`: one of 25 pairs of changes that were found for ImageNet.
//!
//! Above: `augment::policy`. Below: `augment::policy::space`. Not here: the changes (`augment::operation`).
//! Source: Cubuk et al. 2019, <https://arxiv.org/abs/1805.09501>, table 9; torchvision 0.26 `transforms.v2.AutoAugment`.

use super::space::Choice::{
    self, AutoContrast, Color, Contrast, Equalize, Invert, Posterize, Rotate, Sharpness, ShearX,
    Solarize,
};
use super::space::Space;
use crate::augment::{Augmentation, BLACK, Fill, Operation, Sampling, apply_all};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// A change with its probability and its magnitude, 0 to 9 (0 where it has none).
type Step = (Choice, f64, usize);

/// The pairs, all with equal chances.
const IMAGENET: [[Step; 2]; 25] = [
    [(Posterize, 0.4, 8), (Rotate, 0.6, 9)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
    [(Posterize, 0.6, 7), (Posterize, 0.6, 6)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Equalize, 0.4, 0), (Rotate, 0.8, 8)],
    [(Solarize, 0.6, 3), (Equalize, 0.6, 0)],
    [(Posterize, 0.8, 5), (Equalize, 1.0, 0)],
    [(Rotate, 0.2, 3), (Solarize, 0.6, 8)],
    [(Equalize, 0.6, 0), (Posterize, 0.4, 6)],
    [(Rotate, 0.8, 8), (Color, 0.4, 0)],
    [(Rotate, 0.4, 9), (Equalize, 0.6, 0)],
    [(Equalize, 0.0, 0), (Equalize, 0.8, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Rotate, 0.8, 8), (Color, 1.0, 2)],
    [(Color, 0.8, 8), (Solarize, 0.8, 7)],
    [(Sharpness, 0.4, 7), (Invert, 0.6, 0)],
    [(ShearX, 0.6, 5), (Equalize, 1.0, 0)],
    [(Color, 0.4, 0), (Equalize, 0.6, 0)],
    [(Equalize, 0.4, 0), (Solarize, 0.2, 4)],
    [(Solarize, 0.6, 5), (AutoContrast, 0.6, 0)],
    [(Invert, 0.6, 0), (Equalize, 1.0, 0)],
    [(Color, 0.6, 4), (Contrast, 1.0, 8)],
    [(Equalize, 0.8, 0), (Equalize, 0.6, 0)],
];

/// `AutoAugment`'s policy for ImageNet.
///
/// # Examples
/// ```
/// use taper_data::{augment::AutoAugment, random::Rng};
/// let drawn = AutoAugment::default().draw([224, 224], &mut Rng::keyed([0]));
/// assert!(drawn.len() <= 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AutoAugment {
    sampling: Sampling,
    fill: Fill,
}

impl Default for AutoAugment {
    /// Nearest sampling, black outside.
    fn default() -> Self {
        Self { sampling: Sampling::Nearest, fill: BLACK }
    }
}

impl AutoAugment {
    /// Magnitudes in the table.
    pub const BINS: usize = 10;

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill }
    }

    /// What is done to a picture of `(height, width)` pixels, in order. Draws the pair, then whether and the sign for either change.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Vec<Operation> {
        let pair = IMAGENET[rng.below(IMAGENET.len())];
        let each = pair.into_iter().filter_map(|(choice, p, magnitude)| {
            let (is_done, is_negative) = (rng.happens(p), rng.happens(0.5));
            let magnitude = Space::AUTO.magnitude(choice, magnitude, Self::BINS, size);
            let sign = if choice.is_signed() && is_negative { -1.0 } else { 1.0 };
            is_done.then(|| choice.operation(sign * magnitude, self.sampling, self.fill))
        });
        each.collect()
    }
}

impl Augmentation for AutoAugment {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        apply_all(&self.draw([image.height(), image.width()], rng), image)
    }
}
