//! Finished gradients on their way through a sink, row by row: additions, gates, pooling, scattered convolutions.
//!
//! Above: `cpu::{device, matrix}`. Below: `simd`, `cpu::views`. Not here: gradients that come out of a product (`cpu::gemm`).

use super::team::{SendMutPtr, SendPtr};
use super::views::{SinkView, SourceView};
use crate::simd::{Kernel, Simd};

/// What of a gradient's row reaches a row of the sink.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    /// The gradient's row of the sink's row `r` is `r / repeat`.
    pub(crate) repeat: usize,
    pub(crate) scale: f32,
    /// Factors by channel, one row of them for so many rows of the sink.
    pub(crate) gate: Option<(SourceView, usize)>,
}

impl Share {
    pub(crate) const ALL: Self = Self { repeat: 1, scale: 1.0, gate: None };
}

/// Writes finished gradients through a sink, row by row: additions, pooling, scattered convolutions.
#[derive(Clone, Copy)]
pub(crate) struct PassRows {
    pub(crate) gradient: SendPtr<f32>,
    pub(crate) share: Share,
    pub(crate) sink: SinkView,
    pub(crate) c: usize,
    pub(crate) rows: [usize; 2],
    /// `2·c` totals of this part; null when there is no tally.
    pub(crate) totals: SendMutPtr<f64>,
}

/// Rows whose sums stay in `f32` before they join the totals.
const SUM_ROWS: usize = 128;

impl Kernel for PassRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut row = self.rows[0];
        while row < self.rows[1] {
            let end = (row + SUM_ROWS).min(self.rows[1]);
            for c in (0..self.c).step_by(S::LANES) {
                // SAFETY: rows and channels exist in gradient and sink; totals belong to this part.
                unsafe { self.vector::<S>(row..end, c) };
            }
            row = end;
        }
    }
}

impl PassRows {
    #[inline(always)]
    unsafe fn vector<S: Simd>(&self, rows: std::ops::Range<usize>, c: usize) {
        let lanes = S::LANES.min(self.c - c);
        // SAFETY: the caller's promise.
        unsafe {
            let k = self.sink.channel::<S>(c, lanes);
            let scale = S::splat(self.share.scale);
            let gate = self.share.gate.map(|(g, every)| (g, every, g.channel::<S>(c, lanes)));
            let (mut sum, mut dot) = (S::zero(), S::zero());
            let (mut gate_row, mut factor) = (usize::MAX, S::zero());
            let step = self.sink.strip(rows.len());
            for first in rows.clone().step_by(step) {
                let strip = first..(first + step).min(rows.end);
                let places = [first * self.c + c, self.c, strip.len()];
                for r in strip {
                    let from = r / self.share.repeat * self.c + c;
                    let mut g = S::mul(S::load_some(self.gradient.get().add(from), lanes), scale);
                    if let Some((gate, every, k)) = &gate {
                        if gate_row != r / every {
                            gate_row = r / every;
                            factor = gate.read::<S>(gate_row * self.c + c, lanes, k);
                        }
                        g = S::mul(g, factor);
                    }
                    self.sink.put::<S>(r * self.c + c, lanes, g, &k, [&mut sum, &mut dot]);
                }
                self.sink.multiply_derivative::<S>(places, lanes, &k, [&mut sum, &mut dot]);
            }
            if self.sink.tallies() {
                add_lanes::<S>(sum, lanes, self.totals.get().add(c));
                add_lanes::<S>(dot, lanes, self.totals.get().add(self.c + c));
            }
        }
    }
}

/// Adds the first `lanes` of `v` to doubles.
#[inline(always)]
pub(crate) unsafe fn add_lanes<S: Simd>(v: S::V, lanes: usize, to: *mut f64) {
    let mut values = [0.0f32; 16];
    // SAFETY: sixteen lanes at most; `to` has room for `lanes`.
    unsafe {
        S::store(values.as_mut_ptr(), v);
        for i in 0..lanes {
            *to.add(i) += f64::from(values[i]);
        }
    }
}
