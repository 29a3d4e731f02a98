//! Any change of a picture with its parameters, as a value: what random ones draw.
//!
//! Above: `augment::{random, policy}`. Below: `augment::{warp, color, tone, filter, frame}`. Not here: the changes themselves.

use super::warp::{Affine, Corners, Fill};
use super::{Sampling, color, filter, frame, tone, warp};
use crate::error::Result;
use crate::image::Image;
use crate::transform::Rect;

/// A change of a picture that keeps its size, with fixed parameters; each is documented at the function of its name.
///
/// # Examples
/// ```
/// use taper_data::{Image, augment::Operation};
/// let mut image = Image::new(1, 2, vec![0, 0, 0, 200, 100, 0])?;
/// Operation::Invert.apply(&mut image)?;
/// Operation::Grayscale.apply(&mut image)?;
/// assert_eq!(image.rgb(), [255, 255, 255, 137, 137, 137]);
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// Nothing.
    Identity,
    /// [`affine`](fn@warp::affine).
    Affine {
        /// The map.
        map: Affine,
        /// How it is sampled.
        sampling: Sampling,
        /// The color of what lies outside.
        fill: Fill,
    },
    /// [`rotate`](fn@warp::rotate).
    Rotate {
        /// Counterclockwise.
        degrees: f64,
        /// How it is sampled.
        sampling: Sampling,
        /// The color of what lies outside.
        fill: Fill,
    },
    /// [`perspective`](fn@warp::perspective).
    Perspective {
        /// Corners of the source.
        from: Corners,
        /// Where they are in the result.
        to: Corners,
        /// How it is sampled.
        sampling: Sampling,
        /// The color of what lies outside.
        fill: Fill,
    },
    /// [`brightness`](fn@color::brightness) by a factor.
    Brightness(f64),
    /// [`contrast`](fn@color::contrast) by a factor.
    Contrast(f64),
    /// [`saturation`](fn@color::saturation) by a factor.
    Saturation(f64),
    /// [`hue`](fn@color::hue) by a share of a turn.
    Hue(f64),
    /// [`grayscale`](fn@color::grayscale).
    Grayscale,
    /// [`gaussian_blur`](fn@filter::gaussian_blur).
    GaussianBlur {
        /// Taps, `(height, width)`.
        kernel: [usize; 2],
        /// Standard deviations, pixels, `(height, width)`.
        sigma: [f64; 2],
    },
    /// [`sharpness`](fn@filter::sharpness) by a factor.
    Sharpness(f64),
    /// [`posterize`](fn@tone::posterize) to a number of bits.
    Posterize(u32),
    /// [`solarize`](fn@tone::solarize) from a threshold on.
    Solarize(f64),
    /// [`invert`](fn@tone::invert).
    Invert,
    /// [`equalize`](fn@tone::equalize).
    Equalize,
    /// [`autocontrast`](fn@tone::autocontrast).
    Autocontrast,
    /// [`horizontal_flip`](fn@frame::horizontal_flip).
    HorizontalFlip,
    /// [`vertical_flip`](fn@frame::vertical_flip).
    VerticalFlip,
    /// [`erase`](fn@frame::erase).
    Erase {
        /// The rectangle.
        rect: Rect,
        /// Its color.
        fill: Fill,
    },
}

impl Operation {
    /// Changes the picture.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) and [`Error::Rect`](crate::Error::Rect) for parameters out of range, as the functions say.
    pub fn apply(&self, image: &mut Image) -> Result<()> {
        match *self {
            Self::Identity => {}
            Self::Affine { map, sampling, fill } => {
                *image = warp::affine(image, &map, sampling, fill)?;
            }
            Self::Rotate { degrees, sampling, fill } => {
                *image = warp::rotate(image, degrees, sampling, fill)?;
            }
            Self::Perspective { from, to, sampling, fill } => {
                *image = warp::perspective(image, &from, &to, sampling, fill)?;
            }
            Self::Brightness(factor) => color::brightness(image, factor)?,
            Self::Contrast(factor) => color::contrast(image, factor)?,
            Self::Saturation(factor) => color::saturation(image, factor)?,
            Self::Hue(turn) => color::hue(image, turn)?,
            Self::Grayscale => color::grayscale(image),
            Self::GaussianBlur { kernel, sigma } => {
                *image = filter::gaussian_blur(image, kernel, sigma)?;
            }
            Self::Sharpness(factor) => filter::sharpness(image, factor)?,
            Self::Posterize(bits) => tone::posterize(image, bits)?,
            Self::Solarize(threshold) => tone::solarize(image, threshold),
            Self::Invert => tone::invert(image),
            Self::Equalize => tone::equalize(image),
            Self::Autocontrast => tone::autocontrast(image),
            Self::HorizontalFlip => frame::horizontal_flip(image),
            Self::VerticalFlip => frame::vertical_flip(image),
            Self::Erase { rect, fill } => frame::erase(image, rect, fill)?,
        }
        Ok(())
    }
}
