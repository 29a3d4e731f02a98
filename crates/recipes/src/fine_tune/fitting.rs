//! How a run is made to fit its pictures, and into an amount of memory.
//!
//! Above: `fine_tune`, `find_lr`, `tune_from`. Below: `cost::budget`, `tune::{frozen_network, min_batch, unfreeze}`. Not here: how much a run needs (`cost::budget`).
//! First gradients are checkpointed, which changes no bit. Then a step is cut into shards, twice as many each time, with the batch as it was:
//! each has batch statistics of its own. What is left over is for decoded pictures.

use std::collections::BTreeSet;

use taper_data::{Cache, Dataset, Sample, TargetKind};
use taper_distributed::Group;
use taper_engine::Recompute;
use taper_graph::Graph;
use taper_layers::{Network, Parameter};
use taper_train::Teacher;

use crate::cost::budget::{self, Cut, Footprint};
use crate::error::{Error, Result};
use crate::observer::{Event, MemoryPlan, Observer};
use crate::options::{CacheKind, ClassWeights, FineTuneOptions, Sampling};
use crate::setup;
use crate::task::LOGITS;
use crate::tune::{for_teacher, frozen_network, min_batch, unfreeze};

use super::PreparedRun;
use super::network::saying;

/// A cache of fewer bytes is none.
const SMALLEST_CACHE: u64 = 1 << 20;

/// How a run keeps to its memory.
struct Fitted {
    options: FineTuneOptions,
    /// What is left for decoded pictures, if they are kept in memory and nobody said how many.
    cache: Option<u64>,
}

/// Whether a run begins, or goes on with the shards that it has: its bits depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    Now,
    Before,
}

impl PreparedRun<'_> {
    /// The same run within its [`memory`](FineTuneOptions::memory), with classes that count as their sizes ask for, and the options that make it so.
    pub(crate) fn fitted(
        self,
        options: &FineTuneOptions,
        began: (&Group, Begun),
        observer: &mut dyn Observer,
    ) -> Result<(Self, FineTuneOptions)> {
        let asked = balanced(options, &self.dataset, observer);
        let Some(limit) = asked.memory else {
            return Ok(match asked == *options {
                true => (self, asked),
                false => (self.saying(&asked), asked),
            });
        };
        let Fitted { options, cache } = fitted((&self, limit), &asked, began, observer)?;
        let cache = match cache {
            Some(0) => Cache::none(),
            Some(bytes) => Cache::in_memory(bytes),
            None => self.cache.clone(),
        };
        Ok((self.saying(&options).keeping(&cache), options))
    }

    /// The same run, whose model says these options.
    fn saying(self, options: &FineTuneOptions) -> Self {
        let model = saying(self.model, self.before.clone(), self.kept.teacher.as_ref(), options);
        Self { model, ..self }
    }

    /// The same run at a learning rate, and the options that say so.
    pub(super) fn at_rate(
        self,
        lr: Option<f64>,
        options: FineTuneOptions,
    ) -> (FineTuneOptions, Self) {
        let options = FineTuneOptions { lr, ..options };
        let run = self.saying(&options);
        (options, run)
    }
}

