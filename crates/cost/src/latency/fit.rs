//! A kind of unit's time as a function of its sizes.
//!
//! Above: `inference`, `training`. Below: `calibration`. Not here: what units a network has.
//! First a line: seconds a call, a multiply-accumulate of whole vectors, an element read, written and of weights, an exponential, an element that may have left all caches,
//! an element and a weight that may have left a core's own, none of them negative, by least squares of relative errors. Then what the line misses (a filter that vectors do not divide, a map that leaves a cache) from the
//! measured units nearest in size: the mean of their logarithmic errors, the nearer the heavier (Nadaraya and Watson 1964).

use std::collections::BTreeMap;

use super::{BandSample, StepSample, UnitSample};
use crate::{UnitKind, UnitShape};

/// Terms of the line.
const TERMS: usize = 9;

/// Sizes in which units are near or far.
const FEATURES: usize = 10;

/// How much a doubling of each size counts: positions, channels in and out, taps, strides, reads over writes, elementwise work,
/// exponentials, the network around, and how much of the last vector is empty.
const WEIGHTS: [f64; FEATURES] = [1.0, 1.0, 1.0, 2.0, 1.5, 0.7, 0.7, 2.0, 0.5, 6.0];

/// Numbers of a vector, where the widest are used.
const LANES: usize = 16;

/// Neighbors that are asked.
const NEIGHBORS: usize = 16;

/// Doublings at which a neighbor's word counts for 60 %.
const REACH: f64 = 1.2;

/// The line's own word: as much as a neighbor's at a distance of 1.5 times the reach.
const PRIOR: f64 = 0.3;

/// Bytes about which networks leave the caches.
const CACHES: f64 = (64 << 20) as f64;

/// Bytes about which a unit's tensors, and a network's weights, leave the cache that a core has to itself.
const OWN_CACHE: f64 = (4 << 20) as f64;

/// Passes over the terms until the line lies still.
const PASSES: usize = 400;

/// Units of all kinds, and what they take.
#[derive(Debug, Clone, Default)]
pub(super) struct Fit {
    kinds: BTreeMap<Key, Kind>,
}

/// Units with the same gradients alone are compared.
type Key = (UnitKind, [bool; 2]);

#[derive(Debug, Clone, Default)]
struct Kind {
    line: [f64; TERMS],
    /// Sizes, and the logarithm of the time over the line's.
    points: Vec<([f64; FEATURES], f64)>,
    /// From what is told of such units one by one to what they take together.
    smearing: f64,
}

/// What of a unit's possible times is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Center {
    /// The middle, as much above as below.
    Middle,
    /// The mean, which is what sums of many are made of: it lies above where times scatter, as those of training steps do.
    Mean,
}

impl Fit {
    pub(super) fn new(samples: &[UnitSample], center: Center) -> Self {
        let mut of_kind: BTreeMap<Key, Vec<&UnitSample>> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.seconds > 0.0) {
            of_kind.entry((sample.shape.kind, sample.gradients)).or_default().push(sample);
        }
        let kinds = of_kind.into_iter().map(|(key, samples)| (key, Kind::new(&samples, center)));
        Self { kinds: kinds.collect() }
    }

    /// Seconds of a unit, whose own time is not read; none for a kind that was not measured.
    pub(super) fn seconds(&self, unit: &UnitSample) -> Option<f64> {
        let kind = self.kinds.get(&(unit.shape.kind, unit.gradients));
        // A kind that was measured with other gradients is better than none.
        let any = || self.kinds.iter().find(|((kind, _), _)| *kind == unit.shape.kind);
        kind.or_else(|| any().map(|(_, kind)| kind)).map(|kind| kind.seconds(unit))
    }
}

impl Kind {
    fn new(samples: &[&UnitSample], center: Center) -> Self {
        let line = line(samples);
        let mut kind = Self { line, points: Vec::new(), smearing: 1.0 };
        let points = samples.iter().filter_map(|sample| {
            let base = kind.base(sample);
            (base > 0.0).then(|| ((features(sample), (sample.seconds / base).ln()), sample.seconds))
        });
        let (mut points, seconds): (Vec<_>, Vec<f64>) = points.unzip();
        // Relative errors are least where the line lies low: it is raised to where as much is above as below.
        let mean = points.iter().map(|(_, error)| error).sum::<f64>() / points.len().max(1) as f64;
        points.iter_mut().for_each(|(_, error)| *error -= mean);
        kind.line.iter_mut().for_each(|weight| *weight *= mean.exp());
        if center == Center::Mean {
            kind.smearing = smearing(&points, &seconds);
        }
        kind.points = points;
        kind
    }

