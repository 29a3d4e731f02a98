//! Counts and times that cannot be mixed up.
//!
//! Above: all of this crate. Below: nothing. Not here: what is counted (`count`, `memory`), how a time is predicted (`latency`).

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// So many times this; stops at the largest number instead of overflowing.
            #[must_use]
            pub fn times(self, count: usize) -> Self {
                Self(self.0.saturating_mul(count as u64))
            }
        }

        impl Add for $name {
            type Output = Self;

            /// Stops at the largest number instead of overflowing.
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sum for $name {
            /// Stops at the largest number instead of overflowing.
            fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
                counts.fold(Self(0), Add::add)
            }
        }

        impl fmt::Display for $name {
            /// Three digits and a unit: `3.50 M`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                short(self.0, $letter, f)
            }
        }
    };
}

unit!(
    /// Trained parameters.
    Params, ""
);
unit!(
    /// Multiply-accumulates. One is two floating-point operations; papers often say the latter and mean these.
    Macs, ""
);
unit!(
    /// Floating-point operations: two for each multiply-accumulate, and what norms, activations, pools and sums do.
    Flops, ""
);
unit!(
    /// Elements of feature maps and vectors.
    Elements, ""
);
unit!(
    /// Bytes; a thousand of them are a kilobyte.
    Bytes, "B"
);

/// Bytes of a scalar: the engine runs networks in `f32`.
pub(crate) const SCALAR: usize = size_of::<f32>();

impl From<Macs> for Flops {
    fn from(macs: Macs) -> Self {
        Self(macs.0.saturating_mul(2))
    }
}

impl From<Elements> for Bytes {
    /// Of `f32`.
    fn from(elements: Elements) -> Self {
        Self(elements.0).times(SCALAR)
    }
}

impl Bytes {
    /// Of so many `f32`.
    #[must_use]
    pub fn of_elements(elements: usize) -> Self {
        Self(elements as u64).times(SCALAR)
    }
}

/// A time.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The same in milliseconds.
    #[must_use]
    pub fn ms(self) -> f64 {
        self.0 * 1e3
    }
}

impl Add for Seconds {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Seconds {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sum for Seconds {
    fn sum<I: Iterator<Item = Self>>(times: I) -> Self {
        Self(times.map(|time| time.0).sum())
    }
}

impl fmt::Display for Seconds {
    /// Three digits and a unit: `4.12 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")];
        let (size, unit) =
            units.into_iter().find(|(size, _)| self.0 >= *size).unwrap_or((1e-6, "µs"));
        write!(f, "{} {unit}", three_digits(self.0 / size))
    }
}

/// `letter` is the unit's, if it has one.
fn short(count: u64, letter: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let value = count as f64;
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => write!(f, "{} {unit}{letter}", three_digits(value / size)),
        None if letter.is_empty() => write!(f, "{count}"),
        None => write!(f, "{count} {letter}"),
    }
}

fn three_digits(value: f64) -> String {
    let digits = if value >= 100.0 { 0 } else { 1 + usize::from(value < 10.0) };
    format!("{value:.digits$}")
}
