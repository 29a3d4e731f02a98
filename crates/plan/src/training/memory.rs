//! When every tensor of a step lives, and so where in the arena it lies.
//!
//! Above: `training`. Below: `memory`, `fused`, `training::routes`. Not here: what is computed.
//! Time runs from 0: unit `u` of `n` runs forward at `u`, the caller's gradient arrives at `n`, and unit `u` runs backward at `2n − u`.

use std::ops::Range;

use taper_graph::{Extent, Graph};

use super::routes::{GradientRoutes, Route};
use crate::{Error, FusedGraph, LiveRange, MemoryPlan, Result};

/// Where the tensors of a step lie, for one shape of batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingMemory {
    /// `[n, h, w]`.
    pub shape: [usize; 3],
    /// By value: extent for one image.
    pub extents: Vec<Extent>,
    /// By value: the stored tensor.
    pub stored: Vec<Range<usize>>,
    /// By value: its gradient, an empty range when it has none.
    pub gradients: Vec<Range<usize>>,
    /// When they live, in the order of the card's moments: by value, the stored tensors; then by buffer, the gradients.
    pub lives: Vec<LiveRange>,
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
        shape @ [n, h, w]: [usize; 3],
    ) -> Result<Self> {
        let too_large = || Error::Batch { batch: n, h, w };
        if n == 0 {
            return Err(too_large());
        }
        let extents = fused.extents(graph, [h, w])?;
        let len = |v: usize| extents[v].len().checked_mul(n).ok_or_else(too_large);
        let mut lives = Vec::new();
        for v in 0..fused.values.len() {
            lives.push(LiveRange { len: len(v)?, ..stored_life(fused, routes, v) });
        }
        for buffer in 0..routes.n_buffers {
            lives.push(buffer_life(fused, routes, buffer));
        }
        for v in 0..fused.values.len() {
            if let Some(buffer) = routes.buffers[v] {
                lives[fused.values.len() + buffer].len = len(v)?;
            }
        }
        let MemoryPlan { mut ranges, total } = MemoryPlan::new(&lives).ok_or_else(too_large)?;
        let buffers = ranges.split_off(fused.values.len());
        let range = |buffer: &Option<usize>| buffer.map_or(0..0, |buffer| buffers[buffer].clone());
        let gradients = routes.buffers.iter().map(range).collect();
        Ok(Self { shape, extents, stored: ranges, gradients, lives, total })
    }
}

/// A stored tensor lives from its writer's forward to its last reader's, and on to the backward of each reader that needs it and
/// of its own norm.
fn stored_life(fused: &FusedGraph, routes: &GradientRoutes, v: usize) -> LiveRange {
    let (value, end) = (&fused.values[v], 2 * fused.units.len());
    let first = value.writer.unwrap_or(0);
    let mut last = value.readers.iter().copied().fold(first, usize::max);
    if fused.outputs.contains(&v) {
        last = last.max(fused.units.len());
    }
    for &u in &value.readers {
        if routes.needs[fused.units[u].output] {
            last = last.max(end - u);
        }
    }
    if let Some(u) = value.writer.filter(|_| routes.needs[v]) {
        last = last.max(end - u);
    }
    LiveRange { len: 0, first, last }
}

/// A gradient lives from its first contributor's backward to that of the last unit that wrote a value sharing it; that of a watched
/// value until the next forward.
fn buffer_life(fused: &FusedGraph, routes: &GradientRoutes, buffer: usize) -> LiveRange {
    let (n, end) = (fused.units.len(), 2 * fused.units.len());
    let (mut first, mut last) = (end, n);
    if fused.outputs.iter().any(|&v| routes.buffers[v] == Some(buffer)) {
        first = n;
    }
    if fused.watched.is_some_and(|v| routes.buffers[v] == Some(buffer)) {
        last = end;
    }
    for (u, unit) in fused.units.iter().enumerate() {
        for (route, &v) in routes.inputs[u].iter().zip(&unit.inputs) {
            if *route != Route::None && routes.buffers[v] == Some(buffer) {
                first = first.min(end - u);
                last = last.max(end - u);
            }
        }
        if routes.buffers[unit.output] == Some(buffer) {
            last = last.max(end - u);
        }
    }
    LiveRange { len: 0, first: first.min(last), last }
}
