//! What several runs come to together: means with their intervals, and how sure answers are over all held-out pictures.
//!
//! Above: `splits`. Below: `taper_train::CalibrationError`. Not here: one run's scores (`taper_train`).

use std::collections::BTreeMap;

use serde::Serialize;
use taper_data::random::Rng;
use taper_train::{CalibrationBin, CalibrationError, Metric};

use super::SplitResult;
use crate::run_report::words::is_share;

/// A metric over several splits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanScore {
    /// The mean.
    pub mean: f64,
    /// The standard deviation over splits.
    pub std: f64,
    /// Where the mean of many such runs lies with 95 % confidence: Student's interval, widened because splits share pictures to train with
    /// (Nadeau & Bengio 2003, <https://doi.org/10.1023/A:1024068626366>). Of a share, what lies between 0 and 1 of it: of two or three runs, it may say
    /// next to nothing.
    pub interval: [f64; 2],
}

/// The expected calibration error over the held-out pictures of several splits together: of more pictures than one split has, it says more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SplitsCalibration {
    /// The error, each picture at a temperature that was fitted to others.
    pub ece: f64,
    /// The error that chance alone makes of perfectly calibrated probabilities of so many pictures: differences below it mean nothing.
    pub ece_by_chance: f64,
    /// Held-out pictures, of all splits.
    pub images: u64,
}

/// By metric, its mean over all runs that have it.
pub(super) fn means(runs: &[SplitResult]) -> BTreeMap<String, MeanScore> {
    let shares = runs.iter().map(|run| run.images[1] as f64 / run.images[0].max(1) as f64);
    let held_out = shares.sum::<f64>() / runs.len().max(1) as f64;
    let names = runs.first().into_iter().flat_map(|run| run.scores.keys());
    let of = |name: &String| {
        let values: Vec<f64> =
            runs.iter().filter_map(|run| run.scores.get(name).copied()).collect();
        let score = MeanScore::of(&values, held_out);
        match is_share(name) {
            true => MeanScore { interval: score.interval.map(|it| it.clamp(0.0, 1.0)), ..score },
            false => score,
        }
    };
    names.map(|name| (name.clone(), of(name))).collect()
}

impl SplitsCalibration {
    /// Draws of right and wrong answers that chance is learned from.
    const DRAWS: u64 = 200;

    pub(super) fn of(runs: &[SplitResult]) -> Option<Self> {
        let mut all: Vec<f64> = Vec::new();
        for run in runs {
            all.resize(all.len().max(run.calibration.len()), 0.0);
            all.iter_mut().zip(&run.calibration).for_each(|(sum, x)| *sum += x);
        }
        if all.is_empty() {
            return None;
        }
        let mut error = CalibrationError::new();
        error.load_state(&all);
        let bins: Vec<CalibrationBin> = error.bins().collect();
        let images = bins.iter().map(|bin| bin.samples).sum();
        let held_out: usize = runs.iter().map(|run| run.images[1]).sum();
        if images > held_out as u64 {
            return None; // a file says so that nobody has written
        }
        let mut sum = 0.0;
        for draw in 0..Self::DRAWS {
            let (mut rng, mut drawn) = (Rng::keyed([draw]), CalibrationError::new());
            for bin in &bins {
                let sure = bin.confidence;
                (0..bin.samples).for_each(|_| drawn.add(sure, rng.unit() < sure));
            }
            sum += drawn.value();
        }
        Some(Self { ece: error.value(), ece_by_chance: sum / Self::DRAWS as f64, images })
    }
}

impl MeanScore {
    /// Of values of which each is of `held_out` times as many pictures as it was trained with.
    fn of(values: &[f64], held_out: f64) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        if values.len() < 2 {
            return Self { mean, std: 0.0, interval: [f64::NEG_INFINITY, f64::INFINITY] };
        }
        let square = |value: &f64| (value - mean) * (value - mean);
        let variance = values.iter().map(square).sum::<f64>() / (n - 1.0);
        let half = quantile(values.len() - 1) * (variance * (1.0 / n + held_out)).sqrt();
        Self { mean, std: variance.sqrt(), interval: [mean - half, mean + half] }
    }
}

/// The quantile of 0.975 of Student's distribution; of many degrees of freedom, that of the next fewer ones in the table.
fn quantile(freedom: usize) -> f64 {
    const SMALL: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    match freedom {
        0 => f64::INFINITY,
        1..=30 => SMALL[freedom - 1],
        31..=59 => SMALL[29],
        60..=119 => 2.0,
        _ => 1.98,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_have_students_interval_widened_by_what_splits_share() {
        let score = MeanScore::of(&[0.9, 0.8, 1.0], 0.5);
        assert!((score.mean - 0.9).abs() < 1e-12 && (score.std - 0.1).abs() < 1e-12);
        let half = 4.303 * (0.01f64 * (1.0 / 3.0 + 0.5)).sqrt();
        assert!((score.interval[1] - (0.9 + half)).abs() < 1e-12);
        assert!(quantile(30) > quantile(60) && quantile(1000) > 1.96);
    }

    #[test]
    fn splits_are_judged_together() {
        let state = |answers: &[(f64, bool)]| {
            let mut error = CalibrationError::new();
            answers.iter().for_each(|(sure, is_right)| error.add(*sure, *is_right));
            error.state()
        };
        let run = |answers: &[(f64, bool)]| SplitResult {
            number: 1,
            images: [2, 2],
            scores: BTreeMap::new(),
            best_scores: BTreeMap::new(),
            calibration: state(answers),
            model: None,
            seconds: 0.0,
        };
        // Alone, each is off by a half; together they are right half of the time.
        let runs = [run(&[(0.5, true), (0.5, true)]), run(&[(0.5, false), (0.5, false)])];
        let of = |runs: &[SplitResult]| SplitsCalibration::of(runs).unwrap();
        assert_eq!((of(&runs[..1]).ece, of(&runs).ece, of(&runs).images), (0.5, 0.0, 4));
        // None or all, one or three, two of four: off by a half, a quarter and nothing, as 1 to 4 to 3.
        assert!((of(&runs).ece_by_chance - 0.1875).abs() < 0.03, "{:?}", of(&runs));
        assert!(SplitsCalibration::of(&[]).is_none());
    }
    #[test]
    fn an_interval_of_shares_ends_where_they_do() {
        let run = |top1: f64| SplitResult {
            number: 1,
            images: [2, 2],
            scores: BTreeMap::from([("top1".to_owned(), top1), ("loss".to_owned(), top1)]),
            best_scores: BTreeMap::new(),
            calibration: Vec::new(),
            model: None,
            seconds: 0.0,
        };
        let scores = means(&[run(0.8), run(1.0)]);
        let [low, high] = scores["top1"].interval;
        assert!(low.abs() < 1e-12 && (high - 1.0).abs() < 1e-12, "{low} {high}");
        assert!(scores["loss"].interval[0] < 0.0 && scores["loss"].interval[1] > 1.0);
    }
}
