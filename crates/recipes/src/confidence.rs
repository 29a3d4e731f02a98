//! What held-out pictures say about a trained classifier: its temperature, and how near to the classes' pictures its own are.
//!
//! Above: `tune`, `evaluate`, `extend`. Below: `confidence::{directions, temperature}`, `taper_model::Confidence`, `taper_engine`. Not here: using it
//! (`taper_classifier`).
//! Means are of training pictures, temperature and threshold of held-out ones. The calibration error that is reported is cross-fitted: no
//! picture is judged at a temperature that it took part in.

mod directions;
mod temperature;

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use taper_data::random::Rng;
use taper_data::{Array, Sample, Target, Targets};
use taper_engine::{Session, SessionOptions};
use taper_graph::Extent;
use taper_model::{Confidence, Familiarity, Model, Task};
use taper_train::{Batches, CalibrationError, Metric, Output, Predictions, RankingArea};
use taper_transfer::mean_features;

use crate::error::{Error, Result};
use crate::task::LOGITS;
pub(crate) use temperature::Tempered;

/// The share of held-out pictures that a threshold keeps.
const KEPT: f64 = 0.95;

/// Training pictures of a class that its mean is of, at most: more move it by less than pictures differ.
const PER_CLASS: usize = 50;

/// Directions that do not count, at most: of 0, 8, 16, 32, 64 and 128 these tell other pictures best on emoji6, and 16 to 64 alike on
/// hymenoptera (docs/data-doctor.md); 80 KB for MobileNetV2.
const DIRECTIONS: usize = 32;

/// Of so many training pictures, the one that is farthest from its class's mean makes no direction.
const STRANGERS: usize = 20;

/// Parts that held-out pictures are cut into, each of which is judged at the temperature of the others.
const FOLDS: usize = 5;

/// Logits that are looked at to learn what chance does.
const WORK: usize = 2_000_000;

/// The purpose of the random stream that is drawn here.
const BY_CHANCE: u64 = 0x6368_616e;

/// The features that pictures are compared by.
pub(crate) const FEATURES: &str = "pre_logits";

/// How far a classifier's probabilities are those of being right, on held-out pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// What the model file divides logits by.
    pub temperature: f64,
    /// The expected calibration error without it.
    pub ece_before: f64,
    /// The error with it, each fifth of the pictures at the temperature of the others; absent of fewer than ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ece: Option<f64>,
    /// The error that a perfectly calibrated network would have on so many pictures, by chance alone: differences below it mean nothing.
    pub ece_by_chance: f64,
    /// From which familiarity on a picture is known; absent where the network has no features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_from: Option<f64>,
    /// Held-out pictures.
    pub images: usize,
}

/// What a network gives for pictures whose class is known.
#[derive(Debug, Default)]
struct Seen {
    /// `(classes, k)`.
    logits: Vec<f32>,
    /// `(classes, width)`; empty where the network has none.
    features: Vec<f32>,
    classes: Vec<u32>,
    /// Which pictures of the data set they are.
    indices: Vec<usize>,
}

impl Seen {
    /// Numbers of a row of `values`, one row a picture.
    fn width(&self, values: &[f32]) -> usize {
        values.len() / self.classes.len().max(1)
    }
}

/// What held-out pictures say, and what the network said of them.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) confidence: Confidence,
    pub(crate) calibrated: Calibrated,
    /// The state of the cross-fitted error.
    pub(crate) calibration: Vec<f64>,
    val: Seen,
}

impl Measured {
    /// Tells a metric the logits of all held-out pictures at once, divided by the temperature.
    pub(crate) fn tell(&self, metric: &mut dyn Metric) -> Result<()> {
        let Seen { logits, classes, indices, .. } = &self.val;
        let scaled: Vec<f32> = temperature::scaled(logits, self.confidence.temperature()).collect();
        tell(metric, &scaled, classes, indices)
    }
}

