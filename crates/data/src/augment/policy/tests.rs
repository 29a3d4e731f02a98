//! Tables against torchvision's, and how often policies choose what.

use std::collections::BTreeMap;

use super::space::{Choice, Space};
use super::{AugMix, AutoAugment, RandAugment, TrivialAugmentWide};
use crate::augment::tests::golden;
use crate::augment::{Augmentation, Operation};
use crate::image::Image;
use crate::random::Rng;

const SIZE: [usize; 2] = [41, 57];
const DRAWS: usize = 10_000;

fn choice(name: &str) -> Choice {
    let all = Choice::ALL.into_iter().chain([Choice::Invert]);
    all.into_iter().find(|choice| format!("{choice:?}") == name).unwrap()
}

#[test]
fn magnitudes_equal_torchvision() {
    let golden = golden();
    let mut tables = 0;
    for name in golden.names().into_iter().filter(|name| name.starts_with("table/")) {
        let [_, space, kind] = name.split('/').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let space = match space {
            "auto" | "auto10" => Space::AUTO,
            "wide" => Space::WIDE,
            _ => Space::AUG_MIX,
        };
        let tensor = golden.tensor(name).unwrap();
        let bins = tensor.shape()[0];
        for (bin, bytes) in tensor.data().chunks_exact(8).enumerate() {
            let expected = f64::from_le_bytes(bytes.try_into().unwrap());
            let got = space.magnitude(choice(kind), bin, bins, SIZE);
            assert!(
                (got - expected).abs() <= 1e-6 * expected.abs(),
                "{name} {bin}: {got} {expected}"
            );
            if kind.starts_with("Translate") {
                assert!(
                    (got.trunc() - expected.trunc()).abs() < 0.5,
                    "{name} {bin}: {got} {expected}"
                );
            }
        }
        tables += 1;
    }
    assert_eq!(tables, 44);
}

/// The name of an operation, and its sign where its magnitude has one.
fn kind(operation: &Operation) -> (&'static str, i8) {
    let sign = |x: f64| if x < 0.0 { -1 } else { i8::from(x > 0.0) };
    match operation {
        Operation::Affine { map, .. } => {
            let [x, y] = map.shear;
            let [tx, ty] = map.translate;
            let all = [("shear x", x), ("shear y", y), ("translate x", tx), ("translate y", ty)];
            let moved = all.into_iter().find(|(_, by)| by.abs() > 0.0);
            moved.map_or(("affine", 0), |(name, by)| (name, sign(by)))
        }
        Operation::Rotate { degrees, .. } => ("rotate", sign(*degrees)),
        Operation::Brightness(x) => ("brightness", sign(x - 1.0)),
        Operation::Saturation(x) => ("color", sign(x - 1.0)),
        Operation::Contrast(x) => ("contrast", sign(x - 1.0)),
        Operation::Sharpness(x) => ("sharpness", sign(x - 1.0)),
        Operation::Posterize(_) => ("posterize", 0),
        Operation::Solarize(_) => ("solarize", 0),
        Operation::Autocontrast => ("autocontrast", 0),
        Operation::Equalize => ("equalize", 0),
        Operation::Invert => ("invert", 0),
        Operation::Identity => ("identity", 0),
        other => panic!("no policy does {other:?}"),
    }
}

fn count(draw: &mut dyn FnMut(&mut Rng) -> Vec<Operation>) -> BTreeMap<(&'static str, i8), usize> {
    let mut counts = BTreeMap::new();
    for index in 0..DRAWS as u64 {
        for operation in draw(&mut Rng::keyed([31, index])) {
            *counts.entry(kind(&operation)).or_insert(0) += 1;
        }
    }
    counts
}

/// Within five standard deviations of a binomial: what the fixed seed gives, and any other nearly always.
fn assert_share(got: usize, of: usize, p: f64, what: &str) {
    let (mean, deviation) = (of as f64 * p, (of as f64 * p * (1.0 - p)).sqrt());
    assert!(
        (got as f64 - mean).abs() <= 5.0 * deviation.max(0.2),
        "{what}: {got} of {of}, expected {mean:.0}"
    );
}

#[test]
fn rand_augment_chooses_all_alike_and_signs_every_other_time() {
    let policy = RandAugment::new(2, 9).unwrap();
    let counts = count(&mut |rng| policy.draw(SIZE, rng));
    assert_eq!(counts.values().sum::<usize>(), 2 * DRAWS);
    assert_eq!(counts.len(), 9 * 2 + 5, "{counts:?}");
    for (&(name, sign), &n) in &counts {
        let p = if sign == 0 { 1.0 / 14.0 } else { 0.5 / 14.0 };
        assert_share(n, 2 * DRAWS, p, name);
    }
}

#[test]
fn trivial_augment_chooses_all_magnitudes_alike() {
    let policy = TrivialAugmentWide::default();
    let counts = count(&mut |rng| vec![policy.draw(SIZE, rng)]);
    // Signed changes have no sign where the magnitude is 0, one time in 31; a translation of less than a pixel is none.
    for name in ["rotate", "brightness", "color", "contrast", "sharpness", "shear x", "shear y"] {
        for sign in [-1, 1] {
            assert_share(counts[&(name, sign)], DRAWS, 15.0 / 31.0 / 14.0, name);
        }
    }
    for name in ["identity", "posterize", "solarize", "autocontrast", "equalize"] {
        assert_share(counts[&(name, 0)], DRAWS, 1.0 / 14.0, name);
    }
    let (mut bits, mut thresholds) = ([0; 9], BTreeMap::new());
    for index in 0..DRAWS as u64 {
        match policy.draw(SIZE, &mut Rng::keyed([31, index])) {
            Operation::Posterize(to) => bits[to as usize] += 1,
            Operation::Solarize(at) => *thresholds.entry(format!("{at:.1}")).or_insert(0) += 1,
            _ => {}
        }
    }
    // 31 magnitudes from 8 bits down to 2, in steps of a fifth: three for either end, five for each between.
    let all: usize = bits.iter().sum();
    for (to, &n) in bits.iter().enumerate() {
        let magnitudes = [0, 0, 3, 5, 5, 5, 5, 5, 3][to];
        assert_share(n, all, f64::from(magnitudes) / 31.0, &format!("{to} bits"));
    }
    assert_eq!(thresholds.len(), 31);
}

