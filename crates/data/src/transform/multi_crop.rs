//! Several views of one picture: the corners and the middle to evaluate with, large and small crops to learn from without labels.
//!
//! Above: `transform`. Below: `crop`, `eval`, `train`, `resample`, `normalize`. Not here: what is made of the answers to the views.
//! Each view is `(h, w, 3)`, normalized.
//! Source: torchvision 0.26 `transforms.v2.{FiveCrop, TenCrop}`; Caron et al. 2020 (`SwAV`), <https://arxiv.org/abs/2006.09882>, section 3.3.

use std::sync::Arc;

use super::crop::{Rect, center_crop};
use super::normalize::{Flip, Normalize};
use super::resample::{Interpolation, Resampler};
use super::{Resize, TrainTransform, Transform, check_size};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// A normalized picture.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Height and width, pixels.
    pub size: [usize; 2],
    /// `(h, w, 3)`.
    pub xs: Vec<f32>,
}

/// Upper left, upper right, lower left, lower right and middle of a picture, torchvision's `FiveCrop`; sizes are `(height, width)`.
///
/// # Errors
/// [`Error::Rect`](crate::Error::Rect) if `size` is larger than the picture, or empty.
pub fn five_crop(image: [usize; 2], size: [usize; 2]) -> Result<[Rect; 5]> {
    let ([h, w], [height, width]) = (image, size);
    let at = |top, left| Rect { top, left, height, width };
    at(0, 0).must_be_inside("a crop", image)?;
    let (bottom, right) = (h - height, w - width);
    Ok([at(0, 0), at(0, right), at(bottom, 0), at(bottom, right), center_crop(image, size)])
}

/// The picture resized, its corners and its middle, plain and mirrored: torchvision's `Resize` and `TenCrop`.
///
/// # Examples
/// ```
/// use taper_data::transform::{Resampler, Resize, TenCrop};
/// use taper_data::{Image, Interpolation, Normalize};
/// let crops = TenCrop::new(Resize::ShortSide(40), [32, 32], Interpolation::Bilinear, Normalize::imagenet())?;
/// let picture = Image::new(50, 60, vec![90; 50 * 60 * 3])?;
/// let views = crops.views(&picture, &mut Resampler::default())?;
/// assert_eq!((views.len(), views[9].size), (10, [32, 32]));
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TenCrop {
    resize: Resize,
    size: [usize; 2],
    interpolation: Interpolation,
    normalize: Normalize,
}

impl TenCrop {
    /// Crops of `size`, `(h, w)`.
    ///
    /// # Errors
    /// As [`EvalTransform::new`](super::EvalTransform::new).
    pub fn new(
        resize: Resize,
        size: [usize; 2],
        interpolation: Interpolation,
        normalize: Normalize,
    ) -> Result<Self> {
        super::EvalTransform::new(resize, size, interpolation, normalize.clone())?;
        Ok(Self { resize, size, interpolation, normalize })
    }

    /// These views as the output of one [`Transform`].
    #[must_use]
    pub fn stacked(self, views: Views) -> StackedViews {
        StackedViews { crops: self, views }
    }

    /// Five crops, then those of the mirrored picture in the same order.
    ///
    /// # Errors
    /// [`Error::Rect`](crate::Error::Rect) if a resized picture is smaller than the crop, which no setting that was accepted leads to.
    pub fn views(&self, image: &Image, resampler: &mut Resampler) -> Result<Vec<View>> {
        let whole = [image.height(), image.width()];
        let resized = self.resize.of(whole);
        let keep = Rect::whole(resized);
        let rgb = resampler.resize(image, Rect::whole(whole), resized, keep, self.interpolation)?;
        let crops = five_crop(resized, self.size)?;
        let mirrored = crops.map(|crop| Rect { left: resized[1] - crop.left - crop.width, ..crop });
        let plain = crops.into_iter().map(|crop| (crop, Flip::None));
        let all = plain.chain(mirrored.into_iter().map(|crop| (crop, Flip::Horizontal)));
        all.map(|(crop, flip)| self.view(rgb, resized[1], crop, flip)).collect()
    }

    fn view(&self, rgb: &[u8], width: usize, crop: Rect, flip: Flip) -> Result<View> {
        let mut xs = vec![0.0; 3 * crop.height * crop.width];
        self.write(rgb, width, (crop, flip), &mut xs)?;
        Ok(View { size: self.size, xs })
    }

    fn write(
        &self,
        rgb: &[u8],
        width: usize,
        (crop, flip): (Rect, Flip),
        xs: &mut [f32],
    ) -> Result<()> {
        let rows = rgb.chunks_exact(3 * width).skip(crop.top);
        for (row, out) in rows.zip(xs.chunks_exact_mut(3 * crop.width)) {
            let part = &row[3 * crop.left..3 * (crop.left + crop.width)];
            self.normalize.write(part, crop.width, flip, out)?;
        }
        Ok(())
    }
}

