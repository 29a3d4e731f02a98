//! The forward pass of depthwise convolution.
//!
//! Above: `cpu::depthwise`. Below: `cpu::{choice, views}`. Not here: rings and padding (`cpu::depthwise`).

use super::row::Row;
use super::{BLOCK, Channels, Frame, RowFinish, SUM_POSITIONS, copy_row, flush_block};
use crate::cpu::choice::{DepthwiseRow, Operand};
use crate::cpu::curves;
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::SourceView;
use crate::cpu::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::sizes::product;
use crate::{Activation, ConvShape, Epilogue, Moments, Source};

/// Bands of output rows an image is cut into: more than one where images and channels alone would leave threads idle. Each band repeats
/// the rows it shares with the one above.
pub(in crate::cpu) fn bands(s: &ConvShape, lanes: usize, threads: usize) -> usize {
    let tasks = s.n * s.c.div_ceil(BLOCK * lanes);
    (8 * threads / tasks.max(1)).clamp(1, s.oh.div_ceil(4))
}

/// See [`crate::Device::conv_forward`]; row kernel, operand and bands as in [`ForwardKernel::Depthwise`](crate::ForwardKernel).
pub(in crate::cpu) fn forward<const COUNTED: bool>(
    cpu: &mut Cpu,
    (kernel, operand, bands): (DepthwiseRow, Operand, usize),
    s: &ConvShape,
    xs: Source<'_, f32>,
    packed: &Packed,
    epilogue: Epilogue<'_, f32>,
    y: &mut [f32],
    moments: Option<Moments<'_, f32>>,
) {
    let moments = moments.filter(|_| COUNTED);
    let lanes = cpu.isa.lanes();
    let frame = Frame::new(s, lanes);
    let parts = cpu.team.threads();
    let blocks = s.c.div_ceil(BLOCK * lanes);
    cpu.clear_totals(2 * frame.c_padded, moments.is_some());
    let (low, high) = epilogue.activation.bounds();
    let (isa, scratch) = (cpu.isa, SendMutPtr(cpu.parts.as_mut_ptr()));
    let output = Written {
        y: SendMutPtr(y.as_mut_ptr()),
        bias: SendPtr::maybe(epilogue.bias),
        residual: SendPtr::maybe(epilogue.residual),
        low: low as f32,
        high: high as f32,
        activation: epilogue.activation,
    };
    let (source, weight) = (SourceView::new(xs), SendPtr(packed.data.as_ptr()));
    cpu.team.run(|p| {
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        part.tile.reserve(product([frame.reach, s.w, BLOCK, lanes]));
        for task in part_of(s.n * bands * blocks, 1, p, parts) {
            let (image, block) = (task / blocks, task % blocks);
            let rows = part_of(s.oh, 1, image % bands, bands);
            let job = ForwardTask::<COUNTED> {
                frame,
                source,
                kernel,
                operand,
                weight,
                output,
                n: image / bands,
                block,
                rows,
                part,
            };
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
    y: SendMutPtr<f32>,
    bias: SendPtr<f32>,
    residual: SendPtr<f32>,
    low: f32,
    high: f32,
    activation: Activation,
}

struct ForwardTask<'a, const COUNTED: bool> {
    frame: Frame,
    source: SourceView,
    kernel: DepthwiseRow,
    operand: Operand,
    weight: SendPtr<f32>,
    output: Written,
    n: usize,
    block: usize,
    rows: std::ops::Range<usize>,
    part: &'a mut Part,
}

impl<const COUNTED: bool> Kernel for ForwardTask<'_, COUNTED> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let channels = Channels::of::<S>(self.block, self.frame.s.c);
        let c_padded = self.frame.c_padded;
        // SAFETY: this runs with the features of `S`.
        let mut sums = unsafe { [[S::zero(); BLOCK]; 2] };
        let (mut pending, mut next) = (0, 0);
        for oh in self.rows.clone() {
            // SAFETY: rows of the image and of the ring exist; sums belong to this part.
            unsafe {
                next = self.find_inputs::<S>(oh, next, channels);
                for (v, c) in (0..channels.len).step_by(S::LANES).enumerate() {
                    let before = [sums[0][v], sums[1][v]];
                    let done = self.output_row::<S>(oh, c, channels, before);
                    if COUNTED {
                        (sums[0][v], sums[1][v]) = (done.sum, done.squares);
                    }
                }
                pending += self.frame.s.ow;
                if COUNTED && pending >= SUM_POSITIONS {
                    flush_block::<S>(&mut sums, channels, c_padded, &mut self.part.totals);
                    pending = 0;
                }
            }
        }
        if COUNTED {
            // SAFETY: likewise.
            unsafe { flush_block::<S>(&mut sums, channels, c_padded, &mut self.part.totals) };
        }
    }
}

