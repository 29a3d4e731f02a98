//! Single changes whose parameters are drawn, with torchvision's distributions.
//!
//! Above: `augment`. Below: `augment::random::{color_jitter, affine, perspective, blur, erasing, sometimes}`. Not here: random choices among several
//! changes (`augment::policy`).
//! Each has `draw`, which says what it does to a picture of a size without doing it. Order and number of draws are fixed: a run's bits depend on
//! them.
//! Source: torchvision 0.26 `transforms.v2`, `make_params` of the class of the same name.

mod affine;
mod blur;
mod color_jitter;
mod erasing;
mod perspective;
mod sometimes;

pub use affine::{RandomAffine, RandomRotation};
pub use blur::RandomGaussianBlur;
pub use color_jitter::ColorJitter;
pub use erasing::{Cutout, RandomErasing};
pub use perspective::RandomPerspective;
pub use sometimes::Sometimes;

use crate::error::{Error, Result};

/// Refuses what is no probability.
pub(super) fn is_probability(setting: &'static str, p: f64) -> Result<f64> {
    match (0.0..=1.0).contains(&p) {
        true => Ok(p),
        false => Err(Error::Setting { setting, got: p.to_string(), expected: "0 to 1" }),
    }
}

/// Refuses what is no range within bounds.
pub(super) fn is_range(
    setting: &'static str,
    range: [f64; 2],
    [low, high]: [f64; 2],
    expected: &'static str,
) -> Result<[f64; 2]> {
    if low <= range[0] && range[0] <= range[1] && range[1] <= high && range[1].is_finite() {
        return Ok(range);
    }
    Err(Error::Setting { setting, got: format!("{} to {}", range[0], range[1]), expected })
}

#[cfg(test)]
mod tests;
