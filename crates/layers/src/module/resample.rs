//! Maps with other positions and no weights: upsampling, padding, blur pooling.
//!
//! Above: users of candle. Below: `ops::nhwc::{interpolate, pad, blur_pool2d}`, `refuse`. Not here: learned upsampling (`conv_transpose`).
//! Source: `torch.nn.{Upsample, ZeroPad2d, ReflectionPad2d, ReplicationPad2d, CircularPad2d}`, PyTorch 2.x; Zhang 2019,
//! <https://arxiv.org/abs/1904.11486>.

use candle_core::Tensor;
use taper_graph::PadMode;
use taper_ops::Resampling;

use super::{ModuleNhwc, in_candle, refuse};
use crate::error::Result;

/// How large a map becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many rows and columns.
    Size([usize; 2]),
    /// So many times as many. Whole numbers, for which PyTorch's two ways of computing positions agree.
    Times([usize; 2]),
}

/// Resamples maps: nearest, bilinear with and without aligned corners, bicubic.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, oh, ow)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{Resampling, Target, Upsample};
/// let xs = Tensor::new(&[[[[0f32, 4.0]]]], &Device::Cpu)?;
/// let ys = Upsample::new(Target::Times([1, 2]), Resampling::Bilinear)?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Upsample {
    target: Target,
    resampling: Resampling,
}

impl Upsample {
    /// Resampling to `target`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `target` has a zero.
    pub fn new(target: Target, resampling: Resampling) -> Result<Self> {
        let op = "Upsample";
        let (Target::Size(numbers) | Target::Times(numbers)) = target;
        refuse::positive(op, "target", &numbers).map_err(refuse::within(op.into()))?;
        Ok(Self { target, resampling })
    }
}

impl ModuleNhwc for Upsample {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let size = match self.target {
            Target::Size(size) => size,
            Target::Times([rows, cols]) => {
                let (_, h, w, _) = xs.dims4()?;
                [h.saturating_mul(rows), w.saturating_mul(cols)]
            }
        };
        Ok(taper_ops::nhwc::interpolate(xs, size, self.resampling)?)
    }
}

/// Puts rows and columns around maps.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, top + h + bottom, left + w + right)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{Pad2d, PadMode};
/// let xs = Tensor::new(&[[[[1f32, 2.0, 3.0]]]], &Device::Cpu)?;
/// let pad = Pad2d { sides: [0, 1, 0, 1], mode: PadMode::Circular };
/// assert_eq!(pad.forward(&xs)?.flatten_all()?.to_vec1::<f32>()?, [3.0, 1.0, 2.0, 3.0, 1.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad2d {
    /// How many: top, left, bottom, right, where PyTorch has left, right, top, bottom.
    pub sides: [usize; 4],
    /// What they hold.
    pub mode: PadMode,
}

impl ModuleNhwc for Pad2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::pad(xs, self.sides, self.mode)?)
    }
}

/// Sizes of a blur pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlurPoolConfig {
    /// Taps an axis of the binomial filter; 3.
    pub kernel_size: usize,
    /// Step; 2.
    pub stride: usize,
    /// What lies outside; the map mirrored.
    pub mode: PadMode,
}

impl Default for BlurPoolConfig {
    /// timm's.
    fn default() -> Self {
        Self { kernel_size: 3, stride: 2, mode: PadMode::Reflect }
    }
}

/// Blurs maps and keeps every `stride`-th position, so that a small shift of the picture stays a small shift.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, oh, ow)`; the sizes are those of [`taper_ops::nhwc::blur_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{BlurPool2d, BlurPoolConfig};
/// let xs = Tensor::new(&[[[[0f32, 4.0, 8.0, 8.0], [0.0, 4.0, 8.0, 8.0]]]], &Device::Cpu)?;
/// let ys = BlurPool2d::new(BlurPoolConfig::default())?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 7.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BlurPool2d(BlurPoolConfig);

impl BlurPool2d {
    /// A blur of these sizes.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if a size is 0.
    pub fn new(config: BlurPoolConfig) -> Result<Self> {
        let (op, sizes) = ("BlurPool2d", [config.kernel_size, config.stride]);
        refuse::positive(op, "kernel size and stride", &sizes)
            .map_err(refuse::within(op.into()))?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for BlurPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let BlurPoolConfig { kernel_size, stride, mode } = self.0;
        Ok(taper_ops::nhwc::blur_pool2d(xs, kernel_size, stride, mode)?)
    }
}

in_candle!(Module for Upsample, Pad2d, BlurPool2d);
