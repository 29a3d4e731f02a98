//! Initial weights from a seed.
//!
//! Above: `Model::random`, new heads, `layers::init`. Below: `init::{fans, stream}`, `taper_graph::Init`. Not here: which
//! parameter begins how (`taper_graph`), tensors of candle (`layers::init`).
//! Each parameter has a random stream of its own, picked by its name: a new head leaves the other layers' values alone.
//! Source: `torch.nn.init`; its formulas, not its random numbers.

mod fans;
mod stream;

use taper_graph::{Init, ParamSpec};

use crate::{Error, Result, Tensor};
pub use fans::{Fan, Fans, Nonlinearity};
use stream::{Stream, Truncated, narrow};

/// Initial value of a parameter; the same for the same seed, name and shape, everywhere.
///
/// # Examples
/// ```
/// use taper_graph::{DType, Init, ParamRole, ParamSpec};
/// let init = Init::Normal { std: 0.01 };
/// let (shape, role) = (vec![2, 3], ParamRole::Weight);
/// let spec = ParamSpec { name: "fc.weight".into(), shape, dtype: DType::F32, role, axes: vec![], init };
/// let tensor = taper_model::init::sample(&spec, 7);
/// assert_eq!(tensor, taper_model::init::sample(&spec, 7));
/// assert!(tensor.data.iter().all(|w| w.abs() < 0.1));
/// ```
#[must_use]
pub fn sample(spec: &ParamSpec, seed: u64) -> Tensor {
    let n = spec.len();
    let mut stream = Stream::new(seed, &spec.name);
    let data = match spec.init {
        Init::Ones => vec![1.0; n],
        Init::Constant { value } => vec![narrow(value); n],
        Init::Normal { std } => stream.normals(n, 0.0, std),
        Init::Uniform { bound } => stream.uniforms(n, -bound, bound),
        Init::KaimingFanOut => {
            // A list has no fans: then its elements.
            let fan_out = Fans::of(&spec.shape).map_or(n, |fans| fans.fan_out);
            let std = kaiming_std(Nonlinearity::Relu, fan_out);
            Distribution::Normal.draw(&mut stream, n, std)
        }
        Init::Zeros => vec![0.0; n],
    };
    Tensor { shape: spec.shape.clone(), data }
}

/// The form of a distribution whose standard deviation is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// Normal.
    Normal,
    /// Uniform in `[−√3 · std, √3 · std]`.
    Uniform,
}

impl Distribution {
    fn draw(self, stream: &mut Stream, n: usize, std: f64) -> Vec<f32> {
        let bound = 3f64.sqrt() * std;
        match self {
            Self::Normal => stream.normals(n, 0.0, std),
            Self::Uniform => stream.uniforms(n, -bound, bound),
        }
    }
}

/// How a parameter begins, with settings that were checked.
///
/// # Examples
/// ```
/// use taper_model::init::{Fan, Initializer, Nonlinearity, Distribution};
/// let kaiming = Initializer::kaiming(Fan::In, Distribution::Normal, Nonlinearity::Relu)?;
/// let values = kaiming.values(&[64, 32, 3, 3], 7, "conv.weight")?;
/// assert_eq!(values, kaiming.values(&[64, 32, 3, 3], 7, "conv.weight")?);
/// let variance = values.iter().map(|w| w * w).sum::<f32>() / values.len() as f32;
/// assert!((variance * (32.0 * 9.0) / 2.0 - 1.0).abs() < 0.05);
/// assert!(kaiming.values(&[64], 7, "conv.bias").is_err()); // a bias has no fans
/// # Ok::<(), taper_model::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Initializer(Kind);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Constant(f64),
    Normal { mean: f64, std: f64 },
    Uniform { low: f64, high: f64 },
    Truncated(Truncated),
    Kaiming { fan: Fan, spread: Distribution, nonlinearity: Nonlinearity },
    Xavier { spread: Distribution, gain: f64 },
}

impl Initializer {
    /// One number.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if it is not finite; likewise below.
    pub fn constant(value: f64) -> Result<Self> {
        Ok(Self(Kind::Constant(finite("the constant", value)?)))
    }

    /// Normal.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if `mean` or `std` is not finite, or `std` negative.
    pub fn normal(mean: f64, std: f64) -> Result<Self> {
        finite("the mean", mean)?;
        at_least("the standard deviation", std, 0.0)?;
        Ok(Self(Kind::Normal { mean, std }))
    }