    fn base(&self, unit: &UnitSample) -> f64 {
        terms(unit).iter().zip(&self.line).map(|(term, weight)| term * weight).sum()
    }

    fn seconds(&self, unit: &UnitSample) -> f64 {
        let at = features(unit);
        let points = self.points.iter().map(|(point, error)| (distance(&at, point), *error));
        self.base(unit) * weighted(points).exp() * self.smearing
    }
}

/// What all points took over what is told of each by the others (after Duan 1983): a long time counts as much as it is long, so that short ones, which
/// scatter most, do not decide; few points do not say.
fn smearing(points: &[([f64; FEATURES], f64)], seconds: &[f64]) -> f64 {
    if points.len() < 2 * TERMS {
        return 1.0;
    }
    let told = |(index, ((at, error), seconds)): (usize, (&([f64; FEATURES], f64), &f64))| {
        let others = points.iter().enumerate().filter(|(other, _)| *other != index);
        let others = others.map(|(_, (point, error))| (distance(at, point), *error));
        seconds * (weighted(others) - error).exp()
    };
    seconds.iter().sum::<f64>() / points.iter().zip(seconds).enumerate().map(told).sum::<f64>()
}

/// The mean of what the nearest say.
fn weighted(points: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut nearest: Vec<(f64, f64)> = points.collect();
    let count = NEIGHBORS.min(nearest.len());
    if count == 0 {
        return 0.0;
    }
    nearest.select_nth_unstable_by(count - 1, |a, b| a.0.total_cmp(&b.0));
    let (mut sum, mut weights) = (0.0, PRIOR);
    for (distance, value) in &nearest[..count] {
        let weight = (-0.5 * distance / (REACH * REACH)).exp();
        sum += weight * value;
        weights += weight;
    }
    sum / weights
}

