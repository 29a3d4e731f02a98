//! The input's gradient of a convolution with stride 1: a convolution of the gradient with the filters flipped.
//!
//! Above: `matrix::{backward, scatter}`. Below: `cpu::{choice, packed}`. Not here: larger strides, whose gradients are scattered.
//! `dx[ih, iw, i] = Σ_{o, u, v} dy[ih + top − u·d, iw + left − v·d, o] · w[o, i, u, v]`, which with `u' = kh − 1 − u` is a convolution
//! padded by `d·(kh − 1) − top` before. It reads bands and writes each value once, where scattering adds `kh·kw` times.

use super::pass_rows;
use crate::cpu::choice::ForwardKernel;
use crate::cpu::pass::Share;
use crate::cpu::team::{SendMutPtr, SendPtr};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::{GradientView, SinkView};
use crate::cpu::{Cpu, Packed};
use crate::simd::{Kernel, Simd};
use crate::{ConvGradient, ConvShape, Epilogue, Sink, Source};

/// The convolution from the gradient of the output to that of the input; `None` where strides or paddings do not allow it.
pub(in crate::cpu) fn flipped_shape(s: &ConvShape) -> Option<ConvShape> {
    // One product needs no second packing.
    if s.is_pointwise() { None } else { flip(s) }
}

/// [`flipped_shape`] of pointwise convolutions too.
pub(super) fn flip(s: &ConvShape) -> Option<ConvShape> {
    if s.stride != [1, 1] {
        return None;
    }
    let before =
        |axis: usize, pad: usize| (s.dilation[axis] * (s.kernel[axis] - 1)).checked_sub(pad);
    Some(ConvShape {
        h: s.oh,
        w: s.ow,
        c: s.oc,
        oh: s.h,
        ow: s.w,
        oc: s.c,
        top: before(0, s.top)?,
        left: before(1, s.left)?,
        ..*s
    })
}

/// Writes the input's gradient of `s` through the sink; `flipped` is [`flipped_shape`], `kernel` its own.
pub(super) fn input_gradient(
    cpu: &mut Cpu,
    s: &ConvShape,
    flipped: &ConvShape,
    gradient: ConvGradient<'_, f32>,
    weight: &[f32],
    mut sink: Sink<'_, f32>,
    kernel: ForwardKernel,
) {
    took(Path::Flipped);
    let (isa, mut packed) = (cpu.isa, cpu.take_packed());
    pack_flipped(cpu, s, flipped, weight, &mut packed);
    let mut finished = std::mem::take(&mut cpu.finished);
    let dy = match gradient.norm {
        None => gradient.dz,
        Some(_) => {
            finished.reserve(s.output_len());
            let (view, c) = (GradientView::new(gradient), s.oc);
            let to = SendMutPtr(finished.as_mut_ptr());
            cpu.for_parts(s.output_positions(), |_, rows, _| {
                // SAFETY: `isa` is one of this machine; parts have rows of their own.
                unsafe { isa.run(FinishRows { view, to, c, rows }) };
            });
            &finished[..s.output_len()]
        }
    };
    let (xs, epilogue) = (Source::plain(dy), Epilogue::default());
    if !sink.accumulate && sink.mask.is_none() && sink.tally.is_none() {
        cpu.run_forward::<false>(kernel, flipped, xs, None, &packed, epilogue, sink.out, None);
    } else {
        let mut image = std::mem::take(&mut cpu.image);
        image.reserve(s.input_len());
        let dx = &mut image[..s.input_len()];
        cpu.run_forward::<false>(kernel, flipped, xs, None, &packed, epilogue, dx, None);
        let (view, rows) = (SinkView::new(&mut sink), s.n * s.h * s.w);
        pass_rows(cpu, SendPtr(image.as_ptr()), Share::ALL, view, s.c, rows);
        if let Some(tally) = sink.tally {
            cpu.tally(s.c, tally);
        }
        cpu.image = image;
    }
    (cpu.packed, cpu.finished) = (packed, finished);
}

/// Packs the filters flipped: what was `(o, i, t)` of a group is `(i, o, taps − 1 − t)`.
pub(super) fn pack_flipped(
    cpu: &mut Cpu,
    s: &ConvShape,
    flipped: &ConvShape,
    weight: &[f32],
    packed: &mut Packed,
) {
    let (taps, per_group, out) = (s.kernel[0] * s.kernel[1], s.c / s.groups, s.oc / s.groups);
    let mut round = std::mem::take(&mut cpu.flipped);
    round.reserve(weight.len());
    let to = SendMutPtr(round.as_mut_ptr());
    cpu.for_parts(s.c, |_, channels, _| {
        for channel in channels {
            let (group, i) = (channel / per_group, channel % per_group);
            // SAFETY: every channel has a row of its own.
            let row = unsafe {
                std::slice::from_raw_parts_mut(to.get().add(channel * out * taps), out * taps)
            };
            for (o, row) in row.chunks_exact_mut(taps).enumerate() {
                let from = &weight[((group * out + o) * per_group + i) * taps..][..taps];
                row.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
            }
        }
    });
    packed.fill((cpu.isa, cpu.precision), flipped, &round[..weight.len()], |count, work| {
        cpu.for_parts(count, |_, tasks, _| tasks.for_each(work));
    });
    cpu.flipped = round;
}

/// `dy` of some rows, the norm's share applied.
struct FinishRows {
    view: GradientView,
    to: SendMutPtr<f32>,
    c: usize,
    rows: std::ops::Range<usize>,
}

impl Kernel for FinishRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for c in (0..self.c).step_by(S::LANES) {
            let lanes = S::LANES.min(self.c - c);
            // SAFETY: rows and channels exist; parts write rows of their own.
            unsafe {
                let k = self.view.channel::<S>(c, lanes);
                for row in self.rows.clone() {
                    let at = row * self.c + c;
                    let g = self.view.read::<S>(at, lanes, &k);
                    S::store_some(self.to.get().add(at), g, lanes);
                }
            }
        }
    }
}
