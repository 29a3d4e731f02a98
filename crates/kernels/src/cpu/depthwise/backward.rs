//! The backward pass of depthwise convolution.
//!
//! Above: `cpu::depthwise`. Below: `cpu::{taps, views}`. Not here: input rings (`cpu::depthwise`).
//! A gradient row meets the window's input rows for the weight's gradient; an input row is finished as soon as the last gradient row
//! that touches it is in.

use super::{
    BLOCK, Channels, Frame, RowFinish, SUM_POSITIONS, fill_input, flush_block, pack_weight,
};
use crate::cpu::pass::add_lanes;
use crate::cpu::taps::{Tap, dot_taps, sum_taps};
use crate::cpu::team::{SendMutPtr, SendPtr, part_of};
use crate::cpu::trace::{Path, took};
use crate::cpu::views::{GradientView, SinkChannel, SinkView, SourceView};
use crate::cpu::{Cpu, Part};
use crate::simd::{Kernel, Simd};
use crate::sizes::product;
use crate::{ConvGradient, ConvShape, Sink, Source};

/// See [`crate::Device::conv_backward`].
pub(in crate::cpu) fn backward(
    cpu: &mut Cpu,
    s: &ConvShape,
    gradient: ConvGradient<'_, f32>,
    xs: Source<'_, f32>,
    weight: &[f32],
    d_weight: Option<&mut [f32]>,
    d_bias: Option<&mut [f32]>,
    mut dx: Option<Sink<'_, f32>>,
) {
    let lanes = cpu.isa.lanes();
    let frame = Frame::new(s, lanes);
    let (taps, parts) = (frame.taps(), cpu.team.threads());
    let blocks = s.c.div_ceil(BLOCK * lanes);
    let sink = dx.as_mut().map(SinkView::new);
    cpu.clear_totals(2 * frame.c_padded, true);
    let mut packed = cpu.take_packed();
    packed.data.reserve(taps * frame.c_padded);
    pack_weight(s, lanes, weight, &mut packed.data);
    let back = Back::new(&frame);
    let (isa, scratch) = (cpu.isa, SendMutPtr(cpu.parts.as_mut_ptr()));
    let (source, gradient) = (SourceView::new(xs), GradientView::new(gradient));
    let (wants_weight, wants_bias) = (d_weight.is_some(), d_bias.is_some());
    let weight = SendPtr(packed.data.as_ptr());
    cpu.team.run(|p| {
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        part.tile.reserve(product([frame.reach, frame.width, BLOCK, lanes]));
        part.gradient.reserve(product([back.ring, back.width, BLOCK, lanes]));
        part.d_weight.reserve(taps * frame.c_padded);
        part.d_weight[..taps * frame.c_padded].fill(0.0);
        part.d_bias.clear();
        part.d_bias.resize(s.c, 0.0);
        for task in part_of(s.n * blocks, 1, p, parts) {
            let job = BackwardTask {
                frame,
                back,
                source,
                gradient,
                weight,
                sink,
                wants_weight,
                wants_bias,
                n: task / blocks,
                block: task % blocks,
                part,
            };
            // SAFETY: `isa` is one of this machine; tasks write images and channels of their own, within the slices that
            // `Cpu` checked against the shape.
            unsafe { isa.run(job) };
        }
    });
    cpu.packed = packed;
    if let Some(d_weight) = d_weight {
        for (at, d) in d_weight.iter_mut().enumerate() {
            let packed_at = at % taps * frame.c_padded + at / taps;
            *d = cpu.parts.iter().map(|p| p.d_weight[packed_at]).sum();
        }
    }
    if let Some(d_bias) = d_bias {
        for (c, d) in d_bias.iter_mut().enumerate() {
            *d = cpu.parts.iter().map(|p| p.d_bias[c]).sum::<f64>() as f32;
        }
    }
    if let Some(Sink { tally: Some(tally), .. }) = dx {
        cpu.tally(frame.c_padded, tally);
    }
}

/// Sizes of the backward pass.
#[derive(Clone, Copy)]
struct Back {
    /// Gradient rows that touch one input row, at most.
    ring: usize,
    /// Zero columns left of a gradient row, and its columns in all.
    left: usize,
    width: usize,
}

