//! How parameters are distributed over 10,000 draws.

use super::{
    ColorJitter, Cutout, RandomAffine, RandomErasing, RandomGaussianBlur, RandomPerspective,
    RandomRotation, Sometimes,
};
use crate::augment::{Augmentation, Operation, corners};
use crate::image::Image;
use crate::random::Rng;
use crate::transform::truncated;

const DRAWS: u64 = 10_000;
const SIZE: [usize; 2] = [120, 80];

/// Numbers are uniform in a range: within it, and a tenth of them in each tenth, to five standard deviations.
fn assert_uniform(draws: &[f64], [low, high]: [f64; 2], what: &str) {
    let mut tenths = [0_usize; 10];
    for &x in draws {
        assert!((low..=high).contains(&x), "{what}: {x} is not from {low} to {high}");
        tenths[truncated((x - low) / (high - low) * 10.0).min(9)] += 1;
    }
    let n = draws.len() as f64;
    for (tenth, &count) in tenths.iter().enumerate() {
        let apart = (count as f64 - n / 10.0).abs();
        assert!(apart < 5.0 * (n * 0.09).sqrt(), "{what}: {count} of {n} in tenth {tenth}");
    }
}

fn draws<T>(of: impl Fn(&mut Rng) -> T) -> Vec<T> {
    (0..DRAWS).map(|index| of(&mut Rng::keyed([77, index]))).collect()
}

#[test]
fn color_jitter_draws_factors_in_all_orders() {
    let jitter = ColorJitter::new([0.4, 1.5, 0.2], 0.1).unwrap();
    let (mut amounts, mut orders) = ([const { Vec::new() }; 4], std::collections::BTreeMap::new());
    for operations in draws(|rng| jitter.draw(rng)) {
        let order: Vec<usize> = operations
            .iter()
            .map(|operation| {
                let (which, amount) = match operation {
                    Operation::Brightness(x) => (0, *x),
                    Operation::Contrast(x) => (1, *x),
                    Operation::Saturation(x) => (2, *x),
                    Operation::Hue(x) => (3, *x),
                    other => panic!("{other:?}"),
                };
                amounts[which].push(amount);
                which
            })
            .collect();
        *orders.entry(order).or_insert(0) += 1;
    }
    for (which, range) in [[0.6, 1.4], [0.0, 2.5], [0.8, 1.2], [-0.1, 0.1]].into_iter().enumerate()
    {
        assert_eq!(amounts[which].len(), 10_000);
        assert_uniform(&amounts[which], range, &format!("amount {which}"));
    }
    assert_eq!(orders.len(), 24);
    assert!(orders.values().all(|n| (316..518).contains(n)), "{orders:?}"); // 416.7 and five deviations of 20
    let hue = ColorJitter::new([0.0; 3], 0.5).unwrap();
    assert!(draws(|rng| hue.draw(rng)).iter().all(|drawn| drawn.len() == 1));
}

#[test]
fn affine_maps_are_uniform_in_each_parameter() {
    let affine = RandomAffine::new(30.0)
        .and_then(|it| it.with_translate([0.25, 0.1]))
        .and_then(|it| it.with_scale([0.5, 2.0]))
        .and_then(|it| it.with_shear([-10.0, 20.0], [0.0, 5.0]))
        .unwrap();
    let maps = draws(|rng| match affine.draw(SIZE, rng) {
        Operation::Affine { map, .. } => map,
        other => panic!("{other:?}"),
    });
    let of = |f: &dyn Fn(&crate::augment::Affine) -> f64| maps.iter().map(f).collect::<Vec<f64>>();
    assert_uniform(&of(&|map| map.degrees), [-30.0, 30.0], "degrees");
    assert_uniform(&of(&|map| map.scale), [0.5, 2.0], "scale");
    assert_uniform(&of(&|map| map.shear[0]), [-10.0, 20.0], "shear x");
    assert_uniform(&of(&|map| map.shear[1]), [0.0, 5.0], "shear y");
    // Whole pixels to 20 of 80 to the right, 12 of 120 down; the outermost are half as frequent.
    for (axis, most) in [(0, 20), (1, 12)] {
        let mut counts = vec![0_usize; 2 * most + 1];
        for map in &maps {
            assert!(map.translate[axis].fract().abs() < 1e-12);
            counts[truncated(map.translate[axis] + most as f64)] += 1;
        }
        for (at, &count) in counts.iter().enumerate() {
            let p = if at == 0 || at == 2 * most { 0.25 } else { 0.5 } / most as f64;
            let (mean, deviation) = (10_000.0 * p, (10_000.0 * p * (1.0 - p)).sqrt());
            assert!((count as f64 - mean).abs() < 5.0 * deviation, "{at}: {count} for {mean}");
        }
    }
    let rotation = RandomRotation::new([-5.0, 45.0]).unwrap();
    let degrees = draws(|rng| match rotation.draw(rng) {
        Operation::Rotate { degrees, .. } => degrees,
        other => panic!("{other:?}"),
    });
    assert_uniform(&degrees, [-5.0, 45.0], "rotation");
}