/// Those pictures that the classes' means are of: evenly spread over each class.
pub(crate) fn some_of_each_class(samples: &[Sample], classes: usize) -> Vec<Sample> {
    let mut of_class = vec![Vec::new(); classes];
    for sample in samples {
        if let Some(of_class) = sample.class().and_then(|class| of_class.get_mut(class as usize)) {
            of_class.push(sample);
        }
    }
    let spread = |samples: Vec<&Sample>| -> Vec<Sample> {
        let n = samples.len().min(PER_CLASS);
        (0..n).map(|i| samples[i * samples.len() / n].clone()).collect()
    };
    of_class.into_iter().flat_map(spread).collect()
}

/// Measures a classifier on training and held-out pictures, or on their features if `network` is a head that was detached; nothing if
/// stopped, or if no held-out picture has a class.
pub(crate) fn measure(
    network: &Model,
    [train, val]: [&dyn Batches; 2],
    threads: usize,
    stop: &AtomicBool,
) -> Result<Option<Measured>> {
    let mut outputs = vec![LOGITS.to_owned()];
    outputs.extend(has_features(network).then(|| FEATURES.to_owned()));
    let session = SessionOptions { threads, outputs };
    let mut session = Session::new(network, &session).map_err(|source| Error::Engine { source })?;
    let Some(val) = seen(&mut session, val, stop)? else { return Ok(None) };
    let train = match val.features.is_empty() {
        true => None,
        false => seen(&mut session, train, stop)?,
    };
    if val.classes.is_empty() || stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let (confidence, calibrated, calibration) = of_outputs(train.as_ref(), &val)?;
    Ok(Some(Measured { confidence, calibrated, calibration, val }))
}

fn has_features(network: &Model) -> bool {
    let [h, w] = network.preprocess().input_size;
    let extents = network.graph().extents(h, w).unwrap_or_default();
    let features = network.graph().outputs().get(FEATURES);
    matches!(features.and_then(|id| extents.get(id.index())), Some(Extent::Vector { .. }))
}

/// Nothing if stopped.
fn seen(session: &mut Session, batches: &dyn Batches, stop: &AtomicBool) -> Result<Option<Seen>> {
    let mut seen = Seen::default();
    for batch in batches.epoch(0, 0) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch.map_err(|source| Error::Train { source })?;
        let Targets::Classes(classes) = &batch.targets else { continue };
        if classes.is_empty() {
            continue;
        }
        let outputs = session.run_all(&batch.xs, batch.shape);
        let outputs = outputs.map_err(|source| Error::Engine { source })?;
        for (all, of_batch) in [&mut seen.logits, &mut seen.features].into_iter().zip(outputs) {
            all.extend_from_slice(of_batch);
        }
        seen.classes.extend_from_slice(classes);
        seen.indices.extend_from_slice(&batch.indices);
    }
    Ok(Some(seen))
}

fn of_outputs(train: Option<&Seen>, val: &Seen) -> Result<(Confidence, Calibrated, Vec<f64>)> {
    let images = val.classes.len();
    let k = val.width(&val.logits);
    let all: Vec<usize> = (0..images).collect();
    let temperature = temperature::fit(val, &all);
    let familiarity = train.map(|train| familiarity(train, val)).transpose()?.flatten();
    let mut confidence =
        Confidence::new(temperature, images).map_err(|source| Error::Model { source })?;
    let known_from = familiarity.as_ref().map(Familiarity::threshold);
    if let Some(familiarity) = familiarity {
        confidence = confidence.with_familiarity(familiarity);
    }
    let ece_before = calibration_error(val, k, |_| 1.0)?.value();
    let cross_fitted = match images >= 2 * FOLDS {
        true => {
            let of_others = |fold: usize| {
                let others: Vec<usize> = (0..images).filter(|i| i % FOLDS != fold).collect();
                temperature::fit(val, &others)
            };
            let temperatures: Vec<f64> = (0..FOLDS).map(of_others).collect();
            Some(calibration_error(val, k, |i| temperatures[i % FOLDS])?)
        }
        false => None,
    };
    let ece_by_chance = by_chance(val, k, temperature)?;
    let ece = cross_fitted.as_ref().map(CalibrationError::value);
    let calibrated = Calibrated { temperature, ece_before, ece, ece_by_chance, known_from, images };
    Ok((confidence, calibrated, cross_fitted.map(|it| it.state()).unwrap_or_default()))
}

