//! The blocks of mobile networks: depthwise separable, inverted residual.
//!
//! Above: users of candle. Below: `ConvNormAct`, `SqueezeExcite`, `DropPath`. Not here: the same in a graph (`graph::blocks`), which
//! the executor runs fused.
//! Parameters have timm's names.
//! Source: Howard et al. 2017, <https://arxiv.org/abs/1704.04861>; Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>; timm's
//! `_efficientnet_blocks.py`.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use taper_graph::Window;
use taper_ops::Activation;

use super::{
    ConvConfig, ConvNormAct, DropPath, ModuleNhwc, NormAct, SqueezeExcite, SqueezeExciteConfig,
    in_candle,
};
use crate::error::Result;

/// A gate's sizes in a block, which knows the channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockGate {
    /// Channels between the two convolutions.
    pub squeezed: usize,
    /// After the first convolution.
    pub activation: Activation,
    /// After the second: a sigmoid or a hard sigmoid.
    pub gate: Activation,
}

impl BlockGate {
    fn build(self, channels: usize, vb: VarBuilder<'_>) -> Result<SqueezeExcite> {
        let Self { squeezed, activation, gate } = self;
        SqueezeExcite::new(SqueezeExciteConfig { channels, squeezed, activation, gate }, vb)
    }
}

/// Sizes of a depthwise separable block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseSeparableConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Of the depthwise convolution.
    pub window: Window,
    /// After the depthwise convolution, if it is wanted.
    pub squeeze_excite: Option<BlockGate>,
    /// After each convolution.
    pub norm_act: NormAct,
}

/// Depthwise convolution and linear projection; the input is added where stride and channels allow.
///
/// # Shapes
/// `(n, in_channels, h, w)` to `(n, out_channels, oh, ow)` with the window's output size.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{
///     Activation, DepthwiseSeparable, DepthwiseSeparableConfig, NormAct, Window, init::var_builder,
/// };
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let config = DepthwiseSeparableConfig {
///     in_channels: 8,
///     out_channels: 16,
///     window: Window::square(3, 2),
///     squeeze_excite: None,
///     norm_act: NormAct::new(Activation::Relu6),
/// };
/// let block = DepthwiseSeparable::new(config, vb.pp("block"))?;
/// let xs = Tensor::ones((2, 8, 10, 10), DType::F32, &Device::Cpu)?;
/// assert_eq!(block.forward_t(&xs, true)?.dims(), [2, 16, 5, 5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DepthwiseSeparable(Block);

impl DepthwiseSeparable {
    /// Takes `conv_dw`, `bn1`, `se`, `conv_pw` and `bn2` from `vb`.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`](super::Conv2d::new) and [`BatchNorm::new`](super::BatchNorm::new).
    pub fn new(config: DepthwiseSeparableConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let DepthwiseSeparableConfig {
            in_channels,
            out_channels,
            window,
            squeeze_excite,
            norm_act,
        } = config;
        let layer = |conv, norm_act, names: [&str; 2]| {
            ConvNormAct::named(conv, norm_act, names.map(|name| vb.pp(name)))
        };
        let depthwise = ConvConfig::depthwise(in_channels, window);
        let projection = ConvConfig::pointwise(in_channels, out_channels);
        let gate = |it: BlockGate| it.build(in_channels, vb.pp("se"));
        Ok(Self(Block {
            expansion: None,
            depthwise: layer(depthwise, norm_act, ["conv_dw", "bn1"])?,
            squeeze_excite: squeeze_excite.map(gate).transpose()?,
            projection: layer(projection, norm_act.linear(), ["conv_pw", "bn2"])?,
            is_residual: window.stride == [1, 1] && in_channels == out_channels,
            drop_path: None,
        }))
    }

    /// With the branch dropped now and then while training, if there is an input to add it to.
    #[must_use]
    pub fn with_drop_path(self, drop_path: DropPath) -> Self {
        Self(Block { drop_path: Some(drop_path), ..self.0 })
    }
}

impl ModuleNhwc for DepthwiseSeparable {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.0.forward(xs, train)
    }
}

