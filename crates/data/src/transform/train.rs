//! What training sees: a random crop, resized, flipped every other time, augmented, normalized, erased.
//!
//! Above: `transform`. Below: `crop`, `resample`, `normalize`, `augment`. Not here: where the random numbers come from (`loader`).
//! Source: torchvision 0.26 `transforms.RandomResizedCrop`, `RandomHorizontalFlip`, `Normalize`.

use std::sync::Arc;

use super::crop::{Rect, random_resized_crop};
use super::normalize::{Flip, Normalize};
use super::resample::{Interpolation, Resampler};
use super::{Transform, check_size};
use crate::augment::{Augmentation, RandomErasing, horizontal_flip};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// What training sees: `RandomResizedCrop`, `RandomHorizontalFlip`, whatever is asked for besides, `Normalize`, `RandomErasing`, in the
/// order of torchvision's and timm's recipes. Draws the crop, the flip, what each augmentation draws, and the erased rectangle, in this order.
///
/// # Examples
/// ```
/// use taper_data::{Interpolation, TrainTransform, Transform};
/// let transform = TrainTransform::imagenet([224, 224], Interpolation::Bilinear)?.with_scale([0.25, 1.0])?;
/// assert_eq!(transform.size(), [224, 224]);
/// assert!(transform.with_scale([0.0, 1.0]).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TrainTransform {
    size: [usize; 2],
    scale: [f64; 2],
    ratio: [f64; 2],
    flip: f64,
    interpolation: Interpolation,
    augmentations: Vec<Arc<dyn Augmentation>>,
    normalize: Normalize,
    erasing: Option<RandomErasing>,
}

impl TrainTransform {
    /// torchvision's defaults: a crop of 0.08 to 1 of the picture's area and of 3/4 to 4/3 in shape, flipped with probability 0.5.
    ///
    /// # Errors
    /// [`Error::Setting`] if a side of `size`, `(h, w)`, is 0 or too large.
    pub fn new(
        size: [usize; 2],
        interpolation: Interpolation,
        normalize: Normalize,
    ) -> Result<Self> {
        check_size(size)?;
        let (scale, ratio) = ([0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0]);
        let (augmentations, erasing) = (Vec::new(), None);
        Ok(Self { size, scale, ratio, flip: 0.5, interpolation, augmentations, normalize, erasing })
    }

    /// [`Self::new`] with ImageNet's mean and standard deviation.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn imagenet(size: [usize; 2], interpolation: Interpolation) -> Result<Self> {
        Self::new(size, interpolation, Normalize::imagenet())
    }

    /// Smallest and largest share of the picture's area that a crop covers.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 < low <= high <= 1`.
    pub fn with_scale(self, scale: [f64; 2]) -> Result<Self> {
        if !is_ordered(scale) || scale[1] > 1.0 {
            let got = format!("{scale:?}");
            return Err(Error::Setting { setting: "scale", got, expected: "0 < low <= high <= 1" });
        }
        Ok(Self { scale, ..self })
    }

    /// Smallest and largest width/height of a crop.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `0 < low <= high`, both finite.
    pub fn with_ratio(self, ratio: [f64; 2]) -> Result<Self> {
        if !is_ordered(ratio) {
            let got = format!("{ratio:?}");
            return Err(Error::Setting { setting: "ratio", got, expected: "0 < low <= high" });
        }
        Ok(Self { ratio, ..self })
    }

    /// Probability of a horizontal flip.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is from 0 to 1.
    pub fn with_flip(self, flip: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&flip) {
            let got = flip.to_string();
            return Err(Error::Setting { setting: "flip", got, expected: "0 to 1" });
        }
        Ok(Self { flip, ..self })
    }

    /// One more change between the flip and the normalization, after those there are.
    #[must_use]
    pub fn with_augmentation(mut self, augmentation: Arc<dyn Augmentation>) -> Self {
        self.augmentations.push(augmentation);
        self
    }

    /// A rectangle of the normalized picture becomes 0, the mean color, at random.
    #[must_use]
    pub fn with_erasing(self, erasing: RandomErasing) -> Self {
        Self { erasing: Some(erasing), ..self }
    }

    /// The cropped, resized and flipped picture, augmented and normalized.
    fn augment(&self, rgb: &[u8], flip: Flip, rng: &mut Rng, out: &mut [f32]) -> Result<()> {
        let mut image = Image::new(self.size[0], self.size[1], rgb.to_vec())?;
        if flip == Flip::Horizontal {
            horizontal_flip(&mut image);
        }
        self.augmentations.iter().try_for_each(|it| it.apply(&mut image, rng))?;
        let ([height, width], [h, w]) = (self.size, [image.height(), image.width()]);
        if [h, w] != self.size {
            return Err(Error::other(format!(
                "an augmentation made a picture of {h}x{w} pixels of one of {height}x{width}; it must keep the size"
            )));
        }
        self.normalize.write(image.rgb(), self.size[1], Flip::None, out)
    }

    fn erase(&self, rect: Rect, out: &mut [f32]) {
        for row in out.chunks_exact_mut(3 * self.size[1]).skip(rect.top).take(rect.height) {
            row[3 * rect.left..3 * (rect.left + rect.width)].fill(0.0);
        }
    }
}

fn is_ordered([low, high]: [f64; 2]) -> bool {
    low > 0.0 && low <= high && high.is_finite()
}

impl Transform for TrainTransform {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn apply(
        &self,
        image: &Image,
        rng: &mut Rng,
        resampler: &mut Resampler,
        out: &mut [f32],
    ) -> Result<()> {
        let [height, width] = [image.height(), image.width()];
        let region =
            random_resized_crop([height, width], self.scale, self.ratio, &mut || rng.unit());
        let flip = if rng.unit() < self.flip { Flip::Horizontal } else { Flip::None };
        let all = Rect::whole(self.size);
        let rgb = resampler.resize(image, region, self.size, all, self.interpolation)?;
        match self.augmentations.is_empty() {
            true => self.normalize.write(rgb, self.size[1], flip, out)?,
            false => self.augment(rgb, flip, rng, out)?,
        }
        if let Some(rect) = self.erasing.as_ref().and_then(|it| it.draw(self.size, rng)) {
            self.erase(rect, out);
        }
        Ok(())
    }
}
