//! How far a classifier's probabilities can be trusted, and which pictures are like those it has seen: measured on held-out pictures.
//!
//! Above: `model`, `file`, `taper-classifier`. Below: `tensor`. Not here: measuring them (`taper-recipes`).
//! It belongs to the weights: passes that change weights drop it.
//! Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", <https://arxiv.org/abs/1706.04599> (temperature). Distances between
//! features tell pictures of other things in Lee et al. 2018, <https://arxiv.org/abs/1807.03888>, and between their directions in Sun et al.
//! 2022, <https://arxiv.org/abs/2204.06507>; what was compared is in docs/data-doctor.md.

use std::fmt;

use half::f16;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Tensor};

/// What held-out pictures say about a classifier.
///
/// # Examples
/// ```
/// use taper_model::{Confidence, Familiarity};
/// let familiarity = Familiarity::new(&[1.0, 0.0, 0.0, 1.0], 2)?.with_threshold(0.8, 0.95)?;
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

/// Where the features of the classes' pictures lie: their means, and the directions in which pictures of one class vary most. A picture that
/// is far from all means in other directions is one of other things.
#[derive(Debug, Clone, PartialEq)]
pub struct Familiarity {
    /// `(means, width)`: of features of length 1, to half precision.
    means: Tensor,
    /// `(directions, width)`: orthogonal, of length 1, to half precision; none if that was not measured.
    directions: Tensor,
    /// Of a picture's features, on average; none if that was not measured.
    length: Option<f64>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    length: Option<f64>,
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
            length: familiarity.and_then(|it| it.length),
        }
    }

    /// From a file, which may say anything.
    pub(crate) fn read(card: &Card, [means, directions]: [Option<Tensor>; 2]) -> Result<Self> {
        let confidence = Self::new(card.temperature, card.images)?;
        match (card.known_from, card.kept, means) {
            (Some(threshold), Some(kept), Some(means)) => {
                let familiarity = Familiarity::read(means, directions)?;
                let familiarity = match card.length {
                    Some(length) => familiarity.with_length(length)?,
                    None => familiarity,
                };
                Ok(confidence.with_familiarity(familiarity.with_threshold(threshold, kept)?))
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
    /// The classes' mean features, `(means, width)`, where a picture's features have length 1; a mean of 0 is left out. Everything is known to
    /// it until it has a threshold.
    ///
    /// # Errors
    /// [`Error::Confidence`] for numbers that are none, or for no mean.
    pub fn new(means: &[f32], width: usize) -> Result<Self> {
        let expected = "one vector or more, longer than 0 and not longer than 1";
        if width == 0 || !means.len().is_multiple_of(width) {
            return Err(refused("features", &means.len(), expected));
        }
        let rows = means.chunks_exact(width).filter(|mean| mean.iter().any(|x| *x != 0.0));
        let data: Vec<f32> = rows.flatten().map(|&x| f16::from_f32(x).to_f32()).collect();
        let shape = vec![data.len() / width, width];
        let directions = Tensor { shape: vec![0, width], data: Vec::new() };
        let means = Tensor { shape, data };
        Self { means, directions, length: None, threshold: f64::NEG_INFINITY, kept: 1.0 }.checked()
    }

    /// The same for more classes, with their mean features as in [`Familiarity::new`].
    ///
    /// # Errors
    /// [`Error::Confidence`] as there.
    pub fn with_means(self, means: &[f32]) -> Result<Self> {
        let more = Self::new(means, self.width())?.means;
        let data = [self.means.data, more.data].concat();
        let means =
            Tensor { shape: vec![self.means.shape[0] + more.shape[0], more.shape[1]], data };
        Self { means, ..self }.checked()
    }

    /// The same with the length of a picture's features on average.
    ///
    /// # Errors
    /// [`Error::Confidence`] for a length that is not positive and finite.
    pub fn with_length(self, length: f64) -> Result<Self> {
        match length > 0.0 && length.is_finite() {
            true => Ok(Self { length: Some(length), ..self }),
            false => Err(refused("length", &length, "positive and finite")),
        }
    }

    /// The mean features of the classes' pictures, where their length is known: the mean of the classes' means, each as long as features are.
    ///
    /// # Examples
    /// ```
    /// use taper_model::Familiarity;
    /// let familiarity = Familiarity::new(&[1.0, 0.0, 0.0, 0.5], 2)?.with_length(8.0)?;
    /// assert_eq!(familiarity.usual_features(), Some(vec![4.0, 2.0]));
    /// # Ok::<(), taper_model::Error>(())
    /// ```
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mean")]
    pub fn usual_features(&self) -> Option<Vec<f32>> {
        let factor = self.length? / self.means.shape[0] as f64;
        let sum = |at: usize| -> f64 {
            let column = self.means.data.iter().skip(at).step_by(self.width());
            column.map(|&x| f64::from(x)).sum()
        };
        Some((0..self.width()).map(|at| (factor * sum(at)) as f32).collect())
    }

    /// The same with directions that do not count, `(directions, width)`: orthogonal to each other and of length 1.
    ///
    /// # Errors
    /// [`Error::Confidence`] for vectors of another length.
    pub fn with_directions(self, directions: &[f32]) -> Result<Self> {
        let width = self.width();
        let data: Vec<f32> = directions.iter().map(|&x| f16::from_f32(x).to_f32()).collect();
        let shape = vec![data.len() / width.max(1), width];
        Self { directions: Tensor { shape, data }, ..self }.checked()
    }

    /// Refuses what no measurement gives; a file may say anything.
    fn checked(self) -> Result<Self> {
        let width = self.width();
        let lengths = |tensor: &Tensor| -> Vec<f64> {
            tensor.data.chunks(width.max(1)).map(|row| dot(row, row).sqrt()).collect()
        };
        for tensor in [&self.means, &self.directions] {
            let is_whole =
                matches!(tensor.shape[..], [n, w] if w == width && n * w == tensor.data.len());
            if !is_whole || width == 0 {
                let got = format!("{:?} of {} numbers", tensor.shape, tensor.data.len());
                return Err(refused("shape", &got, "(means or directions, features)"));
            }
        }
        let means = lengths(&self.means);
        if means.is_empty() {
            return Err(refused("features", &"none", "one mean or more"));
        }
        let is_mean = |length: &f64| *length > 0.0 && *length < 1.01;
        if let Some(length) = means.iter().find(|length| !is_mean(length)) {
            return Err(refused("length of a mean", length, "above 0, up to 1"));
        }
        let is_unit = |length: &f64| (0.99..1.01).contains(length);
        match lengths(&self.directions).iter().find(|length| !is_unit(length)) {
            Some(length) => Err(refused("length of a direction", length, "1")),
            None => Ok(self),
        }
    }

    /// From a file.
    fn read(means: Tensor, directions: Option<Tensor>) -> Result<Self> {
        let width = means.shape.last().copied().unwrap_or_default();
        let none = || Tensor { shape: vec![0, width], data: Vec::new() };
        let directions = directions.unwrap_or_else(none);
        Self { means, directions, length: None, threshold: f64::NEG_INFINITY, kept: 1.0 }.checked()
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

    /// How near a picture's features (`pre_logits`) are to the nearest class: 1 less half the squared distance of their direction to its mean,
    /// where directions in which pictures of one class vary do not count. From -1 to 1; without such directions, and with means of length 1,
    /// it is the cosine. -1 for other features.
    #[must_use]
    pub fn score(&self, features: &[f32]) -> f64 {
        let (width, length) = (self.width(), dot(features, features).sqrt());
        if features.len() != width || !(length > 0.0 && length.is_finite()) {
            return -1.0;
        }
        let along = |vector: &[f32]| -> Vec<f64> {
            self.directions.data.chunks_exact(width).map(|to| dot(to, vector)).collect()
        };
        let own: Vec<f64> = along(features).iter().map(|x| x / length).collect();
        let nearness = |mean: &[f32]| {
            let squared = 1.0 - 2.0 * dot(mean, features) / length + dot(mean, mean);
            let varies: f64 = along(mean).iter().zip(&own).map(|(a, b)| (a - b).powi(2)).sum();
            1.0 - 0.5 * (squared - varies)
        };
        let means = self.means.data.chunks_exact(width);
        means.map(nearness).fold(-1.0, f64::max).min(1.0)
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

    /// Directions in which pictures of one class vary most, `(directions, width)` row by row: orthogonal, and of length 1.
    #[must_use]
    pub fn directions(&self) -> &[f32] {
        &self.directions.data
    }

    /// Means and directions.
    pub(crate) fn tensors(&self) -> [&Tensor; 2] {
        [&self.means, &self.directions]
    }
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
        assert!(refused(&[0.0; 4], 2), "no mean");
        assert!(refused(&[2.0, 0.0], 2), "too long");
        let known = Familiarity::new(&[1.0, 0.0, 0.0, 0.0], 2).unwrap();
        assert_eq!(known.tensors()[0].shape, [1, 2]);
        for directions in [&[2.0, 0.0][..], &[1.0], &[f32::NAN, 0.0]] {
            assert!(known.clone().with_directions(directions).is_err(), "{directions:?}");
        }
        assert!(known.clone().with_threshold(f64::NAN, 0.95).is_err());
        assert!(known.with_threshold(0.5, 1.5).is_err());
    }

    #[test]
    fn usual_features_are_the_mean_of_the_means_at_the_length_of_features() {
        let known = Familiarity::new(&[1.0, 0.0, 0.0, 0.5], 2).unwrap();
        assert_eq!(known.usual_features(), None);
        for length in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(known.clone().with_length(length).is_err(), "{length}");
        }
        let known = known.with_length(8.0).unwrap();
        assert_eq!(known.usual_features(), Some(vec![4.0, 2.0]));
        let three = known.clone().with_means(&[0.5, 1.0]);
        assert!(three.is_err(), "longer than 1");
        let three = known.clone().with_means(&[-1.0, 0.0]).unwrap();
        assert_eq!(three.usual_features(), Some(vec![0.0, 8.0 * 0.5 / 3.0]));
        assert!(three.score(&[-2.0, 0.0]) > 0.99 && known.score(&[-2.0, 0.0]) < 0.5);
    }

    #[test]
    fn a_score_is_the_cosine_to_the_nearest_mean_and_other_features_are_unknown() {
        let known = Familiarity::new(&[1.0, 0.0, 0.0, -1.0], 2).unwrap();
        let known = known.with_threshold(0.9, 0.95).unwrap();
        assert!((known.score(&[0.0, -3.0]) - 1.0).abs() < 1e-6);
        assert!((known.score(&[3.0, 4.0]) - 0.6).abs() < 1e-3);
        assert!(known.is_known(&[9.0, 1.0]) && !known.is_known(&[1.0, 1.0]));
        for strange in [&[1.0][..], &[0.0, 0.0], &[f32::NAN, 1.0]] {
            assert!(!known.is_known(strange), "{strange:?}");
        }
    }

    #[test]
    fn directions_in_which_a_class_varies_do_not_count() {
        let plain = Familiarity::new(&[0.8, 0.0, 0.0], 3).unwrap();
        let varied = plain.clone().with_directions(&[0.0, 1.0, 0.0]).unwrap();
        let scores =
            |known: &Familiarity| [[0.6, 0.8, 0.0], [0.6, 0.0, 0.8]].map(|of| known.score(&of));
        let [along, across] = scores(&varied);
        assert!((along - (1.0 - 0.5 * 0.04)).abs() < 1e-3, "{along}"); // (0.8 - 0.6)² is left
        assert_eq!(across.to_bits(), scores(&plain)[1].to_bits());
        assert!((across - (1.0 - 0.5 * 0.68)).abs() < 1e-3, "{across}");
    }
}
