//! A sheet of samples: what single changes, policies and mixing make of a picture of the sample set.
//!
//! Above: `pictures`. Below: `paper`, `png`, `taper_data::{augment, mix}`. Not here: a training run's own pictures.

use anyhow::{Context, Result};
use taper_data::augment::{
    Affine, AugMix, Augmentation, AutoAugment, BLACK, Operation, RandAugment, Sampling,
    TrivialAugmentWide, corners,
};
use taper_data::mix::{Mix, Mixed};
use taper_data::random::Rng;
use taper_data::transform::{Flip, Rect, Resampler};
use taper_data::{Image, Interpolation, Normalize, sample_set};

use super::paper::Paper;
use super::png;

/// The picture, and the one it is mixed with, by their names in the sample set.
const PICTURES: [&str; 2] = ["val/vehicle/bus.png", "val/food/green_salad.png"];

/// Pixels of a side.
const SIDE: usize = 48;

/// Of a sample on paper, and from one to the next.
const SHOWN: f64 = 86.0;
const STEP: [f64; 2] = [106.0, 118.0];

const COLUMNS: usize = 8;

/// A row of the sheet after another.
pub(super) fn samples() -> Result<String> {
    let [picture, other] = [sample(PICTURES[0])?, sample(PICTURES[1])?];
    let mut all: Vec<(String, Image)> = vec![("as it is".to_owned(), picture.clone())];
    for (name, operation) in operations() {
        let mut changed = picture.clone();
        operation.apply(&mut changed)?;
        all.push((name.to_owned(), changed));
    }
    let rand = RandAugment::new(2, 9)?;
    let policies: [(&str, &dyn Augmentation); 4] = [
        ("trivial", &TrivialAugmentWide::default()),
        ("rand-m9-n2", &rand),
        ("auto", &AutoAugment::default()),
        ("augmix-m3", &AugMix::default()),
    ];
    for (name, policy) in policies {
        for draw in 0..2 {
            let mut changed = picture.clone();
            policy.apply(&mut changed, &mut Rng::keyed([4, draw]))?;
            all.push((name.to_owned(), changed));
        }
    }
    let cut = Rect { top: 14, left: 20, height: 26, width: 24 };
    let own = 1.0 - (cut.height * cut.width) as f64 / (SIDE * SIDE) as f64;
    for (name, mixed) in [
        ("mixup 0.6", Mixed::Mixup { weight: 0.6 }),
        ("cutmix", Mixed::Cutmix { rect: Some(cut), weight: own }),
    ] {
        all.push((name.to_owned(), mix(&picture, &other, mixed)?));
    }
    Ok(sheet(&all))
}

/// Single changes, by their names on the command line.
fn operations() -> Vec<(&'static str, Operation)> {
    let (sampling, fill) = (Sampling::Bilinear, BLACK);
    let affine = |map| Operation::Affine { map, sampling, fill };
    let from = corners([SIDE; 2]);
    let to = [[6.0, 2.0], [44.0, 9.0], [38.0, 40.0], [2.0, 45.0]];
    let rect = Rect { top: 8, left: 22, height: 20, width: 16 };
    vec![
        ("rotate 15", Operation::Rotate { degrees: 15.0, sampling, fill }),
        ("translate", affine(Affine { translate: [7.0, -4.0], ..Affine::default() })),
        ("shear 15", affine(Affine { shear: [15.0, 0.0], ..Affine::default() })),
        ("scale 1.3", affine(Affine { scale: 1.3, ..Affine::default() })),
        ("perspective", Operation::Perspective { from, to, sampling, fill }),
        ("brightness 1.4", Operation::Brightness(1.4)),
        ("contrast 0.5", Operation::Contrast(0.5)),
        ("saturation 0.3", Operation::Saturation(0.3)),
        ("hue 0.3", Operation::Hue(0.3)),
        ("grayscale", Operation::Grayscale),
        ("blur", Operation::GaussianBlur { kernel: [11; 2], sigma: [2.0; 2] }),
        ("sharpness 3", Operation::Sharpness(3.0)),
        ("posterize 2", Operation::Posterize(2)),
        ("solarize 128", Operation::Solarize(128.0)),
        ("invert", Operation::Invert),
        ("equalize", Operation::Equalize),
        ("autocontrast", Operation::Autocontrast),
        ("flip", Operation::HorizontalFlip),
        ("vflip", Operation::VerticalFlip),
        ("erase", Operation::Erase { rect, fill: [124, 116, 104] }),
    ]
}

/// A picture of the sample set, smaller.
fn sample(name: &str) -> Result<Image> {
    let set = sample_set::emoji6()?;
    let sample = set.train.iter().chain(&set.val).find(|sample| sample.name() == name);
    let image = sample.with_context(|| format!("no {name} in the sample set"))?.image()?;
    let size = [SIDE; 2];
    let whole = Rect::whole([image.height(), image.width()]);
    let mut resampler = Resampler::default();
    let small = resampler.resize(&image, whole, size, Rect::whole(size), Interpolation::Bicubic)?;
    Ok(Image::new(SIDE, SIDE, small.to_vec())?)
}

/// The first of two pictures that are mixed with each other.
fn mix(picture: &Image, other: &Image, mixed: Mixed) -> Result<Image> {
    let bytes = Normalize::new([0.0; 3], [1.0 / 255.0; 3])?;
    let each = picture.rgb().len();
    let mut xs = vec![0.0; 2 * each];
    bytes.write(picture.rgb(), SIDE, Flip::None, &mut xs[..each])?;
    bytes.write(other.rgb(), SIDE, Flip::None, &mut xs[each..])?;
    let mix = Mix::new(1.0, 1.0, 2)?;
    mix.apply(mixed, &mut xs, [SIDE; 2], &vec![0, 1].into(), 1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 255")]
    let rgb = xs[..each].iter().map(|x| x.round() as u8).collect();
    Ok(Image::new(SIDE, SIDE, rgb)?)
}

fn sheet(all: &[(String, Image)]) -> String {
    let rows = all.len().div_ceil(COLUMNS);
    let size = [COLUMNS as f64 * STEP[0] + 14.0, rows as f64 * STEP[1] + 16.0];
    let mut paper = Paper::new(size, "Samples of augmentation");
    for (i, (name, image)) in all.iter().enumerate() {
        let x = 17.0 + STEP[0] * (i % COLUMNS) as f64;
        let y = 14.0 + STEP[1] * (i / COLUMNS) as f64;
        let png = png::encode([SIDE; 2], image.rgb(), 3);
        paper.put(format!(
            "<image x=\"{x}\" y=\"{y}\" width=\"{SHOWN}\" height=\"{SHOWN}\" href=\"data:image/png;base64,{png}\"/>"
        ));
        paper.put(format!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{SHOWN}\" height=\"{SHOWN}\" fill=\"none\" stroke=\"#aaaaaa\"/>"
        ));
        paper.words([x + SHOWN / 2.0, y + SHOWN + 15.0], 12.0, name);
    }
    paper.end()
}
