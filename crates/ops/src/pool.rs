//! Pools with sliding windows: maximum, mean and Lp norm, of maps and sequences, channels last.
//!
//! Above: users of candle, `layers`. Below: `pool::indices`, `operation`, `map`, `kernels::PoolShape`. Not here: windows that follow
//! from the output (`adaptive`), blur pooling (`resample`).
//! Source: `torch.nn.functional.{max_pool2d, avg_pool2d, lp_pool2d}`, PyTorch 2.x.

mod indices;

use candle_core::Tensor;
use taper_graph::Window;
use taper_kernels::{Device, PoolShape, PoolWindow, Pooling, Source};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::map::{Map, as_lines, check_line, filled, mismatch};
use crate::operation::{InputGrads, Operation, apply, sink};

pub use indices::max_pool2d_with_indices;

/// What happens to positions at the end that do not fill another window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// They are left out.
    #[default]
    Down,
    /// They get a window, unless it would begin in the padding: PyTorch's `ceil_mode`.
    Up,
}

/// Whether a mean counts the padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Border {
    /// As zeros: PyTorch's `count_include_pad`, its default.
    #[default]
    Counted,
    /// Not at all.
    Excluded,
}

/// Takes the largest value of each window; its gradient goes to the first of equals.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, oh, ow, c)` with [`Window::output_size`], or [`Window::output_size_ceil`] if rounded up
///
/// # Numerics
/// Padding in mode zeros is minus infinity here. A NaN is larger than any number.
///
/// # Errors
/// [`Error::Window`] if the window does not fit, [`Error::PaddingOnly`] if one has nothing but padding in it, [`Error::Reach`],
/// [`Error::Shape`], [`Error::Zero`], [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.max_pool2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// use taper_ops::{Rounding, Window, nhwc::max_pool2d};
/// let xs = Var::new(&[[[[1f32], [2.0]], [[4.0], [3.0]]]], &Device::Cpu)?;
/// let window = Window { padding: taper_ops::Padding::Valid, ..Window::square(2, 2) };
/// let ys = max_pool2d(&xs, &window, Rounding::Down)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [4.0]);
/// let grads = ys.sum_all()?.backward()?; // candle's own pool says 0.25 here
/// assert_eq!(grads.get(&xs).unwrap().flatten_all()?.to_vec1::<f32>()?, [0.0, 0.0, 1.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn max_pool2d(xs: &Tensor, window: &Window, rounding: Rounding) -> Result<Tensor> {
    sliding("max_pool2d", xs, window, (rounding, Border::Excluded), Pooling::Max)
}

/// [`max_pool2d`] of sequences `(n, l, c)` with a window of height 1, such as [`Window::line`].
///
/// # Errors
/// As [`max_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Rounding, Window, nhwc::max_pool1d};
/// let xs = Tensor::new(&[[[1f32], [3.0], [2.0]]], &Device::Cpu)?;
/// let ys = max_pool1d(&xs, &Window::line(3, 1), Rounding::Down)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [3.0, 3.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn max_pool1d(xs: &Tensor, window: &Window, rounding: Rounding) -> Result<Tensor> {
    line("max_pool1d", xs, window, |xs| max_pool2d(xs, window, rounding))
}

/// Takes the mean of each window.
///
/// A window that rounding up lets reach over the padding counts what is inside of map and padding.
///
/// # Shapes
/// As [`max_pool2d`].
///
/// # Errors
/// As [`max_pool2d`].
///
/// # Source
/// `torch.nn.functional.avg_pool2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Border, Rounding, Window, nhwc::avg_pool2d};
/// let xs = Tensor::new(&[[[[9f32], [9.0]], [[9.0], [9.0]]]], &Device::Cpu)?;
/// let window = Window::square(3, 3); // one window, four of its nine elements in the map
/// let mean = |border| avg_pool2d(&xs, &window, Rounding::Down, border)?.flatten_all()?.to_vec1::<f32>();
/// assert_eq!(mean(Border::Counted)?, [4.0]);
/// assert_eq!(mean(Border::Excluded)?, [9.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn avg_pool2d(
    xs: &Tensor,
    window: &Window,
    rounding: Rounding,
    border: Border,
) -> Result<Tensor> {
    sliding("avg_pool2d", xs, window, (rounding, border), Pooling::Mean)
}

/// [`avg_pool2d`] of sequences `(n, l, c)` with a window of height 1, such as [`Window::line`].
///
/// # Errors
/// As [`max_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Border, Rounding, Window, nhwc::avg_pool1d};
/// let xs = Tensor::new(&[[[1f32], [2.0], [6.0]]], &Device::Cpu)?;
/// let ys = avg_pool1d(&xs, &Window::line(3, 1), Rounding::Down, Border::Excluded)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.5, 3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn avg_pool1d(
    xs: &Tensor,
    window: &Window,
    rounding: Rounding,
    border: Border,
) -> Result<Tensor> {
    line("avg_pool1d", xs, window, |xs| avg_pool2d(xs, window, rounding, border))
}

