//! The door for images: candle's `(n, c, h, w)` as the engine's contiguous `(n, h, w, c)`.
//!
//! Above: `network`. Below: candle. Not here: making batches (`data`).

use candle_core::{DType, Tensor};

use crate::error::{Error, Result, at};
use crate::parameter::values_of;

/// A contiguous `(n, h, w, c)` view of a batch: the same memory if it is channels-last, else a copy.
pub(super) fn as_pixels(xs: &Tensor, channels: usize) -> Result<Tensor> {
    let fits = xs.rank() == 4
        && xs.dims()[1] == channels
        && xs.elem_count() > 0
        && xs.dtype() == DType::F32
        && xs.device().is_cpu();
    if !fits {
        let (got_dtype, got) = (xs.dtype().as_str(), xs.dims().to_vec());
        return Err(Error::Input { got_dtype, got, channels });
    }
    if xs.track_op() {
        return Err(Error::TrackedInput);
    }
    xs.permute((0, 2, 3, 1)).and_then(|xs| xs.contiguous()).map_err(at("input"))
}

/// Calls `f` with the values of such a view and its `[n, h, w]`.
pub(super) fn with_pixels<R>(
    pixels: &Tensor,
    f: impl FnOnce(&[f32], [usize; 3]) -> Result<R>,
) -> Result<R> {
    let (n, h, w, channels) = pixels.dims4().map_err(at("input"))?;
    let (storage, layout) = pixels.storage_and_layout();
    match values_of(&storage, layout) {
        Some(values) => f(values, [n, h, w]),
        None => Err(Error::Input {
            got_dtype: pixels.dtype().as_str(),
            got: vec![n, channels, h, w],
            channels,
        }),
    }
}
