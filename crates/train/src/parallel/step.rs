//! A step in shards: gradients of this rank's shards in a tree, which goes on over all ranks while the last of them is still computed.
//!
//! Above: `fit`. Below: `step`, `parallel::{answers, turn, wire}`, `layers::Network`, `taper-distributed`. Not here: a step of one
//! process without shards (`step`), how ranks are summed (`taper-distributed`).
//! The gradient of a shard of `n_s` samples of `n` weighs `n_s / n`, as its running statistics and its loss do; a shard without
//! samples gives zeros.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use taper_data::random::Rng;
use taper_distributed::{BUCKET_BYTES, Buckets, ReduceDtype, ReduceOptions, Sending, Tree};
use taper_layers::{Network, PartValue, loss::Loss};
use taper_optim::{Optimizer, Rule};

use super::answers::Answers;
use super::wire::{Reader, Writer};
use super::{DataParallel, Synchronization, Turn};
use crate::error::{Result, at};
use crate::metrics::{scalar, target_tensors};
use crate::step::{
    Participants, StepReport, StepSettings, finite, move_parameters, pictures, rows,
};
use crate::{Batch, Teacher};

/// The purpose of the random streams made here.
const SHARD: u64 = 0x7368_6172;

/// What is learned from a batch.
pub(crate) struct Lesson<'a> {
    pub(crate) loss: &'a dyn Loss,
    pub(crate) teacher: Option<&'a mut Teacher>,
}

/// What stays between steps: the order of gradients, and vectors for them.
#[derive(Debug)]
pub(super) struct Reducer {
    /// Trained parameters by index, in the order in which their gradients become final.
    pub(super) order: Vec<usize>,
    /// Buffers by index.
    pub(super) statistics: Vec<usize>,
    /// By place in `order`.
    lengths: Vec<usize>,
    pub(super) buckets: Buckets,
}

/// Running statistics by index.
type Statistics = Vec<(usize, Vec<f32>)>;

/// What a shard of this rank gave besides gradients.
#[derive(Default)]
pub(super) struct ShardReport {
    pub(super) loss: f64,
    pub(super) answers: Option<Answers>,
    /// Of a shard that took a step alone, if gradients are clipped.
    pub(super) grad_norm: Option<f64>,
}

/// What all ranks know after the passes of a step.
pub(super) struct Gathered {
    /// The mean of all samples.
    pub(super) loss: f64,
    /// The mean of shards that took steps alone.
    pub(super) grad_norm: Option<f64>,
    /// Of all shards in their order.
    pub(super) answers: Answers,
}

/// As [`step`](crate::step::step) for a batch in shards, on all ranks together.
pub(crate) fn sharded_step<R: Rule>(
    parallel: &DataParallel,
    turn: Turn,
    (network, optimizer): (&Network, &mut Optimizer<R>),
    lesson: Lesson<'_>,
    Participants { metric, hooks }: Participants<'_, '_>,
    settings: StepSettings,
) -> Result<StepReport> {
    let mut slot = parallel.reducer();
    let reducer = Reducer::of(&mut slot, network)?;
    let pass = Pass::new(parallel, network, &turn, settings.seed, metric.is_some());
    let counts = turn.counts.clone();
    let (sums, reports) = match parallel.sync {
        Synchronization::GradientsAndNorms => pass.run_synced(reducer, turn.parts, lesson)?,
        Synchronization::Gradients | Synchronization::Weights(_) => {
            pass.run(reducer, turn.parts, lesson)?
        }
    };
    let Gathered { loss, answers, .. } = parallel.gather(&reports, &counts)?;
    network.set_values(&sums.statistics)?;
    let grad_norm = {
        let _span = parallel.group.span("optimizer");
        move_parameters(network, optimizer, sums.gradients, hooks, settings)?
    };
    if let Some(metric) = metric {
        answers.show(|seen| metric.update(seen))?;
    }
    parallel.check(settings.step + 1, network, optimizer)?;
    Ok(StepReport { loss, grad_norm })
}

impl Reducer {
    /// The one there is, if it is of this network.
    pub(super) fn of<'s>(slot: &'s mut Option<Self>, network: &Network) -> Result<&'s mut Self> {
        let reducer = match slot.take() {
            Some(reducer) if reducer.fits(network)? => reducer,
            _ => Self::new(network)?,
        };
        Ok(slot.insert(reducer))
    }

    fn new(network: &Network) -> Result<Self> {
        let (order, statistics) = (network.gradient_order()?, network.statistics_order()?);
        let lengths = order.iter().map(|&index| network.params()[index].var.elem_count());
        let lengths: Vec<usize> = lengths.collect();
        let buckets = Buckets::new(&lengths, BUCKET_BYTES);
        Ok(Self { order, statistics, lengths, buckets })
    }

    fn fits(&self, network: &Network) -> Result<bool> {
        let is_long = |(&index, &length): (&usize, &usize)| {
            network.params().get(index).is_some_and(|param| param.var.elem_count() == length)
        };
        Ok(self.order == network.gradient_order()?
            && self.order.iter().zip(&self.lengths).all(is_long))
    }
}

