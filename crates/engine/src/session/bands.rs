//! Neighboring convolutions run together, a band of rows after the other: what is between them stays in the cache of one core.
//!
//! Above: `session::runner`. Below: `session::compile`, `taper-kernels`. Not here: which convolutions are neighbors, how many rows a band
//! has and where they are kept (`taper-plan`).
//! A value between two stages is held in a ring: the rows that the next stage's windows still need are moved to the front, new ones
//! are put behind them. Every row is computed once by a thread, from the same numbers in the same order as without bands.

use std::ops::Range;

use taper_kernels::{AlignedBuf, ConvShape, Cpu, Epilogue, Packed, Source};
use taper_plan::inference::BandPlan;

use super::compile::{Program, Weights};
use crate::Result;
use crate::kernel::Kernel;

/// Stages that run in bands, for one size of image.
#[derive(Debug)]
pub(super) struct Bands {
    plan: BandPlan,
    /// The stages over the whole image.
    shapes: Vec<ConvShape>,
}

/// A thread's kernels and the rings it fills.
#[derive(Debug)]
pub(super) struct Worker {
    cpu: Cpu,
    scratch: AlignedBuf<f32>,
}

impl Worker {
    pub(super) fn new() -> Self {
        Self { cpu: Cpu::new(1), scratch: AlignedBuf::default() }
    }

    pub(super) fn scratch_bytes(&self) -> usize {
        self.scratch.len() * size_of::<f32>()
    }

    pub(super) fn reserve(&mut self, scratch: usize) {
        self.scratch.reserve(scratch);
    }
}

/// What a chain of stages reads.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) xs: &'a [f32],
    /// Added to the last stage's output.
    pub(super) residual: Option<&'a [f32]>,
}

/// What a stage multiplies with, and does with the products.
type StageWeights<'a> = (&'a Packed, Epilogue<'a, f32>);

/// The rows of one thread.
struct Share<'a> {
    worker: &'a mut Worker,
    rows: Range<usize>,
    y: &'a mut [f32],
}

/// A stage of one band.
struct Stage {
    at: usize,
    /// Of the band.
    shape: ConvShape,
    /// The rows it reads, and those it computes.
    inputs: Range<usize>,
    rows: Range<usize>,
    /// The first row that the next stage reads.
    keep: usize,
}

impl Bands {
    /// Stages with the shapes of their kernels.
    pub(super) fn new(program: &Program, plan: &BandPlan, kernels: &[Kernel]) -> Result<Self> {
        let shape = |&unit: &usize| match &kernels[unit] {
            Kernel::Conv(shape) | Kernel::BatchNorm(shape) => Ok(*shape),
            _ => Err(program.internal(unit, "runs in bands and is no convolution")),
        };
        let shapes = plan.units.iter().map(shape).collect::<Result<_>>()?;
        Ok(Self { plan: plan.clone(), shapes })
    }

    /// The unit whose input is read.
    pub(super) fn first(&self) -> usize {
        self.plan.units[0]
    }

    /// Computes the last stage's output, each thread of `team` with the rows and the worker of its own.
    pub(super) fn run(
        &self,
        team: &mut Cpu,
        workers: &mut [Worker],
        program: &Program,
        operands: Operands<'_>,
        y: &mut [f32],
    ) -> Result<()> {
        let weights = |&unit: &usize| match &program.units[unit].weights {
            Weights::Packed { weight, bias } => {
                let activation = program.units[unit].activation;
                Ok((weight, Epilogue { bias: bias.as_deref(), residual: None, activation }))
            }
            Weights::Plain(_) => {
                Err(program.internal(unit, "runs in bands without packed weights"))
            }
        };
        let weights = self.plan.units.iter().map(weights).collect::<Result<Vec<_>>>()?;
        let [all, row] = self.shapes[self.shapes.len() - 1].output_rows();
        let (parts, mut rest) = (workers.len(), y);
        let mut shares = Vec::with_capacity(parts);
        for (part, worker) in workers.iter_mut().enumerate() {
            let rows = all * part / parts..all * (part + 1) / parts;
            let (y, behind) = rest.split_at_mut(rows.len() * row);
            rest = behind;
            shares.push(Share { worker, rows, y });
        }
        team.each(&mut shares, |share| self.run_share(&weights, operands, share));
        Ok(())
    }

