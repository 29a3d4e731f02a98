//! The backward pass of convolutions that are matrix products: both gradients from one reading of each tile.
//!
//! Above: `cpu::matrix`. Below: `cpu::{gemm, pack}`. Not here: depthwise convolution (`cpu::depthwise`).

use super::{TILE, taps_first};
use crate::cpu::gemm::{
    Accumulate, Factors, IntoSink, ONE_RUN, ONE_SEGMENT, Overwrite, ROW_BLOCK, multiply,
};
use crate::cpu::pack::{Panels, Rows, flush, gather_gradient};
use crate::cpu::pass::Share;
use crate::cpu::team::{Fixed, Shared, part_of};
use crate::cpu::views::{GradientView, SinkView, SourceView};
use crate::cpu::{Cpu, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvGradient, ConvShape, Sink, Source};

/// See [`crate::Device::conv_backward`].
pub(in crate::cpu) fn backward(
    cpu: &mut Cpu,
    s: &ConvShape,
    gradient: ConvGradient<'_, f32>,
    xs: Source<'_, f32>,
    weight: &[f32],
    mut d_weight: Option<&mut [f32]>,
    mut d_bias: Option<&mut [f32]>,
    mut dx: Option<Sink<'_, f32>>,
) {
    let taps = s.kernel[0] * s.kernel[1];
    let (per_group, out, k) = (s.c / s.groups, s.oc / s.groups, s.c / s.groups * taps);
    let isa = cpu.isa;
    let lanes = isa.lanes();
    let (k_padded, out_padded) = (k.next_multiple_of(lanes), out.next_multiple_of(lanes));
    let c_padded = s.c.next_multiple_of(lanes);
    let parts = cpu.team.threads();
    // A scattered gradient needs whole images in one part; a pointwise one only whole rows.
    let scattered = dx.is_some() && !s.is_pointwise();
    let unit = if scattered { s.oh * s.ow } else { ROW_BLOCK };
    let mut sink = dx.as_mut().map(SinkView::new);
    if scattered {
        cpu.image.reserve(s.input_len());
        cpu.image.fill(0.0);
    }
    let image = Shared(cpu.image.as_mut_ptr());
    cpu.clear_totals(2 * c_padded, sink.as_ref().is_some_and(SinkView::tallies));
    for group in 0..s.groups {
        let here = group * out * k..(group + 1) * out * k;
        let panels = Panels::new(isa, out, k);
        let mut packed = std::mem::take(&mut cpu.packed);
        packed.data.reserve(panels.len());
        if sink.is_some() {
            let weight = &weight[here.clone()];
            if taps == 1 {
                panels.pack(weight, [k, 1], &mut packed.data);
            } else {
                panels.pack(&taps_first(weight, per_group, taps), [k, 1], &mut packed.data);
            }
        }
        let scratch = Shared(cpu.parts.as_mut_ptr());
        let rows = Rows { shape: *s, source: SourceView::new(xs), plain: xs.is_plain(), group };
        let gradient = GradientView::new(gradient);
        let (b, wants_weight, wants_bias) =
            (Fixed(packed.data.as_ptr()), d_weight.is_some(), d_bias.is_some());
        cpu.team.run(|p| {
            // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
            let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
            part.tile.reserve(TILE * k_padded);
            part.gradient.reserve(TILE * out_padded);
            part.sums.reserve(2 * c_padded);
            part.sums.fill(0.0);
            part.d_weight.reserve(out * k_padded);
            if wants_weight {
                part.d_weight[..out * k_padded].fill(0.0);
            }
            part.d_bias.clear();
            part.d_bias.resize(out, 0.0);
            let range = part_of(s.output_positions(), unit, p, parts);
            let job = BackwardPart {
                rows,
                gradient,
                range,
                b,
                sink,
                image,
                wants_weight,
                wants_bias,
                out,
                panels: panels.count(),
                c_padded,
                part,
            };
            // SAFETY: `isa` is one of this machine; parts have rows of their own (whole images when scattering), within the
            // slices that `Cpu` checked against the shape.
            unsafe { isa.run(job) };
        });
        cpu.packed = packed;
        if let Some(d_weight) = d_weight.as_deref_mut() {
            reduce_weight(&cpu.parts, &mut d_weight[here], [k, k_padded], [per_group, taps]);
        }
        if let Some(d_bias) = d_bias.as_deref_mut() {
            for (o, d) in d_bias[group * out..][..out].iter_mut().enumerate() {
                *d = cpu.parts.iter().map(|p| p.d_bias[o]).sum::<f64>() as f32;
            }
        }
    }
    if scattered && let Some(sink) = sink.take() {
        let rows = s.n * s.h * s.w;
        super::pass_rows(cpu, Fixed(image.get()), Share::ALL, sink, s.c, rows);
    }
    if let Some(Sink { tally: Some(tally), .. }) = dx {
        cpu.tally(if scattered { s.c } else { c_padded }, tally);
    }
}

