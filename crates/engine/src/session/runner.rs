//! One arena and the cores that work in it: a compiled network run on a batch that fits there as a whole.
//!
//! Above: `session`. Below: `session::{bands, compile}`, `arena`, `graph::plan`, `kernels::Cpu`. Not here: how a batch is cut into such runs (`session`).

use std::ops::Range;

use taper_graph::Extent;
use taper_graph::plan::{MemoryPlan, Tenant};
use taper_kernels::{AlignedBuf, Cpu, Device, Epilogue, Source};

use super::bands::{Bands, Operands, Worker};
use super::compile::Program;
use crate::arena::around;
use crate::plan::{Form, Work, forms};
use crate::{Error, Result};

/// In which order values are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One unit after the other, so that each has a time of its own.
    Units,
    /// Some convolutions in bands of rows, where that is faster.
    Bands,
}

/// Cores, an arena, and where things lie in it.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) cpu: Cpu,
    arena: AlignedBuf<f32>,
    /// One a thread.
    workers: Vec<Worker>,
    pub(super) layout: Option<Layout>,
}

/// Where everything lies for one batch shape.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) shape: [usize; 3],
    order: Order,
    pub(super) extents: Vec<Extent>,
    /// By unit.
    pub(super) forms: Vec<Form>,
    /// By unit: what runs in bands when it is reached.
    bands: Vec<Option<Bands>>,
    /// By unit: whether another one does its work.
    pub(super) skipped: Vec<bool>,
    stored: Vec<Range<usize>>,
}

impl Runner {
    pub(super) fn new(threads: usize) -> Self {
        let cpu = Cpu::new(threads);
        Self { cpu, arena: AlignedBuf::default(), workers: Vec::new(), layout: None }
    }

    pub(super) fn arena_bytes(&self) -> usize {
        let scratch: usize = self.workers.iter().map(Worker::scratch_bytes).sum();
        self.arena.len() * size_of::<f32>() + scratch
    }

    /// Lays out the arena for batches of this shape.
    pub(super) fn prepare(
        &mut self,
        program: &Program,
        shape: [usize; 3],
        order: Order,
    ) -> Result<()> {
        let is_ready = |layout: &Layout| (layout.shape, layout.order) == (shape, order);
        if !self.layout.as_ref().is_some_and(is_ready) {
            self.layout = None;
            let (layout, total) = Layout::new(program, shape, order, self.cpu.threads())?;
            self.arena.reserve(total);
            for bands in layout.bands.iter().flatten() {
                self.workers.resize_with(self.cpu.threads(), Worker::new);
                self.workers.iter_mut().for_each(|worker| worker.reserve(bands));
            }
            self.layout = Some(layout);
        }
        Ok(())
    }

    /// Computes `outs`, one slice an output, from `xs`, all of the lengths of the prepared shape; tells `watch` the units by index as
    /// they are done.
    pub(super) fn run<'a>(
        &mut self,
        program: &Program,
        xs: &[f32],
        outs: impl Iterator<Item = &'a mut [f32]>,
        mut watch: impl FnMut(usize),
    ) {
        for unit in 0..program.plan.units.len() {
            if self.layout.as_ref().is_some_and(|layout| !layout.skipped[unit]) {
                self.run_unit(program, xs, unit);
                watch(unit);
            }
        }
        let Some(layout) = &self.layout else { return };
        let (_, others) = around(&mut self.arena, &(0..0));
        for (out, &value) in outs.zip(&program.plan.outputs) {
            out.copy_from_slice(if value == 0 { xs } else { others.get(&layout.stored[value]) });
        }
    }

    fn run_unit(&mut self, program: &Program, images: &[f32], unit_idx: usize) {
        let Self { cpu, arena, workers, layout: Some(layout) } = self else { return };
        let (unit, step) = (&program.plan.units[unit_idx], &program.steps[unit_idx]);
        let (y, others) = around(arena, &layout.stored[step.output]);
        let source =
            |v: usize| Source::plain(if v == 0 { images } else { others.get(&layout.stored[v]) });
        if let Some(bands) = &layout.bands[unit_idx] {
            let xs = source(program.plan.units[bands.units[0]].inputs[0]).data;
            let operands = Operands { xs, residual: step.residual.map(|v| source(v).data) };
            return bands.run(cpu, workers, &program.steps, operands, y);
        }
        let xs = source(unit.inputs[0]);
        let extent = layout.extents[unit.inputs[0]];
        let ([h, w], c, n) = (extent.size(), extent.channels(), layout.shape[0]);
        match unit.work {
            work if work.is_conv() => {
                if let (Some(shape), Some(weight)) = (layout.forms[unit_idx].conv(), &step.weight) {
                    let epilogue = Epilogue {
                        bias: step.bias.as_deref(),
                        residual: step.residual.map(|v| source(v).data),
                        activation: step.activation,
                    };
                    match step.gated.map(|both| both.map(|v| source(v).data)) {
                        Some([map, gate]) => {
                            cpu.conv_gated(shape, map, gate, weight, epilogue, y);
                        }
                        None => cpu.conv_packed(shape, xs, weight, epilogue, y, None),
                    }
                }
            }
            Work::Add => cpu.add(c, xs, source(unit.inputs[1]), step.activation, y),
            Work::Mul => {
                let gates = layout.extents[unit.inputs[1]].size().iter().product::<usize>();
                cpu.mul(n * gates, h * w / gates, c, xs, source(unit.inputs[1]), y);
            }
            work => {
                // Nothing is dropped; an activation may have nothing but a copy to be pending on.
                let source =
                    |i: usize| Source { activation: step.activation, ..source(unit.inputs[i]) };
                let params: Vec<&[f32]> = step.params.iter().map(Vec::as_slice).collect();
                layout.forms[unit_idx].run(cpu, &work, [n, h * w, c], &source, &params, y);
            }
        }
    }
}