    /// Uniform in `[low, high)`, before rounding to `f32`.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if a bound is not finite, or `high` below `low`.
    pub fn uniform(low: f64, high: f64) -> Result<Self> {
        finite("the lower bound", low)?;
        at_least("the upper bound", high, low)?;
        Ok(Self(Kind::Uniform { low, high }))
    }

    /// Normal under the condition that it lies in `[low, high]`: PyTorch's `trunc_normal_(mean, std, a, b)`, whose bounds are
    /// values and not standard deviations, −2 and 2 by default. `mean` and `std` are those before truncation.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if a number is not finite, `std` is 0 or less, no `f32` lies between the bounds, or both lie more
    /// than 1e6 standard deviations away.
    pub fn truncated_normal(mean: f64, std: f64, low: f64, high: f64) -> Result<Self> {
        Ok(Self(Kind::Truncated(Truncated::new(mean, std, low, high)?)))
    }

    /// Mean 0 and standard deviation `gain / √fan`: He's, PyTorch's `kaiming_normal_` and `kaiming_uniform_`.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if the gain is not finite or negative.
    ///
    /// # Source
    /// He et al. 2015, <https://arxiv.org/abs/1502.01852>.
    pub fn kaiming(fan: Fan, spread: Distribution, nonlinearity: Nonlinearity) -> Result<Self> {
        at_least("the gain", nonlinearity.gain(), 0.0)?;
        Ok(Self(Kind::Kaiming { fan, spread, nonlinearity }))
    }

    /// Mean 0 and standard deviation `gain · √(2 / (fan_in + fan_out))`: Glorot's, PyTorch's `xavier_normal_` and
    /// `xavier_uniform_`. PyTorch's default gain is 1.
    ///
    /// # Errors
    /// [`Error::InitNumber`] if `gain` is not finite or negative.
    ///
    /// # Source
    /// Glorot and Bengio 2010, <https://proceedings.mlr.press/v9/glorot10a.html>.
    pub fn xavier(spread: Distribution, gain: f64) -> Result<Self> {
        Ok(Self(Kind::Xavier { spread, gain: at_least("the gain", gain, 0.0)? }))
    }

    /// The values of a parameter, row-major; the same for the same seed, name and shape, everywhere.
    ///
    /// # Errors
    /// [`Error::InitFans`] if Kaiming's or Xavier's initializer gets fewer than two axes.
    pub fn values(&self, shape: &[usize], seed: u64, name: &str) -> Result<Vec<f32>> {
        let n = shape.iter().product();
        let fans = || Fans::of(shape).ok_or_else(|| Error::InitFans { shape: shape.to_vec() });
        let mut stream = Stream::new(seed, name);
        Ok(match self.0 {
            Kind::Constant(value) => vec![narrow(value); n],
            Kind::Normal { mean, std } => stream.normals(n, mean, std),
            Kind::Uniform { low, high } => stream.uniforms(n, low, high),
            Kind::Truncated(truncated) => stream.truncated_normals(n, &truncated),
            Kind::Kaiming { fan, spread, nonlinearity } => {
                spread.draw(&mut stream, n, kaiming_std(nonlinearity, fans()?.get(fan)))
            }
            Kind::Xavier { spread, gain } => {
                let Fans { fan_in, fan_out } = fans()?;
                let mean = (fan_in + fan_out).max(1) as f64 / 2.0;
                spread.draw(&mut stream, n, gain / mean.sqrt())
            }
        })
    }
}

/// He's standard deviation; a parameter without elements has fans of 0.
fn kaiming_std(nonlinearity: Nonlinearity, fan: usize) -> f64 {
    (nonlinearity.squared_gain() / fan.max(1) as f64).sqrt()
}

fn finite(what: &'static str, got: f64) -> Result<f64> {
    if got.is_finite() {
        return Ok(got);
    }
    Err(Error::InitNumber { what, got, expected: "a finite number".into() })
}

fn at_least(what: &'static str, got: f64, least: f64) -> Result<f64> {
    if got.is_finite() && got >= least {
        return Ok(got);
    }
    Err(Error::InitNumber { what, got, expected: format!("a finite number, {least} or more") })
}

#[cfg(test)]
mod tests;
