//! Channel counts of scaled networks: the one place where they come from floating point.
//!
//! Above: the zoo's tables. Below: nothing. Not here: resolution scaling, which is a number in a weights record.
//! Source: `_make_divisible`, tensorflow/models; the same in torchvision and timm.

/// The multiple of `divisor` nearest to `v`, at least `divisor`, and never below `round_limit · v` (0.9 in every paper).
///
/// # Examples
/// ```
/// use taper_graph::scaling::make_divisible;
/// assert_eq!(make_divisible(32.0 * 1.4, 8, 0.9), 48);
/// assert_eq!(make_divisible(24.0 * 0.35, 8, 0.9), 8);
/// assert_eq!(make_divisible(11.0, 8, 0.9), 16); // 8 would be below 0.9 · 11
/// ```
#[must_use]
pub fn make_divisible(v: f64, divisor: usize, round_limit: f64) -> usize {
    let divisor = divisor.max(1);
    let near = truncate(v + divisor as f64 / 2.0) / divisor * divisor;
    let near = near.max(divisor);
    if (near as f64) < round_limit * v { near + divisor } else { near }
}

/// `ceil(n · depth_mult)`, the repeats of a scaled stage.
#[must_use]
pub fn scale_depth(n: usize, depth_mult: f64) -> usize {
    truncate((n as f64 * depth_mult).ceil())
}

/// The nearest integer, of two the even one, as Python's `round`.
///
/// # Examples
/// ```
/// use taper_graph::scaling::round_half_even;
/// assert_eq!([round_half_even(2.5), round_half_even(3.5), round_half_even(-1.0)], [2, 4, 0]);
/// ```
#[must_use]
pub fn round_half_even(v: f64) -> usize {
    truncate(v.round_ties_even())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is the point"
)]
fn truncate(v: f64) -> usize {
    v.clamp(0.0, f64::from(u32::MAX)) as usize
}
