//! The order in which a step runs: forward, backward, and what of the forward pass is run again on the way back.
//!
//! Above: `training::memory`, `taper-engine`'s backward pass. Below: `fused`, `training::routes`. Not here: where to cut
//! (`training::segments`), where tensors lie (`training::memory`).
//! Units are cut into *segments*. What a segment writes and nobody behind it reads is dropped when the forward pass has gone by, and
//! computed again, from what was kept, before the backward pass first needs any of it. The last segment keeps all.
//! Source: gradient checkpointing, Chen et al. 2016, <https://arxiv.org/abs/1604.06174>.

use super::routes::{GradientRoutes, Route};
use crate::FusedGraph;

/// What runs at a moment of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A unit runs.
    Forward(usize),
    /// Outputs are read, and their gradients arrive.
    Turn,
    /// A unit runs again, because what it wrote was dropped.
    Recompute(usize),
    /// A unit is gone through backward, if a gradient comes that way.
    Backward(usize),
}

/// What is dropped, and when it is computed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// By value.
    pub(super) is_dropped: Vec<bool>,
    /// By unit: those that run again, in this order, before it is gone through backward.
    pub(super) again: Vec<Vec<usize>>,
}

impl Schedule {
    /// Everything is kept that is needed on the way back.
    pub(super) fn keeping_all(fused: &FusedGraph) -> Self {
        let again = vec![Vec::new(); fused.units.len()];
        Self { is_dropped: vec![false; fused.values.len()], again }
    }

    /// Segments that begin at the units in `cuts`, in ascending order, besides the first.
    pub(super) fn of_segments(fused: &FusedGraph, routes: &GradientRoutes, cuts: &[usize]) -> Self {
        let segment = |unit: usize| cuts.partition_point(|&cut| cut <= unit);
        let mut is_dropped = vec![false; fused.values.len()];
        let may_drop = may_drop(fused, routes, cuts.len(), &segment);
        for u in (0..fused.units.len()).filter(|&u| routes.needs[fused.units[u].output]) {
            read_back(fused, routes, u).for_each(|v| is_dropped[v] |= may_drop[v]);
        }
        // What is run again needs its inputs: those that nobody keeps are run again, too.
        for unit in fused.units.iter().rev().filter(|unit| may_drop[unit.output]) {
            if is_dropped[unit.output] {
                unit.inputs.iter().for_each(|&v| is_dropped[v] |= may_drop[v]);
            }
        }
        let mut again = vec![Vec::new(); fused.units.len()];
        let mut is_back = vec![false; cuts.len() + 1];
        for u in (0..fused.units.len()).rev().filter(|&u| routes.needs[fused.units[u].output]) {
            for v in read_back(fused, routes, u).filter(|&v| is_dropped[v]) {
                let Some(at) = fused.values[v].writer.map(segment) else { continue };
                if !std::mem::replace(&mut is_back[at], true) {
                    let units = (0..fused.units.len()).filter(|&unit| segment(unit) == at);
                    again[u].extend(units.filter(|&unit| is_dropped[fused.units[unit].output]));
                }
            }
        }
        Self { is_dropped, again }
    }

    /// What runs, moment by moment.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        steps(&self.again)
    }
}

/// What runs, moment by moment, if those in `again` run again, by the unit for whose backward pass they do.
pub(super) fn steps(again: &[Vec<usize>]) -> impl Iterator<Item = Step> + '_ {
    let forward = (0..again.len()).map(Step::Forward);
    let back = again.iter().enumerate().rev().flat_map(|(unit, again)| {
        let again = again.iter().map(|&unit| Step::Recompute(unit));
        again.chain([Step::Backward(unit)])
    });
    forward.chain([Step::Turn]).chain(back)
}

/// By value: whether it may be dropped, because it is no output, is not needed at the turn, and only its own segment reads it, which is not
/// the last.
fn may_drop(
    fused: &FusedGraph,
    routes: &GradientRoutes,
    last: usize,
    segment: &dyn Fn(usize) -> usize,
) -> Vec<bool> {
    let at_turn: Vec<usize> = read_at_turn(fused, routes).collect();
    let values = fused.values.iter().enumerate();
    let may = values.map(|(v, value)| {
        value.writer.is_some_and(|writer| {
            let own = segment(writer);
            let is_inner = value.readers.iter().all(|&reader| segment(reader) == own);
            own < last && is_inner && !at_turn.contains(&v)
        })
    });
    may.collect()
}

/// The stored values that are read when the outputs' gradients arrive.
pub(super) fn read_at_turn<'a>(
    fused: &'a FusedGraph,
    routes: &'a GradientRoutes,
) -> impl Iterator<Item = usize> + 'a {
    let finished = fused.outputs.iter().zip(&routes.seeds).filter(|(_, route)| finishes(**route));
    fused.outputs.iter().copied().chain(finished.filter_map(|(&v, _)| routes.tallies[v]))
}

/// The stored values that a unit reads on the way back: its inputs, what it wrote, and what it gathers a norm's sums of.
pub(super) fn read_back<'a>(
    fused: &'a FusedGraph,
    routes: &'a GradientRoutes,
    unit: usize,
) -> impl Iterator<Item = usize> + 'a {
    let inputs = &fused.units[unit].inputs;
    let finished = inputs.iter().zip(&routes.inputs[unit]).filter(|(_, route)| finishes(**route));
    let tallied = finished.filter_map(|(&v, _)| routes.tallies[v]);
    inputs.iter().copied().chain([fused.units[unit].output]).chain(tallied)
}

fn finishes(route: Route) -> bool {
    matches!(route, Route::Write { finish: true, .. })
}
