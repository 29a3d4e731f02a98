//! Where the largest value of each window was.
//!
//! Above: `pool`. Below: `map`, `kernels::PoolShape`. Not here: the values themselves and their gradient (`pool`).
//! Source: `torch.nn.functional.max_pool2d` with `return_indices`: flat positions `row·w + column` in the map of each channel.

use candle_core::{DType, Tensor};
use taper_graph::{PadMode, Window};
use taper_kernels::{PoolShape, Pooling, Real};

use super::{Border, Rounding, pooled, windows};
use crate::error::{Error, Result, within};
use crate::map::{Map, filled};

/// The name in messages.
const OP: &str = "max_pool2d_with_indices";

/// [`max_pool2d`](super::max_pool2d), and where the values came from: of equals the first, and of NaN the last, as in PyTorch.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns values and, as `u32`, positions `row·w + column`, both `(n, oh, ow, c)`
///
/// # Errors
/// As [`max_pool2d`](super::max_pool2d); [`Error::PaddingMode`] for a mode other than zeros, whose padding has no position.
///
/// # Source
/// `torch.nn.functional.max_pool2d` with `return_indices=True`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Padding, Rounding, Window, nhwc::max_pool2d_with_indices};
/// let xs = Tensor::new(&[[[[1f32], [2.0]], [[4.0], [4.0]]]], &Device::Cpu)?;
/// let window = Window { padding: Padding::Valid, ..Window::square(2, 2) };
/// let (_, indices) = max_pool2d_with_indices(&xs, &window, Rounding::Down)?;
/// assert_eq!(indices.flatten_all()?.to_vec1::<u32>()?, [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn max_pool2d_with_indices(
    xs: &Tensor,
    window: &Window,
    rounding: Rounding,
) -> Result<(Tensor, Tensor)> {
    if window.mode != PadMode::Zeros {
        return Err(Error::PaddingMode { op: OP, mode: window.mode });
    }
    let (xs, window) = filled(OP, xs, window)?;
    let map = Map::of(OP, &xs)?;
    let shape = windows(OP, map, &window, (rounding, Border::Excluded))?;
    if u32::try_from(map.positions()).is_err() {
        return Err(Error::TooLarge { op: OP });
    }
    let ys = pooled(OP, &xs, shape.clone(), Pooling::Max)?;
    let indices = match xs.dtype() {
        DType::F64 => flat::<f64>(&xs, &shape, map),
        _ => flat::<f32>(&xs, &shape, map),
    };
    let indices = indices.and_then(|at| Tensor::from_vec(at, ys.shape(), ys.device()));
    Ok((ys, indices.map_err(within(OP))?))
}

fn flat<T: Real + candle_core::WithDType>(
    xs: &Tensor,
    shape: &PoolShape,
    map: Map,
) -> candle_core::Result<Vec<u32>> {
    let values = xs.detach().flatten_all()?.to_vec1::<T>()?;
    let ([oh, ow], mut indices) = (shape.out(), Vec::new());
    for image in values.chunks_exact(map.positions() * map.c) {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            for c in 0..map.c {
                let largest = shape.largest(i, j, |pixel| image[pixel * map.c + c]);
                indices.push(u32::try_from(largest).map_err(candle_core::Error::wrap)?);
            }
        }
    }
    Ok(indices)
}
