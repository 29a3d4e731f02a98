//! How far a classifier's probabilities can be trusted, and which pictures are like those it has seen: measured on held-out pictures.
//!
//! Above: `model`, `file`, `taper-classifier`. Below: `tensor`. Not here: measuring them (`taper-recipes`).
//! It belongs to the weights: passes that change weights drop it.
//! Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", <https://arxiv.org/abs/1706.04599> (temperature). The cosine to
//! the nearest class mean is the simplest of the distances between features, as Lee et al. 2018, <https://arxiv.org/abs/1807.03888>, and
//! Sun et al. 2022, <https://arxiv.org/abs/2204.06507>, use them.

use std::fmt;

use half::f16;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Tensor};

/// What held-out pictures say about a classifier.
///
/// # Examples
/// ```
/// use taper_model::{Confidence, Familiarity};
/// let familiarity = Familiarity::new(&[1.0, 0.0, 0.0, 2.0], 2)?.with_threshold(0.8, 0.95)?;
/// let confidence = Confidence::new(1.5, 150)?.with_familiarity(familiarity);
/// assert_eq!(confidence.temperature(), 1.5);
/// let known = confidence.familiarity().map(|familiarity| [[3.0, 0.1], [1.0, 1.0]].map(|of| familiarity.is_known(&of)));
/// assert_eq!(known, Some([true, false]));
/// # Ok::<(), taper_model::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Confidence {
    temperature: f64,
    images: usize,
    familiarity: Option<Familiarity>,
}

/// Directions of features that pictures of the classes have, and how near to one of them a picture of them is.
#[derive(Debug, Clone, PartialEq)]
pub struct Familiarity {
    /// `(means, width)`, each of length 1, to half precision.
    means: Tensor,
    threshold: f64,
    kept: f64,
}

/// What a file's metadata says of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Card {
    temperature: f64,
    images: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_from: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<f64>,
}

fn refused(what: &'static str, got: &dyn fmt::Display, expected: &'static str) -> Error {
    Error::Confidence { what, got: got.to_string(), expected }
}

impl Confidence {
    /// What logits are divided by before the softmax, fitted on so many held-out pictures.
    ///
    /// # Errors
    /// [`Error::Confidence`] for a temperature that is not from 0.001 to 1000.
    pub fn new(temperature: f64, images: usize) -> Result<Self> {
        match (1e-3..=1e3).contains(&temperature) {
            true => Ok(Self { temperature, images, familiarity: None }),
            false => Err(refused("temperature", &temperature, "from 0.001 to 1000")),
        }
    }

    /// The same with what tells pictures of other things.
    #[must_use]
    pub fn with_familiarity(self, familiarity: Familiarity) -> Self {
        Self { familiarity: Some(familiarity), ..self }
    }

    /// What logits are divided by before the softmax: the likeliest class stays the likeliest.
    #[must_use]
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Held-out pictures that it was fitted on.
    #[must_use]
    pub fn images(&self) -> usize {
        self.images
    }

    /// What tells pictures of other things, if that was measured.
    #[must_use]
    pub fn familiarity(&self) -> Option<&Familiarity> {
        self.familiarity.as_ref()
    }

    pub(crate) fn card(&self) -> Card {
        let familiarity = self.familiarity.as_ref();
        Card {
            temperature: self.temperature,
            images: self.images,
            known_from: familiarity.map(|it| it.threshold),
            kept: familiarity.map(|it| it.kept),
        }
    }

    /// From a file, which may say anything.
    pub(crate) fn read(card: &Card, means: Option<Tensor>) -> Result<Self> {
        let confidence = Self::new(card.temperature, card.images)?;
        match (card.known_from, card.kept, means) {
            (Some(threshold), Some(kept), Some(means)) => {
                let familiarity = Familiarity::read(means)?.with_threshold(threshold, kept)?;
                Ok(confidence.with_familiarity(familiarity))
            }
            (None, None, None) => Ok(confidence),
            _ => {
                let expected = "both a threshold and the means that it is of";
                Err(refused("familiarity", &"incomplete", expected))
            }
        }
    }
}

impl Familiarity {
    /// The directions of the classes' mean features, `(means, width)`; what has no direction is left out. Everything is known to it until
    /// it has a threshold.
    ///
    /// # Errors
    /// [`Error::Confidence`] for numbers that are none, or for no mean.
    pub fn new(means: &[f32], width: usize) -> Result<Self> {
        let expected = "one vector or more, each with a direction";
        if width == 0 || !means.len().is_multiple_of(width) {
            return Err(refused("features", &means.len(), expected));
        }
        let mut data = Vec::with_capacity(means.len());
        for mean in means.chunks_exact(width) {
            let length = dot(mean, mean).sqrt();
            if !length.is_finite() {
                return Err(refused("features", &length, "finite numbers"));
            }
            if length > 0.0 {
                data.extend(mean.iter().map(|&value| unit(value, length)));
            }
        }
        if data.is_empty() {
            return Err(refused("features", &"none", expected));
        }
        let shape = vec![data.len() / width, width];
        Ok(Self { means: Tensor { shape, data }, threshold: f64::NEG_INFINITY, kept: 1.0 })
    }

