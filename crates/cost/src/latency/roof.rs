//! What a machine can do at best, and the least time that work can take on it.
//!
//! Above: `calibration`, `taper-engine`, which measures it. Below: `unit`. Not here: measuring.
//! Source: Williams, Waterman and Patterson 2009, "Roofline", <https://doi.org/10.1145/1498765.1498785>.

use serde::{Deserialize, Serialize};

use crate::{Bytes, Flops, Seconds, Work};

/// The limits of so many threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roof {
    /// Threads.
    pub threads: usize,
    /// Floating-point operations a second, on registers.
    pub flops_per_second: f64,
    /// Bytes of a copy, read and written together, and how many of them move in a second: small ones stay in a cache.
    pub copies: Vec<(u64, f64)>,
}

impl Roof {
    /// Bytes a second that a copy of as many bytes moves.
    #[must_use]
    pub fn bandwidth(&self, bytes: Bytes) -> f64 {
        let fits = self.copies.iter().find(|(size, _)| *size >= bytes.0).or(self.copies.last());
        fits.map_or(f64::INFINITY, |(_, per_second)| *per_second)
    }

    /// The least time that so much work can take: by arithmetic or by memory, whichever is longer.
    ///
    /// # Examples
    /// ```
    /// use taper_cost::{Roof, Seconds, Work};
    /// let roof = Roof { threads: 1, flops_per_second: 1e9, copies: vec![(1 << 20, 1e9)] };
    /// assert_eq!(roof.bound(&Work::default()), Seconds(0.0));
    /// ```
    #[must_use]
    pub fn bound(&self, work: &Work) -> Seconds {
        self.least(Flops::from(work.macs), work.bytes())
    }

    /// [`Roof::bound`] of operations and bytes.
    #[must_use]
    pub fn least(&self, flops: Flops, bytes: Bytes) -> Seconds {
        let arithmetic = flops.0 as f64 / self.flops_per_second;
        Seconds(arithmetic.max(bytes.0 as f64 / self.bandwidth(bytes)))
    }
}