/// The options of a run on a part of these pictures, for all of whose parts [`Sampling::Auto`] is decided alike.
pub(crate) fn decided(
    options: &FineTuneOptions,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> FineTuneOptions {
    let whole = Dataset {
        train: dataset.train.iter().chain(&dataset.val).cloned().collect(),
        ..dataset.clone()
    };
    let options = balanced(options, &whole, observer);
    let sampling = match options.sampling {
        Sampling::Auto => Sampling::Shuffle,
        said => said,
    };
    FineTuneOptions { sampling, ..options }
}

/// The options with [`Sampling::Auto`] decided, which stays where every picture is shown once: where classes are very unequal, all are shown alike often, or, of features that are computed once, count
/// alike. Of pictures without labels, nobody knows the classes, and repeated ones are drawn otherwise.
fn balanced(
    options: &FineTuneOptions,
    dataset: &Dataset,
    observer: &mut dyn Observer,
) -> FineTuneOptions {
    let is_open = options.sampling == Sampling::Auto
        && dataset.kind() == TargetKind::Class
        && options.class_weights == ClassWeights::None
        && options.unlabelled.is_none()
        && options.repeats == 1;
    let counts = dataset.count_by_class(&dataset.train).into_iter().zip(&dataset.classes);
    let counts: Vec<(usize, &String)> = counts.filter(|(count, _)| *count > 0).collect();
    let (Some(most), Some(least)) =
        (counts.iter().max_by_key(|it| it.0), counts.iter().min_by_key(|it| it.0))
    else {
        return options.clone();
    };
    if !is_open || most.0 < FineTuneOptions::UNEQUAL * least.0 {
        return options.clone();
    }
    let (how, options) = match options.may_see_features() {
        true => {
            let class_weights = ClassWeights::Balanced;
            let options = FineTuneOptions { class_weights, ..options.clone() };
            ("all count alike (`class_weights`)", options)
        }
        false => {
            let sampling = Sampling::Balanced;
            ("all are shown alike often", FineTuneOptions { sampling, ..options.clone() })
        }
    };
    let text = format!(
        "classes are of very different sizes (`{}` {} pictures, `{}` {}): {how}; every picture counts once with `sampling` shuffle, --sampling shuffle",
        most.1, most.0, least.1, least.0
    );
    observer.on_event(&Event::Warning(&text));
    options
}

/// The options with which a run keeps to so many bytes, the same on all ranks.
fn fitted(
    (run, limit): (&PreparedRun<'_>, u64),
    options: &FineTuneOptions,
    (group, begun): (&Group, Begun),
    observer: &mut dyn Observer,
) -> Result<Fitted> {
    let network = frozen_network(&run.model, options)?;
    let min_batch = min_batch(&network, run.model.preprocess().input_size, options)?;
    let stages = stages(&network, options)?;
    drop(network);
    let footprint = footprint(run, &stages, options, group.size());
    let most = match begun {
        Begun::Now => options.batch_size.min(run.dataset.train.len()) / min_batch.max(1),
        Begun::Before => 0,
    };
    let (cut, needed) = choose(&footprint, &cuts(options, most), (group, limit))?;
    tell(&footprint, cut, [limit, needed], observer)?;
    let options = FineTuneOptions {
        shards: cut.shards,
        grad_checkpointing: cut.recompute == Recompute::Segments,
        ..options.clone()
    };
    let is_open = options.cache == CacheKind::Ram && options.cache_size.is_none();
    let left = limit.saturating_sub(needed);
    let cache = is_open.then(|| left.min(FineTuneOptions::usual_cache(group.size())));
    let cache = cache.map(|bytes| if bytes < SMALLEST_CACHE { 0 } else { bytes });
    Ok(Fitted { options, cache })
}

/// What the run holds on one of so many ranks.
fn footprint<'f>(
    run: &'f PreparedRun<'_>,
    stages: &'f [Vec<bool>],
    options: &'f FineTuneOptions,
    ranks: usize,
) -> Footprint<'f> {
    let samples = || run.dataset.train.iter().chain(&run.dataset.val);
    let largest = |of: fn(&Sample) -> u64| samples().map(of).max().unwrap_or(0);
    Footprint {
        graph: run.model.graph(),
        outputs: &[LOGITS],
        stages,
        size: run.model.preprocess().input_size,
        options,
        ranks,
        largest: [largest(Sample::encoded_bytes), largest(Sample::decoded_bytes)],
        pictures: views(run, options),
        for_teacher: run.kept.teacher.as_ref().filter(|_| options.is_taught()).and_then(
            |teacher| {
                let seen = for_teacher(teacher.preprocess(), run.model.preprocess().input_size);
                seen.map(|seen| seen.input_size)
            },
        ),
        besides: besides(run, options),
    }
}

/// How many vectors are held where features are computed once.
fn views(run: &PreparedRun<'_>, options: &FineTuneOptions) -> usize {
    let Dataset { train, val, .. } = &run.dataset;
    train.len().saturating_mul(options.looks()).saturating_add(val.len())
}

/// What is trained at the same time: of a network that is unfrozen part by part, each stage has a plan of its own.
fn stages(network: &Network, options: &FineTuneOptions) -> Result<Vec<Vec<bool>>> {
    let trained = |is_held: &dyn Fn(&str) -> bool| -> Vec<bool> {
        let is_trained = |param: &Parameter| param.is_trained() && !is_held(&param.name);
        network.params().iter().map(is_trained).collect()
    };
    let Some(unfreeze) = unfreeze(network.graph(), options)? else {
        return Ok(vec![trained(&|_| false)]);
    };
    let turns = network.params().iter().map(|param| unfreeze.first_epoch(&param.name));
    let turns: BTreeSet<usize> = turns.chain([0]).filter(|&epoch| epoch < options.epochs).collect();
    let of = |epoch| trained(&|name| unfreeze.holds(epoch, name));
    let mut stages: Vec<Vec<bool>> = turns.into_iter().map(of).collect();
    stages.dedup();
    stages.retain(|trained| trained.contains(&true));
    Ok(stages)
}

/// What can be done about a step, in the order in which it is tried.
fn cuts(options: &FineTuneOptions, most: usize) -> Vec<Cut> {
    let (batch, shards) = (options.batch_size, options.shards.max(1));
    let asked = Cut { batch, shards, recompute: setup::recompute(options) };
    let mut cuts = vec![asked, Cut { recompute: Recompute::Segments, ..asked }];
    // Shards that share statistics are held together, and of those that train alone each is one more network.
    let may_cut = !options.sync_bn && options.sync_every == 1;
    let mut more = shards.saturating_mul(2);
    while may_cut && more <= most {
        cuts.push(Cut { shards: more, ..asked });
        cuts.push(Cut { shards: more, recompute: Recompute::Segments, ..asked });
        more = more.saturating_mul(2);
    }
    cuts.dedup();
    cuts
}

