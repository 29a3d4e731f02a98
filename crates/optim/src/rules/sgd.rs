//! Stochastic gradient descent with momentum, Nesterov's variant, dampening and coupled weight decay.
//!
//! Above: `rules`. Below: `rule`. Not here: learning-rate schedules (`schedule`).
//! Source: `torch.optim.SGD`, PyTorch 2.x; Sutskever et al. 2013, <https://proceedings.mlr.press/v28/sutskever13.html>.

use taper_kernels::Real;

use super::check_momentum;
use crate::error::{Error, Result, check};
use crate::rule::{Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, round};

/// Settings of stochastic gradient descent; the defaults are PyTorch's.
///
/// `g = grad + weight_decay·p`, `b = momentum·b + (1 − dampening)·g` (at the first step `b = g`), and
/// `p −= lr·b`, or with Nesterov `p −= lr·(g + momentum·b)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sgd {
    /// Weight of the old direction, in `[0, 1)`. Default 0: no momentum, and no state.
    pub momentum: f64,
    /// Looks one step ahead; needs a momentum above 0 and no dampening. Default false.
    pub nesterov: bool,
    /// Reduction of the new gradient in the momentum buffer, in `[0, 1]`. Default 0.
    pub dampening: f64,
}

impl Rule for Sgd {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        if self.momentum > 0.0 { vec![Slot::zeros("momentum_buffer")] } else { vec![] }
    }

    fn check(&self) -> Result<()> {
        check_momentum(self.momentum)?;
        check("dampening", self.dampening, 0.0..1.0 + f64::EPSILON, "a number from 0 to 1")?;
        if self.nesterov && (self.momentum <= 0.0 || self.dampening > 0.0) {
            return Err(Error::Nesterov { momentum: self.momentum, dampening: self.dampening });
        }
        Ok(())
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for Sgd {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots } = slices;
        let (lr, decay) = (round(step.lr), round(step.weight_decay));
        match slots {
            [buffer, ..] => {
                let is_first = step.step == 1;
                let factors = Factors {
                    lr,
                    decay,
                    keep: round(if is_first { 0.0 } else { self.momentum }),
                    take: round(if is_first { 1.0 } else { 1.0 - self.dampening }),
                    ahead: self.nesterov.then(|| round(self.momentum)),
                };
                with_momentum(param, grad, buffer, factors);
            }
            [] => plain(param, grad, lr, decay),
        }
        NO_SUMS
    }
}

#[inline(always)]
fn plain<T: Real>(param: &mut [T], grad: &[T], lr: T, decay: T) {
    for (p, &g) in param.iter_mut().zip(grad) {
        *p = *p - lr * (g + decay * *p);
    }
}

/// What one step multiplies by.
#[derive(Debug, Clone, Copy)]
struct Factors<T> {
    lr: T,
    decay: T,
    /// Weight of the old buffer.
    keep: T,
    /// Weight of the new gradient.
    take: T,
    /// Nesterov's weight of the new buffer.
    ahead: Option<T>,
}

#[inline(always)]
fn with_momentum<T: Real>(param: &mut [T], grad: &[T], buffer: &mut [T], factors: Factors<T>) {
    let Factors { lr, decay, keep, take, ahead } = factors;
    let cells = param.iter_mut().zip(grad).zip(buffer);
    match ahead {
        None => cells.for_each(|((p, &g), b)| {
            let g = g + decay * *p;
            *b = keep * *b + take * g;
            *p = *p - lr * *b;
        }),
        Some(ahead) => cells.for_each(|((p, &g), b)| {
            let g = g + decay * *p;
            *b = keep * *b + take * g;
            *p = *p - lr * (g + ahead * *b);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::{Twin, follows_its_twin, steps};

    /// PyTorch's formula, one element at a time, in f64.
    fn twin(rule: Sgd) -> impl Fn(Twin, &mut [f64]) -> f64 {
        move |t, slots| {
            let g = t.grad + t.weight_decay * t.param;
            let [buffer] = slots else { return t.param - t.lr * g };
            *buffer =
                if t.step == 1 { g } else { rule.momentum * *buffer + (1.0 - rule.dampening) * g };
            t.param - t.lr * if rule.nesterov { g + rule.momentum * *buffer } else { *buffer }
        }
    }

    #[test]
    fn the_loop_follows_its_scalar_twin() {
        for momentum in [0.0, 0.3, 0.9] {
            let nesterov = momentum > 0.5;
            let dampening = if momentum > 0.0 && !nesterov { 0.3 } else { 0.0 };
            let rule = Sgd { momentum, nesterov, dampening };
            follows_its_twin(&rule, 0.05, twin(rule));
        }
    }

    #[test]
    fn the_momentum_buffer_starts_as_the_first_gradient() {
        let rule = Sgd { momentum: 0.5, dampening: 0.5, nesterov: false };
        let (params, slots) = steps(&rule, (1.0, 0.0), &[1.0], &[&[2.0], &[2.0]]);
        // Not dampened, then 0.5·2 + 0.5·2.
        assert_eq!(params, [[-1.0], [-3.0]]);
        assert_eq!(slots, [[2.0]]);
    }

    #[test]
    fn nesterov_without_momentum_is_refused() {
        let refused = Sgd { momentum: 0.0, nesterov: true, dampening: 0.0 }.check();
        assert!(matches!(refused, Err(Error::Nesterov { .. })));
        let refused = Sgd { momentum: f64::NAN, ..Sgd::default() }.check();
        assert!(matches!(refused, Err(Error::Setting { name: "momentum", .. })));
    }
}
