//! Depthwise convolution: one filter per channel, forward and backward, any window, stride, dilation and padding.
//!
//! Above: `cpu`. Below: `depthwise::{forward, backward, transpose}`, `cpu::taps`, `simd`. Not here: a channel multiplier (`cpu::matrix`, by groups).
//! A task is one image and up to four vectors of channels. It walks down the image with a ring of rows in cache, normalized
//! on the way in and padded with zeros on all sides, so that the inner loops know no borders. Coordinates with a `p` are
//! padded: `ph = ih + top`, `pw = iw + left`.
//! The backward pass keeps two rings, of input rows and of gradient rows, and needs each value once: a gradient row meets the
//! window's input rows for the weight's gradient, and an input row is finished as soon as the last gradient row that touches it is in.

mod backward;
mod forward;
mod row;
mod transpose;

pub(super) use backward::backward;
pub(super) use forward::{bands, forward};
pub(super) use transpose::transpose;

use super::pass::add_lanes;
use super::views::SourceView;
use crate::ConvShape;
use crate::simd::Simd;

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
                S::store(to.add(pw * pixel + c), source.read_straight::<S>(at, lanes, &k));
            }
        }
        c += S::LANES;
    }
    // SAFETY: likewise; whole vectors were written.
    unsafe {
        let first = to.wrapping_add(inside.start * pixel);
        source.activate_rows::<S>(first, [inside.len(), pixel, pixel]);
    }
}

/// Reads the channels of one row of pixels, the first of which lies at flat index `first` (channel 0), into whole vectors.
#[inline(always)]
unsafe fn copy_row<S: Simd>(
    source: &SourceView,
    first: usize,
    [w, c]: [usize; 2],
    channels: Channels,
    to: *mut f32,
) {
    let pixel = channels.padded::<S>();
    for offset in (0..channels.len).step_by(S::LANES) {
        let (lanes, channel) = (channels.lanes::<S>(offset), channels.first + offset);
        // SAFETY: the row exists, and `to` has room for `w` pixels.
        unsafe {
            let k = source.channel::<S>(channel, lanes);
            for i in 0..w {
                let x = source.read_straight::<S>(first + i * c + channel, lanes, &k);
                S::store(to.add(i * pixel + offset), x);
            }
        }
    }
    // SAFETY: likewise; whole vectors were written.
    unsafe { source.activate_rows::<S>(to, [w, pixel, pixel]) };
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
pub(in crate::cpu) trait RowFinish<S: Simd> {
    /// Takes output `i`; `WHOLE` when all lanes of the vector are channels.
    ///
    /// # Safety
    /// `i` is less than the row's length.
    unsafe fn take<const WHOLE: bool>(&mut self, i: usize, sum: S::V);
}
