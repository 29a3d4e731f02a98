//! What a recipe hands back.
//!
//! Above: the binary, which prints it. Below: `serde`. Not here: how the numbers come about.
//! Shares are fractions from 0 to 1; the binary's JSON has these fields under these names.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
pub use taper_classifier::ClassProbability;
use taper_model::Task;

use crate::confidence::Calibrated;
use crate::evaluate::OthersReport;
use crate::options::{BenchMode, CacheKind};

/// The result of fine-tuning.
#[derive(Debug, Clone, Serialize)]
pub struct FineTuneReport {
    /// What the model does.
    pub task: Task,
    /// Share of held-out pictures that the network names rightly after the last epoch of this call; absent when it was
    /// stopped before the end of one, and where pictures have no classes.
    pub val_top1: Option<f64>,
    /// The same for the best epoch of the run.
    pub best_val_top1: Option<f64>,
    /// All metrics of the held-out pictures by name, with `val_loss`.
    pub val_scores: BTreeMap<String, f64>,
    /// The same for the best epoch of the run.
    pub best_val_scores: BTreeMap<String, f64>,
    /// Mean loss on the held-out pictures after the last epoch of this call: cross-entropy in nats, of numbers in squares of their standard deviation.
    pub val_loss: Option<f64>,
    /// Held-out pictures that these numbers are over, with `val_loss`.
    pub val_images: Option<usize>,
    /// Files that are no pictures or could not be read any more.
    pub skipped: usize,
    /// Which ones, and why, each once.
    pub skipped_files: Vec<Skipped>,
    /// Epochs that are done, the last in part where time was up.
    pub epochs: usize,
    /// Seconds of this call.
    pub seconds: f64,
    /// Training pictures a second, evaluating and saving between epochs left out.
    pub images_per_second: f64,
    /// The best epoch's model file; absent when the run was stopped before the end of an epoch and there is none yet.
    pub model: Option<PathBuf>,
    /// The page about the run; absent where none was asked for or none could be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PathBuf>,
    /// The run's folder.
    #[serde(skip)]
    pub out: PathBuf,
    /// Whether the run was asked to stop before its last epoch.
    pub stopped: bool,
    /// Whether there was no time for its last epoch.
    pub time_up: bool,
    /// How the network names the held-out pictures of classes, with `val_top1`.
    #[serde(skip)]
    pub review: Option<Review>,
    /// What keeping decoded pictures was good for; absent where there were none to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheReport>,
    /// What held-out pictures say about the best epoch's model, which its file has; absent before the end of a run, and where pictures have
    /// no classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// The state of [`CalibrationError`](taper_train::CalibrationError) after these pictures, each fifth at the temperature of the others, so that it
    /// can be added to those of other splits; empty where `calibrated` has no `ece`.
    #[serde(skip)]
    pub calibration: Vec<f64>,
    /// What sharing steps out has cost; absent without shards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributed: Option<RanksReport>,
}

/// What keeping decoded pictures was good for, on the first rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CacheReport {
    /// Where they are kept.
    pub kind: CacheKind,
    /// Pictures of this run that are kept.
    pub pictures: u64,
    /// Bytes that are used; on disk, by all runs.
    pub bytes: u64,
    /// Bytes that may be used.
    pub limit: u64,
    /// How often a picture came from the cache.
    pub hits: u64,
    /// How often one was decoded.
    pub decoded: u64,
}

/// What sharing steps out over ranks has cost the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RanksReport {
    /// Ranks.
    pub ranks: usize,
    /// Shards of a step.
    pub shards: usize,
    /// Bytes of gradients and statistics that were summed over ranks.
    pub reduced_bytes: u64,
    /// Bytes that this rank sent for them.
    pub sent_bytes: u64,
    /// Seconds in which computing waited for sums.
    pub stall_seconds: f64,
    /// Seconds in which sums were on their way.
    pub communication_seconds: f64,
    /// Share of the bytes that were summed before anybody waited for them.
    pub hidden_share: f64,
}

