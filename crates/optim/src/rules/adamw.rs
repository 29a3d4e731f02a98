//! Adam with decoupled weight decay.
//!
//! Above: `rules`. Below: `rule`. Not here: coupled decay (`adam`), learning-rate schedules (`schedule`).
//! Source: Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>; `torch.optim.AdamW`, PyTorch 2.x.

use taper_kernels::Real;

use super::{MOMENTS, check_betas, check_eps};
use crate::error::Result;
use crate::rule::{
    Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, correction, round,
};

/// Settings of `AdamW`; the defaults are PyTorch's.
///
/// `p *= 1 − lr·weight_decay`, `m += (1 − β₁)(g − m)`, `v = β₂·v + (1 − β₂)·g²`, and
/// `p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Decay rates of the first and second moment, each in `[0, 1)`. Default `(0.9, 0.999)`.
    pub betas: (f64, f64),
    /// Added to the root of the second moment, outside the root, above 0. Default 1e-8.
    pub eps: f64,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

impl Rule for AdamW {
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

impl Formula for AdamW {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let shrink = 1.0 - step.lr * step.weight_decay;
        adapt(slices, Factors::new(self.betas, self.eps, step, shrink));
        NO_SUMS
    }
}

/// What one step of moments multiplies by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<T> {
    shrink: T,
    take1: T,
    keep2: T,
    take2: T,
    /// Times the root of the second moment's correction.
    eps: T,
    /// Likewise.
    lr: T,
}

impl<T: Real> Factors<T> {
    /// `shrink` multiplies the parameter.
    pub(super) fn new(
        (beta1, beta2): (f64, f64),
        eps: f64,
        step: &Step<'_>,
        shrink: f64,
    ) -> Factors<T> {
        let rescale = correction(beta2, step.step).sqrt();
        Factors {
            shrink: round(shrink),
            take1: round(1.0 - beta1),
            keep2: round(beta2),
            take2: round(1.0 - beta2),
            eps: round(eps * rescale),
            lr: round(step.lr / correction(beta1, step.step) * rescale),
        }
    }
}

/// Both moments and the step along them.
#[inline(always)]
fn adapt<T: Real>(slices: Slices<'_, T>, factors: Factors<T>) {
    let Slices { param, grad, slots: [first, second] } = slices else { return };
    adapt_each::<T, false>(param, grad, first, second, (T::default(), factors));
}

/// The same of a gradient with the decay in it.
#[inline(always)]
pub(super) fn adapt_coupled<T: Real>(slices: Slices<'_, T>, decay: T, factors: Factors<T>) {
    let Slices { param, grad, slots: [first, second] } = slices else { return };
    adapt_each::<T, true>(param, grad, first, second, (decay, factors));
}

/// Slices as arguments of their own, for the compiler to know that they do not overlap.
#[inline(always)]
fn adapt_each<T: Real, const COUPLED: bool>(
    param: &mut [T],
    grad: &[T],
    first: &mut [T],
    second: &mut [T],
    (decay, factors): (T, Factors<T>),
) {
    let Factors { shrink, take1, keep2, take2, eps, lr } = factors;
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(first).zip(second) {
        let g = if COUPLED { g + decay * *p } else { g };
        *m += take1 * (g - *m);
        *v = keep2 * *v + take2 * g * g;
        // One division less than `lr·m / (√v / rescale + eps)`, the same number.
        *p = shrink * *p - lr * *m / (v.sqrt() + eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::{Twin, follows_its_twin, steps};

    /// The paper's algorithm 2, one element at a time, in f64.
    fn twin(rule: AdamW) -> impl Fn(Twin, &mut [f64]) -> f64 {
        move |t, slots| {
            let [m, v] = slots else { return f64::NAN };
            let (beta1, beta2) = rule.betas;
            *m = beta1 * *m + (1.0 - beta1) * t.grad;
            *v = beta2 * *v + (1.0 - beta2) * t.grad * t.grad;
            let m_hat = *m / (1.0 - beta1.powi(t.step));
            let v_hat = *v / (1.0 - beta2.powi(t.step));
            t.param - t.lr * (m_hat / (v_hat.sqrt() + rule.eps) + t.weight_decay * t.param)
        }
    }

    #[test]
    fn the_loop_follows_its_scalar_twin() {
        for betas in [(0.9, 0.999), (0.5, 0.9)] {
            let rule = AdamW { betas, eps: 1e-8 };
            follows_its_twin(&rule, 0.1, twin(rule));
        }
    }

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        let (params, _) = steps(&AdamW::default(), (0.25, 0.0), &[1.0, 1.0], &[&[100.0, -0.01]]);
        let [low, high] = params[0][..] else { panic!() };
        assert!((low - 0.75).abs() < 1e-6 && (high - 1.25).abs() < 1e-6, "{params:?}");
    }
}
