//! The Pareto sweep: a network pruned to several shares of its multiply-accumulates, beside channels chosen at random and smaller networks.
//!
//! Above: `prune`, the binary. Below: `sweep::{folder, report}`, `prune::{Pruning, latency, state, shares}`, `fine_tune`. Not here: a page of it (`prune::page`), a table
//! (the binary's, `prune::csv`).
//! Every point is a run in a folder of its own, and `sweep.json` remembers those that are done, so that a sweep that was stopped goes on.

mod folder;
mod report;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use taper_data::Dataset;
use taper_model::Model;
use taper_prune::{Amount, Criterion, Groups, Metric, Protect, Target};

use super::{Latencies, Pruning, latency, sensitivity::macs, shares, state};
use crate::error::{Error, Result};
use crate::fine_tune::{ResumeOptions, fine_tune, fine_tune_on, resume, resume_on};
use crate::observer::{Event, Observer};
use crate::options::{FineTuneOptions, PruneOptions};
use crate::setup;
use crate::source::ModelSource;
use folder::SweepState;

pub use report::{PointKind, PointLatency, SweepPoint, SweepReport};

/// What is swept, and what is beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepOptions {
    /// Shares of multiply-accumulates that are left, each above 0 and below 1.
    pub shares: Vec<f64>,
    /// Smaller networks, by name or file, that are fine-tuned for as many epochs as the pruned ones recover.
    pub controls: Vec<String>,
    /// Whether channels that are chosen at random are beside those of the criterion.
    pub random: RandomControl,
}

/// Whether a sweep has the control without which no criterion has shown anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RandomControl {
    /// Every share is cut once more, with channels chosen at random.
    #[default]
    Beside,
    /// It is left out.
    LeftOut,
}

impl SweepOptions {
    /// These shares beside the random control, and no other networks.
    pub fn new(shares: Vec<f64>) -> Self {
        Self { shares, controls: Vec::new(), random: RandomControl::default() }
    }
}

/// Prunes a network to every share, and lets each recover in a folder of its own: `OUT/macs-0.50`, `OUT/random-0.50`, `OUT/control-1`.
///
/// Of the options, targets hold beside the share, `tune.out` is the sweep's folder, and `file` must be absent. A control learns as
/// [`fine_tune`] has it, with the pictures, image size, epochs, batch, seed and teacher of the pruned networks; its learning rate is that
/// of fine-tuning, for it has a new head. With `resume`, a sweep of the same options goes on where it was stopped.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
pub fn sweep(
    dataset: Option<&Dataset>,
    options: &PruneOptions,
    asked: &SweepOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<SweepReport> {
    check(dataset, options, asked)?;
    let mut state = SweepState::vacant(options, asked)?;
    let pruning = Pruning::new(dataset, options, stop, observer)?;
    Groups::of(pruning.model.graph(), &Protect::names(&options.protect)).map_err(setup::prune)?;
    state.save()?;
    let sweep = Sweeping { given: dataset, pruning, asked };
    let stopped = sweep.points(&mut state, stop, observer)?;
    sweep.report(&state, stopped, observer)
}

fn check(dataset: Option<&Dataset>, options: &PruneOptions, asked: &SweepOptions) -> Result<()> {
    shares::check("sweep", &asked.shares)?;
    if let Some(file) = &options.file {
        let expected = "a folder: a sweep makes a model for every share";
        return Err(Error::option("out", &file.display(), expected));
    }
    if let Some(target) = options.targets.iter().find(|target| target.metric == Metric::Macs) {
        let expected = "absent: a sweep says what is left of them";
        return Err(Error::option("target_macs", &target.amount, expected));
    }
    if dataset.is_none() && options.tune.data.is_none() {
        return Err(shares::no_pictures());
    }
    for control in &asked.controls {
        ModelSource::resolve(control)?;
    }
    let first = asked.shares.first().copied().unwrap_or(0.5);
    of_share(options, first, options.resolved(true).criterion(), PathBuf::new()).check()
}

/// The options of one share.
fn of_share(
    options: &PruneOptions,
    share: f64,
    criterion: Criterion,
    folder: PathBuf,
) -> PruneOptions {
    let target = Target { metric: Metric::Macs, amount: Amount::Share(share) };
    let mut targets = vec![target];
    targets.extend(options.targets.iter().copied());
    let tune = FineTuneOptions { out: Some(folder), ..options.tune.clone() };
    PruneOptions { targets, criterion: Some(criterion), tune, resume: false, ..options.clone() }
}

/// A point that is to come.
#[derive(Debug, Clone, PartialEq)]
struct Due {
    name: String,
    /// Of its folder.
    key: String,
    kind: DueKind,
}

#[derive(Debug, Clone, PartialEq)]
enum DueKind {
    Cut { share: f64, criterion: Criterion, kind: PointKind },
    Network,
}

impl Due {
    /// All points of a sweep, in their order: what matters most first.
    fn all(options: &PruneOptions, asked: &SweepOptions) -> Vec<Self> {
        let cut = |criterion: Criterion, kind: PointKind, folder: &'static str| {
            asked.shares.iter().map(move |&share| Self {
                name: format!("{criterion} {}", written(share)),
                key: format!("{folder}-{}", written(share)),
                kind: DueKind::Cut { share, criterion, kind },
            })
        };
        let mut all: Vec<Self> = cut(options.criterion(), PointKind::Pruned, "macs").collect();
        all.extend((1..).zip(&asked.controls).map(|(number, name)| Self {
            name: name.clone(),
            key: format!("control-{number}"),
            kind: DueKind::Network,
        }));
        let is_random = matches!(options.criterion(), Criterion::Random { .. });
        if asked.random == RandomControl::Beside && !is_random {
            let random = Criterion::Random { seed: options.tune.seed };
            all.extend(cut(random, PointKind::Random, "random"));
        }
        all
    }
}

