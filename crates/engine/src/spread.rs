//! Many measurements in three numbers.
//!
//! Above: `session::profile`, `recipes`, xtask. Below: nothing. Not here: the clock.

/// The middle of a set of measurements, and what most of them lie between. The unit is the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Half of the measurements are at most this.
    pub median: f64,
    /// A tenth of the measurements are at most this.
    pub p10: f64,
    /// A tenth of the measurements are at least this.
    pub p90: f64,
}

impl Spread {
    /// Sums up measurements in any order; `None` of none. Between two of them the quantile is interpolated linearly, as NumPy does.
    ///
    /// # Examples
    /// ```
    /// use taper_engine::Spread;
    /// let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
    /// assert_eq!(spread.median, 2.5);
    /// assert!((spread.p10 - 1.3).abs() < 1e-12 && (spread.p90 - 3.7).abs() < 1e-12);
    /// assert!(Spread::of(&[]).is_none());
    /// ```
    #[must_use]
    pub fn of(measurements: &[f64]) -> Option<Self> {
        let mut sorted = measurements.to_vec();
        sorted.sort_by(f64::total_cmp);
        let quantile = |share: f64| quantile(&sorted, share);
        Some(Self { median: quantile(0.5)?, p10: quantile(0.1)?, p90: quantile(0.9)? })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in the list, rounded down"
)]
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = share * (sorted.len().checked_sub(1)? as f64);
    let below = position.floor() as usize;
    let above = sorted.get(below + 1).unwrap_or(&sorted[below]);
    Some(sorted[below] + (above - sorted[below]) * (position - position.floor()))
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn one_measurement_is_its_own_spread() {
        let spread = Spread::of(&[7.0]).unwrap();
        assert_eq!(spread, Spread { median: 7.0, p10: 7.0, p90: 7.0 });
    }

    #[test]
    fn eleven_measurements_have_quantiles_among_them() {
        let measurements: Vec<f64> = (0..11).rev().map(f64::from).collect();
        let spread = Spread::of(&measurements).unwrap();
        assert_eq!(spread, Spread { median: 5.0, p10: 1.0, p90: 9.0 });
    }
}
