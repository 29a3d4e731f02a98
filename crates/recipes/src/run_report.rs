//! The page of a run: how it went, how good its model is and where it fails, what it costs, how to repeat it.
//!
//! Above: `tune`, which writes it at the end of a run; the binary, Rust users. Below: `run_report::{log, calls, answers, learning, judged,
//! pictures, sections, words}`, `evaluate`, `taper_report`. Not here: markup and charts (`taper_report`), training.
//! It is made of the run's own files and of one evaluation of the best model, whose answers are kept in `predictions.jsonl`.

pub(crate) mod answers;
pub(crate) mod calls;
mod judged;
pub(crate) mod learning;
pub(crate) mod log;
mod pictures;
mod sections;
pub(crate) mod words;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use taper_classifier::class_names;
use taper_data::{Cache, Dataset};
use taper_model::{Model, Task};
use taper_report::Page;
use taper_train::RunFolder;

use crate::cost::page::{section, write};
use crate::data;
use crate::error::{Error, Result};
use crate::evaluate::judge_with;
use crate::observer::{Event, Observer, Silent};
use crate::options::{EvaluateOptions, FineTuneOptions};
use crate::run::{RunConfig, fingerprint};
use crate::splits::{Part, has_splits, report_splits};
use crate::unlabelled;
use answers::{Answer, Collector};
use log::RunLog;

pub(crate) use sections::best_score;

/// Which run a page is about.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReportOptions {
    /// The run's folder.
    pub run: PathBuf,
    /// Where the pictures are now, if they were moved.
    pub data: Option<PathBuf>,
    /// The page; `report.html` in the run's folder when absent.
    pub out: Option<PathBuf>,
    /// Threads of computing and of reading pictures; 0 for all there are.
    pub threads: usize,
}

impl RunReportOptions {
    /// The page of the run in `run`, in its folder.
    pub fn new(run: impl Into<PathBuf>) -> Self {
        RunReportOptions { run: run.into(), data: None, out: None, threads: 0 }
    }
}

/// A page about a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The page.
    pub page: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// What the best model answers to the held-out pictures, if it could be asked.
    pub predictions: Option<PathBuf>,
    /// Epochs that are done; of several runs, how many are.
    pub epochs: usize,
    /// What the page says first: that the run was cut or stopped, and what is missing.
    pub remarks: Vec<String>,
}

/// What the best model makes of pictures.
#[derive(Default)]
pub(crate) struct Evidence {
    pub(crate) answers: Vec<Answer>,
    /// Why there is no more.
    pub(crate) missing: Vec<String>,
}