/// Which views of a picture are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Views {
    /// The middle.
    #[default]
    Middle,
    /// The middle, plain and mirrored.
    Flip,
    /// Corners and middle.
    Five,
    /// Corners and middle, plain and mirrored.
    Ten,
}

impl Views {
    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Middle => 1,
            Self::Flip => 2,
            Self::Five => 5,
            Self::Ten => 10,
        }
    }

    /// Crops of `size` of a picture, the middle before the corners.
    fn of(self, image: [usize; 2], size: [usize; 2]) -> Result<Vec<(Rect, Flip)>> {
        let [a, b, c, d, middle] = five_crop(image, size)?;
        let with = |flip| move |crop| (crop, flip);
        let (one, five) = ([middle], [middle, a, b, c, d]);
        let (plain, mirrored) = (with(Flip::None), with(Flip::Horizontal));
        Ok(match self {
            Self::Middle => one.map(plain).to_vec(),
            Self::Flip => one.into_iter().map(plain).chain(one.map(mirrored)).collect(),
            Self::Five => five.map(plain).to_vec(),
            Self::Ten => five.into_iter().map(plain).chain(five.map(mirrored)).collect(),
        })
    }
}

/// Several views of a picture, one above the other: `(views · h, w, 3)`, which is a batch `(views, h, w, 3)` in memory.
///
/// # Examples
/// ```
/// use taper_data::transform::{Resize, TenCrop, Views};
/// use taper_data::{Interpolation, Normalize, Transform};
/// let crops = TenCrop::new(Resize::ShortSide(40), [32, 32], Interpolation::Bilinear, Normalize::imagenet())?;
/// let stacked = crops.stacked(Views::Flip);
/// assert_eq!((stacked.count(), stacked.size()), (2, [64, 32]));
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StackedViews {
    crops: TenCrop,
    views: Views,
}

impl StackedViews {
    /// How many views there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.views.count()
    }
}

impl Transform for StackedViews {
    fn size(&self) -> [usize; 2] {
        let [h, w] = self.crops.size;
        [self.count() * h, w]
    }

    fn apply(
        &self,
        image: &Image,
        _rng: &mut Rng,
        resampler: &mut Resampler,
        out: &mut [f32],
    ) -> Result<()> {
        let TenCrop { resize, size, interpolation, .. } = self.crops;
        let len = 3 * size[0] * size[1];
        if out.len() != self.count() * len {
            return Err(Error::Buffer { got: out.len(), expected: self.count() * len });
        }
        let whole = [image.height(), image.width()];
        let resized = resize.of(whole);
        let keep = Rect::whole(resized);
        let rgb = resampler.resize(image, Rect::whole(whole), resized, keep, interpolation)?;
        for (view, xs) in self.views.of(resized, size)?.into_iter().zip(out.chunks_exact_mut(len)) {
            self.crops.write(rgb, resized[1], view, xs)?;
        }
        Ok(())
    }
}

impl From<StackedViews> for Arc<dyn Transform> {
    fn from(transform: StackedViews) -> Self {
        Arc::new(transform)
    }
}

/// Views of one picture by several transforms, each as often as asked: multi-crop.
///
/// # Examples
/// `SwAV`'s two large and six small crops:
/// ```
/// use taper_data::random::Rng;
/// use taper_data::transform::{MultiCrop, Resampler};
/// use taper_data::{Image, Interpolation, TrainTransform};
/// let large = TrainTransform::imagenet([64, 64], Interpolation::Bilinear)?.with_scale([0.14, 1.0])?;
/// let small = TrainTransform::imagenet([32, 32], Interpolation::Bilinear)?.with_scale([0.05, 0.14])?;
/// let crops = MultiCrop::new(vec![(large, 2), (small, 6)]);
/// let picture = Image::new(80, 90, vec![90; 80 * 90 * 3])?;
/// let views = crops.views(&picture, &mut Rng::keyed([1, 2, 3]), &mut Resampler::default())?;
/// let sides: Vec<usize> = views.iter().map(|view| view.size[0]).collect();
/// assert_eq!(sides, [64, 64, 32, 32, 32, 32, 32, 32]);
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MultiCrop {
    groups: Vec<(TrainTransform, usize)>,
}

impl MultiCrop {
    /// Transforms, and how many views each makes.
    #[must_use]
    pub fn new(groups: Vec<(TrainTransform, usize)>) -> Self {
        Self { groups }
    }

