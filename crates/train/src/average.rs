//! Averages of weights: what is evaluated and saved in the place of the weights that are trained.
//!
//! Above: `fit`, `recipes`. Below: candle's `InplaceOp2`, `layers::Network`. Not here: when an epoch ends (`fit`), averages over ranks
//! (`parallel`).
//! Source: timm's `ModelEmaV3` with warm-up, buffers included; its schedule is Katherine Crowson's.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, bail};
use taper_layers::{Network, Parameter};

use crate::error::{Error, Result, at};

/// The exponent of timm's warm-up.
const WARMUP_POWER: f64 = 2.0 / 3.0;

/// A running average of all parameters and buffers of a network.
///
/// After the step with index `i`, counted from 0, `average += (1 − d)·(weights − average)` with `d = min(decay, 1 − (1 + i)^(−2/3))`:
/// the first step leaves no trace of the weights that were begun with, and a short run averages over a large part of its steps, a long
/// one over the last `1 / (1 − decay)`. Counts of batches are those of the network.
///
/// # Examples
/// ```
/// use taper_train::WeightAverage;
/// let average = WeightAverage::ema(0.999)?; // for `Fit::average`
/// assert_eq!([average.decay_at(0), average.decay_at(1_000_000)], [0.0, 0.999]);
/// assert!((average.decay_at(7) - 0.75).abs() < 1e-12);
/// assert!(WeightAverage::ema(1.0).is_err());
/// # Ok::<(), taper_train::Error>(())
/// ```
#[derive(Debug)]
pub struct WeightAverage {
    decay: f64,
    /// By parameter of the network.
    values: Vec<Tensor>,
}

impl WeightAverage {
    /// An exponential moving average that forgets a share of `1 − decay` a step, after a warm-up.
    ///
    /// # Errors
    /// [`Error::Setting`] if `decay` is not from 0 to below 1.
    pub fn ema(decay: f64) -> Result<Self> {
        if (0.0..1.0).contains(&decay) {
            return Ok(Self { decay, values: Vec::new() });
        }
        Err(Error::Setting {
            name: "ema",
            got: decay.to_string(),
            expected: "a number from 0 to below 1",
        })
    }

    /// What the average keeps of itself after the step with this index, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
    pub fn decay_at(&self, step: u64) -> f64 {
        let warm = 1.0 - (1.0 + step as f64).powf(-WARMUP_POWER);
        warm.min(self.decay)
    }

    /// What it is, for a resumed run to know whether it does the same.
    pub(crate) fn describe(&self) -> String {
        format!("ema {}", self.decay)
    }

    /// Begins with the weights there are.
    pub(crate) fn begin(&mut self, network: &Network) -> Result<()> {
        self.values = copies(network)?;
        Ok(())
    }

    /// Takes the weights in that step `step`, counted from 0, came to.
    pub(crate) fn after_step(&mut self, step: u64, network: &Network) -> Result<()> {
        self.after_steps(step..step + 1, network)
    }

    /// Takes the weights in that several steps came to, as if those of each had been those of the last.
    pub(crate) fn after_steps(&mut self, steps: Range<u64>, network: &Network) -> Result<()> {
        let kept: f64 = steps.map(|step| self.decay_at(step)).product();
        let toward = Lerp::by(1.0 - kept);
        for (average, param) in self.values.iter().zip(network.params()) {
            let op = if param.is_count() { Lerp::by(1.0) } else { toward };
            average.inplace_op2(&param.var, &op).map_err(at(AVERAGE))?;
        }
        Ok(())
    }

    /// Puts the average in the place of the weights, which are returned.
    pub(crate) fn enter(&self, network: &Network) -> Result<Weights> {
        let trained = Weights(copies(network)?);
        set(network, &self.values)?;
        Ok(trained)
    }

    /// What a checkpoint must hold of it: by name, the averages.
    pub(crate) fn state(&self, network: &Network) -> BTreeMap<String, Tensor> {
        let named = network.params().iter().zip(&self.values);
        named.map(|(param, average)| (param.name.clone(), average.clone())).collect()
    }

