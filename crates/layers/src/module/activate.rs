//! Activations as layers: the fixed ones, and the one with a learned slope.
//!
//! Above: users of candle, blocks of `module`. Below: `ops::{activation, prelu}`. Not here: their formulas ([`Activation`]).

use candle_core::{Module, Tensor};
use candle_nn::VarBuilder;
use taper_ops::Activation;

use super::{ModuleNhwc, in_candle, refuse, variables};
use crate::error::Result;

/// Applies an [`Activation`] to every value.
///
/// # Shapes
/// Any, and the same.
///
/// # Examples
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use taper_layers::{Activate, Activation};
/// let xs = Tensor::new(&[-3f32, 0.0, 7.0], &Device::Cpu)?;
/// assert_eq!(Activate(Activation::Relu6).forward(&xs)?.to_vec1::<f32>()?, [0.0, 0.0, 6.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activate(pub Activation);

impl ModuleNhwc for Activate {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        self.forward(xs)
    }
}

impl Module for Activate {
    fn forward(&self, xs: &Tensor) -> candle_core::Result<Tensor> {
        Ok(taper_ops::activation(xs, self.0)?)
    }
}

/// How many slopes there are, and where they begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PReluConfig {
    /// 1 for all channels, PyTorch's default, or as many as channels.
    pub slopes: usize,
    /// Their initial value, 0.25 as in PyTorch.
    pub init: f64,
}

impl Default for PReluConfig {
    fn default() -> Self {
        Self { slopes: 1, init: 0.25 }
    }
}

/// Keeps what is positive and multiplies the rest by a learned slope.
///
/// # Shapes
/// `(n, c, h, w)`, `(n, c, l)` or `(n, c)`, and the same.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{PRelu, PReluConfig, init::var_builder};
/// let vars = VarMap::new();
/// let prelu = PRelu::new(PReluConfig::default(), var_builder(&vars, 0, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::new(&[[-4f32, 2.0]], &Device::Cpu)?;
/// assert_eq!(prelu.forward(&xs)?.to_vec2::<f32>()?, [[-1.0, 2.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PRelu {
    /// `(slopes)`.
    weight: Tensor,
}

impl PRelu {
    /// Takes `weight` from `vb`.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) for no slopes; [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameter.
    pub fn new(config: PReluConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let PReluConfig { slopes, init } = config;
        let checked = refuse::positive("PRelu", "slopes", &[slopes]);
        checked.map_err(refuse::within(vb.prefix()))?;
        Ok(Self { weight: variables::vector(&vb, "weight", slopes, init)? })
    }

    /// `(slopes)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl ModuleNhwc for PRelu {
    fn forward_nhwc(&self, xs: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
        Ok(taper_ops::nhwc::prelu(xs, &self.weight)?)
    }
}

in_candle!(Module for PRelu);
