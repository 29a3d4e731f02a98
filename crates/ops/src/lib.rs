//! Convolution, pooling, norms and what is around them, as single candle operations with right and fast gradients.
//!
//! For anybody's own candle model, on a CPU. candle's convolution with groups is one convolution a group, so that a depthwise layer takes
//! time quadratic in its channels backward; its max-pool gradient is too small by the size of the window and exists for pools that do not
//! overlap only; its pools know no padding, and there are no adaptive ones; bilinear upsampling and transposed convolution in one
//! dimension have no gradient. Here every function has one for each of its arguments, checked against finite differences.
//!
//! - **Layout.** Operations that know channels are in [`nhwc`]: maps are `(n, h, w, c)`, sequences `(n, l, c)`, vectors `(n, c)`, channels
//!   last, where the kernels are fast. Weights keep PyTorch's shapes. [`to_nhwc`] and [`to_nchw`] stand at a model's doors. A tensor
//!   that is not contiguous is copied first.
//! - **Element types.** `f32` runs on all cores with the best vector instructions the machine has; `f64` runs on plain loops, for checking
//!   gradients of a model. Anything else, and any other device, is refused.
//! - **No work for nobody.** A gradient is computed for arguments with a tape alone: not for pictures, not for frozen weights.
//! - **Refusals.** A configuration that makes no sense is an [`Error`] that shows the formula which failed, with its numbers; `?` turns it
//!   into candle's own error where that is wanted. An empty batch is legal: empty output, gradients zero.
//! - **Threads.** All cores, or as many as [`with_threads`] says. Sums have one order for one number of threads.
//!
//! A block of MobileNetV2's kind, trained for one step:
//! ```
//! use candle_core::{DType, Device, Tensor, Var};
//! use taper_ops::nhwc::{batch_norm, conv2d, global_avg_pool2d};
//! use taper_ops::{Activation, Window, activation, to_nhwc};
//!
//! let var = |shape: &[usize], value: f64| Var::from_tensor(&Tensor::full(value as f32, shape, &Device::Cpu)?);
//! let (depthwise, pointwise) = (var(&[3, 1, 3, 3], 0.1)?, var(&[8, 3, 1, 1], 0.2)?);
//! let (weight, bias) = (var(&[3], 1.0)?, var(&[3], 0.5)?);
//!
//! let images = Tensor::arange(0f32, 600.0, &Device::Cpu)?.reshape((2, 3, 10, 10))?; // as candle has them
//! let xs = to_nhwc(&images)?;
//! let xs = conv2d(&xs, &depthwise, None, &Window::square(3, 2), 3)?;
//! let (xs, batch) = batch_norm(&xs, &weight, &bias, 1e-5)?;
//! let xs = activation(&xs, Activation::Relu6)?;
//! let xs = conv2d(&xs, &pointwise, None, &Window::point(), 1)?;
//! let ys = global_avg_pool2d(&xs)?.flatten_from(1)?;
//! assert_eq!(ys.dims(), [2, 8]);
//!
//! let grads = ys.sqr()?.sum_all()?.backward()?;
//! for var in [&depthwise, &pointwise, &weight, &bias] {
//!     assert_eq!(grads.get(var).unwrap().dims(), var.dims());
//! }
//! let (mean, var) = (Tensor::zeros(3, DType::F32, &Device::Cpu)?, Tensor::ones(3, DType::F32, &Device::Cpu)?);
//! let (mean, var) = batch.running(&mean, &var, 0.1)?; // for evaluation, with `batch_norm_frozen`
//! # assert_eq!((mean.dims(), var.dims()), (&[3usize][..], &[3usize][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod adaptive;
mod affine;
mod attention;
mod batch_norm;
mod conv;
mod conv_transpose;
mod element;
mod error;
mod input;
mod layout;
mod map;
mod norm;
mod operation;
mod pool;
mod resample;
mod shuffle;

pub use activation::activation;
pub use batch_norm::BatchStatistics;
pub use element::with_threads;
pub use error::{Error, Result};
pub use input::{AxisOrder, with_axis_order};
pub use layout::{to_nchw, to_nhwc};
pub use pool::{Border, Rounding};
pub use taper_graph::{PadMode, Padding, Window};
pub use taper_kernels::{Activation, Resampling};

/// The operations that know channels, which are last: `(n, h, w, c)`, `(n, l, c)`, `(n, c)`.
///
/// [`to_nhwc`] and [`to_nchw`] turn from and to candle's order; the layers of `taper-layers` take candle's order themselves.
pub mod nhwc {
    pub use crate::activation::prelu;
    pub use crate::adaptive::{
        adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_max_pool1d, adaptive_max_pool2d,
        global_avg_pool2d, global_max_pool2d,
    };
    pub use crate::affine::{channel_affine, channel_gate};
    pub use crate::attention::attention;
    pub use crate::batch_norm::{batch_norm, batch_norm_frozen};
    pub use crate::conv::{conv1d, conv2d};
    pub use crate::conv_transpose::{conv_transpose1d, conv_transpose2d};
    pub use crate::norm::{group_norm, layer_norm};
    pub use crate::pool::{
        avg_pool1d, avg_pool2d, lp_pool1d, lp_pool2d, max_pool1d, max_pool2d,
        max_pool2d_with_indices,
    };
    pub use crate::resample::{blur_pool2d, interpolate, pad};
    pub use crate::shuffle::channel_shuffle;
}
