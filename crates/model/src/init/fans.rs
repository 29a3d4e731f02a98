//! Fans of a weight and gains of nonlinearities: what the variance of an initializer depends on.
//!
//! Above: `init`. Below: nothing. Not here: drawing numbers (`init::stream`).
//! Source: `_calculate_fan_in_and_fan_out` and `calculate_gain` of `torch.nn.init`, checked in `tests/golden` of `taper-layers`.

/// How many elements of the input an element of the output is a sum of, and the other way around.
///
/// # Examples
/// ```
/// use taper_model::init::Fans;
/// // A depthwise 3x3 convolution of 32 channels: PyTorch does not divide its fan out by the groups.
/// assert_eq!(Fans::of(&[32, 1, 3, 3]), Some(Fans { fan_in: 9, fan_out: 288 }));
/// assert_eq!(Fans::of(&[32]), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fans {
    /// Second axis times taps.
    pub fan_in: usize,
    /// First axis times taps.
    pub fan_out: usize,
}

impl Fans {
    /// The fans of a weight `(out, in, taps…)`; `None` with fewer than two axes.
    #[must_use]
    pub fn of(shape: &[usize]) -> Option<Self> {
        let [out, inputs, taps @ ..] = shape else { return None };
        let taps: usize = taps.iter().product();
        Some(Self { fan_in: inputs * taps, fan_out: out * taps })
    }

    pub(super) fn get(self, fan: Fan) -> usize {
        match fan {
            Fan::In => self.fan_in,
            Fan::Out => self.fan_out,
        }
    }
}

/// Which pass keeps its variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    /// The forward pass.
    In,
    /// The backward pass; timm's and torchvision's choice for convolutions.
    Out,
}

/// What follows a layer.
///
/// # Examples
/// ```
/// use taper_model::init::Nonlinearity;
/// assert_eq!(Nonlinearity::LeakyRelu { slope: 0.0 }.gain(), Nonlinearity::Relu.gain());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Nonlinearity {
    /// Nothing. Gain 1.
    Linear,
    /// Sigmoid. Gain 1.
    Sigmoid,
    /// Hyperbolic tangent. Gain 5/3.
    Tanh,
    /// `max(0, x)`. Gain √2.
    Relu,
    /// `x` above 0, `slope · x` below. Gain `√(2 / (1 + slope²))`.
    LeakyRelu {
        /// Slope below 0. PyTorch's layers begin with √5, which is uniform in `±1 / √fan_in`.
        slope: f64,
    },
    /// SELU. Gain 3/4.
    Selu,
    /// Anything else.
    Other {
        /// Its gain.
        gain: f64,
    },
}

impl Nonlinearity {
    /// What the standard deviation is multiplied by: PyTorch's `calculate_gain`.
    #[must_use]
    pub fn gain(self) -> f64 {
        match self {
            Self::Other { gain } => gain,
            _ => self.squared_gain().sqrt(),
        }
    }

    pub(super) fn squared_gain(self) -> f64 {
        match self {
            Self::Linear | Self::Sigmoid => 1.0,
            Self::Tanh => 25.0 / 9.0,
            Self::Relu => 2.0,
            Self::LeakyRelu { slope } => 2.0 / (1.0 + slope * slope),
            Self::Selu => 9.0 / 16.0,
            Self::Other { gain } => gain * gain,
        }
    }
}
