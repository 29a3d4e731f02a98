//! Normalization within a picture, forward and backward, and PReLU.
//!
//! Above: `cpu::device`. Below: `cpu::{views, pass}`, `simd`. Not here: batch norm (`cpu::views` reads through it).
//! A task is one group of one picture: mean and variance in two passes over what is then in cache. Twins: `reference::around`.

use super::pass::add_lanes;
use super::team::{SendMutPtr, SendPtr};
use super::views::SourceView;
use crate::NormShape;
use crate::simd::{Kernel, Simd};

/// Vectors whose sums stay in `f32` before they join the total.
const SUM_VECTORS: usize = 64;

/// What both passes read.
#[derive(Clone, Copy)]
pub(super) struct Groups {
    pub(super) shape: NormShape,
    pub(super) eps: f64,
    pub(super) xs: SourceView,
    pub(super) scale: SendPtr<f32>,
}

/// Forward: writes `y` for some of the `n · groups` groups.
pub(super) struct Normalize {
    pub(super) groups: Groups,
    pub(super) shift: SendPtr<f32>,
    pub(super) y: SendMutPtr<f32>,
    pub(super) tasks: std::ops::Range<usize>,
}

/// Backward: writes `dx`, and adds to this part's `2 · c` totals of the gradients of scale and shift.
pub(super) struct Differentiate {
    pub(super) groups: Groups,
    pub(super) gradient: SendPtr<f32>,
    pub(super) dx: SendMutPtr<f32>,
    pub(super) totals: SendMutPtr<f64>,
    pub(super) tasks: std::ops::Range<usize>,
}

/// A sum of vectors, in double precision from time to time.
struct Sum<S: Simd> {
    vector: S::V,
    vectors: usize,
    lanes: [f64; 16],
}

impl<S: Simd> Sum<S> {
    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: a constant.
        Self { vector: unsafe { S::zero() }, vectors: 0, lanes: [0.0; 16] }
    }

    /// Adds the first `lanes` of `v`: what lies behind them may be anything.
    #[inline(always)]
    unsafe fn add(&mut self, v: S::V, lanes: usize) {
        // SAFETY: sixteen lanes at most.
        unsafe {
            if lanes < S::LANES {
                return add_lanes::<S>(v, lanes, self.lanes.as_mut_ptr());
            }
            self.vector = S::add(self.vector, v);
            self.vectors += 1;
            if self.vectors == SUM_VECTORS {
                self.flush();
            }
        }
    }

    #[inline(always)]
    unsafe fn flush(&mut self) {
        // SAFETY: sixteen lanes at most.
        unsafe {
            add_lanes::<S>(self.vector, S::LANES, self.lanes.as_mut_ptr());
            self.vector = S::zero();
            self.vectors = 0;
        }
    }

    #[inline(always)]
    unsafe fn total(mut self) -> f64 {
        // SAFETY: as `flush`.
        unsafe { self.flush() };
        self.lanes.iter().sum()
    }
}

impl Groups {
    /// Calls `each(flat index, channel, lanes, value)` for every vector of a group.
    #[inline(always)]
    unsafe fn each<S: Simd>(&self, task: usize, mut each: impl FnMut(usize, usize, usize, S::V)) {
        let s = &self.shape;
        let (image, group, width) = (task / s.groups, task % s.groups, s.c / s.groups);
        let end = (group + 1) * width;
        for p in 0..s.positions {
            let row = (image * s.positions + p) * s.c;
            for c in (group * width..end).step_by(S::LANES) {
                let lanes = S::LANES.min(end - c);
                // SAFETY: positions and channels exist.
                let x = unsafe {
                    let k = self.xs.channel::<S>(c, lanes);
                    self.xs.read_straight::<S>(row + c, lanes, &k)
                };
                each(row + c, c, lanes, x);
            }
        }
    }

    /// Mean and `1 / √(variance + eps)` of a group.
    #[inline(always)]
    unsafe fn statistics<S: Simd>(&self, task: usize) -> [S::V; 2] {
        let count = self.shape.count() as f64;
        // SAFETY: the group exists.
        unsafe {
            let mut sum = Sum::<S>::new();
            self.each::<S>(task, |_, _, lanes, x| sum.add(x, lanes));
            let mean = sum.total() / count;
            let center = S::splat(mean as f32);
            let mut squares = Sum::<S>::new();
            self.each::<S>(task, |_, _, lanes, x| {
                let d = S::sub(x, center);
                squares.add(S::mul(d, d), lanes);
            });
            // What rounding the mean to single precision added.
            let off = mean - f64::from(mean as f32);
            let var = (squares.total() / count - off * off).max(0.0);
            [center, S::splat((1.0 / (var + self.eps).sqrt()) as f32)]
        }
    }
}

