//! Runs side by side: what was asked of them, how good they are, what they took and cost.
//!
//! Above: the binary, Rust users. Below: `compare::page`, `run_report::{log, calls}`, `run`, `cost`. Not here: networks side by side
//! (`cost::compare_costs`), one run (`run_report`).
//! Nothing is computed anew: all of it is read from the runs' folders.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use taper_model::{Model, Task};
use taper_train::{RunFolder, confidence_interval};

use crate::cost::{CostNetwork, CostOptions, cost_of};
use crate::error::{Error, Result};
use crate::options::FineTuneOptions;
use crate::run::RunConfig;
use crate::run_report::calls::{self, Ended};
use crate::run_report::log::RunLog;
use crate::run_report::{best_score, data_name, model_of};
use crate::splits::Part;

/// The most runs that are laid side by side.
const MOST: usize = 64;

/// Options that say where things are and not what a run is.
const PLACES: [&str; 8] =
    ["out", "trace", "report", "tensorboard", "max_minutes", "cache", "cache_size", "cache_dir"];

/// Which runs are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompareOptions {
    /// Folders of runs, two or more.
    pub runs: Vec<PathBuf>,
    /// A page with overlaid curves; none when absent.
    pub out: Option<PathBuf>,
}

/// Runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompareReport {
    /// In the order in which they were named.
    pub runs: Vec<ComparedRun>,
    /// Options in which they differ, each with a value a run.
    pub differences: Vec<Difference>,
    /// What has to be known of the comparison: runs that were cut, other pictures, other tasks.
    pub remarks: Vec<String>,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<PathBuf>,
}

/// One run of several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedRun {
    /// A name that no other has: the folder's, or its whole path.
    pub name: String,
    /// The folder.
    pub run: PathBuf,
    /// The network that it began with.
    pub model: String,
    /// A word for its pictures.
    pub data: String,
    /// What the model does; absent before the end of the first epoch.
    pub task: Option<Task>,
    /// Epochs that are done.
    pub epochs: usize,
    /// Epochs that were asked for.
    pub of_epochs: usize,
    /// `finished`, `patience`, `stopped`, `time_up` or `cut`.
    pub ended: String,
    /// The epoch of the best model, from 1.
    pub best_epoch: Option<usize>,
    /// What picked it.
    pub best_by: Option<String>,
    /// All scores of the best epoch by name, with the loss; of held-out pictures.
    pub best_val_scores: BTreeMap<String, f64>,
    /// Where top-1 is with 95 % confidence, where there is one.
    pub top1_interval: Option<[f64; 2]>,
    /// Held-out pictures.
    pub val_images: usize,
    /// Seconds of all calls that came to an end.
    pub seconds: Option<f64>,
    /// Training pictures a second, of the last call.
    pub images_per_second: Option<f64>,
    /// The most memory that a process has held.
    pub peak_bytes: Option<u64>,
    /// Trained numbers of the model.
    pub params: Option<u64>,
    /// Multiply-accumulates of a picture.
    pub macs: Option<u64>,
}

impl ComparedRun {
    /// The score that picked the best epoch.
    #[must_use]
    pub fn best(&self) -> Option<(&str, f64)> {
        let name = self.best_by.as_deref()?;
        Some((name, *self.best_val_scores.get(name)?))
    }
}

/// An option in which runs differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The option's name.
    pub option: String,
    /// Its value in each run.
    pub values: Vec<String>,
}

/// A run with what the page needs besides.
struct Read {
    run: ComparedRun,
    options: FineTuneOptions,
    /// Fingerprint of the pictures.
    data: String,
    log: RunLog,
    /// Why its model cannot be read, if there is one.
    unread: Option<String>,
}

