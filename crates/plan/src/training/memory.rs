//! When every tensor of a step lives, and so where in the arena it lies.
//!
//! Above: `training`. Below: `memory`, `fused`, `training::{routes, schedule, segments}`. Not here: what is computed.
//! Time runs from 0: unit `u` of `n` runs forward at `u`, the caller's gradients arrive at `n`, and behind it come the units backward, each
//! behind those that run again for it. Where none does, unit `u` runs backward at `2n − u`.

use std::ops::Range;

use taper_graph::{Extent, Graph};

use super::Recompute;
use super::routes::{GradientRoutes, Route};
use super::schedule::{Schedule, Step, read_at_turn, read_back};
use super::segments;
use crate::{Error, FusedGraph, LiveRange, MemoryPlan, Result};

/// Where the tensors of a step lie, for one shape of batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingMemory {
    /// `[n, h, w]`.
    pub shape: [usize; 3],
    /// By value: extent for one image.
    pub extents: Vec<Extent>,
    /// By value: the tensor that the forward pass stores.
    pub stored: Vec<Range<usize>>,
    /// By value: where it lies on the way back: in the same place, unless it was dropped and is computed again.
    pub restored: Vec<Range<usize>>,
    /// By value: its gradient, an empty range when it has none.
    pub gradients: Vec<Range<usize>>,
    /// By unit: those that run again, in this order, before it is gone through backward.
    pub again: Vec<Vec<usize>>,
    /// When they live, in the order of the card's moments: by value, the stored tensors; then by buffer, the gradients; then what is
    /// computed again, in the order of [`TrainingMemory::dropped`].
    pub lives: Vec<LiveRange>,
    /// The values that are dropped and computed again.
    pub dropped: Vec<usize>,
    /// Elements of the arena.
    pub total: usize,
}

impl TrainingMemory {
    /// Lays out the arena for batches of `[n, h, w]`.
    ///
    /// # Errors
    /// For an empty batch, one that no address can reach, or an image that the graph does not take.
    pub fn new(
        graph: &Graph,
        fused: &FusedGraph,
        routes: &GradientRoutes,
        recompute: Recompute,
        shape @ [n, h, w]: [usize; 3],
    ) -> Result<Self> {
        let too_large = || Error::Batch { batch: n, h, w };
        if n == 0 {
            return Err(too_large());
        }
        let extents = fused.extents(graph, [h, w])?;
        let len = |extent: &Extent| extent.len().checked_mul(n).ok_or_else(too_large);
        let lens = extents.iter().map(len).collect::<Result<Vec<usize>>>()?;
        let cuts = match recompute {
            Recompute::Nothing => Vec::new(),
            Recompute::Segments => segments::choices(fused, routes, &lens),
        };
        let cut = cuts.iter().map(|cuts| Schedule::of_segments(fused, routes, cuts));
        let schedules = std::iter::once(Schedule::keeping_all(fused)).chain(cut);
        let laid_out = schedules.filter_map(|schedule| Layout::new(fused, routes, schedule, &lens));
        // Of equal ones the first, which computes least again.
        let smallest = laid_out.min_by_key(|layout| layout.plan.total).ok_or_else(too_large)?;
        Ok(smallest.into_memory(fused, routes, shape, extents))
    }

    /// What runs, moment by moment.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        super::schedule::steps(&self.again)
    }
}

/// A schedule whose tensors have their places.
struct Layout {
    schedule: Schedule,
    dropped: Vec<usize>,
    lives: Vec<LiveRange>,
    plan: MemoryPlan,
}

impl Layout {
    /// None if no address can reach it. `lens` are elements by value.
    fn new(
        fused: &FusedGraph,
        routes: &GradientRoutes,
        schedule: Schedule,
        lens: &[usize],
    ) -> Option<Self> {
        let values = fused.values.len();
        let dropped: Vec<usize> = (0..values).filter(|&v| schedule.is_dropped[v]).collect();
        let mut of_buffers = vec![0; routes.n_buffers];
        for (buffer, &len) in routes.buffers.iter().zip(lens) {
            buffer.iter().for_each(|&buffer| of_buffers[buffer] = len);
        }
        let times = Times::new(fused, routes, &schedule);
        let again = dropped.iter().map(|&v| (lens[v], times.restored[v]));
        let stored = lens.iter().copied().zip(times.stored);
        let all = stored.chain(of_buffers.into_iter().zip(times.buffers)).chain(again);
        let live = |(len, time): (usize, Option<[usize; 2]>)| {
            // What is never used takes no place.
            time.map_or(LiveRange { len: 0, first: 0, last: 0 }, |[first, last]| LiveRange {
                len,
                first,
                last,
            })
        };
        let lives: Vec<LiveRange> = all.map(live).collect();
        let plan = MemoryPlan::new(&lives)?;
        Some(Self { schedule, dropped, lives, plan })
    }

