//! What happens to finished tiles: added up, written with an epilogue, masked and counted.
//!
//! Above: `cpu::matrix`. Below: `simd`, `cpu::views`. Not here: products (`cpu::gemm`).

use super::{Finish, lanes_of};
use crate::Activation;
use crate::cpu::curves;
use crate::cpu::team::{SendMutPtr, SendPtr};
use crate::cpu::unroll::each;
use crate::cpu::views::SinkView;
use crate::simd::Simd;

/// `C += tile`, rows `stride` apart, whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct Accumulate {
    pub(crate) c: SendMutPtr<f32>,
    pub(crate) stride: usize,
}

impl Finish for Accumulate {
    #[inline(always)]
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        _last: usize,
    ) {
        // SAFETY: `C` has whole vectors in every row.
        unsafe {
            let c = self.c.get().add(row * self.stride + col);
            each!(R < MR, {
                each!(V < 4 max NV, {
                    let c = c.add(R * self.stride + V * S::LANES);
                    S::store(c, S::add(S::load(c), tile[R][V]));
                });
            });
        }
    }
}

/// `C += tile`, rows `stride` apart, no column behind the last.
#[derive(Clone, Copy)]
pub(crate) struct AccumulateSome {
    pub(crate) c: SendMutPtr<f32>,
    pub(crate) stride: usize,
}

impl Finish for AccumulateSome {
    #[inline(always)]
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        last: usize,
    ) {
        // SAFETY: rows and columns within `C`.
        unsafe {
            let c = self.c.get().add(row * self.stride + col);
            each!(R < MR, {
                each!(V < 4 max NV, {
                    let lanes = lanes_of::<S, NV>(V, last);
                    let c = c.add(R * self.stride + V * S::LANES);
                    S::store_some(c, S::add(S::load_some(c, lanes), tile[R][V]), lanes);
                });
            });
        }
    }
}

/// `C = tile`, rows `stride` apart, whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct Overwrite {
    pub(crate) c: SendMutPtr<f32>,
    pub(crate) stride: usize,
}

impl Finish for Overwrite {
    #[inline(always)]
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        _last: usize,
    ) {
        // SAFETY: `C` has whole vectors in every row.
        unsafe {
            let c = self.c.get().add(row * self.stride + col);
            each!(R < MR, {
                each!(V < 4 max NV, S::store(c.add(R * self.stride + V * S::LANES), tile[R][V]));
            });
        }
    }
}

/// A convolution's output: `activation(tile + bias + residual)`, and sums of the bare tile.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    /// Where row 0, column 0 goes, and how far rows are apart.
    pub(crate) y: SendMutPtr<f32>,
    pub(crate) stride: usize,
    /// At column 0; null when absent.
    pub(crate) bias: SendPtr<f32>,
    /// Laid out as `y`; null when absent.
    pub(crate) residual: SendPtr<f32>,
    pub(crate) low: f32,
    pub(crate) high: f32,
    pub(crate) activation: Activation,
    /// This part's `Σ y` and, `sums_stride` behind, `Σ y²` by column, whole vectors; null when not asked for.
    pub(crate) sums: SendMutPtr<f32>,
    pub(crate) sums_stride: usize,
}

impl Finish for Output {
    #[inline(always)]
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        last: usize,
    ) {
        // SAFETY: rows and columns within the output; per-channel arrays reach as far as the columns; sums are this part's.
        unsafe {
            if self.residual.is_null() {
                self.write::<S, MR, NV, false>(tile, row, col, last);
            } else {
                self.write::<S, MR, NV, true>(tile, row, col, last);
            }
        }
    }

    /// Curved activations go over what was just written.
    #[inline(always)]
    unsafe fn after<S: Simd>(self, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) {
        // SAFETY: rows and columns within the output.
        unsafe {
            let first = self.y.get().add(rows.start * self.stride + cols.start);
            let size = [rows.len(), self.stride, cols.len()];
            curves::apply_rows::<S>(self.activation, first, size);
        }
    }
}