/// What a step is made of, summed over all shards.
pub(super) struct Sums {
    pub(super) gradients: GradStore,
    pub(super) statistics: Statistics,
}

/// The forward and backward passes of this rank's shards.
pub(super) struct Pass<'a> {
    pub(super) parallel: &'a DataParallel,
    pub(super) network: &'a Network,
    /// Of all shards.
    samples: usize,
    seed: u64,
    /// Whether anybody wants to see outputs.
    pub(super) answers: bool,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        parallel: &'a DataParallel,
        network: &'a Network,
        turn: &Turn,
        seed: u64,
        answers: bool,
    ) -> Self {
        Self { parallel, network, samples: turn.samples(), seed, answers }
    }
}

impl Pass<'_> {
    fn run(
        &self,
        reducer: &mut Reducer,
        parts: Vec<Batch>,
        mut lesson: Lesson<'_>,
    ) -> Result<(Sums, Vec<ShardReport>)> {
        let Self { parallel, network, .. } = self;
        let Reducer { order, statistics, lengths, buckets } = reducer;
        let (mut tree, mut of_statistics) = (Tree::new(), Tree::new());
        let (mut reports, last) = (Vec::new(), parts.len().saturating_sub(1));
        let n_buckets = buckets.len();
        let mut sending = buckets.begin(&parallel.group, parallel.options);
        for (at, (shard, part)) in parallel.mine().zip(parts).enumerate() {
            let weight = self.weight(&part);
            let (report, mine) = if at < last {
                let mut flat = Vec::with_capacity(lengths.iter().sum());
                let put = &mut |gradient: &[f32]| flat.extend(scaled(gradient, weight));
                let told = self.shard(shard, part, &mut lesson, lengths, put)?;
                tree.push(flat);
                told
            } else {
                let (mut place, mut offset, mut sent) = (0, 0, Ok(()));
                let mut scratch = Vec::new();
                let put = &mut |gradient: &[f32]| {
                    scratch.clear();
                    scratch.extend(scaled(gradient, weight));
                    tree.complete(offset, &mut scratch);
                    if sent.is_ok() {
                        sent = sending.put(place, &scratch);
                    }
                    (place, offset) = (place + 1, offset + gradient.len());
                };
                let told = self.shard(shard, part, &mut lesson, lengths, put)?;
                sent?;
                told
            };
            of_statistics.push(self.flat_statistics(statistics, &mine, weight));
            reports.push(report);
        }
        let statistics =
            parallel.reduce_statistics(network, (n_buckets, statistics), of_statistics);
        let gradients = received(sending, network, order)?;
        Ok((Sums { gradients, statistics: statistics()? }, reports))
    }

    /// The share of the samples that are in a part.
    #[expect(clippy::cast_precision_loss, reason = "batch sizes stay far below 2^24")]
    pub(super) fn weight(&self, part: &Batch) -> f32 {
        part.indices.len() as f32 / self.samples.max(1) as f32
    }

    /// Decides what a shard drops.
    pub(super) fn seed_of(&self, shard: usize) -> u64 {
        match shard {
            0 => self.seed,
            shard => Rng::keyed([self.seed, SHARD, shard as u64]).next_u64(),
        }
    }

    /// Runs a shard, telling its gradients to `put` in their order, and gives its running statistics.
    fn shard(
        &self,
        shard: usize,
        part: Batch,
        lesson: &mut Lesson<'_>,
        lengths: &[usize],
        put: &mut dyn FnMut(&[f32]),
    ) -> Result<(ShardReport, Statistics)> {
        if part.indices.is_empty() {
            lengths.iter().for_each(|&length| put(&vec![0.0; length]));
            return Ok((ShardReport::default(), Vec::new()));
        }
        let (report, told) = self.shard_value(shard, part, lesson, put)?;
        Ok((report, told.statistics))
    }

    /// Runs a shard that has samples, telling its gradients to `put` in their order.
    pub(super) fn shard_value(
        &self,
        shard: usize,
        part: Batch,
        lesson: &mut Lesson<'_>,
        put: &mut dyn FnMut(&[f32]),
    ) -> Result<(ShardReport, PartValue)> {
        let _span = self.parallel.group.span("shard");
        let taught = lesson.teacher.as_mut().map(|teacher| teacher.outputs(&part)).transpose()?;
        let taught = lesson.teacher.as_deref().zip(taught);
        let taught = taught.map(|(teacher, outputs)| teacher.loss(lesson.loss, outputs));
        let loss = taught.as_ref().map_or(lesson.loss, |taught| taught as &dyn Loss);
        let Batch { xs, shape, targets, indices, .. } = part;
        let (xs, wanted) = (pictures(xs, shape)?, target_tensors(&targets)?);
        let seed = self.seed_of(shard);
        let loss = |outputs: &taper_layers::NamedTensors| loss.loss(outputs, &wanted);
        let told = self.network.value_and_grad_part(&xs, seed, loss, &mut |_, grad| put(grad))?;
        let answers = match self.answers {
            true => Some(Answers { outputs: rows(&told.value.outputs)?, targets, indices }),
            false => None,
        };
        let loss = scalar(&told.value.loss)?;
        Ok((ShardReport { loss, answers, grad_norm: None }, told))
    }

    /// Statistics of one shard, weighed, one after the other; zeros of a shard without samples.
    fn flat_statistics(
        &self,
        order: &[usize],
        mine: &[(usize, Vec<f32>)],
        weight: f32,
    ) -> Vec<f32> {
        if mine.is_empty() {
            let lengths = order.iter().map(|&index| self.network.params()[index].var.elem_count());
            return vec![0.0; lengths.sum()];
        }
        mine.iter().flat_map(|(_, values)| scaled(values, weight)).collect()
    }
}

