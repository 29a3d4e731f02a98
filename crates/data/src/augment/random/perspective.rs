//! Pictures seen from aside, at random.
//!
//! Above: `augment::random`. Below: `augment::operation`. Not here: the map (`augment::warp`).

use super::is_probability;
use crate::augment::{Augmentation, BLACK, Fill, Operation, Sampling, corners};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// torchvision's `RandomPerspective`: with a probability each corner moves inward by a uniform whole number of pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomPerspective {
    distortion: f64,
    p: f64,
    sampling: Sampling,
    fill: Fill,
}

impl RandomPerspective {
    /// Corners move by up to the share `distortion` of half a side, with probability `p`; bilinear, black outside.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless both are from 0 to 1.
    pub fn new(distortion: f64, p: f64) -> Result<Self> {
        let distortion = is_probability("a perspective's distortion", distortion)?;
        let p = is_probability("a perspective's probability", p)?;
        Ok(Self { distortion, p, sampling: Sampling::Bilinear, fill: BLACK })
    }

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill, ..self }
    }

    /// What is done to a picture of `(height, width)` pixels, if anything. Draws whether, then the corners.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Option<Operation> {
        if !rng.happens(self.p) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a side"
        )]
        let bounds = size.map(|side| (self.distortion * (side / 2) as f64) as usize + 1);
        let mut inward = |axis: usize| rng.below(bounds[axis]) as f64;
        let from = corners(size);
        // In torchvision's order: x, then y, of each corner.
        let to = from.map(|[x, y]| {
            let (dx, dy) = (inward(1), inward(0));
            [if x > 0.0 { x - dx } else { dx }, if y > 0.0 { y - dy } else { dy }]
        });
        Some(Operation::Perspective { from, to, sampling: self.sampling, fill: self.fill })
    }
}

impl Augmentation for RandomPerspective {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        match self.draw([image.height(), image.width()], rng).map(|it| it.apply(image)) {
            // Corners of a small picture can meet; then there is no such view of it, and it stays as it is.
            Some(Err(Error::Setting { .. })) | None => Ok(()),
            Some(done) => done,
        }
    }
}
