//! One row of a depthwise convolution's output, a vector of channels at a time.
//!
//! Above: `cpu::depthwise`. Below: `simd`. Not here: which rows a window meets, threads.
//! Several neighboring outputs are computed at once, so that an input is loaded once for all windows it lies in: with a 3x3
//! window and [`COLUMNS`] outputs, 36 loads for 63 multiply-adds, where one output at a time needs 126. Blocks that reach over
//! a border check each column; the inputs need no padding.

use super::RowFinish;
use crate::cpu::choice::DepthwiseRow;
use crate::cpu::team::SendPtr;
use crate::cpu::trace::{Path, took};
use crate::cpu::unroll::each;
use crate::simd::{Simd, Task};

/// Outputs of a block: the accumulators, and a divisor of the usual 112, 56, 28, 14 and 7.
const COLUMNS: usize = 7;

/// A row of outputs to compute.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Row<'a> {
    /// First pixel, first channel of the input rows under the window's rows; null outside the image.
    pub(in crate::cpu) inputs: &'a [SendPtr<f32>],
    /// Floats from there to the first channel of this vector.
    pub(in crate::cpu) offset: usize,
    /// Weight of the first tap; taps are `tap` apart, rows of taps `taps` taps.
    pub(in crate::cpu) weight: SendPtr<f32>,
    pub(in crate::cpu) tap: usize,
    pub(in crate::cpu) taps: usize,
    /// Floats from one input pixel to the next, and pixels of an input row.
    pub(in crate::cpu) pixel: usize,
    pub(in crate::cpu) w: usize,
    /// The window of output `i` starts at input column `i·stride − left`.
    pub(in crate::cpu) left: usize,
    pub(in crate::cpu) kernel: DepthwiseRow,
    pub(in crate::cpu) stride: usize,
    pub(in crate::cpu) dilation: usize,
    /// Outputs.
    pub(in crate::cpu) len: usize,
    /// Channels of the vector.
    pub(in crate::cpu) lanes: usize,
}

/// A row by blocks, of a window with `TAPS` columns.
struct Blocks<'a, F, const TAPS: usize, const STRIDE: usize> {
    row: &'a Row<'a>,
    finish: &'a mut F,
}

impl<S: Simd, F: RowFinish<S>, const TAPS: usize, const STRIDE: usize> Task<S>
    for Blocks<'_, F, TAPS, STRIDE>
{
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: passed on to the caller.
        unsafe { self.row.blocks::<S, F, TAPS, STRIDE>(self.finish) }
    }
}

/// A row of any window.
struct Columns<'a, F> {
    row: &'a Row<'a>,
    finish: &'a mut F,
}

impl<S: Simd, F: RowFinish<S>> Task<S> for Columns<'_, F> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: passed on to the caller.
        unsafe { self.row.columns::<S, F>(self.finish) }
    }
}

