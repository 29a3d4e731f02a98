//! All augmentations that have a name: how they are spelled, what they do, and how they are made.
//!
//! Above: `options::augment`. Below: `taper_data::augment`. Not here: what each does to a picture.
//! Names and numbers are those of timm's and torchvision's training scripts where they have one.

use std::sync::Arc;

use taper_data::augment::{
    AugMix, Augmentation, AutoAugment, BLACK, ColorJitter, Cutout, Operation, RandAugment,
    RandomAffine, RandomGaussianBlur, RandomPerspective, RandomRotation, Sometimes,
    TrivialAugmentWide,
};
use taper_data::{Error, Result};

/// The numbers behind a name, and what they are when they are left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers {
    /// There are none.
    None,
    /// `name=NUMBER`.
    One(f64),
    /// `name-aNUMBER-bNUMBER`, whole numbers in any order.
    Letters(&'static [(char, f64)]),
}

impl Numbers {
    pub(super) fn defaults(self) -> Vec<f64> {
        match self {
            Self::None => Vec::new(),
            Self::One(number) => vec![number],
            Self::Letters(letters) => letters.iter().map(|(_, number)| *number).collect(),
        }
    }
}

/// One augmentation that has a name.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) numbers: Numbers,
    /// Whether it is a choice of several, of which there can be one.
    pub(super) is_policy: bool,
    pub(super) about: &'static str,
    pub(super) make: fn(&[f64]) -> Result<Arc<dyn Augmentation>>,
}

impl Entry {
    /// The numbers of a word that names this; inner none where they cannot be read.
    pub(super) fn parse(&self, word: &str) -> Option<Option<Vec<f64>>> {
        let rest = word.strip_prefix(self.name)?;
        if rest.is_empty() {
            return Some(Some(self.numbers.defaults()));
        }
        match (self.numbers, rest.chars().next()) {
            (Numbers::None, Some('=' | '-')) => Some(None),
            (Numbers::One(_), Some('=')) => {
                let number = rest[1..].parse().ok().filter(|number: &f64| number.is_finite());
                Some(number.map(|number| vec![number]))
            }
            (Numbers::Letters(letters), Some('-')) => Some(read_letters(letters, &rest[1..])),
            _ => None,
        }
    }
}

/// `m9-n2`.
fn read_letters(letters: &[(char, f64)], text: &str) -> Option<Vec<f64>> {
    let mut numbers: Vec<Option<f64>> = vec![None; letters.len()];
    for part in text.split('-') {
        let letter = part.chars().next()?;
        let at = letters.iter().position(|(known, _)| *known == letter)?;
        let number: u16 = part[letter.len_utf8()..].parse().ok()?;
        if numbers[at].replace(f64::from(number)).is_some() {
            return None;
        }
    }
    Some(
        numbers.into_iter().zip(letters).map(|(it, (_, default))| it.unwrap_or(*default)).collect(),
    )
}

/// A number of [`Numbers::Letters`].
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "read as a `u16`")]
fn whole(number: f64) -> usize {
    number as usize
}

fn sometimes(p: f64, operation: Operation) -> Result<Arc<dyn Augmentation>> {
    Ok(Arc::new(Sometimes::new(p, operation)?))
}

/// Refuses a negative share, degree or factor, for messages that name its range.
fn below(number: f64, most: f64, expected: &'static str) -> Result<f64> {
    if (0.0..=most).contains(&number) {
        return Ok(number);
    }
    Err(Error::Setting { setting: "a number", got: number.to_string(), expected })
}

/// timm's taps of a blur.
const BLUR_TAPS: [usize; 2] = [23; 2];

/// torchvision's probability of changes that have a strength, too.
const HALF: f64 = 0.5;

macro_rules! entry {
    ($name:literal, $numbers:expr, $policy:expr, $about:literal, $make:expr) => {
        Entry { name: $name, numbers: $numbers, is_policy: $policy, about: $about, make: $make }
    };
}