/// Writes the page of a run anew, also of one that was stopped or killed, which the page says. The best model is asked about the held-out pictures
/// once more if they are where they were; otherwise by what was kept of its answers. Of several runs ([`fine_tune_splits`](crate::fine_tune_splits)), the
/// page about all.
///
/// # Errors
/// [`Error::NoRun`] and [`Error::Config`] if the folder holds no run; [`Error::File`] if something cannot be read or written.
///
/// # Examples
/// ```
/// use std::sync::atomic::AtomicBool;
/// use taper_recipes::{Augment, FineTuneOptions, Freeze, RunReportOptions, Silent, fine_tune, report_run};
///
/// # let dir = tempfile::tempdir()?;
/// # let out = dir.path().join("run");
/// let options = FineTuneOptions {
///     freeze: Freeze::Backbone,
///     augment: Augment::None,
///     image_size: Some(32),
///     epochs: 2,
///     out: Some(out.clone()),
///     ..FineTuneOptions::default()
/// };
/// fine_tune(&options, &AtomicBool::new(false), &mut Silent)?;
/// let report = report_run(&RunReportOptions::new(out), &mut Silent)?;
/// assert_eq!(report.epochs, 2);
/// assert!(report.page.is_file() && report.bytes < 3_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn report_run(options: &RunReportOptions, observer: &mut dyn Observer) -> Result<RunReport> {
    crate::options::check_threads(options.threads)?;
    if has_splits(&options.run) {
        return of_splits(options);
    }
    let folder = RunFolder::new(&options.run);
    let config = RunConfig::read(&folder)?;
    let part = Part::of(&folder, &config.options);
    let mut asked = match &part {
        Some(part) => part.with_pictures(&config.options),
        None => config.options.clone(),
    };
    asked.threads = options.threads;
    if options.data.is_some() {
        asked.data.clone_from(&options.data);
    }
    let mut missing = Vec::new();
    let dataset = pictures_of(part.as_ref(), &asked, &config, &mut missing);
    let model = model_of(&folder).unwrap_or_else(|error| {
        missing.push(format!(
            "The model cannot be read, so nothing is said of it: {}.",
            crate::error::chain(&error)
        ));
        None
    });
    let has_trained = calls::read(&folder.calls())?.iter().any(|call| call.epochs > 0);
    if has_trained && !folder.log().exists() {
        missing.push("metrics.jsonl is missing, which has the run's steps and epochs.".to_owned());
    }
    let (mut evidence, mut kept) = (Evidence { answers: Vec::new(), missing }, None);
    match (&model, &dataset) {
        (Some(model), Some(dataset)) => {
            evidence.answers = asked_of(model, dataset, &asked, observer)?;
            kept = Some(keep(&folder, &evidence.answers)?);
        }
        (Some(model), None) => {
            let print = Some(fingerprint(model));
            let calls = calls::read(&folder.calls())?;
            let is_of_model = calls.iter().any(|call| call.model == print);
            match answers::read(&folder.predictions()).filter(|_| is_of_model) {
                Some(answers) => {
                    evidence.answers = answers;
                    kept = Some(folder.predictions());
                }
                None => evidence.missing.push(
                    "How good the model is on held-out pictures was not kept: say where they are."
                        .to_owned(),
                ),
            }
        }
        (None, _) if folder.model().exists() => {}
        (None, _) => {
            let log = RunLog::read(&folder.log())?;
            evidence.missing.push(match has_trained || !log.epochs.is_empty() {
                true => "model.safetensors, the best epoch's model, is missing.".to_owned(),
                false => "There is no model yet: no epoch was done.".to_owned(),
            });
        }
    }
    let page = options.out.clone().unwrap_or_else(|| folder.report());
    let of = Of {
        folder: &folder,
        config: &config,
        options: &asked,
        model: model.as_ref(),
        dataset: dataset.as_ref(),
    };
    let mut report = of.write(&page, &evidence)?;
    report.predictions = kept;
    Ok(report)
}

/// The pictures of a run, if they are where `options` say and still the same; `missing` gets the reason why not.
fn pictures_of(
    part: Option<&Part>,
    options: &FineTuneOptions,
    config: &RunConfig,
    missing: &mut Vec<String>,
) -> Option<Dataset> {
    let dataset = match part {
        Some(part) => part.dataset(options, &Cache::none()),
        None => data::to_train(options, &Cache::none()),
    };
    let printed = dataset.and_then(|dataset| {
        let print = unlabelled::fingerprint(&dataset, options, &mut Silent)?;
        Ok((dataset, print))
    });
    match printed {
        Ok((dataset, print)) if print == config.data => return Some(dataset),
        Ok(_) => missing
            .push("The pictures are others than those of the run, so none is shown.".to_owned()),
        Err(error) => missing.push(format!(
            "The pictures cannot be read, so none is shown: {}.",
            crate::error::chain(&error)
        )),
    }
    None
}

/// The best model of a run, if there is one yet.
///
/// # Errors
/// [`Error::Model`] if it cannot be read.
pub(crate) fn model_of(folder: &RunFolder) -> Result<Option<Model>> {
    match folder.model().try_exists() {
        Ok(true) => Model::load(folder.model()).map(Some).map_err(|source| Error::Model { source }),
        _ => Ok(None),
    }
}

/// The page about several runs.
fn of_splits(options: &RunReportOptions) -> Result<RunReport> {
    if let Some(data) = &options.data {
        let expected = "absent for several runs: their page shows no pictures (give it for one of them, split-1)";
        return Err(Error::option("data", &data.display(), expected));
    }
    let (page, epochs) = report_splits(&options.run, options.out.as_deref())?;
    let bytes = std::fs::metadata(&page).map_or(0, |file| file.len());
    Ok(RunReport { page, bytes, predictions: None, epochs, remarks: Vec::new() })
}

