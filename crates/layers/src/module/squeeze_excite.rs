//! A gate for each channel, computed from the mean of all channels.
//!
//! Above: users of candle, `block`. Below: `Conv2d`, `ops::nhwc::channel_gate`. Not here: the same in a graph (`graph::blocks`).
//! Source: Hu et al. 2018, <https://arxiv.org/abs/1709.01507>; timm's `SqueezeExcite`, whose names these are.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use taper_ops::Activation;

use super::{Conv2d, ConvConfig, ModuleNhwc, in_candle};
use crate::error::Result;

/// Sizes and functions of a squeeze-and-excite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SqueezeExciteConfig {
    /// Channels.
    pub channels: usize,
    /// Channels between the two convolutions. Papers give a ratio: of the expanded channels in MobileNetV3, of the block's input in
    /// EfficientNet.
    pub squeezed: usize,
    /// After the first convolution; ReLU, where EfficientNet has SiLU.
    pub activation: Activation,
    /// After the second; a sigmoid, where MobileNetV3 has a hard sigmoid.
    pub gate: Activation,
}

impl SqueezeExciteConfig {
    /// The paper's functions.
    #[must_use]
    pub fn new(channels: usize, squeezed: usize) -> Self {
        Self { channels, squeezed, activation: Activation::Relu, gate: Activation::Sigmoid }
    }
}

/// `y = x · gate(W₂ · activation(W₁ · mean(x) + b₁) + b₂)`, mean over positions.
///
/// # Shapes
/// `(n, c, h, w)`, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{SqueezeExcite, SqueezeExciteConfig, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let se = SqueezeExcite::new(SqueezeExciteConfig::new(16, 4), vb.pp("se"))?;
/// let xs = Tensor::ones((2, 16, 7, 5), DType::F32, &Device::Cpu)?;
/// assert!(se.forward(&xs)?.max_all()?.to_scalar::<f32>()? < 1.0);
/// assert!(vars.data().lock().unwrap().contains_key("se.conv_reduce.weight"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqueezeExcite {
    conv_reduce: Conv2d,
    conv_expand: Conv2d,
    activation: Activation,
    gate: Activation,
}

impl SqueezeExcite {
    /// Takes the convolutions `conv_reduce` and `conv_expand` from `vb`.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`].
    pub fn new(config: SqueezeExciteConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let SqueezeExciteConfig { channels, squeezed, activation, gate } = config;
        let conv_reduce =
            Conv2d::new(ConvConfig::pointwise(channels, squeezed), vb.pp("conv_reduce"))?;
        let conv_expand =
            Conv2d::new(ConvConfig::pointwise(squeezed, channels), vb.pp("conv_expand"))?;
        Ok(Self { conv_reduce, conv_expand, activation, gate })
    }
}

impl ModuleNhwc for SqueezeExcite {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let mean = taper_ops::nhwc::global_avg_pool2d(xs)?;
        let ys = self.conv_reduce.forward_nhwc(&mean, train)?;
        let ys = taper_ops::activation(&ys, self.activation)?;
        let ys = self.conv_expand.forward_nhwc(&ys, train)?;
        Ok(taper_ops::nhwc::channel_gate(xs, &taper_ops::activation(&ys, self.gate)?)?)
    }
}

in_candle!(Module for SqueezeExcite);
