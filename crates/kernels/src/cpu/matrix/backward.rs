//! The backward pass of convolutions that are matrix products: both gradients from one reading of each tile.
//!
//! Above: `cpu::matrix`. Below: `matrix::{flipped, narrow}`, `cpu::{gemm, pack}`. Not here: depthwise convolution (`cpu::depthwise`).

use super::flipped::{flipped_shape, input_gradient};
use super::scatter::{pack_backward, scatter};
use super::{Merged, TILE, narrow};
use crate::cpu::choice::{BackwardKernel, InputGradient, WeightGradient};
use crate::cpu::gemm::{
    Accumulate, Factors, IntoSink, ONE_RUN, ONE_SEGMENT, Overwrite, ROW_BLOCK, halves, multiply,
};
use crate::cpu::pack::{Panels, Rows, flush, gather_gradient};
use crate::cpu::pass::Share;
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::{GradientView, SinkView, SourceView};
use crate::cpu::{Cpu, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvGradient, ConvShape, MatmulPrecision, Sink, Source};

/// See [`crate::Device::conv_backward`].
pub(in crate::cpu) fn backward(
    cpu: &mut Cpu,
    kernel: BackwardKernel,
    s: &ConvShape,
    gradient: ConvGradient<'_, f32>,
    xs: Source<'_, f32>,
    weight: &[f32],
    mut d_weight: Option<&mut [f32]>,
    mut d_bias: Option<&mut [f32]>,
    mut dx: Option<Sink<'_, f32>>,
) {
    if let InputGradient::Flipped(forward) = kernel.input
        && let Some(flipped) = flipped_shape(s)
        && let Some(sink) = dx.take()
    {
        input_gradient(cpu, s, &flipped, gradient, weight, sink, forward);
        if d_weight.is_none() && d_bias.is_none() {
            return;
        }
    }
    let merged = Merged::new(s, cpu.isa.lanes());
    let s = &merged.shape;
    let mut sink = dx.as_mut().map(SinkView::new);
    let wants = [d_weight.is_some(), d_bias.is_some()];
    let pass = Pass::new(cpu, kernel, s, gradient, xs, sink, wants);
    let (out, k) = (pass.out, pass.k);
    let mut spread = Vec::new();
    if d_weight.is_some() && merged.count > 1 {
        spread.resize(s.oc * k, 0.0);
    }
    let mut packed = cpu.take_packed();
    if sink.is_some() {
        pack_backward(cpu, s, &merged.spread(weight), &pass.panels, &mut packed);
    }
    for group in 0..s.groups {
        let first_panel = if sink.is_some() { group * pass.panels.len() } else { 0 };
        pass.run(cpu, group, SendPtr(packed.data[first_panel..].as_ptr()));
        if let Some(d_weight) = d_weight.as_deref_mut() {
            let d_weight = if spread.is_empty() { d_weight } else { &mut spread[..] };
            let here = &mut d_weight[group * out * k..(group + 1) * out * k];
            reduce_weight(cpu, here, [k, pass.k_padded], s.kernel[0] * s.kernel[1]);
        }
        if let Some(d_bias) = d_bias.as_deref_mut() {
            for (o, d) in d_bias[group * out..][..out].iter_mut().enumerate() {
                *d = cpu.parts.iter().map(|p| p.d_bias[o]).sum::<f64>() as f32;
            }
        }
    }
    cpu.packed = packed;
    if let (Some(d_weight), false) = (d_weight, spread.is_empty()) {
        merged.gather(&spread, d_weight);
    }
    if pass.scattered
        && let Some(sink) = sink.take()
    {
        let rows = s.n * s.h * s.w;
        super::pass_rows(cpu, SendPtr(pass.image.get()), Share::ALL, sink, s.c, rows);
    }
    if let Some(Sink { tally: Some(tally), .. }) = dx {
        cpu.tally(if pass.scattered { s.c } else { pass.c_padded }, tally);
    }
}

/// What all groups share.
struct Pass<'a> {
    kernel: BackwardKernel,
    s: &'a ConvShape,
    source: SourceView,
    plain: bool,
    gradient: GradientView,
    sink: Option<SinkView>,
    /// Where windows are scattered to.
    image: SendMutPtr<f32>,
    scattered: bool,
    /// Gradients of weight and bias.
    wants: [bool; 2],
    /// Outputs of a group, and columns of its weight.
    out: usize,
    k: usize,
    k_padded: usize,
    c_padded: usize,
    panels: Panels,
    /// Whether the weight's gradient is a product of bfloat16.
    rounds_weight: bool,
}

