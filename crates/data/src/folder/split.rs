//! Splits a list of samples into train and val, class by class.
//!
//! Above: `folder`. Below: `random`. Not here: folders that bring their own split.

use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::random::Rng;

/// Marks the stream of random numbers that chooses the split.
const SPLIT: u64 = 0x73_706c_6974; // "split"

/// Moves `val_fraction` of every class, rounded, at least one and not all, from the samples to a second list.
///
/// Depends on the seed and on the names in each class, not on other classes. Order within each list is kept.
pub(crate) fn stratified(
    samples: Vec<Sample>,
    classes: &[String],
    val_fraction: f64,
    seed: u64,
) -> Result<(Vec<Sample>, Vec<Sample>)> {
    let mut validates = vec![false; samples.len()];
    for (label, class) in (0_u32..).zip(classes) {
        let mut members: Vec<usize> =
            (0..samples.len()).filter(|&i| samples[i].class() == Some(label)).collect();
        if members.len() < 2 {
            return Err(Error::TooFewToSplit { class: class.clone(), images: members.len() });
        }
        let n_val = share(members.len(), val_fraction);
        Rng::keyed([seed, SPLIT, u64::from(label)]).shuffle(&mut members);
        for &index in &members[..n_val] {
            validates[index] = true;
        }
    }
    Ok(divided(samples, validates))
}

/// Moves `val_fraction` of the samples, rounded, at least one and not all, to a second list, whatever their targets are.
#[cfg(feature = "table")]
pub(crate) fn random(
    samples: Vec<Sample>,
    val_fraction: f64,
    seed: u64,
) -> Result<(Vec<Sample>, Vec<Sample>)> {
    if samples.len() < 2 {
        return Err(Error::TooFewToSplit { class: "all".to_owned(), images: samples.len() });
    }
    let mut order: Vec<usize> = (0..samples.len()).collect();
    Rng::keyed([seed, SPLIT]).shuffle(&mut order);
    let mut validates = vec![false; samples.len()];
    for &index in &order[..share(samples.len(), val_fraction)] {
        validates[index] = true;
    }
    Ok(divided(samples, validates))
}

/// The samples that do not validate, and those that do.
fn divided(samples: Vec<Sample>, validates: Vec<bool>) -> (Vec<Sample>, Vec<Sample>) {
    let (mut train, mut val) = (Vec::new(), Vec::new());
    for (sample, is_val) in samples.into_iter().zip(validates) {
        if is_val { val.push(sample) } else { train.push(sample) }
    }
    (train, val)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length, between 0 and the length"
)]
fn share(n: usize, fraction: f64) -> usize {
    ((n as f64 * fraction).round() as usize).clamp(1, n - 1)
}

#[cfg(test)]
mod tests {
    use super::{Sample, stratified};

    fn samples(counts: [usize; 2]) -> Vec<Sample> {
        (0_u32..)
            .zip(counts)
            .flat_map(|(label, n)| (0..n).map(move |i| (label, i)))
            .map(|(label, i)| Sample::from_file(format!("{label}/{i:03}"), label, "".into()))
            .collect()
    }

    #[test]
    fn each_class_gives_its_share_and_nothing_is_lost() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let (train, val) = stratified(samples([100, 10]), &classes, 0.2, 7).unwrap();
        let count =
            |part: &[Sample], label| part.iter().filter(|s| s.class() == Some(label)).count();
        assert_eq!([count(&train, 0), count(&val, 0)], [80, 20]);
        assert_eq!([count(&train, 1), count(&val, 1)], [8, 2]);
        let names = |part: &[Sample]| part.iter().map(|s| s.name().to_owned()).collect::<Vec<_>>();
        assert!(names(&train).is_sorted() && names(&val).is_sorted());
        let again = stratified(samples([100, 10]), &classes, 0.2, 7).unwrap();
        assert_eq!(names(&again.1), names(&val));
        let other = stratified(samples([100, 10]), &classes, 0.2, 8).unwrap();
        assert_ne!(names(&other.1), names(&val));
    }

    #[test]
    fn small_classes_keep_one_on_each_side() {
        let classes = ["a".to_owned(), "b".to_owned()];
        let (train, val) = stratified(samples([2, 3]), &classes, 0.01, 0).unwrap();
        assert_eq!((train.len(), val.len()), (3, 2));
        let (train, val) = stratified(samples([2, 3]), &classes, 0.99, 0).unwrap();
        assert_eq!((train.len(), val.len()), (2, 3));
        let error = stratified(samples([5, 1]), &classes, 0.2, 0).unwrap_err();
        assert!(error.to_string().contains("class `b` has 1 picture"), "{error}");
    }
}
