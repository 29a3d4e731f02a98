//! Pools with sliding windows: maximum and mean.
//!
//! Above: users of candle, `lp_pool`. Below: `ops`, `refuse`. Not here: pools whose windows follow from the output (`adaptive_pool`), Lp norms
//! (`lp_pool`), blurring (`resample`).
//! Source: `torch.nn.{MaxPool2d, MaxPool1d, AvgPool2d, AvgPool1d}`, PyTorch 2.x.

use candle_core::Tensor;
use taper_graph::{PadMode, Padding, Window};
use taper_ops::{Border, Rounding};

use super::{ModuleNhwc, in_candle, refuse};
use crate::error::Result;

/// The windows of a pool.
///
/// # Examples
/// ```
/// use taper_layers::{Padding, PoolConfig, Window};
/// let halves = PoolConfig::square(2, 2);
/// let overlapping = PoolConfig { window: Window::square(3, 2), ..halves }; // padding 1, ResNet's
/// assert_eq!((halves.window.padding, overlapping.window.padding), (Padding::Valid, Padding::symmetric(1)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolConfig {
    /// Kernel size, stride, dilation and padding. PyTorch's stride is the kernel size unless it is given; here it is always given.
    pub window: Window,
    /// What happens to positions at the end that do not fill another window; left out by default.
    pub rounding: Rounding,
}

impl PoolConfig {
    /// Square windows without padding, PyTorch's default.
    #[must_use]
    pub fn square(kernel_size: usize, stride: usize) -> Self {
        Self::without_padding(Window::square(kernel_size, stride))
    }

    /// Windows over sequences without padding, PyTorch's default.
    #[must_use]
    pub fn line(kernel_size: usize, stride: usize) -> Self {
        Self::without_padding(Window::line(kernel_size, stride))
    }

    fn without_padding(window: Window) -> Self {
        let window = Window { padding: Padding::Valid, mode: PadMode::Zeros, ..window };
        Self { window, rounding: Rounding::Down }
    }
}

/// Takes the largest value of each window.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, oh, ow)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Var};
/// use taper_layers::{MaxPool2d, PoolConfig};
/// let xs = Var::new(&[[[[1f32, 2.0], [4.0, 3.0]]]], &Device::Cpu)?;
/// let ys = MaxPool2d::new(PoolConfig::square(2, 2))?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [4.0]);
/// let grads = ys.sum_all()?.backward()?;
/// assert_eq!(grads.get(&xs).unwrap().flatten_all()?.to_vec1::<f32>()?, [0.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(PoolConfig);

impl MaxPool2d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if a size is 0 or a window has nothing but padding in it.
    pub fn new(config: PoolConfig) -> Result<Self> {
        refuse::pool("MaxPool2d", &config.window).map_err(refuse::within("MaxPool2d".into()))?;
        Ok(Self(config))
    }

    /// The pool, and where its values came from: positions `row·w + column`, `u32`, in the shape of the values.
    ///
    /// # Errors
    /// As `forward`, and for a padding that is not zeros.
    ///
    /// # Examples
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use taper_layers::{MaxPool2d, PoolConfig};
    /// let xs = Tensor::new(&[[[[1f32, 2.0], [4.0, 3.0]]]], &Device::Cpu)?;
    /// let (_, indices) = MaxPool2d::new(PoolConfig::square(2, 2))?.forward_with_indices(&xs)?;
    /// assert_eq!(indices.flatten_all()?.to_vec1::<u32>()?, [2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn forward_with_indices(&self, xs: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let xs = taper_ops::to_nhwc(xs)?;
        let PoolConfig { window, rounding } = &self.0;
        let (ys, indices) = taper_ops::nhwc::max_pool2d_with_indices(&xs, window, *rounding)?;
        Ok((taper_ops::to_nchw(&ys)?, indices.permute((0, 3, 1, 2))?.contiguous()?))
    }
}

impl ModuleNhwc for MaxPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::max_pool2d(xs, &self.0.window, self.0.rounding)?)
    }
}

/// [`MaxPool2d`] of sequences.
///
/// # Shapes
/// `(n, c, l)` to `(n, c, ol)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{MaxPool1d, PoolConfig};
/// let xs = Tensor::new(&[[[1f32, 3.0, 2.0, 0.0]]], &Device::Cpu)?;
/// let ys = MaxPool1d::new(PoolConfig::line(2, 2))?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [3.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MaxPool1d(PoolConfig);

impl MaxPool1d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// As [`MaxPool2d::new`]; [`Error::Layer`](crate::Error::Layer) also for a window that is higher than 1.
    pub fn new(config: PoolConfig) -> Result<Self> {
        check_line("MaxPool1d", &config.window)?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for MaxPool1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::max_pool1d(xs, &self.0.window, self.0.rounding)?)
    }
}

/// The windows of a mean, and whether it counts the padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPoolConfig {
    /// The windows.
    pub pool: PoolConfig,
    /// Whether padding counts as zeros, which is PyTorch's default, or not at all.
    pub border: Border,
}

impl From<PoolConfig> for AvgPoolConfig {
    /// With padding counted.
    fn from(pool: PoolConfig) -> Self {
        Self { pool, border: Border::Counted }
    }
}

/// Takes the mean of each window.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, oh, ow)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{AvgPool2d, PoolConfig};
/// let xs = Tensor::new(&[[[[1f32, 2.0], [4.0, 3.0]]]], &Device::Cpu)?;
/// let ys = AvgPool2d::new(PoolConfig::square(2, 2).into())?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(AvgPoolConfig);

impl AvgPool2d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// As [`MaxPool2d::new`].
    pub fn new(config: AvgPoolConfig) -> Result<Self> {
        let op = "AvgPool2d";
        refuse::pool(op, &config.pool.window).map_err(refuse::within(op.into()))?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for AvgPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let AvgPoolConfig { pool: PoolConfig { window, rounding }, border } = &self.0;
        Ok(taper_ops::nhwc::avg_pool2d(xs, window, *rounding, *border)?)
    }
}

/// [`AvgPool2d`] of sequences.
///
/// # Shapes
/// `(n, c, l)` to `(n, c, ol)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{AvgPool1d, PoolConfig};
/// let xs = Tensor::new(&[[[1f32, 3.0, 2.0, 0.0]]], &Device::Cpu)?;
/// let ys = AvgPool1d::new(PoolConfig::line(2, 2).into())?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AvgPool1d(AvgPoolConfig);

impl AvgPool1d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// As [`MaxPool1d::new`].
    pub fn new(config: AvgPoolConfig) -> Result<Self> {
        check_line("AvgPool1d", &config.pool.window)?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for AvgPool1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let AvgPoolConfig { pool: PoolConfig { window, rounding }, border } = &self.0;
        Ok(taper_ops::nhwc::avg_pool1d(xs, window, *rounding, *border)?)
    }
}

/// Refuses what is no window over sequences.
pub(super) fn check_line(op: &'static str, window: &Window) -> Result<()> {
    let checked = refuse::line(op, window).and_then(|()| refuse::pool(op, window));
    checked.map_err(refuse::within(op.into()))
}

in_candle!(Module for MaxPool2d, MaxPool1d, AvgPool2d, AvgPool1d);