    fn into_memory(
        self,
        fused: &FusedGraph,
        routes: &GradientRoutes,
        shape: [usize; 3],
        extents: Vec<Extent>,
    ) -> TrainingMemory {
        let Self { schedule, dropped, lives, plan: MemoryPlan { ranges: mut stored, total } } =
            self;
        let mut buffers = stored.split_off(fused.values.len());
        let again = buffers.split_off(routes.n_buffers);
        let mut restored = stored.clone();
        for (&v, range) in dropped.iter().zip(again) {
            restored[v] = range;
        }
        let range = |buffer: &Option<usize>| buffer.map_or(0..0, |buffer| buffers[buffer].clone());
        let gradients = routes.buffers.iter().map(range).collect();
        let again = schedule.again;
        TrainingMemory { shape, extents, stored, restored, gradients, again, lives, dropped, total }
    }
}

/// First and last moment of use, of all that is used.
struct Times {
    /// By value: from the forward pass on.
    stored: Vec<Option<[usize; 2]>>,
    /// By value: once it is computed again.
    restored: Vec<Option<[usize; 2]>>,
    /// By buffer of gradients.
    buffers: Vec<Option<[usize; 2]>>,
}

impl Times {
    fn new(fused: &FusedGraph, routes: &GradientRoutes, schedule: &Schedule) -> Self {
        let values = fused.values.len();
        let mut times = Self {
            stored: vec![None; values],
            restored: vec![None; values],
            buffers: vec![None; routes.n_buffers],
        };
        times.stored.iter_mut().take(fused.given).for_each(|time| touch(time, 0));
        let mut end = 0;
        for (moment, step) in schedule.steps().enumerate() {
            times.take_step(fused, routes, schedule, (step, moment));
            end = moment;
        }
        // The gradient of a watched value lives until the next forward.
        if let Some(buffer) = fused.watched.and_then(|v| routes.buffers[v]) {
            touch(&mut times.buffers[buffer], end);
        }
        times
    }

    fn take_step(
        &mut self,
        fused: &FusedGraph,
        routes: &GradientRoutes,
        schedule: &Schedule,
        (step, moment): (Step, usize),
    ) {
        let Self { stored, restored, buffers } = self;
        let mut stored = |v: usize| touch(&mut stored[v], moment);
        let mut gradient = |v: usize| {
            routes.buffers[v].iter().for_each(|&buffer| touch(&mut buffers[buffer], moment));
        };
        let mut back = |v: usize| match schedule.is_dropped[v] {
            true => touch(&mut restored[v], moment),
            false => stored(v),
        };
        match step {
            Step::Forward(u) => {
                let unit = &fused.units[u];
                unit.inputs.iter().copied().chain([unit.output]).for_each(stored);
            }
            Step::Turn => {
                read_at_turn(fused, routes).for_each(back);
                fused.outputs.iter().for_each(|&v| gradient(v));
            }
            Step::Recompute(u) => {
                let unit = &fused.units[u];
                unit.inputs.iter().copied().chain([unit.output]).for_each(back);
            }
            Step::Backward(u) if routes.needs[fused.units[u].output] => {
                read_back(fused, routes, u).for_each(&mut back);
                let unit = &fused.units[u];
                let goes = unit.inputs.iter().zip(&routes.inputs[u]);
                goes.filter(|(_, route)| **route != Route::None).for_each(|(&v, _)| gradient(v));
                gradient(unit.output);
            }
            Step::Backward(_) => {}
        }
    }
}

fn touch(time: &mut Option<[usize; 2]>, moment: usize) {
    let [first, last] = time.unwrap_or([moment; 2]);
    *time = Some([first.min(moment), last.max(moment)]);
}