#[test]
fn corners_move_inward_by_whole_pixels() {
    let perspective = RandomPerspective::new(0.5, 0.3).unwrap();
    let drawn: Vec<_> = draws(|rng| perspective.draw(SIZE, rng)).into_iter().flatten().collect();
    assert!((2770..3230).contains(&drawn.len()), "{}", drawn.len());
    let mut moved = [const { Vec::new() }; 2];
    for operation in drawn {
        let Operation::Perspective { from, to, .. } = operation else { panic!("{operation:?}") };
        assert_eq!(from, corners(SIZE));
        for (from, to) in from.iter().zip(to) {
            for axis in [0, 1] {
                moved[axis].push((from[axis] - to[axis]).abs());
            }
        }
    }
    // 0 to 20 columns and 0 to 30 rows, the bounds among them.
    for (moved, most) in moved.iter().zip([20_usize, 30]) {
        for pixels in 0..=most {
            let count = moved.iter().filter(|x| (**x - pixels as f64).abs() < 0.5).count() as f64;
            let (n, p) = (moved.len() as f64, 1.0 / (most + 1) as f64);
            assert!((count - n * p).abs() < 5.0 * (n * p).sqrt(), "{pixels} of {most}: {count}");
        }
        assert!(moved.iter().all(|x| *x <= most as f64));
    }
}

#[test]
fn erased_rectangles_have_uniform_areas_and_places() {
    let erasing = RandomErasing::new(0.25).unwrap();
    let drawn: Vec<_> = draws(|rng| erasing.draw([400, 400], rng)).into_iter().flatten().collect();
    assert!((2280..2720).contains(&drawn.len()), "{}", drawn.len());
    // Area and shape that nearly always fit, so that nothing is drawn again.
    let small = RandomErasing::new(1.0).unwrap().with_shape([0.05, 0.2], [0.5, 2.0]).unwrap();
    let all: Vec<_> = draws(|rng| small.draw([400, 400], rng)).into_iter().flatten().collect();
    assert_eq!(all.len(), 10_000);
    let areas: Vec<f64> = all.iter().map(|r| (r.height * r.width) as f64 / 160_000.0).collect();
    let inner: Vec<f64> = areas.iter().copied().filter(|a| (0.051..0.199).contains(a)).collect();
    assert_uniform(&inner, [0.051, 0.199], "area");
    assert!(areas.iter().all(|area| (0.049..0.201).contains(area)));
    let shapes: Vec<f64> = all.iter().map(|r| (r.height as f64 / r.width as f64).ln()).collect();
    assert!((shapes.iter().sum::<f64>() / 1e4).abs() < 0.02);
    let places: Vec<f64> = all.iter().map(|r| r.top as f64 / (400 - r.height) as f64).collect();
    assert!((places.iter().sum::<f64>() / 1e4 - 0.5).abs() < 0.015);
    assert!(all.iter().all(|rect| rect.is_inside([400, 400])));
    // A picture of one pixel cannot be erased in part.
    assert!(draws(|rng| small.draw([1, 1], rng)).iter().all(Option::is_none));
}

