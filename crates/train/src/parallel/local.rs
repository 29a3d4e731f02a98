//! Shards that train alone for some steps and then meet: local SGD, and `DiLoCo` with its outer step.
//!
//! Above: `fit`. Below: `parallel::{replicas, step}`, `step`, `taper-distributed`. Not here: shards that share every step's gradient
//! (`parallel::step`).
//! Every shard has weights, running statistics and optimizer state of its own. When they meet, the mean of what each has moved since they
//! last met is a gradient for the weights they had then: plain SGD at rate 1 makes them the mean of all, and Nesterov's momentum goes on
//! where shards went. Running statistics become their mean; the optimizer's state stays each shard's own.
//! Sources: Stich 2019, "Local SGD", <https://arxiv.org/abs/1805.09767>; Douillard et al. 2023, "`DiLoCo`",
//! <https://arxiv.org/abs/2311.08105>.

use taper_distributed::Tree;
use taper_layers::Network;
use taper_optim::{Optimizer, Rule};

use super::replicas::Replicas;
use super::step::{Lesson, Pass, Reducer, ShardReport};
use super::{DataParallel, Turn};
use crate::error::{Error, Result};
use crate::step::{Participants, StepReport, StepSettings, finite, move_parameters};
use crate::{Batch, StepHook};

/// When shards that train alone meet, and what becomes of their weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalSgd {
    /// Steps that each takes alone; the end of an epoch ends a period, too.
    pub every: u64,
    /// The learning rate of the outer step: 1 for the mean of all weights.
    pub outer_lr: f64,
    /// Nesterov's momentum of the outer step, as PyTorch's SGD has it.
    pub outer_momentum: f64,
}

impl LocalSgd {
    /// What Douillard et al. 2023 found best with momentum.
    pub const DILOCO_LR: f64 = 0.7;

    /// The mean of weights after every so many steps.
    #[must_use]
    pub fn mean(every: u64) -> Self {
        Self { every, outer_lr: 1.0, outer_momentum: 0.0 }
    }

    pub(super) fn check(&self) -> Result<()> {
        let refuse = |name, got: String, expected| Err(Error::Setting { name, got, expected });
        let Self { every, outer_lr, outer_momentum } = *self;
        if every == 0 {
            return refuse("every", every.to_string(), "1 or more steps");
        }
        if !(outer_lr.is_finite() && outer_lr > 0.0) {
            return refuse("outer_lr", outer_lr.to_string(), "a number above 0");
        }
        match (0.0..1.0).contains(&outer_momentum) {
            true => Ok(()),
            false => refuse("outer_momentum", outer_momentum.to_string(), "from 0 to below 1"),
        }
    }

    pub(super) fn describe(&self) -> String {
        let Self { every, outer_lr, outer_momentum } = self;
        format!("every {every} steps, outer lr {outer_lr}, outer momentum {outer_momentum}")
    }

    /// One step from `weights` along `gradient`, what shards moved on average, the other way round.
    #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
    pub(super) fn step(&self, weights: &mut [f32], momentum: &mut Vec<f32>, gradient: &[f32]) {
        let (lr, keep) = (self.outer_lr as f32, self.outer_momentum as f32);
        if keep == 0.0 {
            weights.iter_mut().zip(gradient).for_each(|(weight, g)| *weight -= lr * g);
            return;
        }
        momentum.resize(weights.len(), 0.0);
        for ((weight, momentum), g) in weights.iter_mut().zip(momentum).zip(gradient) {
            *momentum = keep * *momentum + g;
            *weight -= lr * (g + keep * *momentum);
        }
    }
}

/// As [`sharded_step`](super::sharded_step), each shard with a step of its own.
pub(crate) fn local_step<R: Rule>(
    parallel: &DataParallel,
    turn: Turn,
    (network, optimizer): (&Network, &mut Optimizer<R>),
    mut lesson: Lesson<'_>,
    Participants { metric, hooks }: Participants<'_, '_>,
    settings: StepSettings,
) -> Result<StepReport> {
    let mut slot = parallel.replicas();
    let replicas = Replicas::of(&mut slot, parallel, network, optimizer)?;
    let pass = Pass::new(parallel, network, &turn, settings.seed, metric.is_some());
    let counts = turn.counts.clone();
    let mut reports = Vec::new();
    for (at, (shard, part)) in parallel.mine().zip(turn.parts).enumerate() {
        replicas.enter(at, network, optimizer)?;
        reports.push(pass.alone(shard, part, &mut lesson, optimizer, (&mut *hooks, settings))?);
        replicas.leave(at, network, optimizer)?;
    }
    replicas.steps += 1;
    let gathered = parallel.gather(&reports, &counts)?;
    if let Some(metric) = metric {
        gathered.answers.show(|seen| metric.update(seen))?;
    }
    drop(slot);
    parallel.check(settings.step + 1, network, optimizer)?;
    Ok(StepReport { loss: gathered.loss, grad_norm: gathered.grad_norm })
}

