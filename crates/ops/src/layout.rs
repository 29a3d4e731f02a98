//! The two orders of a map's axes, each other's backward pass.
//!
//! Above: users of candle, `layers`. Below: `operation`, `element`. Not here: weights, which keep PyTorch's order everywhere.
//! candle's `permute` is free forward; backward it fills a tensor of zeros and adds the gradient to it, one element at a time on one
//! thread. A copy costs less than that once, and what follows runs on contiguous memory.

use candle_core::Tensor;

use crate::element::Element;
use crate::error::{Error, Result, within};
use crate::map::shape;
use crate::operation::{InputGrads, Operation, apply};

/// Rows of a task, and the side of the square tiles in which it reads and writes.
const TILE: usize = 32;

/// Puts channels last: `(n, c, h, w)` to `(n, h, w, c)`, or `(n, c, l)` to `(n, l, c)`.
///
/// A tensor without a tape whose memory is channels-last already is not copied.
///
/// # Errors
/// [`Error::Shape`] for another number of axes, [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 2, 1, 3))?;
/// let ys = taper_ops::to_nhwc(&xs)?;
/// assert_eq!(ys.dims(), [1, 1, 3, 2]);
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_nhwc(xs: &Tensor) -> Result<Tensor> {
    let (op, expected) = ("to_nhwc", "(n, c, h, w) or (n, c, l)");
    let (last, out) = match *xs.dims() {
        [n, c, h, w] => (xs.permute((0, 2, 3, 1)), vec![n, h, w, c]),
        [n, c, l] => (xs.permute((0, 2, 1)), vec![n, l, c]),
        _ => return Err(shape(op, "xs", xs, expected)),
    };
    let (last, c) = (last.map_err(within(op))?, xs.dims()[1]);
    if last.is_contiguous() && !xs.track_op() && xs.device().is_cpu() {
        return Ok(last);
    }
    turned(op, xs, [c, out[1..out.len() - 1].iter().product()], out)
}

/// Puts channels first: `(n, h, w, c)` to `(n, c, h, w)`, or `(n, l, c)` to `(n, c, l)`.
///
/// # Errors
/// [`Error::Shape`] for another number of axes, [`Error::DType`], [`Error::Device`].
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{to_nchw, to_nhwc};
/// let xs = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 2, 1, 3))?;
/// assert_eq!(to_nchw(&to_nhwc(&xs)?)?.flatten_all()?.to_vec1::<f32>()?, xs.flatten_all()?.to_vec1::<f32>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_nchw(xs: &Tensor) -> Result<Tensor> {
    let op = "to_nchw";
    let (positions, out) = match *xs.dims() {
        [n, h, w, c] => (h * w, vec![n, c, h, w]),
        [n, l, c] => (l, vec![n, c, l]),
        _ => return Err(shape(op, "xs", xs, "(n, h, w, c) or (n, l, c)")),
    };
    let c = out[1];
    turned(op, xs, [positions, c], out)
}

fn turned(
    name: &'static str,
    xs: &Tensor,
    [rows, cols]: [usize; 2],
    out: Vec<usize>,
) -> Result<Tensor> {
    if rows.checked_mul(cols).is_none() {
        return Err(Error::TooLarge { op: name });
    }
    apply(Turn { name, rows, cols }, xs, [None; 2], out)
}

/// Each picture is a matrix of `rows` by `cols`; its output is the transpose.
struct Turn {
    name: &'static str,
    rows: usize,
    cols: usize,
}

impl Operation for Turn {
    const NAME: &'static str = "turn";

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        transpose(device, [self.rows, self.cols], inputs[0], y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        _inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            transpose(device, [self.cols, self.rows], gradient, out);
        }
    }
}

/// Some rows of one output matrix.
struct Task<'a, T> {
    from: &'a [T],
    first: usize,
    to: &'a mut [T],
}

/// Transposes matrices of `rows` by `cols`, one behind the other.
fn transpose<T: Element>(
    device: &mut T::Device,
    [rows, cols]: [usize; 2],
    from: &[T],
    to: &mut [T],
) {
    let matrices = from.chunks_exact(rows * cols).zip(to.chunks_exact_mut(rows * cols));
    let mut tasks: Vec<_> = matrices
        .flat_map(|(from, to)| {
            let strips = to.chunks_mut(TILE * rows).enumerate();
            strips.map(move |(i, to)| Task { from, first: i * TILE, to })
        })
        .collect();
    T::each(device, &mut tasks, |Task { from, first, to }| {
        for start in (0..rows).step_by(TILE) {
            let end = (start + TILE).min(rows);
            for (col, to) in (*first..).zip(to.chunks_exact_mut(rows)) {
                let column = from[start * cols..end * cols].iter().skip(col).step_by(cols);
                to[start..end].iter_mut().zip(column).for_each(|(to, from)| *to = *from);
            }
        }
    });
}
