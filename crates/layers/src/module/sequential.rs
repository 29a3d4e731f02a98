//! Layers in a row, turned twice in all.
//!
//! Above: users of candle, blocks of `module`. Below: any `ModuleNhwc`. Not here: candle's own sequence, which turns at every layer.

use candle_core::Tensor;

use super::{ModuleNhwc, in_candle};

/// Layers, each of which takes what the one before gives. `forward_t` turns at its two doors alone.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{
///     Activate, Activation, BatchNorm, BatchNormConfig, Conv2d, ConvConfig, Sequential, Window, init::var_builder,
/// };
/// let vars = VarMap::new();
/// let vb = var_builder(&vars, 0, DType::F32, &Device::Cpu);
/// let stem = Sequential::default()
///     .add(Conv2d::new(ConvConfig::new(3, 8, Window::square(3, 2)), vb.pp("0"))?)
///     .add(BatchNorm::new(BatchNormConfig::new(8), vb.pp("1"))?)
///     .add(Activate(Activation::Relu));
/// let xs = Tensor::ones((2, 3, 16, 16), DType::F32, &Device::Cpu)?;
/// assert_eq!(stem.forward_t(&xs, true)?.dims(), [2, 8, 8, 8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn ModuleNhwc + Send + Sync>>);

impl Sequential {
    /// Appends a layer.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "candle's word for it")]
    pub fn add(mut self, layer: impl ModuleNhwc + Send + Sync + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequential({} layers)", self.0.len())
    }
}

impl ModuleNhwc for Sequential {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.0.iter().try_fold(xs.clone(), |xs, layer| layer.forward_nhwc(&xs, train))
    }
}

in_candle!(ModuleT for Sequential);