/// Lays runs side by side.
///
/// # Errors
/// [`Error::Runs`] for fewer than two runs, or too many, [`Error::NoRun`] and [`Error::Config`] for a folder that holds none, [`Error::File`] if something cannot be
/// read or written.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Augment, CompareOptions, FineTuneOptions, Freeze, Silent, compare_runs, fine_tune};
///
/// let dir = tempfile::tempdir()?;
/// for (name, epochs) in [("short", 1), ("long", 2)] {
///     let options = FineTuneOptions {
///         freeze: Freeze::Backbone,
///         augment: Augment::None,
///         image_size: Some(32),
///         epochs,
///         report: false,
///         out: Some(dir.path().join(name)),
///         ..FineTuneOptions::default()
///     };
///     fine_tune(&options, &AtomicBool::new(false), &mut Silent)?;
/// }
/// let runs = ["short", "long"].map(|name| dir.path().join(name)).to_vec();
/// let report = compare_runs(&CompareOptions { runs, out: None })?;
/// assert_eq!(report.differences[0].option, "epochs");
/// assert_eq!(report.differences[0].values, ["1", "2"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare_runs(options: &CompareOptions) -> Result<CompareReport> {
    let n = options.runs.len();
    if !(2..=MOST).contains(&n) {
        return Err(Error::Runs { got: n, most: MOST });
    }
    let names = names(&options.runs);
    let read = options.runs.iter().zip(names).map(|(path, name)| read(path, name));
    let read: Vec<Read> = read.collect::<Result<_>>()?;
    let mut report = CompareReport {
        differences: differences(&read),
        remarks: remarks(&read),
        runs: Vec::new(),
        page: None,
    };
    report.runs = read.iter().map(|read| read.run.clone()).collect();
    if let Some(path) = &options.out {
        page::write(path, &read, &report)?;
        report.page = Some(path.clone());
    }
    Ok(report)
}

/// Names of the folders; whole paths, and a number, where those are not told apart.
fn names(runs: &[PathBuf]) -> Vec<String> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let short = |path: &PathBuf| {
        let whole = whole(path);
        whole
            .file_name()
            .map_or_else(|| whole.display().to_string(), |it| it.to_string_lossy().into())
    };
    let are_different =
        |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let mut names: Vec<String> = runs.iter().map(short).collect();
    if !are_different(&names) {
        names = runs.iter().map(|path| path.display().to_string()).collect();
    }
    if !are_different(&names) {
        names.iter_mut().zip(1..).for_each(|(name, number)| *name = format!("{number}: {name}"));
    }
    names
}

fn read(path: &Path, name: String) -> Result<Read> {
    let folder = RunFolder::new(path);
    let config = RunConfig::read(&folder)?;
    let log = RunLog::read(&folder.log())?;
    let calls = calls::read(&folder.calls())?;
    let part = Part::of(&folder, &config.options);
    let print = part.as_ref().map_or(&*config.data, Part::print);
    let options = match &part {
        Some(part) => part.with_pictures(&config.options),
        None => config.options.clone(),
    };
    let (model, unread) = match model_of(&folder) {
        Ok(model) => (model, None),
        Err(error) => (None, Some(crate::error::chain(&error))),
    };
    let counted = model.as_ref().map(|model| counted(model, &options)).transpose()?;
    let done = log.epochs.last().map_or(0, |epoch| epoch.epoch);
    let ended = match calls::ended(&calls, done) {
        Some(Ended::Finished) => "finished",
        Some(Ended::Patience) => "patience",
        Some(Ended::Stopped) => "stopped",
        Some(Ended::TimeUp) => "time_up",
        None if done >= options.epochs => "finished",
        None => "cut",
    };
    let best = log.best();
    let val_images = best.map_or(0, |best| best.val_images());
    let mut scores = best.map(|best| best.val.clone()).unwrap_or_default();
    scores.retain(|name, value| name != "samples" && value.is_finite());
    let run = ComparedRun {
        name,
        run: path.to_path_buf(),
        model: options.model.clone(),
        data: data_name(&options, print),
        task: model.as_ref().map(Model::task),
        epochs: done,
        of_epochs: options.epochs,
        ended: ended.to_owned(),
        best_epoch: best.map(|best| best.epoch),
        best_by: best_score(&options, &log).map(|(name, _)| name),
        top1_interval: scores.get("top1").map(|top1| confidence_interval(*top1, val_images)),
        best_val_scores: scores,
        val_images,
        seconds: (!calls.is_empty()).then(|| calls.iter().map(|call| call.seconds).sum()),
        images_per_second: calls::trained(&calls).map(|call| call.images_per_second),
        peak_bytes: calls.iter().filter_map(|call| call.peak_bytes).max(),
        params: counted.map(|[params, _]| params),
        macs: counted.map(|[_, macs]| macs),
    };
    Ok(Read { run, options, data: config.data.clone(), log, unread })
}

