//! From maps to vectors, in PyTorch's order.
//!
//! Above: users of candle. Below: `ops::to_nchw`. Not here: the mean of each map (`pool`).

use candle_core::{Module, Tensor};

use super::ModuleNhwc;

/// Makes a vector of each map: channel by channel, row by row, also where the map is channels last.
///
/// # Shapes
/// `(n, c, h, w)` to `(n, c·h·w)`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{Flatten, ModuleNhwc};
/// let xs = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 1, 3, 2))?; // (n, h, w, c)
/// let ys = Flatten.forward_nhwc(&xs, false)?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[0.0, 2.0, 4.0, 1.0, 3.0, 5.0]]);
/// assert_eq!(Flatten.forward(&xs.permute((0, 3, 1, 2))?)?.to_vec2::<f32>()?, ys.to_vec2::<f32>()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Flatten;

impl ModuleNhwc for Flatten {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        match xs.rank() {
            3 | 4 => self.forward(&taper_ops::to_nchw(xs)?),
            _ => self.forward(xs),
        }
    }
}

impl Module for Flatten {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        xs.flatten_from(1)
    }
}
