//! Counts that cannot be mixed up.
//!
//! Above: `count`, `memory`. Below: nothing. Not here: time.

use std::fmt;
use std::iter::Sum;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl Sum for $name {
            /// Stops at the largest number instead of overflowing.
            fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
                Self(counts.fold(0, |sum, count| sum.saturating_add(count.0)))
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
    /// Multiply-accumulates of one image. One is two floating-point operations; papers often say the latter and mean these.
    Macs, ""
);

unit!(
    /// Bytes; a thousand of them are a kilobyte.
    Bytes, "B"
);

/// `letter` is the unit's, if it has one.
fn short(count: u64, letter: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let value = count as f64;
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => {
            let scaled = value / size;
            let digits = if scaled >= 100.0 { 0 } else { 1 + usize::from(scaled < 10.0) };
            write!(f, "{scaled:.digits$} {unit}{letter}")
        }
        None if letter.is_empty() => write!(f, "{count}"),
        None => write!(f, "{count} {letter}"),
    }
}
