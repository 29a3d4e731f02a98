//! Averages of weights: what is evaluated and saved in the place of the weights that are trained.
//!
//! Above: `fit`, `recipes`. Below: `average::soup`, candle's `InplaceOp2`, `layers::Network`. Not here: when an epoch ends (`fit`), averages
//! over ranks (`parallel`).
//! Source: timm's `ModelEmaV3` with warm-up, buffers included, whose schedule is Katherine Crowson's; stochastic weight averaging: Izmailov et
//! al. 2018, <https://arxiv.org/abs/1803.05407>, and `torch.optim.swa_utils`, PyTorch 2.x; soups: `average::soup`.

mod soup;

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, bail};
use taper_layers::{Network, Parameter};

use crate::error::{Error, Result, at};

pub(crate) use soup::best_first;

/// The exponent of timm's warm-up.
const WARMUP_POWER: f64 = 2.0 / 3.0;

/// Sets the running statistics of a network's batch norms to those of its weights.
pub type Recalibrate<'a> =
    dyn Fn(&Network) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Which average.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Ema {
        decay: f64,
        warms_up: bool,
    },
    Swa {
        from_epoch: usize,
    },
    Soup {
        most: usize,
    },
    /// The weights as they are, with statistics of norms of their own.
    PreciseNorms,
}

/// An average of all parameters and buffers of a network.
///
/// # Examples
/// ```
/// use taper_train::WeightAverage;
/// let average = WeightAverage::ema(0.999)?; // for `Fit::average`
/// assert_eq!([average.decay_at(0), average.decay_at(1_000_000)], [0.0, 0.999]);
/// assert!((average.decay_at(7) - 0.75).abs() < 1e-12);
/// assert_eq!(average.without_warmup().decay_at(0), 0.999);
/// assert!(WeightAverage::ema(1.0).is_err());
/// # Ok::<(), taper_train::Error>(())
/// ```
pub struct WeightAverage<'a> {
    kind: Kind,
    /// By parameter of the network; empty before there is an average.
    values: Vec<Tensor>,
    /// What a soup may be made of, the best first: epoch, and values by parameter.
    ingredients: Vec<(usize, Vec<Tensor>)>,
    recalibrate: Option<Box<Recalibrate<'a>>>,
}

