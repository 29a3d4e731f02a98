//! TensorFlow's `RMSprop`: the mean square begins at 1, `eps` is inside of the root, and the rate inside of the momentum.
//!
//! Above: `rules`. Below: `rule`. Not here: PyTorch's variant (`rmsprop`).
//! Source: timm's `RMSpropTF`; what MobileNetV3 and EfficientNet were trained with (Tan and Le 2019, <https://arxiv.org/abs/1905.11946>).

use taper_kernels::Real;

use super::{check_eps, check_momentum};
use crate::error::{Result, check};
use crate::rule::{
    Begins, Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, round,
};

/// Settings of TensorFlow's `RMSprop`; the defaults are timm's.
///
/// `g = grad + weight_decay·p`, `s += (1 − α)(g² − s)` from `s = 1` on, `d = lr·g / √(s + eps)`; `p −= d`, or with momentum
/// `b = momentum·b + d` and `p −= b`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsPropTf {
    /// Decay rate of the mean square, in `[0, 1)`. Default 0.9.
    pub alpha: f64,
    /// Added to the mean square, inside the root, above 0. Default 1e-10; MobileNetV3 and EfficientNet take 1e-3.
    pub eps: f64,
    /// Weight of the old direction, in `[0, 1)`. Default 0.
    pub momentum: f64,
}

impl Default for RmsPropTf {
    fn default() -> Self {
        Self { alpha: 0.9, eps: 1e-10, momentum: 0.0 }
    }
}

impl Rule for RmsPropTf {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        let momentum = (self.momentum > 0.0).then_some(Slot::zeros("momentum_buffer"));
        let square = Slot { name: "square_avg", begins: Begins::Ones };
        [square].into_iter().chain(momentum).collect()
    }

    fn check(&self) -> Result<()> {
        check("alpha", self.alpha, 0.0..1.0, "a number from 0 to below 1")?;
        check_momentum(self.momentum)?;
        check_eps(self.eps)
    }

    fn update(&self, step: &Step<'_>, cells: Cells<'_>) -> Sums {
        self.in_precision_of(step, cells)
    }
}

impl Formula for RmsPropTf {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots } = slices;
        let (lr, decay): (T, T) = (round(step.lr), round(step.weight_decay));
        let (take, eps): (T, T) = (round(1.0 - self.alpha), round(self.eps));
        let momentum: T = round(self.momentum);
        let direction = |s: &mut T, g: T| {
            *s += take * (g * g - *s);
            lr * (g / (*s + eps).sqrt())
        };
        let cells = param.iter_mut().zip(grad);
        match slots {
            [s] => cells.zip(&mut **s).for_each(|((p, &g), s)| {
                let g = g + decay * *p;
                *p = *p - direction(s, g);
            }),
            [s, b] => cells.zip(&mut **s).zip(&mut **b).for_each(|(((p, &g), s), b)| {
                let g = g + decay * *p;
                *b = momentum * *b + direction(s, g);
                *p = *p - *b;
            }),
            _ => {}
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
        for momentum in [0.0, 0.9] {
            let rule = RmsPropTf { eps: 1e-3, momentum, ..RmsPropTf::default() };
            follows_its_twin(&rule, 0.1, |t: Twin, slots| {
                let g = t.grad + t.weight_decay * t.param;
                slots[0] = 0.9 * slots[0] + 0.1 * g * g;
                let direction = t.lr * g / (slots[0] + 1e-3).sqrt();
                if momentum <= 0.0 {
                    return t.param - direction;
                }
                slots[1] = momentum * slots[1] + direction;
                t.param - slots[1]
            });
        }
    }
}
