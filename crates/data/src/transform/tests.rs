//! Transforms against torchvision's, bit for bit.

use std::sync::Arc;

use proptest::prelude::*;
use safetensors::SafeTensors;

use super::{
    EvalTransform, Flip, Interpolation, Normalize, Rect, Resampler, Resize, TrainTransform,
    Transform, random_resized_crop,
};
use crate::augment::{Augmentation, Operation, RandomErasing, Sometimes};
use crate::image::Image;
use crate::random::Rng;

static TORCHVISION: &[u8] = include_bytes!("../../../../tests/fixtures/transforms.safetensors");
static TIMM: &[u8] = include_bytes!("../../../../tests/fixtures/transforms_timm.safetensors");

fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(TORCHVISION).unwrap()
}

/// The elements of a tensor, `N` bytes each.
fn elements<const N: usize, T>(
    golden: &SafeTensors<'_>,
    name: &str,
    of: fn([u8; N]) -> T,
) -> Vec<T> {
    let tensor = golden.tensor(name).unwrap();
    tensor.data().chunks_exact(N).map(|bytes| of(bytes.try_into().unwrap())).collect()
}

fn floats(name: &str) -> Vec<f32> {
    elements(&golden(), name, f32::from_le_bytes)
}

fn doubles(name: &str) -> Vec<f64> {
    elements(&golden(), name, f64::from_le_bytes)
}

fn integers(name: &str) -> Vec<usize> {
    elements(&golden(), name, |bytes| usize::try_from(i64::from_le_bytes(bytes)).unwrap())
}

fn picture(name: &str) -> Image {
    picture_of(&golden(), name)
}

fn picture_of(golden: &SafeTensors<'_>, name: &str) -> Image {
    let tensor = golden.tensor(name).unwrap();
    Image::new(tensor.shape()[0], tensor.shape()[1], tensor.data().to_vec()).unwrap()
}

fn pair(text: &str) -> [usize; 2] {
    let (h, w) = text.split_once('x').unwrap();
    [h.parse().unwrap(), w.parse().unwrap()]
}

