//! What a checkpoint holds of ranks: that which each of them has for itself.
//!
//! Above: `fit`. Below: `parallel::wire`, `taper-distributed`. Not here: what all ranks have alike (`fit`), the file (`checkpoint`).
//! What sums in bf16 still owe goes by rank and bucket: `rank/<rank>/residual/<bucket>`.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use taper_distributed::ReduceDtype;

use super::DataParallel;
use super::wire::{Reader, Writer};
use crate::error::{Result, at};

impl DataParallel {
    /// On the first rank the state of all, by key, and nothing on others. All ranks call it.
    pub(crate) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        if self.options.dtype != ReduceDtype::Bf16 {
            return Ok(BTreeMap::new());
        }
        let mut writer = Writer::default();
        let residuals = self.group.residuals()?;
        writer.size(residuals.len());
        for (bucket, values) in &residuals {
            writer.size(*bucket);
            writer.floats(values);
        }
        let mut state = BTreeMap::new();
        for (rank, bytes) in self.group.gather(0, writer.bytes)?.iter().enumerate() {
            let mut reader = Reader::new(bytes, rank);
            for _ in 0..reader.count(16)? {
                let (bucket, values) = (reader.size()?, reader.floats()?);
                let values = Tensor::new(values, &Device::Cpu).map_err(at("a checkpoint"))?;
                state.insert(format!("{}{bucket}", residual_of(rank)), values);
            }
        }
        Ok(state)
    }

    /// Takes up what [`Self::state`] gave on the first of as many ranks.
    pub(crate) fn load_state(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        let prefix = residual_of(self.group.rank());
        let mut residuals = Vec::new();
        for (key, values) in state {
            let bucket = key.strip_prefix(&prefix).and_then(|bucket| bucket.parse().ok());
            if let Some(bucket) = bucket {
                let values = values.flatten_all().and_then(|values| values.to_vec1());
                residuals.push((bucket, values.map_err(at("a checkpoint"))?));
            }
        }
        Ok(self.group.restore_residuals(residuals)?)
    }
}

fn residual_of(rank: usize) -> String {
    format!("rank/{rank}/residual/")
}