/// A machine's times, measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibrationReport {
    /// The file.
    pub path: PathBuf,
    /// The processor.
    pub processor: String,
    /// The instruction set of the kernels.
    pub isa: String,
    /// Logical cores.
    pub cores: usize,
    /// Numbers of threads that were calibrated.
    pub threads: Vec<usize>,
    /// Units that were timed.
    pub units: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

/// The result of measuring: milliseconds of a batch or of a training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Half of the runs took at most this.
    pub median_ms: f64,
    /// A tenth of the runs took at most this.
    pub p10_ms: f64,
    /// A tenth of the runs took at least this.
    pub p90_ms: f64,
    /// Threads that worked.
    pub threads: usize,
    /// The most memory the process has ever held, the loaded model included; absent where the system does not tell.
    pub peak_bytes: Option<u64>,
    /// Images a batch.
    pub batch: usize,
    /// Height and width, pixels.
    pub image_size: [usize; 2],
    /// What was measured.
    pub mode: BenchMode,
    /// How often.
    pub runs: usize,
    /// Images a second at the median.
    pub images_per_second: f64,
}

/// How a model names pictures whose class is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// Rows: true class; columns: predicted class.
    pub confusion: Confusion,
    /// Wrong predictions, the most confident first.
    pub mistakes: Vec<Mistake>,
}

/// Counts of true and predicted classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    /// Names by index.
    pub classes: Vec<String>,
    counts: Vec<u64>,
}

impl Confusion {
    /// Takes `counts`, one row for each true class; missing ones are 0.
    pub fn new(classes: Vec<String>, mut counts: Vec<u64>) -> Self {
        counts.resize(classes.len() * classes.len(), 0);
        Confusion { classes, counts }
    }

    /// How many pictures of class `actual` were called `predicted`.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.counts.get(actual * self.classes.len() + predicted).copied().unwrap_or(0)
    }

    /// Share of what is called `class` that is of it; 0 of nothing.
    pub fn precision(&self, class: usize) -> f64 {
        let called = (0..self.classes.len()).map(|actual| self.count(actual, class)).sum();
        share(self.count(class, class), called)
    }

    /// Share of the pictures of `class` that are called so; 0 of none.
    pub fn recall(&self, class: usize) -> f64 {
        share(self.count(class, class), self.total(class))
    }

    /// The harmonic mean of precision and recall.
    pub fn f1(&self, class: usize) -> f64 {
        let [precision, recall] = [self.precision(class), self.recall(class)];
        let sum = precision + recall;
        if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 }
    }

    /// Pictures of class `actual`.
    pub fn total(&self, actual: usize) -> u64 {
        (0..self.classes.len()).map(|predicted| self.count(actual, predicted)).sum()
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// A picture that was called something else.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// The picture's name: its path, or its name in the embedded set.
    pub image: String,
    /// Its class.
    pub actual: String,
    /// What it was called.
    pub predicted: String,
    /// The probability of that, from 0 to 1.
    pub probability: f64,
}

/// The result of evaluating.
#[derive(Debug, Clone, Serialize)]
pub struct EvaluateReport {
    /// What the model does.
    pub task: Task,
    /// Share of pictures whose likeliest class is right; absent where pictures have no classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Where the share is with 95 % confidence, were other such pictures drawn ([`taper_train::confidence_interval`]), with `top1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1_interval: Option<[f64; 2]>,
    /// Share of pictures whose class is among the five likeliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top5: Option<f64>,
    /// Mean cross-entropy, in nats; of numbers their mean squared error.
    pub loss: f64,
    /// All metrics by name.
    pub scores: BTreeMap<String, f64>,
    /// What the model file divides logits by before all of these; absent of a model that was not calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// How well pictures of other things are told from these, if some were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<OthersReport>,
    /// Pictures looked at, which these numbers are of.
    pub images: usize,
    /// Files that are no pictures or could not be read any more.
    pub skipped: usize,
    /// Which ones, and why, each once.
    pub skipped_files: Vec<Skipped>,
    /// Pictures a second, reading and decoding included.
    pub images_per_second: f64,
    /// Confusion and mistakes of classes.
    #[serde(skip)]
    pub review: Option<Review>,
}

