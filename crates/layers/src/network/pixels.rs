//! The door for images: candle's `(n, c, h, w)` as the engine's contiguous `(n, h, w, c)`, and the way back for outputs.
//!
//! Above: `network`. Below: candle. Not here: making batches (`data`).

use candle_core::{DType, Tensor};

use crate::error::{Error, Result, at};
use crate::parameter::values_of;

/// A contiguous `(n, h, w, c)` view of a batch: the same memory if it is channels-last, else a copy. Part of the same computation.
pub(super) fn as_pixels(xs: &Tensor, channels: usize) -> Result<Tensor> {
    let fits = matches!(*xs.dims(), [_, c, h, w] if c == channels && h > 0 && w > 0)
        && xs.dtype() == DType::F32
        && xs.device().is_cpu();
    if !fits {
        return Err(refused(xs, xs.dims().to_vec(), channels));
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
        None => Err(refused(pixels, vec![n, channels, h, w], channels)),
    }
}

/// No batch of this network, whose shape is `got` in candle's order.
fn refused(xs: &Tensor, got: Vec<usize>, channels: usize) -> Error {
    let device = format!("{:?}", xs.device().location());
    Error::Input { got_dtype: xs.dtype().as_str(), got, device, channels }
}

/// An output as candle has it: `(n, c)` stays, `(n, h, w, c)` is seen as `(n, c, h, w)`.
pub(super) fn as_output(xs: &Tensor) -> candle_core::Result<Tensor> {
    if xs.rank() == 4 { xs.permute((0, 3, 1, 2)) } else { Ok(xs.clone()) }
}
