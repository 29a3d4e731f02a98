//! Vectors as arrays of eight floats, which the compiler vectorizes with whatever the target has.
//!
//! Above: `simd`. Below: nothing. Not here: fused multiply-add (without the instruction it is a slow library call).

use std::hint::select_unpredictable as select;

use super::{Simd, Task};

#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 8];

/// All lanes written out. Neither a loop nor `array::from_fn`: the compiler unrolls either only after it has carried thousands of
/// them through all its passes over loops, which took four fifths of the time this crate took to build.
macro_rules! lanes {
    ($i:ident => $value:expr) => {
        lanes!($i => $value; 0 1 2 3 4 5 6 7)
    };
    ($i:ident => $value:expr; $($k:literal)*) => {
        [$({
            const $i: usize = $k;
            $value
        }),*]
    };
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
        lanes!(I => a[I] + b[I])
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        lanes!(I => a[I] - b[I])
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        lanes!(I => a[I] * b[I])
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        lanes!(I => a[I] * b[I] + c[I])
    }
    #[inline(always)]
    unsafe fn clamp(z: V, low: V, high: V) -> V {
        let z = lanes!(I => select(z[I] < low[I], low[I], z[I]));
        lanes!(I => select(z[I] > high[I], high[I], z[I]))
    }
    #[inline(always)]
    unsafe fn gate(g: V, z: V, low: V, high: V) -> V {
        lanes!(I => select((z[I] > low[I]) & (z[I] < high[I]), g[I], 0.0))
    }
    #[inline(always)]
    unsafe fn larger(a: V, b: V) -> V {
        lanes!(I => select(a[I].is_nan() | (a[I] >= b[I]), a[I], b[I]))
    }
    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "whoever is the largest is equal to it, to the bit")]
    unsafe fn where_equal(g: V, a: V, b: V) -> V {
        lanes!(I => select(a[I] == b[I], g[I], 0.0))
    }
    #[inline(always)]
    unsafe fn has_nan(a: V) -> bool {
        a.iter().any(|a| a.is_nan())
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        lanes!(I => a[I] / b[I])
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        // Adding and taking away 1.5·2²³ leaves no fraction; what is rounded here is under 2²² in magnitude.
        lanes!(I => (a[I] + 12_582_912.0) - 12_582_912.0)
    }
    #[inline(always)]
    unsafe fn power_of_two(n: V) -> V {
        lanes!(I => f32::from_bits(((n[I] as i32 + 127) << 23) as u32))
    }
}
