//! One recipe on several splits of the same pictures: how good it is on average, and how sure that is.
//!
//! Above: the binary, `run_report`, Rust users. Below: `splits::{means, page, part}`, `fine_tune`, `data`, `taper_data::Dataset::{fold, split_again}`.
//! Not here: a run (`tune`). Each split has a run folder of its own, `split-1`, `split-2`, …; a split that is done has left its `result.json` there, one that is not goes
//! on where it was.

mod means;
mod page;
mod part;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use taper_data::Dataset;

use crate::data;
use crate::error::{Error, Result};
use crate::fine_tune::{ResumeOptions, decided, fine_tune_on, resume_on};
use crate::observer::{Event, Observer};
use crate::options::{FineTuneOptions, at_least};
use crate::report::Skipped;
use crate::run;
use crate::run_report::or_told;
use crate::setup;

use means::means;
pub use means::{MeanScore, SplitsCalibration};
pub(crate) use part::Part;

/// What the folder of several runs holds besides them.
const PLAN: &str = "splits.json";

/// The same when at least one is done: the page, and its numbers.
const SUMMARY: [&str; 2] = ["report.html", "summary.json"];

/// Runs of one recipe at most: each takes as long as one.
const MOST: usize = 10_000;

/// The folder of a run, before its number.
const RUN: &str = "split-";

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

impl Splits {
    /// How many runs there are.
    fn count(self) -> usize {
        let (Self::Folds(n) | Self::Random(n)) = self;
        n
    }
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
    /// A page about all of them; absent where no run is done, or none is to have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PathBuf>,
    /// Whether it was asked to stop before the last split was done.
    pub stopped: bool,
}

impl SplitsReport {
    fn of(plan: &Plan, folder: &Path, runs: Vec<SplitResult>, stopped: bool) -> Self {
        let (scores, calibration) = (means(&runs), SplitsCalibration::of(&runs));
        let (splits, out) = (plan.splits, folder.to_path_buf());
        Self { splits, runs, scores, calibration, out, page: None, stopped }
    }
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

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plan {
    splits: Splits,
    options: FineTuneOptions,
    /// Of the pictures' names, sizes and classes.
    data: String,
}

impl Plan {
    /// That of a folder, if it has one.
    fn read(folder: &Path) -> Result<Option<Self>> {
        let Some(plan) = read::<Self>(&folder.join(PLAN))? else { return Ok(None) };
        plan.options.check()?;
        let (n, expected) = (plan.splits.count(), format!("2 to {MOST}"));
        match (2..=MOST).contains(&n) {
            true => Ok(Some(plan)),
            false => Err(Error::option("splits", &n, expected)),
        }
    }

    fn must_be_in(folder: &Path) -> Result<Self> {
        let (path, reason) = (folder.to_path_buf(), format!("it has no {PLAN}"));
        Self::read(folder)?.ok_or(Error::NoRun { path, reason })
    }

