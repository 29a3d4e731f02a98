//! Adam: steps divided by the root of the mean square of gradients, with coupled weight decay.
//!
//! Above: `rules`. Below: `rules::adamw`, `rule`. Not here: decoupled decay (`adamw`).
//! Source: Kingma and Ba 2015, <https://arxiv.org/abs/1412.6980>; `torch.optim.Adam`, PyTorch 2.x.

use taper_kernels::Real;

use super::adamw::{Factors, adapt_coupled};
use super::{MOMENTS, check_betas, check_eps};
use crate::error::Result;
use crate::rule::{Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, round};

/// Settings of `Adam`; the defaults are PyTorch's.
///
/// `g = grad + weight_decay·p`, `m += (1 − β₁)(g − m)`, `v = β₂·v + (1 − β₂)·g²`, and
/// `p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Decay rates of the first and second moment, each in `[0, 1)`. Default `(0.9, 0.999)`.
    pub betas: (f64, f64),
    /// Added to the root of the second moment, outside the root, above 0. Default 1e-8.
    pub eps: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl Rule for Adam {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        MOMENTS.to_vec()
    }

    fn check(&self) -> Result<()> {
        check_betas(&[("betas.0", self.betas.0), ("betas.1", self.betas.1)])?;
        check_eps(self.eps)
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for Adam {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let factors = Factors::new(self.betas, self.eps, step, 1.0);
        adapt_coupled(slices, round(step.weight_decay), factors);
        NO_SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::{Twin, follows_its_twin};

    #[test]
    fn the_loop_follows_its_scalar_twin() {
        let rule = Adam { betas: (0.8, 0.97), eps: 1e-6 };
        follows_its_twin(&rule, 0.1, |t: Twin, slots| {
            let [m, v] = slots else { return f64::NAN };
            let g = t.grad + t.weight_decay * t.param;
            *m = 0.8 * *m + 0.2 * g;
            *v = 0.97 * *v + 0.03 * g * g;
            let (m_hat, v_hat) =
                (*m / (1.0 - 0.8f64.powi(t.step)), *v / (1.0 - 0.97f64.powi(t.step)));
            t.param - t.lr * m_hat / (v_hat.sqrt() + 1e-6)
        });
    }
}
