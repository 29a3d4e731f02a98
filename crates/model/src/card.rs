//! What a model file says beside graph and weights: preprocessing and provenance.
//!
//! Above: `model`, the zoo's records. Below: nothing. Not here: transforming images (`taper-data`).
//! Preprocessing belongs to the weights, not to the architecture.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How an image becomes the network's input: resized so that the center crop of `input_size` keeps `crop_pct` of it, cropped, scaled
/// to `[0, 1]`, `mean` subtracted, divided by `std`; as timm's `create_transform`. `taper_classifier::eval_transform` does it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// `(h, w)` of the network's input in evaluation.
    pub input_size: [usize; 2],
    /// Mean of red, green, blue in `[0, 1]`.
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue.
    pub std: [f32; 3],
    /// Share of the resized image that the crop keeps of the tighter side, in `(0, 1]`; 0.875 is 224 of 256.
    pub crop_pct: f64,
    /// How images are resized.
    pub interpolation: Interpolation,
}

/// Kernel of an antialiased resize (Pillow's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Triangle.
    Bilinear,
    /// Keys's cubic, a = −0.5.
    Bicubic,
}

impl Preprocess {
    /// ImageNet's statistics, 256 to 224, bilinear: torchvision's first weights.
    #[must_use]
    pub fn imagenet() -> Self {
        Self {
            input_size: [224, 224],
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            crop_pct: 0.875,
            interpolation: Interpolation::Bilinear,
        }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`Error::Preprocess`] names the field.
    pub fn validate(&self) -> Result<()> {
        const LARGEST: usize = 1 << 14;
        let fail = |what, got: String, expected| Err(Error::Preprocess { what, got, expected });
        if self.input_size.iter().any(|size| !(1..=LARGEST).contains(size)) {
            return fail("input size", format!("{:?}", self.input_size), "between 1 and 16384");
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return fail("mean", format!("{:?}", self.mean), "finite");
        }
        if !self.std.iter().all(|std| std.is_finite() && *std > 0.0) {
            return fail("std", format!("{:?}", self.std), "above 0");
        }
        if !(self.crop_pct >= 0.01 && self.crop_pct <= 1.0) {
            return fail("crop_pct", self.crop_pct.to_string(), "between 0.01 and 1");
        }
        Ok(())
    }
}

/// Where weights come from. No clock: equal runs give equal files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Name of the weights they began as, or of the file; `random` for none.
    pub source: String,
    /// Of the published file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Licence of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// How they were trained since, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<String>,
}

impl Provenance {
    /// The same, with one more thing that was done to the weights.
    #[must_use]
    pub fn and(mut self, done: impl fmt::Display) -> Self {
        self.training = Some(match self.training {
            Some(before) => format!("{before}; {done}"),
            None => done.to_string(),
        });
        self
    }
}
