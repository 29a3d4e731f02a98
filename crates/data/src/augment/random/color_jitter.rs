//! Brightness, contrast, saturation and hue changed at random, in a random order.
//!
//! Above: `augment::random`. Below: `augment::operation`. Not here: the changes (`augment::color`).

use super::is_range;
use crate::augment::{Augmentation, Operation, apply_all};
use crate::error::Result;
use crate::image::Image;
use crate::random::Rng;

/// torchvision's `ColorJitter`: factors of brightness, contrast and saturation and a turn of hue, each uniform in its range, in a random order.
///
/// # Examples
/// ```
/// use taper_data::augment::ColorJitter;
/// let jitter = ColorJitter::new([0.4, 0.4, 0.4], 0.1)?; // factors of 0.6 to 1.4, a tenth of a turn either way
/// assert_eq!(jitter.draw(&mut taper_data::random::Rng::keyed([0])).len(), 4);
/// assert!(ColorJitter::new([0.4, 0.4, -0.4], 0.0).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ColorJitter {
    factors: [Option<[f64; 2]>; 3],
    hue: Option<[f64; 2]>,
}

impl ColorJitter {
    /// Brightness, contrast and saturation by factors from `max(0, 1 - x)` to `1 + x`, hue by `-hue` to `hue` of a turn; 0 leaves one alone.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if an amount is negative or not finite, or that of hue above 0.5.
    pub fn new(amounts: [f64; 3], hue: f64) -> Result<Self> {
        let [brightness, contrast, saturation] = amounts.map(|x| [(1.0 - x).max(0.0), 1.0 + x]);
        Self::in_ranges([brightness, contrast, saturation], [-hue, hue])
    }

    /// Factors of brightness, contrast and saturation and turns of hue from ranges of one's own; `[1, 1]`, for hue `[0, 0]`, leaves one alone.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if a range is not rising, or not within 0 and above, that of hue within -0.5 and 0.5.
    pub fn in_ranges(factors: [[f64; 2]; 3], hue: [f64; 2]) -> Result<Self> {
        for range in factors {
            let expected = "a rising range of numbers of 0 and more";
            is_range("a factor of color jitter", range, [0.0, f64::MAX], expected)?;
        }
        is_range("hue of color jitter", hue, [-0.5, 0.5], "a rising range within -0.5 and 0.5")?;
        let changing = |range: [f64; 2], center: f64| {
            (range.iter().any(|x| x.total_cmp(&center).is_ne())).then_some(range)
        };
        let hue = if hue[0].abs() + hue[1].abs() > 0.0 { Some(hue) } else { None };
        Ok(Self { factors: factors.map(|range| changing(range, 1.0)), hue })
    }

    /// What is done, in order. Draws a permutation, then the amounts.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> Vec<Operation> {
        let mut order = [0, 1, 2, 3];
        rng.shuffle(&mut order);
        let mut amount = |range: Option<[f64; 2]>| range.map(|range| rng.between(range));
        let [brightness, contrast, saturation] = self.factors.map(&mut amount);
        let drawn = [
            brightness.map(Operation::Brightness),
            contrast.map(Operation::Contrast),
            saturation.map(Operation::Saturation),
            amount(self.hue).map(Operation::Hue),
        ];
        order.into_iter().filter_map(|which| drawn[which]).collect()
    }
}

impl Augmentation for ColorJitter {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        apply_all(&self.draw(rng), image)
    }
}
