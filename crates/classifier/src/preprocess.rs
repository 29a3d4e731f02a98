//! What a model says about its pictures, as transforms of `data`: the one place where it becomes one.
//!
//! Above: `classifier`, `recipes`, `xtask`. Below: `taper_data`, `taper_model`. Not here: sizes before the crop
//! (`data::transform::eval`).

use taper_data::transform::{StackedViews, TenCrop, Views};
use taper_data::{EvalTransform, Interpolation, Normalize, Resize, TrainTransform};
use taper_model::Preprocess;

use crate::error::{Error, Result};

/// What the network sees of a picture when it is not trained: timm's `create_transform`, for squares and others.
///
/// # Errors
/// [`Error::Preprocess`] for numbers out of range, which a model that was loaded has not.
///
/// # Examples
/// ```
/// use taper_data::{Resize, Transform};
/// use taper_model::Preprocess;
///
/// let transform = taper_classifier::eval_transform(&Preprocess::imagenet())?;
/// assert_eq!((transform.resize(), transform.size()), (Resize::ShortSide(256), [224, 224]));
/// # Ok::<(), taper_classifier::Error>(())
/// ```
pub fn eval_transform(preprocess: &Preprocess) -> Result<EvalTransform> {
    let Preprocess { input_size, mean, std, crop_pct, interpolation } = *preprocess;
    let made = Resize::before_crop(input_size, crop_pct).and_then(|resize| {
        let normalize = Normalize::new(mean, std)?;
        EvalTransform::new(resize, input_size, filter(interpolation), normalize)
    });
    made.map_err(|source| Error::Preprocess { source })
}

/// Several views of a picture, prepared as [`eval_transform`] does it, to be looked at together.
///
/// # Errors
/// As [`eval_transform`].
///
/// # Examples
/// ```
/// use taper_classifier::eval_views;
/// use taper_data::{Transform, transform::Views};
/// use taper_model::Preprocess;
///
/// let views = eval_views(&Preprocess::imagenet(), Views::Ten)?;
/// assert_eq!((views.count(), views.size()), (10, [2240, 224]));
/// # Ok::<(), taper_classifier::Error>(())
/// ```
pub fn eval_views(preprocess: &Preprocess, views: Views) -> Result<StackedViews> {
    let Preprocess { input_size, mean, std, crop_pct, interpolation } = *preprocess;
    let made = Resize::before_crop(input_size, crop_pct).and_then(|resize| {
        let normalize = Normalize::new(mean, std)?;
        TenCrop::new(resize, input_size, filter(interpolation), normalize)
    });
    Ok(made.map_err(|source| Error::Preprocess { source })?.stacked(views))
}

/// What it sees while it is trained: torchvision's random crops and flips, of the model's size, filter, mean and standard deviation.
///
/// # Errors
/// As [`eval_transform`].
///
/// # Examples
/// ```
/// use taper_data::Transform;
/// use taper_model::Preprocess;
///
/// let transform = taper_classifier::train_transform(&Preprocess::imagenet())?.with_scale([0.25, 1.0])?;
/// assert_eq!(transform.size(), [224, 224]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn train_transform(preprocess: &Preprocess) -> Result<TrainTransform> {
    // Named one by one, so that a new field is not passed over here.
    let Preprocess { input_size, mean, std, crop_pct: _, interpolation } = *preprocess;
    let made = Normalize::new(mean, std)
        .and_then(|normalize| TrainTransform::new(input_size, filter(interpolation), normalize));
    made.map_err(|source| Error::Preprocess { source })
}

fn filter(interpolation: taper_model::Interpolation) -> Interpolation {
    match interpolation {
        taper_model::Interpolation::Bilinear => Interpolation::Bilinear,
        taper_model::Interpolation::Bicubic => Interpolation::Bicubic,
    }
}
