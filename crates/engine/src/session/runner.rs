//! One arena and the cores that work in it: a compiled network run on one image.
//!
//! Above: `session`. Below: `session::{bands, compile}`, `arena`, `kernel`, `taper-plan`, `taper-kernels`. Not here: how a batch is cut
//! into such runs (`session`).

use taper_kernels::{AlignedBuf, Cpu, Device, Epilogue, Source};
use taper_plan::InferenceMemory;
use taper_plan::inference::ExecutionOrder;

use super::bands::{Bands, Operands, Worker};
use super::compile::{Program, Weights};
use crate::Result;
use crate::arena::around;
use crate::kernel::{Kernel, kernels};

const UNPREPARED: &str = "runs before memory was laid out";

/// Cores, an arena, and where things lie in it.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) cpu: Cpu,
    arena: AlignedBuf<f32>,
    /// One a thread.
    workers: Vec<Worker>,
    prepared: Option<Prepared>,
}

/// All that follows from the size of an image.
#[derive(Debug)]
pub(super) struct Prepared {
    size: [usize; 2],
    order: ExecutionOrder,
    pub(super) memory: InferenceMemory,
    /// By unit.
    pub(super) kernels: Vec<Kernel>,
    /// By unit: what runs in bands when it is reached.
    bands: Vec<Option<Bands>>,
}

impl Runner {
    pub(super) fn new(threads: usize) -> Self {
        let cpu = Cpu::new(threads);
        Self { cpu, arena: AlignedBuf::default(), workers: Vec::new(), prepared: None }
    }

    pub(super) fn arena_bytes(&self) -> usize {
        let scratch: usize = self.workers.iter().map(Worker::scratch_bytes).sum();
        self.arena.len() * size_of::<f32>() + scratch
    }

    /// The order in which all threads share an image.
    pub(super) fn bands(&self) -> ExecutionOrder {
        ExecutionOrder::Bands { threads: self.cpu.threads() }
    }

    /// Lays out the arena for images of this height and width.
    pub(super) fn prepare(
        &mut self,
        program: &Program,
        size: [usize; 2],
        order: ExecutionOrder,
    ) -> Result<&Prepared> {
        let is_ready = |ready: &Prepared| (ready.size, ready.order) == (size, order);
        let prepared = match self.prepared.take().filter(is_ready) {
            Some(prepared) => prepared,
            None => {
                let prepared = Prepared::new(program, size, order)?;
                self.arena.reserve(prepared.memory.arena.total);
                if prepared.memory.scratch > 0 {
                    self.workers.resize_with(self.cpu.threads(), Worker::new);
                    let scratch = prepared.memory.scratch;
                    self.workers.iter_mut().for_each(|worker| worker.reserve(scratch));
                }
                prepared
            }
        };
        Ok(self.prepared.insert(prepared))
    }

    /// Computes `outs`, one slice an output, from the image `xs`, all of the lengths of the prepared size; tells `watch` the units by
    /// index as they are done.
    pub(super) fn run<'a>(
        &mut self,
        program: &Program,
        xs: &[f32],
        outs: impl Iterator<Item = &'a mut [f32]>,
        mut watch: impl FnMut(usize),
    ) -> Result<()> {
        for unit in 0..program.units.len() {
            if self.run_unit(program, xs, unit)? {
                watch(unit);
            }
        }
        let Self { arena, prepared: Some(prepared), .. } = self else {
            return Err(program.internal(0, UNPREPARED));
        };
        let (_, others) = around(arena, &(0..0));
        for (out, &value) in outs.zip(&program.plan.fused.outputs) {
            let stored = &prepared.memory.arena.ranges[value];
            out.copy_from_slice(if value == 0 { xs } else { others.get(stored) });
        }
        Ok(())
    }

    /// Returns whether the unit ran, or another one does its work.
    fn run_unit(&mut self, program: &Program, image: &[f32], unit_idx: usize) -> Result<bool> {
        let Self { cpu, arena, workers, prepared: Some(prepared) } = self else {
            return Err(program.internal(unit_idx, UNPREPARED));
        };
        if prepared.memory.skipped[unit_idx] {
            return Ok(false);
        }
        let (fused, steps) = (&program.plan.fused, &program.plan.steps);
        let (unit, step, compiled) =
            (&fused.units[unit_idx], &steps[unit_idx], &program.units[unit_idx]);
        let (extents, stored) = (&prepared.memory.extents, &prepared.memory.arena.ranges);
        let (y, others) = around(arena, &stored[step.output]);
        let source = |v: usize| Source::plain(if v == 0 { image } else { others.get(&stored[v]) });
        if let Some(bands) = &prepared.bands[unit_idx] {
            let xs = source(fused.units[bands.first()].inputs[0]).data;
            let operands = Operands { xs, residual: step.residual.map(|v| source(v).data) };
            bands.run(cpu, workers, program, operands, y)?;
            return Ok(true);
        }
        let xs = source(unit.inputs[0]);
        let extent = extents[unit.inputs[0]];
        let ([h, w], c) = (extent.size(), extent.channels());
        match (&prepared.kernels[unit_idx], &compiled.weights) {
            (Kernel::Conv(shape) | Kernel::BatchNorm(shape), Weights::Packed { weight, bias }) => {
                let residual = step.residual.map(|v| source(v).data);
                let (bias, activation) = (bias.as_deref(), compiled.activation);
                let epilogue = Epilogue { bias, residual, activation };
                match step.gated.map(|both| both.map(|v| source(v).data)) {
                    Some([map, gate]) => cpu.conv_gated(shape, map, gate, weight, epilogue, y),
                    None => cpu.conv_packed(shape, xs, weight, epilogue, y),
                }
            }
            (Kernel::Add, _) => cpu.add(c, xs, source(unit.inputs[1]), compiled.activation, y),
            (Kernel::Mul, _) => {
                let gates = extents[unit.inputs[1]].size().iter().product::<usize>();
                cpu.mul(gates, h * w / gates, c, xs, source(unit.inputs[1]), y);
            }
            (kernel, Weights::Plain(params)) => {
                // An activation may have nothing but a copy to be pending on.
                let activation = compiled.activation;
                let source = |i: usize| Source { activation, ..source(unit.inputs[i]) };
                let params: Vec<&[f32]> = params.iter().map(Vec::as_slice).collect();
                if !kernel.try_run(cpu, [1, h * w, c], &source, &params, y) {
                    return Err(program.internal(unit_idx, "has weights of another operation"));
                }
            }
            (_, Weights::Packed { .. }) => {
                return Err(program.internal(unit_idx, "has weights of another operation"));
            }
        }
        Ok(true)
    }
}

impl Prepared {
    fn new(program: &Program, size: [usize; 2], order: ExecutionOrder) -> Result<Self> {
        let Program { graph, plan, .. } = program;
        let memory = plan.memory(graph, size, order)?;
        let kernels = kernels(graph, &plan.fused, &memory.extents, 1)?;
        let bands = memory.bands.iter().map(|bands| {
            bands.as_ref().map(|plan| Bands::new(program, plan, &kernels)).transpose()
        });
        Ok(Self { bands: bands.collect::<Result<_>>()?, size, order, memory, kernels })
    }
}
