//! What ranks give each other outside of steps: first weights, a checkpoint, flags, and digests of what must be equal.
//!
//! Above: `fit`. Below: `parallel::wire`, `taper-distributed`. Not here: gradients (`parallel::step`).

use candle_core::{DType, Tensor};
use taper_distributed::digest_f32;
use taper_layers::Network;
use taper_optim::{Optimizer, Rule};

use super::DataParallel;
use super::wire::{Reader, Writer};
use crate::error::{Result, at};

impl DataParallel {
    /// Gives all ranks the parameters and buffers of the first one.
    pub(crate) fn share_weights(&self, network: &Network) -> Result<()> {
        if self.group.is_alone() {
            return Ok(());
        }
        let mut writer = Writer::default();
        if self.group.is_first() {
            for param in network.params() {
                writer.floats(&values(&param.var.as_detached_tensor())?);
            }
        }
        let bytes = self.group.broadcast(0, writer.bytes)?;
        let mut reader = Reader::new(&bytes, 0);
        let read = (0..network.params().len()).map(|index| Ok((index, reader.floats()?)));
        let weights: Vec<(usize, Vec<f32>)> = read.collect::<Result<_>>()?;
        Ok(network.set_values(&weights)?)
    }

    /// What the first rank makes, on all ranks. If it fails, its error ends the others.
    pub(crate) fn share(&self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let bytes = if self.group.is_first() { make()? } else { Vec::new() };
        Ok(self.group.broadcast(0, bytes)?)
    }

    /// Whether it is so on any rank.
    ///
    /// # Errors
    /// [`Error::Ranks`](crate::Error::Ranks) if one of them ends the job.
    pub fn any(&self, flag: bool) -> Result<bool> {
        let all = self.group.all_gather(vec![u8::from(flag)])?;
        Ok(all.iter().any(|bytes| bytes.first() == Some(&1)))
    }

    /// After `steps` steps, if it is time, compares what must be equal on all ranks.
    pub(crate) fn check<R: Rule>(
        &self,
        steps: u64,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<()> {
        let is_time = self.check_every > 0 && steps.is_multiple_of(self.check_every);
        if is_time { self.compare(network, optimizer) } else { Ok(()) }
    }

    /// Compares what must be equal on all ranks, before it is kept.
    pub(crate) fn compare<R: Rule>(
        &self,
        network: &Network,
        optimizer: &Optimizer<R>,
    ) -> Result<()> {
        if self.group.is_alone() {
            return Ok(());
        }
        let mut digests = Vec::new();
        if let Some(replicas) = self.replicas().as_ref() {
            // All that shards that train alone have alike.
            for (what, values) in [("", &replicas.met), ("outer/momentum/", &replicas.momentum)] {
                for (index, values) in values {
                    let name = format!("{what}{}", network.params()[*index].name);
                    digests.push((name, digest_f32(values)));
                }
            }
            return Ok(self.group.compare(&digests)?);
        }
        for param in network.params() {
            let values = values(&param.var.as_detached_tensor())?;
            digests.push((param.name.clone(), digest_f32(&values)));
        }
        for (key, tensor) in optimizer.state()? {
            digests.push((format!("optimizer/{key}"), digest_f32(&values(&tensor)?)));
        }
        Ok(self.group.compare(&digests)?)
    }
}

/// Values as they are, but for the optimizer's counts of steps, which are whole numbers.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.to_dtype(DType::F32).and_then(|values| values.flatten_all());
    flat.and_then(|values| values.to_vec1()).map_err(at("a copy for other ranks"))
}