/// A share as it stands in a name: with two digits, or with all of them.
fn written(share: f64) -> String {
    let short = format!("{share:.2}");
    if short.parse() == Ok(share) { short } else { share.to_string() }
}

struct Sweeping<'a> {
    given: Option<&'a Dataset>,
    pruning: Pruning,
    asked: &'a SweepOptions,
}

impl Sweeping<'_> {
    /// Whether it was stopped before all points were done.
    fn points(
        &self,
        state: &mut SweepState,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<bool> {
        let all = Due::all(&self.pruning.options, self.asked);
        let of = all.len();
        for (number, due) in (1..).zip(&all) {
            if state.written.points.contains_key(&due.key) {
                continue;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(true);
            }
            observer.on_event(&Event::Part { name: &due.name, number, of });
            let folder = state.folder.join(&due.key);
            let point = match &due.kind {
                DueKind::Cut { share, criterion, kind } => {
                    let options = of_share(&self.pruning.options, *share, *criterion, folder);
                    self.cut(options, due, (*share, *kind), stop, observer)?
                }
                DueKind::Network => self.control(due, folder, stop, observer)?,
            };
            let Some(point) = point else { return Ok(true) };
            state.remember(&due.key, point)?;
        }
        Ok(false)
    }

    /// The network pruned to a share; none when stopped on the way.
    fn cut(
        &self,
        mut options: PruneOptions,
        due: &Due,
        (share, kind): (f64, PointKind),
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<SweepPoint>> {
        let begun = options.tune.out.as_ref().map(|out| out.join(state::FILE));
        let is_begun = begun.is_some_and(|file| file.exists());
        options.resume = self.pruning.options.resume && is_begun;
        let state = super::vacant(&options)?;
        let pruning = Pruning {
            options,
            model: self.pruning.model.clone(),
            dataset: self.pruning.dataset.clone(),
            latencies: Latencies::LeftOut,
            started: Instant::now(),
        };
        let report = pruning.run(state, stop, observer)?;
        let (Some(top1), false) = (report.top1_after, report.stopped) else { return Ok(None) };
        Ok(Some(SweepPoint {
            name: due.name.clone(),
            kind,
            share: Some(share),
            macs: report.macs,
            params: report.params,
            top1_cut: report.top1_cut,
            top1,
            latencies: Vec::new(),
            model: report.model,
        }))
    }

    /// Another network, fine-tuned the same way; none when stopped on the way.
    fn control(
        &self,
        due: &Due,
        folder: PathBuf,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<SweepPoint>> {
        let begun = self.pruning.options.resume && folder.join("config.json").is_file();
        let own = self.given.filter(|_| self.pruning.options.tune.data.is_none());
        let resumed = ResumeOptions::new(&folder);
        let options = self.control_options(&due.name, folder);
        let report = match (begun, own) {
            (true, None) => resume(&resumed, stop, observer)?,
            (true, Some(dataset)) => resume_on(dataset, &resumed, stop, observer)?,
            (false, None) => fine_tune(&options, stop, observer)?,
            (false, Some(dataset)) => fine_tune_on(dataset, &options, stop, observer)?,
        };
        let (Some(path), false) = (report.model, report.stopped) else { return Ok(None) };
        let model = Model::load(&path).map_err(setup::model)?;
        let Some(dataset) = &self.pruning.dataset else { return Err(shares::no_pictures()) };
        let top1 = self.pruning.judge(dataset, &model, observer)?.top1;
        self.point(&model, (due.name.clone(), PointKind::Network), Some(path), top1).map(Some)
    }

    fn control_options(&self, model: &str, folder: PathBuf) -> FineTuneOptions {
        let PruneOptions { tune, image_size, recovery_epochs, distill, .. } = &self.pruning.options;
        let [size, _] = self.pruning.model.preprocess().input_size;
        FineTuneOptions {
            model: model.to_owned(),
            epochs: (*recovery_epochs).max(1),
            lr: None,
            image_size: Some(image_size.unwrap_or(size)),
            teacher: distill.then(|| tune.model.clone()),
            out: Some(folder),
            ..tune.clone()
        }
    }

    /// A network that was not cut.
    fn point(
        &self,
        model: &Model,
        (name, kind): (String, PointKind),
        path: Option<PathBuf>,
        top1: f64,
    ) -> Result<SweepPoint> {
        Ok(SweepPoint {
            name,
            kind,
            share: None,
            macs: macs(model)?,
            params: taper_cost::params(model.graph()).0,
            top1_cut: None,
            top1,
            latencies: Vec::new(),
            model: path,
        })
    }
}

impl Sweeping<'_> {
    fn report(
        &self,
        state: &SweepState,
        stopped: bool,
        observer: &mut dyn Observer,
    ) -> Result<SweepReport> {
        let Pruning { options, model, started, .. } = &self.pruning;
        let Some(dataset) = &self.pruning.dataset else { return Err(shares::no_pictures()) };
        let judged = self.pruning.judge(dataset, model, observer)?;
        let name = "unpruned".to_owned();
        let mut points = vec![self.point(model, (name, PointKind::Unpruned), None, judged.top1)?];
        let all = Due::all(options, self.asked);
        points.extend(all.iter().filter_map(|due| state.written.points.get(&due.key)).cloned());
        if !stopped {
            self.measure(&mut points)?;
        }
        Ok(SweepReport {
            model: options.tune.model.clone(),
            points,
            images: judged.images,
            seconds: started.elapsed().as_secs_f64(),
            out: state.folder.clone(),
            stopped,
        })
    }

    /// Latencies of all networks, in turns.
    fn measure(&self, points: &mut [SweepPoint]) -> Result<()> {
        let load = |point: &SweepPoint| match &point.model {
            Some(path) => Model::load(path).map_err(setup::model),
            None => Ok(self.pruning.model.clone()),
        };
        let models: Result<Vec<Model>> = points.iter().map(load).collect();
        let models = models?;
        let models: Vec<&Model> = models.iter().collect();
        let options = &self.pruning.options;
        for batch in latency::batches(options.latency_batch) {
            let all = latency::in_turns(&models, batch, options.tune.threads)?;
            for (point, ms) in points.iter_mut().zip(all) {
                point.latencies.push(PointLatency { batch, ms });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