    fn run_share(
        &self,
        weights: &[StageWeights<'_>],
        operands: Operands<'_>,
        share: &mut Share<'_>,
    ) {
        // The rows that each ring holds.
        let mut held = vec![0..0; self.plan.rings.len()];
        for start in share.rows.clone().step_by(self.plan.rows) {
            let band = start..(start + self.plan.rows).min(share.rows.end);
            for stage in self.stages(band, &held) {
                self.run_stage(weights, operands, &stage, &mut held, share);
            }
        }
    }

    /// What the stages must compute for rows `band` of the output, given what the rings hold.
    fn stages(&self, band: Range<usize>, held: &[Range<usize>]) -> Vec<Stage> {
        let (mut wanted, mut stages) = (band, Vec::with_capacity(self.shapes.len()));
        for (at, shape) in self.shapes.iter().enumerate().rev() {
            let known = held.get(at).map_or(0, |held| held.end);
            let rows = wanted.start.max(known)..wanted.end;
            if rows.is_empty() {
                break;
            }
            let (shape, inputs) = shape.band(rows.clone());
            let keep = std::mem::replace(&mut wanted, inputs.clone()).start;
            stages.push(Stage { at, shape, inputs, rows, keep });
        }
        stages.reverse();
        stages
    }

    fn run_stage(
        &self,
        weights: &[StageWeights<'_>],
        operands: Operands<'_>,
        stage: &Stage,
        held: &mut [Range<usize>],
        share: &mut Share<'_>,
    ) {
        let at = stage.at;
        let (weight, epilogue) = weights[at];
        let Worker { cpu, scratch } = &mut *share.worker;
        let end = scratch.len();
        let (before, after) =
            scratch.split_at_mut(self.plan.rings.get(at).map_or(end, |ring| ring.start));
        let xs = match at.checked_sub(1) {
            None => slice(operands.xs, operands.xs.len() / self.plan.height, 0, &stage.inputs),
            Some(ring) => {
                let [_, row] = self.shapes[ring].output_rows();
                slice(&before[self.plan.rings[ring].start..], row, held[ring].start, &stage.inputs)
            }
        };
        let [_, row] = stage.shape.output_rows();
        let mut residual = None;
        let (y, first) = match held.get_mut(at) {
            Some(held) => {
                let kept = stage.keep.clamp(held.start, held.end)..held.end;
                let from = (kept.start - held.start) * row;
                after.copy_within(from..from + kept.len() * row, 0);
                *held = stage.keep..stage.rows.end;
                (&mut *after, stage.keep)
            }
            None => {
                residual = operands.residual.map(|all| slice(all, row, 0, &stage.rows));
                (&mut *share.y, share.rows.start)
            }
        };
        let y = &mut y[(stage.rows.start - first) * row..][..stage.rows.len() * row];
        let epilogue = Epilogue { residual, ..epilogue };
        cpu.conv_packed(&stage.shape, Source::plain(xs), weight, epilogue, y);
    }
}

/// Rows `rows` of a tensor whose first row is `first`.
fn slice<'a>(tensor: &'a [f32], row: usize, first: usize, rows: &Range<usize>) -> &'a [f32] {
    &tensor[(rows.start - first) * row..][..rows.len() * row]
}

#[cfg(test)]
mod tests {
    use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Names, Style, conv_norm_act};
    use taper_graph::{Activation, Conv, Graph, GraphBuilder};
    use taper_model::{Model, Preprocess};

    use crate::session::compile::Program;
    use crate::session::runner::Runner;
    use taper_plan::inference::ExecutionOrder;

    /// A stem with a separable block, and three inverted residuals: with a residual, with a stride and a window of five, with a residual again.
    fn network() -> Graph {
        let style =
            Style { activation: Activation::HardSwish, eps: 1e-5, momentum: 0.1, tf_padding: true };
        let mut b = GraphBuilder::new(3).unwrap();
        let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
        let input = b.input();
        let mut xs = conv_norm_act(&mut b, names, input, Conv::dense(24, 3, 2), &style).unwrap();
        let block = DepthwiseSeparable { out: 16, kernel_size: 3, stride: 1 };
        xs = block.build(&mut b, "s", xs, &style).unwrap();
        for (name, kernel_size, stride) in [("a", 3, 1), ("b", 5, 2), ("c", 3, 1)] {
            let block = InvertedResidual { expanded: 140, out: 16, kernel_size, stride };
            xs = block.build(&mut b, name, xs, &style).unwrap();
        }
        b.output("features", xs).unwrap();
        b.build().unwrap()
    }

    #[test]
    fn bands_give_the_bits_that_units_give() {
        let model = Model::random(network(), 1, Preprocess::imagenet(), Vec::new()).unwrap();
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let node = model.graph().output("features").unwrap();
        // Heights that no band divides, and one of which three threads would repeat too much of the later blocks.
        for [h, w, threads, least] in [[224, 224, 1, 8], [233, 250, 2, 8], [150, 301, 3, 4]] {
            let mut runner = Runner::new(threads);
            let program =
                Program::new(model.graph(), &params, &[node], [h, w], &runner.cpu).unwrap();
            let xs: Vec<f32> = (0..h * w * 3).map(|i| (i as f32 * 0.61).sin()).collect();
            let mut run = |order| {
                let memory = &runner.prepare(&program, [h, w], order).unwrap().memory;
                let skipped = memory.skipped.iter().filter(|skipped| **skipped).count();
                let mut y = vec![0.0; memory.extents[program.plan.fused.outputs[0]].len()];
                runner.run(&program, &xs, std::iter::once(&mut y[..]), |_| ()).unwrap();
                (y, skipped)
            };
            let ((bands, skipped), (units, by_additions)) =
                (run(ExecutionOrder::Bands { threads }), run(ExecutionOrder::Units));
            assert_eq!(skipped, by_additions + least, "units of {h}x{w} in bands");
            assert!(bands == units, "bands give other bits at {h}x{w} with {threads} threads");
            assert!(bands.iter().any(|y| y.to_bits() != bands[0].to_bits()), "the same everywhere");
        }
    }
}
