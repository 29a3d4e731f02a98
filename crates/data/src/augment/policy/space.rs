//! What policies choose from, and how strong it is: names, signs and tables of magnitudes.
//!
//! Above: `augment::policy`. Below: `augment::operation`. Not here: how often a policy chooses what.
//! Source: torchvision 0.26 `transforms.v2._auto_augment`: `_AUGMENTATION_SPACE`, `_apply_image_or_video_transform`. Tables are in `f32`, as there:
//! the last bit decides on a pixel of translation.

use crate::augment::{Affine, Fill, Operation, Sampling};
use crate::transform::truncated;

/// A change that a policy may choose. The names are the papers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Choice {
    /// Nothing.
    Identity,
    /// Rows moved against each other.
    ShearX,
    /// Columns moved against each other.
    ShearY,
    /// To the right, or the left.
    TranslateX,
    /// Down, or up.
    TranslateY,
    /// Turned.
    Rotate,
    /// Lighter or darker.
    Brightness,
    /// More or less saturated.
    Color,
    /// More or less contrast.
    Contrast,
    /// Sharper or smoother.
    Sharpness,
    /// Fewer bits a sample.
    Posterize,
    /// Light samples inverted.
    Solarize,
    /// Stretched to the whole range.
    AutoContrast,
    /// All values about equally frequent.
    Equalize,
    /// Light and dark exchanged.
    Invert,
}

impl Choice {
    /// The 14 of `RandAugment` and `TrivialAugment`, in torchvision's order.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether its magnitude is negative every other time.
    #[must_use]
    pub fn is_signed(self) -> bool {
        match self {
            Self::ShearX
            | Self::ShearY
            | Self::TranslateX
            | Self::TranslateY
            | Self::Rotate
            | Self::Brightness
            | Self::Color
            | Self::Contrast
            | Self::Sharpness => true,
            Self::Identity
            | Self::Posterize
            | Self::Solarize
            | Self::AutoContrast
            | Self::Equalize
            | Self::Invert => false,
        }
    }

    /// The change of this magnitude: a slope of a shear, pixels, degrees, what is added to a factor of 1, bits, a share of 255.
    #[must_use]
    pub fn operation(self, magnitude: f64, sampling: Sampling, fill: Fill) -> Operation {
        let affine = |map| Operation::Affine { map, sampling, fill };
        let sheared = |x: f64, y: f64| {
            let shear = [x, y].map(|slope| slope.atan().to_degrees());
            affine(Affine { shear, center: Some([0.0; 2]), ..Affine::default() })
        };
        let moved = |x: f64, y: f64| {
            affine(Affine { translate: [x.trunc(), y.trunc()], ..Affine::default() })
        };
        match self {
            Self::Identity => Operation::Identity,
            Self::ShearX => sheared(magnitude, 0.0),
            Self::ShearY => sheared(0.0, magnitude),
            Self::TranslateX => moved(magnitude, 0.0),
            Self::TranslateY => moved(0.0, magnitude),
            Self::Rotate => Operation::Rotate { degrees: magnitude, sampling, fill },
            Self::Brightness => Operation::Brightness(1.0 + magnitude),
            Self::Color => Operation::Saturation(1.0 + magnitude),
            Self::Contrast => Operation::Contrast(1.0 + magnitude),
            Self::Sharpness => Operation::Sharpness(1.0 + magnitude),
            Self::Posterize => {
                Operation::Posterize(u32::try_from(truncated(magnitude)).unwrap_or(8).min(8))
            }
            Self::Solarize => Operation::Solarize(255.0 * magnitude),
            Self::AutoContrast => Operation::Autocontrast,
            Self::Equalize => Operation::Equalize,
            Self::Invert => Operation::Invert,
        }
    }
}

/// The largest translation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reach {
    /// A share of the width or height.
    Share(f64),
    /// So many pixels.
    Pixels(f64),
}

/// The strongest of each change; magnitudes rise to it in equal steps from nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    shear: f64,
    translate: Reach,
    degrees: f64,
    /// What is added to, or taken from, a factor of 1.
    factor: f64,
    /// Bits at the weakest and what the strongest takes of them.
    bits: [f32; 2],
}

impl Space {
    /// Of `AutoAugment` and `RandAugment`.
    pub const AUTO: Self = Self {
        shear: 0.3,
        translate: Reach::Share(150.0 / 331.0),
        degrees: 30.0,
        factor: 0.9,
        bits: [8.0, 4.0],
    };

    /// Of `TrivialAugmentWide`.
    pub const WIDE: Self = Self {
        shear: 0.99,
        translate: Reach::Pixels(32.0),
        degrees: 135.0,
        factor: 0.99,
        bits: [8.0, 6.0],
    };

    /// Of `AugMix`.
    pub const AUG_MIX: Self =
        Self { translate: Reach::Share(1.0 / 3.0), bits: [4.0, 4.0], ..Self::AUTO };

    /// Magnitude number `bin` of `bins`, 2 or more, for a picture of `(height, width)` pixels; 0 for changes that have none.
    #[must_use]
    pub fn magnitude(&self, choice: Choice, bin: usize, bins: usize, size: [usize; 2]) -> f64 {
        let rising = |to: f64| steps(0.0, to, bin, bins);
        let reach = |side: usize| match self.translate {
            Reach::Share(share) => share * side as f64,
            Reach::Pixels(pixels) => pixels,
        };
        match choice {
            Choice::ShearX | Choice::ShearY => rising(self.shear),
            Choice::TranslateX => rising(reach(size[1])),
            Choice::TranslateY => rising(reach(size[0])),
            Choice::Rotate => rising(self.degrees),
            Choice::Brightness | Choice::Color | Choice::Contrast | Choice::Sharpness => {
                rising(self.factor)
            }
            Choice::Posterize => {
                let [most, taken] = self.bits;
                let step = (bins.max(2) - 1) as f32 / taken;
                f64::from((most - bin as f32 / step).round_ties_even())
            }
            Choice::Solarize => steps(1.0, 0.0, bin, bins),
            Choice::Identity | Choice::AutoContrast | Choice::Equalize | Choice::Invert => 0.0,
        }
    }
}

/// Number `i` of `n` numbers from `from` to `to`, in equal steps: `torch.linspace` in `f32`, which counts its second half from the end and
/// rounds once.
#[expect(clippy::cast_possible_truncation, reason = "as torchvision's tables are")]
fn steps(from: f64, to: f64, i: usize, n: usize) -> f64 {
    let (from, to, n) = (from as f32, to as f32, n.max(2));
    let step = (to - from) / (n - 1) as f32;
    f64::from(if i < n / 2 {
        step.mul_add(i as f32, from)
    } else {
        (-step).mul_add((n - 1).saturating_sub(i) as f32, to)
    })
}
