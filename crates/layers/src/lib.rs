//! Layers for anybody's candle model, and whole networks as one candle module; gradients, initializers and losses.
//!
//! Above: `train`, `transfer`, users of candle. Below: `engine`, `model`, `ops`, `graph`, candle. Not here: the reverse pass of a network
//! (`engine::Trainer`), operations without parameters of their own (`ops`), optimizers (`optim`).
//!
//! - **Layers** ([`Conv2d`], [`BatchNorm`], [`MaxPool2d`], [`InvertedResidual`], …) are candle modules with a constructor that takes a
//!   configuration and a `VarBuilder`. Parameters have PyTorch's names, shapes and initial values, so its files load as they are; from
//!   [`init::var_builder`] new ones come from a seed. What cannot work is refused by the constructor.
//! - **Layout.** `forward` takes and gives candle's `(n, c, h, w)`. Between two layers that costs two copies: a [`Sequential`], or
//!   [`ModuleNhwc::forward_nhwc`] by hand, keeps channels last in between.
//! - **Modes.** Layers that train and evaluate alike are `Module`s, the others `ModuleT`s; `forward_t` fits all.
//! - **[`Network`]** is a graph run by the engine: much faster than layers one by one, for the networks that a graph can say.
//!
//! A small classifier learns for ten steps what is bright at the left:
//! ```
//! use candle_core::{DType, Device, ModuleT, Tensor};
//! use candle_nn::{Optimizer, SGD, VarMap};
//! use taper_layers::{
//!     Activate, Activation, BatchNorm, BatchNormConfig, Conv2d, ConvConfig, Flatten, Linear, LinearConfig, MaxPool2d,
//!     PoolConfig, Sequential, Window, init::var_builder, loss::cross_entropy,
//! };
//!
//! let vars = VarMap::new();
//! let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
//! let net = Sequential::default()
//!     .add(Conv2d::new(ConvConfig::new(1, 4, Window::square(3, 1)), vb.pp("conv"))?)
//!     .add(BatchNorm::new(BatchNormConfig::new(4), vb.pp("bn"))?)
//!     .add(Activate(Activation::Relu))
//!     .add(MaxPool2d::new(PoolConfig::square(2, 2))?)
//!     .add(Flatten)
//!     .add(Linear::new(LinearConfig::new(4 * 2 * 2, 2), vb.pp("fc"))?);
//!
//! let (left, right) = ([1f32, 1.0, 0.0, 0.0], [0f32, 0.0, 1.0, 1.0]);
//! let images = Tensor::new(&[[[left; 4]], [[right; 4]]], &Device::Cpu)?; // (2, 1, 4, 4)
//! let classes = Tensor::new(&[0u32, 1], &Device::Cpu)?;
//! let mut sgd = SGD::new(vars.all_vars(), 0.1)?;
//! let mut losses = Vec::new();
//! for _ in 0..10 {
//!     let loss = cross_entropy(&net.forward_t(&images, true)?, &classes, 0.0)?;
//!     sgd.backward_step(&loss)?;
//!     losses.push(loss.to_scalar::<f32>()?);
//! }
//! assert!(losses[9] < 0.2 * losses[0], "{losses:?}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod init;
pub mod loss;
mod module;
mod network;
mod parameter;
mod tensors;

pub use error::{Error, Result};
pub use module::{
    Activate, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d,
    AvgPool1d, AvgPool2d, AvgPoolConfig, BatchNorm, BatchNormConfig, BlockGate, BlurPool2d,
    BlurPoolConfig, Conv1d, Conv2d, ConvConfig, ConvNormAct, ConvTranspose1d, ConvTranspose2d,
    ConvTransposeConfig, DepthwiseSeparable, DepthwiseSeparableConfig, DropPath, Dropout, Flatten,
    GlobalAvgPool2d, GlobalMaxPool2d, GroupNorm, GroupNormConfig, InvertedResidual,
    InvertedResidualConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, LpPool1d, LpPool2d,
    LpPoolConfig, MaxPool1d, MaxPool2d, ModuleNhwc, NormAct, PRelu, PReluConfig, Pad2d, PoolConfig,
    Sequential, SqueezeExcite, SqueezeExciteConfig, Statistics, Target, Upsample,
};
pub use network::{LossAndGrads, Network, NetworkPart, PartValue, SyncedValue, Training};
pub use parameter::Parameter;
pub use taper_engine::{MatmulPrecision, Recompute, Session, SumOverParts};
pub use taper_graph::{Bias, PadMode, Padding, Window};
pub use taper_ops::{Activation, Border, Resampling, Rounding};
pub use tensors::NamedTensors;