    /// From a file, which may say anything.
    fn read(means: Tensor) -> Result<Self> {
        let [(1..), width @ (1..)] = means.shape[..] else {
            return Err(refused("shape", &format!("{:?}", means.shape), "(means, features)"));
        };
        let lengths = means.data.chunks_exact(width).map(|mean| dot(mean, mean).sqrt());
        match lengths.into_iter().find(|length| !(0.99..1.01).contains(length)) {
            Some(length) => Err(refused("length of a mean", &length, "1")),
            None => Ok(Self { means, threshold: f64::NEG_INFINITY, kept: 1.0 }),
        }
    }

    /// The same where what scores below `threshold` is unknown, which keeps the share `kept` of held-out pictures.
    ///
    /// # Errors
    /// [`Error::Confidence`] for what is no cosine or no share.
    pub fn with_threshold(self, threshold: f64, kept: f64) -> Result<Self> {
        if !(-1.0..=1.0).contains(&threshold) {
            return Err(refused("threshold", &threshold, "from -1 to 1"));
        }
        if !(0.0..=1.0).contains(&kept) {
            return Err(refused("kept", &kept, "from 0 to 1"));
        }
        Ok(Self { threshold, kept, ..self })
    }

    /// The largest cosine between a picture's features (`pre_logits`) and a class's mean, from -1 to 1; -1 for other features.
    #[must_use]
    pub fn score(&self, features: &[f32]) -> f64 {
        let length = dot(features, features).sqrt();
        if features.len() != self.width() || !(length > 0.0 && length.is_finite()) {
            return -1.0;
        }
        let means = self.means.data.chunks_exact(self.width());
        let largest = means.map(|mean| dot(mean, features)).fold(f64::NEG_INFINITY, f64::max);
        (largest / length).clamp(-1.0, 1.0)
    }

    /// Whether a picture with these features is like those that the classes were learned from.
    #[must_use]
    pub fn is_known(&self, features: &[f32]) -> bool {
        self.score(features) >= self.threshold
    }

    /// From which score on a picture is known.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The share of held-out pictures that the threshold keeps.
    #[must_use]
    pub fn kept(&self) -> f64 {
        self.kept
    }

    /// Numbers of a picture.
    #[must_use]
    pub fn width(&self) -> usize {
        self.means.shape.last().copied().unwrap_or_default()
    }

    pub(crate) fn means(&self) -> &Tensor {
        &self.means
    }
}

/// A coordinate of a vector of length 1, as a file keeps it.
fn unit(value: f32, length: f64) -> f32 {
    f16::from_f64(f64::from(value) / length).to_f32()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for temperature in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            assert!(Confidence::new(temperature, 1).is_err(), "{temperature}");
        }
        let refused = |means: &[f32], width| Familiarity::new(means, width).is_err();
        assert!(refused(&[], 2) && refused(&[1.0; 3], 2) && refused(&[1.0], 0));
        assert!(refused(&[f32::NAN, 1.0], 2) && refused(&[f32::INFINITY, 1.0], 2));
        assert!(refused(&[0.0; 4], 2), "no direction");
        let known = Familiarity::new(&[1.0, 0.0, 0.0, 0.0], 2).unwrap();
        assert_eq!(known.means().shape, [1, 2]);
        assert!(known.clone().with_threshold(f64::NAN, 0.95).is_err());
        assert!(known.with_threshold(0.5, 1.5).is_err());
    }

    #[test]
    fn a_score_is_the_cosine_to_the_nearest_mean_and_other_features_are_unknown() {
        let known = Familiarity::new(&[4.0, 0.0, 0.0, -1.0], 2).unwrap();
        let known = known.with_threshold(0.9, 0.95).unwrap();
        assert!((known.score(&[0.0, -3.0]) - 1.0).abs() < 1e-6);
        assert!((known.score(&[3.0, 4.0]) - 0.6).abs() < 1e-3);
        assert!(known.is_known(&[9.0, 1.0]) && !known.is_known(&[1.0, 1.0]));
        for strange in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0]] {
            assert!(!known.is_known(strange), "{strange:?}");
        }
    }
}
