//! `RandAugment`: a fixed number of changes of one strength.
//!
//! Above: `augment::policy`. Below: `augment::policy::space`. Not here: the changes (`augment::operation`).
//! Source: Cubuk et al. 2020, <https://arxiv.org/abs/1909.13719>; torchvision 0.26 `transforms.v2.RandAugment`.

use super::space::{Choice, Space};
use crate::augment::{Augmentation, BLACK, Fill, Operation, Sampling, apply_all};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// `n` changes, each one of 14 with equal chances, all of magnitude `m` in a table of 31.
///
/// # Examples
/// ```
/// use taper_data::{augment::RandAugment, random::Rng};
/// let policy = RandAugment::new(2, 9)?; // torchvision's default
/// assert_eq!(policy.draw([224, 224], &mut Rng::keyed([0])).len(), 2);
/// assert!(RandAugment::new(2, 31).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RandAugment {
    n: usize,
    m: usize,
    sampling: Sampling,
    fill: Fill,
}

impl RandAugment {
    /// Magnitudes in the table.
    pub const BINS: usize = 31;

    /// `n` changes of magnitude `m`; nearest sampling, black outside.
    ///
    /// # Errors
    /// [`Error::Setting`] if `m` is above 30 or `n` above 100.
    pub fn new(n: usize, m: usize) -> Result<Self> {
        let refused = |setting, got: usize, expected| {
            Err(Error::Setting { setting, got: got.to_string(), expected })
        };
        if m >= Self::BINS {
            return refused("RandAugment's magnitude", m, "0 to 30");
        }
        if n > 100 {
            return refused("RandAugment's number of changes", n, "0 to 100");
        }
        Ok(Self { n, m, sampling: Sampling::Nearest, fill: BLACK })
    }

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill, ..self }
    }

    /// What is done to a picture of `(height, width)` pixels, in order. Draws, for each, which and, where it matters, the sign.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Vec<Operation> {
        let each = (0..self.n).map(|_| {
            let choice = Choice::ALL[rng.below(Choice::ALL.len())];
            let magnitude = Space::AUTO.magnitude(choice, self.m, Self::BINS, size);
            let sign = if choice.is_signed() && rng.happens(0.5) { -1.0 } else { 1.0 };
            choice.operation(sign * magnitude, self.sampling, self.fill)
        });
        each.collect()
    }
}

impl Augmentation for RandAugment {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        apply_all(&self.draw([image.height(), image.width()], rng), image)
    }
}
