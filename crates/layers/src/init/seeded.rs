//! A `VarBuilder` whose new variables come from a seed.
//!
//! Above: `init`, users of candle. Below: `Initializer`, candle's `VarMap`. Not here: reading weights from files (`candle_nn`).
//! The hints that modules of `candle_nn` give are followed; only the random numbers are others.

use std::sync::PoisonError;

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{VarBuilder, VarMap};

use super::{Distribution, Fan, Initializer, Nonlinearity, like};

/// A builder that takes variables from `vars` and makes missing ones from `seed`, each by its name and its module's hint.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device};
/// use candle_nn::VarMap;
/// use taper_layers::init::var_builder;
/// let weight = |seed| -> candle_core::Result<Vec<Vec<f32>>> {
///     let vars = VarMap::new();
///     let vb = var_builder(&vars, seed, DType::F32, &Device::Cpu);
///     candle_nn::linear(3, 2, vb.pp("fc"))?.weight().to_vec2()
/// };
/// assert_eq!(weight(1)?, weight(1)?);
/// assert_ne!(weight(1)?, weight(2)?);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn var_builder(vars: &VarMap, seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
    let backend = Seeded { vars: vars.clone(), seed };
    VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
}

/// The initializer that a candle hint describes.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) if it has a number that is not finite, a negative deviation, or bounds in the wrong order.
///
/// # Examples
/// ```
/// use taper_layers::init::{Fan, Initializer, Nonlinearity, Distribution, from_hint};
/// let hint = candle_nn::init::DEFAULT_KAIMING_NORMAL;
/// assert_eq!(from_hint(hint)?, Initializer::kaiming(Fan::In, Distribution::Normal, Nonlinearity::Relu)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_hint(hint: candle_nn::Init) -> crate::Result<Initializer> {
    use candle_nn::Init;
    use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
    Ok(match hint {
        Init::Const(value) => Initializer::constant(value)?,
        Init::Randn { mean, stdev } => Initializer::normal(mean, stdev)?,
        Init::Uniform { lo, up } => Initializer::uniform(lo, up)?,
        Init::Kaiming { dist, fan, non_linearity } => {
            let fan = match fan {
                FanInOut::FanIn => Fan::In,
                FanInOut::FanOut => Fan::Out,
            };
            let spread = match dist {
                NormalOrUniform::Normal => Distribution::Normal,
                NormalOrUniform::Uniform => Distribution::Uniform,
            };
            let nonlinearity = match non_linearity {
                NonLinearity::ReLU => Nonlinearity::Relu,
                NonLinearity::Linear => Nonlinearity::Linear,
                NonLinearity::Sigmoid => Nonlinearity::Sigmoid,
                NonLinearity::Tanh => Nonlinearity::Tanh,
                NonLinearity::SELU => Nonlinearity::Selu,
                NonLinearity::ExplicitGain(gain) => Nonlinearity::Other { gain },
            };
            Initializer::kaiming(fan, spread, nonlinearity)?
        }
    })
}

struct Seeded {
    vars: VarMap,
    seed: u64,
}

impl SimpleBackend for Seeded {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = vars.get(name) {
            if *var.shape() != shape {
                bail!("variable `{name}` has shape {:?}, expected {shape:?}", var.shape())
            }
            return Ok(var.as_tensor().clone());
        }
        let tensor = like(&from_hint(hint)?, &shape, (self.seed, name), dtype, device)?;
        let var = Var::from_tensor(&tensor)?;
        let tensor = var.as_tensor().clone();
        vars.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        let vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        match vars.get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => bail!("there is no variable `{name}`, and none can be made without its shape"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        let vars = self.vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        vars.contains_key(name)
    }
}