/// Policies first, then single ones.
pub(super) static ENTRIES: [Entry; 24] = [
    entry!(
        "trivial",
        Numbers::None,
        true,
        "TrivialAugmentWide: one change of any strength; nothing to tune",
        |_| { Ok(Arc::new(TrivialAugmentWide::default())) }
    ),
    entry!(
        "rand",
        Numbers::Letters(&[('m', 9.0), ('n', 2.0)]),
        true,
        "RandAugment: n changes of strength m, 0 to 30",
        |x| { Ok(Arc::new(RandAugment::new(whole(x[1]), whole(x[0]))?)) }
    ),
    entry!(
        "auto",
        Numbers::None,
        true,
        "AutoAugment: one of the 25 pairs of changes found for ImageNet",
        |_| { Ok(Arc::new(AutoAugment::default())) }
    ),
    entry!(
        "augmix",
        Numbers::Letters(&[('m', 3.0)]),
        true,
        "AugMix: mixed with three changed versions of itself, strength m of 1 to 10",
        |x| { Ok(Arc::new(AugMix::new(whole(x[0]))?)) }
    ),
    entry!(
        "color-jitter",
        Numbers::One(0.4),
        false,
        "brightness, contrast and saturation by factors of up to 1 ± X, in any order",
        |x| { Ok(Arc::new(ColorJitter::new([x[0]; 3], 0.0)?)) }
    ),
    entry!("brightness", Numbers::One(0.4), false, "brightness by a factor of up to 1 ± X", |x| {
        Ok(Arc::new(ColorJitter::new([x[0], 0.0, 0.0], 0.0)?))
    }),
    entry!("contrast", Numbers::One(0.4), false, "contrast by a factor of up to 1 ± X", |x| {
        Ok(Arc::new(ColorJitter::new([0.0, x[0], 0.0], 0.0)?))
    }),
    entry!("saturation", Numbers::One(0.4), false, "saturation by a factor of up to 1 ± X", |x| {
        Ok(Arc::new(ColorJitter::new([0.0, 0.0, x[0]], 0.0)?))
    }),
    entry!(
        "hue",
        Numbers::One(0.1),
        false,
        "hue by up to the share X of a full turn, 0 to 0.5",
        |x| { Ok(Arc::new(ColorJitter::new([0.0; 3], below(x[0], 0.5, "0 to 0.5")?)?)) }
    ),
    entry!("rotate", Numbers::One(15.0), false, "turned by up to X degrees, either way", |x| {
        let degrees = below(x[0], 360.0, "0 to 360 degrees")?;
        Ok(Arc::new(RandomRotation::new([-degrees, degrees])?))
    }),
    entry!(
        "translate",
        Numbers::One(0.1),
        false,
        "moved by up to the share X of width and height",
        |x| { Ok(Arc::new(RandomAffine::new(0.0)?.with_translate([x[0]; 2])?)) }
    ),
    entry!("shear", Numbers::One(10.0), false, "sheared along both axes by up to X degrees", |x| {
        let degrees = below(x[0], 89.0, "0 to 89 degrees")?;
        Ok(Arc::new(RandomAffine::new(0.0)?.with_shear([-degrees, degrees], [-degrees, degrees])?))
    }),
    entry!(
        "scale",
        Numbers::One(0.2),
        false,
        "larger or smaller by a factor of up to 1 ± X",
        |x| {
            let by = below(x[0], 0.99, "0 to 0.99")?;
            Ok(Arc::new(RandomAffine::new(0.0)?.with_scale([1.0 - by, 1.0 + by])?))
        }
    ),
    entry!(
        "perspective",
        Numbers::One(0.5),
        false,
        "every other picture seen from aside, corners up to the share X of half a side",
        |x| { Ok(Arc::new(RandomPerspective::new(x[0], HALF)?)) }
    ),
    entry!("grayscale", Numbers::One(0.1), false, "the share X of pictures without color", |x| {
        sometimes(x[0], Operation::Grayscale)
    }),
    entry!(
        "blur",
        Numbers::One(0.1),
        false,
        "the share X of pictures blurred, sigma 0.1 to 2 pixels",
        |x| { Ok(Arc::new(RandomGaussianBlur::new(BLUR_TAPS, [0.1, 2.0], x[0])?)) }
    ),
    entry!(
        "sharpness",
        Numbers::One(2.0),
        false,
        "every other picture sharper, or below 1 smoother, by the factor X",
        |x| { sometimes(HALF, Operation::Sharpness(below(x[0], f64::MAX, "0 or more")?)) }
    ),
    entry!(
        "posterize",
        Numbers::One(4.0),
        false,
        "every other picture with X bits a sample, 1 to 8",
        |x| {
            let bits = (1..=8_u32).find(|&bits| f64::from(bits).total_cmp(&x[0]).is_eq());
            let refused = || Error::Setting {
                setting: "bits",
                got: x[0].to_string(),
                expected: "1, 2, 3, 4, 5, 6, 7 or 8",
            };
            sometimes(HALF, Operation::Posterize(bits.ok_or_else(refused)?))
        }
    ),
    entry!(
        "solarize",
        Numbers::One(128.0),
        false,
        "every other picture with samples of X and more inverted, 0 to 255",
        |x| { sometimes(HALF, Operation::Solarize(below(x[0], 255.0, "0 to 255")?)) }
    ),
    entry!(
        "equalize",
        Numbers::One(0.5),
        false,
        "the share X of pictures with all values about equally frequent",
        |x| sometimes(x[0], Operation::Equalize)
    ),
    entry!(
        "autocontrast",
        Numbers::One(0.5),
        false,
        "the share X of pictures stretched to all values",
        |x| sometimes(x[0], Operation::Autocontrast)
    ),
    entry!(
        "vflip",
        Numbers::One(0.5),
        false,
        "the share X of pictures upside down",
        |x| sometimes(x[0], Operation::VerticalFlip)
    ),
    entry!(
        "cutout",
        Numbers::One(0.5),
        false,
        "a black square at a random place, its side the share X of the shorter one",
        |x| { Ok(Arc::new(Cutout::new(x[0], BLACK)?)) }
    ),
    entry!(
        "invert",
        Numbers::One(0.5),
        false,
        "the share X of pictures with light and dark exchanged",
        |x| sometimes(x[0], Operation::Invert)
    ),
];
