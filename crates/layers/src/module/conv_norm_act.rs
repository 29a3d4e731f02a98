//! A convolution with the norm and the activation that follow it.
//!
//! Above: users of candle, `block`. Below: `Conv2d`, `BatchNorm`, `ops::Activation`. Not here: the same fused, which is the engine's.
//! Source: timm's `ConvNormAct`, whose names these are.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use taper_graph::Bias;
use taper_ops::Activation;

use super::{BatchNorm, BatchNormConfig, Conv2d, ConvConfig, ModuleNhwc, Statistics, in_candle};
use crate::error::Result;

/// What follows every convolution of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormAct {
    /// Added to the variance; 1e-5, where TensorFlow's networks have 1e-3.
    pub eps: f64,
    /// Weight of the **new** statistic; 0.1. `None`: all batches count alike.
    pub momentum: Option<f64>,
    /// Which statistics normalize while training.
    pub statistics: Statistics,
    /// After the norm, but for the last one of a block.
    pub activation: Activation,
}

impl NormAct {
    /// PyTorch's batch norm, and this activation.
    #[must_use]
    pub fn new(activation: Activation) -> Self {
        Self { eps: 1e-5, momentum: Some(0.1), statistics: Statistics::Batch, activation }
    }

    /// The same without an activation.
    pub(super) fn linear(self) -> Self {
        Self { activation: Activation::Identity, ..self }
    }
}

/// A convolution without bias, a batch norm, and an activation.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{Activation, ConvConfig, ConvNormAct, NormAct, Window, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let stem = ConvConfig::new(3, 16, Window::square(3, 2));
/// let stem = ConvNormAct::new(stem, NormAct::new(Activation::HardSwish), vb.pp("stem"))?;
/// let xs = Tensor::ones((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// assert_eq!(stem.forward_t(&xs, true)?.dims(), [2, 16, 16, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvNormAct {
    conv: Conv2d,
    bn: BatchNorm,
    activation: Activation,
}

impl ConvNormAct {
    /// Takes the convolution `conv` and the norm `bn` from `vb`; the norm's shift stands for a bias of `conv`, whatever it says.
    ///
    /// # Errors
    /// Those of [`Conv2d::new`] and [`BatchNorm::new`].
    pub fn new(conv: ConvConfig, norm_act: NormAct, vb: VarBuilder<'_>) -> Result<Self> {
        Self::named(conv, norm_act, [vb.pp("conv"), vb.pp("bn")])
    }

    /// Takes the convolution and the norm from these two.
    pub(super) fn named(
        conv: ConvConfig,
        norm_act: NormAct,
        [conv_vb, bn_vb]: [VarBuilder<'_>; 2],
    ) -> Result<Self> {
        let NormAct { eps, momentum, statistics, activation } = norm_act;
        let channels = conv.out_channels;
        let conv = Conv2d::new(ConvConfig { bias: Bias::Without, ..conv }, conv_vb)?;
        let bn = BatchNorm::new(BatchNormConfig { channels, eps, momentum, statistics }, bn_vb)?;
        Ok(Self { conv, bn, activation })
    }
}

impl ModuleNhwc for ConvNormAct {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let ys = self.bn.forward_nhwc(&self.conv.forward_nhwc(xs, train)?, train)?;
        match self.activation {
            Activation::Identity => Ok(ys),
            activation => Ok(taper_ops::activation(&ys, activation)?),
        }
    }
}

in_candle!(ModuleT for ConvNormAct);