#[test]
fn things_happen_as_often_as_asked() {
    for p in [0.0, 0.2, 1.0] {
        let sometimes = Sometimes::new(p, Operation::Invert).unwrap();
        let blur = RandomGaussianBlur::new([23, 23], [0.1, 2.0], p).unwrap();
        let done = draws(|rng| sometimes.draw(rng)).iter().flatten().count() as f64;
        assert!((done - 10_000.0 * p).abs() < 200.0, "{done} for {p}");
        let blurs: Vec<f64> = draws(|rng| blur.draw([9, 80], rng))
            .into_iter()
            .flatten()
            .map(|operation| match operation {
                Operation::GaussianBlur { kernel, sigma } => {
                    assert_eq!(kernel, [17, 23]);
                    assert_eq!(sigma[0].to_bits(), sigma[1].to_bits());
                    sigma[0]
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert!((blurs.len() as f64 - 10_000.0 * p).abs() < 200.0);
        if p > 0.0 {
            assert_uniform(&blurs, [0.1, 2.0], "sigma");
        }
    }
}

#[test]
fn cutouts_are_squares_cut_at_the_rim() {
    let cutout = Cutout::new(0.5, [0; 3]).unwrap();
    let rects: Vec<_> = draws(|rng| cutout.draw(SIZE, rng)).into_iter().flatten().collect();
    assert_eq!(rects.len(), 10_000);
    assert!(rects.iter().all(|r| r.is_inside(SIZE) && r.height <= 40 && r.width <= 40));
    // Its middle is anywhere: 61 of 120 rows and 41 of 80 columns have room for all of it... less the rim.
    let whole = rects.iter().filter(|r| r.height == 40).count();
    assert!((6520..6990).contains(&whole), "{whole}"); // 81 of 120
    assert!(
        draws(|rng| Cutout::new(0.0, [0; 3]).unwrap().draw(SIZE, rng)).iter().all(Option::is_none)
    );
}

#[test]
fn each_is_pure_and_keeps_the_size_of_any_picture() {
    let all: [Box<dyn Augmentation>; 6] = [
        Box::new(ColorJitter::new([0.4; 3], 0.5).unwrap()),
        Box::new(RandomAffine::new(180.0).unwrap().with_scale([0.1, 9.0]).unwrap()),
        Box::new(RandomPerspective::new(1.0, 1.0).unwrap()),
        Box::new(RandomGaussianBlur::new([23, 23], [0.1, 2.0], 1.0).unwrap()),
        Box::new(Cutout::new(1.0, [1, 2, 3]).unwrap()),
        Box::new(RandomRotation::new([-180.0, 180.0]).unwrap()),
    ];
    for size in [[1, 1], [1, 8], [2, 2], [11, 6]] {
        let rgb: Vec<u8> =
            (0..size[0] * size[1] * 3).map(|i| u8::try_from(i * 91 % 256).unwrap()).collect();
        for augmentation in &all {
            for index in 0..20 {
                let once = || {
                    let mut image = Image::new(size[0], size[1], rgb.clone()).unwrap();
                    augmentation.apply(&mut image, &mut Rng::keyed([index])).unwrap();
                    image
                };
                assert_eq!(once(), once());
                assert_eq!([once().height(), once().width()], size);
            }
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let affine = || RandomAffine::new(0.0).unwrap();
    for (case, refused) in [
        ColorJitter::new([-0.1, 0.0, 0.0], 0.0).map(drop),
        ColorJitter::new([f64::NAN, 0.0, 0.0], 0.0).map(drop),
        ColorJitter::new([0.0; 3], 0.6).map(drop),
        ColorJitter::in_ranges([[2.0, 1.0], [1.0; 2], [1.0; 2]], [0.0; 2]).map(drop),
        RandomAffine::new(-1.0).map(drop),
        RandomAffine::new(f64::NAN).map(drop),
        affine().with_translate([1.1, 0.0]).map(drop),
        affine().with_scale([0.0, 1.0]).map(drop),
        affine().with_shear([0.0, 90.0], [0.0; 2]).map(drop),
        RandomRotation::new([1.0, -1.0]).map(drop),
        RandomPerspective::new(1.5, 0.5).map(drop),
        RandomGaussianBlur::new([4, 3], [0.1, 2.0], 0.5).map(drop),
        RandomGaussianBlur::new([3, 3], [0.0, 2.0], 0.5).map(drop),
        RandomErasing::new(1.5).map(drop),
        RandomErasing::new(0.5).and_then(|it| it.with_shape([0.2, 1.2], [0.3, 3.3])).map(drop),
        Cutout::new(-0.5, [0; 3]).map(drop),
        Sometimes::new(f64::NAN, Operation::Invert).map(drop),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("expected"), "case {case}: {refused}");
    }
}
