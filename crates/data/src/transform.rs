//! A picture to the numbers a network sees: cut, resized, flipped, normalized.
//!
//! Above: `loader`. Below: `crop`, `resample`, `normalize`. Not here: decoding (`image`), mixing several pictures.
//! Pure in (image, seed, epoch, index). Equal to torchvision's transforms on PIL images, bit for bit, given the same
//! random numbers; the numbers themselves come from our own streams (`random`).
//! Source: torchvision 0.26 `transforms`, Pillow 13 `Resample.c`; held to them by `tests/fixtures/transforms.safetensors`.

mod crop;
mod normalize;
mod resample;

pub use crop::{Rect, center_crop, random_resized_crop, resized_short_side};
pub use normalize::{Flip, Normalize};
pub use resample::{Interpolation, Resampler};

use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// What training sees: `RandomResizedCrop`, a horizontal flip, normalization.
#[derive(Debug, Clone)]
pub struct TrainTransform {
    /// Height and width of the output, pixels.
    pub size: [usize; 2],
    /// Smallest and largest share of the picture's area that a crop covers. torchvision: 0.08 to 1.
    pub scale: [f64; 2],
    /// Smallest and largest width/height of a crop. torchvision: 3/4 to 4/3.
    pub ratio: [f64; 2],
    /// Probability of a horizontal flip. torchvision: 0.5.
    pub flip: f64,
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// Bytes to floats.
    pub normalize: Normalize,
}

impl TrainTransform {
    /// torchvision's defaults and ImageNet's mean and standard deviation.
    ///
    /// # Errors
    /// [`Error::Setting`] if a side of `size` is 0.
    pub fn imagenet(size: [usize; 2], interpolation: Interpolation) -> Result<Self> {
        let transform = Self {
            size,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            interpolation,
            normalize: Normalize::imagenet(),
        };
        transform.check()?;
        Ok(transform)
    }

    fn check(&self) -> Result<()> {
        check_size(self.size)?;
        let ordered = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high.is_finite();
        if !ordered(self.scale) || self.scale[1] > 1.0 {
            let got = format!("{:?}", self.scale);
            return Err(Error::Setting { setting: "scale", got, expected: "0 < low <= high <= 1" });
        }
        if !ordered(self.ratio) {
            let got = format!("{:?}", self.ratio);
            return Err(Error::Setting { setting: "ratio", got, expected: "0 < low <= high" });
        }
        if !(0.0..=1.0).contains(&self.flip) {
            let got = self.flip.to_string();
            return Err(Error::Setting { setting: "flip", got, expected: "0 to 1" });
        }
        Ok(())
    }
}

/// What evaluation sees: `Resize` of the short side, `CenterCrop`, normalization.
#[derive(Debug, Clone)]
pub struct EvalTransform {
    /// The short side after resizing, pixels; at least either side of `size`.
    pub resize: usize,
    /// Height and width of the output, pixels.
    pub size: [usize; 2],
    /// The resampling filter.
    pub interpolation: Interpolation,
    /// Bytes to floats.
    pub normalize: Normalize,
}

impl EvalTransform {
    /// ImageNet's mean and standard deviation; the short side becomes the long side of `size` over `crop_pct`, rounded
    /// down (224 at 0.875: 256).
    ///
    /// # Errors
    /// [`Error::Setting`] if a side of `size` is 0 or `crop_pct` is not in (0, 1].
    ///
    /// # Examples
    /// ```
    /// use taper_data::{EvalTransform, Interpolation};
    /// let transform = EvalTransform::imagenet([224, 224], 0.875, Interpolation::Bilinear)?;
    /// assert_eq!(transform.resize, 256);
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `check_size` bounds the sides"
    )]
    pub fn imagenet(size: [usize; 2], crop_pct: f64, interpolation: Interpolation) -> Result<Self> {
        if !(crop_pct > 0.01 && crop_pct <= 1.0) {
            let got = crop_pct.to_string();
            return Err(Error::Setting { setting: "crop_pct", got, expected: "0.01 to 1" });
        }
        check_size(size)?;
        let resize = (size[0].max(size[1]) as f64 / crop_pct).floor() as usize;
        Ok(Self { resize, size, interpolation, normalize: Normalize::imagenet() })
    }

    fn check(&self) -> Result<()> {
        check_size(self.size)?;
        if self.resize < self.size[0].max(self.size[1]) || self.resize > 100 * MAX_SIDE {
            let got = self.resize.to_string();
            return Err(Error::Setting {
                setting: "resize",
                got,
                expected: "at least either side of the crop, so that the crop lies inside",
            });
        }
        Ok(())
    }
}

