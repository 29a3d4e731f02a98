//! `TrivialAugment`: one change of any strength.
//!
//! Above: `augment::policy`. Below: `augment::policy::space`. Not here: the changes (`augment::operation`).
//! Source: Müller and Hutter 2021, <https://arxiv.org/abs/2103.10158>; torchvision 0.26 `transforms.v2.TrivialAugmentWide`.

use super::space::{Choice, Space};
use crate::augment::{Augmentation, BLACK, Fill, Operation, Sampling};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// One of 14 changes, one of 31 magnitudes, all with equal chances. There is nothing to tune.
///
/// # Examples
/// ```
/// use taper_data::augment::{Augmentation, TrivialAugmentWide};
/// use taper_data::{Image, random::Rng};
/// let mut image = Image::new(32, 32, vec![90; 32 * 32 * 3])?;
/// TrivialAugmentWide::default().apply(&mut image, &mut Rng::keyed([0]))?;
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrivialAugmentWide {
    sampling: Sampling,
    fill: Fill,
}

impl Default for TrivialAugmentWide {
    /// Nearest sampling, black outside.
    fn default() -> Self {
        Self { sampling: Sampling::Nearest, fill: BLACK }
    }
}

impl TrivialAugmentWide {
    /// Magnitudes in the table.
    pub const BINS: usize = 31;

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill }
    }

    /// What is done to a picture of `(height, width)` pixels. Draws which, the magnitude and, where it matters, the sign.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Operation {
        let choice = Choice::ALL[rng.below(Choice::ALL.len())];
        let magnitude = Space::WIDE.magnitude(choice, rng.below(Self::BINS), Self::BINS, size);
        let sign = if choice.is_signed() && rng.happens(0.5) { -1.0 } else { 1.0 };
        choice.operation(sign * magnitude, self.sampling, self.fill)
    }
}

impl Augmentation for TrivialAugmentWide {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        self.draw([image.height(), image.width()], rng).apply(image)
    }
}
