//! One arena and the cores that work in it: a compiled network run on a batch that fits there as a whole.
//!
//! Above: `session`. Below: `session::compile`, `arena`, `graph::plan`, `kernels::Cpu`. Not here: how a batch is cut into such runs (`session`).

use std::ops::Range;

use taper_graph::Extent;
use taper_graph::plan::{MemoryPlan, Tenant};
use taper_kernels::{AlignedBuf, Cpu, Device, Epilogue, Source};

use super::compile::Program;
use crate::arena::around;
use crate::plan::{Form, Work, forms};
use crate::{Error, Result};

/// Cores, an arena, and where things lie in it.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) cpu: Cpu,
    arena: AlignedBuf<f32>,
    pub(super) layout: Option<Layout>,
}

/// Where everything lies for one batch shape.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) shape: [usize; 3],
    pub(super) extents: Vec<Extent>,
    /// By unit.
    pub(super) forms: Vec<Form>,
    stored: Vec<Range<usize>>,
}

impl Runner {
    pub(super) fn new(threads: usize) -> Self {
        Self { cpu: Cpu::new(threads), arena: AlignedBuf::default(), layout: None }
    }

    pub(super) fn arena_bytes(&self) -> usize {
        self.arena.len() * size_of::<f32>()
    }

    /// Lays out the arena for batches of this shape.
    pub(super) fn prepare(&mut self, program: &Program, shape: [usize; 3]) -> Result<()> {
        if self.layout.as_ref().is_none_or(|layout| layout.shape != shape) {
            self.layout = None;
            let (layout, total) = Layout::new(program, shape)?;
            self.arena.reserve(total);
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
        for unit in (0..program.plan.units.len()).filter(|&unit| !program.steps[unit].skipped) {
            self.run_unit(program, xs, unit);
            watch(unit);
        }
        let Some(layout) = &self.layout else { return };
        let (_, others) = around(&mut self.arena, &(0..0));
        for (out, &value) in outs.zip(&program.plan.outputs) {
            out.copy_from_slice(if value == 0 { xs } else { others.get(&layout.stored[value]) });
        }
    }

    fn run_unit(&mut self, program: &Program, images: &[f32], unit_idx: usize) {
        let Self { cpu, arena, layout: Some(layout) } = self else { return };
        let (unit, step) = (&program.plan.units[unit_idx], &program.steps[unit_idx]);
        let (y, others) = around(arena, &layout.stored[step.output]);
        let source =
            |v: usize| Source::plain(if v == 0 { images } else { others.get(&layout.stored[v]) });
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
    pub(super) fn new(program: &Program, shape @ [n, h, w]: [usize; 3]) -> Result<(Self, usize)> {
        let too_large = || Error::Batch { batch: n, h, w };
        let plan = &program.plan;
        if n == 0 {
            return Err(too_large());
        }
        let extents = plan.extents(&program.graph, [h, w])?;
        let forms = forms(&program.graph, plan, &extents, n)?;
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
            if step.skipped {
                continue;
            }
            live(step.output, u);
            step.reads(unit).for_each(|v| live(v, u));
        }
        plan.outputs.iter().for_each(|&v| live(v, plan.units.len()));
        for tenant in &mut tenants {
            // A value that a fused addition or gate swallowed.
            if tenant.first > tenant.last {
                *tenant = Tenant { len: 0, first: 0, last: 0 };
            }
        }
        // The images are read where the caller has them.
        tenants[0].len = 0;
        let MemoryPlan { ranges, total } = MemoryPlan::new(&tenants).ok_or_else(too_large)?;
        Ok((Self { shape, extents, forms, stored: ranges }, total))
    }
}
