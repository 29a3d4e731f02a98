//! Depthwise convolution: one filter per channel, forward and backward, any window, stride, dilation and padding.
//!
//! Above: `cpu`. Below: `cpu::taps`, `simd`. Not here: a channel multiplier (`cpu::matrix`, by groups).
//! A task is one image and up to four vectors of channels. It walks down the image with a ring of rows in cache, normalized
//! on the way in and padded with zeros on all sides, so that the inner loops know no borders. Coordinates with a `p` are
//! padded: `ph = ih + top`, `pw = iw + left`.
//! The backward pass keeps two rings, of input rows and of gradient rows, and needs each value once: a gradient row meets the
//! window's input rows for the weight's gradient, and an input row is finished as soon as the last gradient row that touches it is in.

use super::pack::add_lanes;
use super::taps::{Tap, dot_taps, sum_taps};
use super::team::{Fixed, Shared, part_of};
use super::views::{GradientView, SinkView, SourceView};
use super::{Cpu, Packed, Part};
use crate::simd::{Kernel, Simd};
use crate::{ConvGradient, ConvShape, Epilogue, Moments, Sink, Source};

/// Vectors of channels in a task.
const BLOCK: usize = 4;

/// Positions whose sums stay in `f32` before they join the totals.
const SUM_POSITIONS: usize = 512;

/// Weights `(c, 1, kh, kw)` as `(kh·kw, c)`, channels padded to whole vectors.
pub(super) fn pack_weight(s: &ConvShape, lanes: usize, weight: &[f32], into: &mut [f32]) {
    let (taps, padded) = (s.kernel[0] * s.kernel[1], s.c.next_multiple_of(lanes));
    for (t, row) in into[..taps * padded].chunks_exact_mut(padded).enumerate() {
        row.fill(0.0);
        for (to, from) in row.iter_mut().zip(weight.iter().skip(t).step_by(taps)) {
            *to = *from;
        }
    }
}

/// Sizes both passes share.
#[derive(Clone, Copy)]
struct Frame {
    s: ConvShape,
    /// Rows a window reaches over, which is what the input ring holds.
    reach: usize,
    /// Columns of a padded input row.
    width: usize,
    /// Channels of a weight row.
    c_padded: usize,
}

impl Frame {
    fn new(s: &ConvShape, lanes: usize) -> Self {
        let reach = |axis: usize| (s.kernel[axis] - 1) * s.dilation[axis] + 1;
        Self {
            s: *s,
            reach: reach(0),
            width: (s.ow - 1) * s.stride[1] + reach(1),
            c_padded: s.c.next_multiple_of(lanes),
        }
    }

    fn taps(&self) -> usize {
        self.s.kernel[0] * self.s.kernel[1]
    }
}

/// One task's channels: the first, and how many.
#[derive(Clone, Copy)]
struct Channels {
    first: usize,
    len: usize,
}

impl Channels {
    #[inline(always)]
    fn of<S: Simd>(block: usize, c: usize) -> Self {
        let first = block * BLOCK * S::LANES;
        Self { first, len: (c - first).min(BLOCK * S::LANES) }
    }
    /// Channels rounded up to whole vectors: how far pixels are apart in a ring.
    #[inline(always)]
    fn padded<S: Simd>(self) -> usize {
        self.len.next_multiple_of(S::LANES)
    }
    #[inline(always)]
    fn lanes<S: Simd>(self, offset: usize) -> usize {
        S::LANES.min(self.len - offset)
    }
}

/// Fills one padded input row of a ring: padded row `ph` of image `n`.
#[inline(always)]
unsafe fn fill_input<S: Simd>(
    frame: &Frame,
    source: &SourceView,
    n: usize,
    ph: usize,
    channels: Channels,
    to: *mut f32,
) {
    let (s, pixel) = (&frame.s, channels.padded::<S>());
    let ih = ph.wrapping_sub(s.top);
    // Input columns that lie in the row: padded columns `first .. last`.
    let (first, last) = (s.left.min(frame.width), (s.left + s.w).min(frame.width));
    let inside = if ih < s.h { first..last } else { 0..0 };
    let mut c = 0;
    while c < channels.len {
        let lanes = channels.lanes::<S>(c);
        // SAFETY: the row has `width` pixels of `pixel` floats; pixels inside the image exist.
        unsafe {
            for pw in (0..inside.start).chain(inside.end..frame.width) {
                S::store(to.add(pw * pixel + c), S::zero());
            }
            let k = source.channel::<S>(channels.first + c, lanes);
            let row = ((n * s.h + ih.min(s.h)) * s.w).wrapping_sub(s.left);
            for pw in inside.clone() {
                let at = row.wrapping_add(pw) * s.c + channels.first + c;
                S::store(to.add(pw * pixel + c), source.read::<S>(at, lanes, &k));
            }
        }
        c += S::LANES;
    }
}

