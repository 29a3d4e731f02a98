//! Neighboring convolutions run together, a band of rows after the other: what is between them stays in the cache of one core.
//!
//! Above: `session::runner`. Below: `kernels::Cpu`. Not here: which convolutions are neighbors (`session::compile`).
//! A value between two stages is held in a ring: the rows that the next stage's windows still need are moved to the front, new ones
//! are put behind them. Every row is computed once by a thread, from the same numbers in the same order as without bands.

use std::ops::Range;

use taper_kernels::{AlignedBuf, ConvShape, Cpu, Epilogue, Source};

use super::compile::Step;

/// Bytes between the stages from which on bands are worth their trouble: twice what a core's second cache holds. Below, what is
/// written is still there when it is read (measured with 1 MiB, docs/performance.md).
const WORTH: usize = 2 << 20;

/// Threads that share an image compute the rows at the edges of their shares twice: at most this part of all rows, one in so many.
const SHARED: usize = 16;

/// Bytes that a band may take between the stages: half of that cache.
const BAND: usize = 512 << 10;

/// Elements between which every ring begins: a cache line.
const UNIT: usize = 16;

/// Stages that run in bands, for one size of image.
#[derive(Debug)]
pub(super) struct Bands {
    /// Units, in order.
    pub(super) units: Vec<usize>,
    /// The stages over the whole image.
    shapes: Vec<ConvShape>,
    /// Rows of the image, and of a band of the output.
    height: usize,
    rows: usize,
    /// Where in a thread's scratch the values between the stages lie.
    rings: Vec<Range<usize>>,
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

    pub(super) fn reserve(&mut self, bands: &Bands) {
        self.scratch.reserve(bands.rings.last().map_or(0, |ring| ring.end));
    }
}

/// What a chain of stages reads.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) xs: &'a [f32],
    /// Added to the last stage's output.
    pub(super) residual: Option<&'a [f32]>,
}

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
    /// How stages of these shapes run in bands on an image of `height` rows that `threads` share; `None` where layer after layer is as
    /// fast.
    pub(super) fn new(
        units: &[usize],
        height: usize,
        shapes: Vec<ConvShape>,
        threads: usize,
    ) -> Option<Self> {
        let (last, before) = shapes.split_last()?;
        let between: usize = before.iter().map(ConvShape::output_len).sum();
        let repeats = |(before, shape): (&ConvShape, &ConvShape)| {
            let overlap = (2 * shape.rows_under(1)).saturating_sub(shape.rows_under(2));
            (threads - 1) * overlap * SHARED > before.output_rows()[0]
        };
        if between * size_of::<f32>() < WORTH || before.iter().zip(&shapes[1..]).any(repeats) {
            return None;
        }
        let fits = |rows: usize| {
            rings(&shapes, rows).last().map_or(0, |ring| ring.end) * size_of::<f32>() <= BAND
        };
        let [all, _] = last.output_rows();
        let most = (2..=all).take_while(|&rows| fits(rows)).last().unwrap_or(1);
        let rows = all.div_ceil(all.div_ceil(most));
        Some(Self { units: units.to_vec(), height, rows, rings: rings(&shapes, rows), shapes })
    }

    /// Computes the last stage's output, each thread of `team` with the rows and the worker of its own.
    pub(super) fn run(
        &self,
        team: &mut Cpu,
        workers: &mut [Worker],
        steps: &[Step],
        operands: Operands<'_>,
        y: &mut [f32],
    ) {
        let Some([all, row]) = self.shapes.last().map(ConvShape::output_rows) else { return };
        let (parts, mut rest) = (workers.len(), y);
        let mut shares = Vec::with_capacity(parts);
        for (part, worker) in workers.iter_mut().enumerate() {
            let rows = all * part / parts..all * (part + 1) / parts;
            let (y, behind) = rest.split_at_mut(rows.len() * row);
            rest = behind;
            shares.push(Share { worker, rows, y });
        }
        team.each(&mut shares, |share| self.run_share(steps, operands, share));
    }

    fn run_share(&self, steps: &[Step], operands: Operands<'_>, share: &mut Share<'_>) {
        // The rows that each ring holds.
        let mut held = vec![0..0; self.rings.len()];
        for start in share.rows.clone().step_by(self.rows) {
            let band = start..(start + self.rows).min(share.rows.end);
            for stage in self.stages(band, &held) {
                self.run_stage(steps, operands, &stage, &mut held, share);
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
        steps: &[Step],
        operands: Operands<'_>,
        stage: &Stage,
        held: &mut [Range<usize>],
        share: &mut Share<'_>,
    ) {
        let (at, step) = (stage.at, &steps[self.units[stage.at]]);
        let Some(weight) = &step.weight else { return };
        let Worker { cpu, scratch } = &mut *share.worker;
        let end = scratch.len();
        let (before, after) =
            scratch.split_at_mut(self.rings.get(at).map_or(end, |ring| ring.start));
        let xs = match at.checked_sub(1) {
            None => slice(operands.xs, operands.xs.len() / self.height, 0, &stage.inputs),
            Some(ring) => {
                let [_, row] = self.shapes[ring].output_rows();
                slice(&before[self.rings[ring].start..], row, held[ring].start, &stage.inputs)
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
        let epilogue =
            Epilogue { bias: step.bias.as_deref(), residual, activation: step.activation };
        cpu.conv_packed(&stage.shape, Source::plain(xs), weight, epilogue, y, None);
    }
}

/// Rows `rows` of a tensor whose first row is `first`.
fn slice<'a>(tensor: &'a [f32], row: usize, first: usize, rows: &Range<usize>) -> &'a [f32] {
    &tensor[(rows.start - first) * row..][..rows.len() * row]
}

/// Where the values between stages lie when `rows` rows of the last one's output are computed at a time.
fn rings(shapes: &[ConvShape], rows: usize) -> Vec<Range<usize>> {
    let mut lens = Vec::with_capacity(shapes.len());
    let mut rows = rows;
    for (before, shape) in shapes.iter().zip(&shapes[1..]).rev() {
        let [all, row] = before.output_rows();
        rows = shape.rows_under(rows).min(all);
        lens.push((rows * row).next_multiple_of(UNIT));
    }
    let mut end = 0;
    let rings = lens.iter().rev().map(|len| {
        end += len;
        end - len..end
    });
    rings.collect()
}

#[cfg(test)]
mod tests {
    use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Names, Style, conv_norm_act};
    use taper_graph::{Activation, Conv, Graph, GraphBuilder};
    use taper_model::{Model, Preprocess};

    use crate::session::compile::Program;
    use crate::session::runner::{Order, Runner};

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
                runner.prepare(&program, [1, h, w], order).unwrap();
                let layout = runner.layout.as_ref().unwrap();
                let skipped = layout.skipped.iter().filter(|skipped| **skipped).count();
                let mut y = vec![0.0; layout.extents[program.plan.outputs[0]].len()];
                runner.run(&program, &xs, std::iter::once(&mut y[..]), |_| ());
                (y, skipped)
            };
            let ((bands, skipped), (units, by_additions)) = (run(Order::Bands), run(Order::Units));
            assert_eq!(skipped, by_additions + least, "units of {h}x{w} in bands");
            assert!(bands == units, "bands give other bits at {h}x{w} with {threads} threads");
            assert!(bands.iter().any(|y| y.to_bits() != bands[0].to_bits()), "the same everywhere");
        }
    }
}
