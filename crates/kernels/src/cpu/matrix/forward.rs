//! The forward pass of convolutions that are matrix products.
//!
//! Above: `cpu::matrix`. Below: `cpu::{gemm, pack}`, `matrix::{band, gate}`. Not here: packing of weights (`cpu::matrix`).

use super::band::Band;
use super::gate::{Gate, Gated, scale_panels, scale_rows};
use super::{Merged, TILE};
use crate::cpu::gemm::{Factors, ONE_RUN, ONE_SEGMENT, Output, ROW_BLOCK, multiply};
use crate::cpu::pack::{Rows, flush};
use crate::cpu::team::{Fixed, Shared, part_of};
use crate::cpu::views::SourceView;
use crate::cpu::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvShape, Epilogue, Moments, Source};

/// Rows of a part are a multiple of this, the rows of most tiles.
const ROW_UNIT: usize = 6;
/// With fewer rows than this a part, parts take panels instead.
const MIN_ROWS: usize = 16;

/// Elements of a core's own cache, about: half a megabyte.
const CACHE: usize = 1 << 17;
/// Bands that share a panel, at most.
const MOST_BANDS: usize = 16;

/// How many bands share each panel of weights: one where all weights stay in cache, else as many as the cache holds.
fn bands_at_once(weights: usize, band: usize) -> usize {
    if weights <= CACHE { 1 } else { (CACHE / band.max(1)).clamp(1, MOST_BANDS) }
}

/// See [`crate::Device::conv_forward`]. With a gate `(n, c)` the convolution is pointwise, the input plain, and read times the gate.
pub(in crate::cpu) fn forward(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: Source<'_, f32>,
    gate: Option<&[f32]>,
    packed: &Packed,
    epilogue: Epilogue<'_, f32>,
    y: &mut [f32],
    moments: Option<Moments<'_, f32>>,
) {
    let merged = Merged::new(s, cpu.isa.lanes());
    let s = &merged.shape;
    let (m, out) = (s.output_positions(), s.oc / s.groups);
    let padded = s.oc.next_multiple_of(cpu.isa.lanes());
    let parts = cpu.team.threads();
    cpu.clear_totals(2 * padded, moments.is_some());
    let by_columns = m < MIN_ROWS * parts && packed.panels.count() >= parts;
    let pointwise = s.is_pointwise();
    let gate = gate.map(|gate| Gate::new(s, gate));
    let (low, high) = epilogue.activation.bounds();
    for group in 0..s.groups {
        let rows = Rows { shape: *s, source: SourceView::new(xs), plain: xs.is_plain(), group };
        let band = Band::new(s);
        let segments = &band.segments(s)[..];
        let bands = bands_at_once(packed.panels.len(), band.len());
        let to = Shared(y[group * out..].as_mut_ptr());
        let (isa, panels) = (cpu.isa, packed.panels);
        let b = Fixed(packed.data[group * panels.len()..].as_ptr());
        let scratch = Shared(cpu.parts.as_mut_ptr());
        let counted = moments.is_some();
        let offset = |p: Option<&[f32]>| Fixed::maybe(p.map(|p| &p[group * out..]));
        let (bias, residual) = (offset(epilogue.bias), offset(epilogue.residual));
        cpu.team.run(|p| {
            let (rows_here, columns) = if by_columns {
                (0..m, part_of(panels.count(), 1, p, parts))
            } else {
                (part_of(m, if pointwise { ROW_UNIT } else { s.ow }, p, parts), 0..panels.count())
            };
            if rows_here.is_empty() || columns.is_empty() {
                return;
            }
            // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
            let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
            match gate {
                Some(Gate { on: Gated::Weights, .. }) => part.tile.reserve(panels.len()),
                _ if pointwise => part.tile.reserve(TILE * s.c.next_multiple_of(panels.lanes)),
                _ => part.tile.reserve(bands * band.len()),
            }
            let sums = if counted {
                part.sums.reserve(2 * padded + 16);
                part.sums.fill(0.0);
                Shared(part.sums[group * out..].as_mut_ptr())
            } else {
                Shared(std::ptr::null_mut())
            };
            let finish = Output {
                y: to,
                stride: s.oc,
                bias,
                residual,
                low: low as f32,
                high: high as f32,
                activation: epilogue.activation,
                sums,
                sums_stride: padded,
            };
            let job = ForwardPart {
                rows,
                gate,
                band,
                segments,
                range: rows_here,
                columns,
                b,
                bands,
                finish,
                part,
            };
            // SAFETY: `isa` is one of this machine; parts write to rows or columns of their own, within the slices that
            // `Cpu` checked against the shape.
            unsafe { isa.run(job) };
        });
    }
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
    b: Fixed<f32>,
    /// Bands at a time.
    bands: usize,
    finish: Output,
    part: &'a mut Part,
}

