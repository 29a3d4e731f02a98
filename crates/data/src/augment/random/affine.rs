//! Affine maps and rotations drawn at random.
//!
//! Above: `augment::random`. Below: `augment::operation`. Not here: the maps (`augment::warp`).

use super::is_range;
use crate::augment::{Affine, Augmentation, BLACK, Fill, Operation, Sampling};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::random::Rng;

const ANGLES: &str = "a rising range of finite numbers";

/// torchvision's `RandomAffine`: an angle, a translation, a scale and shears, each uniform in its range.
///
/// # Examples
/// ```
/// use taper_data::augment::{Augmentation, RandomAffine};
/// use taper_data::{Image, random::Rng};
/// let affine = RandomAffine::new(15.0)?.with_translate([0.1, 0.1])?.with_scale([0.8, 1.2])?;
/// let mut image = Image::new(8, 8, vec![200; 192])?;
/// affine.apply(&mut image, &mut Rng::keyed([1]))?;
/// assert!(RandomAffine::new(0.0)?.with_scale([0.0, 1.0]).is_err());
/// # Ok::<(), taper_data::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RandomAffine {
    degrees: [f64; 2],
    translate: Option<[f64; 2]>,
    scale: Option<[f64; 2]>,
    shear: Option<[[f64; 2]; 2]>,
    sampling: Sampling,
    fill: Fill,
}

impl RandomAffine {
    /// Angles from `-degrees` to `degrees`; nearest sampling, black outside.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is negative or not finite.
    pub fn new(degrees: f64) -> Result<Self> {
        let degrees = is_range("degrees", [-degrees, degrees], [f64::MIN, f64::MAX], ANGLES)?;
        let (sampling, fill) = (Sampling::Nearest, BLACK);
        Ok(Self { degrees, translate: None, scale: None, shear: None, sampling, fill })
    }

    /// Translations by up to these shares of the width and the height, either way, in whole pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] unless both are from 0 to 1.
    pub fn with_translate(self, translate: [f64; 2]) -> Result<Self> {
        if !translate.iter().all(|share| (0.0..=1.0).contains(share)) {
            let got = format!("{translate:?}");
            return Err(Error::Setting { setting: "a translation", got, expected: "0 to 1" });
        }
        Ok(Self { translate: Some(translate), ..self })
    }

    /// Scales of this range.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is rising, finite and above 0.
    pub fn with_scale(self, scale: [f64; 2]) -> Result<Self> {
        let bounds = [f64::MIN_POSITIVE, f64::MAX];
        let scale = is_range("a scale", scale, bounds, "a rising range above 0")?;
        Ok(Self { scale: Some(scale), ..self })
    }

    /// Shears along x and along y of these ranges, degrees.
    ///
    /// # Errors
    /// [`Error::Setting`] unless both are rising and within -89 and 89.
    pub fn with_shear(self, along_x: [f64; 2], along_y: [f64; 2]) -> Result<Self> {
        let expected = "a rising range within -89 and 89 degrees";
        for range in [along_x, along_y] {
            is_range("a shear", range, [-89.0, 89.0], expected)?;
        }
        Ok(Self { shear: Some([along_x, along_y]), ..self })
    }

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill, ..self }
    }

    /// What is done to a picture of `(height, width)` pixels. Draws angle, translation, scale and shears, in this order.
    #[must_use]
    pub fn draw(&self, [height, width]: [usize; 2], rng: &mut Rng) -> Operation {
        let degrees = rng.between(self.degrees);
        let mut along = |share: f64, side: usize| {
            let most = share * side as f64;
            rng.between([-most, most]).round_ties_even()
        };
        let translate =
            self.translate.map_or([0.0; 2], |[x, y]| [along(x, width), along(y, height)]);
        let scale = self.scale.map_or(1.0, |range| rng.between(range));
        let shear = self.shear.map_or([0.0; 2], |ranges| ranges.map(|range| rng.between(range)));
        let map = Affine { degrees, translate, scale, shear, center: None };
        Operation::Affine { map, sampling: self.sampling, fill: self.fill }
    }
}

impl Augmentation for RandomAffine {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        self.draw([image.height(), image.width()], rng).apply(image)
    }
}

/// torchvision's `RandomRotation`: an angle uniform in a range.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomRotation {
    degrees: [f64; 2],
    sampling: Sampling,
    fill: Fill,
}

impl RandomRotation {
    /// Angles of this range, counterclockwise; nearest sampling, black outside.
    ///
    /// # Errors
    /// [`Error::Setting`] unless it is rising and finite.
    pub fn new(degrees: [f64; 2]) -> Result<Self> {
        let degrees = is_range("degrees", degrees, [f64::MIN, f64::MAX], ANGLES)?;
        Ok(Self { degrees, sampling: Sampling::Nearest, fill: BLACK })
    }

    /// How it is sampled, and the color of what lies outside.
    #[must_use]
    pub fn with_sampling(self, sampling: Sampling, fill: Fill) -> Self {
        Self { sampling, fill, ..self }
    }

    /// What is done.
    #[must_use]
    pub fn draw(&self, rng: &mut Rng) -> Operation {
        let degrees = rng.between(self.degrees);
        Operation::Rotate { degrees, sampling: self.sampling, fill: self.fill }
    }
}

impl Augmentation for RandomRotation {
    fn apply(&self, image: &mut Image, rng: &mut Rng) -> Result<()> {
        self.draw(rng).apply(image)
    }
}
