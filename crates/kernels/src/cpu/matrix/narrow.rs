//! The weight's gradient of convolutions with few channels a group, from bands: no window is gathered.
//!
//! Above: `matrix::backward`. Below: `matrix::band`, `cpu::{gemm, pack}`. Not here: wide groups, where gathering costs little beside the
//! products and tiles of many rows load the gradient less often (`matrix::backward`).
//! `dw[o, u, v, i] = Σ dy[oh, ow, o] · x[oh·s + u·d, ow·s + v·d, i]`: for each row of taps a product of the gradient, transposed, with
//! the band where it lies. With stride 1 the gradient gets as many zeros behind each row as the band has pixels more, and all rows
//! of a band are one product.

use super::band::Band;
use crate::ConvShape;
use crate::cpu::gemm::{AccumulateSome, Factors, ONE_RUN, ONE_SEGMENT, multiply};
use crate::cpu::pack::{Panels, Rows, gather_gradient};
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::GradientView;
use crate::cpu::{Cpu, Part};
use crate::simd::{Kernel, Simd};
use crate::sizes::product;

/// Channels a group below which bands win: with more, a gathered row is long enough to pay for itself.
const NARROW: usize = 64;

/// Whether the weight's gradient comes from bands.
pub(in crate::cpu) fn is_narrow(s: &ConvShape) -> bool {
    !s.is_pointwise() && s.c / s.groups < NARROW
}

/// Sums the gradient of the weight of one group into every part's `d_weight`, rows `k_padded` apart.
pub(super) fn weight_gradient(
    cpu: &mut Cpu,
    rows: Rows,
    gradient: GradientView,
    k_padded: usize,
    wants_bias: bool,
) {
    let s = rows.shape;
    let (out, band) = (s.oc / s.groups, Band::new(&s));
    let segments = &band.segments(&s)[..];
    let lanes = cpu.isa.lanes();
    let out_padded = out.next_multiple_of(lanes);
    let (isa, parts) = (cpu.isa, cpu.team.threads());
    let scratch = SendMutPtr(cpu.parts.as_mut_ptr());
    cpu.team.run(|p| {
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        // A vector more than the band, which the last columns' loads may touch.
        part.tile.reserve(band.len().saturating_add(lanes));
        part.gradient.reserve(product([band.rows, band.width, out_padded]));
        part.d_weight.reserve(out * k_padded + lanes);
        part.d_weight[..out * k_padded].fill(0.0);
        part.d_bias.clear();
        part.d_bias.resize(out, 0.0);
        let range = part_of(s.output_positions(), s.ow, p, parts);
        let job = NarrowPart {
            rows,
            gradient,
            band,
            segments,
            range,
            k_padded,
            out_padded,
            panels: Panels::new(isa, 0, s.weight_len() / s.oc / segments.len()).count(),
            wants_bias,
            part,
        };
        // SAFETY: `isa` is one of this machine; parts have rows of their own, within the slices that `Cpu` checked.
        unsafe { isa.run(job) };
    });
}

struct NarrowPart<'a> {
    rows: Rows,
    gradient: GradientView,
    band: Band,
    segments: &'a [usize],
    range: std::ops::Range<usize>,
    k_padded: usize,
    out_padded: usize,
    /// Of a segment's columns.
    panels: usize,
    wants_bias: bool,
    part: &'a mut Part,
}

impl Kernel for NarrowPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let s = self.rows.shape;
        let mut row = self.range.start;
        while row < self.range.end {
            let (n, oh) = (row / (s.oh * s.ow), row / s.ow % s.oh);
            let count = self.band.rows.min(s.oh - oh).min((self.range.end - row) / s.ow);
            // SAFETY: the rows exist; scratch has room for a band and its gradient.
            unsafe {
                self.band.fill::<S>(&self.rows, n, oh, count, self.part.tile.as_mut_ptr());
                if s.stride == [1, 1] {
                    let width = self.band.width;
                    self.read_gradient::<S>(row, count, width);
                    // Behind the last row lie zeros that need no product.
                    self.accumulate::<S>(0, 0, (count - 1) * width + s.ow);
                } else {
                    self.read_gradient::<S>(row, count, s.ow);
                    let step = s.stride[0] * self.band.width * self.band.pixel;
                    for i in 0..count {
                        self.accumulate::<S>(i * s.ow, i * step, s.ow);
                    }
                }
            }
            row += count * s.ow;
        }
    }
}

impl NarrowPart<'_> {
    /// Reads `count` rows of the gradient from position `row` on, `width` positions apart, zeros in between.
    #[inline(always)]
    unsafe fn read_gradient<S: Simd>(&mut self, row: usize, count: usize, width: usize) {
        let (s, stride) = (self.rows.shape, self.out_padded);
        let out = s.oc / s.groups;
        let columns = [self.rows.group * out, out];
        let to = self.part.gradient.as_mut_ptr();
        for i in 0..count {
            let first = row + i * s.ow;
            // SAFETY: the rows exist; scratch has room for `count` rows of `width` positions.
            unsafe {
                let to = to.add(i * width * stride);
                gather_gradient::<S>(
                    &self.gradient,
                    s.oc,
                    columns,
                    first..first + s.ow,
                    to,
                    stride,
                );
                to.add(s.ow * stride).write_bytes(0, (width - s.ow) * stride);
            }
        }
        if self.wants_bias {
            let values = &self.part.gradient[..count * width * stride];
            for position in values.chunks_exact(stride) {
                for (sum, &g) in self.part.d_bias.iter_mut().zip(position) {
                    *sum += f64::from(g);
                }
            }
        }
    }

    /// Adds the products of `len` positions of the gradient from `position` on with the band from `from` on.
    #[inline(always)]
    unsafe fn accumulate<S: Simd>(&mut self, position: usize, from: usize, len: usize) {
        let (s, segments) = (self.rows.shape, self.segments);
        let n = s.weight_len() / s.oc / segments.len();
        took(Path::WeightBands);
        for (i, segment) in segments.iter().enumerate() {
            // SAFETY: positions and taps lie in the band; columns in this part's gradient.
            unsafe {
                let factors = Factors {
                    a: SendPtr(self.part.gradient.as_ptr().add(position * self.out_padded)),
                    a_strides: [1, self.out_padded],
                    runs: ONE_RUN,
                    segments: ONE_SEGMENT,
                    b: SendPtr(self.part.tile.as_ptr().add(from + segment)),
                    b_stride: Some(s.stride[1] * self.band.pixel),
                    k: len,
                    n,
                    block: usize::MAX,
                    halves: SendMutPtr::NULL,
                };
                let to = self.part.d_weight.as_mut_ptr().add(i * n);
                let finish = AccumulateSome { c: SendMutPtr(to), stride: self.k_padded };
                multiply::<S, AccumulateSome>(&factors, 0..s.oc / s.groups, 0..self.panels, finish);
            }
        }
    }
}
