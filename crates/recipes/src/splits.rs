//! One recipe on several splits of the same pictures: how good it is on average, and how sure that is.
//!
//! Above: the binary, Rust users. Below: `fine_tune`, `data`, `taper_data::Dataset::{fold, split_again}`. Not here: a run (`tune`).
//! Each split has a run folder of its own, `split-1`, `split-2`, …; a split that is done has left its `result.json` there, one that is not goes
//! on where it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use taper_data::Dataset;
use taper_data::random::Rng;
use taper_train::{CalibrationBin, CalibrationError, Metric};

use crate::data;
use crate::error::{Error, Result};
use crate::fine_tune::{ResumeOptions, fine_tune_on, resume_on};
use crate::observer::{Event, Observer};
use crate::options::{FineTuneOptions, at_least};
use crate::run;
use crate::setup;

/// What the folder of several runs holds besides them.
const PLAN: &str = "splits.json";

/// What the folder of one of them holds when it is done.
const RESULT: &str = "result.json";

/// How the pictures are divided, again and again; both parts that they may come in are put together first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Splits {
    /// Into so many folds, 2 or more, each of which validates once: cross-validation.
    Folds(usize),
    /// So many times, 2 or more, at random, by the option `val_fraction`.
    Random(usize),
}

/// The results of a recipe on several splits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SplitsReport {
    /// How the pictures were divided.
    pub splits: Splits,
    /// One for each split that is done.
    pub runs: Vec<SplitResult>,
    /// By metric, after the last epoch: a best epoch is picked with the very pictures that it is judged by.
    pub scores: BTreeMap<String, MeanScore>,
    /// Whether probabilities of all held-out pictures of all splits are those of being right; absent where no split says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<SplitsCalibration>,
    /// The folder.
    pub out: PathBuf,
    /// Whether it was asked to stop before the last split was done.
    pub stopped: bool,
}

/// What one split came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitResult {
    /// From 1.
    pub number: usize,
    /// Pictures to train with, and those that validate.
    pub images: [usize; 2],
    /// All metrics of the held-out pictures after the last epoch.
    pub scores: BTreeMap<String, f64>,
    /// The same for the best epoch.
    pub best_scores: BTreeMap<String, f64>,
    /// [`FineTuneReport::calibration`](crate::FineTuneReport::calibration).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<f64>,
    /// Its model.
    pub model: Option<PathBuf>,
    /// How long it took, in seconds, of the call that ended it.
    pub seconds: f64,
}

/// A metric over several splits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeanScore {
    /// The mean.
    pub mean: f64,
    /// The standard deviation over splits.
    pub std: f64,
    /// Where the mean of many such runs lies with 95 % confidence: Student's interval, widened because splits share pictures to train with
    /// (Nadeau & Bengio 2003, <https://doi.org/10.1023/A:1024068626366>).
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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    splits: Splits,
    options: FineTuneOptions,
    /// Of the pictures' names, sizes and classes.
    data: String,
}