/// Sizes of an inverted residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvertedResidualConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels between expansion and projection.
    pub expanded: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Of the depthwise convolution.
    pub window: Window,
    /// After the depthwise convolution, if it is wanted.
    pub squeeze_excite: Option<BlockGate>,
    /// After each convolution.
    pub norm_act: NormAct,
}

/// Expansion, depthwise convolution and linear projection; the input is added where stride and channels allow.
///
/// # Shapes
/// `(n, in_channels, h, w)` to `(n, out_channels, oh, ow)` with the window's output size.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{
///     Activation, DropPath, InvertedResidual, InvertedResidualConfig, NormAct, Window, init::var_builder,
/// };
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let config = InvertedResidualConfig {
///     in_channels: 8,
///     expanded: 48,
///     out_channels: 8,
///     window: Window::square(3, 1),
///     squeeze_excite: None,
///     norm_act: NormAct::new(Activation::Relu6),
/// };
/// let block = InvertedResidual::new(config, vb.pp("block"))?.with_drop_path(DropPath::new(0.1, 0)?);
/// let xs = Tensor::ones((2, 8, 10, 10), DType::F32, &Device::Cpu)?;
/// assert_eq!(block.forward_t(&xs, true)?.dims(), [2, 8, 10, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct InvertedResidual(Block);

impl InvertedResidual {
    /// Takes `conv_pw`, `bn1`, `conv_dw`, `bn2`, `se`, `conv_pwl` and `bn3` from `vb`.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`](super::Conv2d::new) and [`BatchNorm::new`](super::BatchNorm::new).
    pub fn new(config: InvertedResidualConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let InvertedResidualConfig { in_channels, expanded, out_channels, window, .. } = config;
        let layer = |conv, norm_act, names: [&str; 2]| {
            ConvNormAct::named(conv, norm_act, names.map(|name| vb.pp(name)))
        };
        let norm_act = config.norm_act;
        let expansion = ConvConfig::pointwise(in_channels, expanded);
        let depthwise = ConvConfig::depthwise(expanded, window);
        let projection = ConvConfig::pointwise(expanded, out_channels);
        let gate = |it: BlockGate| it.build(expanded, vb.pp("se"));
        Ok(Self(Block {
            expansion: Some(layer(expansion, norm_act, ["conv_pw", "bn1"])?),
            depthwise: layer(depthwise, norm_act, ["conv_dw", "bn2"])?,
            squeeze_excite: config.squeeze_excite.map(gate).transpose()?,
            projection: layer(projection, norm_act.linear(), ["conv_pwl", "bn3"])?,
            is_residual: window.stride == [1, 1] && in_channels == out_channels,
            drop_path: None,
        }))
    }

    /// With the branch dropped now and then while training, if there is an input to add it to.
    #[must_use]
    pub fn with_drop_path(self, drop_path: DropPath) -> Self {
        Self(Block { drop_path: Some(drop_path), ..self.0 })
    }
}

impl ModuleNhwc for InvertedResidual {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.0.forward(xs, train)
    }
}

/// What both blocks do.
#[derive(Debug)]
struct Block {
    expansion: Option<ConvNormAct>,
    depthwise: ConvNormAct,
    squeeze_excite: Option<SqueezeExcite>,
    projection: ConvNormAct,
    /// Whether the input is added; a window that changes the size of the map is found when it is.
    is_residual: bool,
    drop_path: Option<DropPath>,
}

impl Block {
    fn forward(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let mut ys = xs.clone();
        if let Some(expansion) = &self.expansion {
            ys = expansion.forward_nhwc(&ys, train)?;
        }
        ys = self.depthwise.forward_nhwc(&ys, train)?;
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = squeeze_excite.forward_nhwc(&ys, train)?;
        }
        ys = self.projection.forward_nhwc(&ys, train)?;
        if !self.is_residual {
            return Ok(ys);
        }
        if let Some(drop_path) = &self.drop_path {
            ys = drop_path.forward_nhwc(&ys, train)?;
        }
        ys + xs
    }
}

in_candle!(ModuleT for DepthwiseSeparable, InvertedResidual);
