//! The two inner loops of depthwise convolution: rows of outputs from taps, and taps from rows of gradients.
//!
//! Above: `cpu::depthwise`. Below: `simd`. Not here: rings, borders, threads.
//! With as many taps as a window usually has, pointers and weights stay in registers: two loads and two multiply-adds a
//! cycle is all there is to win, since every multiply-add needs one load.

use super::depthwise::RowFinish;
use crate::simd::{Simd, Task};

/// One tap of a window: where its inputs begin, and its weights (or their gradients), a vector of channels.
#[derive(Clone, Copy)]
pub(crate) struct Tap {
    pub(crate) data: *const f32,
    pub(crate) weight: *const f32,
}

// SAFETY: bare addresses in a part's own scratch; whoever follows them argues for them.
unsafe impl Send for Tap {}
// SAFETY: likewise.
unsafe impl Sync for Tap {}

/// `out[i] = Σ_t data_t[i·step] · weight_t` for `i < len`.
///
/// # Safety
/// Every tap has `len` inputs `step` apart and a vector of weights; the finish takes `len` sums.
#[inline(always)]
pub(crate) unsafe fn sum_taps<S: Simd, F: RowFinish<S>>(
    taps: &[Tap],
    step: usize,
    len: usize,
    mut finish: F,
) -> F {
    // SAFETY: passed on to the caller.
    unsafe {
        match taps.len() {
            9 => S::call(FixedTaps::<F, 9> { taps, step, len, finish: &mut finish }),
            6 => S::call(FixedTaps::<F, 6> { taps, step, len, finish: &mut finish }),
            4 => S::call(FixedTaps::<F, 4> { taps, step, len, finish: &mut finish }),
            3 => S::call(FixedTaps::<F, 3> { taps, step, len, finish: &mut finish }),
            2 => S::call(FixedTaps::<F, 2> { taps, step, len, finish: &mut finish }),
            1 => S::call(FixedTaps::<F, 1> { taps, step, len, finish: &mut finish }),
            _ => sum_any::<S, F>(taps, step, len, &mut finish),
        }
    }
    finish
}

struct FixedTaps<'a, F, const N: usize> {
    taps: &'a [Tap],
    step: usize,
    len: usize,
    finish: &'a mut F,
}

impl<S: Simd, F: RowFinish<S>, const N: usize> Task<S> for FixedTaps<'_, F, N> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: passed on to the caller.
        unsafe { sum_fixed::<S, F, N>(self.taps, self.step, self.len, self.finish) }
    }
}

#[inline(always)]
unsafe fn sum_fixed<S: Simd, F: RowFinish<S>, const N: usize>(
    taps: &[Tap],
    step: usize,
    len: usize,
    finish: &mut F,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut data = [std::ptr::null(); N];
        let mut weights = [S::zero(); N];
        for t in 0..N {
            data[t] = taps[t].data;
            weights[t] = S::load(taps[t].weight);
        }
        for i in 0..len {
            let mut sum = S::mul(S::load(data[0].add(i * step)), weights[0]);
            for t in 1..N {
                sum = S::fma(S::load(data[t].add(i * step)), weights[t], sum);
            }
            finish.take::<false>(i, sum);
        }
    }
}

#[inline(always)]
unsafe fn sum_any<S: Simd, F: RowFinish<S>>(taps: &[Tap], step: usize, len: usize, finish: &mut F) {
    for i in 0..len {
        // SAFETY: passed on to the caller.
        unsafe {
            let mut sum = S::zero();
            for tap in taps {
                sum = S::fma(S::load(tap.data.add(i * step)), S::load(tap.weight), sum);
            }
            finish.take::<false>(i, sum);
        }
    }
}

/// `weight_t += Σ_i data_t[i·steps[0]] · dy[i·steps[1]]` for `i < len`.
///
/// # Safety
/// Every tap has `len` inputs and a vector of gradients to write; `dy` has `len` vectors.
#[inline(always)]
pub(crate) unsafe fn dot_taps<S: Simd>(
    taps: &[Tap],
    steps: [usize; 2],
    dy: *const f32,
    len: usize,
) {
    // SAFETY: passed on to the caller; `get` keeps the rest in bounds.
    unsafe {
        let mut rest = taps;
        while let Some((now, later)) = rest.split_at_checked(9) {
            dot_fixed::<S, 9>(now, steps, dy, len);
            rest = later;
        }
        while let Some((now, later)) = rest.split_at_checked(3) {
            dot_fixed::<S, 3>(now, steps, dy, len);
            rest = later;
        }
        for tap in rest.chunks_exact(1) {
            dot_fixed::<S, 1>(tap, steps, dy, len);
        }
    }
}

#[inline(always)]
unsafe fn dot_fixed<S: Simd, const N: usize>(
    taps: &[Tap],
    steps: [usize; 2],
    dy: *const f32,
    len: usize,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut data = [std::ptr::null(); N];
        let mut sums = [S::zero(); N];
        for t in 0..N {
            data[t] = taps[t].data;
            sums[t] = S::load(taps[t].weight);
        }
        for i in 0..len {
            let g = S::load(dy.add(i * steps[1]));
            for t in 0..N {
                sums[t] = S::fma(S::load(data[t].add(i * steps[0])), g, sums[t]);
            }
        }
        for t in 0..N {
            S::store(taps[t].weight.cast_mut(), sums[t]);
        }
    }
}
