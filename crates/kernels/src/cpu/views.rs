//! What kernels see of a source, a gradient and a sink: pointers, per-channel constants in registers.
//!
//! Above: `cpu::{gemm, matrix, depthwise, pointwise}`. Below: `simd`. Not here: who owns the memory (`device`).
//! A null pointer means "not there". Every method inlines into a kernel entered through `Isa::run`.

use super::curves::{self, for_each_curve};
use super::team::{SendMutPtr, SendPtr};
use crate::simd::{Simd, Task};
use crate::{Activation, ConvGradient, Sink, Source};

/// Rows between writing a vector of channels and going over it again for a curved activation: it then still lies in the nearest cache,
/// however far rows are apart.
pub(crate) const STRIP: usize = 32;

/// A [`Source`] as pointers.
#[derive(Clone, Copy)]
pub(crate) struct SourceView {
    pub(crate) data: SendPtr<f32>,
    scale: SendPtr<f32>,
    shift: SendPtr<f32>,
    low: f32,
    high: f32,
    pub(crate) activation: Activation,
}

/// The constants of one vector of channels.
pub(crate) struct Channel<S: Simd> {
    scale: S::V,
    shift: S::V,
    low: S::V,
    high: S::V,
}

impl SourceView {
    pub(crate) fn new(source: Source<'_, f32>) -> Self {
        let (low, high) = source.activation.bounds();
        Self {
            data: SendPtr(source.data.as_ptr()),
            scale: SendPtr::maybe(source.affine.map(|a| a.scale)),
            shift: SendPtr::maybe(source.affine.map(|a| a.shift)),
            low: low as f32,
            high: high as f32,
            activation: source.activation,
        }
    }

    /// Constants of channels `c .. c + lanes`.
    #[inline(always)]
    pub(crate) unsafe fn channel<S: Simd>(&self, c: usize, lanes: usize) -> Channel<S> {
        // SAFETY: `c + lanes` is at most the channel count, the length of scale and shift.
        unsafe {
            let (scale, shift) = if self.scale.is_null() {
                (S::splat(1.0), S::zero())
            } else {
                let at = |p: &SendPtr<f32>| p.get().add(c);
                (S::load_some(at(&self.scale), lanes), S::load_some(at(&self.shift), lanes))
            };
            Channel { scale, shift, low: S::splat(self.low), high: S::splat(self.high) }
        }
    }

    /// Whether values pass through a curved activation when they are read.
    #[inline(always)]
    pub(crate) fn is_curved(&self) -> bool {
        self.activation.is_curved()
    }

    /// The value at flat index `at`.
    #[inline(always)]
    pub(crate) unsafe fn read<S: Simd>(&self, at: usize, lanes: usize, k: &Channel<S>) -> S::V {
        // SAFETY: `at + lanes` lies within the data.
        unsafe {
            let z = self.read_straight::<S>(at, lanes, k);
            if self.is_curved() { curves::apply_one::<S>(self.activation, z) } else { z }
        }
    }

    /// The value at flat index `at` without a curved activation, which [`SourceView::activate_rows`] then applies to many values at once.
    #[inline(always)]
    pub(crate) unsafe fn read_straight<S: Simd>(
        &self,
        at: usize,
        lanes: usize,
        k: &Channel<S>,
    ) -> S::V {
        // SAFETY: `at + lanes` lies within the data.
        unsafe {
            let data = S::load_some(self.data.get().add(at), lanes);
            S::clamp(S::fma(data, k.scale, k.shift), k.low, k.high)
        }
    }

    /// How many of `rows` rows to read before [`SourceView::activate_rows`]: all, where that does nothing.
    #[inline(always)]
    pub(crate) fn strip(&self, rows: usize) -> usize {
        if self.is_curved() { STRIP } else { rows.max(1) }
    }

    /// Applies a curved activation to `rows` rows of `cols` values, `stride` apart, that [`SourceView::read_straight`] gave.
    #[inline(always)]
    pub(crate) unsafe fn activate_rows<S: Simd>(&self, first: *mut f32, size: [usize; 3]) {
        // SAFETY: passed on to the caller.
        unsafe { curves::apply_rows::<S>(self.activation, first, size) };
    }
}

