//! Norms that look at one picture alone: group norm and layer norm.
//!
//! Above: users of candle. Below: `ops::nhwc::{group_norm, layer_norm}`, `variables`, `refuse`. Not here: batch norm (`batch_norm`).
//! Source: `torch.nn.{GroupNorm, LayerNorm}`, PyTorch 2.x; timm's `LayerNorm2d`.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::{ModuleNhwc, in_candle, refuse, variables};
use crate::error::Result;

/// Sizes and numbers of a group norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormConfig {
    /// Groups of channels; 1 normalizes the picture as a whole.
    pub groups: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance; 1e-5.
    pub eps: f64,
}

impl GroupNormConfig {
    /// PyTorch's defaults.
    #[must_use]
    pub fn new(groups: usize, channels: usize) -> Self {
        Self { groups, channels, eps: 1e-5 }
    }
}

/// Normalizes groups of channels over all positions of each picture.
///
/// # Shapes
/// `(n, c, h, w)`, `(n, c, l)` or `(n, c)`, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{GroupNorm, GroupNormConfig, init::var_builder};
/// let vars = VarMap::new();
/// let config = GroupNormConfig { eps: 1e-12, ..GroupNormConfig::new(2, 4) };
/// let norm = GroupNorm::new(config, var_builder(&vars, 0, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::new(&[[1f32, 3.0, 10.0, 30.0]], &Device::Cpu)?;
/// assert_eq!(norm.forward(&xs)?.to_vec2::<f32>()?, [[-1.0, 1.0, -1.0, 1.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GroupNorm {
    config: GroupNormConfig,
    /// `(channels)`.
    weight: Tensor,
    /// `(channels)`.
    bias: Tensor,
}

impl GroupNorm {
    /// Takes `weight` and `bias` from `vb`; new ones are 1 and 0.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if the groups do not divide the channels, a size is 0, or `eps` is not positive and finite;
    /// [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: GroupNormConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (op, GroupNormConfig { groups, channels, eps }) = ("GroupNorm", config);
        let checked = refuse::groups(op, "channels", channels, groups);
        let checked = checked.and_then(|()| refuse::above_zero(op, "eps", eps));
        checked.map_err(refuse::within(vb.prefix()))?;
        let vector = |name, value| variables::vector(&vb, name, channels, value);
        Ok(Self { config, weight: vector("weight", 1.0)?, bias: vector("bias", 0.0)? })
    }
}

impl ModuleNhwc for GroupNorm {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let Self { config: GroupNormConfig { groups, eps, .. }, weight, bias } = self;
        Ok(taper_ops::nhwc::group_norm(xs, *groups, weight, bias, *eps)?)
    }
}

/// Sizes and numbers of a layer norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNormConfig {
    /// Channels.
    pub channels: usize,
    /// Added to the variance; 1e-5 as in PyTorch, where timm's convolutional networks have 1e-6.
    pub eps: f64,
}

impl LayerNormConfig {
    /// PyTorch's defaults.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self { channels, eps: 1e-5 }
    }
}

/// Normalizes the channels of every position.
///
/// In candle's order the channels are axis 1, as in timm's `LayerNorm2d`; PyTorch's own `LayerNorm` over the last axis is
/// [`forward_nhwc`](ModuleNhwc::forward_nhwc).
///
/// # Shapes
/// `(n, c, h, w)`, `(n, c, l)` or `(n, c)`, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{LayerNorm, LayerNormConfig, init::var_builder};
/// let vars = VarMap::new();
/// let config = LayerNormConfig { eps: 1e-12, ..LayerNormConfig::new(2) };
/// let norm = LayerNorm::new(config, var_builder(&vars, 0, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::new(&[[[1f32, 10.0], [3.0, 30.0]]], &Device::Cpu)?; // two channels, two positions
/// assert_eq!(norm.forward(&xs)?.to_vec3::<f32>()?, [[[-1.0, -1.0], [1.0, 1.0]]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LayerNorm {
    eps: f64,
    /// `(channels)`.
    weight: Tensor,
    /// `(channels)`.
    bias: Tensor,
}

impl LayerNorm {
    /// Takes `weight` and `bias` from `vb`; new ones are 1 and 0.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `channels` is 0 or `eps` is not positive and finite;
    /// [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: LayerNormConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (op, LayerNormConfig { channels, eps }) = ("LayerNorm", config);
        let checked = refuse::positive(op, "channels", &[channels]);
        let checked = checked.and_then(|()| refuse::above_zero(op, "eps", eps));
        checked.map_err(refuse::within(vb.prefix()))?;
        let vector = |name, value| variables::vector(&vb, name, channels, value);
        Ok(Self { eps, weight: vector("weight", 1.0)?, bias: vector("bias", 0.0)? })
    }
}

impl ModuleNhwc for LayerNorm {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::layer_norm(xs, &self.weight, &self.bias, self.eps)?)
    }
}

in_candle!(Module for GroupNorm, LayerNorm);