/// Fine-tunes on one split after the other. `options.out` is the folder of all runs; the first free one of `runs/splits-1`, … when absent.
/// When `stop` is set, the step at hand is finished, and [`resume_splits`] goes on.
///
/// # Errors
/// As [`fine_tune`](crate::fine_tune); [`Error::Option`] for fewer than two splits.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Augment, FineTuneOptions, Freeze, Silent, Splits, fine_tune_splits};
///
/// # let dir = tempfile::tempdir()?;
/// # let out = Some(dir.path().join("splits"));
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     epochs: 1,
///     out,
///     ..FineTuneOptions::default()
/// };
/// let report = fine_tune_splits(Splits::Folds(3), &options, &AtomicBool::new(false), &mut Silent)?;
/// let top1 = report.scores["top1"];
/// assert!(report.runs.len() == 3 && top1.interval[0] <= top1.mean && top1.mean <= top1.interval[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn fine_tune_splits(
    splits: Splits,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SplitsReport> {
    options.check()?;
    if options.keep {
        let expected =
            "false with several splits: what is made of classes without training is judged by one";
        return Err(Error::option("keep", &true, expected));
    }
    if let Some(minutes) = options.max_minutes {
        let expected = "absent with several splits: one that ends early is none of the recipe's";
        return Err(Error::option("max_minutes", &minutes, expected));
    }
    let (Splits::Folds(n) | Splits::Random(n)) = splits;
    at_least(if matches!(splits, Splits::Folds(_)) { "folds" } else { "splits" }, n, 2)?;
    let folder = run::vacant_for("splits", options.out.as_deref())?.path().to_path_buf();
    if folder.join(PLAN).exists() {
        return Err(Error::OutExists { path: folder });
    }
    let dataset = data::to_train(options, &options.open_cache(1)?)?;
    divided(&dataset, splits, 0, options)?; // before anything is written
    let data = format!("{:016x}", dataset.fingerprint());
    let plan = Plan { splits, options: options.clone(), data };
    let failed = |source| Error::File { action: "create", path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    write(&folder.join(PLAN), &plan)?;
    go_on(&folder, &plan, &dataset, stop, observer)
}

/// Whether a folder is one of several runs, which [`resume_splits`] goes on with.
#[must_use]
pub fn has_splits(folder: &Path) -> bool {
    folder.join(PLAN).is_file()
}

/// Goes on with several runs that were stopped or killed, and ends with the report they would have had.
///
/// # Errors
/// [`Error::NoRun`] and [`Error::Config`] if they are not there, [`Error::Changed`] if the pictures are others; as [`resume`](crate::resume).
pub fn resume_splits(
    folder: &Path,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SplitsReport> {
    let Some(plan) = read::<Plan>(&folder.join(PLAN))? else {
        let reason = format!("it has no {PLAN}");
        return Err(Error::NoRun { path: folder.to_path_buf(), reason });
    };
    plan.options.check()?;
    let dataset = data::to_train(&plan.options, &plan.options.open_cache(1)?)?;
    let is = format!("{:016x}", dataset.fingerprint());
    if is != plan.data {
        let difference = format!("its fingerprint was {} and is {is}", plan.data);
        return Err(Error::Changed { run: folder.to_path_buf(), what: "data set", difference });
    }
    go_on(folder, &plan, &dataset, stop, observer)
}

fn go_on(
    folder: &Path,
    plan: &Plan,
    dataset: &Dataset,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SplitsReport> {
    let (Splits::Folds(n) | Splits::Random(n)) = plan.splits;
    let mut runs: Vec<SplitResult> = Vec::new();
    let mut stopped = false;
    for number in 1..=n {
        let out = folder.join(format!("split-{number}"));
        if let Some(result) = read(&out.join(RESULT))? {
            runs.push(result);
            continue;
        }
        observer.on_event(&Event::Part { name: "another split", number, of: n });
        let divided = divided(dataset, plan.splits, number - 1, &plan.options)?;
        let report = match out.join("config.json").is_file() {
            true => resume_on(&divided, &ResumeOptions::new(&out), stop, observer)?,
            false => {
                let options = FineTuneOptions {
                    data: None,
                    table: None,
                    image_column: None,
                    target_columns: None,
                    targets: None,
                    out: Some(out.clone()),
                    ..plan.options.clone()
                };
                fine_tune_on(&divided, &options, stop, observer)?
            }
        };
        if report.stopped {
            stopped = true;
            break;
        }
        let result = SplitResult {
            number,
            images: [divided.train.len(), divided.val.len()],
            scores: report.val_scores,
            best_scores: report.best_val_scores,
            calibration: report.calibration,
            model: report.model,
            seconds: report.seconds,
        };
        write(&out.join(RESULT), &result)?;
        runs.push(result);
    }
    let (scores, calibration) = (means(&runs), SplitsCalibration::of(&runs));
    let out = folder.to_path_buf();
    Ok(SplitsReport { splits: plan.splits, runs, scores, calibration, out, stopped })
}

/// Split number `at`, from 0.
fn divided(
    dataset: &Dataset,
    splits: Splits,
    at: usize,
    options: &FineTuneOptions,
) -> Result<Dataset> {
    match splits {
        Splits::Folds(k) => dataset.fold(k, at, options.seed),
        Splits::Random(_) => {
            dataset.split_again(options.val_fraction, options.seed.wrapping_add(at as u64))
        }
    }
    .map_err(setup::data)
}

/// By metric, its mean over all runs that have it.
fn means(runs: &[SplitResult]) -> BTreeMap<String, MeanScore> {
    let shares = runs.iter().map(|run| run.images[1] as f64 / run.images[0].max(1) as f64);
    let held_out = shares.sum::<f64>() / runs.len().max(1) as f64;
    let names = runs.first().into_iter().flat_map(|run| run.scores.keys());
    let of = |name: &String| {
        let values: Vec<f64> =
            runs.iter().filter_map(|run| run.scores.get(name).copied()).collect();
        MeanScore::of(&values, held_out)
    };
    names.map(|name| (name.clone(), of(name))).collect()
}

impl SplitsCalibration {
    /// Draws of right and wrong answers that chance is learned from.
    const DRAWS: u64 = 200;

    fn of(runs: &[SplitResult]) -> Option<Self> {
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

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|source| Error::Config { path: path.to_path_buf(), source })?;
    let failed = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    taper_files::replace(path, |file| writeln!(file, "{text}")).map_err(failed)
}

/// What a file holds, or nothing if it is not there.
fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|source| Error::Config { path: path.to_path_buf(), source }),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { action: "read", path: path.to_path_buf(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::options::Augment;
    use crate::{Freeze, Silent};

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

    /// Stops when the second split has taken a step.
    struct Stopper<'s> {
        stop: &'s AtomicBool,
        part: usize,
    }

    impl Observer for Stopper<'_> {
        fn on_event(&mut self, event: &Event<'_>) {
            match event {
                Event::Part { number, .. } => self.part = *number,
                Event::Step(_) if self.part == 2 => self.stop.store(true, Ordering::Relaxed),
                _ => {}
            }
        }
    }

    #[test]
    fn splits_that_are_stopped_go_on_to_the_same_models_and_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let options = |name: &str| FineTuneOptions {
            freeze: Freeze::Backbone,
            augment: Augment::None,
            image_size: Some(32),
            epochs: 2,
            out: Some(dir.path().join(name)),
            ..FineTuneOptions::default()
        };
        let never = AtomicBool::new(false);
        let splits = Splits::Random(3);
        let whole = fine_tune_splits(splits, &options("whole"), &never, &mut Silent).unwrap();
        assert_eq!((whole.runs.len(), whole.stopped), (3, false));
        assert_ne!(whole.runs[0].scores, whole.runs[1].scores);

        let stop = AtomicBool::new(false);
        let mut stopper = Stopper { stop: &stop, part: 0 };
        let part = fine_tune_splits(splits, &options("part"), &stop, &mut stopper).unwrap();
        assert_eq!((part.runs.len(), part.stopped), (1, true));
        let rest = resume_splits(&dir.path().join("part"), &never, &mut Silent).unwrap();
        assert_eq!(rest.scores, whole.scores);
        for (a, b) in rest.runs.iter().zip(&whole.runs) {
            let [a, b] = [a, b].map(|run| fs::read(run.model.as_ref().unwrap()).unwrap());
            assert!(a == b);
        }
        let again = fine_tune_splits(splits, &options("whole"), &never, &mut Silent);
        assert!(matches!(again, Err(Error::OutExists { .. })));
        let few = fine_tune_splits(Splits::Folds(1), &options("few"), &never, &mut Silent);
        assert!(few.unwrap_err().is_request() && !dir.path().join("few").exists());
        assert!(matches!(resume_splits(dir.path(), &never, &mut Silent), Err(Error::NoRun { .. })));
    }
}
