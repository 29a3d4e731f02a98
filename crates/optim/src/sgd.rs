//! Stochastic gradient descent with momentum, Nesterov's variant, dampening and coupled weight decay.
//!
//! Above: `optimizer`. Below: `rule`. Not here: learning-rate schedules (`schedule`).
//! Source: `torch.optim.SGD`, PyTorch 2.x; Sutskever et al. 2013, <https://proceedings.mlr.press/v28/sutskever13.html>.

use crate::error::{Error, Result, check};
use crate::rule::{Rule, Scalars, round};

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
    fn slots(&self) -> &'static [&'static str] {
        if self.momentum > 0.0 { &["momentum_buffer"] } else { &[] }
    }

    fn check(&self) -> Result<()> {
        check("momentum", self.momentum, 0.0..1.0, "a number from 0 to below 1")?;
        check("dampening", self.dampening, 0.0..1.0 + f64::EPSILON, "a number from 0 to 1")?;
        if self.nesterov && (self.momentum <= 0.0 || self.dampening > 0.0) {
            return Err(Error::Nesterov { momentum: self.momentum, dampening: self.dampening });
        }
        Ok(())
    }

    fn update(&self, scalars: Scalars, param: &mut [f32], grad: &[f32], slots: &mut [Vec<f32>]) {
        let (lr, decay) = (round(scalars.lr), round(scalars.weight_decay));
        match slots.first_mut() {
            None => plain(param, grad, lr, decay),
            Some(buffer) => {
                let is_first = scalars.step == 1;
                let factors = Factors {
                    lr,
                    decay,
                    keep: if is_first { 0.0 } else { round(self.momentum) },
                    take: if is_first { 1.0 } else { round(1.0 - self.dampening) },
                    ahead: self.nesterov.then(|| round(self.momentum)),
                };
                with_momentum(param, grad, buffer, factors);
            }
        }
    }
}

fn plain(param: &mut [f32], grad: &[f32], lr: f32, decay: f32) {
    for (p, &g) in param.iter_mut().zip(grad) {
        *p -= lr * (g + decay * *p);
    }
}

/// What one step multiplies by.
#[derive(Debug, Clone, Copy)]
struct Factors {
    lr: f32,
    decay: f32,
    /// Weight of the old buffer.
    keep: f32,
    /// Weight of the new gradient.
    take: f32,
    /// Nesterov's weight of the new buffer.
    ahead: Option<f32>,
}

fn with_momentum(param: &mut [f32], grad: &[f32], buffer: &mut [f32], factors: Factors) {
    let Factors { lr, decay, keep, take, ahead } = factors;
    let cells = param.iter_mut().zip(grad).zip(buffer);
    match ahead {
        None => cells.for_each(|((p, &g), b)| {
            let g = g + decay * *p;
            *b = keep * *b + take * g;
            *p -= lr * *b;
        }),
        Some(ahead) => cells.for_each(|((p, &g), b)| {
            let g = g + decay * *p;
            *b = keep * *b + take * g;
            *p -= lr * (g + ahead * *b);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// PyTorch's formula, one element at a time, in f64.
    fn twin(rule: Sgd, s: Scalars, p: f64, grad: f64, buffer: &mut f64) -> f64 {
        let g = grad + s.weight_decay * p;
        if rule.momentum <= 0.0 {
            return p - s.lr * g;
        }
        *buffer =
            if s.step == 1 { g } else { rule.momentum * *buffer + (1.0 - rule.dampening) * g };
        let direction = if rule.nesterov { g + rule.momentum * *buffer } else { *buffer };
        p - s.lr * direction
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn the_loop_follows_its_scalar_twin(
            start in proptest::collection::vec(-2.0f32..2.0, 1..40),
            momentum in prop_oneof![Just(0.0), 0.1f64..0.95],
            decay in 0.0f64..0.1,
            variant in 0..3,
        ) {
            let nesterov = variant == 1 && momentum > 0.0;
            let dampening = if variant == 2 { 0.3 } else { 0.0 };
            let rule = Sgd { momentum, nesterov, dampening };
            prop_assert!(rule.check().is_ok());
            let mut param = start.clone();
            let mut slots = vec![vec![0.0; start.len()]; rule.slots().len()];
            let mut expected: Vec<(f64, f64)> = start.iter().map(|&p| (f64::from(p), 0.0)).collect();
            for step in 1..=5 {
                let scalars = Scalars { lr: 0.1, weight_decay: decay, step };
                let grad: Vec<f32> = param.iter().map(|p| p.sin()).collect();
                rule.update(scalars, &mut param, &grad, &mut slots);
                for ((p, buffer), &g) in expected.iter_mut().zip(&grad) {
                    *p = twin(rule, scalars, *p, f64::from(g), buffer);
                }
            }
            for (&got, (wanted, _)) in param.iter().zip(&expected) {
                prop_assert!((f64::from(got) - wanted).abs() < 2e-6, "{got} {wanted}");
            }
        }
    }

    #[test]
    fn the_momentum_buffer_starts_as_the_first_gradient() {
        let rule = Sgd { momentum: 0.5, dampening: 0.5, nesterov: false };
        let (mut param, mut slots) = (vec![1.0f32], vec![vec![0.0f32]]);
        rule.update(
            Scalars { lr: 1.0, weight_decay: 0.0, step: 1 },
            &mut param,
            &[2.0],
            &mut slots,
        );
        assert_eq!((param[0], slots[0][0]), (-1.0, 2.0)); // not dampened
        rule.update(
            Scalars { lr: 1.0, weight_decay: 0.0, step: 2 },
            &mut param,
            &[2.0],
            &mut slots,
        );
        assert_eq!((param[0], slots[0][0]), (-3.0, 2.0)); // 0.5·2 + 0.5·2
    }

    #[test]
    fn nesterov_without_momentum_is_refused() {
        let refused = Sgd { momentum: 0.0, nesterov: true, dampening: 0.0 }.check();
        assert!(matches!(refused, Err(Error::Nesterov { .. })));
        let refused = Sgd { momentum: f64::NAN, ..Sgd::default() }.check();
        assert!(matches!(refused, Err(Error::Setting { name: "momentum", .. })));
    }
}
