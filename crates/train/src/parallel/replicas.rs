//! The weights, running statistics and optimizer states of shards that train alone.
//!
//! Above: `parallel::local`, `parallel::state`. Below: `layers::Network`, `optim::Optimizer`. Not here: when shards meet (`parallel::local`).
//! A rank with one shard has it in the network; one with several keeps them aside, and each comes into the network for its step.

use std::collections::BTreeMap;

use candle_core::Tensor;
use taper_layers::Network;
use taper_optim::{Optimizer, Rule};

use super::DataParallel;
use crate::error::{Result, at};

/// What this rank's shards have, and what all shards had when they last met.
#[derive(Debug)]
pub(super) struct Replicas {
    /// Trained parameters and running statistics, by index in the network, when all shards last met.
    pub(super) met: BTreeMap<usize, Vec<f32>>,
    /// Momentum of the outer step, by index; nothing without.
    pub(super) momentum: BTreeMap<usize, Vec<f32>>,
    /// Steps since they last met.
    pub(super) steps: u64,
    shards: Shards,
}

#[derive(Debug)]
enum Shards {
    /// The only one is in the network and in the optimizer.
    Resident,
    Aside(Vec<Replica>),
}

/// A shard's own, while it is not in the network.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// As [`Replicas::met`].
    pub(super) values: BTreeMap<usize, Vec<f32>>,
    /// The optimizer's state by key.
    pub(super) optimizer: BTreeMap<String, Tensor>,
}

impl Replicas {
    /// Those there are; before the first step, all have what is in the network.
    pub(super) fn of<'s, R: Rule>(
        slot: &'s mut Option<Self>,
        parallel: &DataParallel,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<&'s mut Self> {
        let replicas = match slot.take() {
            Some(replicas) => replicas,
            None => Self::new(parallel, network, optimizer)?,
        };
        Ok(slot.insert(replicas))
    }

    /// All shards have what is in the network and in the optimizer.
    pub(super) fn new<R: Rule>(
        parallel: &DataParallel,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<Self> {
        let indices = network.gradient_order()?.into_iter().chain(network.statistics_order()?);
        let met: Result<_> = indices.map(|index| Ok((index, values_of(network, index)?))).collect();
        let met: BTreeMap<usize, Vec<f32>> = met?;
        let shards = match parallel.mine().len() {
            1 => Shards::Resident,
            n => Shards::Aside(vec![
                Replica { values: met.clone(), optimizer: optimizer.state()? };
                n
            ]),
        };
        Ok(Self { met, momentum: BTreeMap::new(), steps: 0, shards })
    }

    /// How many shards this rank has.
    pub(super) fn len(&self) -> usize {
        match &self.shards {
            Shards::Resident => 1,
            Shards::Aside(shards) => shards.len(),
        }
    }

    /// Brings shard number `at` of this rank into the network.
    pub(super) fn enter<R: Rule>(
        &self,
        at: usize,
        network: &Network,
        optimizer: &mut Optimizer<R>,
    ) -> Result<()> {
        match &self.shards {
            Shards::Resident => Ok(()),
            Shards::Aside(shards) => put(&shards[at], network, optimizer),
        }
    }

    /// Puts it aside again.
    pub(super) fn leave<R: Rule>(
        &mut self,
        at: usize,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<()> {
        if let Shards::Aside(shards) = &mut self.shards {
            for (index, values) in &mut shards[at].values {
                *values = values_of(network, *index)?;
            }
            shards[at].optimizer = optimizer.state()?;
        }
        Ok(())
    }

    /// What shard number `at` has of a parameter or buffer.
    pub(super) fn values(&self, at: usize, index: usize, network: &Network) -> Result<Vec<f32>> {
        match &self.shards {
            Shards::Resident => values_of(network, index),
            Shards::Aside(shards) => Ok(shards[at].values[&index].clone()),
        }
    }

    /// The optimizer's state of shard number `at`.
    pub(super) fn optimizer<R: Rule>(
        &self,
        at: usize,
        optimizer: &Optimizer<R>,
    ) -> Result<BTreeMap<String, Tensor>> {
        match &self.shards {
            Shards::Resident => Ok(optimizer.state()?),
            Shards::Aside(shards) => Ok(shards[at].optimizer.clone()),
        }
    }

    /// Makes shards what a checkpoint says.
    pub(super) fn replace<R: Rule>(
        &mut self,
        replicas: Vec<Replica>,
        network: &Network,
        optimizer: &mut Optimizer<R>,
    ) -> Result<()> {
        match (&mut self.shards, replicas) {
            (Shards::Aside(shards), replicas) => *shards = replicas,
            (Shards::Resident, replicas) => {
                for replica in &replicas {
                    put(replica, network, optimizer)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the weights of all shards those that are in the network.
    pub(super) fn take_up(&mut self, network: &Network) -> Result<()> {
        for (index, values) in &mut self.met {
            *values = values_of(network, *index)?;
        }
        if let Shards::Aside(shards) = &mut self.shards {
            shards.iter_mut().for_each(|shard| shard.values.clone_from(&self.met));
        }
        Ok(())
    }
}

fn put<R: Rule>(replica: &Replica, network: &Network, optimizer: &mut Optimizer<R>) -> Result<()> {
    let values = replica.values.iter().map(|(index, values)| (*index, values.clone()));
    network.set_values(&values.collect::<Vec<_>>())?;
    Ok(optimizer.load_state(&replica.optimizer)?)
}

fn values_of(network: &Network, index: usize) -> Result<Vec<f32>> {
    let values = network.params()[index].var.flatten_all().and_then(|values| values.to_vec1());
    values.map_err(at("a copy of weights"))
}