/// The answers of a model to the held-out pictures of a data set.
pub(crate) fn asked_of(
    model: &Model,
    dataset: &Dataset,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
) -> Result<Vec<Answer>> {
    let names = class_names(model).map_err(crate::setup::classifier)?;
    let mut collector = Collector::new(model.task(), &names, &dataset.val);
    let root = data::root(options.data.as_deref(), options.table.as_deref());
    let asked = EvaluateOptions {
        batch_size: options.batch_size,
        threads: options.threads,
        ..EvaluateOptions::new(String::new(), root.unwrap_or(Path::new("")))
    };
    judge_with(dataset, model, &asked, observer, Instant::now(), Some(&mut collector))?;
    Ok(collector.answers)
}

/// Writes the answers into the run's folder.
pub(crate) fn keep(folder: &RunFolder, answers: &[Answer]) -> Result<PathBuf> {
    let path = folder.predictions();
    write_lines(&path, answers)?;
    Ok(path)
}

/// Writes a file with a line of JSON for each.
pub(crate) fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<()> {
    let failed = |source| Error::File { action: "write", path: path.to_path_buf(), source };
    taper_files::replace(path, |file| {
        lines.iter().try_for_each(|line| {
            let text = serde_json::to_string(line)?;
            writeln!(file, "{text}")
        })
    })
    .map_err(failed)
}

/// What a page is about.
pub(crate) struct Of<'a> {
    pub(crate) folder: &'a RunFolder,
    pub(crate) config: &'a RunConfig,
    pub(crate) options: &'a FineTuneOptions,
    /// The best one, if there is one yet.
    pub(crate) model: Option<&'a Model>,
    /// The pictures, if they are at hand.
    pub(crate) dataset: Option<&'a Dataset>,
}

impl Of<'_> {
    /// Writes the page.
    pub(crate) fn write(&self, path: &Path, evidence: &Evidence) -> Result<RunReport> {
        let log = RunLog::read(&self.folder.log())?;
        let calls = calls::read(&self.folder.calls())?;
        let part = Part::of(self.folder, &self.config.options);
        let named = |options: &FineTuneOptions| match &part {
            Some(part) => part.with_pictures(options),
            None => options.clone(),
        };
        let options = &named(self.options);
        let remarks = sections::remarks(options, &log, &calls, evidence, self.dataset);
        let mut first = vec![sections::headline(options, &log, &calls)];
        if !remarks.is_empty() {
            first.insert(0, taper_report::Block::Remarks { lines: remarks.clone() });
        }
        let mut all = vec![
            section("In short", "", first),
            section("How it was learned", "", learning::blocks(&log)),
        ];
        if let Some(model) = self.model {
            let names = class_names(model).map_err(crate::setup::classifier)?;
            all.extend(judged::sections(
                &names,
                &evidence.answers,
                calls::calibrated(&calls, model),
            ));
            if let Some(dataset) = self.dataset {
                let threads = options.threads;
                let found = pictures::mistakes(model, &names, dataset, &evidence.answers, threads)?;
                let title = match model.task() {
                    Task::Classification | Task::MultiLabel => "Most confidently wrong",
                    Task::Regression => "Most off",
                };
                all.extend(found.map(|block| section(title, "", vec![block])));
                let found = pictures::samples(model, dataset, options)?;
                all.extend(found.map(|block| section("What the network sees", "", vec![block])));
            }
            all.push(sections::cost(model, options, &calls)?);
        }
        let model = self.model.map(|_| self.folder.model().display().to_string());
        let prints = [&*self.config.data, &*self.config.model];
        let asked = named(&self.config.options);
        let command = match &part {
            Some(part) => part.command(),
            None if has_own_pictures(&asked, &self.config.data) => {
                // Without a folder it would train on the built-in ones.
                FineTuneOptions { data: Some("PICTURES".into()), ..asked.clone() }.command()
            }
            None => asked.command(),
        };
        all.push(sections::repeat(&asked, command, model.as_deref(), prints, &calls));
        let title = [
            Some(format!(
                "{} on {}",
                options.model,
                data_name(options, part.as_ref().map_or(&*self.config.data, Part::print))
            )),
            part.as_ref().map(Part::name),
        ];
        let title = title.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let page = Page { title, note: self.note(), sections: all };
        write(path, &page)?;
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        let epochs = log.epochs.last().map_or(0, |epoch| epoch.epoch);
        Ok(RunReport { page: path.to_path_buf(), bytes, predictions: None, epochs, remarks })
    }

    fn note(&self) -> String {
        let options = self.options;
        let begun = match options.pretrained {
            crate::options::Pretrained::Yes => "fine-tuned",
            crate::options::Pretrained::None => "trained from random weights",
        };
        let pictures = match self.dataset {
            Some(dataset) => format!(
                "{} pictures of {}, {} held out",
                dataset.train.len(),
                told(&dataset.classes, self.model),
                dataset.val.len()
            ),
            None => match self.model {
                Some(model) => format!("pictures of {}", told(model.classes(), self.model)),
                None => "pictures".to_owned(),
            },
        };
        format!("{} {begun} on {pictures}.", options.model)
    }
}

