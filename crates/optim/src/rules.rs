//! The update rules, a file each with its paper's formula.
//!
//! Above: `lib`. Below: `rule`. Not here: who calls them, and with what (`optimizer`), rates over time (`schedule`).

mod adam;
mod adamw;
mod adan;
mod lamb;
mod lion;
mod lookahead;
mod muon;
mod nadam;
mod rmsprop;
mod rmsprop_tf;
mod sgd;

pub use adam::Adam;
pub use adamw::AdamW;
pub use adan::Adan;
pub use lamb::Lamb;
pub use lion::Lion;
pub use lookahead::Lookahead;
pub use muon::{AdjustLr, Muon};
pub use nadam::NAdam;
pub use rmsprop::RmsProp;
pub use rmsprop_tf::RmsPropTf;
pub use sgd::Sgd;

use crate::error::{Result, check};
use crate::rule::Slot;

/// The two moments of Adam and its kin.
const MOMENTS: [Slot; 2] = [Slot::zeros("exp_avg"), Slot::zeros("exp_avg_sq")];

/// Refuses decay rates of moments outside of `[0, 1)`.
fn check_betas(betas: &[(&'static str, f64)]) -> Result<()> {
    betas
        .iter()
        .try_for_each(|&(name, beta)| check(name, beta, 0.0..1.0, "a number from 0 to below 1"))
}

fn check_eps(eps: f64) -> Result<()> {
    check("eps", eps, f64::MIN_POSITIVE..f64::INFINITY, "a number above 0")
}

fn check_momentum(momentum: f64) -> Result<()> {
    check("momentum", momentum, 0.0..1.0, "a number from 0 to below 1")
}

#[cfg(test)]
mod tests;
