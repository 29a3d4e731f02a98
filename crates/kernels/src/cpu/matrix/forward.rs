//! The forward pass of convolutions that are matrix products.
//!
//! Above: `cpu::matrix`. Below: `cpu::{choice, gemm, pack}`, `matrix::{band, gate}`. Not here: packing of weights (`cpu::matrix`).

use super::band::Band;
use super::gate::{Gate, gated};
use super::{Merged, TILE};
use crate::cpu::choice::{Operand, Split};
use crate::cpu::gemm::{Factors, ONE_RUN, ONE_SEGMENT, Output, ROW_BLOCK, halves, multiply};
use crate::cpu::pack::{Panels, Rows, flush};
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::SourceView;
use crate::cpu::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::sizes::product;
use crate::{ConvShape, Epilogue, Isa, Moments, Source};

/// Rows of a part are a multiple of this, the rows of most tiles.
const ROW_UNIT: usize = 6;
/// With fewer rows than this a part, parts take panels instead.
const MIN_ROWS: usize = 16;

/// Elements of a core's own cache, about: half a megabyte.
const CACHE: usize = 1 << 17;
/// Bands that share a panel, at most.
const MOST_BANDS: usize = 16;

/// Whether parts had better share the weights than the rows: no cache holds them, and every core reads less when it reads its panels
/// and the whole input than when it reads all panels and its rows.
fn is_streamed(weights: usize, input: usize) -> bool {
    weights > CACHE && weights > input
}

/// The panels of one group's weights.
fn panels_of(isa: Isa, s: &ConvShape) -> Panels {
    Panels::new(isa, s.weight_len() / s.oc, s.oc / s.groups)
}

/// What the threads of a convolution, its groups merged, share out.
pub(in crate::cpu) fn split(isa: Isa, s: &ConvShape, threads: usize) -> Split {
    let panels = panels_of(isa, s);
    let few = s.output_positions() < MIN_ROWS * threads;
    if threads > 1 && panels.count() >= threads && (few || is_streamed(panels.len(), s.input_len()))
    {
        Split::Panels
    } else {
        Split::Rows
    }
}

/// How many bands of a convolution, its groups merged, share each panel of weights: one where all weights stay in cache, else as many as
/// the cache holds.
pub(in crate::cpu) fn bands_at_once(isa: Isa, s: &ConvShape) -> usize {
    let (weights, band) = (panels_of(isa, s).len(), Band::new(s).len());
    if weights <= CACHE { 1 } else { (CACHE / band.max(1)).clamp(1, MOST_BANDS) }
}

/// What was chosen for a product; see [`ForwardKernel`](crate::ForwardKernel).
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Product {
    /// Groups computed as one.
    pub(in crate::cpu) merged: usize,
    pub(in crate::cpu) split: Split,
    pub(in crate::cpu) reads: Reads,
}

/// What a product's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) enum Reads {
    /// Positions.
    Pointwise(Operand),
    /// Windows in so many bands at a time.
    Dense { bands: usize },
}

