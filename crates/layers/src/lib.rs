//! A graph as a candle module: parameters as variables, gradients, initializers and losses.
//!
//! Above: `train`, `transfer`, users of candle. Below: `engine`, `model`, `graph`, candle. Not here: the reverse pass itself
//! (`engine::Trainer`), single operations for other people's models (`ops`), optimizers (`optim`).
//! At this door tensors are candle's: images `(n, c, h, w)`, a channels-last view for free; logits `(n, k)`.

mod error;
pub mod init;
pub mod loss;
mod module;
mod network;
mod parameter;

pub use error::{Error, Result};
pub use module::{
    Activate, AvgPool1d, AvgPool2d, AvgPoolConfig, BatchNorm, BatchNormConfig, Conv1d, Conv2d,
    ConvConfig, DropPath, Dropout, Flatten, Linear, LinearConfig, MaxPool1d, MaxPool2d, ModuleNhwc,
    PRelu, PReluConfig, PoolConfig, Sequential, Statistics,
};
pub use network::{Network, Training, Value};
pub use parameter::Parameter;
pub use taper_engine::Session;
pub use taper_graph::{Bias, PadMode, Padding, Window};
pub use taper_ops::{Activation, Border, Rounding};
