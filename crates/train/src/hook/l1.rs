//! An L1 penalty on parameters: their signs, times a factor, are added to their gradients.
//!
//! Above: `hook`. Below: candle. Not here: which parameters (`recipes`), weight decay (`optim`).
//! Source: network slimming, Liu et al. 2017, <https://arxiv.org/abs/1708.06519>, on the scales of batch norms.

use std::collections::BTreeSet;

use candle_core::backprop::GradStore;
use taper_layers::Network;

use super::StepHook;
use crate::error::{Error, Result, at};

/// Pulls parameters towards zero: `gradient += lambda · sign(parameter)`, the subgradient of `lambda · Σ |parameter|`, 0 at 0.
///
/// The loss that is reported is without the penalty. Clipping sees the sum.
///
/// # Examples
/// ```
/// use taper_train::{L1Penalty, StepHook};
/// let penalty = L1Penalty::new(1e-4, ["bn1.weight".to_owned()])?; // for `Fit::hooks`
/// assert_eq!(penalty.describe(), "an L1 penalty of 0.0001 on 1 tensors");
/// assert!(L1Penalty::new(-1.0, []).is_err());
/// # Ok::<(), taper_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct L1Penalty {
    lambda: f64,
    params: BTreeSet<String>,
}

impl L1Penalty {
    /// A penalty on the parameters of these names; those that are frozen or unknown have no gradient and are passed over.
    ///
    /// # Errors
    /// [`Error::Setting`] if `lambda` is not a number from 0.
    pub fn new(lambda: f64, params: impl IntoIterator<Item = String>) -> Result<Self> {
        if !(lambda.is_finite() && lambda >= 0.0) {
            let (name, got) = ("lambda", lambda.to_string());
            return Err(Error::Setting { name, got, expected: "0 or more" });
        }
        Ok(Self { lambda, params: params.into_iter().collect() })
    }
}

impl StepHook for L1Penalty {
    fn describe(&self) -> String {
        format!("an L1 penalty of {} on {} tensors", self.lambda, self.params.len())
    }

    fn on_gradients(
        &mut self,
        _step: u64,
        network: &Network,
        gradients: &mut GradStore,
    ) -> Result<()> {
        let penalized = network.params().iter().filter(|param| self.params.contains(&param.name));
        for param in penalized {
            let Some(gradient) = gradients.get(&param.var) else { continue };
            let sum = param.var.as_detached_tensor().sign();
            let sum = sum.and_then(|sign| (sign * self.lambda)? + gradient);
            gradients.insert(&param.var, sum.map_err(at("the L1 penalty"))?);
        }
        Ok(())
    }
}
