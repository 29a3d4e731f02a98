//! `RMSprop`: steps divided by the root of a running mean square of gradients.
//!
//! Above: `rules`. Below: `rule`. Not here: TensorFlow's variant (`rmsprop_tf`).
//! Source: Tieleman and Hinton 2012, lecture 6.5; centered: Graves 2013, <https://arxiv.org/abs/1308.0850>; `torch.optim.RMSprop`, PyTorch 2.x.

use taper_kernels::Real;

use super::{check_eps, check_momentum};
use crate::error::{Result, check};
use crate::rule::{Cells, Formula, NO_SUMS, ParamInfo, Rule, Slices, Slot, Step, Sums, round};

/// Settings of `RMSprop`; the defaults are PyTorch's.
///
/// `g = grad + weight_decay·p`, `s = α·s + (1 − α)·g²`, `d = g / (√s + eps)`; `p −= lr·d`, or with momentum `b = momentum·b + d` and
/// `p −= lr·b`. Centered, `√(s − c²)` stands for `√s`, where `c += (1 − α)(g − c)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Decay rate of the mean square, in `[0, 1)`. Default 0.99.
    pub alpha: f64,
    /// Added to the root of the mean square, outside the root, above 0. Default 1e-8.
    pub eps: f64,
    /// Weight of the old direction, in `[0, 1)`. Default 0.
    pub momentum: f64,
    /// Divides by the standard deviation instead. Default false.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }
    }
}

impl Rule for RmsProp {
    fn slots(&self, _param: &ParamInfo<'_>) -> Vec<Slot> {
        let momentum = (self.momentum > 0.0).then_some(Slot::zeros("momentum_buffer"));
        let mean = self.centered.then_some(Slot::zeros("grad_avg"));
        [Slot::zeros("square_avg")].into_iter().chain(momentum).chain(mean).collect()
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

impl Formula for RmsProp {
    #[inline(always)]
    fn apply<T: Real>(&self, step: &Step<'_>, slices: Slices<'_, T>) -> Sums {
        let Slices { param, grad, slots } = slices;
        let (lr, decay): (T, T) = (round(step.lr), round(step.weight_decay));
        let (keep, take): (T, T) = (round(self.alpha), round(1.0 - self.alpha));
        let (eps, momentum): (T, T) = (round(self.eps), round(self.momentum));
        let square = |s: &mut T, g: T| {
            *s = keep * *s + take * g * g;
            *s
        };
        let center = |c: &mut T, g: T| {
            *c += take * (g - *c);
            *c * *c
        };
        let cells = param.iter_mut().zip(grad);
        match slots {
            [s] => cells.zip(&mut **s).for_each(|((p, &g), s)| {
                let g = g + decay * *p;
                *p = *p - lr * (g / (square(s, g).sqrt() + eps));
            }),
            [s, c] if self.centered => {
                cells.zip(&mut **s).zip(&mut **c).for_each(|(((p, &g), s), c)| {
                    let g = g + decay * *p;
                    *p = *p - lr * (g / ((square(s, g) - center(c, g)).sqrt() + eps));
                });
            }
            [s, b] => cells.zip(&mut **s).zip(&mut **b).for_each(|(((p, &g), s), b)| {
                let g = g + decay * *p;
                *b = momentum * *b + g / (square(s, g).sqrt() + eps);
                *p = *p - lr * *b;
            }),
            [s, b, c] => {
                let cells = cells.zip(&mut **s).zip(&mut **b).zip(&mut **c);
                cells.for_each(|((((p, &g), s), b), c)| {
                    let g = g + decay * *p;
                    *b = momentum * *b + g / ((square(s, g) - center(c, g)).sqrt() + eps);
                    *p = *p - lr * *b;
                });
            }
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
        for (momentum, centered) in [(0.0, false), (0.9, false), (0.0, true), (0.9, true)] {
            let rule = RmsProp { alpha: 0.9, eps: 1e-3, momentum, centered };
            follows_its_twin(&rule, 0.1, |t: Twin, slots| {
                let g = t.grad + t.weight_decay * t.param;
                slots[0] = 0.9 * slots[0] + 0.1 * g * g;
                let mut variance = slots[0];
                if centered {
                    let c = slots.last_mut().unwrap();
                    *c = 0.9 * *c + 0.1 * g;
                    variance -= *c * *c;
                }
                let direction = g / (variance.sqrt() + 1e-3);
                if momentum <= 0.0 {
                    return t.param - t.lr * direction;
                }
                slots[1] = momentum * slots[1] + direction;
                t.param - t.lr * slots[1]
            });
        }
    }
}
