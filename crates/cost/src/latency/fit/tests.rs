//! A line through units that follow one, and neighbors where they do not.

use super::*;

/// A unit of a machine that needs so long a call, a multiply-accumulate of whole vectors and an element read.
fn unit(positions: usize, channels: usize, law: [f64; 3], off: f64) -> UnitSample {
    let (read, written) = (positions * 16, positions * channels);
    let macs = positions * channels * 16;
    let shape = UnitShape {
        kind: UnitKind::Pointwise,
        positions,
        in_channels: 16,
        out_channels: channels,
        groups: 1,
        taps: 1,
        stride: 1,
        read,
        written,
        weights: 16 * channels,
        exponentials: 0,
    };
    let done = (positions * 16) as f64 * whole_vectors(channels);
    let seconds = law[0] + law[1] * done + law[2] * read as f64;
    UnitSample { macs: macs as u64, seconds: seconds * off, ..alone(shape) }
}

const LAW: [f64; 3] = [1e-6, 1e-11, 2e-10];

fn samples(off: impl Fn(usize) -> f64) -> Vec<UnitSample> {
    let sizes = [49, 100, 196, 400, 784, 1600, 3136];
    let channels = [8, 24, 40, 96, 160, 320];
    let all = sizes.iter().flat_map(|&size| channels.map(|channels| (size, channels)));
    all.map(|(size, channels)| unit(size, channels, LAW, off(channels))).collect()
}

#[test]
fn a_few_large_units_do_not_make_a_small_one_slow() {
    // Noise that hides whether their time is one of calls or of sizes.
    let noisy = [(3136, 0.8), (3000, 1.2), (2900, 1.3), (3136, 0.9)];
    let few = noisy.map(|(positions, off)| unit(positions, 320, LAW, off));
    let small = unit(49, 24, LAW, 1.0);
    let predicted = Fit::new(&few, Center::Middle).seconds(&small).unwrap();
    assert!(predicted < 3.0 * small.seconds, "{predicted} for {}", small.seconds);
}

#[test]
fn a_machine_that_follows_a_line_is_predicted_by_it() {
    let fit = Fit::new(&samples(|_| 1.0), Center::Middle);
    for (positions, channels) in [(60, 12), (1000, 100), (5000, 640)] {
        let there = unit(positions, channels, LAW, 1.0);
        let ratio = fit.seconds(&there).unwrap() / there.seconds;
        assert!((ratio - 1.0).abs() < 0.02, "{positions} and {channels}: {ratio}");
    }
}

#[test]
fn what_a_line_cannot_say_is_told_by_the_nearest() {
    // Narrow layers take three times as long.
    let off = |channels: usize| if channels < 16 { 3.0 } else { 1.0 };
    let fit = Fit::new(&samples(off), Center::Middle);
    let ratio = |channels| {
        let there = unit(300, channels, LAW, off(channels));
        fit.seconds(&there).unwrap() / there.seconds
    };
    assert!((ratio(8) - 1.0).abs() < 0.2, "{}", ratio(8));
    assert!((ratio(160) - 1.0).abs() < 0.2, "{}", ratio(160));
}

#[test]
fn a_network_that_leaves_the_caches_takes_longer() {
    let around = |unit: UnitSample, megabytes: u64| {
        let elements = (unit.shape.read + unit.shape.written) as f64;
        let cold = elements * 1e-9 * coldness((megabytes << 20) as f64, CACHES);
        UnitSample { around: megabytes << 20, seconds: unit.seconds + cold, ..unit }
    };
    let sizes = [10, 100, 1000];
    let all = samples(|_| 1.0).into_iter().enumerate();
    let all: Vec<UnitSample> = all.map(|(i, unit)| around(unit, sizes[i % 3])).collect();
    let fit = Fit::new(&all, Center::Middle);
    for megabytes in [30, 300, 3000] {
        let there = around(unit(1000, 100, LAW, 1.0), megabytes);
        let ratio = fit.seconds(&there).unwrap() / there.seconds;
        assert!((ratio - 1.0).abs() < 0.05, "{megabytes}: {ratio}");
    }
}

#[test]
fn weights_and_tensors_that_leave_a_cores_own_cache_take_longer() {
    let off = |unit: UnitSample, around: u64| {
        let UnitShape { read, written, weights, .. } = unit.shape;
        let elements = (read + written) as f64;
        let cold = elements * 1e-9 * coldness(4.0 * elements, OWN_CACHE)
            + weights as f64 * 1e-9 * coldness(around as f64, OWN_CACHE);
        UnitSample { around, seconds: unit.seconds + cold, ..unit }
    };
    let arounds = [300 << 10, 3 << 20, 30 << 20];
    let all = samples(|_| 1.0).into_iter().enumerate();
    let all: Vec<UnitSample> = all.map(|(i, unit)| off(unit, arounds[i % 3])).collect();
    let fit = Fit::new(&all, Center::Middle);
    for (positions, around) in [(36, 100 << 10), (36, 60 << 20), (12_544, 60 << 20)] {
        let there = off(unit(positions, 320, LAW, 1.0), around);
        let ratio = fit.seconds(&there).unwrap() / there.seconds;
        assert!((ratio - 1.0).abs() < 0.05, "{positions} positions, {around} bytes: {ratio}");
    }
}

