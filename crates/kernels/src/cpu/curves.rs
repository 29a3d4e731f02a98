//! Activations that are more than a cut at two bounds, and their derivatives, on vectors.
//!
//! Above: `cpu::{views, gemm, depthwise}`. Below: `simd`. Not here: ReLU and ReLU6, which are `Simd::clamp`.
//! Twins: `Activation::apply` and `Activation::derivative`.

use crate::Activation;
use crate::activation::{BEND, CUBIC};
use crate::simd::{Simd, Task};

/// Applies a curved activation in place to `rows` rows of `cols` values, `stride` apart; does nothing for others.
///
/// This and [`apply_one`] are functions of their own, one an instruction set: inlined into every loop that reads or
/// writes through an activation, the curves were two fifths of the time this crate took to build.
///
/// # Safety
/// The rows exist, and nobody else holds them.
#[inline(always)]
pub(super) unsafe fn apply_rows<S: Simd>(
    activation: Activation,
    first: *mut f32,
    [rows, stride, cols]: [usize; 3],
) {
    if activation.is_curved() {
        // SAFETY: the caller's promise.
        unsafe { S::call(ApplyRows { activation, first, rows, stride, cols }) };
    }
}

struct ApplyRows {
    activation: Activation,
    first: *mut f32,
    rows: usize,
    stride: usize,
    cols: usize,
}

/// Calls `$run` with the activation once for each kind there is, so that a loop within is compiled for every curve and asks nothing.
macro_rules! for_each_curve {
    ($activation:expr, |$one:ident| $run:expr) => {
        for_each_curve!(@ $activation, $one, $run, Identity Relu Relu6 HardSwish HardSigmoid Silu Sigmoid Tanh Gelu GeluTanh Mish)
    };
    (@ $activation:expr, $one:ident, $run:expr, $($kind:ident)*) => {
        match $activation {
            $(Activation::$kind => {
                let $one = Activation::$kind;
                $run
            })*
            Activation::LeakyRelu { slope } => {
                let $one = Activation::LeakyRelu { slope };
                $run
            }
        }
    };
}
pub(super) use for_each_curve;

impl<S: Simd> Task<S> for ApplyRows {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: passed on to the caller.
        for_each_curve!(self.activation, |one| unsafe { self.apply::<S>(one) });
    }
}

/// At most one vector wide: `lanes` values of each of `rows` rows, `stride` apart.
struct Column {
    first: *mut f32,
    rows: usize,
    stride: usize,
    lanes: usize,
}

impl ApplyRows {
    /// The columns that cover all values: those of the rows; of rows without a gap, a single one of all whole vectors, and what is
    /// left. (As rows, a load over the end of a masked store would wait until that has reached the cache.)
    #[inline(always)]
    fn columns<S: Simd>(&self) -> impl Iterator<Item = Column> {
        let &Self { first, rows, stride, cols, .. } = self;
        let gapless = stride == cols || rows == 1;
        let (all, whole) = (rows * cols, rows * cols / S::LANES);
        let count = if gapless { 2 } else { cols.div_ceil(S::LANES) };
        (0..count).map(move |i| match (gapless, i) {
            (true, 0) => Column { first, rows: whole, stride: S::LANES, lanes: S::LANES },
            (true, _) => {
                let (start, lanes) = (whole * S::LANES, all - whole * S::LANES);
                Column { first: first.wrapping_add(start), rows: lanes.min(1), stride, lanes }
            }
            (false, _) => {
                let start = i * S::LANES;
                let lanes = S::LANES.min(cols - start);
                Column { first: first.wrapping_add(start), rows, stride, lanes }
            }
        })
    }

    #[inline(always)]
    unsafe fn apply<S: Simd>(&self, activation: Activation) {
        for Column { first, rows, stride, lanes } in self.columns::<S>() {
            // SAFETY: rows and columns exist.
            unsafe {
                // Asked once a column, and not in its loop.
                if lanes == S::LANES {
                    for row in 0..rows {
                        let y = first.add(row * stride);
                        S::store(y, apply::<S>(activation, S::load(y)));
                    }
                } else {
                    for row in 0..rows {
                        let y = first.add(row * stride);
                        let z = S::load_first(y, lanes);
                        S::store_first(y, apply::<S>(activation, z), lanes);
                    }
                }
            }
        }
    }
}

/// `activation(z)` of one vector, where a loop cannot be cut in two for [`apply_rows`].
#[inline(always)]
pub(super) unsafe fn apply_one<S: Simd>(activation: Activation, z: S::V) -> S::V {
    let mut z = z;
    // SAFETY: a vector of its own.
    unsafe { S::call(ApplyOne::<S> { activation, z: &mut z }) };
    z
}

struct ApplyOne<'a, S: Simd> {
    activation: Activation,
    z: &'a mut S::V,
}

impl<S: Simd> Task<S> for ApplyOne<'_, S> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: arithmetic alone.
        *self.z = unsafe { apply::<S>(self.activation, *self.z) };
    }
}

