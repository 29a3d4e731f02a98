//! Transposed convolution of maps and of sequences: learned upsampling.
//!
//! Above: users of candle. Below: `ops::nhwc::{conv_transpose2d, conv_transpose1d}`, `variables`, `refuse`. Not here: upsampling without weights
//! (`resample`).
//! Source: `torch.nn.{ConvTranspose2d, ConvTranspose1d}`, PyTorch 2.x.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use taper_graph::{Bias, PadMode, Padding, Window};

use super::{ModuleNhwc, in_candle, refuse, variables};
use crate::error::Result;

/// Sizes of a transposed convolution.
///
/// # Examples
/// ```
/// use taper_layers::{ConvTransposeConfig, Padding, Window};
/// let twice = Window { padding: Padding::Valid, ..Window::square(2, 2) };
/// assert_eq!(ConvTransposeConfig::new(8, 4, twice).output_padding, [0, 0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTransposeConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Kernel size, stride and dilation; padding is what is cut off the output, explicit or valid, in mode zeros. PyTorch's default is
    /// valid.
    pub window: Window,
    /// Rows and columns of the output that no window ends in; less than stride or dilation, 0 by default.
    pub output_padding: [usize; 2],
    /// Groups, each of which sees its own channels; 1 by default.
    pub groups: usize,
    /// Whether a number a channel is added; it is by default.
    pub bias: Bias,
}

impl ConvTransposeConfig {
    /// A dense one with a bias and no output padding.
    #[must_use]
    pub fn new(in_channels: usize, out_channels: usize, window: Window) -> Self {
        let (output_padding, groups, bias) = ([0; 2], 1, Bias::With);
        Self { in_channels, out_channels, window, output_padding, groups, bias }
    }

    fn check(&self, op: &'static str) -> std::result::Result<(), taper_ops::Error> {
        refuse::groups(op, "input channels", self.in_channels, self.groups)?;
        refuse::groups(op, "output channels", self.out_channels, self.groups)?;
        refuse::window(op, &self.window)?;
        let Window { stride, dilation, padding, mode, .. } = self.window;
        if padding == Padding::Same || mode != PadMode::Zeros {
            return Err(taper_ops::Error::TransposedPadding { op });
        }
        let got = self.output_padding;
        if (0..2).any(|axis| got[axis] >= stride[axis].max(dilation[axis])) {
            return Err(taper_ops::Error::OutputPadding { op, got, stride, dilation });
        }
        Ok(())
    }
}

/// A transposed convolution of maps: every input adds its share to a window of the output.
///
/// # Shapes
/// `(n, in_channels, h, w)` to `(n, out_channels, oh, ow)`,
/// `oh = (h − 1)·stride + dilation·(kernel − 1) + 1 + output_padding − top − bottom`, likewise `ow`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{ConvTranspose2d, ConvTransposeConfig, Padding, Window, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let twice = Window { padding: Padding::Valid, ..Window::square(2, 2) };
/// let up = ConvTranspose2d::new(ConvTransposeConfig::new(8, 4, twice), vb.pp("up"))?;
/// let ys = up.forward(&Tensor::zeros((1, 8, 5, 6), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(ys.dims(), [1, 4, 10, 12]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    config: ConvTransposeConfig,
    /// `(in_channels, out_channels / groups, kernel height, kernel width)`.
    weight: Tensor,
    /// `(out_channels)`.
    bias: Option<Tensor>,
}

impl ConvTranspose2d {
    /// Takes `weight` and, if there is one, `bias` from `vb`; new ones are uniform in `±1/√(out_channels/groups·taps)`, as PyTorch's.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if the groups do not divide the channels, a size is 0, or padding and output padding are
    /// not possible; [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: ConvTransposeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check("ConvTranspose2d").map_err(refuse::within(vb.prefix()))?;
        let ConvTransposeConfig { in_channels, out_channels, window, groups, bias, .. } = config;
        let [kh, kw] = window.kernel;
        let shape = [in_channels, out_channels / groups, kh, kw];
        let (weight, bias) = variables::weight_and_bias(&vb, &shape, out_channels, bias)?;
        Ok(Self { config, weight, bias })
    }

    /// `(in_channels, out_channels / groups, kernel height, kernel width)`.
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

impl ModuleNhwc for ConvTranspose2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let ConvTransposeConfig { window, output_padding, groups, .. } = &self.config;
        let (weight, bias) = (&self.weight, self.bias.as_ref());
        Ok(taper_ops::nhwc::conv_transpose2d(xs, weight, bias, window, *output_padding, *groups)?)
    }
}

/// A transposed convolution of sequences.
///
/// # Shapes
/// `(n, in_channels, l)` to `(n, out_channels, ol)`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{ConvTranspose1d, ConvTransposeConfig, Window, init::var_builder};
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let config = ConvTransposeConfig { output_padding: [0, 1], ..ConvTransposeConfig::new(2, 3, Window::line(3, 2)) };
/// let ys = ConvTranspose1d::new(config, vb)?.forward(&Tensor::zeros((1, 2, 7), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(ys.dims(), [1, 3, 14]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConvTranspose1d {
    config: ConvTransposeConfig,
    /// `(in_channels, out_channels / groups, kernel size)`.
    weight: Tensor,
    /// `(out_channels)`.
    bias: Option<Tensor>,
}

impl ConvTranspose1d {
    /// As [`ConvTranspose2d::new`], with a window of height 1, such as [`Window::line`], and no output padding along the height.
    ///
    /// # Errors
    /// As [`ConvTranspose2d::new`]; [`Error::Layer`](crate::Error::Layer) also for a higher window.
    pub fn new(config: ConvTransposeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let op = "ConvTranspose1d";
        // A map of one row has no stride and no dilation along the height.
        let Window { stride, dilation, .. } = config.window;
        let window = Window { stride: [1, stride[1]], dilation: [1, dilation[1]], ..config.window };
        let config = ConvTransposeConfig { window, ..config };
        let checked = refuse::line(op, &window).and_then(|()| config.check(op));
        checked.map_err(refuse::within(vb.prefix()))?;
        let ConvTransposeConfig { in_channels, out_channels, groups, bias, .. } = config;
        let shape = [in_channels, out_channels / groups, window.kernel[1]];
        let (weight, bias) = variables::weight_and_bias(&vb, &shape, out_channels, bias)?;
        Ok(Self { config, weight, bias })
    }

    /// `(in_channels, out_channels / groups, kernel size)`.
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

impl ModuleNhwc for ConvTranspose1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let ConvTransposeConfig { window, output_padding: [_, end], groups, .. } = &self.config;
        let (weight, bias) = (&self.weight, self.bias.as_ref());
        Ok(taper_ops::nhwc::conv_transpose1d(xs, weight, bias, window, *end, *groups)?)
    }
}

in_candle!(Module for ConvTranspose2d, ConvTranspose1d);
