//! Batch norm of maps, sequences and vectors, with running statistics.
//!
//! Above: users of candle, blocks of `module`. Below: `ops::nhwc::{batch_norm, batch_norm_frozen}`, `variables`. Not here: the formulas (`ops`),
//! norms that look at one picture alone (`norm`).
//! Source: `torch.nn.{BatchNorm2d, BatchNorm1d}`, PyTorch 2.x.

use candle_core::{DType, Tensor, Var};
use candle_nn::{Init, VarBuilder};
use taper_ops::BatchStatistics;

use super::{ModuleNhwc, in_candle, refuse, variables};
use crate::error::{Result, at};

/// Which statistics normalize while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch; running ones are updated.
    #[default]
    Batch,
    /// The running ones, which stay as they are; weight and bias are still trained if they are variables.
    Frozen,
}

/// Sizes and numbers of a batch norm.
///
/// # Examples
/// ```
/// use taper_layers::{BatchNormConfig, Statistics};
/// let plain = BatchNormConfig::new(64);
/// assert_eq!((plain.eps, plain.momentum, plain.statistics), (1e-5, Some(0.1), Statistics::Batch));
/// let tensorflow = BatchNormConfig { eps: 1e-3, momentum: Some(0.01), ..plain };
/// let cumulative = BatchNormConfig { momentum: None, ..plain };
/// # assert_ne!(tensorflow, cumulative);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormConfig {
    /// Channels.
    pub channels: usize,
    /// Added to the variance; 1e-5.
    pub eps: f64,
    /// Weight of the **new** statistic, from 0 to 1; 0.1. `None` is the mean of all batches so far: 1/k for the k-th.
    pub momentum: Option<f64>,
    /// Which statistics normalize while training.
    pub statistics: Statistics,
}

impl BatchNormConfig {
    /// PyTorch's defaults.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self { channels, eps: 1e-5, momentum: Some(0.1), statistics: Statistics::Batch }
    }
}

/// Normalizes channels: `y = weight·(x − mean) / √(var + eps) + bias`.
///
/// In training by mean and biased variance of the batch, which also move the running statistics (there the variance is unbiased); in
/// evaluation, or frozen, by the running statistics. The running statistics never get a gradient.
///
/// # Shapes
/// `(n, c, h, w)`, `(n, c, l)` or `(n, c)`, and the same: PyTorch's `BatchNorm2d` and `BatchNorm1d` in one.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, ModuleT, Tensor};
/// use candle_nn::VarMap;
/// use taper_layers::{BatchNorm, BatchNormConfig, init::var_builder};
/// let vars = VarMap::new();
/// let bn = BatchNorm::new(BatchNormConfig::new(1), var_builder(&vars, 0, DType::F32, &Device::Cpu))?;
/// let xs = Tensor::new(&[[1f32], [3.0]], &Device::Cpu)?;
/// let ys = bn.forward_t(&xs, true)?.to_vec2::<f32>()?;
/// assert!((ys[0][0] + 1.0).abs() < 1e-4 && (ys[1][0] - 1.0).abs() < 1e-4);
/// assert_eq!(bn.running_mean().to_vec1::<f32>()?, [0.2]); // a tenth of 2
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "BatchNorm2d")]
#[doc(alias = "BatchNorm1d")]
#[derive(Clone, Debug)]
pub struct BatchNorm {
    config: BatchNormConfig,
    /// `(channels)`.
    weight: Tensor,
    /// `(channels)`.
    bias: Tensor,
    running: Running,
    path: String,
}

/// Running statistics.
#[derive(Clone, Debug)]
enum Running {
    /// Of a model that can be trained.
    Tracked {
        /// `(channels)`.
        mean: Var,
        /// `(channels)`.
        var: Var,
        weighting: Weighting,
    },
    /// Of one that was loaded as it is.
    Fixed {
        /// `(channels)`.
        mean: Tensor,
        /// `(channels)`.
        var: Tensor,
    },
}

/// How much a new batch counts.
#[derive(Clone, Debug)]
enum Weighting {
    /// Its share; the number of batches does not matter and is kept nowhere.
    Momentum(f64),
    /// 1/k for the k-th.
    Cumulative {
        /// Batches so far: a scalar, `i64`.
        batches: Var,
    },
}