/// `activation(z)` for a curved activation; `z` itself for others.
#[inline(always)]
unsafe fn apply<S: Simd>(activation: Activation, z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        match activation {
            Activation::HardSwish => S::mul(z, hard_sigmoid::<S>(z)),
            Activation::HardSigmoid => hard_sigmoid::<S>(z),
            Activation::Silu => S::mul(z, sigmoid::<S>(z)),
            Activation::Sigmoid => sigmoid::<S>(z),
            Activation::Tanh => tanh::<S>(z),
            Activation::Gelu => S::mul(z, normal::<S>(z)[0]),
            Activation::GeluTanh => {
                let half = S::mul(z, S::splat(0.5));
                S::fma(half, tanh::<S>(bent_line::<S>(z)), half)
            }
            Activation::Mish => S::mul(z, softplus_tanh::<S>(z)),
            Activation::LeakyRelu { slope } => {
                let zero = S::zero();
                let below = S::sub(zero, S::larger(S::sub(zero, z), zero));
                S::fma(below, S::splat(slope), S::larger(z, zero))
            }
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
            Activation::Tanh => {
                let t = tanh::<S>(z);
                S::sub(one, S::mul(t, t))
            }
            Activation::Gelu => {
                let [distribution, density] = normal::<S>(z);
                S::fma(z, density, distribution)
            }
            Activation::GeluTanh => {
                let t = tanh::<S>(bent_line::<S>(z));
                let multiply_derivative = S::splat(BEND as f32);
                let slope = S::fma(
                    S::mul(z, z),
                    S::mul(multiply_derivative, S::splat(3.0 * CUBIC as f32)),
                    multiply_derivative,
                );
                let steep = S::mul(S::mul(z, slope), S::sub(one, S::mul(t, t)));
                S::mul(S::splat(0.5), S::add(S::add(one, t), steep))
            }
            Activation::Mish => {
                let t = softplus_tanh::<S>(z);
                S::fma(S::mul(z, sigmoid::<S>(z)), S::sub(one, S::mul(t, t)), t)
            }
            Activation::LeakyRelu { slope } => {
                let rest = S::splat(1.0 - slope);
                let above = S::gate(rest, z, S::zero(), S::splat(f32::INFINITY));
                S::add(S::splat(slope), above)
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

/// `2σ(2z) − 1`, to 1e-7.
#[inline(always)]
unsafe fn tanh<S: Simd>(z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let two = S::splat(2.0);
        S::sub(S::mul(two, sigmoid::<S>(S::mul(two, z))), S::splat(1.0))
    }
}

/// What GELU's approximation takes the tanh of.
#[inline(always)]
unsafe fn bent_line<S: Simd>(z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let cubic = S::mul(S::mul(z, z), S::mul(z, S::splat(CUBIC as f32)));
        S::mul(S::splat(BEND as f32), S::add(z, cubic))
    }
}

/// `tanh(ln(1 + eᶻ))`; see the twin.
#[inline(always)]
unsafe fn softplus_tanh<S: Simd>(z: S::V) -> S::V {
    // SAFETY: arithmetic alone.
    unsafe {
        let e = exp::<S>(S::clamp(z, S::splat(f32::NEG_INFINITY), S::splat(20.0)));
        let n = S::mul(e, S::add(e, S::splat(2.0)));
        let t = S::div(n, S::add(n, S::splat(2.0)));
        // Further down `exp` stays where it is, and `z` would not.
        S::gate(t, z, S::splat(-80.0), S::splat(f32::INFINITY))
    }
}

/// The normal distribution function, to 1e-7, and its density.
///
/// Source: Abramowitz and Stegun 1964, 7.1.26, for the error function of `|z|/√2`.
#[inline(always)]
unsafe fn normal<S: Simd>(z: S::V) -> [S::V; 2] {
    // SAFETY: arithmetic alone.
    unsafe {
        let (one, zero) = (S::splat(1.0), S::zero());
        let x = S::mul(S::larger(z, S::sub(zero, z)), S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = S::div(one, S::fma(x, S::splat(0.327_591_1), one));
        let mut p = S::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
            p = S::fma(p, t, S::splat(c));
        }
        let bell = exp::<S>(S::sub(zero, S::mul(x, x)));
        // Half of what the error function lacks to one.
        let rest = S::mul(S::mul(S::splat(0.5), bell), S::mul(p, t));
        let above = S::gate(S::sub(one, S::add(rest, rest)), z, zero, S::splat(f32::INFINITY));
        let density = S::mul(bell, S::splat(0.398_942_3));
        [S::add(rest, above), density]
    }
}

/// `eˣ` to two units in the last place; arguments are cut to where the result is a normal number. A NaN stays a NaN.
///
/// `x = n·ln 2 + r` with `|r| ≤ ln 2 / 2`, `ln 2` in two parts so that `r` keeps its digits, and a polynomial for `eʳ`.
/// Source: Cody and Waite 1980, as in Cephes' `expf`.
#[inline(always)]
pub(super) unsafe fn exp<S: Simd>(x: S::V) -> S::V {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Kernel};

    struct Rows {
        first: *mut f32,
        size: [usize; 3],
    }

    impl Kernel for Rows {
        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            // SAFETY: the test's rows exist.
            unsafe { apply_rows::<S>(Activation::HardSwish, self.first, self.size) };
        }
    }

    #[test]
    fn each_value_is_activated_once_and_what_lies_between_rows_is_left() {
        for isa in Isa::here() {
            for (rows, cols, gap) in
                (0..5).flat_map(|r| (0..40).flat_map(move |c| [0, 3, 16].map(|gap| (r, c, gap))))
            {
                let stride = cols + gap;
                let before: Vec<f32> =
                    (0..rows * stride).map(|i| (i % 97) as f32 * 0.1 - 4.0).collect();
                let mut after = before.clone();
                // SAFETY: `isa` is one of this machine, and the rows are all of the vector.
                unsafe { isa.run(Rows { first: after.as_mut_ptr(), size: [rows, stride, cols] }) };
                for (i, (before, after)) in before.iter().zip(&after).enumerate() {
                    let inside = i % stride < cols;
                    let right = if inside { Activation::HardSwish.apply(*before) } else { *before };
                    let tolerance = if inside { 1e-6 * (1.0 + right.abs()) } else { 0.0 };
                    assert!(
                        (after - right).abs() <= tolerance,
                        "{isa:?}, {rows}x{cols} every {stride}, at {i}: {after}, not {right}"
                    );
                }
            }
        }
    }
}