impl Back {
    fn new(frame: &Frame) -> Self {
        let s = &frame.s;
        let reach = |axis: usize| (s.kernel[axis] - 1) * s.dilation[axis];
        let left = reach(1).div_ceil(s.stride[1]);
        let right = (s.w - 1 + s.left) / s.stride[1] + 1;
        Self { ring: reach(0) / s.stride[0] + 1, left, width: left + right.max(s.ow) }
    }
}

struct BackwardTask<'a> {
    frame: Frame,
    back: Back,
    source: SourceView,
    gradient: GradientView,
    weight: SendPtr<f32>,
    sink: Option<SinkView>,
    wants_weight: bool,
    wants_bias: bool,
    n: usize,
    block: usize,
    part: &'a mut Part,
}

impl Kernel for BackwardTask<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(mut self) {
        let s = self.frame.s;
        let channels = Channels::of::<S>(self.block, s.c);
        let (mut next_input, mut next_out, mut pending) = (0, s.top, 0);
        // SAFETY: rows exist where they are filled, read and written; see each step.
        unsafe {
            let mut sums = [[S::zero(); BLOCK]; 2];
            for oh in 0..s.oh {
                self.fill_gradient::<S>(oh, channels);
                if self.wants_weight {
                    next_input = self.weight_gradient::<S>(oh, next_input, channels);
                }
                let Some(sink) = self.sink else { continue };
                let ready = if oh + 1 == s.oh { s.top + s.h } else { (oh + 1) * s.stride[0] };
                while next_out < ready.min(s.top + s.h) {
                    self.input_gradient::<S>(next_out, channels, &sink, &mut sums);
                    next_out += 1;
                    pending += s.w;
                    if pending >= SUM_POSITIONS {
                        let totals = &mut self.part.totals;
                        flush_block::<S>(&mut sums, channels, self.frame.c_padded, totals);
                        pending = 0;
                    }
                }
            }
            let totals = &mut self.part.totals;
            flush_block::<S>(&mut sums, channels, self.frame.c_padded, totals);
        }
    }
}