#[test]
fn resizing_equals_pillow() {
    let golden = golden();
    let mut cases = 0;
    for name in golden.names().into_iter().filter(|name| name.starts_with("resize/")) {
        let parts: Vec<&str> = name.split('/').collect();
        let source = picture(&format!("source_{}", parts[1]));
        let size = pair(parts[2]);
        let filter = match parts[3] {
            "bilinear" => Interpolation::Bilinear,
            _ => Interpolation::Bicubic,
        };
        let region = Rect::whole([source.height(), source.width()]);
        let mut resampler = Resampler::default();
        let out = resampler.resize(&source, region, size, Rect::whole(size), filter).unwrap();
        assert_eq!(out, picture(name).rgb(), "{name}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}

#[test]
fn a_resized_crop_sees_nothing_outside_the_crop() {
    let source = picture("source_41x57");
    let [top, left, height, width] = integers("crop/rect").try_into().unwrap();
    let region = Rect { top, left, height, width };
    let mut resampler = Resampler::default();
    let keep = Rect::whole([24, 20]);
    let out = resampler.resize(&source, region, [24, 20], keep, Interpolation::Bilinear).unwrap();
    assert_eq!(out, picture("crop/resized").rgb());
}

#[test]
fn crops_equal_torchvision_given_its_random_numbers() {
    let sizes = integers("crops/sizes");
    let settings = doubles("crops/settings");
    let units = doubles("crops/units");
    let rects = integers("crops/rects");
    assert_eq!(sizes.len(), 2 * 120);
    let mut fallbacks = 0;
    for (case, expected) in rects.chunks_exact(4).enumerate() {
        let settings = &settings[4 * case..4 * case + 4];
        let mut given = units[24 * case..24 * case + 24].iter();
        let crop = random_resized_crop(
            [sizes[2 * case], sizes[2 * case + 1]],
            [settings[0], settings[1]],
            [settings[2], settings[3]],
            &mut || *given.next().unwrap(),
        );
        assert_eq!([crop.top, crop.left, crop.height, crop.width], expected, "case {case}");
        fallbacks += usize::from(given.len() == 4);
    }
    assert!(fallbacks > 5, "the fallback was tried {fallbacks} times");
}

#[test]
fn evaluation_equals_torchvision() {
    let (resize, filter) = (Resize::ShortSide(32), Interpolation::Bilinear);
    let transform = EvalTransform::new(resize, [20, 28], filter, Normalize::imagenet()).unwrap();
    let mut out = vec![f32::NAN; 20 * 28 * 3];
    let (mut rng, mut resampler) = (Rng::keyed([0]), Resampler::default());
    transform.apply(&picture("source_41x57"), &mut rng, &mut resampler, &mut out).unwrap();
    assert_eq!(out, floats("eval/out"));
}

#[test]
fn evaluation_equals_timm_for_squares_and_others() {
    let golden = SafeTensors::deserialize(TIMM).unwrap();
    let sizes =
        elements(&golden, "sizes", |bytes| usize::try_from(i64::from_le_bytes(bytes)).unwrap());
    let crop_pct = elements(&golden, "crop_pct", f64::from_le_bytes);
    assert_eq!(sizes.len(), 6 * 256);
    let mut shown = 0;
    for (case, (row, &crop_pct)) in sizes.chunks_exact(6).zip(&crop_pct).enumerate() {
        let [from, size, resized] = [0, 2, 4].map(|at| [row[at], row[at + 1]]);
        let resize = Resize::before_crop(size, crop_pct).unwrap();
        assert_eq!(resize.of(from), resized, "case {case}: {from:?} for {size:?} at {crop_pct}");
        for (name, filter) in
            [("bilinear", Interpolation::Bilinear), ("bicubic", Interpolation::Bicubic)]
        {
            let name = format!("eval/{case}/{name}");
            if golden.tensor(&name).is_err() {
                continue;
            }
            let transform = EvalTransform::imagenet(size, crop_pct, filter).unwrap();
            let mut out = vec![f32::NAN; size[0] * size[1] * 3];
            let (mut rng, mut resampler) = (Rng::keyed([0]), Resampler::default());
            let source = picture_of(&golden, &format!("source/{case}"));
            transform.apply(&source, &mut rng, &mut resampler, &mut out).unwrap();
            assert_eq!(out, elements(&golden, &name, f32::from_le_bytes), "{name}");
            shown += 1;
        }
    }
    assert_eq!(shown, 12);
}

#[test]
fn flipping_and_normalizing_equal_torchvision() {
    let source = picture("source_41x57");
    let mut out = vec![f32::NAN; 41 * 57 * 3];
    Normalize::imagenet().write(source.rgb(), 57, Flip::Horizontal, &mut out).unwrap();
    assert_eq!(out, floats("flip/out"));
}

#[test]
fn training_flips_half_of_the_time_and_varies_the_crop() {
    let rgb = (0..50).flat_map(|_| (0..40).flat_map(|x: u8| [x * 6, 0, 0])).collect();
    let ramp = Image::new(50, 40, rgb).unwrap();
    let transform = TrainTransform::imagenet([16, 16], Interpolation::Bilinear).unwrap();
    let mut resampler = Resampler::default();
    let (mut flips, mut starts) = (0, std::collections::BTreeSet::new());
    for index in 0..400 {
        let mut out = vec![f32::NAN; 16 * 16 * 3];
        transform.apply(&ramp, &mut Rng::keyed([9, index]), &mut resampler, &mut out).unwrap();
        assert!(out.iter().all(|x| x.is_finite()));
        flips += usize::from(out[0] > out[15 * 3]);
        starts.insert(out[0].to_bits());
    }
    assert!((160..240).contains(&flips), "{flips}");
    assert!(starts.len() > 20, "{}", starts.len());
}

#[test]
fn augmentations_come_between_flip_and_normalization_and_erasing_after_it() {
    let source = picture("source_41x57");
    let train = || TrainTransform::imagenet([16, 20], Interpolation::Bilinear).unwrap();
    let made = |transform: &TrainTransform, index: u64| {
        let mut out = vec![f32::NAN; 16 * 20 * 3];
        let (mut rng, mut resampler) = (Rng::keyed([3, index]), Resampler::default());
        transform.apply(&source, &mut rng, &mut resampler, &mut out).unwrap();
        out
    };
    let of = |operation| Arc::new(Sometimes::new(1.0, operation).unwrap());
    let changed = train()
        .with_augmentation(of(Operation::HorizontalFlip))
        .with_augmentation(of(Operation::Identity))
        .with_augmentation(of(Operation::HorizontalFlip));
    let erased = train().with_erasing(RandomErasing::new(1.0).unwrap());
    let black = train()
        .with_augmentation(of(Operation::Brightness(0.0)))
        .with_erasing(RandomErasing::new(1.0).unwrap());
    for index in 0..40 {
        let plain = made(&train(), index);
        assert_eq!(made(&changed, index), plain);
        let zeros =
            |out: &[f32]| out.chunks(3).filter(|p| p.iter().all(|x| x.abs() == 0.0)).count();
        let out = made(&erased, index);
        assert!((6..=110).contains(&zeros(&out)), "{}", zeros(&out));
        assert!(out.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits() || *a == 0.0));
        // Black is not 0 once it is normalized: what is 0 was erased afterwards.
        assert!((6..=110).contains(&zeros(&made(&black, index))));
    }
}

#[test]
fn an_augmentation_that_changes_the_size_is_told() {
    #[derive(Debug)]
    struct Half;
    impl Augmentation for Half {
        fn apply(&self, image: &mut Image, _: &mut Rng) -> crate::Result<()> {
            *image = Image::new(8, 20, vec![0; 480])?;
            Ok(())
        }
    }
    let transform = TrainTransform::imagenet([16, 20], Interpolation::Bilinear).unwrap();
    let transform = transform.with_augmentation(Arc::new(Half));
    let mut out = vec![0.0; 16 * 20 * 3];
    let (mut rng, mut resampler) = (Rng::keyed([3]), Resampler::default());
    let refused = transform.apply(&picture("source_41x57"), &mut rng, &mut resampler, &mut out);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "an augmentation made a picture of 8x20 pixels of one of 16x20; it must keep the size"
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    let train = || TrainTransform::imagenet([8, 8], Interpolation::Bicubic).unwrap();
    let eval = |resize| {
        let (filter, normalize) = (Interpolation::Bicubic, Normalize::imagenet());
        EvalTransform::new(resize, [8, 6], filter, normalize).map(|transform| transform.resize())
    };
    let message = |error: crate::Error| error.to_string();
    let refused = [
        TrainTransform::imagenet([0, 8], Interpolation::Bicubic).map_err(message).err(),
        TrainTransform::imagenet([8, 1 << 40], Interpolation::Bicubic).map_err(message).err(),
        train().with_scale([0.0, 1.0]).map_err(message).err(),
        train().with_scale([0.5, 1.5]).map_err(message).err(),
        train().with_ratio([2.0, 1.0]).map_err(message).err(),
        train().with_ratio([1.0, f64::NAN]).map_err(message).err(),
        train().with_flip(-0.1).map_err(message).err(),
        eval(Resize::ShortSide(7)).map_err(message).err(),
        eval(Resize::ShortSide(usize::MAX)).map_err(message).err(),
        eval(Resize::Cover([7, 60])).map_err(message).err(),
        eval(Resize::Cover([60, 5])).map_err(message).err(),
        eval(Resize::Cover([8, usize::MAX])).map_err(message).err(),
    ];
    for (case, refusal) in refused.into_iter().enumerate() {
        let refusal = refusal.unwrap_or_default();
        assert!(refusal.contains("expected"), "case {case}: {refusal}");
    }
    assert_eq!(eval(Resize::ShortSide(8)).unwrap(), Resize::ShortSide(8));
    assert_eq!(eval(Resize::Cover([8, 6])).unwrap(), Resize::Cover([8, 6]));
    for crop_pct in [0.0, -1.0, 1.5, f64::NAN] {
        assert!(EvalTransform::imagenet([8, 8], crop_pct, Interpolation::Bilinear).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    /// Whatever the sizes: no element is left as it was. A resize that is too small to fill the crop is refused.
    #[test]
    fn every_element_is_written_or_the_settings_are_refused(
        picture in [1_usize..70, 1_usize..70], size in [1_usize..40, 1_usize..40],
        resize in prop_oneof![
            (1_usize..60).prop_map(Resize::ShortSide),
            [1_usize..60, 1_usize..60].prop_map(Resize::Cover),
        ],
        trained: bool,
    ) {
        let (filter, normalize) = (Interpolation::Bilinear, Normalize::imagenet());
        let least = resize.of([1, 1]);
        let covers = match resize {
            Resize::ShortSide(short) => short >= size[0].max(size[1]),
            Resize::Cover([h, w]) => h >= size[0] && w >= size[1],
        };
        let made: crate::Result<Arc<dyn Transform>> = match trained {
            true => TrainTransform::new(size, filter, normalize).map(Into::into),
            false => EvalTransform::new(resize, size, filter, normalize).map(Into::into),
        };
        prop_assert!(least[0] > 0 && least[1] > 0);
        prop_assert_eq!(made.is_ok(), trained || covers);
        if let Ok(transform) = made {
            let image = Image::new(picture[0], picture[1], vec![200; picture[0] * picture[1] * 3]);
            let mut out = vec![f32::NAN; size[0] * size[1] * 3];
            let (mut rng, mut resampler) = (Rng::keyed([1]), Resampler::default());
            transform.apply(&image.unwrap(), &mut rng, &mut resampler, &mut out).unwrap();
            prop_assert!(out.iter().all(|x| x.is_finite()));
            let mut short = vec![0.0; out.len() - 1];
            prop_assert!(transform.apply(
                &Image::new(1, 1, vec![0; 3]).unwrap(), &mut rng, &mut resampler, &mut short).is_err());
        }
    }
}