/// Squared.
fn distance(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn terms(unit: &UnitSample) -> [f64; TERMS] {
    let UnitSample { shape, batch, macs, .. } = unit;
    let (batch, weights) = (*batch as f64, shape.weights as f64);
    let (elements, around) = ((shape.read + shape.written) as f64, unit.around as f64);
    let bytes = size_of::<f32>() as f64 * elements;
    // Eight channels take as long as a vector of sixteen.
    let whole = whole_vectors(shape.out_channels) / shape.out_channels.max(1) as f64;
    [
        1.0,
        *macs as f64 * whole,
        shape.read as f64 * batch,
        shape.written as f64 * batch * whole,
        weights,
        shape.exponentials as f64 * batch,
        elements * batch * coldness(around, CACHES),
        elements * batch * coldness(bytes, OWN_CACHE),
        weights * coldness(around, OWN_CACHE),
    ]
}

/// Channels of so many, with those that fill the last vector.
fn whole_vectors(channels: usize) -> f64 {
    channels.max(1).next_multiple_of(LANES) as f64
}

/// Of the terms, those that grow with neither work nor elements: a call's, and those of weights.
const FIXED: [usize; 3] = [0, 4, 8];

/// How far so many bytes are from a cache: what lies in between is read from behind it the more often, the more there are.
fn coldness(bytes: f64, cache: f64) -> f64 {
    bytes / (bytes + cache)
}

fn features(unit: &UnitSample) -> [f64; FEATURES] {
    let UnitSample { shape, batch, .. } = unit;
    let log = |value: usize| (value.max(1) as f64).log2();
    let written = shape.written.max(1) as f64;
    let all = written * (*batch).max(1) as f64;
    let features = [
        log(shape.positions) + log(*batch),
        log(shape.in_channels) + log(shape.groups.min(shape.out_channels)) * grouped(shape),
        log(shape.out_channels),
        log(shape.taps),
        log(shape.stride),
        (shape.read.max(1) as f64 / written).log2(),
        (1.0 + unit.elementwise as f64 / all).log2(),
        (1.0 + shape.exponentials as f64 / written).log2(),
        (unit.around.max(1) as f64).log2(),
        whole_vectors(shape.out_channels).log2() - log(shape.out_channels),
    ];
    let mut weighted = features;
    weighted.iter_mut().zip(WEIGHTS).for_each(|(feature, weight)| *feature *= weight);
    weighted
}

/// Channels in all do not say what groups there are; for a grouped convolution those of a group do.
fn grouped(shape: &UnitShape) -> f64 {
    if shape.kind == UnitKind::Grouped { 0.0 } else { 1.0 }
}

/// Few samples, of like sizes, do not tell what a call and its weights take from what its elements take: then all is the elements'.
fn line(samples: &[&UnitSample]) -> [f64; TERMS] {
    let few = samples.len() < 2 * TERMS;
    let row = |sample: &&UnitSample| {
        let mut terms = terms(sample);
        if few {
            FIXED.iter().for_each(|&term| terms[term] = 0.0);
        }
        (terms, sample.seconds)
    };
    least_squares(&samples.iter().map(row).collect::<Vec<_>>())
}

/// What a step takes beside its units, by a line through samples.
pub(super) fn step_line(samples: &[&StepSample], step: &StepSample) -> f64 {
    let terms = |sample: &StepSample| {
        [1.0, sample.tensors as f64, sample.params as f64, sample.images as f64]
    };
    let rows = samples.iter().filter(|sample| sample.seconds > 0.0);
    let rows: Vec<_> = rows.map(|sample| (terms(sample), sample.seconds)).collect();
    let line = least_squares(&rows);
    terms(step).iter().zip(line).map(|(term, weight)| term * weight).sum()
}

/// The line through `(terms, value)` without negative weights and with the least squares of relative errors, by coordinate descent.
fn least_squares<const N: usize>(rows: &[([f64; N], f64)]) -> [f64; N] {
    let rows: Vec<[f64; N]> =
        rows.iter().map(|(terms, value)| terms.map(|term| term / value)).collect();
    let mut scale = [0.0_f64; N];
    for row in &rows {
        scale.iter_mut().zip(row).for_each(|(scale, term)| *scale += term * term);
    }
    let scale = scale.map(|sum| if sum > 0.0 { sum.sqrt() } else { 1.0 });
    let (mut gram, mut right) = ([[0.0; N]; N], [0.0; N]);
    for row in &rows {
        for i in 0..N {
            right[i] += row[i] / scale[i];
            for j in 0..N {
                gram[i][j] += row[i] * row[j] / scale[i] / scale[j];
            }
        }
    }
    let mut line = [0.0; N];
    for _ in 0..PASSES {
        for i in 0..N {
            if gram[i][i] > 0.0 {
                let rest: f64 = (0..N).map(|j| gram[i][j] * line[j]).sum();
                line[i] = (line[i] + (right[i] - rest) / gram[i][i]).max(0.0);
            }
        }
    }
    std::array::from_fn(|i| line[i] / scale[i])
}

/// Time in bands over the time of one convolution after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct BandFit {
    points: Vec<([f64; FEATURES], f64)>,
    mean: f64,
}

impl BandFit {
    pub(super) fn new(bands: &[BandSample]) -> Self {
        let mean =
            bands.iter().map(|band| band.ratio.ln()).sum::<f64>() / bands.len().max(1) as f64;
        let point = |band: &BandSample| (features(&alone(band.shape)), band.ratio.ln() - mean);
        Self { points: bands.iter().map(point).collect(), mean }
    }

    pub(super) fn ratio(&self, shape: UnitShape) -> f64 {
        let at = features(&alone(shape));
        let points = self.points.iter().map(|(point, error)| (distance(&at, point), *error));
        (self.mean + weighted(points)).exp()
    }
}

fn alone(shape: UnitShape) -> UnitSample {
    UnitSample {
        shape,
        batch: 1,
        macs: 0,
        elementwise: 0,
        gradients: [false; 2],
        around: 0,
        seconds: 0.0,
    }
}

#[cfg(test)]
mod tests {
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
            units
                .map(move |it| UnitSample { seconds: it.seconds * off(it.seconds), ..it })
                .collect()
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
        let band =
            |positions, ratio| BandSample { shape: unit(positions, 96, LAW, 1.0).shape, ratio };
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
}
