//! Layers as candle modules: one file a layer, configuration, layer, constructor, forward.
//!
//! Above: users of candle. Below: `ops`, candle. Not here: networks that are a graph (`network`), losses (`loss`).
//! `forward` takes and gives candle's `(n, c, h, w)`; `forward_nhwc` takes and gives `(n, h, w, c)` and is for chains, which need to turn
//! their tensors twice and not at every layer. Parameters have PyTorch's names and shapes.
#![expect(
    clippy::needless_pass_by_value,
    reason = "a `VarBuilder` is passed by value, as in candle's own layers"
)]

mod activate;
mod adaptive_pool;
mod batch_norm;
mod block;
mod conv;
mod conv_norm_act;
mod conv_transpose;
mod dropout;
mod flatten;
mod linear;
mod lp_pool;
mod norm;
mod pool;
mod refuse;
mod resample;
mod sequential;
mod squeeze_excite;
mod variables;

use candle_core::{Result, Tensor};
use taper_ops::AxisOrder;

pub use activate::{Activate, PRelu, PReluConfig};
pub use adaptive_pool::{
    AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, GlobalAvgPool2d,
    GlobalMaxPool2d,
};
pub use batch_norm::{BatchNorm, BatchNormConfig, Statistics};
pub use block::{
    BlockGate, DepthwiseSeparable, DepthwiseSeparableConfig, InvertedResidual,
    InvertedResidualConfig,
};
pub use conv::{Conv1d, Conv2d, ConvConfig};
pub use conv_norm_act::{ConvNormAct, NormAct};
pub use conv_transpose::{ConvTranspose1d, ConvTranspose2d, ConvTransposeConfig};
pub use dropout::{DropPath, Dropout};
pub use flatten::Flatten;
pub use linear::{Linear, LinearConfig};
pub use lp_pool::{LpPool1d, LpPool2d, LpPoolConfig};
pub use norm::{GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig};
pub use pool::{AvgPool1d, AvgPool2d, AvgPoolConfig, MaxPool1d, MaxPool2d, PoolConfig};
pub use resample::{BlurPool2d, BlurPoolConfig, Pad2d, Target, Upsample};
pub use sequential::Sequential;
pub use squeeze_excite::{SqueezeExcite, SqueezeExciteConfig};

/// A layer on channels-last tensors.
///
/// # Shapes
/// Maps are `(n, h, w, c)`, sequences `(n, l, c)`, vectors `(n, c)`.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use taper_layers::{MaxPool2d, ModuleNhwc, PoolConfig};
/// let pool = MaxPool2d::new(PoolConfig::square(2, 2))?;
/// let xs = Tensor::zeros((1, 8, 6, 3), DType::F32, &Device::Cpu)?;
/// assert_eq!(pool.forward_nhwc(&xs, true)?.dims(), [1, 4, 3, 3]);
/// assert_eq!(pool.forward(&xs.permute((0, 3, 1, 2))?)?.dims(), [1, 3, 4, 3]); // candle's order
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ModuleNhwc {
    /// Applies the layer; `train` is candle's word for the mode of training, and most layers do not look at it.
    ///
    /// # Errors
    /// If the tensor does not fit the layer: its shape, element type or device.
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> Result<Tensor>;
}

/// The way through a layer for a tensor in candle's order, of which refusals speak too; vectors and scalars have no other order.
fn turned(layer: &(impl ModuleNhwc + ?Sized), xs: &Tensor, train: bool) -> Result<Tensor> {
    let has_positions = |tensor: &Tensor| matches!(tensor.rank(), 3 | 4);
    let xs = if has_positions(xs) { taper_ops::to_nhwc(xs)? } else { xs.clone() };
    let forward = || layer.forward_nhwc(&xs, train);
    let ys = taper_ops::with_axis_order(AxisOrder::ChannelsFirst, forward)?;
    if has_positions(&ys) { Ok(taper_ops::to_nchw(&ys)?) } else { Ok(ys) }
}

/// candle's traits for a layer: `Module` if it is the same in training and evaluation, otherwise `ModuleT`.
macro_rules! in_candle {
    (Module for $($layer:ty),+) => {$(
        impl candle_core::Module for $layer {
            fn forward(&self, xs: &candle_core::Tensor) -> candle_core::Result<candle_core::Tensor> {
                crate::module::turned(self, xs, false)
            }
        }
    )+};
    (ModuleT for $($layer:ty),+) => {$(
        impl candle_core::ModuleT for $layer {
            fn forward_t(
                &self,
                xs: &candle_core::Tensor,
                train: bool,
            ) -> candle_core::Result<candle_core::Tensor> {
                crate::module::turned(self, xs, train)
            }
        }
    )+};
}
use in_candle;
