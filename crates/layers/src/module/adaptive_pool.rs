//! Pools whose windows follow from the size of their output: adaptive and global.
//!
//! Above: users of candle, `squeeze_excite`. Below: `ops`, `refuse`. Not here: sliding windows (`pool`).
//! Source: `torch.nn.{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AdaptiveAvgPool1d, AdaptiveMaxPool1d}`, PyTorch 2.x.

use candle_core::Tensor;

use super::{ModuleNhwc, in_candle, refuse};
use crate::error::Result;

/// Takes means so that a given number of rows and columns comes out.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, out[0], out[1])`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use taper_layers::AdaptiveAvgPool2d;
/// let xs = Tensor::ones((1, 3, 13, 9), DType::F32, &Device::Cpu)?;
/// assert_eq!(AdaptiveAvgPool2d::new([6, 6])?.forward(&xs)?.dims(), [1, 3, 6, 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d([usize; 2]);

impl AdaptiveAvgPool2d {
    /// A pool to `out` rows and columns.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `out` has a zero.
    pub fn new(out: [usize; 2]) -> Result<Self> {
        check("AdaptiveAvgPool2d", &out)?;
        Ok(Self(out))
    }
}

impl ModuleNhwc for AdaptiveAvgPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::adaptive_avg_pool2d(xs, self.0)?)
    }
}

/// Takes the largest values so that a given number of rows and columns comes out.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, out[0], out[1])`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::AdaptiveMaxPool2d;
/// let xs = Tensor::new(&[[[[1f32, 2.0, 3.0]]]], &Device::Cpu)?;
/// let ys = AdaptiveMaxPool2d::new([1, 2])?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool2d([usize; 2]);

impl AdaptiveMaxPool2d {
    /// A pool to `out` rows and columns.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `out` has a zero.
    pub fn new(out: [usize; 2]) -> Result<Self> {
        check("AdaptiveMaxPool2d", &out)?;
        Ok(Self(out))
    }
}

impl ModuleNhwc for AdaptiveMaxPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::adaptive_max_pool2d(xs, self.0)?)
    }
}

/// [`AdaptiveAvgPool2d`] of sequences: `(n, c, l)` to `(n, c, out)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::AdaptiveAvgPool1d;
/// let xs = Tensor::new(&[[[1f32, 2.0, 3.0]]], &Device::Cpu)?;
/// let ys = AdaptiveAvgPool1d::new(2)?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.5, 2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool1d(usize);

impl AdaptiveAvgPool1d {
    /// A pool to `out` positions.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `out` is 0.
    pub fn new(out: usize) -> Result<Self> {
        check("AdaptiveAvgPool1d", &[out])?;
        Ok(Self(out))
    }
}

impl ModuleNhwc for AdaptiveAvgPool1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::adaptive_avg_pool1d(xs, self.0)?)
    }
}

/// [`AdaptiveMaxPool2d`] of sequences: `(n, c, l)` to `(n, c, out)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::AdaptiveMaxPool1d;
/// let xs = Tensor::new(&[[[1f32, 2.0, 3.0]]], &Device::Cpu)?;
/// let ys = AdaptiveMaxPool1d::new(2)?.forward(&xs)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveMaxPool1d(usize);

impl AdaptiveMaxPool1d {
    /// A pool to `out` positions.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `out` is 0.
    pub fn new(out: usize) -> Result<Self> {
        check("AdaptiveMaxPool1d", &[out])?;
        Ok(Self(out))
    }
}

impl ModuleNhwc for AdaptiveMaxPool1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::adaptive_max_pool1d(xs, self.0)?)
    }
}

/// Takes the mean of each map: `(n, c, h, w)` to `(n, c, 1, 1)`. [`Flatten`](super::Flatten) makes vectors of it.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::GlobalAvgPool2d;
/// let xs = Tensor::new(&[[[[1f32, 2.0], [4.0, 3.0]]]], &Device::Cpu)?;
/// assert_eq!(GlobalAvgPool2d.forward(&xs)?.flatten_all()?.to_vec1::<f32>()?, [2.5]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GlobalAvgPool2d;

impl ModuleNhwc for GlobalAvgPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::global_avg_pool2d(xs)?)
    }
}

/// Takes the largest value of each map: `(n, c, h, w)` to `(n, c, 1, 1)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::GlobalMaxPool2d;
/// let xs = Tensor::new(&[[[[1f32, 2.0], [4.0, 3.0]]]], &Device::Cpu)?;
/// assert_eq!(GlobalMaxPool2d.forward(&xs)?.flatten_all()?.to_vec1::<f32>()?, [4.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct GlobalMaxPool2d;

impl ModuleNhwc for GlobalMaxPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::global_max_pool2d(xs)?)
    }
}

fn check(op: &'static str, out: &[usize]) -> Result<()> {
    refuse::positive(op, "output size", out).map_err(refuse::within(op.into()))
}

in_candle!(
    Module for AdaptiveAvgPool2d, AdaptiveMaxPool2d, AdaptiveAvgPool1d, AdaptiveMaxPool1d, GlobalAvgPool2d,
    GlobalMaxPool2d
);