impl Layout {
    fn new(
        program: &Program,
        shape @ [n, h, w]: [usize; 3],
        order: Order,
        threads: usize,
    ) -> Result<(Self, usize)> {
        let too_large = || Error::Batch { batch: n, h, w };
        let plan = &program.plan;
        if n == 0 {
            return Err(too_large());
        }
        let extents = plan.extents(&program.graph, [h, w])?;
        let forms = forms(&program.graph, plan, &extents, n)?;
        let chains = if order == Order::Bands && n == 1 { program.chains.as_slice() } else { &[] };
        let (bands, skipped) = in_bands(program, chains, &extents, &forms, threads);
        let mut tenants = Vec::with_capacity(extents.len());
        for extent in &extents {
            let len = extent.len().checked_mul(n).ok_or_else(too_large)?;
            tenants.push(Tenant { len, first: usize::MAX, last: 0 });
        }
        let mut live = |v: usize, time: usize| {
            tenants[v].first = tenants[v].first.min(time);
            tenants[v].last = tenants[v].last.max(time);
        };
        for (u, (unit, step)) in plan.units.iter().zip(&program.steps).enumerate() {
            if skipped[u] {
                continue;
            }
            live(step.output, u);
            // What runs in bands reads what its first stage reads.
            let unit = bands[u].as_ref().map_or(unit, |bands| &plan.units[bands.units[0]]);
            step.reads(unit).for_each(|v| live(v, u));
        }
        plan.outputs.iter().for_each(|&v| live(v, plan.units.len()));
        for tenant in &mut tenants {
            // A value that an addition, a gate or a band swallowed.
            if tenant.first > tenant.last {
                *tenant = Tenant { len: 0, first: 0, last: 0 };
            }
        }
        // The images are read where the caller has them.
        tenants[0].len = 0;
        let MemoryPlan { ranges, total } = MemoryPlan::new(&tenants).ok_or_else(too_large)?;
        Ok((Self { shape, order, extents, forms, bands, skipped, stored: ranges }, total))
    }
}

/// Which of the chains run in bands, by their last unit; and by unit, whether another one does its work.
fn in_bands(
    program: &Program,
    chains: &[Vec<usize>],
    extents: &[Extent],
    forms: &[Form],
    threads: usize,
) -> (Vec<Option<Bands>>, Vec<bool>) {
    let mut skipped: Vec<bool> = program.steps.iter().map(|step| step.skipped).collect();
    let mut bands: Vec<Option<Bands>> = skipped.iter().map(|_| None).collect();
    for chain in chains {
        let (&[first, ..], Some((&last, before))) = (chain.as_slice(), chain.split_last()) else {
            continue;
        };
        let stages = chain.iter().filter_map(|&u| forms[u].conv().copied()).collect();
        let [height, _] = extents[program.plan.units[first].inputs[0]].size();
        bands[last] = Bands::new(chain, height, stages, threads);
        before.iter().for_each(|&u| skipped[u] |= bands[last].is_some());
    }
    (bands, skipped)
}