impl BatchNorm {
    /// Takes `weight`, `bias`, `running_mean` and `running_var` from `vb`; new ones are 1, 0, 0 and 1. From a `vb` that holds variables,
    /// training updates the running ones in place; without momentum it counts batches, and takes `num_batches_tracked` too, a scalar of
    /// `i64`. From any other `vb` it can only evaluate or be frozen.
    ///
    /// # Errors
    /// [`Error::Layer`](crate::Error::Layer) if `channels` is 0, `eps` is not positive and finite, or `momentum` is not from 0 to 1;
    /// [`Error::Tensor`](crate::Error::Tensor) if `vb` has no such parameters.
    pub fn new(config: BatchNormConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.check().map_err(refuse::within(vb.prefix()))?;
        let vector = |name, value| variables::vector(&vb, name, config.channels, value);
        let (weight, bias) = (vector("weight", 1.0)?, vector("bias", 0.0)?);
        let statistics = [vector("running_mean", 0.0)?, vector("running_var", 1.0)?];
        let running = Running::new(statistics, config.momentum, &vb)?;
        Ok(Self { config, weight, bias, running, path: vb.prefix() })
    }

    /// Its sizes and numbers.
    #[must_use]
    pub fn config(&self) -> &BatchNormConfig {
        &self.config
    }

    /// `(channels)`.
    #[must_use]
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// `(channels)`.
    #[must_use]
    pub fn bias(&self) -> &Tensor {
        &self.bias
    }

    /// `(channels)`, without a tape.
    #[must_use]
    pub fn running_mean(&self) -> Tensor {
        self.running.statistics()[0].clone()
    }

    /// `(channels)`, without a tape.
    #[must_use]
    pub fn running_var(&self) -> Tensor {
        self.running.statistics()[1].clone()
    }

    /// The same parameters and running statistics, with these statistics while training: for freezing a layer and thawing it.
    #[must_use]
    pub fn with_statistics(self, statistics: Statistics) -> Self {
        Self { config: BatchNormConfig { statistics, ..self.config }, ..self }
    }
}

impl BatchNormConfig {
    fn check(&self) -> std::result::Result<(), taper_ops::Error> {
        let op = "BatchNorm";
        refuse::positive(op, "channels", &[self.channels])?;
        refuse::above_zero(op, "eps", self.eps)?;
        refuse::share(op, "momentum", self.momentum.unwrap_or_default())
    }
}

impl Running {
    fn new([mean, var]: [Tensor; 2], momentum: Option<f64>, vb: &VarBuilder<'_>) -> Result<Self> {
        if !(mean.is_variable() && var.is_variable()) {
            return Ok(Self::Fixed { mean: mean.detach(), var: var.detach() });
        }
        let shared = |tensor: &Tensor, name: &str| {
            Var::from_tensor(tensor).map_err(at(&variables::path(vb, name)))
        };
        let weighting = match momentum {
            Some(momentum) => Weighting::Momentum(momentum),
            None => {
                let name = "num_batches_tracked";
                let batches = vb.get_with_hints_dtype((), name, Init::Const(0.0), DType::I64);
                let batches = batches.map_err(at(&variables::path(vb, name)))?;
                Weighting::Cumulative { batches: shared(&batches, name)? }
            }
        };
        let (mean, var) = (shared(&mean, "running_mean")?, shared(&var, "running_var")?);
        Ok(Self::Tracked { mean, var, weighting })
    }

    /// Mean and variance, without a tape: running statistics are not trained.
    fn statistics(&self) -> [Tensor; 2] {
        match self {
            Self::Tracked { mean, var, .. } => {
                [mean.as_detached_tensor(), var.as_detached_tensor()]
            }
            Self::Fixed { mean, var } => [mean.clone(), var.clone()],
        }
    }

    /// Takes a batch in.
    fn update(&self, batch: &BatchStatistics, path: &str) -> candle_core::Result<()> {
        let Self::Tracked { mean, var, weighting } = self else {
            candle_core::bail!(
                "`BatchNorm` at `{path}` cannot train: its running statistics are no variables; build it from a `VarMap`, or with \
                 `Statistics::Frozen`"
            )
        };
        if batch.count == 0 {
            return Ok(());
        }
        let set = |momentum| {
            let (next_mean, next_var) = batch.running(mean, var, momentum)?;
            mean.set(&next_mean)?;
            var.set(&next_var)
        };
        match weighting {
            Weighting::Momentum(momentum) => set(*momentum),
            Weighting::Cumulative { batches } => {
                let count = batches.to_scalar::<i64>()? + 1;
                set(1.0 / count as f64)?;
                batches.set(&Tensor::new(count, batches.device())?)
            }
        }
    }
}

impl ModuleNhwc for BatchNorm {
    fn forward_nhwc(&self, xs: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let Self { config, weight, bias, running, path } = self;
        if train && config.statistics == Statistics::Batch {
            let (ys, batch) = taper_ops::nhwc::batch_norm(xs, weight, bias, config.eps)?;
            running.update(&batch, path)?;
            return Ok(ys);
        }
        let [mean, var] = running.statistics();
        Ok(taper_ops::nhwc::batch_norm_frozen(xs, [weight, bias], [&mean, &var], config.eps)?)
    }
}

in_candle!(ModuleT for BatchNorm);

#[cfg(test)]
mod tests;
