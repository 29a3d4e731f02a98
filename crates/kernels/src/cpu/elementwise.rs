//! Operations that touch every value once: sums, gates, means over positions.
//!
//! Above: `cpu`. Below: `cpu::{views, team}`. Not here: writing gradients through sinks (`cpu::pack`).
//! A task walks over some rows and all channels, a vector of channels at a time within a block of rows: constants stay in
//! registers, and memory is read in order.

use super::curves;
use super::team::SendMutPtr;
use super::views::{STRIP, SourceView};
use crate::Activation;
use crate::simd::{Kernel, Simd};

/// Rows of a block.
const ROWS: usize = STRIP;

/// Calls `$body` for every block of `$rows` (a range of rows) and every vector of channels `$c ..` with `$lanes` lanes.
macro_rules! blocks {
    ($all:expr, $channels:expr, |$rows:ident, $c:ident, $lanes:ident| $body:block) => {
        let mut start = $all.start;
        while start < $all.end {
            let $rows = start..(start + ROWS).min($all.end);
            let mut $c = 0;
            while $c < $channels {
                let $lanes = S::LANES.min($channels - $c);
                $body
                $c += S::LANES;
            }
            start += ROWS;
        }
    };
}

/// `to = activation(a + b)`.
pub(super) struct AddRows {
    pub(super) a: SourceView,
    pub(super) b: SourceView,
    /// Of the activation.
    pub(super) bounds: [f32; 2],
    pub(super) activation: Activation,
    pub(super) to: SendMutPtr<f32>,
    pub(super) c: usize,
    pub(super) rows: std::ops::Range<usize>,
}

impl Kernel for AddRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        blocks!(self.rows, self.c, |rows, c, lanes| {
            // SAFETY: rows and channels exist in all three.
            unsafe {
                let (low, high) = (S::splat(self.bounds[0]), S::splat(self.bounds[1]));
                let (ka, kb) = (self.a.channel::<S>(c, lanes), self.b.channel::<S>(c, lanes));
                if self.a.is_curved() || self.b.is_curved() {
                    for row in rows.clone() {
                        let at = row * self.c + c;
                        let a = self.a.read::<S>(at, lanes, &ka);
                        let sum = S::add(a, self.b.read::<S>(at, lanes, &kb));
                        S::store_some(self.to.get().add(at), S::clamp(sum, low, high), lanes);
                    }
                } else {
                    for row in rows.clone() {
                        let at = row * self.c + c;
                        let a = self.a.read_straight::<S>(at, lanes, &ka);
                        let sum = S::add(a, self.b.read_straight::<S>(at, lanes, &kb));
                        S::store_some(self.to.get().add(at), S::clamp(sum, low, high), lanes);
                    }
                }
                let first = self.to.get().add(rows.start * self.c + c);
                curves::apply_rows::<S>(self.activation, first, [rows.len(), self.c, lanes]);
            }
        });
    }
}

/// `to = xs`.
pub(super) struct CopyRows {
    pub(super) xs: SourceView,
    pub(super) to: SendMutPtr<f32>,
    pub(super) c: usize,
    pub(super) rows: std::ops::Range<usize>,
}

impl Kernel for CopyRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        blocks!(self.rows, self.c, |rows, c, lanes| {
            // SAFETY: rows and channels exist in both.
            unsafe {
                let k = self.xs.channel::<S>(c, lanes);
                for row in rows.clone() {
                    let at = row * self.c + c;
                    let x = self.xs.read_straight::<S>(at, lanes, &k);
                    S::store_some(self.to.get().add(at), x, lanes);
                }
                let first = self.to.get().add(rows.start * self.c + c);
                self.xs.activate_rows::<S>(first, [rows.len(), self.c, lanes]);
            }
        });
    }
}

/// `to = xs·gate`, one row of the gate for `positions` rows.
pub(super) struct MulRows {
    pub(super) xs: SourceView,
    pub(super) gate: SourceView,
    pub(super) to: SendMutPtr<f32>,
    pub(super) positions: usize,
    pub(super) c: usize,
    pub(super) rows: std::ops::Range<usize>,
}