impl<'a> Pass<'a> {
    /// Clears what the groups add to.
    fn new(
        cpu: &mut Cpu,
        kernel: BackwardKernel,
        s: &'a ConvShape,
        gradient: ConvGradient<'_, f32>,
        xs: Source<'_, f32>,
        sink: Option<SinkView>,
        wants: [bool; 2],
    ) -> Self {
        let (lanes, out) = (cpu.isa.lanes(), s.oc / s.groups);
        let (k, c_padded) = (s.weight_len() / s.oc, s.c.next_multiple_of(lanes));
        let scattered = sink.is_some() && kernel.input == InputGradient::Scattered;
        if scattered {
            cpu.image.reserve(s.input_len());
            cpu.image[..s.input_len()].fill(0.0);
        }
        cpu.clear_totals(2 * c_padded, sink.as_ref().is_some_and(SinkView::tallies));
        Self {
            kernel,
            s,
            source: SourceView::new(xs),
            plain: xs.is_plain(),
            gradient: GradientView::new(gradient),
            sink,
            image: SendMutPtr(cpu.image.as_mut_ptr()),
            scattered,
            wants,
            out,
            k,
            k_padded: k.next_multiple_of(lanes),
            c_padded,
            panels: Panels::new(cpu.isa, out, k).in_precision(cpu.precision),
            rounds_weight: cpu.precision == MatmulPrecision::Bf16
                && halves::is_worth(out)
                && halves::is_worth(k),
        }
    }

    /// Sums one group's gradients of weight and bias into the parts, and writes or scatters that of the input.
    fn run(&self, cpu: &mut Cpu, group: usize, b: SendPtr<f32>) {
        let Self { s, source, plain, gradient, sink, image, out, k_padded, c_padded, .. } = *self;
        let rows = Rows { shape: *s, source, plain, group };
        let [mut wants_weight, mut wants_bias] = self.wants;
        if wants_weight && self.kernel.weight == WeightGradient::Bands {
            narrow::weight_gradient(cpu, rows, gradient, k_padded, wants_bias);
            (wants_weight, wants_bias) = (false, false);
            if sink.is_none() {
                return;
            }
        }
        // A scattered gradient needs whole images in one part, other ones only whole rows.
        let unit = if self.scattered { s.oh * s.ow } else { ROW_BLOCK };
        let (isa, parts, panels) = (cpu.isa, cpu.team.threads(), self.panels.count());
        let out_padded = out.next_multiple_of(isa.lanes());
        let scratch = SendMutPtr(cpu.parts.as_mut_ptr());
        cpu.team.run(|p| {
            // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
            let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
            part.tile.reserve(TILE * k_padded);
            part.gradient.reserve(TILE * out_padded);
            part.sums.reserve(2 * c_padded);
            let rounded = [
                (self.panels.is_paired() && sink.is_some(), halves::scratch_of_rows(out)),
                (self.rounds_weight && wants_weight, halves::scratch_of_columns(out, self.k, TILE)),
            ];
            for (_, scratch) in rounded.into_iter().filter(|(wanted, _)| *wanted) {
                part.halves.reserve(scratch);
            }
            part.sums.fill(0.0);
            if wants_weight {
                part.d_weight.reserve(out * k_padded);
                part.d_weight[..out * k_padded].fill(0.0);
            }
            if wants_bias {
                part.d_bias.clear();
                part.d_bias.resize(out, 0.0);
            }
            let range = part_of(s.output_positions(), unit, p, parts);
            let job = BackwardPart {
                kernel: self.kernel,
                rows,
                gradient,
                range,
                b,
                sink,
                image,
                wants_weight,
                wants_bias,
                out,
                panels,
                rounds: [self.rounds_weight, self.panels.is_paired()],
                c_padded,
                part,
            };
            // SAFETY: `isa` is one of this machine; parts have rows of their own (whole images when scattering), within the
            // slices that `Cpu` checked against the shape.
            unsafe { isa.run(job) };
        });
    }
}

/// Sums the parts' weight gradients in order, and puts taps last again.
fn reduce_weight(cpu: &mut Cpu, into: &mut [f32], [k, k_padded]: [usize; 2], taps: usize) {
    let per_group = k / taps;
    let sums: Vec<SendPtr<f32>> = cpu.parts.iter().map(|p| SendPtr(p.d_weight.as_ptr())).collect();
    let (sums, to) = (&sums[..], SendMutPtr(into.as_mut_ptr()));
    cpu.for_parts(into.len() / k, |_, rows, _| {
        for o in rows {
            // SAFETY: every part summed `k_padded` values for each output; parts have outputs of their own.
            let (row, sums) = unsafe {
                let row = std::slice::from_raw_parts_mut(to.get().add(o * k), k);
                let sums = sums
                    .iter()
                    .map(|sum| std::slice::from_raw_parts(sum.get().add(o * k_padded), k));
                (row, sums)
            };
            row.fill(0.0);
            for sum in sums {
                for (t, sum) in sum.chunks_exact(per_group).enumerate() {
                    for (d, v) in row[t..].iter_mut().step_by(taps).zip(sum) {
                        *d += v;
                    }
                }
            }
        }
    });
}