/// Takes the norm `(Σ |x|ᵖ)^(1/p)` of each window.
///
/// # Shapes
/// As [`max_pool2d`].
///
/// # Numerics
/// Powers of magnitudes, where PyTorch takes powers of `x`: the same for even `p`, and for odd `p` a norm where PyTorch has no number.
/// A window that rounding up lets reach over the map sums what is there; PyTorch enlarges that sum by the share outside. The gradient
/// where all are zero is zero.
///
/// # Errors
/// As [`max_pool2d`], and [`Error::Number`] if `p` is not positive and finite.
///
/// # Source
/// `torch.nn.functional.lp_pool2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Padding, Rounding, Window, nhwc::lp_pool2d};
/// let xs = Tensor::new(&[[[[3f32], [-4.0]]]], &Device::Cpu)?;
/// let window = Window { kernel: [1, 2], padding: Padding::Valid, ..Window::square(1, 1) };
/// assert_eq!(lp_pool2d(&xs, 2.0, &window, Rounding::Down)?.flatten_all()?.to_vec1::<f32>()?, [5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lp_pool2d(xs: &Tensor, p: f64, window: &Window, rounding: Rounding) -> Result<Tensor> {
    let op = "lp_pool2d";
    if !(p > 0.0 && p.is_finite()) {
        return Err(Error::Number { op, what: "p", got: p, expected: "positive and finite" });
    }
    sliding(op, xs, window, (rounding, Border::Excluded), Pooling::Lp { p })
}

/// [`lp_pool2d`] of sequences `(n, l, c)` with a window of height 1, such as [`Window::line`].
///
/// # Errors
/// As [`lp_pool2d`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Rounding, Window, nhwc::lp_pool1d};
/// let xs = Tensor::new(&[[[1f32], [-2.0], [3.0]]], &Device::Cpu)?;
/// let ys = lp_pool1d(&xs, 1.0, &Window::line(3, 3), Rounding::Down)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn lp_pool1d(xs: &Tensor, p: f64, window: &Window, rounding: Rounding) -> Result<Tensor> {
    line("lp_pool1d", xs, window, |xs| lp_pool2d(xs, p, window, rounding))
}

fn line(
    op: &'static str,
    xs: &Tensor,
    window: &Window,
    pool: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    as_lines(op, xs, |xs| {
        check_line(op, window, xs.dims()[2])?;
        pool(xs)
    })
}

fn sliding(
    op: &'static str,
    xs: &Tensor,
    window: &Window,
    how: (Rounding, Border),
    pooling: Pooling,
) -> Result<Tensor> {
    let (xs, window) = filled(op, xs, window)?;
    let shape = windows(op, Map::of(op, &xs)?, &window, how)?;
    pooled(op, &xs, shape, pooling)
}

/// The windows of a map; the padding of `window` is explicit.
fn windows(
    op: &'static str,
    map: Map,
    window: &Window,
    (rounding, border): (Rounding, Border),
) -> Result<PoolShape> {
    let out = match rounding {
        Rounding::Down => window.output_size(map.size()),
        Rounding::Up => window.output_size_ceil(map.size()),
    };
    let mismatch = || mismatch(op, window, map.size());
    let (out, pads) = (out.ok_or_else(mismatch)?, window.pads(map.size()));
    let Window { kernel, stride, dilation, .. } = *window;
    let counts_padding = border == Border::Counted;
    let window = PoolWindow { kernel, stride, dilation, pads, counts_padding };
    if dilation.contains(&0) {
        return Err(mismatch());
    }
    let padding_only = Error::PaddingOnly { op, kernel, dilation, pads };
    PoolShape::sliding(map.sizes(), &window, out).ok_or(padding_only)
}

/// Pools the windows of `xs`, which is a map they were made for.
pub(crate) fn pooled(
    name: &'static str,
    xs: &Tensor,
    shape: PoolShape,
    pooling: Pooling,
) -> Result<Tensor> {
    let map = Map::of(name, xs)?;
    let out = map.with(shape.out(), map.c);
    apply(Pool { name, shape, pooling }, xs, [None; 2], out)
}

struct Pool {
    name: &'static str,
    shape: PoolShape,
    pooling: Pooling,
}

impl Operation for Pool {
    const NAME: &'static str = "pool";

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        device.windows_forward(&self.shape, self.pooling, Source::plain(inputs[0]), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            let xs = Source::plain(inputs[0]);
            device.windows_backward(&self.shape, self.pooling, gradient, xs, sink(out));
        }
    }
}
