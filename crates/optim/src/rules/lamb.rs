//! LAMB: Adam's direction, as long as the parameter it changes.
//!
//! Above: `rules`. Below: `rule`. Not here: LARS, clipping of gradients for other rules (`clip`).
//! Source: You et al. 2020, <https://arxiv.org/abs/1904.00962>, algorithm 2; timm's `Lamb`, which first divides by the norm of all gradients
//! as NVIDIA's does.

use taper_kernels::Real;

use super::{MOMENTS, check_betas, check_eps};
use crate::error::{Result, check};
use crate::rule::{
    Cells, Formula, NO_SUMS, ParamInfo, Passes, Rule, Slices, Slot, Step, Sums, correction, round,
};

/// Settings of `Lamb`; the defaults are timm's.
///
/// With the norm `n` of all gradients, `g = grad / max(1, n / max_grad_norm)`, `m += (1 − β₁)(g − m)`, `v = β₂·v + (1 − β₂)·g²`,
/// `u = m / (1 − β₁ᵗ) / (√v / √(1 − β₂ᵗ) + eps) + weight_decay·p`, and `p −= lr · ‖p‖ / ‖u‖ · u`. The ratio is 1 where a norm is 0, and for
/// parameters without weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lamb {
    /// Decay rates of the first and second moment, each in `[0, 1)`. Default `(0.9, 0.999)`.
    pub betas: (f64, f64),
    /// Added to the root of the second moment, outside the root, above 0. Default 1e-6.
    pub eps: f64,
    /// Largest norm of all gradients together, above 0; none: not clipped. Default 1.
    pub max_grad_norm: Option<f64>,
    /// Also for parameters without weight decay the step is as long as they are. Default false.
    pub always_adapt: bool,
}

impl Default for Lamb {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), eps: 1e-6, max_grad_norm: Some(1.0), always_adapt: false }
    }
}

impl Rule for Lamb {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        MOMENTS.to_vec()
    }

    fn check(&self) -> Result<()> {
        check_betas(&[("betas.0", self.betas.0), ("betas.1", self.betas.1)])?;
        if let Some(norm) = self.max_grad_norm {
            check("max_grad_norm", norm, f64::MIN_POSITIVE..f64::INFINITY, "a number above 0")?;
        }
        check_eps(self.eps)
    }

    fn passes(&self, _param: &ParamInfo<'_>, weight_decay: f64) -> Passes {
        let adapts = self.always_adapt || weight_decay > 0.0;
        Passes { count: if adapts { 2 } else { 1 }, whole: false }
    }

    fn needs_grad_norm(&self) -> bool {
        self.max_grad_norm.is_some()
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for Lamb {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots: [first, second] } = slices else { return NO_SUMS };
        let (beta1, beta2) = self.betas;
        let clip: T = round(self.max_grad_norm.map_or(1.0, |max| (step.grad_norm / max).max(1.0)));
        let take1: T = round(1.0 - beta1);
        let (keep2, take2): (T, T) = (round(beta2), round(1.0 - beta2));
        let (unbias, eps): (T, T) = (round(correction(beta1, step.step)), round(self.eps));
        let rescale: T = round(correction(beta2, step.step).sqrt());
        let decay: T = round(step.weight_decay);
        let direction = |p: T, m: T, v: T| (m / unbias) / (v.sqrt() / rescale + eps) + decay * p;
        let moments = first.iter_mut().zip(&mut **second);
        if step.pass == 1 {
            let lr: T = round(step.lr * trust(step.sums));
            param.iter_mut().zip(moments).for_each(|(p, (m, v))| {
                *p = *p - lr * direction(*p, *m, *v);
            });
            return NO_SUMS;
        }
        let advance = |m: &mut T, v: &mut T, g: T| {
            let g = g / clip;
            *m += take1 * (g - *m);
            *v = keep2 * *v + take2 * g * g;
        };
        let cells = param.iter_mut().zip(grad).zip(moments);
        if self.passes(&step.param, step.weight_decay).count == 1 {
            let lr: T = round(step.lr);
            cells.for_each(|((p, &g), (m, v))| {
                advance(m, v, g);
                *p = *p - lr * direction(*p, *m, *v);
            });
            return NO_SUMS;
        }
        cells.for_each(|((_, &g), (m, v))| advance(m, v, g));
        let moments = first.chunks(LANES).zip(second.chunks(LANES));
        let mut lanes = [[0.0; LANES]; 2];
        for (p, (m, v)) in param.chunks(LANES).zip(moments) {
            for (lane, ((&p, &m), &v)) in p.iter().zip(m).zip(v).enumerate() {
                let (p, u) = (p.to_f64(), direction(p, m, v).to_f64());
                lanes[0][lane] += p * p;
                lanes[1][lane] += u * u;
            }
        }
        lanes.map(|lanes| lanes.iter().sum())
    }
}

/// Sums that grow side by side, so that none waits for another.
const LANES: usize = 8;

/// The norm of the parameter over that of its direction.
fn trust([param, direction]: Sums) -> f64 {
    if param > 0.0 && direction > 0.0 { (param / direction).sqrt() } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::steps;

    #[test]
    fn a_decayed_parameter_moves_by_its_own_length_times_the_rate() {
        let start = [3.0, -4.0, 0.0, 0.0];
        let grads: [&[f32]; 2] = [&[0.1, 0.2, -0.3, 0.0], &[1.0, 2.0, 3.0, 4.0]];
        let rule = Lamb { max_grad_norm: None, ..Lamb::default() };
        let (params, _) = steps(&rule, (0.01, 1e-9), &start, &grads);
        let distance = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        assert!((distance(&start, &params[0]) - 0.05).abs() < 1e-6, "{params:?}");
        let length = distance(&params[0], &[0.0; 4]);
        assert!((distance(&params[0], &params[1]) - 0.01 * length).abs() < 1e-6, "{params:?}");
        // Without decay it is Adam.
        let (params, _) = steps(&rule, (0.01, 0.0), &start, &grads[..1]);
        assert!((params[0][0] - 2.99).abs() < 1e-6 && (params[0][3]).abs() < 1e-9, "{params:?}");
    }

    #[test]
    fn a_parameter_of_zeros_is_not_stuck() {
        let (params, _) = steps(&Lamb::default(), (0.5, 0.1), &[0.0, 0.0], &[&[1.0, -1.0]]);
        assert!((params[0][0] + 0.5).abs() < 1e-5, "{params:?}");
    }
}
