//! When two computations of the same numbers agree.
//!
//! Above: every test that compares with PyTorch or between two paths. Below: nothing. Not here: reading fixtures (`fixture`).

/// How far `actual` may be from `expected`: `|actual - expected| <= atol + rtol * |expected|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Relative to the expected value (or norm).
    pub rtol: f64,
    /// In the units of the expected value.
    pub atol: f64,
}

impl Tolerance {
    /// Allowed distance from an expected value (or norm) of this size.
    #[must_use]
    pub fn at(self, expected: f64) -> f64 {
        self.atol + self.rtol * expected.abs()
    }
}

/// Holds every element to `tolerance`.
///
/// # Panics
/// If a length differs, a value is not finite, or an element is too far away; names `path`, the worst index and both values.
pub fn assert_close(path: &str, actual: &[f64], expected: &[f64], tolerance: Tolerance) {
    assert_eq!(actual.len(), expected.len(), "{path}: number of elements");
    let excess = |i: usize| (actual[i] - expected[i]).abs() - tolerance.at(expected[i]);
    let finite = |i: usize| actual[i].is_finite() && expected[i].is_finite();
    if let Some(i) = (0..actual.len()).find(|&i| !finite(i)) {
        assert!(finite(i), "{path}[{i}]: {} where {} was expected", actual[i], expected[i]);
    }
    let worst = (0..actual.len()).max_by(|&i, &j| excess(i).total_cmp(&excess(j)));
    if let Some(i) = worst {
        let (actual, expected) = (actual[i], expected[i]);
        let distance = (actual - expected).abs();
        assert!(
            distance <= tolerance.at(expected),
            "{path}[{i}]: {actual:e} is {distance:e} from {expected:e}, {tolerance:?} allows {:e}",
            tolerance.at(expected)
        );
    }
}

/// Holds a tensor as a whole: `norm(actual - expected) <= atol + rtol * norm(expected)`, Euclidean norms.
///
/// For gradients, whose small elements are differences of large ones.
///
/// # Panics
/// If a length differs or the tensor is too far away; names `path`, both norms and the distance.
pub fn assert_norm_close(path: &str, actual: &[f64], expected: &[f64], tolerance: Tolerance) {
    assert_eq!(actual.len(), expected.len(), "{path}: number of elements");
    let difference: Vec<f64> = actual.iter().zip(expected).map(|(a, e)| a - e).collect();
    let (distance, size) = (norm(&difference), norm(expected));
    let allowed = tolerance.at(size);
    // Written so that a distance that is not a number fails.
    assert!(
        distance <= allowed,
        "{path}: norm {:e} is {distance:e} from norm {size:e}, {tolerance:?} allows {allowed:e}",
        norm(actual)
    );
}

/// Euclidean norm.
#[must_use]
pub fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Largest magnitude; zero of nothing.
#[must_use]
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, v| v.abs().max(largest))
}

#[cfg(test)]
mod tests {
    use super::{Tolerance, assert_close, assert_norm_close};

    const TIGHT: Tolerance = Tolerance { rtol: 0.1, atol: 0.01 };

    fn is_refused(check: impl Fn() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(check).is_err()
    }

    #[test]
    fn a_value_at_the_tolerance_is_close_and_beyond_it_is_not() {
        assert_close("x", &[1.1, 0.01], &[1.0, 0.0], TIGHT);
        assert!(is_refused(|| assert_close("x", &[1.0, 0.02], &[1.0, 0.0], TIGHT)));
        assert!(is_refused(|| assert_norm_close("x", &[1.0, 0.2], &[1.0, 0.0], TIGHT)));
    }

    #[test]
    fn nan_and_missing_elements_are_never_close() {
        let loose = Tolerance { rtol: 1e9, atol: 1e9 };
        assert!(is_refused(|| assert_close("x", &[f64::NAN], &[f64::NAN], loose)));
        assert!(is_refused(|| assert_close("x", &[0.0, 1.0], &[0.0, f64::INFINITY], loose)));
        assert!(is_refused(|| assert_norm_close("x", &[f64::NAN], &[1.0], loose)));
        assert!(is_refused(|| assert_close("x", &[], &[1.0], loose)));
    }
}