/// The first cut that fits on every rank, and what it needs on this one.
fn choose(
    footprint: &Footprint<'_>,
    cuts: &[Cut],
    (group, limit): (&Group, u64),
) -> Result<(Cut, u64)> {
    let mut needed = Vec::with_capacity(cuts.len());
    for cut in cuts {
        needed.push(footprint.bytes(*cut)?);
        // The first that fits here is enough for one rank.
        if group.is_alone() && needed.last().is_some_and(|&bytes| bytes <= limit) {
            break;
        }
    }
    // Ranks may have other numbers of threads, and with them need more or less.
    let told = needed.iter().flat_map(|bytes| bytes.to_le_bytes()).collect();
    let told = group.all_gather(told)?;
    let most = |at: usize| {
        let of_rank = |bytes: &Vec<u8>| bytes.as_chunks::<8>().0.get(at).copied();
        let of_ranks = told.iter().filter_map(of_rank).map(u64::from_le_bytes);
        of_ranks.max().unwrap_or(u64::MAX)
    };
    let fits = (0..needed.len()).find(|&at| most(at) <= limit);
    match fits {
        Some(at) => Ok((cuts[at], needed[at])),
        None => {
            let least = (0..needed.len()).map(most).min().unwrap_or(u64::MAX);
            Err(too_little(footprint, limit, least))
        }
    }
}

fn too_little(footprint: &Footprint<'_>, limit: u64, least: u64) -> Error {
    let mib = |bytes: u64| format!("{}MiB", bytes.div_ceil(1 << 20));
    let (options, [h, w]) = (footprint.options, footprint.size);
    let (batch_size, tries) = (options.batch_size, options.tries_rates());
    let rate = if tries { ", or a rate that is given," } else { "" };
    let expected = format!(
        "{} or more: less than that holds no step of {batch_size} pictures of {h}x{w} pixels, however it is cut; a smaller `batch_size`, \
         `image_size` or network{rate}, or more of it frozen, needs less",
        mib(least)
    );
    Error::option("memory", &mib(limit), expected)
}

fn tell(
    footprint: &Footprint<'_>,
    cut: Cut,
    [limit, needed]: [u64; 2],
    observer: &mut dyn Observer,
) -> Result<()> {
    let recomputed = match (cut.recompute, footprint.stages.last()) {
        (Recompute::Segments, Some(trained)) => {
            let (memory, _) = footprint.step(trained, cut)?;
            let passes = 3 * macs(footprint.graph, footprint.size)?;
            let images = cut.batch.div_ceil(cut.shards).max(1) as f64;
            Some(memory.recomputed.0 as f64 / (images * passes as f64).max(1.0))
        }
        (Recompute::Nothing | Recompute::Segments, _) => None,
    };
    let (batch, shards) = (cut.batch, cut.shards);
    observer.on_event(&Event::Memory(&MemoryPlan { limit, needed, batch, shards, recomputed }));
    Ok(())
}

/// Bytes of what the run holds beside its network: the teacher with its session, pictures, and a cache of a size that was asked for.
fn besides(run: &PreparedRun<'_>, options: &FineTuneOptions) -> u64 {
    let mut bytes = match options.cache {
        CacheKind::Ram => options.cache_size.unwrap_or(0),
        CacheKind::None | CacheKind::Disk => 0,
    };
    for sample in run.dataset.train.iter().chain(&run.dataset.val) {
        bytes = bytes.saturating_add(sample.held_bytes());
    }
    let Some(teacher) = &run.kept.teacher else { return bytes };
    // It sees the student's pictures in its own size, and before that those without labels as its own file says.
    let own = teacher.preprocess().input_size;
    let [h, w] = Teacher::seen_size(own, run.model.preprocess().input_size);
    let (shape, threads) = ([options.batch_size, h, w], budget::threads(options));
    // A teacher that does not take them is refused when it comes to teach.
    let memory = taper_cost::inference_memory(teacher.graph(), &[LOGITS], shape, threads);
    let session = memory.map_or(0, |memory| {
        memory.arena.0 + 3 * memory.images.0 + memory.params.0.saturating_mul(3)
    });
    bytes.saturating_add(session)
}

fn macs(graph: &Graph, [h, w]: [usize; 2]) -> Result<u64> {
    let macs = taper_cost::macs(graph, h, w).map_err(|source| Error::Cost { source })?;
    Ok(macs.0)
}

#[cfg(test)]
mod tests;
