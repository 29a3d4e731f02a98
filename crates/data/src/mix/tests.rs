//! What is drawn, and batches against slow sums over copies.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Mix, Mixed, partner};
use crate::array::Array;
use crate::random::Rng;
use crate::targets::Targets;
use crate::transform::Rect;

fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::keyed([seed]);
    (0..n).map(|_| (rng.below(2001) as f32 - 1000.0) / 500.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    #[test]
    fn batches_equal_sums_of_copies(
        n in 1_usize..9, size in [1_usize..7, 1_usize..7], channels in 1_usize..4, weight in 0.0_f64..1.0,
        threads in 1_usize..4, corner in [0_usize..7, 0_usize..7], seed: u64, cuts: bool,
    ) {
        let each = size[0] * size[1] * channels;
        let before = noise(n * each, seed);
        let [top, left] = [corner[0] % size[0], corner[1] % size[1]];
        let rect = Rect { top, left, height: size[0] - top, width: (size[1] - left).div_ceil(2) };
        let mixed = match cuts {
            true => Mixed::Cutmix { rect: Some(rect), weight },
            false => Mixed::Mixup { weight },
        };
        let classes: Vec<u32> = [0, 2, 4, 1, 3].into_iter().cycle().take(n).collect();
        let mix = Mix::new(1.0, 1.0, 5).unwrap();
        let mut xs = before.clone();
        let targets = mix.apply(mixed, &mut xs, size, &classes.clone().into(), threads).unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "as the batch has them")]
        let [own, other] = [weight as f32, (1.0 - weight) as f32];
        for (at, x) in xs.iter().enumerate() {
            let (row, inside) = (at / each, at % each);
            let pixel = inside / channels;
            let [y, column] = [pixel / size[1], pixel % size[1]];
            let partner = before[(row + n / 2) % n * each + inside];
            let expected = match mixed {
                _ if n == 1 => before[at],
                Mixed::Mixup { .. } => before[at] * own + partner * other,
                _ if y >= top && column >= left && column < left + rect.width => partner,
                _ => before[at],
            };
            prop_assert_eq!(x.to_bits(), expected.to_bits());
        }
        let Targets::Probabilities(array) = targets else { panic!("soft targets") };
        prop_assert_eq!(array.shape(), [n, 5]);
        for (i, row) in array.values().chunks(5).enumerate() {
            prop_assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            let mut expected = [0.0; 5];
            expected[classes[i] as usize] += own;
            expected[classes[partner(i, n)] as usize] += other;
            prop_assert_eq!(row, expected);
        }
    }
}

#[test]
fn nothing_is_drawn_or_one_of_both_as_often_as_asked() {
    let mix =
        Mix::new(0.8, 1.0, 3).unwrap().with_probability(0.75).unwrap().with_switch(0.4).unwrap();
    let (mut nothing, mut mixups, mut cuts, mut own) = (0, Vec::new(), Vec::new(), 0.0);
    for index in 0..10_000 {
        match mix.draw([20, 30], &mut Rng::keyed([2, index])) {
            Mixed::Nothing => nothing += 1,
            Mixed::Mixup { weight } => mixups.push(weight),
            Mixed::Cutmix { rect, weight } => {
                let area = rect.map_or(0, |rect| {
                    assert!(rect.is_inside([20, 30]));
                    rect.height * rect.width
                });
                assert!((weight - (1.0 - area as f64 / 600.0)).abs() < 1e-12);
                own += weight;
                cuts.push(rect);
            }
        }
    }
    assert!((2280..2720).contains(&nothing), "{nothing}");
    assert!((2750..3250).contains(&cuts.len()), "{}", cuts.len());
    let mean = mixups.iter().sum::<f64>() / mixups.len() as f64;
    assert!((mean - 0.5).abs() < 0.02, "{mean}");
    // Of a beta(1, 1) half would be cut; what is beyond the rim is not.
    let own = own / cuts.len() as f64;
    assert!((0.55..0.75).contains(&own), "{own}");
    for (mixup, cutmix) in [(0.2, 0.0), (0.0, 0.2)] {
        let mix = Mix::new(mixup, cutmix, 3).unwrap();
        for index in 0..100 {
            let drawn = mix.draw([8, 8], &mut Rng::keyed([index]));
            assert_eq!(matches!(drawn, Mixed::Mixup { .. }), mixup > 0.0);
        }
    }
}

