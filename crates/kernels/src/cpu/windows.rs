//! Pooling windows, a vector of channels at a time: the largest value or the mean, and their gradients.
//!
//! Above: `cpu::device`. Below: `cpu::views`, `simd`. Not here: the mean over a whole map (`cpu::elementwise`).
//! A task is some channels of one image, so that overlapping windows of the backward pass add up within one thread.

use super::team::{SendMutPtr, SendPtr};
use super::views::SourceView;
use crate::simd::{Kernel, Simd};
use crate::{PoolShape, Pooling};

/// What a task works on.
#[derive(Clone, Copy)]
pub(super) struct Windows<'a> {
    pub(super) shape: &'a PoolShape,
    pub(super) pooling: Pooling,
    pub(super) xs: SourceView,
    pub(super) image: usize,
    pub(super) first: usize,
    pub(super) end: usize,
}

/// Forward: writes `y`.
pub(super) struct Forward<'a> {
    pub(super) windows: Windows<'a>,
    pub(super) y: SendMutPtr<f32>,
}

/// Backward: adds every window's gradient to `dx`, which holds zeros.
pub(super) struct Backward<'a> {
    pub(super) windows: Windows<'a>,
    pub(super) gradient: SendPtr<f32>,
    pub(super) dx: SendMutPtr<f32>,
}

/// A vector of channels of one window.
#[derive(Clone, Copy)]
struct Place {
    /// Its index in the output.
    out: usize,
    /// Its row and column in the output.
    at: [usize; 2],
    c: usize,
    lanes: usize,
}

/// What is done in every place. A closure would not do: the compiler gives it no instruction set and calls every intrinsic in it.
trait Visit {
    /// # Safety
    /// `place` is one of the task's.
    unsafe fn visit<S: Simd>(&self, place: Place);
}

impl Windows<'_> {
    /// Visits every place of the task.
    #[inline(always)]
    unsafe fn each<S: Simd>(&self, visitor: &impl Visit) {
        let (rows, cols) = (self.shape.rows.len(), self.shape.cols.len());
        for oh in 0..rows {
            for ow in 0..cols {
                let out = ((self.image * rows + oh) * cols + ow) * self.shape.c;
                for c in (self.first..self.end).step_by(S::LANES) {
                    let lanes = S::LANES.min(self.end - c);
                    // SAFETY: window and channels exist.
                    unsafe { visitor.visit::<S>(Place { out: out + c, at: [oh, ow], c, lanes }) };
                }
            }
        }
    }

    /// Index of channel 0 of a pixel of this image.
    #[inline(always)]
    fn at(&self, pixel: usize) -> usize {
        (self.image * self.shape.h * self.shape.w + pixel) * self.shape.c
    }

    #[inline(always)]
    unsafe fn largest<S: Simd>(&self, [oh, ow]: [usize; 2], c: usize, lanes: usize) -> S::V {
        // SAFETY: pixels and channels exist.
        unsafe {
            let k = self.xs.channel::<S>(c, lanes);
            let mut max = S::splat(f32::NEG_INFINITY);
            for pixel in self.shape.pixels(oh, ow) {
                max = S::larger(max, self.xs.read_straight::<S>(self.at(pixel) + c, lanes, &k));
            }
            max
        }
    }

    /// `(Σ |x|ᵖ)^(1/p)`.
    #[inline(always)]
    unsafe fn norm<S: Simd>(&self, at: [usize; 2], c: usize, lanes: usize, p: f32) -> S::V {
        // SAFETY: pixels and channels exist.
        unsafe {
            let k = self.xs.channel::<S>(c, lanes);
            let mut sum = S::zero();
            for pixel in self.shape.pixels(at[0], at[1]) {
                let x = self.xs.read_straight::<S>(self.at(pixel) + c, lanes, &k);
                sum = S::add(sum, each_lane::<S>(x, x, |x, _| x.abs().powf(p)));
            }
            each_lane::<S>(sum, sum, |sum, _| sum.powf(1.0 / p))
        }
    }
}

/// A function of two numbers on every lane.
#[inline(always)]
unsafe fn each_lane<S: Simd>(a: S::V, b: S::V, f: impl Fn(f32, f32) -> f32) -> S::V {
    let mut lanes = [[0.0f32; 16]; 2];
    // SAFETY: sixteen lanes at most.
    unsafe {
        S::store(lanes[0].as_mut_ptr(), a);
        S::store(lanes[1].as_mut_ptr(), b);
        let [a, b] = &mut lanes;
        a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b));
        S::load(lanes[0].as_ptr())
    }
}

