//! Transforms against torchvision's, bit for bit.

use safetensors::SafeTensors;

use super::{
    EvalTransform, Flip, Interpolation, Normalize, Rect, Resampler, TrainTransform, Transform,
    random_resized_crop,
};
use crate::image::Image;
use crate::random::Rng;

static GOLDEN: &[u8] = include_bytes!("../../../../tests/fixtures/transforms.safetensors");

fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(GOLDEN).unwrap()
}

fn floats(name: &str) -> Vec<f32> {
    let golden = golden();
    let tensor = golden.tensor(name).unwrap();
    let words = tensor.data().chunks_exact(4);
    words.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn doubles(name: &str) -> Vec<f64> {
    let golden = golden();
    let tensor = golden.tensor(name).unwrap();
    let words = tensor.data().chunks_exact(8);
    words.map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

fn integers(name: &str) -> Vec<usize> {
    let golden = golden();
    let tensor = golden.tensor(name).unwrap();
    let words = tensor.data().chunks_exact(8);
    words.map(|b| usize::try_from(i64::from_le_bytes(b.try_into().unwrap())).unwrap()).collect()
}

fn picture(name: &str) -> Image {
    let golden = golden();
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
        let out = resampler.resize(&source, region, size, Rect::whole(size), filter);
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
    let out =
        resampler.resize(&source, region, [24, 20], Rect::whole([24, 20]), Interpolation::Bilinear);
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
    let transform = Transform::from(EvalTransform {
        resize: 32,
        size: [20, 28],
        interpolation: Interpolation::Bilinear,
        normalize: Normalize::imagenet(),
    });
    let mut out = vec![f32::NAN; 20 * 28 * 3];
    let mut rng = Rng::keyed([0]);
    transform.apply(&picture("source_41x57"), &mut rng, &mut Resampler::default(), &mut out);
    assert_eq!(out, floats("eval/out"));
}

#[test]
fn flipping_and_normalizing_equal_torchvision() {
    let source = picture("source_41x57");
    let mut out = vec![f32::NAN; 41 * 57 * 3];
    Normalize::imagenet().write(source.rgb(), 57, Flip::Horizontal, &mut out);
    assert_eq!(out, floats("flip/out"));
}

#[test]
fn training_flips_half_of_the_time_and_varies_the_crop() {
    let rgb = (0..50).flat_map(|_| (0..40).flat_map(|x: u8| [x * 6, 0, 0])).collect();
    let ramp = Image::new(50, 40, rgb).unwrap();
    let transform =
        Transform::from(TrainTransform::imagenet([16, 16], Interpolation::Bilinear).unwrap());
    let mut resampler = Resampler::default();
    let (mut flips, mut starts) = (0, std::collections::BTreeSet::new());
    for index in 0..400 {
        let mut out = vec![f32::NAN; 16 * 16 * 3];
        transform.apply(&ramp, &mut Rng::keyed([9, index]), &mut resampler, &mut out);
        assert!(out.iter().all(|x| x.is_finite()));
        flips += usize::from(out[0] > out[15 * 3]);
        starts.insert(out[0].to_bits());
    }
    assert!((160..240).contains(&flips), "{flips}");
    assert!(starts.len() > 20, "{}", starts.len());
}

#[test]
fn settings_out_of_range_are_refused() {
    let train = || TrainTransform::imagenet([8, 8], Interpolation::Bicubic).unwrap();
    let eval = || EvalTransform::imagenet([8, 8], 0.875, Interpolation::Bicubic).unwrap();
    let refused: Vec<Transform> = vec![
        TrainTransform { size: [0, 8], ..train() }.into(),
        TrainTransform { size: [8, 1 << 40], ..train() }.into(),
        TrainTransform { scale: [0.0, 1.0], ..train() }.into(),
        TrainTransform { scale: [0.5, 1.5], ..train() }.into(),
        TrainTransform { ratio: [2.0, 1.0], ..train() }.into(),
        TrainTransform { ratio: [1.0, f64::NAN], ..train() }.into(),
        TrainTransform { flip: -0.1, ..train() }.into(),
        EvalTransform { resize: 7, ..eval() }.into(),
        EvalTransform { resize: usize::MAX, ..eval() }.into(),
    ];
    for transform in refused {
        let error = transform.check().unwrap_err().to_string();
        assert!(error.contains("expected"), "{error}");
    }
    for crop_pct in [0.0, -1.0, 1.5, f64::NAN] {
        assert!(EvalTransform::imagenet([8, 8], crop_pct, Interpolation::Bilinear).is_err());
    }
}
