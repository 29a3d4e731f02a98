//! What a checkpoint holds of ranks and shards: that which each of them has for itself.
//!
//! Above: `fit`. Below: `parallel::replicas`, `taper-distributed`. Not here: what all have alike (`fit`), the file (`checkpoint`).
//! What sums in bf16 still owe goes by rank and bucket: `rank/<rank>/residual/<bucket>`. Of shards that train alone there are
//! `shard/<shard>/optimizer/<key>`, `shard/<shard>/param/<name>` unless they have just met, `outer/momentum/<name>` and `outer/steps`
//! since they met; the checkpoint's parameters are those of that meeting. It has no word about ranks, so that any number can go on.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use taper_distributed::ReduceDtype;
use taper_layers::Network;
use taper_optim::{Optimizer, Rule};

use super::DataParallel;
use super::replicas::{Replica, Replicas};
use crate::error::{Error, Result, at};
use crate::step::finite;

/// Tensors by key.
type State = BTreeMap<String, Tensor>;

const STEPS: &str = "outer/steps";

impl DataParallel {
    /// On the first rank the state of all, by key, and nothing on others. All ranks call it.
    pub(crate) fn state<R: Rule>(
        &self,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<State> {
        if self.options.dtype == ReduceDtype::F32 && self.local().is_none() {
            return Ok(State::new());
        }
        let mut mine = State::new();
        for (bucket, values) in self.group.residuals()? {
            mine.insert(format!("{}{bucket}", residual_of(self.group.rank())), vector(values)?);
        }
        if let Some(replicas) = self.replicas().as_ref() {
            self.state_of_shards(replicas, (network, optimizer), &mut mine)?;
        }
        if self.group.is_alone() {
            return Ok(mine);
        }
        let broken = |source: safetensors::SafeTensorError| Error::Tensor {
            what: "what other ranks keep",
            source: candle_core::Error::wrap(source),
        };
        let bytes = safetensors::serialize(mine, None).map_err(broken)?;
        let mut all = State::new();
        for bytes in self.group.gather(0, bytes)? {
            let theirs = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
            all.extend(theirs.map_err(at("what other ranks keep"))?);
        }
        Ok(all)
    }

    fn state_of_shards<R: Rule>(
        &self,
        replicas: &Replicas,
        (network, optimizer): (&Network, &Optimizer<R>),
        state: &mut State,
    ) -> Result<()> {
        if self.group.is_first() {
            let steps = i64::try_from(replicas.steps).unwrap_or(i64::MAX);
            let steps = Tensor::new(steps, &Device::Cpu).map_err(at("a checkpoint"))?;
            state.insert(STEPS.to_owned(), steps);
            for (index, values) in &replicas.momentum {
                let name = &network.params()[*index].name;
                state.insert(momentum_of(name), vector(values.clone())?);
            }
        }
        for (at, shard) in self.mine().enumerate() {
            let optimizer = replicas.optimizer(at, optimizer)?;
            let keyed = |(key, tensor)| (format!("{}{key}", optimizer_of(shard)), tensor);
            state.extend(optimizer.into_iter().map(keyed));
            for &index in replicas.met.keys().filter(|_| replicas.steps > 0) {
                let (name, values) =
                    (&network.params()[index].name, replicas.values(at, index, network)?);
                if let Some(odd) = values.iter().find(|value| !value.is_finite()) {
                    let what = format!("parameter `{name}` of {}", self.name(shard));
                    finite(&what, f64::from(*odd))?;
                }
                state.insert(format!("{}{name}", param_of(shard)), vector(values)?);
            }
        }
        Ok(())
    }

    /// Takes up what [`Self::state`] gave, on any number of ranks; in bf16, on as many. The network has the checkpoint's parameters.
    pub(crate) fn load_state<R: Rule>(
        &self,
        state: &State,
        network: &Network,
        optimizer: &mut Optimizer<R>,
    ) -> Result<()> {
        let mut residuals = Vec::new();
        for (bucket, values) in below(state, &residual_of(self.group.rank())) {
            if let Ok(bucket) = bucket.parse() {
                residuals.push((bucket, values_of(&values)?));
            }
        }
        self.group.restore_residuals(residuals)?;
        if self.local().is_some() {
            let replicas = self.restored(state, network, optimizer)?;
            *self.replicas() = Some(replicas);
        }
        Ok(())
    }

    fn restored<R: Rule>(
        &self,
        state: &State,
        network: &Network,
        optimizer: &mut Optimizer<R>,
    ) -> Result<Replicas> {
        let mut replicas = Replicas::new(self, network, optimizer)?;
        let odd = |key: String, what| Error::HookState {
            hook: "shards that train alone between meetings".to_owned(),
            key,
            what,
        };
        let steps = state.get(STEPS).and_then(|steps| steps.to_scalar::<i64>().ok());
        let steps = steps.and_then(|steps| u64::try_from(steps).ok());
        replicas.steps = steps.ok_or_else(|| odd(STEPS.to_owned(), "is missing or no count"))?;
        let read = |key: String, length: usize| match state.get(&key) {
            Some(values) if values.elem_count() == length => values_of(values).map(Some),
            Some(_) => Err(odd(key, "has another shape")),
            None => Ok(None),
        };
        let mut momentum = BTreeMap::new();
        for (index, values) in &replicas.met {
            let name = &network.params()[*index].name;
            if let Some(values) = read(momentum_of(name), values.len())? {
                momentum.insert(*index, values);
            }
        }
        replicas.momentum = momentum;
        let mut shards = Vec::new();
        for shard in self.mine() {
            let mut values = replicas.met.clone();
            for (index, values) in values.iter_mut().filter(|_| replicas.steps > 0) {
                let key = format!("{}{}", param_of(shard), network.params()[*index].name);
                let saved = read(key.clone(), values.len())?;
                *values = saved.ok_or_else(|| odd(key, "is missing"))?;
            }
            let optimizer = below(state, &optimizer_of(shard)).collect();
            shards.push(Replica { values, optimizer });
        }
        replicas.replace(shards, network, optimizer)?;
        Ok(replicas)
    }

    /// The parameters and running statistics of shards when they last met, which are not those in the network; nothing of shards that share
    /// every step.
    pub(crate) fn met(&self, network: &Network) -> Result<State> {
        let mut met = State::new();
        if let Some(replicas) = self.replicas().as_ref() {
            for (index, values) in &replicas.met {
                let param = &network.params()[*index];
                let tensor = Tensor::from_slice(values, param.var.dims(), &Device::Cpu);
                met.insert(param.name.clone(), tensor.map_err(at("a checkpoint"))?);
            }
        }
        Ok(met)
    }
}

fn residual_of(rank: usize) -> String {
    format!("rank/{rank}/residual/")
}

fn momentum_of(param: &str) -> String {
    format!("outer/momentum/{param}")
}

fn param_of(shard: usize) -> String {
    format!("shard/{shard}/param/")
}

fn optimizer_of(shard: usize) -> String {
    format!("shard/{shard}/optimizer/")
}

/// What stands below `prefix`, without it.
fn below(state: &State, prefix: &str) -> impl Iterator<Item = (String, Tensor)> {
    let of = move |(key, tensor): (&String, &Tensor)| {
        Some((key.strip_prefix(prefix)?.to_owned(), tensor.clone()))
    };
    state.iter().filter_map(of)
}

fn vector(values: Vec<f32>) -> Result<Tensor> {
    Tensor::new(values, &Device::Cpu).map_err(at("a checkpoint"))
}

fn values_of(tensor: &Tensor) -> Result<Vec<f32>> {
    let values = tensor.flatten_all().and_then(|values| values.to_vec1());
    values.map_err(at("a checkpoint"))
}
