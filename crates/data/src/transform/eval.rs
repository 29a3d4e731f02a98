//! What evaluation sees: the picture resized, its middle cut out, normalized.
//!
//! Above: `transform`. Below: `crop`, `resample`, `normalize`. Not here: what a model says of its pictures (`model::Preprocess`).
//! The one place that knows how large a picture is made before its middle is cut out.
//! Source: timm 1.0 `data.transforms_factory.transforms_imagenet_eval` with `crop_mode` "center", `data.transforms.ResizeKeepRatio`;
//! torchvision 0.26 `transforms.Resize`, `CenterCrop`.

use super::crop::{Rect, center_crop};
use super::normalize::{Flip, Normalize};
use super::resample::{Interpolation, Resampler};
use super::{MAX_SIDE, Transform, check_size};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// How large a picture is made before its middle is cut out, its shape kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The short side becomes this long, the long side is rounded down: torchvision's `Resize` of one number.
    ShortSide(usize),
    /// The smallest picture that covers this height and width, sides rounded to the nearest: timm's `ResizeKeepRatio`.
    Cover([usize; 2]),
}

impl Resize {
    /// timm's rule: both sides of `size`, `(h, w)`, over `crop_pct`, rounded down; where they are equal (224 at 0.875: 256) the
    /// short side becomes that, otherwise the picture covers both.
    ///
    /// # Errors
    /// [`Error::Setting`] if a side of `size` is 0 or too large, or `crop_pct` is not from 0.01 to 1.
    ///
    /// # Examples
    /// ```
    /// use taper_data::transform::Resize;
    /// assert_eq!(Resize::before_crop([224, 224], 0.875)?, Resize::ShortSide(256));
    /// assert_eq!(Resize::before_crop([192, 256], 0.95)?, Resize::Cover([202, 269]));
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `check_size` bounds the sides"
    )]
    pub fn before_crop(size: [usize; 2], crop_pct: f64) -> Result<Self> {
        if !(0.01..=1.0).contains(&crop_pct) {
            let got = crop_pct.to_string();
            return Err(Error::Setting { setting: "crop_pct", got, expected: "0.01 to 1" });
        }
        check_size(size)?;
        let [height, width] = size.map(|side| (side as f64 / crop_pct).floor() as usize);
        Ok(if height == width { Self::ShortSide(height) } else { Self::Cover([height, width]) })
    }

    /// Height and width that a picture of `(height, width)` pixels gets.
    ///
    /// # Examples
    /// ```
    /// use taper_data::transform::Resize;
    /// assert_eq!(Resize::ShortSide(256).of([333, 500]), [256, 384]); // 384.38
    /// assert_eq!(Resize::Cover([202, 269]).of([333, 500]), [202, 303]); // 303.3
    /// assert_eq!(Resize::Cover([202, 269]).of([500, 333]), [404, 269]); // 403.9
    /// ```
    #[must_use]
    pub fn of(self, [height, width]: [usize; 2]) -> [usize; 2] {
        match self {
            // A picture is at most 2^27 pixels and `short` below 2^20, so the product fits.
            Self::ShortSide(short) if height <= width => [short, short * width / height.max(1)],
            Self::ShortSide(short) => [short * height / width.max(1), short],
            Self::Cover([h, w]) => {
                let sides = [height, width].map(|side| side as f64);
                let ratio = (sides[0] / h as f64).min(sides[1] / w as f64);
                sides.map(|side| super::crop::rounded(side / ratio))
            }
        }
    }

    /// The smallest height and width of a resized picture.
    fn least(self) -> [usize; 2] {
        match self {
            Self::ShortSide(short) => [short; 2],
            Self::Cover(sides) => sides,
        }
    }
}

/// What evaluation sees: the picture resized, its middle, normalized. Draws nothing.
#[derive(Debug, Clone)]
pub struct EvalTransform {
    resize: Resize,
    size: [usize; 2],
    interpolation: Interpolation,
    normalize: Normalize,
}

impl EvalTransform {
    /// Resizes, then cuts out the middle `size`, `(h, w)`.
    ///
    /// # Errors
    /// [`Error::Setting`] if a side of `size` is 0 or too large, or if a resized picture can be smaller than it.
    ///
    /// # Examples
    /// ```
    /// use taper_data::transform::Resize;
    /// use taper_data::{EvalTransform, Interpolation, Normalize};
    /// let of = |resize| EvalTransform::new(resize, [128, 160], Interpolation::Bicubic, Normalize::imagenet());
    /// assert!(of(Resize::ShortSide(160)).is_ok());
    /// assert!(of(Resize::ShortSide(144)).is_err()); // a square picture would be 144x144
    /// ```
    pub fn new(
        resize: Resize,
        size: [usize; 2],
        interpolation: Interpolation,
        normalize: Normalize,
    ) -> Result<Self> {
        check_size(size)?;
        let sides = resize.least();
        let covers = sides.iter().zip(size).all(|(&side, crop)| side >= crop);
        if !covers || sides.iter().any(|&side| side > 100 * MAX_SIDE) {
            return Err(Error::Setting {
                setting: "resize",
                got: format!("{}x{}", sides[0], sides[1]),
                expected: "at least either side of the crop, so that the crop lies inside",
            });
        }
        Ok(Self { resize, size, interpolation, normalize })
    }

    /// [`Resize::before_crop`] with ImageNet's mean and standard deviation.
    ///
    /// # Errors
    /// As [`Resize::before_crop`].
    ///
    /// # Examples
    /// ```
    /// use taper_data::random::Rng;
    /// use taper_data::transform::{Resampler, Resize};
    /// use taper_data::{EvalTransform, Image, Interpolation, Transform};
    ///
    /// let transform = EvalTransform::imagenet([32, 32], 0.875, Interpolation::Bilinear)?;
    /// assert_eq!(transform.resize(), Resize::ShortSide(36));
    /// let grey = Image::new(40, 60, vec![128; 40 * 60 * 3])?;
    /// let mut out = vec![0.0; 32 * 32 * 3];
    /// transform.apply(&grey, &mut Rng::keyed([0]), &mut Resampler::default(), &mut out)?;
    /// assert!((out[0] - (128.0 / 255.0 - 0.485) / 0.229).abs() < 1e-6); // red
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn imagenet(size: [usize; 2], crop_pct: f64, interpolation: Interpolation) -> Result<Self> {
        let resize = Resize::before_crop(size, crop_pct)?;
        Self::new(resize, size, interpolation, Normalize::imagenet())
    }

    /// How large pictures are made.
    #[must_use]
    pub fn resize(&self) -> Resize {
        self.resize
    }
}

impl Transform for EvalTransform {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn apply(
        &self,
        image: &Image,
        _rng: &mut Rng,
        resampler: &mut Resampler,
        out: &mut [f32],
    ) -> Result<()> {
        let size = [image.height(), image.width()];
        let resized = self.resize.of(size);
        let keep = center_crop(resized, self.size);
        let rgb = resampler.resize(image, Rect::whole(size), resized, keep, self.interpolation)?;
        self.normalize.write(rgb, self.size[1], Flip::None, out)
    }
}