impl Output {
    /// # Safety
    /// As [`Finish::take`]; `RESIDUAL` only when there is one.
    #[inline(always)]
    unsafe fn write<S: Simd, const MR: usize, const NV: usize, const RESIDUAL: bool>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        last: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let (low, high) = (S::splat(self.low), S::splat(self.high));
            let start = row * self.stride + col;
            let (y, residual) = (self.y.get().add(start), self.residual.get().wrapping_add(start));
            each!(V < 4 max NV, {
                let (lanes, c) = (lanes_of::<S, NV>(V, last), V * S::LANES);
                let bias = if self.bias.is_null() {
                    S::zero()
                } else {
                    S::load_some(self.bias.get().add(col + c), lanes)
                };
                let (mut sum, mut squares) = (S::zero(), S::zero());
                each!(R < MR, {
                    let at = R * self.stride + c;
                    let mut out = S::add(tile[R][V], bias);
                    if RESIDUAL {
                        out = S::add(out, S::load_some(residual.add(at), lanes));
                    }
                    out = S::clamp(out, low, high);
                    S::store_some(y.add(at), out, lanes);
                    sum = S::add(sum, out);
                    squares = S::fma(out, out, squares);
                });
                if !self.sums.get().is_null() {
                    let sums = self.sums.get().add(col + c);
                    S::store(sums, S::add(S::load(sums), sum));
                    let sums = sums.add(self.sums_stride);
                    S::store(sums, S::add(S::load(sums), squares));
                }
            });
        }
    }
}

/// A gradient on its way into a [`SinkView`], and this part's sums of it.
#[derive(Clone, Copy)]
pub(crate) struct IntoSink {
    pub(crate) sink: SinkView,
    /// The sink's row of this product's row 0, and the sink's channels.
    pub(crate) first_row: usize,
    pub(crate) c: usize,
    /// As [`Output::sums`]: `Σ dz` and `Σ dz·(y − mean)`.
    pub(crate) sums: SendMutPtr<f32>,
    pub(crate) sums_stride: usize,
}

impl Finish for IntoSink {
    #[inline(always)]
    unsafe fn take<S: Simd, const MR: usize, const NV: usize>(
        self,
        tile: [[S::V; NV]; MR],
        row: usize,
        col: usize,
        last: usize,
    ) {
        // A copy that may be indexed: see the card.
        let mut rows = [[tile[0][0]; NV]; MR];
        each!(R < MR, {
            each!(V < 4 max NV, rows[R][V] = tile[R][V]);
        });
        // SAFETY: rows and columns within the sink; sums are this part's.
        unsafe {
            for v in 0..NV {
                let lanes = lanes_of::<S, NV>(v, last);
                let c = col + v * S::LANES;
                let k = self.sink.channel::<S>(c, lanes);
                let (mut sum, mut dot) = (S::zero(), S::zero());
                for r in 0..MR {
                    let at = (self.first_row + row + r) * self.c + c;
                    self.sink.put::<S>(at, lanes, rows[r][v], &k, [&mut sum, &mut dot]);
                }
                self.count::<S>(c, [sum, dot]);
            }
        }
    }

    #[inline(always)]
    unsafe fn after<S: Simd>(self, rows: std::ops::Range<usize>, cols: std::ops::Range<usize>) {
        if !self.sink.is_curved() {
            return;
        }
        for c in cols.clone().step_by(S::LANES) {
            let lanes = S::LANES.min(cols.end - c);
            // SAFETY: rows and columns within the sink; sums are this part's.
            unsafe {
                let k = self.sink.channel::<S>(c, lanes);
                let (mut sum, mut dot) = (S::zero(), S::zero());
                let places = [(self.first_row + rows.start) * self.c + c, self.c, rows.len()];
                self.sink.multiply_derivative::<S>(places, lanes, &k, [&mut sum, &mut dot]);
                self.count::<S>(c, [sum, dot]);
            }
        }
    }
}

impl IntoSink {
    #[inline(always)]
    unsafe fn count<S: Simd>(&self, c: usize, [sum, dot]: [S::V; 2]) {
        if self.sink.tallies() {
            // SAFETY: sums are this part's, and reach as far as the columns.
            unsafe {
                let sums = self.sums.get().add(c);
                S::store(sums, S::add(S::load(sums), sum));
                let sums = sums.add(self.sums_stride);
                S::store(sums, S::add(S::load(sums), dot));
            }
        }
    }
}
