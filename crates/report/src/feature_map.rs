//! Channels of a feature map as pictures, and which of them are strong.
//!
//! Above: `recipes`. Below: `colormap`, `picture`. Not here: running a network.
//! Maps are `(h, w, c)`, channels last. A channel is drawn from its own smallest to its own largest value, so colors compare
//! positions of one channel and not channels.

use crate::colormap::Colormap;
use crate::error::{Error, Result, check};
use crate::picture::Picture;

/// One channel of a map, one pixel a position, in viridis from the channel's smallest value to its largest. A channel without
/// contrast is all dark.
///
/// # Errors
/// [`Error::Length`] if `map` has another length than `h·w·c`, [`Error::Empty`] without positions or for a channel beyond the last.
///
/// # Examples
/// ```
/// use taper_report::{Colormap, feature_map};
/// let picture = feature_map(&[-1.0, 0.0, 3.0, 1.0], [1, 4, 1], 0)?;
/// assert_eq!(picture.rgb()[..3], Colormap::Viridis.color(0.0));
/// assert_eq!(picture.rgb()[3..6], Colormap::Viridis.color(0.25));
/// assert_eq!(picture.rgb()[6..9], Colormap::Viridis.color(1.0));
/// # Ok::<(), taper_report::Error>(())
/// ```
pub fn feature_map(map: &[f32], [h, w, c]: [usize; 3], channel: usize) -> Result<Picture> {
    let what = "a feature map";
    check(what, &[h, w, c], map.len())?;
    if channel >= c {
        return Err(Error::Empty { what, shape: vec![h, w, 0] });
    }
    let at = |row: usize, column: usize| map[(row * w + column) * c + channel];
    let values = (0..h * w).map(|i| at(i / w, i % w)).filter(|value| value.is_finite());
    let [low, high] =
        values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)]);
    let share = |value: f32| if high > low { (value - low) / (high - low) } else { 0.0 };
    Ok(Picture::from_fn(h, w, |row, column| Colormap::Viridis.color(share(at(row, column)))))
}

/// The channels of a map with their strength, the mean of the absolute value over all positions; the strongest first, of equal
/// ones the lower index. A channel that holds what is no number comes last.
///
/// # Errors
/// As [`feature_map`].
///
/// # Examples
/// ```
/// let map = [1.0, -3.0, 0.0, 1.0, -2.0, 0.0]; // two positions, three channels
/// let strong = taper_report::strongest(&map, [1, 2, 3])?;
/// assert_eq!(strong, [(1, 2.5), (0, 1.0), (2, 0.0)]);
/// # Ok::<(), taper_report::Error>(())
/// ```
pub fn strongest(map: &[f32], [h, w, c]: [usize; 3]) -> Result<Vec<(usize, f64)>> {
    check("a feature map", &[h, w, c], map.len())?;
    let mut sums = vec![0.0; c];
    for position in map.chunks_exact(c) {
        for (sum, &value) in sums.iter_mut().zip(position) {
            *sum += f64::from(value.abs());
        }
    }
    let mean = |sum: f64| sum / (h * w) as f64;
    let mut order: Vec<(usize, f64)> = sums.into_iter().map(mean).enumerate().collect();
    let rank = |strength: f64| if strength.is_finite() { strength } else { -1.0 };
    order.sort_by(|a, b| rank(b.1).total_cmp(&rank(a.1)));
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_channel_is_dark_and_holes_are_too() {
        let dark = Colormap::Viridis.color(0.0);
        let flat = feature_map(&[5.0, 5.0], [2, 1, 1], 0).unwrap();
        assert_eq!(flat.rgb(), [dark, dark].concat());
        let holed = feature_map(&[f32::NAN, 0.0, 1.0], [1, 3, 1], 0).unwrap();
        assert_eq!(holed.rgb(), [dark, dark, Colormap::Viridis.color(1.0)].concat());
    }

    #[test]
    fn equal_channels_keep_their_order_and_no_numbers_come_last() {
        let strong = strongest(&[f32::NAN, 2.0, -2.0, 0.0], [1, 1, 4]).unwrap();
        let order: Vec<usize> = strong.iter().map(|&(channel, _)| channel).collect();
        assert_eq!(order, [1, 2, 3, 0]);
    }

    #[test]
    fn misfits_are_refused() {
        let error = feature_map(&[0.0; 5], [1, 2, 3], 0).unwrap_err().to_string();
        assert_eq!(error, "a feature map of [1, 2, 3] has 5 numbers, expected 6");
        assert!(matches!(feature_map(&[0.0; 6], [1, 2, 3], 3), Err(Error::Empty { .. })));
        assert!(matches!(strongest(&[], [0, 2, 3]), Err(Error::Empty { .. })));
    }
}