impl BackwardTask<'_> {
    /// Where row `oh` begins in the gradient ring, which has `ring` rows of `width` pixels.
    #[inline(always)]
    fn gradient_row(&self, oh: usize, pixel: usize) -> usize {
        oh % self.back.ring * self.back.width * pixel
    }

    /// Computes row `oh` of `dy` into its ring, zeros on both sides.
    #[inline(always)]
    unsafe fn fill_gradient<S: Simd>(&mut self, oh: usize, channels: Channels) {
        let (s, back, pixel) = (self.frame.s, self.back, channels.padded::<S>());
        let mut c = 0;
        while c < channels.len {
            let lanes = channels.lanes::<S>(c);
            // SAFETY: the ring row has `width` pixels; row `oh` of image `n` has `ow`.
            unsafe {
                let row = self.gradient_row(oh, pixel);
                let to = self.part.gradient.as_mut_ptr().add(row + c);
                for column in (0..back.left).chain(back.left + s.ow..back.width) {
                    S::store(to.add(column * pixel), S::zero());
                }
                let k = self.gradient.channel::<S>(channels.first + c, lanes);
                let row = (self.n * s.oh + oh) * s.ow;
                let mut sum = S::zero();
                for ow in 0..s.ow {
                    let at = (row + ow) * s.c + channels.first + c;
                    let g = self.gradient.read::<S>(at, lanes, &k);
                    sum = S::add(sum, g);
                    S::store(to.add((back.left + ow) * pixel), g);
                }
                if self.wants_bias {
                    let to = self.part.d_bias.as_mut_ptr().add(channels.first + c);
                    add_lanes::<S>(sum, lanes, to);
                }
            }
            c += S::LANES;
        }
    }

    /// `dw[u, v] += Σ_ow x[oh·s + u·d, ow·s + v·d] · dy[oh, ow]`; returns the next input row to fill.
    #[inline(always)]
    unsafe fn weight_gradient<S: Simd>(
        &mut self,
        oh: usize,
        next: usize,
        channels: Channels,
    ) -> usize {
        let (frame, s, pixel) = (self.frame, self.frame.s, channels.padded::<S>());
        let (ring, top) = (self.part.tile.as_mut_ptr(), oh * s.stride[0]);
        let slot = |ph: usize| ph % frame.reach * frame.width * pixel;
        let mut next = next.max(top);
        took(Path::DepthwiseWeight);
        // SAFETY: ring rows exist; taps point at rows just filled, weights at this part's gradient.
        unsafe {
            while next < top + frame.reach {
                fill_input::<S>(&frame, &self.source, self.n, next, channels, ring.add(slot(next)));
                next += 1;
            }
            let d_weight = self.part.d_weight.as_mut_ptr();
            for c in (0..channels.len).step_by(S::LANES) {
                self.part.taps.clear();
                for u in 0..s.kernel[0] {
                    let row = ring.add(slot(top + u * s.dilation[0]));
                    for w in 0..s.kernel[1] {
                        let t = u * s.kernel[1] + w;
                        self.part.taps.push(Tap {
                            data: row.add(w * s.dilation[1] * pixel + c),
                            weight: d_weight.add(t * frame.c_padded + channels.first + c),
                        });
                    }
                }
                let dy = self.gradient_row(oh, pixel) + self.back.left * pixel + c;
                let dy = self.part.gradient.as_ptr().add(dy);
                let steps = [s.stride[1] * pixel, pixel];
                dot_taps::<S>(&self.part.taps, steps, dy, s.ow);
            }
        }
        next
    }

    /// Writes the gradient of padded input row `ph`.
    #[inline(always)]
    unsafe fn input_gradient<S: Simd>(
        &mut self,
        ph: usize,
        channels: Channels,
        sink: &SinkView,
        sums: &mut [[S::V; BLOCK]; 2],
    ) {
        let (s, pixel) = (self.frame.s, channels.padded::<S>());
        let row = (self.n * s.h + ph - s.top) * s.w;
        took(Path::DepthwiseInput);
        for phase in 0..s.stride[1].min(s.w) {
            // Input columns `phase`, `phase + stride`, … meet the same taps.
            let pw = phase + s.left;
            let len = (s.w - phase).div_ceil(s.stride[1]);
            for (v, c) in (0..channels.len).step_by(S::LANES).enumerate() {
                // SAFETY: taps point into gradient rows still in the ring; the sink's row exists.
                unsafe {
                    self.part.taps.clear();
                    for u in 0..s.kernel[0] {
                        let Some(up) = ph.checked_sub(u * s.dilation[0]) else { continue };
                        let oh = up / s.stride[0];
                        if !up.is_multiple_of(s.stride[0]) || oh >= s.oh {
                            continue;
                        }
                        let dy = self.part.gradient.as_ptr().add(self.gradient_row(oh, pixel));
                        for w in 0..s.kernel[1] {
                            // `ow = (pw − w·d) / stride`, counted from the first zero column, so never negative.
                            let ahead = pw + self.back.left * s.stride[1] - w * s.dilation[1];
                            if !ahead.is_multiple_of(s.stride[1]) {
                                continue;
                            }
                            let t = (u * s.kernel[1] + w) * self.frame.c_padded;
                            self.part.taps.push(Tap {
                                data: dy.add(ahead / s.stride[1] * pixel + c),
                                weight: self.weight.get().add(t + channels.first + c),
                            });
                        }
                    }
                    let lanes = channels.lanes::<S>(c);
                    let finish = SinkFinish::<S> {
                        sink,
                        k: sink.channel::<S>(channels.first + c, lanes),
                        at: (row + phase) * s.c + channels.first + c,
                        pixel: s.stride[1] * s.c,
                        lanes,
                        sum: sums[0][v],
                        dot: sums[1][v],
                    };
                    let mut done = sum_taps::<S, _>(&self.part.taps, pixel, len, finish);
                    let places = [done.at, done.pixel, len];
                    sink.multiply_derivative::<S>(
                        places,
                        lanes,
                        &done.k,
                        [&mut done.sum, &mut done.dot],
                    );
                    (sums[0][v], sums[1][v]) = (done.sum, done.dot);
                }
            }
        }
    }
}

struct SinkFinish<'a, S: Simd> {
    sink: &'a SinkView,
    k: SinkChannel<S>,
    at: usize,
    pixel: usize,
    lanes: usize,
    sum: S::V,
    dot: S::V,
}

impl<S: Simd> RowFinish<S> for SinkFinish<'_, S> {
    #[inline(always)]
    unsafe fn take<const WHOLE: bool>(&mut self, i: usize, g: S::V) {
        // SAFETY: `at + i·pixel` is an input of this task.
        unsafe {
            let at = self.at + i * self.pixel;
            self.sink.put::<S>(at, self.lanes, g, &self.k, [&mut self.sum, &mut self.dot]);
        }
    }
}
