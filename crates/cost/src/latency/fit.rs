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

/// Units with the same gradients, and on the same kernel, alone are compared.
type Key = (UnitKind, Window, [bool; 2]);

fn key(unit: &UnitSample) -> Key {
    (unit.shape.kind, Window::of(&unit.shape), unit.gradients)
}

/// How a depthwise convolution goes along a row: several neighboring outputs at once for windows of three and of five columns, else one after the
/// other, which takes longer a tap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Window {
    /// No depthwise convolution.
    Any,
    Blocked,
    OneTap,
    Single,
}

impl Window {
    fn of(shape: &UnitShape) -> Self {
        match shape.taps {
            _ if shape.kind != UnitKind::Depthwise => Self::Any,
            9 | 25 => Self::Blocked,
            1 => Self::OneTap,
            _ => Self::Single,
        }
    }
}

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
            of_kind.entry(key(sample)).or_default().push(sample);
        }
        let kinds = of_kind.into_iter().map(|(key, samples)| (key, Kind::new(&samples, center)));
        Self { kinds: kinds.collect() }
    }

    /// Seconds of a unit, whose own time is not read; none for a kind that was not measured.
    pub(super) fn seconds(&self, unit: &UnitSample) -> Option<f64> {
        let kind = self.kinds.get(&key(unit));
        // A kind that was measured with other gradients, or on another kernel, is better than none.
        let any = || self.kinds.iter().find(|((kind, ..), _)| *kind == unit.shape.kind);
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
mod tests;
