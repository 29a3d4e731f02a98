//! Adan: Nesterov's momentum of differences of gradients, adapted as in Adam.
//!
//! Above: `rules`. Below: `rule`. Not here: restarts.
//! Source: Xie et al. 2022, <https://arxiv.org/abs/2208.06677>, algorithm 1; timm's `Adan`, whose betas are 1 minus the paper's.

use taper_kernels::Real;

use super::{check_betas, check_eps};
use crate::error::Result;
use crate::rule::{
    Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, correction, round,
};

/// Settings of `Adan`; the defaults are timm's and, for images, the paper's.
///
/// With `d = g − g₋₁`, 0 in the first step: `m += (1 − β₁)(g − m)`, `u = β₂·u + (1 − β₂)·d`, `v = β₃·v + (1 − β₃)(g + β₂·d)²`, and
/// `p = (p − lr · (m / (1 − β₁ᵗ) + β₂·u / (1 − β₂ᵗ)) / (√v / √(1 − β₃ᵗ) + eps)) / (1 + lr·weight_decay)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adan {
    /// Decay rates of the gradient, of its differences and of the square, each in `[0, 1)`. Default `(0.98, 0.92, 0.99)`.
    pub betas: (f64, f64, f64),
    /// Added to the root of the mean square, outside the root, above 0. Default 1e-8.
    pub eps: f64,
}

impl Default for Adan {
    fn default() -> Self {
        Self { betas: (0.98, 0.92, 0.99), eps: 1e-8 }
    }
}

impl Rule for Adan {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        ["exp_avg", "exp_avg_diff", "exp_avg_sq", "neg_pre_grad"].map(Slot::zeros).to_vec()
    }

    fn check(&self) -> Result<()> {
        let (gradient, difference, square) = self.betas;
        check_betas(&[("betas.0", gradient), ("betas.1", difference), ("betas.2", square)])?;
        check_eps(self.eps)
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for Adan {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots: [mean, difference, square, before] } = slices else {
            return NO_SUMS;
        };
        let (beta1, beta2, beta3) = self.betas;
        let take1: T = round(1.0 - beta1);
        let (keep2, take2): (T, T) = (round(beta2), round(1.0 - beta2));
        let (keep3, take3): (T, T) = (round(beta3), round(1.0 - beta3));
        let rescale: T = round(correction(beta3, step.step).sqrt());
        let along_mean: T = round(step.lr / correction(beta1, step.step));
        let along_difference: T = round(step.lr * beta2 / correction(beta2, step.step));
        let (eps, shrink): (T, T) = (round(self.eps), round(1.0 + step.lr * step.weight_decay));
        let is_first = step.step == 1;
        let moments = mean.iter_mut().zip(&mut **difference).zip(&mut **square);
        let cells = param.iter_mut().zip(grad).zip(moments).zip(&mut **before);
        for (((p, &g), ((m, u), v)), b) in cells {
            let d = if is_first { T::default() } else { g + *b };
            *m += take1 * (g - *m);
            *u = keep2 * *u + take2 * d;
            let ahead = g + keep2 * d;
            *v = keep3 * *v + take3 * ahead * ahead;
            let denominator = v.sqrt() / rescale + eps;
            *p = (*p - along_mean * (*m / denominator) - along_difference * (*u / denominator))
                / shrink;
            *b = T::default() - g;
        }
        NO_SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::{Twin, follows_its_twin};

    #[test]
    fn the_loop_follows_its_scalar_twin() {
        let rule = Adan::default();
        follows_its_twin(&rule, 0.1, |t: Twin, slots| {
            let [m, u, v, before] = slots else { return f64::NAN };
            let d = if t.step == 1 { 0.0 } else { t.grad + *before };
            *before = -t.grad;
            *m = 0.98 * *m + 0.02 * t.grad;
            *u = 0.92 * *u + 0.08 * d;
            *v = 0.99 * *v + 0.01 * (t.grad + 0.92 * d).powi(2);
            let [m, u] = [*m / (1.0 - 0.98f64.powi(t.step)), *u / (1.0 - 0.92f64.powi(t.step))];
            let root = (*v / (1.0 - 0.99f64.powi(t.step))).sqrt() + 1e-8;
            (t.param - t.lr * (m + 0.92 * u) / root) / (1.0 + t.lr * t.weight_decay)
        });
    }
}