/// See [`crate::Device::conv_forward`].
pub(super) fn forward(
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

/// Adds a block's sums to the totals, and clears them.
#[inline(always)]
unsafe fn flush_block<S: Simd>(
    sums: &mut [[S::V; BLOCK]; 2],
    channels: Channels,
    c_padded: usize,
    totals: &mut [f64],
) {
    for (v, c) in (0..channels.len).step_by(S::LANES).enumerate() {
        let lanes = channels.lanes::<S>(c);
        // SAFETY: totals hold two rows of `c_padded`.
        unsafe {
            let to = totals.as_mut_ptr().add(channels.first + c);
            add_lanes::<S>(sums[0][v], lanes, to);
            add_lanes::<S>(sums[1][v], lanes, to.add(c_padded));
            sums[0][v] = S::zero();
            sums[1][v] = S::zero();
        }
    }
}

/// Takes the sums of a row of outputs, one vector at a time.
pub(super) trait RowFinish<S: Simd> {
    /// # Safety
    /// `i` is less than the row's length.
    unsafe fn take(&mut self, i: usize, sum: S::V);
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

/// See [`crate::Device::conv_backward`].
pub(super) fn backward(
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
    let mut packed = std::mem::take(&mut cpu.packed);
    packed.data.reserve(taps * frame.c_padded);
    pack_weight(s, lanes, weight, &mut packed.data);
    let back = Back::new(&frame);
    let (isa, scratch) = (cpu.isa, Shared(cpu.parts.as_mut_ptr()));
    let (source, gradient) = (SourceView::new(xs), GradientView::new(gradient));
    let (wants_weight, wants_bias) = (d_weight.is_some(), d_bias.is_some());
    let weight = Fixed(packed.data.as_ptr());
    cpu.team.run(parts, |p| {
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        part.tile.reserve(frame.reach * frame.width * BLOCK * lanes);
        part.gradient.reserve(back.ring * back.width * BLOCK * lanes);
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
    weight: Fixed<f32>,
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
    /// Where row `oh` lies in the gradient ring.
    #[inline(always)]
    unsafe fn gradient_row<S: Simd>(&self, oh: usize, pixel: usize) -> *mut f32 {
        // SAFETY: the ring has `ring` rows of `width` pixels.
        unsafe {
            let ring = self.part.gradient.as_ptr().cast_mut();
            ring.add(oh % self.back.ring * self.back.width * pixel)
        }
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
                let to = self.gradient_row::<S>(oh, pixel).add(c);
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
                let dy = self.gradient_row::<S>(oh, pixel).add(self.back.left * pixel + c);
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
                        let dy = self.gradient_row::<S>(oh, pixel);
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
                    let done = sum_taps::<S, _>(&self.part.taps, pixel, len, finish);
                    (sums[0][v], sums[1][v]) = (done.sum, done.dot);
                }
            }
        }
    }
}

struct SinkFinish<'a, S: Simd> {
    sink: &'a SinkView,
    k: super::views::SinkChannel<S>,
    at: usize,
    pixel: usize,
    lanes: usize,
    sum: S::V,
    dot: S::V,
}

impl<S: Simd> RowFinish<S> for SinkFinish<'_, S> {
    #[inline(always)]
    unsafe fn take(&mut self, i: usize, g: S::V) {
        // SAFETY: `at + i·pixel` is an input of this task.
        unsafe {
            let at = self.at + i * self.pixel;
            self.sink.put::<S>(at, self.lanes, g, &self.k, [&mut self.sum, &mut self.dot]);
        }
    }
}
