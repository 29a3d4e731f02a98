//! The pictures of a data set divided anew: at random, again and again, or so that each validates once.
//!
//! Above: `recipes`. Below: `random`. Not here: the split of a folder that has none (`folder`).
//! Both parts are put together first, in the order of classes and of the names that they have in them: pictures of which several have the same name in both parts keep the order of the parts.

use super::{Dataset, Sample};
use crate::error::{Error, Result};
use crate::random::Rng;

/// Mark the streams of random numbers that choose.
const AGAIN: u64 = 0x61_6761_696e; // "again"
const FOLDS: u64 = 0x66_6f6c_6473; // "folds"

impl Dataset {
    /// The same pictures with another split: of every class, or of all where there are none, the share `val_fraction` validates, at least one
    /// and not all; `seed` decides which.
    ///
    /// # Errors
    /// [`Error::TooFewToSplit`] for a class of one picture, [`Error::Setting`] for a share that is none.
    ///
    /// # Examples
    /// ```
    /// let dataset = taper_data::sample_set::emoji6()?;
    /// let other = dataset.split_again(0.5, 3)?;
    /// assert_eq!(other.train.len() + other.val.len(), dataset.train.len() + dataset.val.len());
    /// assert!(other.train.len().abs_diff(other.val.len()) <= 6);
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a length, between 0 and the length"
    )]
    pub fn split_again(&self, val_fraction: f64, seed: u64) -> Result<Self> {
        if !(val_fraction > 0.0 && val_fraction < 1.0) {
            let (setting, got) = ("val_fraction", val_fraction.to_string());
            return Err(Error::Setting {
                setting,
                got,
                expected: "between 0 and 1, both excluded",
            });
        }
        self.divided([seed, AGAIN], |place, n| {
            place < ((n as f64 * val_fraction).round() as usize).clamp(1, n - 1)
        })
    }

    /// The same pictures divided into `k` folds of which number `fold`, from 0, validates: over all `k`, each picture validates once. Folds
    /// have as many of every class, as far as that goes; `seed` decides which.
    ///
    /// # Errors
    /// [`Error::TooFewToSplit`] for a class of one picture, [`Error::Setting`] for fewer than two folds or more than there are pictures.
    ///
    /// # Examples
    /// ```
    /// let dataset = taper_data::sample_set::emoji6()?;
    /// let sizes: Result<Vec<usize>, _> = (0..5).map(|fold| Ok(dataset.fold(5, fold, 0)?.val.len())).collect();
    /// let sizes = sizes.map_err(|error: taper_data::Error| error)?;
    /// assert_eq!(sizes.iter().sum::<usize>(), dataset.train.len() + dataset.val.len());
    /// # Ok::<(), taper_data::Error>(())
    /// ```
    pub fn fold(&self, k: usize, fold: usize, seed: u64) -> Result<Self> {
        let pictures = self.train.len() + self.val.len();
        if k < 2 || k > pictures || fold >= k {
            let got = format!("{k}, of which number {fold}, of {pictures} pictures");
            let expected = "2 or more, no more than there are pictures, and one of them";
            return Err(Error::Setting { setting: "folds", got, expected });
        }
        let divided = self.divided([seed, FOLDS], |place, _| place % k == fold)?;
        match divided.val.is_empty() {
            true => Err(Error::EmptyPart { part: "val" }),
            false => Ok(divided),
        }
    }

    /// Divides by what is said of the place of a sample among the `n` of its class, in an order that is drawn. Places of the next class go on
    /// where those of the class before have ended, so that folds of small classes are not all the same.
    fn divided(&self, key: [u64; 2], validates: impl Fn(usize, usize) -> bool) -> Result<Self> {
        let mut all: Vec<Sample> = self.train.iter().chain(&self.val).cloned().collect();
        all.sort_by(|a, b| (a.class(), a.name()).cmp(&(b.class(), b.name())));
        let mut is_val = vec![false; all.len()];
        let is_fold = key[1] == FOLDS;
        let mut before = 0;
        for (label, name) in (0_u32..).zip(self.groups()) {
            let of_group = |sample: &Sample| sample.class().is_none_or(|class| class == label);
            let mut members: Vec<usize> = (0..all.len()).filter(|&at| of_group(&all[at])).collect();
            let n = members.len();
            if n < 2 {
                return Err(Error::TooFewToSplit { class: name, images: n });
            }
            Rng::keyed([key[0], key[1], u64::from(label)]).shuffle(&mut members);
            let first = if is_fold { before } else { 0 };
            for (place, &at) in members.iter().enumerate() {
                is_val[at] = validates(first + place, n);
            }
            before += n;
        }
        let (mut train, mut val) = (Vec::new(), Vec::new());
        for (sample, is_val) in all.into_iter().zip(is_val) {
            if is_val { val.push(sample) } else { train.push(sample) }
        }
        Ok(Self { classes: self.classes.clone(), train, val, skipped: self.skipped.clone() })
    }

    /// What is divided by itself: each class, or all where there are none.
    fn groups(&self) -> Vec<String> {
        let has_classes = self.train.iter().chain(&self.val).all(|sample| sample.class().is_some());
        if has_classes { self.classes.clone() } else { vec!["all".to_owned()] }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Image;

    fn grey(name: &str, class: u32) -> Sample {
        Sample::from_image(name, class, Image::new(1, 1, vec![7; 3]).unwrap())
    }

    /// Of two classes, seven and three.
    fn dataset() -> Dataset {
        let train = (0..7).map(|i| grey(&format!("a{i}"), 0));
        let val = (0..3).map(|i| grey(&format!("b{i}"), 1));
        Dataset::new(["a", "b"], train.collect(), val.collect()).unwrap()
    }

    fn names(samples: &[Sample]) -> BTreeSet<String> {
        samples.iter().map(|sample| sample.name().to_owned()).collect()
    }

    #[test]
    fn each_picture_validates_once_and_trains_otherwise() {
        let dataset = dataset();
        let mut seen = Vec::new();
        for fold in 0..5 {
            let divided = dataset.fold(5, fold, 1).unwrap();
            assert_eq!(divided.val.len(), 2, "ten pictures in five folds");
            assert!(names(&divided.train).is_disjoint(&names(&divided.val)));
            assert_eq!(divided.train.len() + divided.val.len(), 10);
            seen.extend(names(&divided.val));
        }
        assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (10, 10));
        let of = |seed| names(&dataset.fold(5, 0, seed).unwrap().val);
        assert!((0..8).any(|seed| of(seed) != of(0)));
        assert!(dataset.fold(1, 0, 0).is_err() && dataset.fold(11, 0, 0).is_err());
        assert!(dataset.fold(5, 5, 0).is_err());
    }

    #[test]
    fn a_new_split_does_not_depend_on_the_old_one_and_has_every_class_in_both_parts() {
        let first = dataset().split_again(0.3, 4).unwrap();
        let again = first.split_again(0.3, 4).unwrap();
        assert_eq!(names(&first.val), names(&again.val));
        assert_eq!(first.count_by_class(&first.val), [2, 1]);
        assert!(
            (5..9)
                .any(|seed| names(&first.split_again(0.3, seed).unwrap().val) != names(&first.val))
        );
        let alone = Dataset::new(["a", "b"], vec![grey("a", 0), grey("c", 0)], vec![grey("b", 1)]);
        let refused = alone.unwrap().split_again(0.5, 0);
        assert!(matches!(refused, Err(Error::TooFewToSplit { images: 1, .. })));
        assert!(first.split_again(1.0, 0).is_err());
    }
}