#[test]
fn auto_augment_does_each_change_as_often_as_its_table_says() {
    let policy = AutoAugment::default();
    let counts = count(&mut |rng| policy.draw(SIZE, rng));
    let total = |name: &str| -> usize {
        counts.iter().filter(|((kind, _), _)| *kind == name).map(|(_, n)| n).sum()
    };
    // Sums of the probabilities of each change over the 25 pairs of the paper's table 9 are far from 1, so means are compared.
    for (name, sum) in [
        (
            "equalize",
            0.8 + 0.6
                + 0.4
                + 0.4
                + 0.6
                + 1.0
                + 0.6
                + 0.6
                + 0.0
                + 0.8
                + 1.0
                + 1.0
                + 0.6
                + 0.4
                + 1.0
                + 0.8
                + 0.6,
        ),
        ("posterize", 0.4 + 0.6 + 0.6 + 0.8 + 0.4),
        ("rotate", 0.6 + 0.8 + 0.2 + 0.8 + 0.4 + 0.8),
        ("solarize", 0.6 + 0.2 + 0.6 + 0.6 + 0.8 + 0.2 + 0.6),
        ("color", 0.6 + 1.0 + 0.8 + 0.6 + 0.4 + 0.4),
        ("contrast", 2.0),
        ("invert", 0.6 + 0.6 + 0.6),
        ("autocontrast", 1.2),
        ("shear x", 0.6),
        ("sharpness", 0.4),
    ] {
        let (mean, got): (f64, f64) = (sum / 25.0, total(name) as f64 / DRAWS as f64);
        assert!((got - mean).abs() < 0.02, "{name}: {got} for {mean}");
    }
    // `Color` of magnitude 0 has no sign; all else is signed every other time.
    let rotated = total("rotate");
    assert_share(counts[&("rotate", -1)], rotated, 0.5, "rotate");
}

#[test]
fn aug_mix_weighs_and_chains_as_its_paper_says() {
    let policy = AugMix::default();
    let (mut original, mut depths, mut chosen) = (0.0, [0; 4], BTreeMap::new());
    for index in 0..DRAWS as u64 {
        let drawn = policy.draw(SIZE, &mut Rng::keyed([7, index]));
        original += f64::from(drawn.original) / DRAWS as f64;
        let all = drawn.original + drawn.chains.iter().map(|(weight, _)| weight).sum::<f32>();
        assert!((all - 1.0).abs() < 1e-5);
        for (_, chain) in &drawn.chains {
            depths[chain.len()] += 1;
            chain.iter().for_each(|op| *chosen.entry(kind(op).0).or_insert(0) += 1);
        }
    }
    assert!((original - 0.5).abs() < 0.02, "{original}");
    assert_eq!(depths[0], 0);
    depths[1..].iter().for_each(|&n| assert_share(n, 3 * DRAWS, 1.0 / 3.0, "depth"));
    assert!(!chosen.contains_key("identity"));
    let all: usize = chosen.values().sum();
    for name in ["posterize", "solarize", "equalize", "autocontrast"] {
        assert_share(chosen[name], all, 1.0 / 13.0, name);
    }
}

#[test]
fn a_mixture_of_equal_pictures_is_the_picture() {
    let mut image =
        Image::new(9, 7, (0..9 * 7 * 3).map(|i| (i * 5 % 251) as u8).collect()).unwrap();
    let before = image.clone();
    let same = |weight: f32| (weight, vec![Operation::Identity]);
    let mixture = super::aug_mix::Mixture { original: 0.25, chains: vec![same(0.5), same(0.25)] };
    mixture.apply(&mut image).unwrap();
    assert_eq!(image, before);
    let heavy = super::aug_mix::Mixture { original: 0.9, chains: vec![same(0.9)] };
    assert!(heavy.apply(&mut image).is_err());
}

#[test]
fn policies_are_pure_and_keep_the_size_of_any_picture() {
    let policies: [Box<dyn Augmentation>; 4] = [
        Box::new(RandAugment::new(3, 30).unwrap()),
        Box::new(TrivialAugmentWide::default()),
        Box::new(AutoAugment::default()),
        Box::new(AugMix::new(10).unwrap()),
    ];
    for size in [[1, 1], [1, 9], [2, 2], [13, 8]] {
        let rgb: Vec<u8> =
            (0..size[0] * size[1] * 3).map(|i| u8::try_from(i * 37 % 256).unwrap()).collect();
        for policy in &policies {
            for index in 0..60 {
                let once = |index| {
                    let mut image = Image::new(size[0], size[1], rgb.clone()).unwrap();
                    policy.apply(&mut image, &mut Rng::keyed([index])).unwrap();
                    image
                };
                let image = once(index);
                assert_eq!([image.height(), image.width()], size);
                assert_eq!(image, once(index), "{policy:?}");
            }
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    for refused in [
        RandAugment::new(2, 31).map(drop),
        RandAugment::new(101, 9).map(drop),
        AugMix::new(0).map(drop),
        AugMix::new(11).map(drop),
    ] {
        assert!(refused.unwrap_err().to_string().contains("expected"));
    }
}