/// Parameters and multiply-accumulates.
fn counted(model: &Model, options: &FineTuneOptions) -> Result<[u64; 2]> {
    let (graph, size) = (model.graph().clone(), model.preprocess().input_size);
    let network = CostNetwork { name: options.model.clone(), graph, size, top1: None };
    let report = cost_of(&network, &CostOptions::new(options.model.clone()), None)?;
    Ok([report.params, report.macs])
}

fn differences(read: &[Read]) -> Vec<Difference> {
    let lists: Vec<_> = read.iter().map(|read| read.options.resolved().list()).collect();
    let Some(first) = lists.first() else { return Vec::new() };
    let difference = |(at, option): (usize, &crate::options::OptionValue)| {
        let values: Vec<String> =
            lists.iter().filter_map(|list| list.get(at)).map(|it| it.value.clone()).collect();
        let differ = values.iter().any(|value| *value != option.value);
        (differ && !PLACES.contains(&option.name))
            .then(|| Difference { option: option.name.to_owned(), values })
    };
    first.iter().enumerate().filter_map(difference).collect()
}

fn remarks(read: &[Read]) -> Vec<String> {
    let mut lines = Vec::new();
    for Read { run, log, unread, .. } in read {
        let ComparedRun { name, epochs, of_epochs, .. } = run;
        match run.ended.as_str() {
            "finished" | "patience" => {}
            "cut" => lines.push(format!("`{name}` was cut after {epochs} of {of_epochs} epochs")),
            _ => lines.push(format!("`{name}` ended after {epochs} of {of_epochs} epochs")),
        }
        if log.unreadable > 0 {
            lines.push(format!(
                "{} lines of `{name}`'s metrics.jsonl cannot be read",
                log.unreadable
            ));
        }
        if let Some(why) = unread {
            lines.push(format!(
                "the model of `{name}` cannot be read, so nothing is said of it: {why}"
            ));
        }
        if log.epochs.is_empty() && run.ended != "finished" {
            lines.push(format!("`{name}` has no score yet: no epoch was done"));
        }
    }
    let differ =
        |of: &dyn Fn(&Read) -> String| read.iter().map(of).collect::<BTreeSet<_>>().len() > 1;
    let tasks: BTreeSet<String> =
        read.iter().filter_map(|it| it.run.task).map(|task| task.to_string()).collect();
    if tasks.len() > 1 {
        let tasks: Vec<String> = tasks.into_iter().collect();
        lines.push(format!(
            "the runs are of different tasks ({}): their scores and losses cannot be compared",
            tasks.join(", ")
        ));
    } else if differ(&|read| read.data.clone()) {
        lines.push(
            "the runs are on different pictures, or held out different ones: their scores are not of the same pictures"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_names_that_tell_them_apart() {
        let named = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(named(&["runs/a", "runs/b"]), ["a", "b"]);
        assert_eq!(named(&["x/run", "y/run"]), ["x/run", "y/run"]);
        assert_eq!(named(&["x/run", "x/run"]), ["1: x/run", "2: x/run"]);
    }

    #[test]
    fn one_run_is_not_compared() {
        let error = compare_runs(&CompareOptions { runs: vec!["a".into()], out: None });
        let error = error.unwrap_err();
        assert!(error.is_request() && error.to_string().contains("2 to 64 folders"), "{error}");
    }
}
