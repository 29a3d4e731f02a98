//! One change with fixed parameters, with a probability.
//!
//! Above: `augment::random`. Below: `augment::operation`. Not here: changes whose parameters are drawn.

use super::is_probability;
use crate::augment::{Augmentation, Operation};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// torchvision's `RandomGrayscale`, `RandomInvert`, `RandomPosterize`, `RandomSolarize`, `RandomAdjustSharpness`, `RandomAutocontrast`,
/// `RandomEqualize`, `RandomHorizontalFlip` and `RandomVerticalFlip`: an operation with a probability.
///
/// # Examples
/// ```
/// use taper_data::augment::{Operation, Sometimes};
/// let grayscale = Sometimes::new(0.2, Operation::Grayscale)?;
/// assert!(Sometimes::new(1.2, Operation::Grayscale).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Sometimes {
    p: f64,
    operation: Operation,
}

impl Sometimes {
    /// `operation` with probability `p`.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) unless it is from 0 to 1.
    pub fn new(p: f64, operation: Operation) -> Result<Self> {
        Ok(Self { p: is_probability("a probability", p)?, operation })
    }

    /// What is done, if anything.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> Option<Operation> {
        rng.happens(self.p).then_some(self.operation)
    }
}

impl Augmentation for Sometimes {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        self.draw(rng).map_or(Ok(()), |operation| operation.apply(image))
    }
}
