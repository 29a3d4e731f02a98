//! What a process that fine-tunes holds in memory, and what fits into an amount of it.
//!
//! Above: `cost`, `fine_tune::fitting`. Below: `taper_cost::{training_memory_above, inference_memory}`. Not here: bounds that are checked
//! (`assertion`), what is done about a run that does not fit (`fine_tune::fitting`).

use taper_cost::{Bytes, TrainingMemory};
use taper_engine::Recompute;
use taper_graph::Graph;

use crate::error::{Error, Result};
use crate::options::{FineTuneOptions, Norms};
use crate::setup;

/// Bytes that a process takes beside what grows with the network and the batch: the program, its libraries, threads' stacks.
/// Measured: `taper bench --mode train` of the smallest networks, docs/cost.md.
pub(crate) const PROCESS: u64 = 36 << 20;

/// What an allocator keeps of what a run has freed, and is not used again. Measured: docs/cost.md.
const KEPT_FREE: u64 = 64 << 20;

/// What a decoder holds for one of a picture's bytes: coefficients of 16 bits of a progressive JPEG, and the pixels that they become.
const DECODING: u64 = 3;

/// Bytes of the file and of the pixels of a photograph as phones take it, of 12 megapixels, where the pictures are not known.
const PHOTOGRAPH: [u64; 2] = [4 << 20, 3 * 4032 * 3024];

/// Batches of pictures at once: one in use, two that are ready, one in the making.
const BATCHES: u64 = 4;

/// What a run has of all weights beside the four of a bench (the model, the variables, gradients, packed weights): the evaluated copy, packed,
/// and the file that is written.
const MORE_WEIGHTS: u64 = 4;

/// The most images a batch that is looked for.
const MOST: usize = 1 << 20;

/// Bytes that a process which trains will hold, if it does nothing else.
#[must_use]
pub(crate) fn process_bytes(memory: &TrainingMemory) -> u64 {
    let network = memory.total().0.saturating_add(memory.gradients.0);
    let held = network.saturating_add(memory.params.0).saturating_add(memory.scratch.0);
    held.saturating_add(PROCESS)
}

/// A network that is fine-tuned as options say, but for how a step is cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Footprint<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) outputs: &'a [&'a str],
    /// What is trained at the same time, of each stage of the run.
    pub(crate) stages: &'a [Vec<bool>],
    pub(crate) size: [usize; 2],
    pub(crate) options: &'a FineTuneOptions,
    /// Ranks that share the shards of a step.
    pub(crate) ranks: usize,
    /// Bytes of the largest file of a picture, and those of the most pixels.
    pub(crate) largest: [u64; 2],
    /// Pictures whose features are computed once, each view of each.
    pub(crate) pictures: usize,
    /// Height and width of the same pictures for a teacher, if it does not see the network's own.
    pub(crate) for_teacher: Option<[usize; 2]>,
    /// Bytes that are held besides, such as a teacher's.
    pub(crate) besides: u64,
}

/// How a step is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Images of all shards.
    pub(crate) batch: usize,
    pub(crate) shards: usize,
    pub(crate) recompute: Recompute,
}