struct BackwardPart<'a> {
    kernel: BackwardKernel,
    rows: Rows,
    gradient: GradientView,
    range: std::ops::Range<usize>,
    b: SendPtr<f32>,
    sink: Option<SinkView>,
    image: SendMutPtr<f32>,
    wants_weight: bool,
    wants_bias: bool,
    out: usize,
    /// Of a matrix with `k` columns.
    panels: usize,
    /// Whether the gradients of the weight, and of the input, are products of bfloat16.
    rounds: [bool; 2],
    c_padded: usize,
    part: &'a mut Part,
}

impl Kernel for BackwardPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (s, k, out) = (self.rows.shape, self.rows.k(), self.out);
        let (k_padded, out_padded) = (k.next_multiple_of(S::LANES), out.next_multiple_of(S::LANES));
        let Part { tile, gradient: dy, sums, totals, d_weight, d_bias, halves, .. } = self.part;
        let halves = self
            .rounds
            .map(|rounds| if rounds { SendMutPtr(halves.as_mut_ptr()) } else { SendMutPtr::NULL });
        let mut row = self.range.start;
        while row < self.range.end {
            let end = (row + TILE).min(self.range.end);
            let len = end - row;
            // SAFETY: rows lie in the range this part was given; scratch has room for `TILE` rows of whole vectors.
            unsafe {
                let columns = [self.rows.group * out, out];
                let to = dy.as_mut_ptr();
                gather_gradient::<S>(&self.gradient, s.oc, columns, row..end, to, out_padded);
                if self.wants_bias {
                    for (i, &g) in dy[..len * out_padded].iter().enumerate() {
                        if i % out_padded < out {
                            d_bias[i % out_padded] += f64::from(g);
                        }
                    }
                }
                let dy = SendPtr(dy.as_ptr());
                if self.wants_weight {
                    let (x, x_stride) =
                        weight_operand::<S>(self.kernel.weight, &self.rows, row..end, tile);
                    let factors = Factors {
                        a: dy,
                        a_strides: [1, out_padded],
                        runs: ONE_RUN,
                        segments: ONE_SEGMENT,
                        b: x,
                        b_stride: Some(x_stride),
                        k: len,
                        n: k,
                        block: usize::MAX,
                        halves: halves[0],
                    };
                    let finish =
                        Accumulate { c: SendMutPtr(d_weight.as_mut_ptr()), stride: k_padded };
                    multiply::<S, Accumulate>(&factors, 0..out, 0..self.panels, finish);
                }
                let Some(sink) = self.sink else {
                    row = end;
                    continue;
                };
                let factors = Factors {
                    a: dy,
                    a_strides: [out_padded, 1],
                    runs: ONE_RUN,
                    segments: ONE_SEGMENT,
                    b: self.b,
                    b_stride: None,
                    k: out,
                    n: k,
                    block: ROW_BLOCK,
                    halves: halves[1],
                };
                if self.kernel.input == InputGradient::Product {
                    took(Path::Product);
                    let finish = IntoSink {
                        sink,
                        first_row: row,
                        c: s.c,
                        sums: SendMutPtr(sums.as_mut_ptr()),
                        sums_stride: self.c_padded,
                    };
                    multiply::<S, IntoSink>(&factors, 0..len, 0..self.panels, finish);
                    if sink.tallies() {
                        flush(sums, totals);
                    }
                } else {
                    took(Path::Scattered);
                    let finish = Overwrite { c: SendMutPtr(tile.as_mut_ptr()), stride: k_padded };
                    multiply::<S, Overwrite>(&factors, 0..len, 0..self.panels, finish);
                    let columns = (tile.as_ptr(), k_padded);
                    scatter::<S>(&s, self.rows.group, row..end, columns, self.image);
                }
            }
            row = end;
        }
    }
}

/// The rows of the input that a weight's gradient is a product with, and how far they are apart; those that are copied go to `tile`.
#[inline(always)]
unsafe fn weight_operand<S: Simd>(
    kernel: WeightGradient,
    rows: &Rows,
    range: std::ops::Range<usize>,
    tile: &mut [f32],
) -> (SendPtr<f32>, usize) {
    // SAFETY: the rows exist; the tile has room for them.
    unsafe {
        match kernel {
            WeightGradient::InPlace => {
                took(Path::WeightInPlace);
                let c = rows.shape.c;
                (SendPtr(rows.source.data.get().add(range.start * c)), c)
            }
            WeightGradient::Copied | WeightGradient::Bands | WeightGradient::Depthwise => {
                took(Path::WeightCopied);
                let stride = rows.k().next_multiple_of(S::LANES);
                rows.gather::<S>(range, tile.as_mut_ptr(), stride);
                (SendPtr(tile.as_ptr()), stride)
            }
        }
    }
}