/// A [`ConvGradient`] as pointers.
#[derive(Clone, Copy)]
pub(crate) struct GradientView {
    dz: SendPtr<f32>,
    y: SendPtr<f32>,
    a: SendPtr<f32>,
    b: SendPtr<f32>,
    c: SendPtr<f32>,
}

/// The constants of one vector of channels.
pub(crate) struct GradientChannel<S: Simd> {
    a: S::V,
    b: S::V,
    c: S::V,
}

impl GradientView {
    pub(crate) fn new(gradient: ConvGradient<'_, f32>) -> Self {
        let part = |f: fn(&crate::NormGradient<'_, f32>) -> *const f32| {
            SendPtr(gradient.norm.as_ref().map_or(std::ptr::null(), f))
        };
        Self {
            dz: SendPtr(gradient.dz.as_ptr()),
            y: part(|n| n.y.as_ptr()),
            a: part(|n| n.a.as_ptr()),
            b: part(|n| n.b.as_ptr()),
            c: part(|n| n.c.as_ptr()),
        }
    }

    /// Constants of channels `c .. c + lanes`.
    #[inline(always)]
    pub(crate) unsafe fn channel<S: Simd>(&self, c: usize, lanes: usize) -> GradientChannel<S> {
        // SAFETY: `c + lanes` is at most the channel count, the length of each.
        unsafe {
            if self.y.is_null() {
                return GradientChannel { a: S::zero(), b: S::zero(), c: S::zero() };
            }
            let at = |p: &SendPtr<f32>| p.get().add(c);
            GradientChannel {
                a: S::load_some(at(&self.a), lanes),
                b: S::load_some(at(&self.b), lanes),
                c: S::load_some(at(&self.c), lanes),
            }
        }
    }

    /// `dy` at flat index `at`.
    #[inline(always)]
    pub(crate) unsafe fn read<S: Simd>(
        &self,
        at: usize,
        lanes: usize,
        k: &GradientChannel<S>,
    ) -> S::V {
        // SAFETY: `at + lanes` lies within both tensors.
        unsafe {
            let dz = S::load_some(self.dz.get().add(at), lanes);
            if self.y.is_null() {
                return dz;
            }
            let y = S::load_some(self.y.get().add(at), lanes);
            S::fma(dz, k.a, S::fma(y, k.b, k.c))
        }
    }
}

/// A [`Sink`] as pointers.
#[derive(Clone, Copy)]
pub(crate) struct SinkView {
    out: SendMutPtr<f32>,
    accumulate: bool,
    mask: SourceView,
    y: SendPtr<f32>,
    mean: SendPtr<f32>,
}

/// See [`SinkView::multiply_derivative`].
struct MultiplyDerivative<'a, S: Simd> {
    sink: &'a SinkView,
    at: usize,
    step: usize,
    count: usize,
    lanes: usize,
    k: &'a SinkChannel<S>,
    sums: [&'a mut S::V; 2],
}

impl<S: Simd> Task<S> for MultiplyDerivative<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: passed on to the caller.
        for_each_curve!(self.sink.mask.activation, |one| unsafe { self.multiply_derivative(one) });
    }
}

impl<S: Simd> MultiplyDerivative<'_, S> {
    #[inline(always)]
    unsafe fn multiply_derivative(self, activation: Activation) {
        let MultiplyDerivative { sink, step, count, lanes, k, sums: [sum, dot], .. } = self;
        let mask = &sink.mask;
        let (mut sums, mut at) = ([*sum, *dot], self.at);
        for _ in 0..count {
            // SAFETY: as in `SinkView::put`.
            unsafe {
                let out = sink.out.get().add(at);
                let data = S::load_some(mask.data.get().add(at), lanes);
                let z = S::fma(data, k.mask.scale, k.mask.shift);
                let slope = curves::derivative::<S>(activation, z);
                let g = S::mul(S::load_some(out, lanes), slope);
                let [sum, dot] = &mut sums;
                sink.count::<S>(at, lanes, g, k, [sum, dot]);
                S::store_some(out, g, lanes);
            }
            at += step;
        }
        [*sum, *dot] = sums;
    }
}

/// The constants of one vector of channels.
pub(crate) struct SinkChannel<S: Simd> {
    mask: Channel<S>,
    mean: S::V,
}