/// The derivative of the norm by one of its values; see the twin.
fn slope(x: f32, norm: f32, p: f32) -> f32 {
    if x == 0.0 || norm == 0.0 { 0.0 } else { (x.abs() / norm).powf(p - 1.0).copysign(x) }
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's promise.
        unsafe { self.windows.each::<S>(&self) };
    }
}

impl Visit for Forward<'_> {
    #[inline(always)]
    unsafe fn visit<S: Simd>(&self, Place { out, at: [oh, ow], c, lanes }: Place) {
        let Self { windows, y } = self;
        // SAFETY: pixels and channels exist; tasks have images and channels of their own.
        unsafe {
            let value = match windows.pooling {
                Pooling::Max => windows.largest::<S>([oh, ow], c, lanes),
                Pooling::Mean => {
                    let k = windows.xs.channel::<S>(c, lanes);
                    let mut sum = S::zero();
                    for pixel in windows.shape.pixels(oh, ow) {
                        let at = windows.at(pixel) + c;
                        sum = S::add(sum, windows.xs.read_straight::<S>(at, lanes, &k));
                    }
                    S::mul(sum, S::splat(windows.shape.share(oh, ow) as f32))
                }
                Pooling::Lp { p } => windows.norm::<S>([oh, ow], c, lanes, p as f32),
            };
            S::store_some(y.get().add(out), value, lanes);
        }
    }
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the caller's promise.
        unsafe { self.windows.each::<S>(&self) };
    }
}

impl Backward<'_> {
    /// Adds a gradient to the pixel a maximum was taken from, one channel at a time: where there is a NaN, which equals nothing, or the
    /// gradient is not finite, so that nothing is left of it when one pixel has taken it.
    #[cold]
    #[inline(never)]
    unsafe fn pass_by_channel<S: Simd>(&self, place: &Place) {
        let (Self { windows, gradient, dx }, [oh, ow]) = (self, place.at);
        for lane in 0..place.lanes {
            let channel = place.c + lane;
            // SAFETY: pixels and channels exist; tasks have images and channels of their own.
            unsafe {
                let k = windows.xs.channel::<S>(channel, 1);
                let largest = windows.shape.largest(oh, ow, |pixel| {
                    let mut x = [0.0];
                    let value = windows.xs.read_straight::<S>(windows.at(pixel) + channel, 1, &k);
                    S::store_first(x.as_mut_ptr(), value, 1);
                    x[0]
                });
                let g = *gradient.get().add(place.out + lane);
                *dx.get().add(windows.at(largest) + channel) += g;
            }
        }
    }
}

impl Visit for Backward<'_> {
    #[inline(always)]
    unsafe fn visit<S: Simd>(&self, place: Place) {
        let (Self { windows, gradient, dx }, Place { out, at: [oh, ow], c, lanes }) = (self, place);
        // SAFETY: pixels and channels exist; tasks have images and channels of their own.
        unsafe {
            let k = windows.xs.channel::<S>(c, lanes);
            let mut g = S::load_some(gradient.get().add(out), lanes);
            // The largest, or the norm.
            let max = match windows.pooling {
                Pooling::Max => {
                    let max = windows.largest::<S>([oh, ow], c, lanes);
                    if S::has_nan(S::add(max, S::sub(g, g))) {
                        return self.pass_by_channel::<S>(&place);
                    }
                    max
                }
                Pooling::Mean => {
                    g = S::mul(g, S::splat(windows.shape.share(oh, ow) as f32));
                    S::zero()
                }
                Pooling::Lp { p } => windows.norm::<S>([oh, ow], c, lanes, p as f32),
            };
            for pixel in windows.shape.pixels(oh, ow) {
                let at = windows.at(pixel) + c;
                let share = match windows.pooling {
                    // Who is as large as the largest takes what is left of the gradient: the first takes all.
                    Pooling::Max => {
                        let x = windows.xs.read_straight::<S>(at, lanes, &k);
                        let taken = S::where_equal(g, x, max);
                        g = S::sub(g, taken);
                        taken
                    }
                    Pooling::Mean => g,
                    Pooling::Lp { p } => {
                        let x = windows.xs.read_straight::<S>(at, lanes, &k);
                        S::mul(g, each_lane::<S>(x, max, |x, norm| slope(x, norm, p as f32)))
                    }
                };
                let to = dx.get().add(at);
                S::store_some(to, S::add(S::load_some(to, lanes), share), lanes);
            }
        }
    }
}
