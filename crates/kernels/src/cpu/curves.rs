//! Activations that are more than a cut at two bounds, and their derivatives, on vectors.
//!
//! Above: `cpu::{views, gemm, depthwise}`. Below: `simd`. Not here: ReLU and ReLU6, which are `Simd::clamp`.
//! Twins: `Activation::apply` and `Activation::derivative`.

use crate::Activation;
use crate::simd::Simd;

/// `activation(z)` for a curved activation; `z` itself for others.
#[inline(always)]
pub(super) unsafe fn apply<S: Simd>(activation: Activation, z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        match activation {
            Activation::HardSwish => S::mul(z, hard_sigmoid::<S>(z)),
            Activation::HardSigmoid => hard_sigmoid::<S>(z),
            Activation::Silu => S::mul(z, sigmoid::<S>(z)),
            Activation::Sigmoid => sigmoid::<S>(z),
            Activation::Identity | Activation::Relu | Activation::Relu6 => z,
        }
    }
}

/// The derivative at `z` of a curved activation; 1 for others.
#[inline(always)]
pub(super) unsafe fn derivative<S: Simd>(activation: Activation, z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let one = S::splat(1.0);
        let (low, high) = (S::splat(-3.0), S::splat(3.0));
        match activation {
            Activation::HardSwish => {
                let slope = S::fma(z, S::splat(1.0 / 3.0), S::splat(0.5));
                let below_three = S::splat(f32::from_bits(3.0f32.to_bits() - 1));
                let right = S::gate(one, z, below_three, S::splat(f32::INFINITY));
                S::add(S::gate(slope, z, low, high), right)
            }
            Activation::HardSigmoid => S::gate(S::splat(1.0 / 6.0), z, low, high),
            Activation::Silu => {
                let s = sigmoid::<S>(z);
                S::mul(s, S::fma(z, S::sub(one, s), one))
            }
            Activation::Sigmoid => {
                let s = sigmoid::<S>(z);
                S::mul(s, S::sub(one, s))
            }
            Activation::Identity | Activation::Relu | Activation::Relu6 => one,
        }
    }
}

#[inline(always)]
unsafe fn hard_sigmoid<S: Simd>(z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let line = S::fma(z, S::splat(1.0 / 6.0), S::splat(0.5));
        S::clamp(line, S::zero(), S::splat(1.0))
    }
}

#[inline(always)]
unsafe fn sigmoid<S: Simd>(z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::zero(), z))))
    }
}

/// `eˣ` to two units in the last place; arguments are cut to where the result is a normal number. A NaN stays a NaN.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`, `ln 2` in two parts so that `r` keeps its digits, and a polynomial for `eʳ`.
/// Source: Cody and Waite 1980, as in Cephes' `expf`.
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let x = S::clamp(x, S::splat(-87.3), S::splat(88.0));
        let n = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(n, S::splat(-0.693_359_4), x);
        let r = S::fma(n, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_2e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::fma(p, S::mul(r, r), S::add(r, S::splat(1.0)));
        S::mul(p, S::power_of_two(n))
    }
}
