//! Vectors of aarch64: 8 lanes with NEON, as two registers side by side.
//!
//! Above: `simd`. Below: `std::arch`. Not here: detection (`simd::Isa`).
//! Every method is unsafe for the one reason `Simd` states: the features must be enabled where it inlines.
//! `max` and `min` give a NaN when either operand is one, so the order of operands is free.
//!
//! Pairs, because what surrounds a multiply-add (loads of constants, addresses, counters) is then shared by two. Counted under
//! qemu on shapes of MobileNetV2, against vectors of one register: 14 to 36 % fewer instructions in depthwise layers, 0 to 7 % in
//! pointwise ones, whose tiles are 6x16 either way: 24 accumulators, 4 registers for `B` and a few for `A`, of 32.

use std::arch::aarch64::{
    float32x4_t, vaddq_f32, vaddq_s32, vandq_u32, vceqq_f32, vcgtq_f32, vcltq_f32, vcombine_f32,
    vcvtq_s32_f32, vdivq_f32, vdup_n_f32, vdupq_n_f32, vdupq_n_s32, vfmaq_f32, vget_low_f32,
    vld1_f32, vld1q_f32, vld1q_lane_f32, vmaxq_f32, vminq_f32, vminvq_u32, vmulq_f32,
    vreinterpretq_f32_s32, vreinterpretq_f32_u32, vreinterpretq_u32_f32, vrndnq_f32, vshlq_n_s32,
    vst1_f32, vst1q_f32, vst1q_lane_f32, vsubq_f32,
};

use super::{Simd, Task};

#[derive(Clone, Copy)]
pub(crate) struct Neon;

type V = [float32x4_t; 2];

impl Simd for Neon {
    type V = V;
    const LANES: usize = 8;
    const PANEL: usize = 2;

    #[inline(always)]
    unsafe fn call<T: Task<Self>>(task: T) {
        #[target_feature(enable = "neon")]
        #[inline(never)]
        unsafe fn enter<T: Task<Neon>>(task: T) {
            // SAFETY: the features are enabled here; the rest is the caller's.
            unsafe { task.run() }
        }
        // SAFETY: see the card.
        unsafe { enter(task) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        // SAFETY: see the card.
        unsafe { [vdupq_n_f32(x); 2] }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        // SAFETY: see the card.
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: see the card.
        unsafe {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
        }
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, lanes: usize) -> V {
        // SAFETY: see the card; the second half is touched when lanes lie in it.
        unsafe {
            if lanes <= 4 {
                [load_first_of_four(p, lanes), vdupq_n_f32(0.0)]
            } else {
                [vld1q_f32(p), load_first_of_four(p.add(4), lanes - 4)]
            }
        }
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: V, lanes: usize) {
        // SAFETY: see the card; the second half is touched when lanes lie in it.
        unsafe {
            if lanes <= 4 {
                store_first_of_four(p, v[0], lanes);
            } else {
                vst1q_f32(p, v[0]);
                store_first_of_four(p.add(4), v[1], lanes - 4);
            }
        }
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn sub(a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        // SAFETY: see the card.
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn clamp(z: V, low: V, high: V) -> V {
        // SAFETY: see the card.
        unsafe {
            let raised = [vmaxq_f32(z[0], low[0]), vmaxq_f32(z[1], low[1])];
            [vminq_f32(raised[0], high[0]), vminq_f32(raised[1], high[1])]
        }
    }
    #[inline(always)]
    unsafe fn gate(g: V, z: V, low: V, high: V) -> V {
        // SAFETY: see the card.
        unsafe { [gate_four(g[0], z[0], low[0], high[0]), gate_four(g[1], z[1], low[1], high[1])] }
    }
    #[inline(always)]
    unsafe fn larger(a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [vmaxq_f32(a[0], b[0]), vmaxq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn where_equal(g: V, a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [equal_four(g[0], a[0], b[0]), equal_four(g[1], a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn has_nan(a: V) -> bool {
        // SAFETY: see the card.
        unsafe { vminvq_u32(vandq_u32(vceqq_f32(a[0], a[0]), vceqq_f32(a[1], a[1]))) == 0 }
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        // SAFETY: see the card.
        unsafe { [vdivq_f32(a[0], b[0]), vdivq_f32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn round(a: V) -> V {
        // SAFETY: see the card.
        unsafe { [vrndnq_f32(a[0]), vrndnq_f32(a[1])] }
    }
    #[inline(always)]
    unsafe fn power_of_two(n: V) -> V {
        // SAFETY: see the card.
        unsafe { [power_of_two_of_four(n[0]), power_of_two_of_four(n[1])] }
    }
}

/// The first `lanes` of four elements, `lanes` in `1..=4`, zeros behind them.
#[inline(always)]
unsafe fn load_first_of_four(p: *const f32, lanes: usize) -> float32x4_t {
    // SAFETY: see the card; each arm reads `lanes` elements.
    unsafe {
        match lanes {
            1 => vld1q_lane_f32::<0>(p, vdupq_n_f32(0.0)),
            2 => vcombine_f32(vld1_f32(p), vdup_n_f32(0.0)),
            3 => {
                let two = vcombine_f32(vld1_f32(p), vdup_n_f32(0.0));
                vld1q_lane_f32::<2>(p.add(2), two)
            }
            _ => vld1q_f32(p),
        }
    }
}

/// Writes the first `lanes` of four elements, `lanes` in `1..=4`.
#[inline(always)]
unsafe fn store_first_of_four(p: *mut f32, v: float32x4_t, lanes: usize) {
    // SAFETY: see the card; each arm writes `lanes` elements.
    unsafe {
        match lanes {
            1 => vst1q_lane_f32::<0>(p, v),
            2 => vst1_f32(p, vget_low_f32(v)),
            3 => {
                vst1_f32(p, vget_low_f32(v));
                vst1q_lane_f32::<2>(p.add(2), v);
            }
            _ => vst1q_f32(p, v),
        }
    }
}

/// [`Simd::gate`] of one register.
#[inline(always)]
unsafe fn gate_four(
    g: float32x4_t,
    z: float32x4_t,
    low: float32x4_t,
    high: float32x4_t,
) -> float32x4_t {
    // SAFETY: see the card.
    unsafe {
        let inside = vandq_u32(vcgtq_f32(z, low), vcltq_f32(z, high));
        vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(g)))
    }
}

/// [`Simd::where_equal`] of one register.
#[inline(always)]
unsafe fn equal_four(g: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: see the card.
    unsafe { vreinterpretq_f32_u32(vandq_u32(vceqq_f32(a, b), vreinterpretq_u32_f32(g))) }
}

/// [`Simd::power_of_two`] of one register.
#[inline(always)]
unsafe fn power_of_two_of_four(n: float32x4_t) -> float32x4_t {
    // SAFETY: see the card.
    unsafe {
        let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
        vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
    }
}
