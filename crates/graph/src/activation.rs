//! Pointwise activation functions.
//!
//! Above: `op`, `blocks`, and whoever evaluates a graph. Below: nothing. Not here: fast versions (`taper-kernels`).
//! Source: torch.nn, PyTorch 2.x, which defines every formula.

use serde::{Deserialize, Serialize};

/// A function applied to every element.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x · sigmoid(x)`, also called swish.
    Silu,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `x · Φ(x)` with the exact normal distribution function.
    Gelu,
    /// `gelu` by its tanh approximation.
    GeluTanh,
    /// `x` where positive, `slope · x` elsewhere.
    LeakyRelu {
        /// Factor of the negative side; PyTorch's default is 0.01.
        slope: f64,
    },
    /// `x · tanh(ln(1 + exp(x)))`.
    Mish,
    /// `leaky_relu` with a learned slope a channel: the node's one parameter, shape `(c)`.
    PRelu,
}
