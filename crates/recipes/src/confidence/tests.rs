//! Temperatures that are known beforehand, thresholds, and data that say nothing.

use taper_data::random::Rng;

use super::*;

/// Pictures of two classes whose first logit is the logarithm of the odds that they are right, times `sure`.
fn drawn(n: usize, sure: f64) -> Seen {
    let mut rng = Rng::keyed([7]);
    let mut seen = Seen::default();
    for _ in 0..n {
        let share = 0.5 + 0.5 * rng.unit();
        let logit = sure * (share / (1.0 - share).max(1e-9)).ln();
        #[expect(clippy::cast_possible_truncation, reason = "logits are of this precision")]
        seen.logits.extend([logit as f32, 0.0]);
        seen.classes.push(u32::from(rng.unit() >= share));
    }
    seen
}

#[test]
fn the_temperature_undoes_what_makes_logits_too_large_or_too_small() {
    for sure in [0.5, 1.0, 3.0] {
        let seen = drawn(4000, sure);
        let all: Vec<usize> = (0..4000).collect();
        let temperature = temperature::fit(&seen, &all);
        assert!((temperature / sure - 1.0).abs() < 0.1, "{sure}: {temperature}");
        let (confidence, calibrated, _) = of_outputs(None, &seen).unwrap();
        assert!((confidence.temperature() - temperature).abs() < 1e-12);
        assert!(calibrated.ece.is_some_and(|ece| ece < 0.03), "{calibrated:?}");
        assert!((0.003..0.03).contains(&calibrated.ece_by_chance), "{calibrated:?}");
        assert!(sure < 2.0 || calibrated.ece_before > 0.1, "{calibrated:?}");
    }
}

#[test]
fn few_pictures_that_are_all_right_ask_for_no_extreme() {
    let seen = Seen { logits: [5.0, 0.0].repeat(3), classes: vec![0; 3], ..Seen::default() };
    let (confidence, calibrated, _) = of_outputs(None, &seen).unwrap();
    assert!((0.3..1.0).contains(&confidence.temperature()), "{calibrated:?}");
    assert_eq!((calibrated.ece, calibrated.known_from), (None, None));
    let nothing = Seen { logits: vec![f32::NAN; 2], classes: vec![0], ..Seen::default() };
    let (confidence, ..) = of_outputs(None, &nothing).unwrap();
    assert!((confidence.temperature() - 1.0).abs() < 1e-6);
}

#[test]
fn the_threshold_keeps_95_of_100_held_out_pictures() {
    let around = |n: usize| -> Vec<f32> {
        let angle = |i: usize| (i as f32) * 0.01;
        (0..n).flat_map(|i| [angle(i).cos(), angle(i).sin()]).collect()
    };
    let of = |features: Vec<f32>| Seen {
        classes: vec![0; features.len() / 2],
        logits: vec![0.0; features.len()],
        features,
        ..Seen::default()
    };
    let known = familiarity(&of(vec![2.0, 0.0]), &of(around(100))).unwrap().unwrap();
    let kept = around(100).chunks_exact(2).filter(|row| known.is_known(row)).count();
    assert_eq!(kept, 95);
    assert!(familiarity(&of(vec![0.0; 4]), &of(around(3))).unwrap().is_none(), "no features");
}

/// What was known stays known, and nineteen of twenty held-out pictures of a new class are.
#[test]
fn a_new_class_is_known_by_its_mean_and_lowers_the_threshold_to_its_pictures() {
    let old = Confidence::new(1.5, 40).unwrap();
    let familiarity = Familiarity::new(&[1.0, 0.0, 0.0], 3).unwrap().with_length(2.0).unwrap();
    let old = old.with_familiarity(familiarity.with_threshold(0.99, 0.95).unwrap());
    let train = vec![vec![0.0, 3.0, 0.0, 0.0, 1.0, 0.0]];
    let mut val: Vec<f32> = [0.0, 1.0, 0.5].repeat(19);
    val.extend([0.0, 0.0, 1.0]);
    let known = |it: &Confidence, of: &[f32]| it.familiarity().is_some_and(|it| it.is_known(of));
    let new = with_classes(&old, &train, &val).unwrap();
    assert!((new.temperature() - 1.5).abs() < 1e-12 && new.images() == 40);
    assert!(known(&new, &[5.0, 0.0, 0.0]) && known(&new, &[0.0, 1.0, 0.5]));
    assert!(!known(&old, &[0.0, 1.0, 0.5]) && !known(&new, &[0.0, 0.0, 1.0]));
    // Pictures that are as near as those before do not raise it, and of none there is nothing to learn.
    let near = with_classes(&old, &train, &[0.0, 1.0, 0.0]).unwrap();
    assert_eq!(near.familiarity().map(Familiarity::threshold), Some(0.99));
    assert_eq!(with_classes(&old, &[], &[]).unwrap(), old);
    assert_eq!(with_classes(&old, &[vec![0.0; 3]], &[]).unwrap(), old);
}

#[test]
fn areas_are_those_of_ranks() {
    let area = |known: &[f64], others: &[f64]| ranking_area(known, others).unwrap();
    assert_eq!(area(&[0.9, 0.8], &[0.1, 0.2, 0.3]), Some(1.0));
    assert_eq!(area(&[0.5], &[0.5]), Some(0.5));
    assert_eq!(area(&[1.0 + 1e-12, 0.0], &[1.0]), Some(0.5), "beyond single precision");
    assert_eq!(area(&[], &[0.5]), None);
}

#[test]
fn pictures_for_means_are_spread_over_each_class() {
    let sample = |i: u32| Sample::from_static(i.to_string(), u32::from(i >= 120), b"");
    let samples: Vec<Sample> = (0..130).map(sample).collect();
    let some = some_of_each_class(&samples, 3);
    assert_eq!(some.len(), PER_CLASS + 10);
    assert_eq!((some[0].name(), some[1].name(), some[49].name()), ("0", "2", "117"));
}
