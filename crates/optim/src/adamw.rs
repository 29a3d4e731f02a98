//! Adam with decoupled weight decay.
//!
//! Above: `optimizer`. Below: `rule`. Not here: learning-rate schedules (`schedule`).
//! Source: Loshchilov and Hutter 2019, <https://arxiv.org/abs/1711.05101>; `torch.optim.AdamW`, PyTorch 2.x.

use crate::error::{Result, check};
use crate::rule::{Rule, Scalars, round};

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
    fn slots(&self) -> &'static [&'static str] {
        &["exp_avg", "exp_avg_sq"]
    }

    fn check(&self) -> Result<()> {
        check("betas.0", self.betas.0, 0.0..1.0, "a number from 0 to below 1")?;
        check("betas.1", self.betas.1, 0.0..1.0, "a number from 0 to below 1")?;
        check("eps", self.eps, f64::MIN_POSITIVE..f64::INFINITY, "a number above 0")
    }

    fn update(&self, scalars: Scalars, param: &mut [f32], grad: &[f32], slots: &mut [Vec<f32>]) {
        let [first, second] = slots else { return };
        let (beta1, beta2) = self.betas;
        let correction = |beta: f64| 1.0 - beta.powf(as_f64(scalars.step));
        let factors = Factors {
            shrink: round(1.0 - scalars.lr * scalars.weight_decay),
            take1: round(1.0 - beta1),
            keep2: round(beta2),
            take2: round(1.0 - beta2),
            rescale: round(correction(beta2).sqrt()),
            eps: round(self.eps),
            lr: round(scalars.lr / correction(beta1)),
        };
        adapt(param, grad, first, second, factors);
    }
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
fn as_f64(step: u64) -> f64 {
    step as f64
}

/// What one step multiplies by.
#[derive(Debug, Clone, Copy)]
struct Factors {
    shrink: f32,
    take1: f32,
    keep2: f32,
    take2: f32,
    rescale: f32,
    eps: f32,
    lr: f32,
}

fn adapt(param: &mut [f32], grad: &[f32], first: &mut [f32], second: &mut [f32], factors: Factors) {
    let Factors { shrink, take1, keep2, take2, rescale, eps, lr } = factors;
    for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(first).zip(second) {
        *m += take1 * (g - *m);
        *v = keep2 * *v + take2 * g * g;
        *p = shrink * *p - lr * (*m / (v.sqrt() / rescale + eps));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The paper's algorithm 2, one element at a time, in f64.
    fn twin(rule: AdamW, s: Scalars, p: f64, g: f64, m: &mut f64, v: &mut f64) -> f64 {
        let (beta1, beta2) = rule.betas;
        *m = beta1 * *m + (1.0 - beta1) * g;
        *v = beta2 * *v + (1.0 - beta2) * g * g;
        let m_hat = *m / (1.0 - beta1.powf(as_f64(s.step)));
        let v_hat = *v / (1.0 - beta2.powf(as_f64(s.step)));
        p - s.lr * (m_hat / (v_hat.sqrt() + rule.eps) + s.weight_decay * p)
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn the_loop_follows_its_scalar_twin(
            start in proptest::collection::vec(-2.0f32..2.0, 1..40),
            beta1 in 0.5f64..0.95,
            beta2 in 0.9f64..0.9999,
            weight_decay in 0.0f64..0.1,
        ) {
            let rule = AdamW { betas: (beta1, beta2), eps: 1e-8 };
            let mut param = start.clone();
            let mut slots = vec![vec![0.0; start.len()]; 2];
            let mut expected: Vec<[f64; 3]> = start.iter().map(|&p| [f64::from(p), 0.0, 0.0]).collect();
            for step in 1..=5 {
                let scalars = Scalars { lr: 1e-2, weight_decay, step };
                let grad: Vec<f32> = param.iter().map(|p| p + 0.1).collect();
                rule.update(scalars, &mut param, &grad, &mut slots);
                for ([p, m, v], &g) in expected.iter_mut().zip(&grad) {
                    *p = twin(rule, scalars, *p, f64::from(g), m, v);
                }
            }
            for (&got, [wanted, ..]) in param.iter().zip(&expected) {
                prop_assert!((f64::from(got) - wanted).abs() < 5e-6, "{got} {wanted}");
            }
        }
    }

    #[test]
    fn the_first_step_has_the_length_of_the_learning_rate() {
        let (mut param, mut slots) = (vec![1.0f32, 1.0], vec![vec![0.0f32; 2]; 2]);
        let scalars = Scalars { lr: 0.25, weight_decay: 0.0, step: 1 };
        AdamW::default().update(scalars, &mut param, &[100.0, -0.01], &mut slots);
        assert!((param[0] - 0.75).abs() < 1e-6 && (param[1] - 1.25).abs() < 1e-6, "{param:?}");
    }
}
