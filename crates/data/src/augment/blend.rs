//! Two bytes mixed by a factor, beyond both of them too.
//!
//! Above: `augment::{color, filter}`. Below: nothing. Not here: mixing pictures of a batch (`mix`).
//! Source: Pillow 13 `src/libImaging/Blend.c`: `f32`, cut to whole numbers.

use crate::error::{Error, Result};

/// A factor as Pillow has it.
#[expect(clippy::cast_possible_truncation, reason = "as Pillow rounds it")]
pub(super) fn is_factor(setting: &'static str, factor: f64) -> Result<f32> {
    if factor.is_finite() && factor >= 0.0 {
        return Ok(factor as f32);
    }
    Err(Error::Setting { setting, got: factor.to_string(), expected: "0 or more" })
}

/// `from + factor * (to - from)`, cut to a byte: `from` for a factor of 0, `to` for 1.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
pub(super) fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let value = f32::from(from) + factor * (f32::from(to) - f32::from(from));
    value.clamp(0.0, 255.0) as u8
}
