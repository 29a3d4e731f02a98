//! Which tensors live when: memory over time, and what makes its peak.
//!
//! Above: `memory`. Below: `taper-plan`'s live ranges. Not here: where tensors lie (`taper-plan`).

use taper_graph::{Graph, NodeId};
use taper_plan::training::Step;
use taper_plan::{InferenceMemory, InferencePlan, LiveRange, TrainingMemory, TrainingPlan};

use crate::Bytes;

/// Memory over time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeline {
    /// In the order of execution.
    pub moments: Vec<Moment>,
    /// The fullest moment; the first of several.
    pub peak: usize,
    /// The tensors that live then, the largest first.
    pub at_peak: Vec<LiveTensor>,
}

/// One unit at work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moment {
    /// The name of its first node.
    pub name: String,
    /// Which way it runs.
    pub pass: Pass,
    /// Bytes of the tensors that live.
    pub live: Bytes,
}

/// A way through the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From the image to the output.
    Forward,
    /// From the loss to the image.
    Backward,
    /// Again, on the way back, because what it wrote was not kept.
    Again,
}

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveTensor {
    /// The node whose output it is, or whose output's gradient.
    pub name: String,
    /// Whether it is a gradient.
    pub is_gradient: bool,
    /// Its size.
    pub bytes: Bytes,
}

impl Timeline {
    /// Bytes at the peak: less than an arena, whose tensors cannot always lie without gaps.
    #[must_use]
    pub fn peak_bytes(&self) -> Bytes {
        self.moments.get(self.peak).map_or(Bytes(0), |moment| moment.live)
    }

    pub(crate) fn of_inference(
        graph: &Graph,
        plan: &InferencePlan,
        memory: &InferenceMemory,
    ) -> Self {
        let units = plan.fused.units.iter().enumerate().filter(|(u, _)| !memory.skipped[*u]);
        let times: Vec<_> = units.map(|(u, unit)| (u, unit.node, Pass::Forward)).collect();
        let values = plan.fused.values.iter();
        let names: Vec<_> = values.map(|value| (value.node, false)).collect();
        Self::new(graph, &memory.lives, &times, &names)
    }

    pub(crate) fn of_training(graph: &Graph, plan: &TrainingPlan, memory: &TrainingMemory) -> Self {
        let (units, routes) = (&plan.fused.units, &plan.routes);
        let time = |(moment, step): (usize, Step)| match step {
            Step::Forward(u) => Some((moment, units[u].node, Pass::Forward)),
            Step::Recompute(u) => Some((moment, units[u].node, Pass::Again)),
            Step::Backward(u) if routes.needs[units[u].output] => {
                Some((moment, units[u].node, Pass::Backward))
            }
            Step::Backward(_) | Step::Turn => None,
        };
        let times: Vec<_> = memory.steps().enumerate().filter_map(time).collect();
        let mut names: Vec<(NodeId, bool)> =
            plan.fused.values.iter().map(|value| (value.node, false)).collect();
        let of_buffer = |buffer| routes.buffers.iter().position(|it| *it == Some(buffer));
        let gradients = (0..routes.n_buffers)
            .map(|buffer| (plan.fused.values[of_buffer(buffer).unwrap_or(0)].node, true));
        names.extend(gradients);
        names.extend(memory.dropped.iter().map(|&v| (plan.fused.values[v].node, false)));
        Self::new(graph, &memory.lives, &times, &names)
    }

    /// Bytes of what is stored when the forward pass of `units` units ends.
    pub(crate) fn at_turn(&self, memory: &TrainingMemory, units: usize) -> Bytes {
        let stored = memory.lives.iter().take(memory.stored.len());
        let live = stored.filter(|live| live.first <= units && units <= live.last);
        live.map(|live| Bytes::of_elements(live.len)).sum()
    }

    /// `times` are moments with the units that run then; `tensors` the node and whether it is a gradient, by live range.
    fn new(
        graph: &Graph,
        lives: &[LiveRange],
        times: &[(usize, NodeId, Pass)],
        tensors: &[(NodeId, bool)],
    ) -> Self {
        let at = |time: usize| {
            let alive = lives.iter().zip(tensors);
            alive.filter(move |(live, _)| live.len > 0 && live.first <= time && time <= live.last)
        };
        let moments = times.iter().map(|&(time, node, pass)| Moment {
            name: graph.node(node).name().to_owned(),
            pass,
            live: at(time).map(|(live, _)| Bytes::of_elements(live.len)).sum(),
        });
        let moments: Vec<Moment> = moments.collect();
        let fullest = (0..moments.len()).rev().max_by_key(|&i| moments[i].live).unwrap_or(0);
        let at_peak = times.get(fullest).into_iter().flat_map(|&(time, ..)| at(time));
        let tensor = |(live, &(node, is_gradient)): (&LiveRange, &(NodeId, bool))| LiveTensor {
            name: graph.node(node).name().to_owned(),
            is_gradient,
            bytes: Bytes::of_elements(live.len),
        };
        let mut at_peak: Vec<LiveTensor> = at_peak.map(tensor).collect();
        at_peak.sort_by_key(|tensor| std::cmp::Reverse(tensor.bytes));
        Self { moments, peak: fullest, at_peak }
    }
}