/// The mean error of pictures whose classes are drawn by the probabilities themselves.
fn by_chance(val: &Seen, k: usize, temperature: f64) -> Result<f64> {
    let draws = (WORK / val.logits.len().max(1)).clamp(1, 200);
    let mut drawn = Seen { logits: val.logits.clone(), ..Seen::default() };
    let mut sum = 0.0;
    for draw in 0..draws {
        let mut rng = Rng::keyed([BY_CHANCE, draw as u64]);
        let rows = val.logits.chunks_exact(k.max(1));
        drawn.classes = rows
            .map(|row| {
                let mut left = rng.unit();
                let shares = Task::Classification.probabilities_at(row, temperature);
                let class = shares.iter().zip(0..).find(|(share, _)| {
                    left -= **share;
                    left < 0.0
                });
                class.map_or(0, |(_, class)| class)
            })
            .collect();
        sum += calibration_error(&drawn, k, |_| temperature)?.value();
    }
    Ok(sum / draws as f64)
}

/// The expected calibration error where picture `i` is judged at the temperature `at(i)`.
fn calibration_error(val: &Seen, k: usize, at: impl Fn(usize) -> f64) -> Result<CalibrationError> {
    let rows = val.logits.chunks_exact(k.max(1)).enumerate();
    let scaled: Vec<f32> =
        rows.flat_map(|(i, row)| temperature::scaled(row, at(i)).collect::<Vec<_>>()).collect();
    let mut error = CalibrationError::new();
    let indices: Vec<usize> = (0..val.classes.len()).collect();
    tell(&mut error, &scaled, &val.classes, &indices)?;
    Ok(error)
}

/// Tells a metric the logits of pictures whose classes are known.
fn tell(metric: &mut dyn Metric, logits: &[f32], classes: &[u32], indices: &[usize]) -> Result<()> {
    let failed = |source| Error::Train { source };
    let shape = [classes.len(), logits.len() / classes.len().max(1)];
    let output = Output { name: LOGITS, values: logits, shape: &shape };
    let targets = Targets::Classes(classes.to_vec());
    let told = Predictions::new(vec![output], &targets, indices).map_err(failed)?;
    metric.update(&told).map_err(failed)
}

/// The means of the classes' training pictures, the directions in which these vary, and the score that most held-out pictures reach.
fn familiarity(train: &Seen, val: &Seen) -> Result<Option<Familiarity>> {
    let width = train.width(&train.features);
    let rows = train.classes.iter().zip(train.features.chunks_exact(width.max(1)));
    let rows: Vec<(usize, Vec<f32>)> =
        rows.filter_map(|(&class, row)| Some((class as usize, of_length_one(row)?))).collect();
    let n_classes = rows.iter().map(|(class, _)| class + 1).max().unwrap_or_default();
    let mut counts = vec![0.0f32; n_classes];
    rows.iter().for_each(|(class, _)| counts[*class] += 1.0);
    let mut means = vec![0.0f32; n_classes * width];
    for (class, row) in &rows {
        let mean = means[class * width..].iter_mut();
        mean.zip(row).for_each(|(mean, x)| *mean += x / counts[*class]);
    }
    if rows.is_empty() {
        return Ok(None); // no picture has a feature, as of a network that was not trained
    }
    let model = |source| Error::Model { source };
    let mut away: Vec<Vec<f32>> = rows
        .iter()
        .map(|(class, row)| {
            let mean = &means[class * width..(class + 1) * width];
            row.iter().zip(mean).map(|(x, mean)| x - mean).collect()
        })
        .collect();
    // A stranger among the training pictures must not make a direction of its own familiar.
    away.sort_by(|a, b| squared(a).total_cmp(&squared(b)));
    away.truncate(away.len() - away.len() / STRANGERS);
    let away = away.concat();
    let most = DIRECTIONS.min(width / 4).min(rows.len().saturating_sub(n_classes));
    let directions = directions::of_most_variance(&away, width, most)?;
    let lengths = train.features.chunks_exact(width.max(1)).filter_map(length);
    let length = lengths.map(f64::from).sum::<f64>() / rows.len() as f64;
    let known = Familiarity::new(&means, width).and_then(|it| it.with_length(length));
    let known = known.and_then(|it| it.with_directions(&directions)).map_err(model)?;
    let threshold = threshold(&known, &val.features).unwrap_or(-1.0);
    known.with_threshold(threshold, KEPT).map(Some).map_err(model)
}

