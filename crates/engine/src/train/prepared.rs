//! All that follows from the shape of a batch: where tensors lie, and which kernels run.
//!
//! Above: `train`. Below: `kernel`, `taper-plan`. Not here: what is computed (`train::{forward, backward}`).

use taper_graph::Graph;
use taper_kernels::Activation;
use taper_plan::training::GradientRoutes;
use taper_plan::{FusedGraph, Recompute, TrainingMemory};

use crate::Result;
use crate::kernel::{Kernel, activations, kernels};

#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) memory: TrainingMemory,
    /// By unit.
    pub(super) kernels: Vec<Kernel>,
    /// By value: what its readers apply.
    pub(super) activations: Vec<Activation>,
}

impl Prepared {
    pub(super) fn new(
        graph: &Graph,
        fused: &FusedGraph,
        routes: &GradientRoutes,
        recompute: Recompute,
        shape: [usize; 3],
    ) -> Result<Self> {
        let memory = TrainingMemory::new(graph, fused, routes, recompute, shape)?;
        let kernels = kernels(graph, fused, &memory.extents, shape[0])?;
        Ok(Self { memory, kernels, activations: activations(graph, fused)? })
    }

    /// Rows of the gate of a multiplication of two values, and rows of the other factor for each.
    pub(super) fn gated(&self, [xs, gate]: [usize; 2]) -> (usize, usize) {
        let positions = |v: usize| self.memory.extents[v].size().iter().product::<usize>();
        let (xs, gate) = (positions(xs), positions(gate));
        (self.memory.shape[0] * gate, xs / gate)
    }
}
