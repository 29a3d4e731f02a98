//! Transposed depthwise convolution with a stride: every output gathers the taps that meet it.
//!
//! Above: `matrix::scatter`. Below: `cpu::taps`, `simd`. Not here: strides of 1, which are a forward pass with the filters flipped (`cpu::matrix`).
//! Output columns `phase`, `phase + stride`, … meet the same columns of the window, so that a row is computed by phases. Those whose
//! taps all lie inside need no checks.

use std::ops::Range;

use super::{RowFinish, pack_weight};
use crate::ConvShape;
use crate::cpu::Cpu;
use crate::cpu::taps::{Tap, sum_taps};
use crate::cpu::team::{SendMutPtr, SendPtr};
use crate::simd::{Kernel, Simd};

/// See [`crate::Device::conv_transpose`].
pub(in crate::cpu) fn transpose(
    cpu: &mut Cpu,
    s: &ConvShape,
    xs: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) {
    let lanes = cpu.isa.lanes();
    let padded = s.c.next_multiple_of(lanes);
    let mut packed = cpu.take_packed();
    packed.data.reserve((s.kernel[0] * s.kernel[1]).saturating_mul(padded));
    pack_weight(s, lanes, weight, &mut packed.data);
    let (xs, weight) = (SendPtr(xs.as_ptr()), SendPtr(packed.data.as_ptr()));
    let (bias, y) = (SendPtr::maybe(bias), SendMutPtr(y.as_mut_ptr()));
    cpu.for_parts(s.n * s.h, |isa, rows, _| {
        for row in rows {
            let job = RowTask { s, xs, weight, padded, bias, y, row };
            // SAFETY: `isa` is one of this machine; parts have rows of their own, within the slices that `Cpu` checked.
            unsafe { isa.run(job) };
        }
    });
    cpu.packed = packed;
}

struct RowTask<'a> {
    s: &'a ConvShape,
    xs: SendPtr<f32>,
    /// Taps of whole vectors of channels, `padded` apart.
    weight: SendPtr<f32>,
    padded: usize,
    /// Null when absent.
    bias: SendPtr<f32>,
    y: SendMutPtr<f32>,
    /// Of `y`, over all images.
    row: usize,
}

/// Where a tap reads: a row of `x`, and how many columns ahead of the output's place in its phase.
#[derive(Clone, Copy)]
struct Reading {
    tap: usize,
    row: usize,
    ahead: isize,
}

impl Kernel for RowTask<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let s = self.s;
        let most = s.kernel[0] * s.kernel[1];
        let (mut readings, mut taps) = (Vec::with_capacity(most), Vec::with_capacity(most));
        for phase in 0..s.stride[1].min(s.w) {
            self.find_readings(phase, &mut readings);
            let len = (s.w - phase).div_ceil(s.stride[1]);
            let inside = self.inside(len, &readings);
            for c in (0..s.c).step_by(S::LANES) {
                // A vector that channels do not fill is read with care.
                let inside = if c + S::LANES <= s.c { inside.clone() } else { 0..0 };
                // SAFETY: the row exists, and has these channels.
                unsafe {
                    self.checked::<S>(phase, c, 0..inside.start, &readings);
                    self.unchecked::<S>(phase, c, inside.clone(), &readings, &mut taps);
                    self.checked::<S>(phase, c, inside.end..len, &readings);
                }
            }
        }
    }
}