impl Kernel for MulRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        blocks!(self.rows, self.c, |rows, c, lanes| {
            // SAFETY: rows and channels exist in all three.
            unsafe {
                let (kx, kg) = (self.xs.channel::<S>(c, lanes), self.gate.channel::<S>(c, lanes));
                let (mut image, mut gate) = (usize::MAX, S::zero());
                if self.xs.is_curved() {
                    for row in rows.clone() {
                        let at = row * self.c + c;
                        let x = self.xs.read_straight::<S>(at, lanes, &kx);
                        S::store_some(self.to.get().add(at), x, lanes);
                    }
                    let first = self.to.get().add(rows.start * self.c + c);
                    self.xs.activate_rows::<S>(first, [rows.len(), self.c, lanes]);
                }
                for row in rows.clone() {
                    if image != row / self.positions {
                        image = row / self.positions;
                        gate = self.gate.read::<S>(image * self.c + c, lanes, &kg);
                    }
                    let at = row * self.c + c;
                    let x = if self.xs.is_curved() {
                        S::load_some(self.to.get().add(at), lanes)
                    } else {
                        self.xs.read_straight::<S>(at, lanes, &kx)
                    };
                    S::store_some(self.to.get().add(at), S::mul(x, gate), lanes);
                }
            }
        });
    }
}

/// `to[image, c] = scale · Σ_positions xs·with`, for some channels of some images; without `with`, of `xs` alone.
pub(super) struct SumPositions {
    pub(super) xs: SourceView,
    /// A plain tensor like `xs`.
    pub(super) with: Option<SourceView>,
    pub(super) scale: f32,
    pub(super) to: SendMutPtr<f32>,
    pub(super) positions: usize,
    pub(super) c: usize,
    pub(super) image: usize,
    pub(super) channels: std::ops::Range<usize>,
}

/// Sums under way at once, so that one need not wait for another.
const CHAINS: usize = 4;

impl Kernel for SumPositions {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut c = self.channels.start;
        while c < self.channels.end {
            let lanes = S::LANES.min(self.channels.end - c);
            // SAFETY: positions and channels exist.
            unsafe {
                let k = self.xs.channel::<S>(c, lanes);
                let mut sums = [S::zero(); CHAINS];
                if self.xs.is_curved() {
                    let mut strip = [S::zero(); STRIP];
                    for first in (0..self.positions).step_by(STRIP) {
                        let positions = first..(first + STRIP).min(self.positions);
                        for (p, x) in positions.clone().zip(&mut strip) {
                            *x = self.xs.read_straight::<S>(self.place(p, c), lanes, &k);
                        }
                        let size = [positions.len(), S::LANES, S::LANES];
                        self.xs.activate_rows::<S>(strip.as_mut_ptr().cast(), size);
                        self.add::<S>(positions, [c, lanes], &mut sums, |p| strip[p - first]);
                    }
                } else {
                    self.add::<S>(0..self.positions, [c, lanes], &mut sums, |p| {
                        self.xs.read_straight::<S>(self.place(p, c), lanes, &k)
                    });
                }
                let sum = S::add(S::add(sums[0], sums[1]), S::add(sums[2], sums[3]));
                let sum = S::mul(sum, S::splat(self.scale));
                S::store_some(self.to.get().add(self.image * self.c + c), sum, lanes);
            }
            c += S::LANES;
        }
    }
}

impl SumPositions {
    /// Where channel `c` of a position lies.
    #[inline(always)]
    fn place(&self, p: usize, c: usize) -> usize {
        (self.image * self.positions + p) * self.c + c
    }

    /// Adds what some positions have in some channels.
    #[inline(always)]
    unsafe fn add<S: Simd>(
        &self,
        positions: std::ops::Range<usize>,
        [c, lanes]: [usize; 2],
        sums: &mut [S::V; CHAINS],
        read: impl Fn(usize) -> S::V,
    ) {
        // SAFETY: `with` has the positions and channels of `xs`; the rest needs nothing but the instruction set that runs this.
        let value = |p: usize| unsafe {
            match self.with {
                Some(with) => {
                    S::mul(read(p), S::load_some(with.data.get().add(self.place(p, c)), lanes))
                }
                None => read(p),
            }
        };
        let whole = positions.len() / CHAINS * CHAINS;
        for p in positions.clone().take(whole).step_by(CHAINS) {
            for (chain, sum) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                *sum = unsafe { S::add(*sum, value(p + chain)) };
            }
        }
        for (p, sum) in positions.skip(whole).zip(sums) {
            // SAFETY: as above.
            *sum = unsafe { S::add(*sum, value(p)) };
        }
    }
}
