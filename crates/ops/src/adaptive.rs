//! Pools whose windows follow from the size of their output: adaptive and global.
//!
//! Above: users of candle, `layers`. Below: `pool`, `operation`, `kernels`. Not here: sliding windows (`pool`).
//! Source: `torch.nn.functional.{adaptive_avg_pool2d, adaptive_max_pool2d}`, PyTorch 2.x.

use candle_core::Tensor;
use taper_kernels::{Device, PoolShape, Pooling, Source};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::map::{Map, as_lines};
use crate::operation::{InputGrads, Operation, apply, sink};
use crate::pool::pooled;

/// Takes means so that `out` rows and columns come out: window `i` of `m` covers `⌊i·h/m⌋ .. ⌈(i+1)·h/m⌉`.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, out[0], out[1], c)`
///
/// # Errors
/// [`Error::Zero`] if `out` has a zero, [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.adaptive_avg_pool2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[[1f32], [2.0], [3.0]]]], &Device::Cpu)?;
/// let ys = taper_ops::nhwc::adaptive_avg_pool2d(&xs, [1, 2])?; // windows overlap where sizes do not divide
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.5, 2.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adaptive_avg_pool2d(xs: &Tensor, out: [usize; 2]) -> Result<Tensor> {
    adaptive("adaptive_avg_pool2d", xs, out, Pooling::Mean)
}

/// Takes the largest values so that `out` rows and columns come out; windows as in [`adaptive_avg_pool2d`].
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, out[0], out[1], c)`
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
///
/// # Source
/// `torch.nn.functional.adaptive_max_pool2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[[1f32], [2.0], [3.0]]]], &Device::Cpu)?;
/// let ys = taper_ops::nhwc::adaptive_max_pool2d(&xs, [1, 2])?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adaptive_max_pool2d(xs: &Tensor, out: [usize; 2]) -> Result<Tensor> {
    adaptive("adaptive_max_pool2d", xs, out, Pooling::Max)
}

/// [`adaptive_avg_pool2d`] of sequences: `(n, l, c)` to `(n, out, c)`.
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[1f32], [2.0], [3.0]]], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::adaptive_avg_pool1d(&xs, 1)?.flatten_all()?.to_vec1::<f32>()?, [2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adaptive_avg_pool1d(xs: &Tensor, out: usize) -> Result<Tensor> {
    as_lines("adaptive_avg_pool1d", xs, |xs| adaptive_avg_pool2d(xs, [1, out]))
}

/// [`adaptive_max_pool2d`] of sequences: `(n, l, c)` to `(n, out, c)`.
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[1f32], [2.0], [3.0]]], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::adaptive_max_pool1d(&xs, 1)?.flatten_all()?.to_vec1::<f32>()?, [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn adaptive_max_pool1d(xs: &Tensor, out: usize) -> Result<Tensor> {
    as_lines("adaptive_max_pool1d", xs, |xs| adaptive_max_pool2d(xs, [1, out]))
}

/// Takes the mean of each map.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, 1, 1, c)`
///
/// # Errors
/// [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[[1f32, 0.0]], [[3.0, 4.0]]]], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::global_avg_pool2d(&xs)?.flatten_all()?.to_vec1::<f32>()?, [2.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn global_avg_pool2d(xs: &Tensor) -> Result<Tensor> {
    let map = Map::of(GlobalMean::NAME, xs)?;
    apply(GlobalMean(map), xs, [None; 2], map.with([1, 1], map.c))
}

/// Takes the largest value of each map.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, 1, 1, c)`
///
/// # Errors
/// [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[[[1f32, 0.0]], [[3.0, -4.0]]]], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::global_max_pool2d(&xs)?.flatten_all()?.to_vec1::<f32>()?, [3.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn global_max_pool2d(xs: &Tensor) -> Result<Tensor> {
    adaptive("global_max_pool2d", xs, [1, 1], Pooling::Max)
}

fn adaptive(op: &'static str, xs: &Tensor, out: [usize; 2], pooling: Pooling) -> Result<Tensor> {
    let map = Map::of(op, xs)?;
    if out.contains(&0) {
        return Err(Error::Zero { op, what: "output size", got: out.to_vec() });
    }
    let shape = PoolShape::adaptive(map.sizes(), out).ok_or(Error::TooLarge { op })?;
    pooled(op, xs, shape, pooling)
}

struct GlobalMean(Map);

impl Operation for GlobalMean {
    const NAME: &'static str = "global_avg_pool2d";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let Map { n, c, .. } = self.0;
        device.pool_forward(n, self.0.positions(), c, Source::plain(inputs[0]), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        _inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            let Map { n, c, .. } = self.0;
            device.pool_backward(n, self.0.positions(), c, gradient, sink(out));
        }
    }
}
