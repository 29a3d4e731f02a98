//! Convolution of maps and of sequences: dense, grouped, depthwise.
//!
//! Above: users of candle, blocks of `module`. Below: `ops::nhwc::{conv2d, conv1d}`, `variables`, `refuse`. Not here: the transposed
//! convolution (`conv_transpose`).
//! Source: `torch.nn.Conv2d` and `Conv1d`, PyTorch 2.x.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use taper_graph::{Bias, Window};

use super::{ModuleNhwc, in_candle, refuse, variables};
use crate::error::Result;

/// Sizes of a convolution.
///
/// # Examples
/// ```
/// use taper_layers::{Bias, ConvConfig, Padding, Window};
/// let stem = ConvConfig { bias: Bias::Without, ..ConvConfig::new(3, 16, Window::square(3, 2)) };
/// let lenet = ConvConfig::new(6, 16, Window { padding: Padding::Valid, ..Window::square(5, 1) });
/// let depthwise = ConvConfig::depthwise(16, Window::square(3, 1));
/// assert_eq!((stem.groups, lenet.groups, depthwise.groups), (1, 1, 16));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Kernel size, stride, dilation, padding and its mode. [`Window::square`] pads by half the kernel, where PyTorch's default is no
    /// padding ([`Padding::Valid`](taper_graph::Padding::Valid)).
    pub window: Window,
    /// Groups, each of which sees its own channels: 1 is dense, `in_channels` is depthwise.
    pub groups: usize,
    /// Whether a number a channel is added.
    pub bias: Bias,
}

impl ConvConfig {
    /// A dense convolution with a bias.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, window: Window) -> Self {
        Self { in_channels, out_channels, window, groups: 1, bias: Bias::With }
    }

    /// One filter a channel; with `out_channels` set to a multiple of `channels`, as many filters a channel.
    #[must_use]
    pub fn depthwise(channels: usize, window: Window) -> Self {
        Self { groups: channels, ..Self::new(channels, channels, window) }
    }

    /// A matrix product at every position.
    #[must_use]
    pub fn pointwise(in_channels: usize, out_channels: usize) -> Self {
        Self::new(in_channels, out_channels, Window::point())
    }

    fn check(&self, op: &'static str) -> std::result::Result<(), taper_ops::Error> {
        refuse::groups(op, "input channels", self.in_channels, self.groups)?;
        refuse::groups(op, "output channels", self.out_channels, self.groups)
    }
}

/// A convolution of maps.
///
/// # Shapes
/// `(n, in_channels, h, w)` to `(n, out_channels, oh, ow)` with [`Window::output_size`].
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{Conv2d, ConvConfig, Window, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let conv = Conv2d::new(ConvConfig::new(3, 8, Window::square(3, 2)), vb.pp("conv"))?;
/// let ys = conv.forward(&Tensor::zeros((1, 3, 9, 12), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(ys.dims(), [1, 8, 5, 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv2d {
    config: ConvConfig,
    /// `(out_channels, in_channels / groups, kernel height, kernel width)`.
    weight: Tensor,
    /// `(out_channels)`.
    bias: Option<Tensor>,
}

impl Conv2d {
    /// Takes `weight` and, if there is one, `bias` from `vb`; new ones are uniform in `±1/√fan_in`, as PyTorch's.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if the groups do not divide the channels, or a size is 0;
    /// [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: ConvConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let op = "Conv2d";
        let checked = config.check(op).and_then(|()| refuse::window(op, &config.window));
        checked.map_err(refuse::within(vb.prefix()))?;
        let ConvConfig { in_channels, out_channels, window, groups, bias } = config;
        let [kh, kw] = window.kernel;
        let shape = [out_channels, in_channels / groups, kh, kw];
        let (weight, bias) = variables::weight_and_bias(&vb, &shape, out_channels, bias)?;
        Ok(Self { config, weight, bias })
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &ConvConfig {
        &self.config
    }

    /// `(out_channels, in_channels / groups, kernel height, kernel width)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(out_channels)`.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

impl ModuleNhwc for Conv2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let ConvConfig { window, groups, .. } = &self.config;
        Ok(taper_ops::nhwc::conv2d(xs, &self.weight, self.bias.as_ref(), window, *groups)?)
    }
}

/// A convolution of sequences.
///
/// # Shapes
/// `(n, in_channels, l)` to `(n, out_channels, ol)`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{Conv1d, ConvConfig, Window, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let conv = Conv1d::new(ConvConfig::new(2, 4, Window::line(5, 2)), vb)?;
/// let ys = conv.forward(&Tensor::zeros((1, 2, 100), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(ys.dims(), [1, 4, 50]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv1d {
    config: ConvConfig,
    /// `(out_channels, in_channels / groups, kernel size)`.
    weight: Tensor,
    /// `(out_channels)`.
    bias: Option<Tensor>,
}

impl Conv1d {
    /// As [`Conv2d::new`], with a window of height 1, such as [`Window::line`].
    ///
    /// # Errors
    /// As [`Conv2d::new`]; [`Error::Layer`](crate::Error::Layer) also for a higher window.
    pub fn new(config: ConvConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let op = "Conv1d";
        let checked = config.check(op).and_then(|()| refuse::line(op, &config.window));
        checked.map_err(refuse::within(vb.prefix()))?;
        let ConvConfig { in_channels, out_channels, window, groups, bias } = config;
        let shape = [out_channels, in_channels / groups, window.kernel[1]];
        let (weight, bias) = variables::weight_and_bias(&vb, &shape, out_channels, bias)?;
        Ok(Self { config, weight, bias })
    }

    /// `(out_channels, in_channels / groups, kernel size)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(out_channels)`.
    #[must_use]
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }
}

impl ModuleNhwc for Conv1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let ConvConfig { window, groups, .. } = &self.config;
        Ok(taper_ops::nhwc::conv1d(xs, &self.weight, self.bias.as_ref(), window, *groups)?)
    }
}

in_candle!(Module for Conv2d, Conv1d);