/// Eight of each, every other one as much longer as `off` says of its own time, and the others as much shorter.
fn scattered(off: impl Fn(f64) -> f64) -> Vec<UnitSample> {
    let one = |turn: usize| {
        let units = samples(|_| 1.0).into_iter();
        let off = |seconds: f64| {
            if turn.is_multiple_of(2) { off(seconds) } else { 1.0 / off(seconds) }
        };
        units.map(move |it| UnitSample { seconds: it.seconds * off(it.seconds), ..it }).collect()
    };
    (0..8).flat_map(|turn| -> Vec<UnitSample> { one(turn) }).collect()
}

#[test]
fn sums_are_of_means() {
    // Twice or half as long, which no size tells: 1 in the middle and 1.25 in the mean.
    let all = scattered(|_| 2.0);
    let there = unit(300, 100, LAW, 1.0);
    for (center, expected) in [(Center::Middle, 1.0), (Center::Mean, 1.25)] {
        let ratio = Fit::new(&all, center).seconds(&there).unwrap() / there.seconds;
        assert!((ratio / expected - 1.0).abs() < 0.15, "{center:?}: {ratio}");
    }
}

#[test]
fn short_times_that_scatter_do_not_raise_long_ones() {
    let all = scattered(|seconds| if seconds < 1e-5 { 4.0 } else { 1.0 });
    let long = unit(3136, 320, LAW, 1.0);
    let of = |center| Fit::new(&all, center).seconds(&long).unwrap();
    let raised = of(Center::Mean) / of(Center::Middle);
    assert!((0.98..1.08).contains(&raised), "{raised}");
}

#[test]
fn windows_that_run_one_output_at_a_time_are_apart() {
    let window = |positions, channels, taps: usize, off: f64| {
        let of_all = LAW[1] * taps as f64 * off;
        let unit = unit(positions, channels, [LAW[0], of_all, LAW[2]], 1.0);
        let shape = UnitShape { kind: UnitKind::Depthwise, taps, ..unit.shape };
        UnitSample { shape, macs: unit.macs * taps as u64, ..unit }
    };
    let of = |taps, off| {
        let sizes = samples(|_| 1.0).into_iter().map(|unit| unit.shape);
        sizes.map(move |it| window(it.positions, it.out_channels, taps, off))
    };
    let fit = Fit::new(&of(9, 1.0).chain(of(49, 2.0)).collect::<Vec<_>>(), Center::Middle);
    for (taps, off) in [(25, 1.0), (35, 2.0)] {
        let there = window(300, 100, taps, off);
        let ratio = fit.seconds(&there).unwrap() / there.seconds;
        assert!((ratio - 1.0).abs() < 0.1, "{taps} taps: {ratio}");
    }
}

#[test]
fn kinds_that_were_not_measured_have_no_time() {
    let fit = Fit::new(&samples(|_| 1.0), Center::Middle);
    let there = unit(49, 8, LAW, 1.0);
    let shape = UnitShape { kind: UnitKind::Attention, ..there.shape };
    assert!(fit.seconds(&UnitSample { shape, ..there }).is_none());
    // Other gradients of a kind that was measured are better than nothing.
    assert!(fit.seconds(&UnitSample { gradients: [true, false], ..there }).is_some());
    assert!(Fit::new(&[], Center::Middle).seconds(&there).is_none());
}

#[test]
fn bands_take_the_ratio_of_the_nearest() {
    let band = |positions, ratio| BandSample { shape: unit(positions, 96, LAW, 1.0).shape, ratio };
    let fit = BandFit::new(&[band(3136, 0.9), band(12544, 0.6)]);
    let ratio = |positions| fit.ratio(unit(positions, 96, LAW, 1.0).shape);
    assert!(ratio(12544) < ratio(3136));
    assert!((0.5..1.0).contains(&ratio(6000)));
    assert!((BandFit::new(&[]).ratio(unit(9, 8, LAW, 1.0).shape) - 1.0).abs() < 1e-12);
}

#[test]
fn steps_are_a_line_without_negative_weights() {
    let step = |tensors: usize, params: u64| StepSample {
        threads: 1,
        slots: 1,
        params,
        tensors,
        images: 0,
        seconds: 1e-4 + 2e-9 * params as f64,
    };
    let samples = [step(10, 1_000), step(20, 100_000), step(40, 5_000_000), step(160, 20_000)];
    let there = step(80, 1_000_000);
    let seconds = step_line(&samples.iter().collect::<Vec<_>>(), &there);
    assert!((seconds / there.seconds - 1.0).abs() < 0.01, "{seconds}");
    assert!(step_line(&[], &there).abs() < 1e-12);
}