/// See [`crate::Device::conv_forward`]. With a gate `(n, c)` the convolution is pointwise, the input plain, and read times the gate.
pub(in crate::cpu) fn forward(
    cpu: &mut Cpu,
    Product { merged, split, reads }: Product,
    s: &ConvShape,
    xs: Source<'_, f32>,
    gate: Option<&[f32]>,
    packed: &Packed,
    epilogue: Epilogue<'_, f32>,
    y: &mut [f32],
    moments: Option<Moments<'_, f32>>,
) {
    let s = &Merged::of(s, merged).shape;
    let m = s.output_positions();
    let padded = s.oc.next_multiple_of(cpu.isa.lanes());
    let parts = cpu.team.threads();
    cpu.clear_totals(2 * padded, moments.is_some());
    let gate = gate.map(Gate::new);
    let (low, high) = epilogue.activation.bounds();
    let rows = Rows { shape: *s, source: SourceView::new(xs), plain: xs.is_plain(), group: 0 };
    let band = Band::new(s);
    let segments = &band.segments(s)[..];
    let (isa, panels) = (cpu.isa, packed.panels);
    let scratch = SendMutPtr(cpu.parts.as_mut_ptr());
    let counted = moments.is_some();
    let finish = Output {
        y: SendMutPtr(y.as_mut_ptr()),
        stride: s.oc,
        bias: SendPtr::maybe(epilogue.bias),
        residual: SendPtr::maybe(epilogue.residual),
        low: low as f32,
        high: high as f32,
        activation: epilogue.activation,
        sums: SendMutPtr::NULL,
        sums_stride: padded,
    };
    let b = SendPtr(packed.data.as_ptr());
    cpu.team.run(|p| {
        let unit = match reads {
            Reads::Pointwise(_) => ROW_UNIT,
            Reads::Dense { .. } => s.ow,
        };
        let (range, columns) = match split {
            Split::Panels => (0..m, part_of(panels.count(), 1, p, parts)),
            Split::Rows => (part_of(m, unit, p, parts), 0..panels.count()),
        };
        if range.is_empty() || columns.is_empty() {
            return;
        }
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        part.tile.reserve(match reads {
            Reads::Pointwise(Operand::InPlace) => 0,
            Reads::Pointwise(Operand::WeightsScaled) => panels.len(),
            Reads::Pointwise(Operand::Copied | Operand::Scaled) => {
                TILE * s.c.next_multiple_of(panels.lanes)
            }
            Reads::Dense { bands } => product([bands, band.len()]),
        });
        if panels.is_paired() {
            part.halves.reserve(halves::scratch_of_rows(panels.k));
        }
        let mut finish = finish;
        if counted {
            part.sums.reserve(2 * padded + 16);
            part.sums.fill(0.0);
            finish.sums = SendMutPtr(part.sums.as_mut_ptr());
        }
        let job = ForwardPart {
            rows,
            gate,
            band,
            segments,
            range,
            columns,
            b,
            panels,
            reads,
            finish,
            part,
        };
        // SAFETY: `isa` is one of this machine; parts write to rows or columns of their own, within the slices that
        // `Cpu` checked against the shape.
        unsafe { isa.run(job) };
    });
    if let Some(moments) = moments {
        cpu.moments(y, padded, moments);
    }
}

struct ForwardPart<'a> {
    rows: Rows,
    gate: Option<Gate>,
    band: Band,
    segments: &'a [usize],
    range: std::ops::Range<usize>,
    /// Panels.
    columns: std::ops::Range<usize>,
    /// The packed weights of all groups.
    b: SendPtr<f32>,
    panels: Panels,
    reads: Reads,
    finish: Output,
    part: &'a mut Part,
}

impl Kernel for ForwardPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        // All groups of a few bands before the next ones: what a group leaves of a cache line is there for the next.
        let s = self.rows.shape;
        if self.range.len() < s.output_positions() {
            took(Path::SomeRows);
        }
        if self.columns.len() < self.panels.count() {
            took(Path::SomePanels);
        }
        let mut row = self.range.start;
        while row < self.range.end {
            // SAFETY: rows lie in the range this part was given; the tile was sized for what is put there.
            row = unsafe {
                match self.reads {
                    Reads::Pointwise(operand) => self.pointwise::<S>(row, operand),
                    Reads::Dense { bands } => {
                        took(Path::Bands(s.groups));
                        let mut next = row;
                        for group in 0..s.groups {
                            next = self.dense::<S>(row, group, bands);
                        }
                        next
                    }
                }
            };
            if !self.finish.sums.get().is_null() {
                flush(&mut self.part.sums, &mut self.part.totals);
                // What `flush` borrowed, older pointers may not write to.
                self.finish.sums = SendMutPtr(self.part.sums.as_mut_ptr());
            }
        }
    }
}

