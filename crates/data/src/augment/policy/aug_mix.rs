//! `AugMix`: a picture mixed with three versions of itself.
//!
//! Above: `augment::policy`. Below: `augment::policy::space`. Not here: mixing different pictures (`mix`).
//! Source: Hendrycks et al. 2020, <https://arxiv.org/abs/1912.02781>; torchvision 0.26 `transforms.v2.AugMix`, whose changes here are those of
//! PIL images (there the picture becomes a tensor first).

use super::space::{Choice, Space};
use crate::augment::{Augmentation, BLACK, Fill, Operation, Sampling, apply_all};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

/// Chains of one to three changes each, mixed by Dirichlet weights, and the mixture with the picture by a beta weight.
///
/// # Examples
/// ```
/// use taper_data::{augment::AugMix, random::Rng};
/// let drawn = AugMix::default().draw([64, 64], &mut Rng::keyed([0]));
/// assert_eq!(drawn.chains.len(), 3);
/// let weights: f32 = drawn.chains.iter().map(|(weight, _)| weight).sum();
/// assert!((drawn.original + weights - 1.0).abs() < 1e-6);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AugMix {
    severity: usize,
    sampling: Sampling,
    fill: Fill,
}

/// What [`AugMix`] does to one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// The weight of the picture as it is.
    pub original: f32,
    /// The weights of versions of it, and how they are made; with `original` of sum 1.
    pub chains: Vec<(f32, Vec<Operation>)>,
}

impl Default for AugMix {
    /// Severity 3, bilinear sampling, black outside.
    fn default() -> Self {
        Self { severity: 3, sampling: Sampling::Bilinear, fill: BLACK }
    }
}

impl AugMix {
    /// Magnitudes in the table.
    pub const BINS: usize = 10;

    /// Chains that are mixed.
    const WIDTH: usize = 3;

    /// The most changes of a chain; there is one at least.
    const DEPTH: usize = 3;

    /// The parameters of both distributions of weights.
    const ALPHA: f64 = 1.0;

    /// With magnitudes of the first `severity` of 10.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is from 1 to 10.
    pub fn new(severity: usize) -> Result<Self> {
        if !(1..=Self::BINS).contains(&severity) {
            let got = severity.to_string();
            return Err(Error::Setting { setting: "AugMix's severity", got, expected: "1 to 10" });
        }
        Ok(Self { severity, ..Self::default() })
    }

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill, ..self }
    }

    /// What is done to a picture of `(height, width)` pixels. Draws both weights, then, for each chain, how long it is and its changes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "weights, which torchvision has in `f32`")]
    pub fn draw(&self, size: [usize; 2], rng: &mut Rng) -> Mixture {
        let original = rng.beta(Self::ALPHA, Self::ALPHA);
        let weights = rng.dirichlet(Self::ALPHA, Self::WIDTH);
        let chains = weights.into_iter().map(|weight| {
            let depth = 1 + rng.below(Self::DEPTH);
            let chain = (0..depth).map(|_| self.draw_one(size, rng)).collect();
            ((weight * (1.0 - original)) as f32, chain)
        });
        Mixture { original: original as f32, chains: chains.collect() }
    }

    /// One of 13 changes: all but the identity.
    fn draw_one(&self, size: [usize; 2], rng: &mut Rng) -> Operation {
        let choice = Choice::ALL[1 + rng.below(Choice::ALL.len() - 1)];
        let bin = rng.below(self.severity);
        let magnitude = Space::AUG_MIX.magnitude(choice, bin, Self::BINS, size);
        let sign = if choice.is_signed() && rng.happens(0.5) { -1.0 } else { 1.0 };
        choice.operation(sign * magnitude, self.sampling, self.fill)
    }
}

impl Mixture {
    /// Makes the versions and mixes them; samples are cut to whole numbers.
    ///
    /// # Errors
    /// None for what [`AugMix`] draws; otherwise as [`Operation::apply`], and [`Error::Setting`] if the weights' sum is above 1.
    pub fn apply(&self, image: &mut Image) -> Result<()> {
        let total: f32 = self.original + self.chains.iter().map(|(weight, _)| weight).sum::<f32>();
        if !(0.0..=1.0 + 1e-5).contains(&total) {
            let (setting, got) = ("the sum of AugMix's weights", total.to_string());
            return Err(Error::Setting { setting, got, expected: "0 to 1" });
        }
        let mut sums: Vec<f32> =
            image.rgb().iter().map(|&sample| self.original * f32::from(sample)).collect();
        for (weight, chain) in &self.chains {
            let mut version = image.clone();
            apply_all(chain, &mut version)?;
            let samples = sums.iter_mut().zip(version.rgb());
            samples.for_each(|(sum, &sample)| *sum += weight * f32::from(sample));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 255")]
        image.rgb_mut().iter_mut().zip(sums).for_each(|(sample, sum)| *sample = sum as u8);
        Ok(())
    }
}

impl Augmentation for AugMix {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        self.draw([image.height(), image.width()], rng).apply(image)
    }
}