impl Row<'_> {
    /// Hands every output's sum to `finish`.
    ///
    /// # Safety
    /// Inputs, weights and lanes exist.
    #[inline(always)]
    pub(in crate::cpu) unsafe fn run<S: Simd, F: RowFinish<S>>(&self, mut finish: F) -> F {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.kernel {
                DepthwiseRow::Blocked3 => {
                    S::call(Blocks::<F, 3, 1> { row: self, finish: &mut finish });
                }
                DepthwiseRow::Blocked3Stride2 => {
                    S::call(Blocks::<F, 3, 2> { row: self, finish: &mut finish });
                }
                DepthwiseRow::Blocked5 => {
                    S::call(Blocks::<F, 5, 1> { row: self, finish: &mut finish });
                }
                DepthwiseRow::Blocked5Stride2 => {
                    S::call(Blocks::<F, 5, 2> { row: self, finish: &mut finish });
                }
                DepthwiseRow::Single => {
                    S::call(Columns { row: self, finish: &mut finish });
                }
            }
        }
        finish
    }

    /// Any window: one output at a time.
    #[inline(always)]
    unsafe fn columns<S: Simd, F: RowFinish<S>>(&self, finish: &mut F) {
        took(Path::Row(0, 0));
        for i in 0..self.len {
            // SAFETY: columns are checked; the rest is the caller's.
            unsafe {
                let mut sum = S::zero();
                for (u, row) in self.inputs.iter().enumerate().filter(|(_, row)| !row.is_null()) {
                    for v in 0..self.taps {
                        let column = (i * self.stride + v * self.dilation).wrapping_sub(self.left);
                        if column < self.w {
                            let at = row.get().add(column * self.pixel + self.offset);
                            let x = S::load_some(at, self.lanes);
                            let weight = self.weight.get().add((u * self.taps + v) * self.tap);
                            sum = S::fma(x, S::load(weight), sum);
                        }
                    }
                }
                finish.take::<false>(i, sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn blocks<S: Simd, F: RowFinish<S>, const TAPS: usize, const STRIDE: usize>(
        &self,
        f: &mut F,
    ) {
        took(Path::Row(TAPS, STRIDE));
        let reach = (COLUMNS - 1) * STRIDE + TAPS;
        let half = TAPS / 2;
        let mut start = 0;
        while start < self.len {
            // Columns of the block's inputs that lie outside, left and right.
            let left = self.left.saturating_sub(start * STRIDE);
            let right = (start * STRIDE + reach).saturating_sub(self.w + self.left);
            let whole = start + COLUMNS <= self.len && self.lanes == S::LANES;
            // SAFETY: a whole block with that much outside needs no checks; the other kind checks.
            unsafe {
                if !whole {
                    self.checked::<S, F, TAPS, STRIDE>(start, f);
                } else if left == 0 && right == 0 {
                    self.block::<S, F, TAPS, STRIDE, 0, 0>(start, f);
                } else if left == half && right == 0 {
                    self.block::<S, F, TAPS, STRIDE, 1, 0>(start, f);
                } else if left == 0 && right == half {
                    self.block::<S, F, TAPS, STRIDE, 0, 1>(start, f);
                } else if left == half && right == half {
                    self.block::<S, F, TAPS, STRIDE, 1, 1>(start, f);
                } else {
                    self.checked::<S, F, TAPS, STRIDE>(start, f);
                }
            }
            start += COLUMNS;
        }
    }

    #[expect(
        clippy::absurd_extreme_comparisons,
        reason = "the smallest index is a constant like all"
    )]
    /// A whole block, of whose inputs `LEFT` and `RIGHT` times half a window lie outside.
    #[inline(always)]
    unsafe fn block<
        S: Simd,
        F: RowFinish<S>,
        const TAPS: usize,
        const STRIDE: usize,
        const LEFT: usize,
        const RIGHT: usize,
    >(
        &self,
        start: usize,
        finish: &mut F,
    ) {
        // SAFETY: the columns that are read lie inside; the rest is the caller's.
        unsafe {
            let column = (start * STRIDE).wrapping_sub(self.left);
            let first = column.wrapping_mul(self.pixel).wrapping_add(self.offset);
            let mut sums = [S::zero(); COLUMNS];
            let mut weight = self.weight.get();
            for row in self.inputs {
                if row.is_null() {
                    weight = weight.add(TAPS * self.tap);
                    continue;
                }
                let mut weights = [S::zero(); TAPS];
                each!(V < 5 max TAPS, {
                    weights[V] = S::load(weight);
                    weight = weight.add(self.tap);
                });
                let mut from = row.get().wrapping_add(first);
                each!(J < 17 max (COLUMNS - 1) * STRIDE + TAPS - RIGHT * (TAPS / 2), {
                    if J >= LEFT * (TAPS / 2) {
                        let x = S::load(from);
                        each!(V < 5 max TAPS, {
                            let ahead = J.wrapping_sub(V);
                            if ahead < COLUMNS * STRIDE && ahead.is_multiple_of(STRIDE) {
                                let i = ahead / STRIDE;
                                sums[i] = S::fma(x, weights[V], sums[i]);
                            }
                        });
                    }
                    from = from.wrapping_add(self.pixel);
                });
            }
            each!(I < 7 max COLUMNS, finish.take::<true>(start + I, sums[I]));
        }
    }

    /// A block at a border, at the end of a row, or of part of a vector.
    #[inline(always)]
    unsafe fn checked<S: Simd, F: RowFinish<S>, const TAPS: usize, const STRIDE: usize>(
        &self,
        start: usize,
        finish: &mut F,
    ) {
        // SAFETY: columns are checked; the rest is the caller's.
        unsafe {
            let column = (start * STRIDE).wrapping_sub(self.left);
            let first = column.wrapping_mul(self.pixel).wrapping_add(self.offset);
            let mut sums = [S::zero(); COLUMNS];
            let mut weight = self.weight.get();
            for row in self.inputs {
                if row.is_null() {
                    weight = weight.add(TAPS * self.tap);
                    continue;
                }
                let mut weights = [S::zero(); TAPS];
                each!(V < 5 max TAPS, {
                    weights[V] = S::load(weight);
                    weight = weight.add(self.tap);
                });
                let mut from = row.get().wrapping_add(first);
                each!(J < 17 max (COLUMNS - 1) * STRIDE + TAPS, {
                    if column.wrapping_add(J) < self.w {
                        let x = S::load_some(from, self.lanes);
                        each!(V < 5 max TAPS, {
                            let ahead = J.wrapping_sub(V);
                            if ahead < COLUMNS * STRIDE && ahead.is_multiple_of(STRIDE) {
                                let i = ahead / STRIDE;
                                sums[i] = S::fma(x, weights[V], sums[i]);
                            }
                        });
                    }
                    from = from.wrapping_add(self.pixel);
                });
            }
            each!(I < 7 max COLUMNS, {
                if start + I < self.len {
                    finish.take::<false>(start + I, sums[I]);
                }
            });
        }
    }
}