impl ForwardPart<'_> {
    /// Scratch for rounded rows, where panels are rounded.
    #[inline(always)]
    fn halves(&mut self) -> SendMutPtr<f32> {
        if self.panels.is_paired() {
            SendMutPtr(self.part.halves.as_mut_ptr())
        } else {
            SendMutPtr::NULL
        }
    }

    /// The finish of a product whose first row is `row` and whose first output is `column`.
    #[inline(always)]
    unsafe fn finish_at(&self, row: usize, column: usize) -> Output {
        let mut finish = self.finish;
        let at = row * finish.stride + column;
        // SAFETY: the row and the column exist.
        unsafe {
            finish.y = SendMutPtr(finish.y.get().add(at));
            if !finish.residual.is_null() {
                finish.residual = SendPtr(finish.residual.get().add(at));
            }
            if !finish.bias.is_null() {
                finish.bias = SendPtr(finish.bias.get().add(column));
            }
            if !finish.sums.get().is_null() {
                finish.sums = SendMutPtr(finish.sums.get().add(column));
            }
        }
        finish
    }

    /// Computes up to a tile of rows from `row` on, and returns the next.
    #[inline(always)]
    unsafe fn pointwise<S: Simd>(&mut self, row: usize, operand: Operand) -> usize {
        let s = self.rows.shape;
        let mut end = (row + TILE).min(self.range.end);
        // SAFETY: the rows exist; the tile has room for `TILE` rows of whole vectors.
        unsafe {
            let (a, stride, b) = match (operand, &mut self.gate) {
                (Operand::Copied, _) => {
                    took(Path::Copied);
                    let stride = s.c.next_multiple_of(S::LANES);
                    self.rows.gather::<S>(row..end, self.part.tile.as_mut_ptr(), stride);
                    (SendPtr(self.part.tile.as_ptr()), stride, self.b)
                }
                (Operand::Scaled | Operand::WeightsScaled, Some(gate)) => {
                    let positions = s.oh * s.ow;
                    end = end.min((row / positions + 1) * positions);
                    let columns = self.columns.clone();
                    let tile = self.part.tile.as_mut_ptr();
                    gated::<S>(&self.rows, gate, operand, row..end, (self.b, columns), tile)
                }
                (Operand::InPlace | Operand::Scaled | Operand::WeightsScaled, _) => {
                    took(Path::InPlace);
                    (SendPtr(self.rows.source.data.get().add(row * s.c)), s.c, self.b)
                }
            };
            let factors = Factors {
                a,
                a_strides: [stride, 1],
                runs: ONE_RUN,
                segments: ONE_SEGMENT,
                b,
                b_stride: None,
                k: s.c,
                n: s.oc,
                block: ROW_BLOCK,
                halves: self.halves(),
            };
            multiply::<S, Output>(
                &factors,
                0..end - row,
                self.columns.clone(),
                self.finish_at(row, 0),
            );
        }
        end
    }

    /// Computes a group's outputs of up to a few bands of rows from the one at position `row` on, and returns the next.
    ///
    /// With weights larger than a cache, as many bands as the cache holds share each panel of them.
    #[inline(always)]
    unsafe fn dense<S: Simd>(&mut self, row: usize, group: usize, at_once: usize) -> usize {
        let (s, band, len) = (self.rows.shape, self.band, self.band.len());
        let out = s.oc / s.groups;
        self.rows.group = group;
        let mut bands = [(0, 0); MOST_BANDS];
        let (mut filled, mut next) = (0, row);
        // SAFETY: the output rows exist; the tile has room for `bands` bands.
        unsafe {
            while filled < at_once && next < self.range.end {
                let (n, oh) = (next / (s.oh * s.ow), next / s.ow % s.oh);
                let count = band.rows.min(s.oh - oh).min((self.range.end - next) / s.ow);
                let to = self.part.tile.as_mut_ptr().add(filled * len);
                band.fill::<S>(&self.rows, n, oh, count, to);
                bands[filled] = (next, count * s.ow);
                filled += 1;
                next += count * s.ow;
            }
            let b = SendPtr(self.b.get().add(group * self.panels.len()));
            let panels = self.columns.clone();
            // One band takes all panels at once, many take one after the other.
            let step = if filled == 1 { panels.len() } else { 1 };
            for first in panels.clone().step_by(step) {
                for (i, &(row, rows)) in bands[..filled].iter().enumerate() {
                    let factors = Factors {
                        a: SendPtr(self.part.tile.as_ptr().add(i * len)),
                        a_strides: [s.stride[1] * band.pixel, 1],
                        runs: [s.ow, s.stride[0] * band.width * band.pixel],
                        segments: self.segments,
                        b,
                        b_stride: None,
                        k: s.weight_len() / s.oc / self.segments.len(),
                        n: out,
                        block: ROW_BLOCK,
                        halves: self.halves(),
                    };
                    let finish = self.finish_at(row, group * out);
                    multiply::<S, Output>(&factors, 0..rows, first..first + step, finish);
                }
            }
        }
        next
    }
}
