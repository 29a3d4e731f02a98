//! A picture to the numbers a network sees: cut, resized, flipped, normalized.
//!
//! Above: `loader`. Below: `train`, `eval`, `multi_crop`, `crop`, `resample`, `normalize`. Not here: decoding (`image`), mixing several pictures.
//! Pure in (image, seed, epoch, index). [`TrainTransform`] and [`EvalTransform`] equal torchvision's transforms on PIL images, bit
//! for bit, given the same random numbers; the numbers themselves come from our own streams (`random`).
//! Source: torchvision 0.26 `transforms`, timm 1.0 `data.transforms_factory`, Pillow 13 `Resample.c`; held to them by
//! `tests/fixtures/transforms.safetensors` and `tests/fixtures/transforms_timm.safetensors`.

mod crop;
mod eval;
mod multi_crop;
mod normalize;
mod resample;
mod train;

pub(crate) use crop::truncated;
pub use crop::{Rect, center_crop, random_resized_crop};
pub use eval::{EvalTransform, Resize};
pub use multi_crop::{MultiCrop, StackedViews, TenCrop, View, Views, five_crop};
pub use normalize::{Flip, Normalize};
pub use resample::{Interpolation, Resampler};
pub use train::TrainTransform;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// How pictures are prepared for a network: [`TrainTransform`], [`EvalTransform`], or one of your own.
///
/// # Examples
/// A transform of one's own: every picture is pasted, unchanged, at a random place of a grey sheet.
/// ```
/// use taper_data::random::Rng;
/// use taper_data::transform::{Flip, Resampler};
/// use taper_data::{Image, Loader, LoaderOptions, Normalize, Result, Transform, sample_set};
///
/// #[derive(Debug)]
/// struct Paste {
///     size: [usize; 2],
///     normalize: Normalize,
/// }
///
/// impl Transform for Paste {
///     fn size(&self) -> [usize; 2] {
///         self.size
///     }
///
///     fn apply(&self, image: &Image, rng: &mut Rng, _: &mut Resampler, out: &mut [f32]) -> Result<()> {
///         let [height, width] = self.size;
///         let room = [image.height(), image.width()];
///         if room[0] > height || room[1] > width {
///             return Err(taper_data::Error::other(format!("a picture of {room:?} has no room on the sheet")));
///         }
///         let [top, left] = [height - room[0], width - room[1]].map(|slack| rng.below(slack + 1));
///         let mut sheet = vec![128; height * width * 3];
///         for (y, row) in image.rgb().chunks_exact(3 * room[1]).enumerate() {
///             let at = 3 * ((top + y) * width + left);
///             sheet[at..at + row.len()].copy_from_slice(row);
///         }
///         self.normalize.write(&sheet, width, Flip::None, out)
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let transform = Paste { size: [96, 96], normalize: Normalize::imagenet() };
/// let loader = Loader::new(&sample_set::emoji6()?.val, std::sync::Arc::new(transform), &LoaderOptions::default())?;
/// assert_eq!(loader.epoch(0, 0).next().ok_or(taper_data::Error::other("no batch"))??.shape, [32, 96, 96]);
/// # Ok(())
/// # }
/// ```
pub trait Transform: fmt::Debug + Send + Sync {
    /// Height and width of the output, pixels: the same for every picture.
    fn size(&self) -> [usize; 2];

    /// Channels of the output; 3 unless it says otherwise.
    fn channels(&self) -> usize {
        3
    }

    /// Prepares one picture.
    ///
    /// The result must be a function of the transform, `image` and what is drawn from `rng` alone. The [`Loader`](crate::Loader)
    /// gives an `rng` that depends on the seed, the epoch and the sample's index, so that a run has the same bits on any number of
    /// threads and after any resume. `resampler` is memory to be used again and again; it changes no result.
    ///
    /// # Shapes
    /// - `out`: `(h, w, c)`, [`Self::size`] and [`Self::channels`]; every element must be written.
    ///
    /// # Errors
    /// If the picture cannot be used, or [`Error::Buffer`] if `out` has another length. [`Error::other`] makes one from a reason of
    /// one's own.
    fn apply(
        &self,
        image: &Image,
        rng: &mut Rng,
        resampler: &mut Resampler,
        out: &mut [f32],
    ) -> Result<()>;
}

impl From<TrainTransform> for Arc<dyn Transform> {
    fn from(transform: TrainTransform) -> Self {
        Arc::new(transform)
    }
}

impl From<EvalTransform> for Arc<dyn Transform> {
    fn from(transform: EvalTransform) -> Self {
        Arc::new(transform)
    }
}

/// The largest output side, pixels.
const MAX_SIDE: usize = 8192;

/// The most output channels.
const MAX_CHANNELS: usize = 1024;

/// The elements of one picture's output.
pub(crate) fn output_len(transform: &dyn Transform) -> Result<usize> {
    let (size, channels) = (transform.size(), transform.channels());
    check_size(size)?;
    if !(1..=MAX_CHANNELS).contains(&channels) {
        let (setting, got) = ("channels", channels.to_string());
        return Err(Error::Setting { setting, got, expected: "1 to 1024" });
    }
    Ok(size[0] * size[1] * channels)
}

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

#[cfg(test)]
mod tests;