impl DataParallel {
    /// Begins to sum statistics over all ranks; what is returned waits for it.
    pub(super) fn reduce_statistics(
        &self,
        network: &Network,
        (bucket, order): (usize, &[usize]),
        tree: Tree,
    ) -> impl FnOnce() -> Result<Statistics> {
        let sum = tree.finish().filter(|_| !order.is_empty());
        // They are never rounded: there is no next step that makes up for it.
        let options = ReduceOptions { dtype: ReduceDtype::F32, ..self.options };
        let pending = sum.map(|sum| self.group.reduce(bucket, sum, options));
        move || {
            let Some(pending) = pending else { return Ok(Vec::new()) };
            let mut rest = &pending.wait()?[..];
            let mut statistics = Vec::new();
            for &index in order {
                let param = &network.params()[index];
                let (first, others) = rest.split_at(param.var.elem_count().min(rest.len()));
                rest = others;
                let whole = |value: &f32| if param.is_count() { value.round() } else { *value };
                statistics.push((index, first.iter().map(whole).collect()));
            }
            Ok(statistics)
        }
    }

    /// What all shards come to.
    #[expect(clippy::cast_precision_loss, reason = "batch sizes stay far below 2^53")]
    pub(super) fn gather(&self, reports: &[ShardReport], counts: &[usize]) -> Result<Gathered> {
        let mut writer = Writer::default();
        for ShardReport { loss, answers, grad_norm } in reports {
            writer.number(loss.to_bits());
            writer.size(usize::from(grad_norm.is_some()));
            writer.number(grad_norm.unwrap_or(0.0).to_bits());
            writer.size(usize::from(answers.is_some()));
            if let Some(answers) = answers {
                answers.write(&mut writer);
            }
        }
        let (mut sum, mut norms) = (0.0, Vec::new());
        let (mut all, mut shards) = (Answers::default(), counts.iter().enumerate());
        for (rank, bytes) in self.group.all_gather(writer.bytes)?.iter().enumerate() {
            let mut reader = Reader::new(bytes, rank);
            for (shard, &count) in shards.by_ref().take(reports.len()) {
                let loss = f64::from_bits(reader.number()?);
                finite(&format!("the loss of {}", self.name(shard)), loss)?;
                sum += loss * count as f64;
                let has_norm = reader.size()? > 0;
                norms.extend(Some(f64::from_bits(reader.number()?)).filter(|_| has_norm));
                if reader.size()? > 0 {
                    all.append(Answers::read(&mut reader)?)?;
                }
            }
        }
        let samples = counts.iter().sum::<usize>().max(1);
        let grad_norm = match norms.len() {
            0 => None,
            n => Some(norms.iter().sum::<f64>() / n as f64),
        };
        Ok(Gathered { loss: sum / samples as f64, grad_norm, answers: all })
    }
}

/// Waits for the sums of gradients on their way.
pub(super) fn received(
    sending: Sending<'_>,
    network: &Network,
    order: &[usize],
) -> Result<GradStore> {
    let mut gradients = no_gradients()?;
    let mut refused = Ok(());
    sending.wait(|place, sum| {
        let param = &network.params()[order[place]];
        match Tensor::from_slice(sum, param.var.dims(), &Device::Cpu) {
            Ok(sum) => drop(gradients.insert(&param.var, sum)),
            Err(error) => refused = Err(error),
        }
    })?;
    refused.map_err(at("a gradient"))?;
    Ok(gradients)
}

fn scaled(values: &[f32], weight: f32) -> impl Iterator<Item = f32> {
    values.iter().map(move |value| value * weight)
}

/// A store to put gradients into: candle makes one for a pass only.
fn no_gradients() -> Result<GradStore> {
    let nothing = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu);
    nothing.and_then(|nothing| nothing.backward()).map_err(at("gradients"))
}
