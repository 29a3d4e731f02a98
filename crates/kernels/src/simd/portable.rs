//! Vectors as arrays of eight floats, which the compiler vectorizes with whatever the target has.
//!
//! Above: `simd`. Below: nothing. Not here: fused multiply-add (without the instruction it is a slow library call).

use super::{Simd, Task};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 8];

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    lanes(|i| f(a[i], b[i]))
}

/// A loop in place of `array::from_fn`, whose many small functions cost the compiler minutes in unrolled kernels.
#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> V {
    let mut v = [0.0; 8];
    let mut i = 0;
    while i < 8 {
        v[i] = f(i);
        i += 1;
    }
    v
}

impl Simd for Portable {
    type V = V;
    const LANES: usize = 8;
    const PANEL: usize = 2;

    #[inline(always)]
    unsafe fn call<T: Task<Self>>(task: T) {
        #[inline(never)]
        unsafe fn enter<T: Task<Portable>>(task: T) {
            // SAFETY: the caller's promise.
            unsafe { task.run() }
        }
        // SAFETY: the caller's promise.
        unsafe { enter(task) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: valid for eight reads; alignment is not needed.
        unsafe { p.cast::<V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: valid for eight writes; alignment is not needed.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> V {
        let mut v = [0.0; 8];
        // SAFETY: valid for `count` reads, and `count` is at most eight.
        unsafe { p.copy_to_nonoverlapping(v.as_mut_ptr(), count) };
        v
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: V, lanes: usize) {
        // SAFETY: valid for `lanes` writes, and `lanes` is at most eight.
        unsafe { p.copy_from_nonoverlapping(v.as_ptr(), lanes) };
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        lanes(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn clamp(z: V, low: V, high: V) -> V {
        let z = zip(z, low, |z, low| if z < low { low } else { z });
        zip(z, high, |z, high| if z > high { high } else { z })
    }
    #[inline(always)]
    unsafe fn gate(g: V, z: V, low: V, high: V) -> V {
        lanes(|i| if z[i] > low[i] && z[i] < high[i] { g[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn larger(a: V, b: V) -> V {
        zip(a, b, |a, b| if a.is_nan() || a >= b { a } else { b })
    }
    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "whoever is the largest is equal to it, to the bit")]
    unsafe fn where_equal(g: V, a: V, b: V) -> V {
        lanes(|i| if a[i] == b[i] { g[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        // Adding and taking away 1.5·2²³ leaves no fraction; what is rounded here is under 2²² in magnitude.
        lanes(|i| (a[i] + 12_582_912.0) - 12_582_912.0)
    }
    #[inline(always)]
    unsafe fn power_of_two(n: V) -> V {
        lanes(|i| f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
}
