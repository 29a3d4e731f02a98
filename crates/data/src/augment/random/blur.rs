//! Gaussian blur of random strength.
//!
//! Above: `augment::random`. Below: `augment::operation`. Not here: the blur (`augment::filter`).

use super::{is_probability, is_range};
use crate::augment::{Augmentation, Operation};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// torchvision's `GaussianBlur` with a probability: sigma is uniform in a range and the same along both axes.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomGaussianBlur {
    kernel: [usize; 2],
    sigma: [f64; 2],
    p: f64,
}

impl RandomGaussianBlur {
    /// Sigma of this range, pixels; `kernel` taps, `(height, width)`; probability `p`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless the range is rising and above 0, the numbers of taps odd, and `p` from 0 to 1.
    pub fn new(kernel: [usize; 2], sigma: [f64; 2], p: f64) -> Result<Self> {
        let p = is_probability("a blur's probability", p)?;
        let bounds = [f64::MIN_POSITIVE, f64::MAX];
        let sigma = is_range("sigma of a blur", sigma, bounds, "a rising range above 0")?;
        if kernel.iter().any(|taps| taps.is_multiple_of(2)) {
            let (setting, got) = ("a kernel of a blur", format!("{}x{}", kernel[0], kernel[1]));
            return Err(crate::Error::Setting { setting, got, expected: "odd numbers of taps" });
        }
        Ok(Self { kernel, sigma, p })
    }

    /// What is done to a picture of `(height, width)` pixels, if anything: a kernel that is too long for it is cut.
    #[must_use]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Option<Operation> {
        if !rng.happens(self.p) {
            return None;
        }
        let sigma = [rng.between(self.sigma); 2];
        let kernel = [0, 1].map(|axis| self.kernel[axis].min(2 * size[axis] - 1));
        Some(Operation::GaussianBlur { kernel, sigma })
    }
}

impl Augmentation for RandomGaussianBlur {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        let size = [image.height(), image.width()];
        self.draw(size, rng).map_or(Ok(()), |operation| operation.apply(image))
    }
}
