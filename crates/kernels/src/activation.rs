//! Activations and their derivatives, one value at a time: the twin of `cpu::curves`.
//!
//! Above: `device`, `engine`. Below: `real`. Not here: which layers have one (`graph`).

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

use crate::Real;

/// What is done to every value behind a layer.
///
/// The derivative at a corner is PyTorch's: 0 for ReLU and ReLU6, 0 at −3 and 1 at 3 for hard-swish, 0 for hard-sigmoid, the slope for leaky ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `z`.
    #[default]
    Identity,
    /// `max(z, 0)`.
    Relu,
    /// `min(max(z, 0), 6)`.
    Relu6,
    /// `z · min(max(z/6 + 1/2, 0), 1)`.
    HardSwish,
    /// `min(max(z/6 + 1/2, 0), 1)`.
    HardSigmoid,
    /// `z · σ(z)`.
    Silu,
    /// `σ(z) = 1 / (1 + e⁻ᶻ)`.
    Sigmoid,
    /// `tanh(z)`.
    Tanh,
    /// `z · Φ(z)` with the normal distribution function `Φ(z) = (1 + erf(z/√2)) / 2`.
    Gelu,
    /// `z/2 · (1 + tanh(√(2/π)·(z + 0.044715·z³)))`.
    GeluTanh,
    /// `z · tanh(ln(1 + eᶻ))`.
    Mish,
    /// `z` where positive, `slope·z` elsewhere.
    LeakyRelu {
        /// Factor of the negative side.
        slope: f32,
    },
}

impl Activation {
    /// The bounds `(low, high)` between which the activation is the identity; infinite where it is never cut.
    #[must_use]
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::Relu => (0.0, f64::INFINITY),
            Self::Relu6 => (0.0, 6.0),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// Whether it is more than a cut at two bounds.
    #[must_use]
    pub fn is_curved(self) -> bool {
        !matches!(self, Self::Identity | Self::Relu | Self::Relu6)
    }

    /// The activation of one value. A NaN stays a NaN.
    #[must_use]
    pub fn apply<T: Real>(self, z: T) -> T {
        let number = T::from_f64;
        match self {
            Self::Identity | Self::Relu | Self::Relu6 => {
                let (low, high) = self.bounds();
                cut(z, number(low), number(high))
            }
            Self::HardSwish => z * Self::HardSigmoid.apply(z),
            Self::HardSigmoid => cut(z / number(6.0) + number(0.5), number(0.0), number(1.0)),
            Self::Silu => z * Self::Sigmoid.apply(z),
            Self::Sigmoid => number(1.0) / (number(1.0) + (number(0.0) - z).exp()),
            Self::Tanh => z.tanh(),
            Self::Gelu => z * normal(z),
            Self::GeluTanh => z * number(0.5) * (number(1.0) + bent_line(z).tanh()),
            Self::Mish => z * softplus_tanh(z),
            Self::LeakyRelu { slope } if z < number(0.0) => z * number(f64::from(slope)),
            Self::LeakyRelu { .. } => z,
        }
    }

    /// The derivative at `z`.
    #[must_use]
    pub fn derivative<T: Real>(self, z: T) -> T {
        let number = T::from_f64;
        let within = |low: f64, high: f64| z > number(low) && z < number(high);
        match self {
            Self::Identity | Self::Relu | Self::Relu6 => {
                let (low, high) = self.bounds();
                number(f64::from(u8::from(within(low, high))))
            }
            Self::HardSwish if within(-3.0, 3.0) => z / number(3.0) + number(0.5),
            Self::HardSwish => number(f64::from(u8::from(z >= number(3.0)))),
            Self::HardSigmoid if within(-3.0, 3.0) => number(1.0 / 6.0),
            Self::HardSigmoid => number(0.0),
            Self::Silu => {
                let s = Self::Sigmoid.apply(z);
                s * (number(1.0) + z * (number(1.0) - s))
            }
            Self::Sigmoid => {
                let s = Self::Sigmoid.apply(z);
                s * (number(1.0) - s)
            }
            Self::Tanh => number(1.0) - z.tanh() * z.tanh(),
            Self::Gelu => {
                let density = (number(-0.5) * z * z).exp() * number(1.0 / TAU.sqrt());
                normal(z) + z * density
            }
            Self::GeluTanh => {
                let t = bent_line(z).tanh();
                let slope = number(BEND) * (number(1.0) + number(3.0 * CUBIC) * z * z);
                number(0.5) * (number(1.0) + t + z * (number(1.0) - t * t) * slope)
            }
            Self::Mish => {
                let t = softplus_tanh(z);
                t + z * Self::Sigmoid.apply(z) * (number(1.0) - t * t)
            }
            Self::LeakyRelu { .. } if z > number(0.0) => number(1.0),
            Self::LeakyRelu { slope } => number(f64::from(slope)),
        }
    }
}

/// `√(2/π)` and the coefficient of GELU's tanh approximation.
pub(crate) const BEND: f64 = 0.797_884_560_802_865_4;
pub(crate) const CUBIC: f64 = 0.044_715;

fn bent_line<T: Real>(z: T) -> T {
    T::from_f64(BEND) * (z + T::from_f64(CUBIC) * z * z * z)
}

/// The normal distribution function.
fn normal<T: Real>(z: T) -> T {
    T::from_f64(0.5) * (T::from_f64(1.0) + (z * T::from_f64(FRAC_1_SQRT_2)).erf())
}

/// `tanh(ln(1 + eᶻ)) = n / (n + 2)` with `n = eᶻ·(eᶻ + 2)`; from `z = 20` on it is 1 to all digits.
fn softplus_tanh<T: Real>(z: T) -> T {
    let e = cut(z, T::from_f64(f64::NEG_INFINITY), T::from_f64(20.0)).exp();
    let n = e * (e + T::from_f64(2.0));
    n / (n + T::from_f64(2.0))
}

/// `min(max(z, low), high)`; a NaN stays.
fn cut<T: Real>(z: T, low: T, high: T) -> T {
    if z < low {
        low
    } else if z > high {
        high
    } else {
        z
    }
}
