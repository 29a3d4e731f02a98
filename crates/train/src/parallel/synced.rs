//! The passes of a step whose batch norms see all shards: this rank's go through the network together, and norms wait for all ranks.
//!
//! Above: `parallel::step`. Below: `layers::NetworkPart`, `parallel::answers`, `taper-distributed`. Not here: shards with statistics of their own (`parallel::step`).
//! Sums of norms are made in the tree in which gradients are, so that they do not depend on the number of ranks either.

use candle_core::Tensor;
use taper_distributed::Tree;
use taper_layers::loss::Loss;
use taper_layers::{NamedTensors, NetworkPart};

use super::answers::Answers;
use super::step::{Lesson, Pass, Reducer, ShardReport, Sums, received};
use crate::error::{Error, Result};
use crate::metrics::{scalar, target_tensors};
use crate::step::{pictures, rows};
use crate::{Batch, Teacher};

/// What a shard is held to.
struct Task {
    taught: Option<NamedTensors>,
    wanted: NamedTensors,
    /// Its share of the samples.
    weight: f64,
    /// Its own mean loss, when it is known.
    loss: Option<Tensor>,
}

impl Pass<'_> {
    /// As [`Pass::run`], with statistics of norms over all shards.
    pub(super) fn run_synced(
        &self,
        reducer: &mut Reducer,
        mut batches: Vec<Batch>,
        mut lesson: Lesson<'_>,
    ) -> Result<(Sums, Vec<ShardReport>)> {
        let (group, network) = (self.parallel.group(), self.network);
        let (mut parts, mut tasks) = (Vec::new(), Vec::new());
        for (shard, batch) in self.parallel.mine().zip(&mut batches) {
            let (part, task) = self.task(shard, batch, lesson.teacher.as_deref_mut())?;
            parts.push(part);
            tasks.push(task);
        }
        let Reducer { order, buckets, .. } = reducer;
        let mut sending = buckets.begin(group, self.parallel.options);
        let (mut place, mut sent) = (0, Ok(()));
        let _span = group.span("shards");
        let (teacher, targets) = (lesson.teacher.as_deref(), lesson.loss);
        let told = network.value_and_grad_synced(
            &parts,
            &mut |part, outputs| tasks[part].weighed_loss(outputs, targets, teacher),
            &mut |parts| Ok(group.sum(in_tree(parts))?),
            &mut |_, by_part| {
                if sent.is_ok() {
                    let sum = in_tree(by_part.iter().map(|gradient| gradient.to_vec()));
                    sent = sending.put(place, &sum);
                }
                place += 1;
            },
        );
        // A sum of norms fails because the job has.
        let told = told.map_err(|error| match group.check() {
            Ok(()) => Error::from(error),
            Err(ended) => Error::from(ended),
        })?;
        sent?;
        let mut reports = Vec::new();
        for ((task, outputs), batch) in tasks.into_iter().zip(&told.outputs).zip(batches) {
            let loss = task.loss.as_ref().map_or(Ok(0.0), scalar)?;
            let Batch { targets, indices, .. } = batch;
            let answers = match outputs {
                Some(outputs) if self.answers => {
                    Some(Answers { outputs: rows(outputs)?, targets, indices })
                }
                _ => None,
            };
            reports.push(ShardReport { loss, answers, grad_norm: None });
        }
        let gradients = received(sending, network, order)?;
        Ok((Sums { gradients, statistics: told.statistics }, reports))
    }

    /// What the network and its loss are to be given of a shard, whose pictures are taken out.
    fn task(
        &self,
        shard: usize,
        batch: &mut Batch,
        teacher: Option<&mut Teacher>,
    ) -> Result<(NetworkPart, Task)> {
        let weight = f64::from(self.weight(batch));
        let seed = self.seed_of(shard);
        if batch.indices.is_empty() {
            let (taught, wanted) = (None, NamedTensors::default());
            return Ok((
                NetworkPart { xs: None, seed },
                Task { taught, wanted, weight, loss: None },
            ));
        }
        let taught = teacher.map(|teacher| teacher.outputs(batch)).transpose()?;
        let xs = Some(pictures(std::mem::take(&mut batch.xs), batch.shape)?);
        let wanted = target_tensors(&batch.targets)?;
        Ok((NetworkPart { xs, seed }, Task { taught, wanted, weight, loss: None }))
    }
}

impl Task {
    /// This shard's part of the loss of all.
    fn weighed_loss(
        &mut self,
        outputs: &NamedTensors,
        targets: &dyn Loss,
        teacher: Option<&Teacher>,
    ) -> candle_core::Result<Tensor> {
        let taught = teacher.zip(self.taught.take());
        let loss = match taught {
            Some((teacher, taught)) => teacher.loss(targets, taught).loss(outputs, &self.wanted),
            None => targets.loss(outputs, &self.wanted),
        }?;
        self.loss = Some(loss.detach());
        loss * self.weight
    }
}

/// The sum of what this rank's shards have.
fn in_tree<T: Copy + std::ops::AddAssign>(parts: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let mut tree = Tree::new();
    parts.into_iter().for_each(|part| tree.push(part));
    tree.finish().unwrap_or_default()
}
