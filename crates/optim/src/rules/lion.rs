//! Lion: every value moves by the same amount, in the direction of the sign of a momentum.
//!
//! Above: `rules`. Below: `rule`. Not here: learning-rate schedules (`schedule`).
//! Source: Chen et al. 2023, <https://arxiv.org/abs/2302.06675>, algorithm 2; timm's `Lion`.

use taper_kernels::Real;

use super::check_betas;
use crate::error::Result;
use crate::rule::{Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, round};

/// Settings of `Lion`; the defaults are the paper's. It wants a rate 3 to 10 times smaller than `AdamW`, and a weight decay as much larger.
///
/// `p *= 1 − lr·weight_decay`, `p −= lr · sign(m + (1 − β₁)(g − m))`, `m += (1 − β₂)(g − m)`; the sign of 0 is 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lion {
    /// Decay rates of the momentum in the step and of the one that is kept, each in `[0, 1)`. Default `(0.9, 0.99)`.
    pub betas: (f64, f64),
}

impl Default for Lion {
    fn default() -> Self {
        Self { betas: (0.9, 0.99) }
    }
}

impl Rule for Lion {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        vec![Slot::zeros("exp_avg")]
    }

    fn check(&self) -> Result<()> {
        check_betas(&[("betas.0", self.betas.0), ("betas.1", self.betas.1)])
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for Lion {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots: [mean] } = slices else { return NO_SUMS };
        let shrink: T = round(1.0 - step.lr * step.weight_decay);
        let (take1, take2): (T, T) = (round(1.0 - self.betas.0), round(1.0 - self.betas.1));
        let (lr, zero): (T, T) = (round(step.lr), T::default());
        for ((p, &g), m) in param.iter_mut().zip(grad).zip(&mut **mean) {
            let direction = *m + take1 * (g - *m);
            // Neither is 0, which stays, or a NaN, which shows.
            let rest = lr * direction;
            let moved = if direction < zero { zero - lr } else { rest };
            let moved = if direction > zero { lr } else { moved };
            *p = shrink * *p - moved;
            *m += take2 * (g - *m);
        }
        NO_SUMS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::{Twin, follows_its_twin, steps};

    #[test]
    fn the_loop_follows_its_scalar_twin() {
        let rule = Lion { betas: (0.9, 0.97) };
        follows_its_twin(&rule, 0.1, |t: Twin, slots| {
            let direction = 0.9 * slots[0] + 0.1 * t.grad;
            slots[0] = 0.97 * slots[0] + 0.03 * t.grad;
            t.param - t.lr * (direction.signum() + t.weight_decay * t.param)
        });
    }

    #[test]
    fn nothing_moves_where_there_is_no_direction_and_a_nan_shows() {
        let grads: [&[f32]; 1] = [&[0.0, 3.0, f32::NAN]];
        let (params, _) = steps(&Lion::default(), (0.5, 0.0), &[1.0, 1.0, 1.0], &grads);
        assert_eq!(params[0][..2], [1.0, 0.5]);
        assert!(params[0][2].is_nan());
    }
}