impl std::fmt::Debug for WeightAverage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeightAverage").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<'a> WeightAverage<'a> {
    /// An exponential moving average that forgets a share of `1 − decay` a step, after a warm-up.
    ///
    /// After the step with index `i`, counted from 0, `average += (1 − d)·(weights − average)` with `d = min(decay, 1 − (1 + i)^(−2/3))`:
    /// the first step leaves no trace of the weights that were begun with, and a short run averages over a large part of its steps, a long
    /// one over the last `1 / (1 − decay)`. Counts of batches are those of the network.
    ///
    /// # Errors
    /// [`Error::Setting`] if `decay` is not from 0 to below 1.
    pub fn ema(decay: f64) -> Result<Self> {
        if (0.0..1.0).contains(&decay) {
            return Ok(Self::of(Kind::Ema { decay, warms_up: true }));
        }
        Err(Error::Setting {
            name: "ema",
            got: decay.to_string(),
            expected: "a number from 0 to below 1",
        })
    }

    /// The same moving average with `d = decay` from the first step on, as `ModelEmaV3` without warm-up: after `n` steps it holds a share of `decay^n` of
    /// the weights that were begun with. So a run of few steps, which few pictures make, stays near to pretrained weights, between which and the
    /// trained ones there are better than both (Wortsman et al. 2022, <https://arxiv.org/abs/2109.01903>), and a long one forgets them. Does nothing
    /// to other averages.
    #[must_use]
    pub fn without_warmup(self) -> Self {
        match self.kind {
            Kind::Ema { decay, .. } => Self { kind: Kind::Ema { decay, warms_up: false }, ..self },
            Kind::Swa { .. } | Kind::Soup { .. } | Kind::PreciseNorms => self,
        }
    }

    /// Stochastic weight averaging: the mean of the weights at the ends of all epochs from `from_epoch` on, counted from 0. Before the first of
    /// them no epoch can have the best model. Its norms need [`WeightAverage::recalibrated_by`].
    pub fn swa(from_epoch: usize) -> Self {
        Self::of(Kind::Swa { from_epoch })
    }

    /// A greedy soup of the best epochs, `most` of them at most, made when the last is over: the mean of the best and of each of the others, in
    /// their order, with which it is not worse on the validation set.
    ///
    /// # Errors
    /// [`Error::Setting`] if `most` is below 2.
    pub fn soup(most: usize) -> Result<Self> {
        if most >= 2 {
            return Ok(Self::of(Kind::Soup { most }));
        }
        Err(Error::Setting { name: "soup", got: most.to_string(), expected: "2 or more" })
    }

    /// No average: the weights as they are, whose batch norms get exact statistics of these weights before they are evaluated and saved, in the
    /// place of the moving ones, which lag behind them (Wu and Johnson 2021, <https://arxiv.org/abs/2105.07576>, section 3).
    #[must_use]
    pub fn precise_norms(
        recalibrate: impl Fn(
            &Network,
        )
            -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
        + 'a,
    ) -> Self {
        Self::of(Kind::PreciseNorms).recalibrated_by(recalibrate)
    }

    fn of(kind: Kind) -> Self {
        Self { kind, values: Vec::new(), ingredients: Vec::new(), recalibrate: None }
    }

    /// The same whose norms get statistics of the averaged weights before these are evaluated: a mean over epochs has other activations
    /// than any of them. A moving average, which averages statistics, too, can do without.
    #[must_use]
    pub fn recalibrated_by(
        self,
        recalibrate: impl Fn(
            &Network,
        )
            -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
        + 'a,
    ) -> Self {
        Self { recalibrate: Some(Box::new(recalibrate)), ..self }
    }

    /// What the average keeps of itself after the step with this index, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
    pub fn decay_at(&self, step: u64) -> f64 {
        let warm = 1.0 - (1.0 + step as f64).powf(-WARMUP_POWER);
        match self.kind {
            Kind::Ema { decay, warms_up: true } => warm.min(decay),
            Kind::Ema { decay, .. } => decay,
            Kind::Swa { .. } | Kind::Soup { .. } | Kind::PreciseNorms => 1.0,
        }
    }

    /// What it is, for a resumed run to know whether it does the same.
    pub(crate) fn describe(&self) -> String {
        match self.kind {
            Kind::Ema { decay, warms_up: true } => format!("ema {decay}"),
            Kind::Ema { decay, .. } => format!("ema {decay} without warm-up"),
            Kind::Swa { from_epoch } => format!("swa from epoch {from_epoch}"),
            Kind::Soup { most } => format!("soup of {most}"),
            Kind::PreciseNorms => "precise norms".to_owned(),
        }
    }

    /// Begins with the weights there are.
    pub(crate) fn begin(&mut self, network: &Network) -> Result<()> {
        self.values = match self.kind {
            Kind::Ema { .. } => copies(network)?,
            Kind::Swa { .. } | Kind::Soup { .. } | Kind::PreciseNorms => Vec::new(),
        };
        self.ingredients = Vec::new();
        Ok(())
    }

    /// Whether epochs can have the best model: where their models are averages, when there is one.
    pub(crate) fn has_begun(&self) -> bool {
        match self.kind {
            Kind::Ema { .. } | Kind::Swa { .. } => !self.values.is_empty(),
            Kind::Soup { .. } | Kind::PreciseNorms => true,
        }
    }

    /// Takes the weights in that step `step`, counted from 0, came to.
    pub(crate) fn after_step(&mut self, step: u64, network: &Network) -> Result<()> {
        self.after_steps(step..step + 1, network)
    }

    /// Takes the weights in that several steps came to, as if those of each had been those of the last.
    pub(crate) fn after_steps(&mut self, steps: Range<u64>, network: &Network) -> Result<()> {
        match self.kind {
            Kind::Ema { .. } => {
                let kept: f64 = steps.map(|step| self.decay_at(step)).product();
                self.toward(network, 1.0 - kept)
            }
            Kind::Swa { .. } | Kind::Soup { .. } | Kind::PreciseNorms => Ok(()),
        }
    }

    /// Takes the weights in that epoch `epoch`, counted from 0, ended with.
    #[expect(clippy::cast_precision_loss, reason = "epoch counts stay far below 2^53")]
    pub(crate) fn after_epoch(&mut self, epoch: usize, network: &Network) -> Result<()> {
        let Kind::Swa { from_epoch } = self.kind else { return Ok(()) };
        match epoch.checked_sub(from_epoch) {
            None => Ok(()),
            Some(0) => {
                self.values = copies(network)?;
                Ok(())
            }
            Some(averaged) => self.toward(network, 1.0 / (averaged + 1) as f64),
        }
    }

    fn toward(&mut self, network: &Network, weight: f64) -> Result<()> {
        for (average, param) in self.values.iter().zip(network.params()) {
            let op = Lerp::by(if param.is_count() { 1.0 } else { weight });
            average.inplace_op2(&param.var, &op).map_err(at(AVERAGE))?;
        }
        Ok(())
    }

    /// Lets norms have the statistics of the averaged weights, which are the network's now.
    pub(crate) fn recalibrate(&self, network: &Network) -> Result<()> {
        match &self.recalibrate {
            Some(recalibrate) => {
                recalibrate(network).map_err(|source| Error::Recalibration { source })
            }
            None => Ok(()),
        }
    }

    /// Puts the average, if there is one, in the place of the weights, which are returned.
    pub(crate) fn enter(&self, network: &Network) -> Result<Option<Weights>> {
        if self.values.is_empty() && self.kind != Kind::PreciseNorms {
            return Ok(None);
        }
        let trained = Weights(copies(network)?);
        if !self.values.is_empty() {
            set(network, &self.values)?;
        }
        Ok(Some(trained))
    }

    /// What a checkpoint must hold of it: by name, the averages; of a soup by `epoch-<index>/<name>`.
    pub(crate) fn state(&self, network: &Network) -> BTreeMap<String, Tensor> {
        let named = |prefix: String, values: &[Tensor]| -> Vec<(String, Tensor)> {
            let named = network.params().iter().zip(values);
            named.map(|(param, it)| (format!("{prefix}{}", param.name), it.clone())).collect()
        };
        let ingredients =
            self.ingredients.iter().flat_map(|(epoch, it)| named(format!("epoch-{epoch}/"), it));
        named(String::new(), &self.values).into_iter().chain(ingredients).collect()
    }

    /// Takes back what [`state`](Self::state) gave.
    pub(crate) fn load_state(
        &mut self,
        network: &Network,
        state: BTreeMap<String, Tensor>,
    ) -> Result<()> {
        let Kind::Soup { .. } = self.kind else {
            self.values = if state.is_empty() { Vec::new() } else { by_param(network, state)? };
            return Ok(());
        };
        let mut epochs: BTreeMap<usize, BTreeMap<String, Tensor>> = BTreeMap::new();
        for (key, tensor) in state {
            let parts = key.strip_prefix("epoch-").and_then(|rest| rest.split_once('/'));
            let place = parts.and_then(|(epoch, name)| Some((epoch.parse().ok()?, name)));
            let Some((epoch, name)) = place else {
                return Err(refused(&key, "is of no epoch"));
            };
            epochs.entry(epoch).or_default().insert(name.to_owned(), tensor);
        }
        let values = epochs.into_iter().map(|(epoch, it)| Ok((epoch, by_param(network, it)?)));
        self.ingredients = values.collect::<Result<_>>()?;
        Ok(())
    }
}

/// Values in the order of the parameters.
fn by_param(network: &Network, mut state: BTreeMap<String, Tensor>) -> Result<Vec<Tensor>> {
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
    match state.keys().next() {
        Some(key) => Err(refused(key, "is of no parameter")),
        None => Ok(values),
    }
}

fn refused(key: &str, what: &'static str) -> Error {
    Error::AverageState { key: key.to_owned(), what }
}

/// What an error calls it.
const AVERAGE: &str = "the average of weights";

/// Weights of a network that were put aside.
#[derive(Debug)]
pub(crate) struct Weights(Vec<Tensor>);

impl Weights {
    /// A copy of those there are.
    pub(crate) fn of(network: &Network) -> Result<Self> {
        Ok(Self(copies(network)?))
    }

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
