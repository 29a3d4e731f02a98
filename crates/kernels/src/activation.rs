//! Activations and their derivatives, one value at a time: the twin of `cpu::curves`.
//!
//! Above: `device`, `engine`. Below: `real`. Not here: which layers have one (`graph`).

use crate::Real;

/// What is done to every value behind a layer.
///
/// The derivative at a corner is PyTorch's: 0 for ReLU and ReLU6, 0 at −3 and 1 at 3 for hard-swish, 0 for hard-sigmoid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
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
        }
    }
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