/// The score that most of these features reach; none of none.
fn threshold(known: &Familiarity, features: &[f32]) -> Option<f64> {
    let rows = features.chunks_exact(known.width().max(1));
    let mut scores: Vec<f64> = rows.map(|row| known.score(row)).collect();
    scores.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of pictures"
    )]
    let left_out = ((1.0 - KEPT) * scores.len() as f64) as usize;
    scores.get(left_out).copied()
}

/// What is known of a classifier that has got more classes while its features stay: their means of training pictures count, too, and most of their held-out
/// pictures are known. Its temperature stays, for the weights of the new classes are as long as those of the old.
pub(crate) fn with_classes(
    confidence: &Confidence,
    train: &[Vec<f32>],
    val: &[f32],
) -> Result<Confidence> {
    let Some(familiarity) = confidence.familiarity() else { return Ok(confidence.clone()) };
    let model = |source| Error::Model { source };
    let width = familiarity.width().max(1);
    let means = train.iter().flat_map(|features| {
        let rows = features.chunks_exact(width).filter_map(of_length_one);
        mean_features(&rows.flatten().collect::<Vec<f32>>(), width)
    });
    let means: Vec<f32> = means.collect();
    if means.iter().all(|x| *x == 0.0) {
        return Ok(confidence.clone()); // nothing new, or nothing that has a direction
    }
    let (least, kept) = (familiarity.threshold(), familiarity.kept());
    let more = familiarity.clone().with_means(&means).map_err(model)?;
    let threshold = threshold(&more, val).map_or(least, |of_new| of_new.min(least));
    let more = more.with_threshold(threshold, kept).map_err(model)?;
    Ok(confidence.clone().with_familiarity(more))
}

fn squared(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum()
}

/// A row scaled to length 1; nothing for what has no direction.
fn of_length_one(row: &[f32]) -> Option<Vec<f32>> {
    length(row).map(|length| row.iter().map(|x| x / length).collect())
}

/// Nothing for what has no direction.
fn length(row: &[f32]) -> Option<f32> {
    let length = squared(row).sqrt();
    (length > 0.0 && length.is_finite()).then_some(length)
}

/// How often a picture of the first kind has a higher score than one of the second; equal ones count half. Nothing if there are none of a
/// kind.
pub(crate) fn ranking_area(known: &[f64], others: &[f64]) -> Result<Option<f64>> {
    let failed = |source| Error::Train { source };
    let scores: Vec<f64> = known.iter().chain(others).copied().collect();
    // Ranks, so that nothing is lost to single precision.
    let mut sorted = scores.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    let rank = |score: &f64| sorted.partition_point(|other| other < score) as f32;
    let values: Vec<f32> = scores.iter().map(rank).collect();
    let holds = (0..scores.len()).map(|i| if i < known.len() { 1.0 } else { 0.0 });
    let targets = Targets::collate(holds.map(|it| Target::Labels(Array::vector(vec![it]))));
    let targets = targets.map_err(crate::setup::data)?;
    let (shape, indices) = ([values.len(), 1], (0..values.len()).collect::<Vec<_>>());
    let output = Output { name: LOGITS, values: &values, shape: &shape };
    let mut area = RankingArea::roc();
    area.update(&Predictions::new(vec![output], &targets, &indices).map_err(failed)?)
        .map_err(failed)?;
    Ok(area.compute())
}

#[cfg(test)]
mod tests;
