//! The forward pass of depthwise convolution.
//!
//! Above: `cpu::depthwise`. Below: `cpu::{taps, views}`. Not here: rings and padding (`cpu::depthwise`).

use super::{BLOCK, Channels, Frame, RowFinish, SUM_POSITIONS, fill_input, flush_block};
use crate::cpu::taps::{Tap, sum_taps};
use crate::cpu::team::{Fixed, Shared, part_of};
use crate::cpu::views::SourceView;
use crate::cpu::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvShape, Epilogue, Moments, Source};

/// See [`crate::Device::conv_forward`].
pub(in crate::cpu) fn forward(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: Source<'_, f32>,
    packed: &Packed,
    epilogue: Epilogue<'_, f32>,
    y: &mut [f32],
    moments: Option<Moments<'_, f32>>,
) {
    let lanes = cpu.isa.lanes();
    let frame = Frame::new(s, lanes);
    let parts = cpu.team.threads();
    let blocks = s.c.div_ceil(BLOCK * lanes);
    // Bands of rows only where images and channels alone would leave cores idle: each band repeats its halo.
    let bands = (8 * parts / (s.n * blocks)).clamp(1, s.oh.div_ceil(4));
    cpu.clear_totals(2 * frame.c_padded, moments.is_some());
    let (low, high) = epilogue.activation.bounds();
    let (isa, scratch) = (cpu.isa, Shared(cpu.parts.as_mut_ptr()));
    let output = Written {
        y: Shared(y.as_mut_ptr()),
        bias: Fixed::maybe(epilogue.bias),
        residual: Fixed::maybe(epilogue.residual),
        low: low as f32,
        high: high as f32,
        counted: moments.is_some(),
    };
    let (source, weight) = (SourceView::new(xs), Fixed(packed.data.as_ptr()));
    cpu.team.run(parts, |p| {
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        part.tile.reserve(frame.reach * frame.width * BLOCK * lanes);
        part.taps.clear();
        for task in part_of(s.n * bands * blocks, 1, p, parts) {
            let (image, block) = (task / blocks, task % blocks);
            let rows = part_of(s.oh, 1, image % bands, bands);
            let job =
                ForwardTask { frame, source, weight, output, n: image / bands, block, rows, part };
            // SAFETY: `isa` is one of this machine; tasks write rows and channels of their own, within the slices that `Cpu`
            // checked against the shape.
            unsafe { isa.run(job) };
        }
    });
    if let Some(moments) = moments {
        cpu.moments(y, frame.c_padded, moments);
    }
}

#[derive(Clone, Copy)]
struct Written {
    y: Shared<f32>,
    bias: Fixed<f32>,
    residual: Fixed<f32>,
    low: f32,
    high: f32,
    counted: bool,
}

struct ForwardTask<'a> {
    frame: Frame,
    source: SourceView,
    weight: Fixed<f32>,
    output: Written,
    n: usize,
    block: usize,
    rows: std::ops::Range<usize>,
    part: &'a mut Part,
}

impl Kernel for ForwardTask<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { frame, source, weight, output, n, block, rows, part } = self;
        let s = frame.s;
        let channels = Channels::of::<S>(block, s.c);
        let pixel = channels.padded::<S>();
        let ring = part.tile.as_mut_ptr();
        let slot = |ph: usize| ph % frame.reach * frame.width * pixel;
        let mut next = 0;
        // SAFETY: ring rows and output rows exist; taps point at rows just filled.
        unsafe {
            let mut sums = [[S::zero(); BLOCK]; 2];
            let mut pending = 0;
            for oh in rows {
                let top = oh * s.stride[0];
                next = next.max(top);
                while next < top + frame.reach {
                    fill_input::<S>(&frame, &source, n, next, channels, ring.add(slot(next)));
                    next += 1;
                }
                for (v, c) in (0..channels.len).step_by(S::LANES).enumerate() {
                    part.taps.clear();
                    for u in 0..s.kernel[0] {
                        let row = ring.add(slot(top + u * s.dilation[0]));
                        for w in 0..s.kernel[1] {
                            let t = u * s.kernel[1] + w;
                            part.taps.push(Tap {
                                data: row.add(w * s.dilation[1] * pixel + c),
                                weight: weight.get().add(t * frame.c_padded + channels.first + c),
                            });
                        }
                    }
                    let finish = ForwardFinish::<S> {
                        output: &output,
                        at: ((n * s.oh + oh) * s.ow) * s.c + channels.first + c,
                        pixel: s.c,
                        lanes: channels.lanes::<S>(c),
                        bias: if output.bias.is_null() {
                            S::zero()
                        } else {
                            let bias = output.bias.get().add(channels.first + c);
                            S::load_some(bias, channels.lanes::<S>(c))
                        },
                        low: S::splat(output.low),
                        high: S::splat(output.high),
                        sum: sums[0][v],
                        squares: sums[1][v],
                    };
                    let done = sum_taps::<S, _>(&part.taps, s.stride[1] * pixel, s.ow, finish);
                    (sums[0][v], sums[1][v]) = (done.sum, done.squares);
                }
                pending += s.ow;
                if output.counted && pending >= SUM_POSITIONS {
                    flush_block::<S>(&mut sums, channels, frame.c_padded, &mut part.totals);
                    pending = 0;
                }
            }
            if output.counted {
                flush_block::<S>(&mut sums, channels, frame.c_padded, &mut part.totals);
            }
        }
    }
}

struct ForwardFinish<'a, S: Simd> {
    output: &'a Written,
    at: usize,
    pixel: usize,
    lanes: usize,
    bias: S::V,
    low: S::V,
    high: S::V,
    sum: S::V,
    squares: S::V,
}

impl<S: Simd> RowFinish<S> for ForwardFinish<'_, S> {
    #[inline(always)]
    unsafe fn take(&mut self, i: usize, sum: S::V) {
        // SAFETY: `at + i·pixel` is an output of this task.
        unsafe {
            let at = self.at + i * self.pixel;
            let mut y = S::add(sum, self.bias);
            if !self.output.residual.is_null() {
                y = S::add(y, S::load_some(self.output.residual.get().add(at), self.lanes));
            }
            y = S::clamp(y, self.low, self.high);
            self.sum = S::add(self.sum, y);
            self.squares = S::fma(y, y, self.squares);
            S::store_some(self.output.y.get().add(at), y, self.lanes);
        }
    }
}
