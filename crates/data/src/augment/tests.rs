//! Changes with fixed parameters against torchvision's `v2` on PIL images, byte for byte.

use safetensors::SafeTensors;

use super::{Affine, BLACK, Operation, Padding, Sampling, corners, pad};
use crate::image::Image;
use crate::transform::Rect;

static TORCHVISION: &[u8] = include_bytes!("../../../../tests/fixtures/augment.safetensors");

pub(crate) fn golden() -> SafeTensors<'static> {
    SafeTensors::deserialize(TORCHVISION).unwrap()
}

fn picture(name: &str) -> Image {
    let golden = golden();
    let tensor = golden.tensor(name).unwrap();
    Image::new(tensor.shape()[0], tensor.shape()[1], tensor.data().to_vec()).unwrap()
}

fn sampling(word: &str) -> Sampling {
    match word {
        "nearest" => Sampling::Nearest,
        "bilinear" => Sampling::Bilinear,
        other => panic!("{other}"),
    }
}

/// The operation that a case's name stands for.
fn operation(name: &str, size: [usize; 2]) -> Operation {
    let (kind, words) = name.split_once(':').unwrap();
    let words: Vec<&str> = words.split(',').collect();
    let x = |at: usize| -> f64 { words[at].parse().unwrap() };
    let n = |at: usize| -> usize { words[at].parse().unwrap() };
    match kind {
        "affine" => Operation::Affine {
            map: Affine {
                degrees: x(0),
                translate: [x(1), x(2)],
                scale: x(3),
                shear: [x(4), x(5)],
                center: None,
            },
            sampling: sampling(words[6]),
            fill: if words[7] == "fill" { [10, 200, 30] } else { BLACK },
        },
        "shear" => {
            let degrees = x(1).atan().to_degrees();
            let shear = if words[0] == "x" { [degrees, 0.0] } else { [0.0, degrees] };
            let map = Affine { shear, center: Some([0.0; 2]), ..Affine::default() };
            Operation::Affine { map, sampling: sampling(words[2]), fill: BLACK }
        }
        "rotate" => Operation::Rotate { degrees: x(0), sampling: sampling(words[1]), fill: BLACK },
        "perspective" => {
            let from = corners(size);
            let mut to = from;
            for (corner, at) in to.iter_mut().zip([0, 2, 4, 6]) {
                let inward = |place: f64, by: f64| if place > 0.0 { place - by } else { by };
                *corner = [inward(corner[0], x(at)), inward(corner[1], x(at + 1))];
            }
            Operation::Perspective { from, to, sampling: sampling(words[8]), fill: BLACK }
        }
        "brightness" => Operation::Brightness(x(0)),
        "contrast" => Operation::Contrast(x(0)),
        "saturation" => Operation::Saturation(x(0)),
        "sharpness" => Operation::Sharpness(x(0)),
        "hue" => Operation::Hue(x(0)),
        "grayscale" => Operation::Grayscale,
        "blur" => Operation::GaussianBlur { kernel: [n(0), n(1)], sigma: [x(2), x(3)] },
        "posterize" => Operation::Posterize(words[0].parse().unwrap()),
        "solarize" => Operation::Solarize(x(0)),
        "invert" => Operation::Invert,
        "equalize" => Operation::Equalize,
        "autocontrast" => Operation::Autocontrast,
        "hflip" => Operation::HorizontalFlip,
        "vflip" => Operation::VerticalFlip,
        "erase" => {
            let rect = Rect { top: 1, left: 1, height: size[0] / 2, width: size[1] / 2 };
            Operation::Erase { rect, fill: [7, 8, 9] }
        }
        other => panic!("{other}"),
    }
}

/// Whether what Pillow computes in `f64` and cuts to a whole number is at stake, or what is summed in another order: one less or more where
/// the exact value is a whole number, or a half.
fn is_rounded(operation: &Operation) -> bool {
    match operation {
        Operation::GaussianBlur { .. } => true,
        Operation::Affine { sampling, .. } => *sampling == Sampling::Bilinear,
        _ => false,
    }
}

/// Equal bytes. Only of a blur, and of an affine map with bilinear sampling, a sample in 300 may differ by 1; and half of them where a half
/// turn puts each position on a pixel's middle, give or take 1e-15.
#[test]
fn every_operation_equals_torchvision() {
    let golden = golden();
    let mut seen = std::collections::BTreeMap::new();
    for name in golden.names().into_iter().filter(|name| name.starts_with("op/")) {
        let [_, size, case] = name.split('/').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let mut image = picture(&format!("source_{size}"));
        let expected = picture(name);
        let operation = operation(case, [image.height(), image.width()]);
        operation.apply(&mut image).unwrap();
        let apart = image.rgb().iter().zip(expected.rgb()).map(|(a, b)| a.abs_diff(*b));
        let (differ, largest) =
            apart.fold((0, 0), |(n, most), by| (n + usize::from(by > 0), most.max(by)));
        let samples = image.rgb().len();
        let allowed = match is_rounded(&operation) {
            true if case.starts_with("affine:180") => samples / 2,
            true => samples.div_ceil(300),
            false => 0,
        };
        assert!(differ <= allowed && largest <= 1, "{name}: {differ} differ, up to {largest}");
        *seen.entry(case.split(':').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 19, "{seen:?}");
    assert!(seen.values().sum::<usize>() > 350, "{seen:?}");
}

#[test]
fn every_padding_equals_torchvision() {
    let golden = golden();
    let mut cases = 0;
    for name in golden.names().into_iter().filter(|name| name.starts_with("pad/")) {
        let [_, size, case] = name.split('/').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let (mode, sides) = case.split_once(':').unwrap();
        let padding = match mode {
            "constant" => Padding::Constant([5, 6, 7]),
            "edge" => Padding::Edge,
            "reflect" => Padding::Reflect,
            "symmetric" => Padding::Symmetric,
            other => panic!("{other}"),
        };
        let sides: Vec<usize> = sides.split(',').map(|side| side.parse().unwrap()).collect();
        let padded = pad(&picture(&format!("source_{size}")), sides.try_into().unwrap(), padding);
        assert!(padded.unwrap() == picture(name), "{name}");
        cases += 1;
    }
    assert!(cases > 20, "{cases}");
}

#[test]
fn hue_equals_pillow_for_colors_of_all_kinds() {
    let golden = golden();
    let [rgb, turned] = ["hsv/rgb", "hsv/turned"].map(|name| golden.tensor(name).unwrap());
    let mut image = Image::new(1, rgb.shape()[0], rgb.data().to_vec()).unwrap();
    Operation::Hue(0.17).apply(&mut image).unwrap();
    assert_eq!(image.rgb(), turned.data());
}