impl<const COUNTED: bool> ForwardTask<'_, COUNTED> {
    /// Points `part.rows` at the input rows under the window of output row `oh`: in place, or in the ring, whose rows from
    /// `next` on are filled. Returns the next row to fill.
    #[inline(always)]
    unsafe fn find_inputs<S: Simd>(&mut self, oh: usize, next: usize, channels: Channels) -> usize {
        let (s, pixel) = (self.frame.s, channels.padded::<S>());
        let mut next = next.max((oh * s.stride[0]).saturating_sub(s.top));
        let ring = self.part.tile.as_mut_ptr();
        let slot = |ih: usize| ih % self.frame.reach * s.w * pixel;
        self.part.rows.clear();
        for u in 0..s.kernel[0] {
            let ih = (oh * s.stride[0] + u * s.dilation[0]).wrapping_sub(s.top);
            if ih >= s.h {
                self.part.rows.push(SendPtr::NULL);
                continue;
            }
            let first = ((self.n * s.h + ih) * s.w) * s.c + channels.first;
            // SAFETY: row `ih` lies in the image; the ring has `reach` rows of `w` pixels.
            unsafe {
                if self.operand == Operand::InPlace {
                    took(Path::InPlace);
                    self.part.rows.push(SendPtr(self.source.data.get().add(first)));
                    continue;
                }
                while next <= ih {
                    took(Path::Copied);
                    let first = ((self.n * s.h + next) * s.w) * s.c;
                    let to = ring.add(slot(next));
                    copy_row::<S>(&self.source, first, [s.w, s.c], channels, to);
                    next += 1;
                }
                self.part.rows.push(SendPtr(ring.add(slot(ih))));
            }
        }
        next
    }

    /// Computes and writes row `oh` of the vector of channels `c` of the task's.
    #[inline(always)]
    unsafe fn output_row<S: Simd>(
        &self,
        oh: usize,
        c: usize,
        channels: Channels,
        [sum, squares]: [S::V; 2],
    ) -> ForwardFinish<'_, S, COUNTED> {
        let (s, lanes) = (&self.frame.s, channels.lanes::<S>(c));
        let (output, channel) = (&self.output, channels.first + c);
        // SAFETY: every row has the vector; bias and weights reach as far as the channels.
        unsafe {
            let row = Row {
                inputs: &self.part.rows,
                offset: c,
                weight: SendPtr(self.weight.get().add(channel)),
                tap: self.frame.c_padded,
                taps: s.kernel[1],
                pixel: match self.operand {
                    Operand::InPlace => s.c,
                    Operand::Copied | Operand::Scaled | Operand::WeightsScaled => {
                        channels.padded::<S>()
                    }
                },
                w: s.w,
                left: s.left,
                kernel: self.kernel,
                stride: s.stride[1],
                dilation: s.dilation[1],
                len: s.ow,
                lanes,
            };
            let bias = if output.bias.is_null() {
                S::zero()
            } else {
                S::load_some(output.bias.get().add(channel), lanes)
            };
            let done = row.run::<S, _>(ForwardFinish {
                output,
                at: ((self.n * s.oh + oh) * s.ow) * s.c + channel,
                pixel: s.c,
                lanes,
                bias,
                low: S::splat(output.low),
                high: S::splat(output.high),
                sum,
                squares,
            });
            if !COUNTED {
                // Curved activations go over the row that was just written.
                let (first, size) = (output.y.get().add(done.at), [s.ow, s.c, lanes]);
                curves::apply_rows::<S>(output.activation, first, size);
            }
            done
        }
    }
}

struct ForwardFinish<'a, S: Simd, const COUNTED: bool> {
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

impl<S: Simd, const COUNTED: bool> RowFinish<S> for ForwardFinish<'_, S, COUNTED> {
    #[inline(always)]
    unsafe fn take<const WHOLE: bool>(&mut self, i: usize, sum: S::V) {
        // SAFETY: `at + i·pixel` is an output of this task.
        unsafe {
            let at = self.at + i * self.pixel;
            let lanes = if WHOLE { S::LANES } else { self.lanes };
            let mut y = S::add(sum, self.bias);
            if !COUNTED && !self.output.residual.is_null() {
                y = S::add(y, S::load_some(self.output.residual.get().add(at), lanes));
            }
            if !COUNTED {
                y = S::clamp(y, self.low, self.high);
            }
            if COUNTED {
                self.sum = S::add(self.sum, y);
                self.squares = S::fma(y, y, self.squares);
            }
            S::store_some(self.output.y.get().add(at), y, lanes);
        }
    }
}