impl Kernel for Normalize {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for task in self.tasks.clone() {
            // SAFETY: groups exist; parts write groups of their own.
            unsafe {
                let [mean, inverse] = self.groups.statistics::<S>(task);
                self.groups.each::<S>(task, |at, c, lanes, x| {
                    let scale = S::load_some(self.groups.scale.get().add(c), lanes);
                    let shift = S::load_some(self.shift.get().add(c), lanes);
                    let normed = S::mul(S::sub(x, mean), inverse);
                    S::store_some(self.y.get().add(at), S::fma(normed, scale, shift), lanes);
                });
            }
        }
    }
}

impl Kernel for Differentiate {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let count = self.groups.shape.count() as f64;
        for task in self.tasks.clone() {
            // SAFETY: groups exist; parts write groups and totals of their own.
            unsafe {
                let [mean, inverse] = self.groups.statistics::<S>(task);
                let (mut sum, mut dot) = (Sum::<S>::new(), Sum::<S>::new());
                self.groups.each::<S>(task, |at, c, lanes, x| {
                    let g = S::load_some(self.gradient.get().add(at), lanes);
                    let normed = S::mul(S::sub(x, mean), inverse);
                    let through = S::mul(g, S::load_some(self.groups.scale.get().add(c), lanes));
                    sum.add(through, lanes);
                    dot.add(S::mul(through, normed), lanes);
                    let totals = self.totals.get().add(c);
                    add_lanes::<S>(S::mul(g, normed), lanes, totals);
                    add_lanes::<S>(g, lanes, totals.add(self.groups.shape.c));
                });
                let sum = S::splat((sum.total() / count) as f32);
                let dot = S::splat((-dot.total() / count) as f32);
                self.groups.each::<S>(task, |at, c, lanes, x| {
                    let g = S::load_some(self.gradient.get().add(at), lanes);
                    let normed = S::mul(S::sub(x, mean), inverse);
                    let through = S::mul(g, S::load_some(self.groups.scale.get().add(c), lanes));
                    let d = S::mul(S::fma(normed, dot, S::sub(through, sum)), inverse);
                    S::store_some(self.dx.get().add(at), d, lanes);
                });
            }
        }
    }
}

/// Rows of PReLU's forward or backward pass.
pub(super) struct PreluRows {
    pub(super) xs: SourceView,
    pub(super) slope: SendPtr<f32>,
    /// Whether there is one slope for all channels.
    pub(super) shared: bool,
    /// Null in the forward pass.
    pub(super) gradient: SendPtr<f32>,
    /// `y`, or `dx`.
    pub(super) to: SendMutPtr<f32>,
    pub(super) c: usize,
    pub(super) rows: std::ops::Range<usize>,
    /// This part's `c` totals of the gradient of the slopes.
    pub(super) totals: SendMutPtr<f64>,
}

/// Rows whose sums stay in `f32`: few, since one slope may belong to all channels, whose shares cancel.
const SUM_ROWS: usize = 16;

impl Kernel for PreluRows {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut start = self.rows.start;
        while start < self.rows.end {
            let end = (start + SUM_ROWS).min(self.rows.end);
            for c in (0..self.c).step_by(S::LANES) {
                // SAFETY: rows and channels exist; parts write rows and totals of their own.
                unsafe { self.vector::<S>(start..end, c) };
            }
            start = end;
        }
    }
}

impl PreluRows {
    #[inline(always)]
    unsafe fn vector<S: Simd>(&self, rows: std::ops::Range<usize>, c: usize) {
        let lanes = S::LANES.min(self.c - c);
        // SAFETY: the caller's promise.
        unsafe {
            let k = self.xs.channel::<S>(c, lanes);
            let (zero, slope) = (S::zero(), self.slope.get());
            let slope =
                if self.shared { S::splat(*slope) } else { S::load_some(slope.add(c), lanes) };
            let mut sum = zero;
            for row in rows {
                let at = row * self.c + c;
                let x = self.xs.read_straight::<S>(at, lanes, &k);
                let value = if self.gradient.is_null() {
                    let below = S::sub(zero, S::larger(S::sub(zero, x), zero));
                    S::fma(below, slope, S::larger(x, zero))
                } else {
                    let g = S::load_some(self.gradient.get().add(at), lanes);
                    let right = S::gate(g, x, zero, S::splat(f32::INFINITY));
                    let left = S::sub(g, right);
                    sum = S::fma(left, x, sum);
                    S::fma(left, slope, right)
                };
                S::store_some(self.to.get().add(at), value, lanes);
            }
            if !self.gradient.is_null() {
                add_lanes::<S>(sum, lanes, self.totals.get().add(c));
            }
        }
    }
}