/// Sums the parts' weight gradients in order, and puts taps last again.
fn reduce_weight(
    parts: &[Part],
    into: &mut [f32],
    [k, k_padded]: [usize; 2],
    [per_group, taps]: [usize; 2],
) {
    for (o, row) in into.chunks_exact_mut(k).enumerate() {
        for (at, d) in row.iter_mut().enumerate() {
            let column = at % taps * per_group + at / taps;
            *d = parts.iter().map(|p| p.d_weight[o * k_padded + column]).sum();
        }
    }
}

struct BackwardPart<'a> {
    rows: Rows,
    gradient: GradientView,
    range: std::ops::Range<usize>,
    b: Fixed<f32>,
    sink: Option<SinkView>,
    image: Shared<f32>,
    wants_weight: bool,
    wants_bias: bool,
    out: usize,
    /// Of a matrix with `k` columns.
    panels: usize,
    c_padded: usize,
    part: &'a mut Part,
}

impl Kernel for BackwardPart<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (s, k, out) = (self.rows.shape, self.rows.k(), self.out);
        let (k_padded, out_padded) = (k.next_multiple_of(S::LANES), out.next_multiple_of(S::LANES));
        let Part { tile, gradient: dy, sums, totals, d_weight, d_bias, .. } = self.part;
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
                let dy = Fixed(dy.as_ptr());
                if self.wants_weight {
                    let (x, x_stride) = match self.rows.in_place() {
                        Some((data, stride)) if stride.is_multiple_of(S::LANES) => {
                            (Fixed(data.get().add(row * stride)), stride)
                        }
                        _ => {
                            self.rows.gather::<S>(row..end, tile.as_mut_ptr(), k_padded);
                            (Fixed(tile.as_ptr()), k_padded)
                        }
                    };
                    let factors = Factors {
                        a: dy,
                        a_strides: [1, out_padded],
                        runs: ONE_RUN,
                        segments: ONE_SEGMENT,
                        b: x,
                        b_stride: Some(x_stride),
                        k: len,
                        n: k,
                    };
                    let finish = Accumulate { c: Shared(d_weight.as_mut_ptr()), stride: k_padded };
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
                };
                if s.is_pointwise() {
                    let finish = IntoSink {
                        sink,
                        first_row: row,
                        c: s.c,
                        sums: Shared(sums.as_mut_ptr()),
                        sums_stride: self.c_padded,
                    };
                    multiply::<S, IntoSink>(&factors, 0..len, 0..self.panels, finish);
                    if sink.tallies() {
                        flush(sums, totals);
                    }
                } else {
                    let finish = Overwrite { c: Shared(tile.as_mut_ptr()), stride: k_padded };
                    multiply::<S, Overwrite>(&factors, 0..len, 0..self.panels, finish);
                    scatter::<S>(&self.rows, row..end, tile.as_ptr(), k_padded, self.image);
                }
            }
            row = end;
        }
    }
}

/// Adds gathered columns back to the positions they came from.
#[inline(always)]
unsafe fn scatter<S: Simd>(
    rows: &Rows,
    range: std::ops::Range<usize>,
    from: *const f32,
    stride: usize,
    image: Shared<f32>,
) {
    let s = &rows.shape;
    let per_group = s.c / s.groups;
    for (i, row) in range.enumerate() {
        let (n, rest) = (row / (s.oh * s.ow), row % (s.oh * s.ow));
        let (oh, ow) = (rest / s.ow, rest % s.ow);
        for u in 0..s.kernel[0] {
            let ih = (oh * s.stride[0] + u * s.dilation[0]).wrapping_sub(s.top);
            for v in 0..s.kernel[1] {
                let iw = (ow * s.stride[1] + v * s.dilation[1]).wrapping_sub(s.left);
                if ih >= s.h || iw >= s.w {
                    continue;
                }
                let to = ((n * s.h + ih) * s.w + iw) * s.c + rows.group * per_group;
                let column = (u * s.kernel[1] + v) * per_group;
                let mut c = 0;
                while c < per_group {
                    let lanes = S::LANES.min(per_group - c);
                    // SAFETY: the position lies in the image, which belongs to this part; the column in the row.
                    unsafe {
                        let to = image.get().add(to + c);
                        let g = S::load_some(from.add(i * stride + column + c), lanes);
                        S::store_some(to, S::add(S::load_some(to, lanes), g), lanes);
                    }
                    c += S::LANES;
                }
            }
        }
    }
}