/// A word for the pictures, whose fingerprint is `print`: the name of their folder or table.
pub(crate) fn data_name(options: &FineTuneOptions, print: &str) -> String {
    let named = options.data.as_deref().or(options.table.as_deref());
    let Some(path) = named else {
        return match has_own_pictures(options, print) {
            true => "a program's own pictures".to_owned(),
            false => "the built-in pictures".to_owned(),
        };
    };
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| path.display().to_string())
}

/// Whether the pictures whose fingerprint is `print` were handed over by a program.
fn has_own_pictures(options: &FineTuneOptions, print: &str) -> bool {
    let built_in = |dataset: Dataset| unlabelled::fingerprint(&dataset, options, &mut Silent);
    let is_named = options.data.is_some() || options.table.is_some();
    !is_named && data::to_count(options).and_then(built_in).ok().as_deref() != Some(print)
}

/// Classes as words: `2 classes (ants, bees)`.
fn told(names: &[String], model: Option<&Model>) -> String {
    let what = match model.map(Model::task) {
        Some(Task::MultiLabel) => "labels",
        Some(Task::Regression) => "numbers",
        Some(Task::Classification) | None => "classes",
    };
    let named: Vec<&str> = names.iter().take(6).map(String::as_str).collect();
    let more = if names.len() > named.len() { ", …" } else { "" };
    format!("{} {what} ({}{more})", names.len(), named.join(", "))
}

/// Writes down the call that ends a run, and the page if it is to have one: the best model is asked unless its answers are there or the run was stopped.
pub(crate) fn at_end(
    of: &Of<'_>,
    call: calls::Call,
    answers: Option<Vec<Answer>>,
) -> Result<Option<PathBuf>> {
    if !of.options.report {
        return calls::add(&of.folder.calls(), &call).map(|()| None);
    }
    let mut evidence = Evidence::default();
    let mut call = call;
    if let (Some(model), Some(dataset)) = (of.model, of.dataset) {
        if call.ended == calls::Ended::Stopped {
            evidence.missing.push(
                "The model was not asked about the held-out pictures; `taper report` does that."
                    .to_owned(),
            );
        } else {
            evidence.answers = match answers {
                Some(answers) => answers,
                None => asked_of(model, dataset, of.options, &mut Silent)?,
            };
            keep(of.folder, &evidence.answers)?;
            call.model = Some(fingerprint(model));
        }
    }
    calls::add(&of.folder.calls(), &call)?;
    of.write(&of.folder.report(), &evidence).map(|report| Some(report.page))
}

/// Whether a file about work that is done was written. That it could not be is told, and costs nothing else.
pub(crate) fn or_told<T>(
    file: &Path,
    written: Result<T>,
    observer: &mut dyn Observer,
) -> Option<T> {
    written
        .inspect_err(|error| {
            let (name, reason) = (file.file_name().unwrap_or_default(), crate::error::chain(error));
            observer.on_event(&Event::Unwritten { file: &name.to_string_lossy(), reason: &reason });
        })
        .ok()
}