impl RowTask<'_> {
    /// The taps that meet columns `phase`, `phase + stride`, … of the row.
    fn find_readings(&self, phase: usize, readings: &mut Vec<Reading>) {
        let s = self.s;
        let (n, ph) = (self.row / s.h, self.row % s.h + s.top);
        readings.clear();
        for u in 0..s.kernel[0] {
            let Some(up) = ph.checked_sub(u * s.dilation[0]) else { continue };
            let oh = up / s.stride[0];
            if !up.is_multiple_of(s.stride[0]) || oh >= s.oh {
                continue;
            }
            for v in 0..s.kernel[1] {
                let from = (phase + s.left).cast_signed() - (v * s.dilation[1]).cast_signed();
                let stride = s.stride[1].cast_signed();
                if from % stride == 0 {
                    let (tap, row) = (u * s.kernel[1] + v, n * s.oh + oh);
                    readings.push(Reading { tap, row, ahead: from / stride });
                }
            }
        }
    }

    /// The columns of a phase, of `len`, whose taps all lie inside; empty ones begin and end at 0.
    fn inside(&self, len: usize, readings: &[Reading]) -> Range<usize> {
        let (mut start, mut end) = (0, len.cast_signed());
        for reading in readings {
            start = start.max(-reading.ahead);
            end = end.min(self.s.ow.cast_signed() - reading.ahead);
        }
        if readings.is_empty() || start >= end {
            return 0..0;
        }
        start.cast_unsigned()..end.cast_unsigned()
    }

    /// Where column `i` of a phase goes, from channel `c` on.
    #[inline(always)]
    unsafe fn output(&self, phase: usize, c: usize, i: usize) -> *mut f32 {
        let column = self.row * self.s.w + phase + i * self.s.stride[1];
        // SAFETY: the column and the channel exist.
        unsafe { self.y.get().add(column * self.s.c + c) }
    }

    #[inline(always)]
    unsafe fn bias<S: Simd>(&self, c: usize, lanes: usize) -> S::V {
        // SAFETY: biases reach as far as the channels.
        unsafe {
            if self.bias.is_null() {
                S::zero()
            } else {
                S::load_some(self.bias.get().add(c), lanes)
            }
        }
    }

    /// Writes whole vectors of channels of columns whose taps all lie inside.
    #[inline(always)]
    unsafe fn unchecked<S: Simd>(
        &self,
        phase: usize,
        c: usize,
        columns: Range<usize>,
        readings: &[Reading],
        taps: &mut Vec<Tap>,
    ) {
        if columns.is_empty() {
            return;
        }
        let s = self.s;
        taps.clear();
        // SAFETY: taps, columns and channels exist, and the row is this task's.
        unsafe {
            for &Reading { tap, row, ahead } in readings {
                let first = row * s.ow + columns.start.wrapping_add_signed(ahead);
                taps.push(Tap {
                    data: self.xs.get().add(first * s.c + c),
                    weight: self.weight.get().add(tap * self.padded + c),
                });
            }
            let (y, bias) = (self.output(phase, c, columns.start), self.bias::<S>(c, S::LANES));
            let finish = BiasFinish::<S> { y, pixel: s.stride[1] * s.c, bias };
            sum_taps::<S, _>(taps, s.c, columns.len(), finish);
        }
    }

    /// Writes the vector of channels from `c` on of any columns of a phase.
    #[inline(always)]
    unsafe fn checked<S: Simd>(
        &self,
        phase: usize,
        c: usize,
        columns: Range<usize>,
        readings: &[Reading],
    ) {
        let s = self.s;
        let lanes = S::LANES.min(s.c - c);
        // SAFETY: columns of `x` are checked; taps and channels exist, and the row is this task's.
        unsafe {
            let bias = self.bias::<S>(c, lanes);
            for i in columns {
                let mut sum = bias;
                for &Reading { tap, row, ahead } in readings {
                    let ow = i.wrapping_add_signed(ahead);
                    if ow < s.ow {
                        let x = self.xs.get().add((row * s.ow + ow) * s.c + c);
                        let weight = S::load(self.weight.get().add(tap * self.padded + c));
                        sum = S::fma(S::load_some(x, lanes), weight, sum);
                    }
                }
                S::store_some(self.output(phase, c, i), sum, lanes);
            }
        }
    }
}

/// Sums plus a bias, `pixel` apart.
struct BiasFinish<S: Simd> {
    y: *mut f32,
    pixel: usize,
    bias: S::V,
}

impl<S: Simd> RowFinish<S> for BiasFinish<S> {
    #[inline(always)]
    unsafe fn take<const WHOLE: bool>(&mut self, i: usize, sum: S::V) {
        // SAFETY: the columns are the task's.
        unsafe { S::store(self.y.add(i * self.pixel), S::add(sum, self.bias)) };
    }
}
