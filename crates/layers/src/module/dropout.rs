//! Dropout of single values, and of whole branches.
//!
//! Above: users of candle, blocks of `module`. Below: `ops::nhwc::channel_gate`, `init`, which draws the numbers. Not here: graphs (`engine`).
//! A layer counts its training passes: the k-th mask follows from seed and k alone, so that a model built again gives the same bits.
//! Two layers of a model want two seeds.
//! Source: Srivastava et al. 2014, <https://jmlr.org/papers/v15/srivastava14a.html>; Huang et al. 2016,
//! <https://arxiv.org/abs/1603.09382>; `torch.nn.Dropout`; timm's `DropPath`.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;
use taper_model::init::Initializer;

use super::{ModuleNhwc, in_candle, refuse};
use crate::error::Result;

/// The masks of a layer.
#[derive(Debug)]
struct Masks {
    p: f64,
    seed: u64,
    passes: AtomicU64,
}

impl Masks {
    fn new(op: &'static str, p: f64, seed: u64) -> Result<Self> {
        refuse::share(op, "p", p).map_err(refuse::within(op.into()))?;
        Ok(Self { p, seed, passes: AtomicU64::new(0) })
    }

    /// The factors of `len` values in the next pass, as `(len)` like `xs`: 0 with probability `p`, otherwise `1/(1 − p)`.
    fn next(&self, len: usize, xs: &Tensor) -> candle_core::Result<Tensor> {
        let pass = self.passes.fetch_add(1, Ordering::Relaxed);
        let numbers = Initializer::uniform(0.0, 1.0)
            .and_then(|it| it.values(&[len], self.seed, &format!("pass {pass}")))
            .map_err(crate::Error::from)?;
        let kept = 1.0 / (1.0 - self.p);
        let factor = |number: f32| if f64::from(number) < self.p { 0.0 } else { kept };
        let factors: Vec<f64> = numbers.into_iter().map(factor).collect();
        Tensor::from_vec(factors, len, xs.device())?.to_dtype(xs.dtype())
    }
}

/// Zeroes values with probability `p` while training and multiplies the others by `1/(1 − p)`; the identity in evaluation.
///
/// # Shapes
/// Any, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use taper_layers::Dropout;
/// let xs = Tensor::ones((2, 64), DType::F32, &Device::Cpu)?;
/// let pass = |seed| Dropout::new(0.5, seed)?.forward_t(&xs, true)?.to_vec2::<f32>();
/// assert_eq!(pass(7)?, pass(7)?);
/// assert_ne!(pass(7)?, pass(8)?);
/// assert!(pass(7)?.concat().iter().all(|y| [0.0, 2.0].contains(y)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Dropout(Masks);

impl Dropout {
    /// A layer at its first pass.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `p` is not from 0 to 1.
    pub fn new(p: f64, seed: u64) -> Result<Self> {
        Ok(Self(Masks::new("Dropout", p, seed)?))
    }

    /// The same layer after `passes` training passes, for going on where a run stopped.
    #[must_use]
    pub fn after(self, passes: u64) -> Self {
        Self(Masks { passes: AtomicU64::new(passes), ..self.0 })
    }

    /// Training passes so far.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.0.passes.load(Ordering::Relaxed)
    }
}

impl ModuleNhwc for Dropout {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let len = xs.elem_count();
        if !train || self.0.p == 0.0 || len == 0 {
            return Ok(xs.clone());
        }
        // Every value is a channel of its own: the mask is a gate, and gets no gradient.
        let mask = self.0.next(len, xs)?.reshape((1, 1, 1, len))?;
        let ys = taper_ops::nhwc::channel_gate(&xs.reshape((1, 1, 1, len))?, &mask)?;
        ys.reshape(xs.shape())
    }
}

/// Zeroes whole pictures with probability `p` while training and multiplies the others by `1/(1 − p)`; the identity in evaluation.
/// At the end of a residual branch, it makes a network of random depth.
///
/// # Shapes
/// `(n, …)`, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use taper_layers::DropPath;
/// let branch = Tensor::ones((64, 3, 2, 2), DType::F32, &Device::Cpu)?;
/// let ys = DropPath::new(0.25, 7)?.forward_t(&branch, true)?;
/// let kept = ys.flatten_from(1)?.sum(1)?.to_vec1::<f32>()?; // 12 values a picture
/// assert!(kept.iter().all(|sum| *sum == 0.0 || (sum - 16.0).abs() < 1e-4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DropPath(Masks);

impl DropPath {
    /// A layer at its first pass.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `p` is not from 0 to 1.
    pub fn new(p: f64, seed: u64) -> Result<Self> {
        Ok(Self(Masks::new("DropPath", p, seed)?))
    }

    /// The same layer after `passes` training passes, for going on where a run stopped.
    #[must_use]
    pub fn after(self, passes: u64) -> Self {
        Self(Masks { passes: AtomicU64::new(passes), ..self.0 })
    }

    /// Training passes so far.
    #[must_use]
    pub fn passes(&self) -> u64 {
        self.0.passes.load(Ordering::Relaxed)
    }
}

impl ModuleNhwc for DropPath {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        if !train || self.0.p == 0.0 || xs.elem_count() == 0 {
            return Ok(xs.clone());
        }
        let n = xs.dim(0)?;
        let values = xs.elem_count() / n;
        let mask = self.0.next(n, xs)?.reshape((n, 1, 1, 1))?.broadcast_as((n, 1, 1, values))?;
        let ys = taper_ops::nhwc::channel_gate(&xs.reshape((n, 1, 1, values))?, &mask)?;
        ys.reshape(xs.shape())
    }
}

in_candle!(ModuleT for Dropout, DropPath);

#[cfg(test)]
mod tests;