    /// The binary's command for all runs, into another folder.
    fn command(&self) -> String {
        let several = match self.splits {
            Splits::Folds(n) => format!("--folds {n}"),
            Splits::Random(n) => format!("--splits {n}"),
        };
        format!("{} {several}", self.options.command())
    }
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
    let n = splits.count();
    let field = if matches!(splits, Splits::Folds(_)) { "folds" } else { "splits" };
    at_least(field, n, 2)?;
    if n > MOST {
        return Err(Error::option(field, &n, format!("{MOST} at most")));
    }
    let folder = run::vacant_for("splits", options.out.as_deref())?.path().to_path_buf();
    run::must_be_no_class(&folder, options.data.as_deref(), options.table.as_deref())?;
    if folder.join(PLAN).exists() {
        return Err(Error::OutExists { path: folder });
    }
    let dataset = data::to_train(options, &options.open_cache(1)?)?;
    divided(&dataset, splits, 0, options)?; // before anything is written
    let data = format!("{:016x}", dataset.fingerprint());
    let plan = Plan { splits, options: options.clone(), data };
    let failed = |source| Error::File { action: "create", path: folder.clone(), source };
    fs::create_dir_all(&folder).map_err(failed)?;
    let text = text(&folder.join(PLAN), &plan)?;
    taper_files::create(folder.join(PLAN), |file| writeln!(file, "{text}")).map_err(|source| {
        match source.kind() {
            ErrorKind::AlreadyExists => Error::OutExists { path: folder.clone() },
            _ => Error::File { action: "write", path: folder.join(PLAN), source },
        }
    })?;
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
    let plan = Plan::must_be_in(folder)?;
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
    let n = plan.splits.count();
    let sampling = decided(&plan.options, dataset, observer);
    let mut runs: Vec<SplitResult> = Vec::new();
    let mut stopped = false;
    for number in 1..=n {
        let out = folder.join(format!("{RUN}{number}"));
        if let Some(result) = read(&out.join(RESULT))? {
            runs.push(result);
            continue;
        }
        observer.on_event(&Event::Part { name: "another split", number, of: n });
        let divided = divided(dataset, plan.splits, number - 1, &plan.options)?;
        let observer = &mut Named { plan: &plan.options, observer };
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
                    ..sampling.clone()
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
    let mut report = SplitsReport::of(plan, folder, runs, stopped);
    if !report.runs.is_empty() {
        summarize(plan, &mut report, observer);
    }
    Ok(report)
}

/// Writes what is known of all runs, and, if they have pages, one about all. The runs are done: what cannot be written is told, and costs nothing else.
fn summarize(plan: &Plan, report: &mut SplitsReport, observer: &mut dyn Observer) {
    let [page, numbers] = SUMMARY.map(|name| report.out.join(name));
    if plan.options.report {
        let written = crate::cost::page::write(&page, &page::page(plan, report));
        report.page = or_told(&page, written, observer).map(|()| page);
    }
    or_told(&numbers, write(&numbers, report), observer);
}

/// Writes the page of several runs anew, with those that are done.
///
/// # Errors
/// [`Error::NoRun`] if there are none, or none is done; [`Error::Config`] and [`Error::File`].
pub(crate) fn report_splits(folder: &Path, page: Option<&Path>) -> Result<(PathBuf, usize)> {
    let no_run = |reason: String| Error::NoRun { path: folder.to_path_buf(), reason };
    let plan = Plan::must_be_in(folder)?;
    let n = plan.splits.count();
    let results = (1..=n).map(|number| read(&folder.join(format!("{RUN}{number}")).join(RESULT)));
    let runs: Vec<SplitResult> =
        results.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    if runs.is_empty() {
        return Err(no_run(format!("none of its {n} runs is done yet")));
    }
    let is_cut = runs.len() < n;
    let report = SplitsReport::of(&plan, folder, runs, is_cut);
    let path = page.map_or_else(|| folder.join(SUMMARY[0]), Path::to_path_buf);
    crate::cost::page::write(&path, &page::page(&plan, &report))?;
    Ok((path, report.runs.len()))
}

/// Tells of a split with the names of the pictures that all of them divide.
struct Named<'n> {
    plan: &'n FineTuneOptions,
    observer: &'n mut dyn Observer,
}

impl Observer for Named<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        let FineTuneOptions { data, table, .. } = self.plan;
        match event {
            Event::Planned(plan) => {
                let mut plan = (*plan).clone();
                (plan.options.data, plan.options.table) = (data.clone(), table.clone());
                self.observer.on_event(&Event::Planned(&plan));
            }
            Event::Skipped(skipped) => {
                let root = data::root(data.as_deref(), table.as_deref());
                let path = root.map_or_else(|| skipped.path.clone(), |it| it.join(&skipped.path));
                self.observer.on_event(&Event::Skipped(&Skipped { path, ..(*skipped).clone() }));
            }
            event => self.observer.on_event(event),
        }
    }
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

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = text(path, value)?;
    let failed = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    taper_files::replace(path, |file| writeln!(file, "{text}")).map_err(failed)
}

fn text(path: &Path, value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map_err(|source| Error::Config { path: path.to_path_buf(), source })
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
    use crate::observer::Told;
    use crate::options::Augment;
    use crate::{Freeze, Silent};

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
        // What is about them is told when it cannot be written, and costs nothing of what is done.
        for name in SUMMARY {
            let path = dir.path().join("part").join(name);
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        let mut told = Told::default();
        let rest = resume_splits(&dir.path().join("part"), &never, &mut told).unwrap();
        assert_eq!(told.unwritten, SUMMARY);
        assert!(rest.page.is_none() && whole.page.is_some());
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
