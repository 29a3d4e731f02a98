//! When every tensor of a step lives, and so where in the arena it lies.
//!
//! Above: `train`. Below: `graph::plan`, `plan`, `train::routes`. Not here: what is computed.
//! Time runs from 0: unit `u` of `n` runs forward at `u`, the caller's gradient arrives at `n`, and unit `u` runs backward at `2n − u`.

use std::ops::Range;

use taper_graph::plan::{MemoryPlan, Tenant};
use taper_graph::{Extent, Graph};

use super::routes::{Route, Routes};
use crate::plan::{Form, Plan, forms};
use crate::{Error, Result};

#[derive(Debug)]
pub(super) struct Layout {
    /// `[n, h, w]`.
    pub(super) shape: [usize; 3],
    /// By value: extent for one image.
    pub(super) extents: Vec<Extent>,
    /// By unit.
    pub(super) forms: Vec<Form>,
    /// By value: the stored tensor.
    pub(super) stored: Vec<Range<usize>>,
    /// By value: its gradient, an empty range when it has none.
    pub(super) gradients: Vec<Range<usize>>,
    pub(super) total: usize,
}

impl Layout {
    pub(super) fn new(
        graph: &Graph,
        plan: &Plan,
        routes: &Routes,
        shape @ [n, h, w]: [usize; 3],
    ) -> Result<Self> {
        let too_large = || Error::Batch { batch: n, h, w };
        if n == 0 {
            return Err(too_large());
        }
        let extents = plan.extents(graph, [h, w])?;
        let forms = forms(graph, plan, &extents, n)?;
        let len = |v: usize| extents[v].len().checked_mul(n).ok_or_else(too_large);
        let mut tenants = Vec::new();
        for v in 0..plan.values.len() {
            tenants.push(Tenant { len: len(v)?, ..stored_life(plan, routes, v) });
        }
        for slot in 0..routes.slot_count {
            tenants.push(slot_life(plan, routes, slot));
        }
        for v in 0..plan.values.len() {
            if let Some(slot) = routes.slots[v] {
                tenants[plan.values.len() + slot].len = len(v)?;
            }
        }
        let MemoryPlan { mut ranges, total } = MemoryPlan::new(&tenants).ok_or_else(too_large)?;
        let slots = ranges.split_off(plan.values.len());
        let range = |slot: &Option<usize>| slot.map_or(0..0, |slot| slots[slot].clone());
        let gradients = routes.slots.iter().map(range).collect();
        Ok(Self { shape, extents, forms, stored: ranges, gradients, total })
    }
}

/// A stored tensor lives from its writer's forward to its last reader's, and on to the backward of each reader that needs it and
/// of its own norm.
fn stored_life(plan: &Plan, routes: &Routes, v: usize) -> Tenant {
    let (value, end) = (&plan.values[v], 2 * plan.units.len());
    let first = value.writer.unwrap_or(0);
    let mut last = value.readers.iter().copied().fold(first, usize::max);
    if plan.outputs.contains(&v) {
        last = last.max(plan.units.len());
    }
    for &u in &value.readers {
        if routes.needs[plan.units[u].output] {
            last = last.max(end - u);
        }
    }
    if let Some(u) = value.writer.filter(|_| routes.needs[v]) {
        last = last.max(end - u);
    }
    Tenant { len: 0, first, last }
}

/// A gradient lives from its first contributor's backward to that of the last unit that wrote a value sharing it; that of a watched
/// value until the next forward.
fn slot_life(plan: &Plan, routes: &Routes, slot: usize) -> Tenant {
    let (n, end) = (plan.units.len(), 2 * plan.units.len());
    let (mut first, mut last) = (end, n);
    if plan.outputs.iter().any(|&v| routes.slots[v] == Some(slot)) {
        first = n;
    }
    if plan.watched.is_some_and(|v| routes.slots[v] == Some(slot)) {
        last = end;
    }
    for (u, unit) in plan.units.iter().enumerate() {
        for (route, &v) in routes.inputs[u].iter().zip(&unit.inputs) {
            if *route != Route::None && routes.slots[v] == Some(slot) {
                first = first.min(end - u);
                last = last.max(end - u);
            }
        }
        if routes.slots[unit.output] == Some(slot) {
            last = last.max(end - u);
        }
    }
    Tenant { len: 0, first: first.min(last), last }
}