    /// Takes back what [`state`](Self::state) gave.
    pub(crate) fn load_state(
        &mut self,
        network: &Network,
        mut state: BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let refused = |key: &str, what| Error::AverageState { key: key.to_owned(), what };
        let mut values = Vec::new();
        for param in network.params() {
            let fits = |tensor: &Tensor| {
                tensor.dims() == param.var.dims() && tensor.dtype() == param.var.dtype()
            };
            match state.remove(&param.name) {
                Some(tensor) if fits(&tensor) => values.push(tensor),
                Some(_) => return Err(refused(&param.name, "has another shape")),
                None => return Err(refused(&param.name, "is missing")),
            }
        }
        if let Some(key) = state.keys().next() {
            return Err(refused(key, "is of no parameter"));
        }
        self.values = values;
        Ok(())
    }
}

/// What an error calls it.
const AVERAGE: &str = "the average of weights";

/// Weights of a network that were put aside.
#[derive(Debug)]
pub(crate) struct Weights(Vec<Tensor>);

impl Weights {
    /// Puts them back.
    pub(crate) fn put_back(self, network: &Network) -> Result<()> {
        set(network, &self.0)
    }
}

fn copies(network: &Network) -> Result<Vec<Tensor>> {
    let copy = |param: &Parameter| param.var.as_detached_tensor().copy();
    network.params().iter().map(copy).collect::<candle_core::Result<_>>().map_err(at(AVERAGE))
}

fn set(network: &Network, values: &[Tensor]) -> Result<()> {
    for (param, values) in network.params().iter().zip(values) {
        param.var.set(values).map_err(at(AVERAGE))?;
    }
    Ok(())
}

/// `a += weight·(b − a)`, of the two equal formulas the one that is exact at its end, as `torch.lerp`.
#[derive(Debug, Clone, Copy)]
struct Lerp {
    weight: f32,
}

impl Lerp {
    #[expect(clippy::cast_possible_truncation, reason = "a weight from 0 to 1")]
    fn by(weight: f64) -> Self {
        Self { weight: weight as f32 }
    }

    fn of(self, from: f32, to: f32) -> f32 {
        match self.weight < 0.5 {
            true => from + self.weight * (to - from),
            false => to - (to - from) * (1.0 - self.weight),
        }
    }
}

impl InplaceOp2 for Lerp {
    fn name(&self) -> &'static str {
        "lerp"
    }

    fn cpu_fwd(
        &self,
        from: &mut CpuStorage,
        from_l: &Layout,
        to: &CpuStorage,
        to_l: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(from), CpuStorage::F32(to)) = (from, to) else {
            bail!("an average is of f32")
        };
        let (Some((start, end)), Some((to_start, to_end))) =
            (from_l.contiguous_offsets(), to_l.contiguous_offsets())
        else {
            bail!("an average needs contiguous tensors")
        };
        for (a, &b) in from[start..end].iter_mut().zip(&to[to_start..to_end]) {
            *a = self.of(*a, b);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_that_of_timm() {
        // timm.utils.ModelEmaV3(…, decay=0.99, use_warmup=True).get_decay(n) for n = 1, 2, 3, 31, 1001
        let expected =
            [0.0, 0.370_039_475_052_563_4, 0.519_250_143_230_864, 0.898_665_140_245_438_9, 0.99];
        let average = WeightAverage::ema(0.99).unwrap();
        for (step, expected) in [0, 1, 2, 30, 1000].into_iter().zip(expected) {
            assert!((average.decay_at(step) - expected).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn an_average_ends_where_it_is_sent_and_does_not_move_between_equals() {
        for (from, to) in [(0.1f32, 0.7f32), (1e30, -1e-30), (-3.0, 5.5)] {
            assert_eq!(Lerp::by(1.0).of(from, to).to_bits(), to.to_bits());
            assert_eq!(Lerp::by(0.0).of(from, to).to_bits(), from.to_bits());
            for weight in [0.1, 0.4, 0.6, 0.9] {
                assert_eq!(Lerp::by(weight).of(to, to).to_bits(), to.to_bits());
            }
        }
    }
}