impl Kernel for ForwardPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let mut row = self.range.start;
        while row < self.range.end {
            // SAFETY: rows lie in the range this part was given; the tile was sized for what is put there.
            row = unsafe {
                if self.rows.shape.is_pointwise() {
                    self.pointwise::<S>(row)
                } else {
                    self.dense::<S>(row)
                }
            };
            if !self.finish.sums.get().is_null() {
                flush(&mut self.part.sums, &mut self.part.totals);
            }
        }
    }
}

impl ForwardPart<'_> {
    /// The finish of a product whose first row is `row`.
    #[inline(always)]
    unsafe fn finish_at(&self, row: usize) -> Output {
        let mut finish = self.finish;
        // SAFETY: the row exists.
        unsafe {
            finish.y = Shared(finish.y.get().add(row * finish.stride));
            if !finish.residual.is_null() {
                finish.residual = Fixed(finish.residual.get().add(row * finish.stride));
            }
        }
        finish
    }

    /// Computes up to a tile of rows from `row` on, and returns the next.
    #[inline(always)]
    unsafe fn pointwise<S: Simd>(&mut self, row: usize) -> usize {
        let s = self.rows.shape;
        let mut end = (row + TILE).min(self.range.end);
        // SAFETY: the rows exist; the tile has room for `TILE` rows of whole vectors.
        unsafe {
            let (a, stride, b) = if self.gate.is_some() {
                let positions = s.oh * s.ow;
                end = end.min((row / positions + 1) * positions);
                self.gated::<S>(row..end)
            } else if let Some((data, stride)) = self.rows.in_place() {
                (Fixed(data.get().add(row * stride)), stride, self.b)
            } else {
                let stride = s.c.next_multiple_of(S::LANES);
                self.rows.gather::<S>(row..end, self.part.tile.as_mut_ptr(), stride);
                (Fixed(self.part.tile.as_ptr()), stride, self.b)
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
            };
            multiply::<S, Output>(
                &factors,
                0..end - row,
                self.columns.clone(),
                self.finish_at(row),
            );
        }
        end
    }

    /// The factors for some rows of one image, one of them times the gate: where those rows begin, their distance, and the panels.
    #[inline(always)]
    unsafe fn gated<S: Simd>(
        &mut self,
        rows: std::ops::Range<usize>,
    ) -> (Fixed<f32>, usize, Fixed<f32>) {
        let (s, xs) = (self.rows.shape, self.rows.source.data);
        let (image, tile) = (rows.start / (s.oh * s.ow), self.part.tile.as_mut_ptr());
        let Some(gate) = &mut self.gate else { return (xs, s.c, self.b) };
        // SAFETY: the rows and their image's `c` factors exist; the tile has room for the rows or for all panels.
        unsafe {
            let factors = gate.data.get().add(image * s.c);
            if gate.on == Gated::Weights {
                if gate.image != Some(image) {
                    scale_panels::<S>(self.b, factors, [s.c, s.oc], self.columns.clone(), tile);
                    gate.image = Some(image);
                }
                (Fixed(xs.get().add(rows.start * s.c)), s.c, Fixed(tile))
            } else {
                let stride = s.c.next_multiple_of(S::LANES);
                scale_rows::<S>(xs, factors, s.c, rows, tile, stride);
                (Fixed(tile), stride, self.b)
            }
        }
    }

    /// Computes up to a few bands of output rows from the one at position `row` on, and returns the next.
    ///
    /// With weights larger than a cache, as many bands as the cache holds share each panel of them.
    #[inline(always)]
    unsafe fn dense<S: Simd>(&mut self, row: usize) -> usize {
        let (s, band, len) = (self.rows.shape, self.band, self.band.len());
        let mut bands = [(0, 0); MOST_BANDS];
        let (mut filled, mut next) = (0, row);
        // SAFETY: the output rows exist; the tile has room for `bands` bands.
        unsafe {
            while filled < self.bands && next < self.range.end {
                let (n, oh) = (next / (s.oh * s.ow), next / s.ow % s.oh);
                let count = band.rows.min(s.oh - oh).min((self.range.end - next) / s.ow);
                let to = self.part.tile.as_mut_ptr().add(filled * len);
                band.fill::<S>(&self.rows, n, oh, count, to);
                bands[filled] = (next, count * s.ow);
                filled += 1;
                next += count * s.ow;
            }
            let panels = self.columns.clone();
            // One band takes all panels at once, many take one after the other.
            let step = if filled == 1 { panels.len() } else { 1 };
            for first in panels.clone().step_by(step) {
                for (i, &(row, rows)) in bands[..filled].iter().enumerate() {
                    let factors = Factors {
                        a: Fixed(self.part.tile.as_ptr().add(i * len)),
                        a_strides: [s.stride[1] * band.pixel, 1],
                        runs: [s.ow, s.stride[0] * band.width * band.pixel],
                        segments: self.segments,
                        b: self.b,
                        b_stride: None,
                        k: s.weight_len() / s.oc / self.segments.len(),
                        n: s.oc / s.groups,
                        block: ROW_BLOCK,
                    };
                    let finish = self.finish_at(row);
                    multiply::<S, Output>(&factors, 0..rows, first..first + step, finish);
                }
            }
        }
        next
    }
}
