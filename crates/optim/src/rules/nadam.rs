//! Adam with Nesterov's momentum.
//!
//! Above: `rules`. Below: `rule`. Not here: Adam (`adam`).
//! Source: Dozat 2016, <https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ>; `torch.optim.NAdam`, PyTorch 2.x.

use taper_kernels::Real;

use super::{MOMENTS, check_betas, check_eps};
use crate::error::{Result, check};
use crate::rule::{
    Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, as_f64, correction, round,
};

/// Settings of `NAdam`; the defaults are PyTorch's.
///
/// `g = grad + weight_decay·p`, `m += (1 − β₁)(g − m)`, `v = β₂·v + (1 − β₂)·g²`, `μₜ = β₁(1 − 0.96^(t·momentum_decay) / 2)`, and
/// `p −= lr · ((1 − μₜ) / (1 − Π μ₁…μₜ) · g + μₜ₊₁ / (1 − Π μ₁…μₜ₊₁) · m) / (√(v / (1 − β₂ᵗ)) + eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NAdam {
    /// Decay rates of the first and second moment, each in `[0, 1)`. Default `(0.9, 0.999)`.
    pub betas: (f64, f64),
    /// Added to the root of the second moment, outside the root, above 0. Default 1e-8.
    pub eps: f64,
    /// How fast the momentum comes to `β₁`, 0 or more. Default 4e-3.
    pub momentum_decay: f64,
}

impl Default for NAdam {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3 }
    }
}

impl NAdam {
    /// `μₜ`.
    fn momentum_at(&self, step: u64) -> f64 {
        self.betas.0 * (1.0 - 0.5 * 0.96f64.powf(as_f64(step) * self.momentum_decay))
    }
}

impl Rule for NAdam {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        MOMENTS.to_vec()
    }

    fn numbers(&self) -> &'static [&'static str] {
        &["mu_product"]
    }

    fn check(&self) -> Result<()> {
        check_betas(&[("betas.0", self.betas.0), ("betas.1", self.betas.1)])?;
        check("momentum_decay", self.momentum_decay, 0.0..f64::INFINITY, "0 or more")?;
        check_eps(self.eps)
    }

    fn advance(&self, step: u64, numbers: &mut [f64]) {
        numbers.iter_mut().for_each(|product| *product *= self.momentum_at(step));
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for NAdam {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots: [first, second] } = slices else { return NO_SUMS };
        let product = step.numbers.first().copied().unwrap_or(1.0);
        let (now, next) = (self.momentum_at(step.step), self.momentum_at(step.step + 1));
        let (take1, keep2): (T, T) = (round(1.0 - self.betas.0), round(self.betas.1));
        let (take2, eps): (T, T) = (round(1.0 - self.betas.1), round(self.eps));
        let (decay, unbias): (T, T) =
            (round(step.weight_decay), round(correction(self.betas.1, step.step)));
        let along_grad: T = round(step.lr * (1.0 - now) / (1.0 - product));
        let along_mean: T = round(step.lr * next / (1.0 - product * next));
        for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(&mut **first).zip(&mut **second) {
            let g = g + decay * *p;
            *m += take1 * (g - *m);
            *v = keep2 * *v + take2 * g * g;
            *p = *p - (along_grad * g + along_mean * *m) / ((*v / unbias).sqrt() + eps);
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
        let rule = NAdam { momentum_decay: 0.05, ..NAdam::default() };
        follows_its_twin(&rule, 0.1, |t: Twin, slots| {
            let [m, v] = slots else { return f64::NAN };
            let mu = |step: i32| 0.9 * (1.0 - 0.5 * 0.96f64.powf(0.05 * f64::from(step)));
            let product: f64 = (1..=t.step).map(mu).product();
            let g = t.grad + t.weight_decay * t.param;
            *m = 0.9 * *m + 0.1 * g;
            *v = 0.999 * *v + 0.001 * g * g;
            let (now, next) = (mu(t.step), mu(t.step + 1));
            let m_hat = next * *m / (1.0 - product * next) + (1.0 - now) * g / (1.0 - product);
            t.param - t.lr * m_hat / ((*v / (1.0 - 0.999f64.powi(t.step))).sqrt() + 1e-8)
        });
    }
}
