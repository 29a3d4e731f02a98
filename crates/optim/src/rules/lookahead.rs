//! Lookahead: after every few steps of another rule, back to a point between where they began and where they came to.
//!
//! Above: `rules`. Below: `rule`. Not here: averages that only an evaluation sees (`train::average`).
//! Source: Zhang et al. 2019, <https://arxiv.org/abs/1907.08610>, algorithm 1; timm's `Lookahead`, whose slow weights begin after the first
//! `every` steps unless it is told otherwise.

use taper_kernels::Real;

use crate::error::{Result, check};
use crate::rule::{
    Begins, Cells, NO_SUMS, ParamInfo, Passes, Rule, Slices, Slot, Step, Sums, as_f64, round,
};

/// Another rule with slow weights: after every `every` steps, `slow += alpha·(p − slow)` and `p = slow`. The slow weights begin as the
/// parameters.
///
/// # Examples
/// ```
/// use taper_optim::{AdamW, Lookahead};
/// let rule = Lookahead { every: 6, ..Lookahead::of(AdamW::default()) };
/// assert_eq!(rule.alpha, 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lookahead<R> {
    /// The rule of the steps.
    pub rule: R,
    /// How far the slow weights go, in `(0, 1]`. Default 0.5.
    pub alpha: f64,
    /// Steps between two moves of the slow weights, 1 or more. Default 6.
    pub every: u64,
}

impl<R> Lookahead<R> {
    /// The defaults of the paper around a rule.
    pub fn of(rule: R) -> Self {
        Self { rule, alpha: 0.5, every: 6 }
    }
}

impl<R: Rule> Rule for Lookahead<R> {
    fn slots(&self, param: &ParamInfo<'_>) -> Vec<Slot> {
        let slow = Slot { name: "lookahead_slow_buff", begins: Begins::Parameter };
        self.rule.slots(param).into_iter().chain([slow]).collect()
    }

    fn numbers(&self) -> &'static [&'static str] {
        self.rule.numbers()
    }

    fn check(&self) -> Result<()> {
        let within = f64::MIN_POSITIVE..1.0 + f64::EPSILON;
        check("alpha", self.alpha, within, "a number above 0 and at most 1")?;
        check("every", as_f64(self.every), 1.0..f64::INFINITY, "1 or more")?;
        self.rule.check()
    }

    fn passes(&self, param: &ParamInfo<'_>, weight_decay: f64) -> Passes {
        self.rule.passes(param, weight_decay)
    }

    fn needs_grad_norm(&self) -> bool {
        self.rule.needs_grad_norm()
    }

    fn advance(&self, step: u64, numbers: &mut [f64]) {
        self.rule.advance(step, numbers);
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        match cells {
            Cells::F32(Slices { param, grad, slots }) => {
                let Some((slow, slots)) = slots.split_last_mut() else { return NO_SUMS };
                let mut slots: Vec<&mut [f32]> = slots.iter_mut().map(|slot| &mut **slot).collect();
                let inner = Slices { param: &mut *param, grad, slots: &mut slots };
                let sums = self.rule.update(step, Cells::F32(inner));
                self.blend(step, param, slow);
                sums
            }
            Cells::F64(Slices { param, grad, slots }) => {
                let Some((slow, slots)) = slots.split_last_mut() else { return NO_SUMS };
                let mut slots: Vec<&mut [f64]> = slots.iter_mut().map(|slot| &mut **slot).collect();
                let inner = Slices { param: &mut *param, grad, slots: &mut slots };
                let sums = self.rule.update(step, Cells::F64(inner));
                self.blend(step, param, slow);
                sums
            }
        }
    }
}

impl<R: Rule> Lookahead<R> {
    fn moves_slow(&self, step: &Step<'_>) -> bool {
        let passes = self.rule.passes(&step.param, step.weight_decay).count;
        step.pass + 1 == passes && step.step.is_multiple_of(self.every.max(1))
    }

    fn blend<T: Real>(&self, step: &Step<'_>, param: &mut [T], slow: &mut [T]) {
        if !self.moves_slow(step) {
            return;
        }
        let alpha: T = round(self.alpha);
        for (p, s) in param.iter_mut().zip(slow) {
            *s += alpha * (*p - *s);
            *p = *s;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sgd;
    use crate::rules::tests::steps;

    #[test]
    fn every_second_step_ends_half_way() {
        let rule = Lookahead { every: 2, ..Lookahead::of(Sgd::default()) };
        let grads: [&[f32]; 4] = [&[1.0], &[1.0], &[-1.0], &[-3.0]];
        let (params, slots) = steps(&rule, (1.0, 0.0), &[8.0], &grads);
        // 8 → 7 → 6 and back to 7, then 8 → 11 and back to 9.
        assert_eq!(params, [[7.0], [7.0], [8.0], [9.0]]);
        assert_eq!(slots, [[9.0]]);
        assert!(Lookahead { every: 0, ..rule }.check().is_err());
        assert!(Lookahead { alpha: 1.5, ..rule }.check().is_err());
    }
}