impl Footprint<'_> {
    /// The most bytes that the process holds at once.
    pub(crate) fn bytes(&self, cut: Cut) -> Result<u64> {
        let mut step = 0;
        for trained in self.stages {
            step = step.max(self.training(trained, cut)?);
            if self.options.tries_rates() {
                // Rates are tried on steps as a whole, of a network of its own.
                let (ranks, whole) = (1, Cut { shards: 1, ..cut });
                let alone = Self { ranks, ..*self }.training(trained, whole)?;
                step = step.max(alone.saturating_add(self.weights().saturating_mul(2)));
            }
        }
        let before = self.features(cut)?;
        let always = KEPT_FREE
            .saturating_add(self.besides)
            .saturating_add(self.decoding())
            .saturating_add(self.whole_batches(cut));
        Ok(always.saturating_add(step.max(before)))
    }

    /// A step's plan: what it holds, and what the session of its frozen beginning does.
    pub(crate) fn step(&self, trained: &[bool], cut: Cut) -> Result<(TrainingMemory, Bytes)> {
        let ([h, w], n) = (self.size, cut.batch.div_ceil(cut.shards.max(1)).max(1));
        let (slots, threads) = (setup::slots(self.options), self.threads());
        let plan = (self.outputs, trained, cut.recompute);
        taper_cost::training_memory_above(self.graph, plan, [n, h, w], (slots, threads))
            .map_err(|source| Error::Cost { source })
    }

    /// Steps, evaluation between them, and what is written.
    fn training(&self, trained: &[bool], cut: Cut) -> Result<u64> {
        let (memory, beginning) = self.step(trained, cut)?;
        let on_rank = cut.shards.div_ceil(self.ranks.max(1)).max(1) as u64;
        let FineTuneOptions { sync_bn, sync_every, .. } = *self.options;
        let weights = MORE_WEIGHTS.saturating_add(self.averages()).saturating_mul(memory.params.0);
        let state = memory.params.0.saturating_add(memory.optimizer.0);
        let shared = match on_rank {
            1 => 0,
            // Shards that train alone have weights and state of their own.
            shards if sync_every > 1 => state.saturating_mul(shards + 2),
            // Sums of a fixed tree, the sum, and what becomes of it.
            shards => memory.gradients.0.saturating_mul(u64::from(shards.ilog2()) + 3),
        };
        // Shards whose norms share statistics go through the network together.
        let arenas = if sync_bn { on_rank - 1 } else { 0 };
        let more = [weights, shared, arenas.saturating_mul(memory.arena.0), beginning.0];
        let statistics = self.statistics(trained, cut)?;
        let more = more.into_iter().fold(statistics, u64::saturating_add);
        Ok(process_bytes(&memory).saturating_add(more).saturating_add(self.evaluation(cut)?))
    }

    /// The features of all pictures, and the session that computes them.
    fn features(&self, cut: Cut) -> Result<u64> {
        let channels = self.graph.output("pre_logits").ok().and_then(|node| {
            let extents = self.graph.extents(self.size[0], self.size[1]).ok()?;
            extents.get(node.index()).map(taper_graph::Extent::channels)
        });
        // A vector that grows has twice its length, and what it grew from.
        let vectors = Bytes::of_elements(3 * channels.unwrap_or(0)).times(self.pictures);
        let weights = self.weights().saturating_mul(5);
        let held = PROCESS.saturating_add(vectors.0).saturating_add(weights);
        Ok(held.saturating_add(self.evaluation(cut)?))
    }

    /// What a session of the network needs beside its weights.
    fn evaluation(&self, cut: Cut) -> Result<u64> {
        let ([h, w], threads) = (self.size, self.threads());
        let shape = [cut.batch, h, w];
        let memory = taper_cost::inference_memory(self.graph, self.outputs, shape, threads);
        memory.map(|memory| memory.arena.0).map_err(|source| Error::Cost { source })
    }

    /// What shows a network whole batches, to have statistics of its norms.
    fn statistics(&self, trained: &[bool], cut: Cut) -> Result<u64> {
        let FineTuneOptions { swa, soup, precise_bn, .. } = *self.options;
        match (swa.or(soup).or(precise_bn), self.options.norms()) {
            (_, Norms::Freeze) | (None, Norms::Train) => return Ok(0),
            (_, Norms::Recalibrate) | (Some(_), Norms::Train) => {}
        }
        // All of it, whatever is frozen.
        let (shards, recompute) = (1, Recompute::Segments);
        let (memory, _) =
            self.step(&vec![true; trained.len()], Cut { shards, recompute, ..cut })?;
        Ok(memory.arena.0)
    }

    fn weights(&self) -> u64 {
        let params: usize = self.graph.params().iter().map(taper_graph::ParamSpec::len).sum();
        Bytes::of_elements(params).0
    }

    /// Copies of all weights that averages are made of.
    fn averages(&self) -> u64 {
        let FineTuneOptions { ema, swa, soup, .. } = self.options;
        let average = if ema.is_some() || swa.is_some() { 2 } else { 0 };
        average + soup.map_or(0, |most| most as u64 + 2)
    }

    /// The batches of this rank, beyond the shard's images that a step counts.
    fn whole_batches(&self, cut: Cut) -> u64 {
        let ranks = if self.options.tries_rates() { 1 } else { self.ranks.max(1) };
        let on_rank = cut.batch.div_ceil(ranks);
        let channels = self.graph.input_channels();
        let pixels: usize = self.sizes().map(|[h, w]| h * w).sum();
        Bytes::of_elements(channels).times(pixels).times(on_rank).0 * BATCHES
    }

    fn decoding(&self) -> u64 {
        let [file, pixels] = self.largest;
        let each = pixels.saturating_mul(DECODING).saturating_add(file);
        each.saturating_mul(self.threads() as u64).saturating_mul(self.sizes().count() as u64)
    }

    /// Sizes in which the pictures of a step are made at the same time.
    fn sizes(&self) -> impl Iterator<Item = [usize; 2]> {
        [Some(self.size), self.for_teacher].into_iter().flatten()
    }

    fn threads(&self) -> usize {
        threads(self.options)
    }
}

/// The threads that compute and read.
pub(crate) fn threads(options: &FineTuneOptions) -> usize {
    match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// The largest batch of images of `size` that fine-tunes within so many bytes as `options` say, each step as one; none if a single image does
/// not fit.
///
/// # Errors
/// [`Error::Cost`] for an image that the network does not take.
pub fn largest_batch(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    (size, options): ([usize; 2], &FineTuneOptions),
    bytes: u64,
) -> Result<Option<usize>> {
    let footprint = Footprint {
        graph,
        outputs,
        stages: &[trained.to_vec()],
        size,
        options,
        ranks: 1,
        largest: PHOTOGRAPH,
        pictures: 0,
        for_teacher: None,
        besides: 0,
    };
    let recompute = setup::recompute(options);
    let fits = |batch: usize| match footprint.bytes(Cut { batch, shards: 1, recompute }) {
        Ok(needed) => Ok(needed <= bytes),
        // A batch that no address can reach fits into no memory.
        Err(_) if batch > 1 => Ok(false),
        Err(error) => Err(error),
    };
    if !fits(1)? {
        return Ok(None);
    }
    let (mut low, mut high) = (1, 2);
    while high <= MOST && fits(high)? {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(Some(low))
}