/// The largest output side, pixels.
const MAX_SIDE: usize = 8192;

fn check_size(size: [usize; 2]) -> Result<()> {
    if size.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
        return Ok(());
    }
    Err(Error::Setting {
        setting: "image size",
        got: format!("{}x{}", size[0], size[1]),
        expected: "sides of 1 to 8192 pixels",
    })
}

/// How pictures are prepared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Transform {
    /// With augmentation.
    Train(TrainTransform),
    /// Without.
    Eval(EvalTransform),
}

impl From<TrainTransform> for Transform {
    fn from(transform: TrainTransform) -> Self {
        Self::Train(transform)
    }
}

impl From<EvalTransform> for Transform {
    fn from(transform: EvalTransform) -> Self {
        Self::Eval(transform)
    }
}

impl Transform {
    /// Height and width of the output, pixels.
    #[must_use]
    pub fn size(&self) -> [usize; 2] {
        match self {
            Self::Train(transform) => transform.size,
            Self::Eval(transform) => transform.size,
        }
    }

    /// Refuses settings out of range.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the setting, its value and its range.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Train(transform) => transform.check(),
            Self::Eval(transform) => transform.check(),
        }
    }

    /// Prepares one picture. Training draws from `rng` first the crop, then the flip; evaluation draws nothing.
    ///
    /// # Shapes
    /// - `out`: `(h, w, 3)`, [`Self::size`]; every element is written.
    ///
    /// # Examples
    /// ```
    /// use taper_data::random::Rng;
    /// use taper_data::transform::Resampler;
    /// use taper_data::{EvalTransform, Image, Interpolation, Transform};
    ///
    /// let grey = Image::new(40, 60, vec![128; 40 * 60 * 3])?;
    /// let transform = Transform::from(EvalTransform::imagenet([32, 32], 0.875, Interpolation::Bilinear)?);
    /// let mut out = vec![0.0; 32 * 32 * 3];
    /// transform.apply(&grey, &mut Rng::keyed([0]), &mut Resampler::default(), &mut out);
    /// assert!((out[0] - (128.0 / 255.0 - 0.485) / 0.229).abs() < 1e-6); // red
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn apply(&self, image: &Image, rng: &mut Rng, resampler: &mut Resampler, out: &mut [f32]) {
        let [height, width] = [image.height(), image.width()];
        match self {
            Self::Train(transform) => {
                let region = random_resized_crop(
                    [height, width],
                    transform.scale,
                    transform.ratio,
                    &mut || rng.unit(),
                );
                let flip = if rng.unit() < transform.flip { Flip::Horizontal } else { Flip::None };
                let all = Rect::whole(transform.size);
                let rgb =
                    resampler.resize(image, region, transform.size, all, transform.interpolation);
                transform.normalize.write(rgb, transform.size[1], flip, out);
            }
            Self::Eval(transform) => {
                let whole = Rect::whole([height, width]);
                let resized = resized_short_side([height, width], transform.resize);
                let keep = center_crop(resized, transform.size);
                let rgb = resampler.resize(image, whole, resized, keep, transform.interpolation);
                transform.normalize.write(rgb, transform.size[1], Flip::None, out);
            }
        }
    }
}

#[cfg(test)]
mod tests;
