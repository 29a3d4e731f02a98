//! Parameters from a `VarBuilder`, with PyTorch's initial values.
//!
//! Above: the layers with parameters. Below: candle, `error`. Not here: the numbers a seed gives (`init`).

use candle_core::{Shape, Tensor};
use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use candle_nn::{Init, VarBuilder};
use taper_graph::Bias;

use crate::error::{Result, at};

/// The place of a layer, or of one of its parameters.
pub(super) fn path(vb: &VarBuilder<'_>, name: &str) -> String {
    let path = [vb.prefix(), name.to_owned()];
    path.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(".")
}

pub(super) fn parameter(
    vb: &VarBuilder<'_>,
    name: &str,
    shape: impl Into<Shape>,
    init: Init,
) -> Result<Tensor> {
    vb.get_with_hints(shape, name, init).map_err(at(&path(vb, name)))
}

/// A parameter for each channel, which begins at `value`.
pub(super) fn vector(
    vb: &VarBuilder<'_>,
    name: &str,
    channels: usize,
    value: f64,
) -> Result<Tensor> {
    parameter(vb, name, channels, Init::Const(value))
}

/// A weight and, if there is one, the bias: uniform in `±1/√fan_in`, as `torch.nn` begins convolutions and linear layers.
///
/// The fan in is the second axis of the weight times its taps, also for transposed convolutions, where that axis is the output's.
pub(super) fn weight_and_bias(
    vb: &VarBuilder<'_>,
    shape: &[usize],
    out_channels: usize,
    bias: Bias,
) -> Result<(Tensor, Option<Tensor>)> {
    let weight = parameter(vb, "weight", shape, KAIMING_UNIFORM)?;
    let fan_in: usize = shape[1..].iter().product();
    let up = 1.0 / (fan_in as f64).sqrt();
    let bias = match bias {
        Bias::With => Some(parameter(vb, "bias", out_channels, Init::Uniform { lo: -up, up })?),
        Bias::Without => None,
    };
    Ok((weight, bias))
}

/// `kaiming_uniform_(a=√5)`: a gain of `√(2 / (1 + 5))`, so a bound of `gain·√(3/fan_in) = 1/√fan_in`.
const KAIMING_UNIFORM: Init = Init::Kaiming {
    dist: NormalOrUniform::Uniform,
    fan: FanInOut::FanIn,
    // 1/√3, which `f64::sqrt` cannot give in a constant.
    non_linearity: NonLinearity::ExplicitGain(0.577_350_269_189_625_8),
};