impl Pass<'_> {
    /// A step of one shard with the weights that are in the network.
    fn alone<R: Rule>(
        &self,
        shard: usize,
        part: Batch,
        lesson: &mut Lesson<'_>,
        optimizer: &mut Optimizer<R>,
        (hooks, settings): (&mut [Box<dyn StepHook + '_>], StepSettings),
    ) -> Result<ShardReport> {
        if part.indices.is_empty() {
            return Ok(ShardReport::default());
        }
        let (mut report, told) = self.shard_value(shard, part, lesson, &mut |_| ())?;
        finite(&format!("the loss of {}", self.parallel.name(shard)), report.loss)?;
        self.network.set_values(&told.statistics)?;
        report.grad_norm =
            move_parameters(self.network, optimizer, told.value.grads, hooks, settings)?;
        Ok(report)
    }
}

impl DataParallel {
    /// Before the first step: shards that train alone all have what is in the network.
    pub(crate) fn begin<R: Rule>(&self, network: &Network, optimizer: &Optimizer<R>) -> Result<()> {
        if self.local().is_some() {
            *self.replicas() = Some(Replicas::new(self, network, optimizer)?);
        }
        Ok(())
    }

    /// Whether shards have been alone for as long as they shall be.
    pub(crate) fn is_due(&self) -> bool {
        let steps = self.replicas().as_ref().map_or(0, |replicas| replicas.steps);
        self.local().is_some_and(|local| steps >= local.every)
    }

    /// Makes the weights of all shards one again, in the network too, with what hooks want of them; gives how many steps they were alone. All
    /// ranks call it.
    pub(crate) fn meet(&self, network: &Network, hooks: &[Box<dyn StepHook + '_>]) -> Result<u64> {
        let mut slot = self.replicas();
        let (Some(local), Some(replicas)) = (self.local(), slot.as_mut()) else { return Ok(0) };
        let steps = std::mem::take(&mut replicas.steps);
        if steps == 0 {
            return Ok(0);
        }
        let _span = self.group.span("synchronization");
        let statistics = self.mean_statistics(replicas, network)?;
        self.outer_step(local, replicas, network)?;
        network.set_values(&statistics)?;
        hooks.iter().try_for_each(|hook| hook.constrain(network))?;
        replicas.take_up(network)?;
        Ok(steps)
    }

    /// Moves the weights of the last meeting by what shards have moved since, and puts them into the network.
    fn outer_step(
        &self,
        local: &LocalSgd,
        replicas: &mut Replicas,
        network: &Network,
    ) -> Result<()> {
        let mut slot = self.reducer();
        let Reducer { order, buckets, .. } = Reducer::of(&mut slot, network)?;
        let share = self.share_of_one();
        let mut sending = buckets.begin(&self.group, self.options);
        for (place, &index) in order.iter().enumerate() {
            let mut tree = Tree::new();
            for at in 0..replicas.len() {
                let now = replicas.values(at, index, network)?;
                let moved = replicas.met[&index].iter().zip(now);
                tree.push(moved.map(|(then, now)| (then - now) * share).collect());
            }
            sending.put(place, &tree.finish().unwrap_or_default())?;
        }
        let Replicas { met, momentum, .. } = replicas;
        sending.wait(|place, gradient| {
            let mut momentum_of = momentum.remove(&order[place]).unwrap_or_default();
            if let Some(weights) = met.get_mut(&order[place]) {
                local.step(weights, &mut momentum_of, gradient);
            }
            if !momentum_of.is_empty() {
                momentum.insert(order[place], momentum_of);
            }
        })?;
        let weights = order.iter().map(|index| (*index, met[index].clone()));
        Ok(network.set_values(&weights.collect::<Vec<_>>())?)
    }

    fn mean_statistics(
        &self,
        replicas: &Replicas,
        network: &Network,
    ) -> Result<Vec<(usize, Vec<f32>)>> {
        let mut slot = self.reducer();
        let Reducer { statistics, buckets, .. } = Reducer::of(&mut slot, network)?;
        let mut tree = Tree::new();
        for at in 0..replicas.len() {
            let mut flat = Vec::new();
            for &index in &*statistics {
                let values = replicas.values(at, index, network)?;
                flat.extend(values.iter().map(|value| value * self.share_of_one()));
            }
            tree.push(flat);
        }
        self.reduce_statistics(network, (buckets.len(), statistics), tree)()
    }

    /// The share of one of all shards.
    #[expect(clippy::cast_precision_loss, reason = "numbers of shards stay far below 2^24")]
    fn share_of_one(&self) -> f32 {
        1.0 / self.shards() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_step_is_that_of_pytorch() {
        // torch.optim.SGD([w], lr=0.7, momentum=0.9, nesterov=True), gradients 0.5, -1, 0.25 from w = 2
        let local = LocalSgd { every: 8, outer_lr: 0.7, outer_momentum: 0.9 };
        let (mut weights, mut momentum) = (vec![2.0], Vec::new());
        for (gradient, expected) in [(0.5, 1.335), (-1.0, 2.381_5), (0.25, 2.360_85)] {
            local.step(&mut weights, &mut momentum, &[gradient]);
            assert!((weights[0] - expected).abs() < 1e-6, "{weights:?} {expected}");
        }
        let (mut weights, mut momentum) = (vec![2.0, -1.0], Vec::new());
        LocalSgd::mean(8).step(&mut weights, &mut momentum, &[0.5, 0.25]);
        assert_eq!((weights, momentum), (vec![1.5, -1.25], vec![]));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let fine = LocalSgd { every: 8, outer_lr: 0.7, outer_momentum: 0.9 };
        fine.check().unwrap();
        for (odd, name) in [
            (LocalSgd { every: 0, ..fine }, "every"),
            (LocalSgd { outer_lr: 0.0, ..fine }, "outer_lr"),
            (LocalSgd { outer_lr: f64::NAN, ..fine }, "outer_lr"),
            (LocalSgd { outer_momentum: 1.0, ..fine }, "outer_momentum"),
            (LocalSgd { outer_momentum: -0.1, ..fine }, "outer_momentum"),
        ] {
            let error = odd.check().unwrap_err();
            assert!(matches!(&error, Error::Setting { name: it, .. } if *it == name), "{error:?}");
        }
    }
}
