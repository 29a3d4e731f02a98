//! Pictures changed so that a network learns what does not matter: moved, turned, recolored, blurred, painted over.
//!
//! Above: `transform::train`, `loader`. Below: `augment::{warp, sample, color, tone, filter, frame}` for one change, `augment::operation` for any
//! of them with its parameters, `augment::random` for those that draw them, `augment::policy` for random choices of several. Not here: crops
//! (`transform`), mixing pictures of a batch (`mix`).
//! A change with fixed parameters is a pure function and equals torchvision's `v2` on PIL images to the byte (blurs and bilinear values to rounding): held to it by
//! `tests/fixtures/augment.safetensors`. One that draws is an [`Augmentation`]: pure in (picture, stream of random numbers).

mod blend;
mod color;
mod filter;
mod frame;
mod operation;
pub mod policy;
pub mod random;
mod sample;
mod tone;
mod warp;

pub use color::{brightness, contrast, grayscale, hue, saturation};
pub use filter::{gaussian_blur, sharpness};
pub use frame::{Padding, erase, horizontal_flip, pad, vertical_flip};
pub use operation::Operation;
pub use policy::{AugMix, AutoAugment, RandAugment, TrivialAugmentWide};
pub use random::{
    ColorJitter, Cutout, RandomAffine, RandomErasing, RandomGaussianBlur, RandomPerspective,
    RandomRotation, Sometimes,
};
pub use sample::Sampling;
pub use tone::{autocontrast, equalize, invert, posterize, solarize};
pub use warp::{Affine, BLACK, Corners, Fill, affine, corners, perspective, rotate};

use std::fmt;

use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// Changes a picture at random and keeps its size.
///
/// # Examples
/// One of one's own, between a crop and the normalization:
/// ```
/// use std::sync::Arc;
/// use taper_data::augment::{Augmentation, ColorJitter, TrivialAugmentWide};
/// use taper_data::random::Rng;
/// use taper_data::{Image, Interpolation, Result, TrainTransform};
///
/// #[derive(Debug)]
/// struct Salt;
///
/// impl Augmentation for Salt {
///     fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
///         for _ in 0..10 {
///             let at = rng.below(image.rgb().len());
///             image.rgb_mut()[at] = 255;
///         }
///         Ok(())
///     }
/// }
///
/// let transform = TrainTransform::imagenet([64, 64], Interpolation::Bilinear)?
///     .with_augmentation(Arc::new(TrivialAugmentWide::default()))
///     .with_augmentation(Arc::new(ColorJitter::new([0.4, 0.4, 0.4], 0.0)?))
///     .with_augmentation(Arc::new(Salt));
/// # Ok::<(), taper_data::Error>(())
/// ```
pub trait Augmentation: fmt::Debug + Send + Sync {
    /// Changes the picture.
    ///
    /// The result must be a function of the augmentation, the picture and what is drawn from `rng` alone.
    ///
    /// # Errors
    /// If the picture cannot be used. [`Error::other`](crate::Error::other) makes an error from a reason of one's own.
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()>;
}

/// Applies each in turn.
pub(crate) fn apply_all(operations: &[Operation], image: &mut Image) -> Result<()> {
    operations.iter().try_for_each(|operation| operation.apply(image))
}

#[cfg(test)]
pub(crate) mod tests;