impl SinkView {
    pub(crate) fn new(sink: &mut Sink<'_, f32>) -> Self {
        let none = SourceView {
            data: SendPtr::NULL,
            scale: SendPtr::NULL,
            shift: SendPtr::NULL,
            low: 0.0,
            high: 0.0,
            activation: Activation::Identity,
        };
        Self {
            out: SendMutPtr(sink.out.as_mut_ptr()),
            accumulate: sink.accumulate,
            mask: sink.mask.map_or(none, |mask| SourceView::new(mask.source)),
            y: SendPtr::maybe(sink.tally.as_ref().map(|t| t.y)),
            mean: SendPtr::maybe(sink.tally.as_ref().map(|t| t.mean)),
        }
    }

    /// Whether sums are asked for.
    #[inline(always)]
    pub(crate) fn tallies(&self) -> bool {
        !self.y.is_null()
    }

    /// Constants of channels `c .. c + lanes`.
    #[inline(always)]
    pub(crate) unsafe fn channel<S: Simd>(&self, c: usize, lanes: usize) -> SinkChannel<S> {
        // SAFETY: `c + lanes` is at most the channel count, the length of each.
        unsafe {
            let mean = if self.mean.is_null() {
                S::zero()
            } else {
                S::load_some(self.mean.get().add(c), lanes)
            };
            SinkChannel { mask: self.mask.channel::<S>(c, lanes), mean }
        }
    }

    /// Whether the mask is that of a curved activation: then [`SinkView::put`] must be followed by [`SinkView::multiply_derivative`] at the same
    /// places.
    #[inline(always)]
    pub(crate) fn is_curved(&self) -> bool {
        self.mask.activation.is_curved()
    }

    /// How many of `rows` rows to put before [`SinkView::multiply_derivative`]: all, where that does nothing.
    #[inline(always)]
    pub(crate) fn strip(&self, rows: usize) -> usize {
        if self.is_curved() { STRIP } else { rows.max(1) }
    }

    /// Writes `g` at flat index `at`, and counts it.
    #[inline(always)]
    pub(crate) unsafe fn put<S: Simd>(
        &self,
        at: usize,
        lanes: usize,
        g: S::V,
        k: &SinkChannel<S>,
        [sum, dot]: [&mut S::V; 2],
    ) {
        // SAFETY: `at + lanes` lies within the gradient, the mask and the tally; this part alone writes there.
        unsafe {
            let out = self.out.get().add(at);
            let mut g = g;
            if self.accumulate {
                g = S::add(g, S::load_some(out, lanes));
            }
            if !self.mask.data.is_null() {
                if self.is_curved() {
                    return S::store_some(out, g, lanes);
                }
                let data = S::load_some(self.mask.data.get().add(at), lanes);
                let z = S::fma(data, k.mask.scale, k.mask.shift);
                g = S::gate(g, z, k.mask.low, k.mask.high);
            }
            self.count::<S>(at, lanes, g, k, [sum, dot]);
            S::store_some(out, g, lanes);
        }
    }

    /// Multiplies what was put at the `count` places `at`, `at + step`, … by the derivative of a curved activation, and counts it; does
    /// nothing for others. In a function of its own, as [`curves::apply_rows`].
    #[inline(always)]
    pub(crate) unsafe fn multiply_derivative<S: Simd>(
        &self,
        [at, step, count]: [usize; 3],
        lanes: usize,
        k: &SinkChannel<S>,
        sums: [&mut S::V; 2],
    ) {
        if self.is_curved() {
            // SAFETY: passed on to the caller.
            unsafe {
                S::call(MultiplyDerivative::<S> { sink: self, at, step, count, lanes, k, sums });
            };
        }
    }

    #[inline(always)]
    unsafe fn count<S: Simd>(
        &self,
        at: usize,
        lanes: usize,
        g: S::V,
        k: &SinkChannel<S>,
        [sum, dot]: [&mut S::V; 2],
    ) {
        if !self.y.is_null() {
            // SAFETY: as in `put`.
            unsafe {
                let y = S::load_some(self.y.get().add(at), lanes);
                *sum = S::add(*sum, g);
                *dot = S::fma(g, S::sub(y, k.mean), *dot);
            }
        }
    }
}
