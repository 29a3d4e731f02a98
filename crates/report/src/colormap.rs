//! Numbers from 0 to 1 as colors that change evenly to the eye.
//!
//! Above: `feature_map`, `heat_map`. Below: the `colorous` crate. Not here: how numbers get into that range.

/// A perceptual colormap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Colormap {
    /// Dark violet, green, yellow: for quantities.
    Viridis,
    /// Blue, green, yellow, red: a rainbow without its false edges, for heat over a picture.
    Turbo,
}

impl Colormap {
    /// The color of `share`; below 0, above 1 and for what is no number, that of the nearest end.
    ///
    /// # Examples
    /// ```
    /// use taper_report::Colormap;
    /// assert_eq!(Colormap::Viridis.color(0.0), [68, 1, 84]);
    /// assert_eq!(Colormap::Viridis.color(7.0), Colormap::Viridis.color(1.0));
    /// assert_eq!(Colormap::Viridis.color(f32::NAN), Colormap::Viridis.color(0.0));
    /// ```
    ///
    /// # Source
    /// Viridis: van der Walt and Smith 2015, matplotlib 2.0; turbo: Mikhailov 2019, Google AI.
    #[must_use]
    pub fn color(self, share: f32) -> [u8; 3] {
        let gradient = match self {
            Self::Viridis => colorous::VIRIDIS,
            Self::Turbo => colorous::TURBO,
        };
        // What is no number is drawn as nothing.
        let share = if share.is_nan() { 0.0 } else { f64::from(share).clamp(0.0, 1.0) };
        gradient.eval_continuous(share).as_array()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rec. 709's luma.
    fn lightness([r, g, b]: [u8; 3]) -> f64 {
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    }

    #[test]
    fn more_is_lighter_in_viridis() {
        let steps: Vec<f64> =
            (0..=20u8).map(|i| lightness(Colormap::Viridis.color(f32::from(i) / 20.0))).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    }
}