/// torchvision 0.26's `CutMix.make_params` written out, on the numbers that `draw` draws.
#[test]
fn rectangles_are_those_of_torchvision() {
    let mix = Mix::new(0.0, 1.0, 2).unwrap();
    for index in 0..200 {
        let mut twin = Rng::keyed([9, index]);
        twin.happens(1.0);
        let (lambda, x, y) = (twin.beta(1.0, 1.0), twin.below(60), twin.below(40));
        let r = 0.5 * (1.0 - lambda).sqrt();
        let (w, h) = ((r * 60.0).floor(), (r * 40.0).floor());
        let (x1, y1) = ((x as f64 - w).max(0.0), (y as f64 - h).max(0.0));
        let (x2, y2) = ((x as f64 + w).min(60.0), (y as f64 + h).min(40.0));
        let expected = 1.0 - (x2 - x1) * (y2 - y1) / 2400.0;
        let Mixed::Cutmix { rect, weight } = mix.draw([40, 60], &mut Rng::keyed([9, index])) else {
            panic!("cutmix alone")
        };
        assert!((weight - expected).abs() < 1e-12);
        if let Some(rect) = rect {
            let got = [rect.left, rect.top, rect.left + rect.width, rect.top + rect.height];
            assert!(
                got.iter().zip([x1, y1, x2, y2]).all(|(&got, at)| (got as f64 - at).abs() < 0.5)
            );
        }
    }
}

#[test]
fn other_targets_are_weighted_as_they_are() {
    let mix = Mix::new(1.0, 0.0, 2).unwrap();
    let of = |targets: Targets| {
        let mut xs = vec![1.0, 3.0];
        mix.apply(Mixed::Mixup { weight: 0.75 }, &mut xs, [1, 1], &targets, 1)
    };
    let array = |values: [f32; 2]| Array::new(values.to_vec(), vec![2, 1]).unwrap();
    let half = array([1.5, 2.5]);
    assert_eq!(of(Targets::Numbers(array([1.0, 3.0]))).unwrap(), Targets::Numbers(half));
    let labels = of(Targets::Labels(array([0.0, 1.0]))).unwrap();
    assert_eq!(labels, Targets::Labels(array([0.25, 0.75])));
    let named =
        Targets::Named(BTreeMap::from([("a".to_owned(), Targets::Labels(array([0.0, 1.0])))]));
    assert_eq!(of(named).unwrap().named("a"), Some(&labels));
    let maps = Array::new(vec![0, 1], vec![2, 1, 1]).unwrap();
    let refused = of(Targets::ClassMaps(maps)).unwrap_err().to_string();
    assert!(refused.contains("class map [1, 1]"), "{refused}");
    assert!(of(vec![0, 2].into()).unwrap_err().to_string().contains('2'));
}

#[test]
fn settings_out_of_range_are_refused() {
    for (case, refused) in [
        Mix::new(-0.1, 1.0, 2).map(drop),
        Mix::new(f64::NAN, 1.0, 2).map(drop),
        Mix::new(0.0, 0.0, 2).map(drop),
        Mix::new(1.0, 0.0, 0).map(drop),
        Mix::new(1.0, 0.0, 2).and_then(|it| it.with_probability(1.1)).map(drop),
        Mix::new(1.0, 0.0, 2).and_then(|it| it.with_switch(-0.1)).map(drop),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(refused.unwrap_err().to_string().contains("expected"), "case {case}");
    }
    let mix = Mix::new(1.0, 0.0, 2).unwrap();
    let mut xs = vec![0.0; 7];
    assert!(mix.apply(Mixed::Nothing, &mut xs, [1, 2], &vec![0, 1].into(), 1).is_err());
    let none = mix.apply(Mixed::Mixup { weight: 0.5 }, &mut [], [1, 2], &Targets::default(), 1);
    assert!(none.unwrap().is_empty());
}