/// What a picture shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// The file.
    pub image: String,
    /// The likeliest classes, or labels of which any number holds, the likeliest first; none of a model that predicts numbers.
    pub predictions: Vec<ClassProbability>,
    /// The predicted numbers by name, of a model that predicts numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<PredictedNumber>,
    /// How like the pictures that the classes were learned from, from -1 to 1, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub familiarity: Option<f64>,
    /// Whether it is one of other things, if that was asked: then the classes mean nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<bool>,
}

/// A number that a model predicts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictedNumber {
    /// Its name.
    pub name: String,
    /// What it is predicted to be.
    pub value: f64,
}

/// What was found by looking into a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LookReport {
    /// One HTML page with everything on it; absent when no picture could be read.
    pub page: Option<PathBuf>,
    /// The stem's filters; absent for a network whose stem does not read three colors at once.
    pub filters: Option<PathBuf>,
    /// By picture, in the order they were named.
    pub images: Vec<Look>,
    /// Files that could not be looked at.
    pub skipped: Vec<Skipped>,
}

/// What was found in one picture, and the files that show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// The file.
    pub image: String,
    /// The likeliest classes, the likeliest first; none of a model that predicts numbers.
    pub predictions: Vec<ClassProbability>,
    /// The predicted numbers by name, of a model that predicts numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<PredictedNumber>,
    /// The class whose evidence is shown.
    pub class: ClassProbability,
    /// The picture as the network sees it.
    pub input: PathBuf,
    /// What speaks for the class, over the picture.
    pub heat_map: PathBuf,
    /// Feature maps.
    pub layers: Vec<LookLayer>,
}

/// Feature maps of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LookLayer {
    /// The name it was asked for by, or its scope's.
    pub name: String,
    /// The node whose output is shown.
    pub node: String,
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The channels shown, the strongest first.
    pub channels: Vec<usize>,
    /// Their maps, row by row in this order.
    pub picture: PathBuf,
}

/// A file that is no picture, or could not be read any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// Why it cannot be used.
    pub reason: String,
}

/// A model of the zoo.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZooModel {
    /// Architecture `.` weights.
    pub name: String,
    /// Other spellings.
    pub aliases: Vec<String>,
    /// Trained numbers.
    pub params: u64,
    /// Multiply-accumulates of one picture at `input`.
    pub macs: u64,
    /// Height and width of the input, in pixels.
    pub input: usize,
    /// Published ImageNet top-1, from 0 to 1; absent for an architecture without weights.
    pub top1: Option<f64>,
    /// The weights' license.
    pub license: Option<String>,
    /// Whether the weights are on this machine.
    pub cached: bool,
    /// What the bytes of the weights' files are checked against, in the order in which they are tried: `sha256`, `8 digits of
    /// sha256`, `the hub's word` or `length`.
    pub checks: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confusion_counts_rows_by_true_class() {
        let confusion = Confusion::new(vec!["ant".into(), "bee".into()], vec![1, 1, 0, 1]);
        assert_eq!(confusion.count(0, 1), 1);
        assert_eq!(confusion.count(1, 0), 0);
        assert_eq!((confusion.total(0), confusion.total(1)), (2, 1));
        let close = |got: f64, expected: f64| (got - expected).abs() < 1e-12;
        assert!(close(confusion.precision(0), 1.0) && close(confusion.recall(0), 0.5));
        assert!(close(confusion.precision(1), 0.5) && close(confusion.recall(1), 1.0));
        assert!((confusion.f1(1) - 2.0 / 3.0).abs() < 1e-12);
    }
}