    /// The views, in the order of the groups. Draws one number; each view has a stream of its own, made of it and of the view's place.
    ///
    /// # Errors
    /// As [`Transform::apply`].
    pub fn views(
        &self,
        image: &Image,
        rng: &mut Rng,
        resampler: &mut Resampler,
    ) -> Result<Vec<View>> {
        let key = rng.next_u64();
        let each = self.groups.iter().flat_map(|(transform, n)| std::iter::repeat_n(transform, *n));
        let made = each.enumerate().map(|(place, transform)| {
            let size = transform.size();
            check_size(size)?;
            let mut xs = vec![0.0; 3 * size[0] * size[1]];
            transform.apply(image, &mut Rng::keyed([key, place as u64]), resampler, &mut xs)?;
            Ok(View { size, xs })
        });
        made.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::tests::golden;
    use crate::transform::truncated;

    #[test]
    fn ten_crops_equal_torchvision() {
        let golden = golden();
        let (source, expected) =
            (golden.tensor("source_23x31").unwrap(), golden.tensor("crops/ten").unwrap());
        let image = Image::new(23, 31, source.data().to_vec()).unwrap();
        let bytes = Normalize::new([0.0; 3], [1.0 / 255.0; 3]).unwrap();
        let crops = TenCrop::new(Resize::ShortSide(23), [16, 20], Interpolation::Bilinear, bytes);
        // 23 rows of 31 columns, resized to themselves.
        let views = crops.unwrap().views(&image, &mut Resampler::default()).unwrap();
        assert_eq!(views.len(), 10);
        let got: Vec<u8> = views
            .iter()
            .flat_map(|view| &view.xs)
            .map(|x| u8::try_from(truncated(f64::from(x.round()))).unwrap())
            .collect();
        assert_eq!(got, expected.data());
    }

    #[test]
    fn stacked_views_begin_with_what_is_evaluated_and_are_the_ten_crops_otherwise_ordered() {
        let image = Image::new(37, 53, (0..=250).cycle().take(37 * 53 * 3).collect()).unwrap();
        let (resize, size, filter) = (Resize::ShortSide(30), [24, 24], Interpolation::Bicubic);
        let crops = || TenCrop::new(resize, size, filter, Normalize::imagenet()).unwrap();
        let apply = |transform: &dyn Transform| {
            let [h, w] = transform.size();
            let mut out = vec![0.0; 3 * h * w];
            let (rng, resampler) = (&mut Rng::keyed([0]), &mut Resampler::default());
            transform.apply(&image, rng, resampler, &mut out).unwrap();
            out
        };
        let len = 3 * 24 * 24;
        let middle = apply(
            &super::super::EvalTransform::new(resize, size, filter, Normalize::imagenet()).unwrap(),
        );
        assert_eq!(apply(&crops().stacked(Views::Middle)), middle);
        let flip = apply(&crops().stacked(Views::Flip));
        assert_eq!((&flip[..len], flip.len()), (&middle[..], 2 * len));
        for (row, mirrored) in flip[..len].chunks(3 * 24).zip(flip[len..].chunks(3 * 24)) {
            let back: Vec<f32> = mirrored.rchunks(3).flatten().copied().collect();
            assert_eq!(row, back);
        }
        let ten = crops().views(&image, &mut Resampler::default()).unwrap();
        let stacked = apply(&crops().stacked(Views::Ten));
        for (at, view) in [4, 0, 1, 2, 3].into_iter().enumerate() {
            assert_eq!(stacked[at * len..(at + 1) * len], ten[view].xs, "{view}");
        }
        assert_eq!(apply(&crops().stacked(Views::Five)), stacked[..5 * len]);
        let short = &mut vec![0.0; len];
        let stack = crops().stacked(Views::Flip);
        let refused = stack.apply(&image, &mut Rng::keyed([0]), &mut Resampler::default(), short);
        assert!(matches!(refused, Err(Error::Buffer { .. })), "{refused:?}");
    }

    #[test]
    fn crops_that_do_not_fit_are_refused() {
        assert!(five_crop([10, 10], [11, 5]).is_err());
        assert!(five_crop([10, 10], [0, 5]).is_err());
        let small = Resize::ShortSide(15);
        let crops = TenCrop::new(small, [16, 16], Interpolation::Bilinear, Normalize::imagenet());
        assert!(crops.is_err());
    }

    #[test]
    fn a_view_does_not_depend_on_how_many_there_are() {
        let image = Image::new(30, 40, (0..=250).cycle().take(3600).collect()).unwrap();
        let large = || TrainTransform::imagenet([16, 16], Interpolation::Bilinear).unwrap();
        let views = |n: usize| {
            let crops = MultiCrop::new(vec![(large(), n)]);
            crops.views(&image, &mut Rng::keyed([4]), &mut Resampler::default()).unwrap()
        };
        assert_eq!(views(5)[..2], views(2));
        assert_ne!(views(2)[0], views(2)[1]);
        assert!(views(0).is_empty());
    }
}
