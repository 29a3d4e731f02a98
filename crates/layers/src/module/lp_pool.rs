//! Pools that take the Lp norm of each window: between sum (p = 1) and maximum (p → ∞).
//!
//! Above: users of candle. Below: `ops::nhwc::{lp_pool2d, lp_pool1d}`, `pool`, `refuse`. Not here: maximum and mean (`pool`).
//! Source: `torch.nn.{LPPool2d, LPPool1d}`, PyTorch 2.x; what differs is said at `ops::nhwc::lp_pool2d`.

use candle_core::Tensor;

use super::pool::{PoolConfig, check_line};
use super::{ModuleNhwc, in_candle, refuse};
use crate::error::Result;

/// The windows of a norm, and which norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LpPoolConfig {
    /// The exponent, positive.
    pub p: f64,
    /// The windows.
    pub pool: PoolConfig,
}

/// Takes the norm `(Σ |x|ᵖ)^(1/p)` of each window.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c, oh, ow)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{LpPool2d, LpPoolConfig, PoolConfig};
/// let xs = Tensor::new(&[[[[3f32, 0.0], [0.0, -4.0]]]], &Device::Cpu)?;
/// let pool = LpPool2d::new(LpPoolConfig { p: 2.0, pool: PoolConfig::square(2, 2) })?;
/// assert_eq!(pool.forward(&xs)?.flatten_all()?.to_vec1::<f32>()?, [5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LpPool2d(LpPoolConfig);

impl LpPool2d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `p` is not positive and finite, a size is 0, or a window has nothing but padding in it.
    pub fn new(config: LpPoolConfig) -> Result<Self> {
        let op = "LpPool2d";
        let checked = refuse::above_zero(op, "p", config.p);
        let checked = checked.and_then(|()| refuse::pool(op, &config.pool.window));
        checked.map_err(refuse::within(op.into()))?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for LpPool2d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let LpPoolConfig { p, pool: PoolConfig { window, rounding } } = &self.0;
        Ok(taper_ops::nhwc::lp_pool2d(xs, *p, window, *rounding)?)
    }
}

/// [`LpPool2d`] of sequences.
///
/// # Shapes
/// `(n, c, l)` to `(n, c, ol)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{LpPool1d, LpPoolConfig, PoolConfig};
/// let xs = Tensor::new(&[[[1f32, -2.0, 3.0]]], &Device::Cpu)?;
/// let pool = LpPool1d::new(LpPoolConfig { p: 1.0, pool: PoolConfig::line(3, 3) })?;
/// assert_eq!(pool.forward(&xs)?.flatten_all()?.to_vec1::<f32>()?, [6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LpPool1d(LpPoolConfig);

impl LpPool1d {
    /// A pool with these windows.
    ///
    /// # Errors
    /// As [`LpPool2d::new`]; [`Error::Layer`](crate::Error::Layer) also for a window that is higher than 1.
    pub fn new(config: LpPoolConfig) -> Result<Self> {
        let op = "LpPool1d";
        refuse::above_zero(op, "p", config.p).map_err(refuse::within(op.into()))?;
        check_line(op, &config.pool.window)?;
        Ok(Self(config))
    }
}

impl ModuleNhwc for LpPool1d {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        let LpPoolConfig { p, pool: PoolConfig { window, rounding } } = &self.0;
        Ok(taper_ops::nhwc::lp_pool1d(xs, *p, window, *rounding)?)
    }
}

in_candle!(Module for LpPool2d, LpPool1d);
