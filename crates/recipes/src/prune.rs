//! Pruning: a model and what it may cost become a smaller model that has recovered.
//!
//! Above: the binary, Rust users. Below: `prune::{csv, latency, page, pictures, reconstruct, report, select, sensitivity, shape, shares, state, sweep}`, `taper_prune`, `fine_tune_from`, `recalibrate`, `evaluate`.
//! Not here: what goes together and what matters least (`taper_prune`), the steps (`taper_train`).
//! Every round is a function of the options and of the round before, so that a run that was killed goes on where it was.

mod csv;
pub(crate) mod latency;
mod page;
pub(crate) mod pictures;
mod reconstruct;
mod report;
mod select;
mod sensitivity;
mod shape;
mod shares;
pub(crate) mod state;
mod sweep;

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_data::Dataset;
use taper_model::{Model, Precision, Preprocess};
use taper_prune::{CubicSchedule, Cut, Groups, Protect, cut, explain};
use taper_train::RunFolder;

use crate::error::{Error, Result};
use crate::fine_tune::{ResumeOptions, resume_on};
use crate::observer::Observer;
use crate::options::FineTuneOptions;
use crate::recalibrate::{recalibrate, training_images};
use crate::report::FineTuneReport;
use crate::setup;
use crate::source::ModelSource;
use crate::tune_from::{TuneFrom, fine_tune_from};
use pictures::{Judged, judged, model_and_pictures};
use state::{Place, RunState};

pub use csv::{write_sensitivity_csv, write_sweep_csv};
pub use latency::LatencyPair;
pub use page::{prune_page, sweep_page};
pub use report::{LayerRow, PruneReport, TargetRow};
pub use sensitivity::{GroupCut, GroupSensitivity, SensitivityReport, sensitivity};
pub use shares::parse_shares;
pub use sweep::{
    PointKind, PointLatency, RandomControl, SweepOptions, SweepPoint, SweepReport, sweep,
};
pub use taper_prune::{
    Amount, Criterion, FileSize, GroupRow, Limits, Metric, Normalizer, Ranking, Reduction, Target,
};

pub use crate::options::PruneOptions;

/// The size of a model's file as a metric.
///
/// # Errors
/// As loading the model.
pub fn file_size(model: &str) -> Result<Metric> {
    let model = ModelSource::resolve(model)?.load(&AtomicBool::new(false), &mut crate::Silent)?;
    Ok(Metric::Size(FileSize::of(&model, Precision::F32).map_err(setup::prune)?))
}

/// What goes together in a network, and what is protected and why.
///
/// # Errors
/// As loading the network; [`Error::Prune`] if `protect` names what is not there.
pub fn explain_groups(model: &str, protect: &[String]) -> Result<Vec<GroupRow>> {
    let (graph, _) = ModelSource::resolve(model)?.graph()?;
    let groups = Groups::of(&graph, &Protect::names(protect)).map_err(setup::prune)?;
    Ok(explain(&groups))
}

/// Cuts channels until a model costs what it may, and lets it recover.
///
/// Pictures are those of `options.tune.data`, or of `dataset`; with neither, the channels are cut by the weights alone and nothing is trained.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
pub fn prune(
    dataset: Option<&Dataset>,
    options: &PruneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<PruneReport> {
    options.check()?;
    let state = vacant(options)?;
    Pruning::new(dataset, options, stop, observer)?.run(state, stop, observer)
}

/// The run of these options, new or gone on with.
fn vacant(options: &PruneOptions) -> Result<RunState> {
    let PruneOptions { file, resume, tune, .. } = options;
    let place = Place { out: tune.out.as_deref(), file: file.as_deref(), resume: *resume };
    RunState::vacant(place, words(options))
}

/// The options, a word each.
fn words(options: &PruneOptions) -> Vec<String> {
    let others =
        PruneOptions { resume: false, tune: FineTuneOptions::default(), ..options.clone() };
    state::words(&others, &options.tune)
}

/// What all rounds share.
struct Pruning {
    options: PruneOptions,
    model: Model,
    dataset: Option<Dataset>,
    latencies: Latencies,
    started: Instant,
}

/// Whether a run ends with measuring how long both networks take.
enum Latencies {
    Measured,
    /// Who asked measures them beside others.
    LeftOut,
}

/// What a round left.
struct Round {
    model: Model,
    top1_cut: Option<f64>,
    tuned: Option<FineTuneReport>,
}

impl Pruning {
    fn new(
        dataset: Option<&Dataset>,
        options: &PruneOptions,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Self> {
        let started = Instant::now();
        let (model, dataset) = model_and_pictures(dataset, &options.tune, stop, observer)?;
        let options = options.resolved(dataset.is_some());
        Ok(Self { options, model, dataset, latencies: Latencies::Measured, started })
    }

    fn run(
        &self,
        mut state: RunState,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<PruneReport> {
        let protect = Protect::names(&self.options.protect);
        let groups = Groups::of(self.model.graph(), &protect).map_err(setup::prune)?;
        let top1_before = self.top1(&self.model, observer)?;
        let start = match state.start()? {
            Some(start) => start,
            None => state.begin(shape::start(self, self.resized()?, &protect)?),
        };
        let mut last = Round { model: start.clone(), top1_cut: None, tuned: None };
        for round in 0..self.options.rounds() {
            let from = [&start, &last.model];
            last = self.round(round, from, &protect, &mut state, (stop, observer))?;
            if last.tuned.as_ref().is_some_and(|tuned| tuned.stopped) {
                break;
            }
        }
        self.report(&groups, top1_before, last, &state, observer)
    }

    /// The model for the images that were asked for.
    fn resized(&self) -> Result<Model> {
        let Some(size) = self.options.image_size else { return Ok(self.model.clone()) };
        let preprocess = Preprocess { input_size: [size; 2], ..*self.model.preprocess() };
        self.model.clone().with_preprocess(preprocess).map_err(setup::model)
    }

    /// Cuts to this round's share, mends weights and statistics, judges, and trains.
    fn round(
        &self,
        round: usize,
        [start, model]: [&Model; 2],
        protect: &Protect,
        state: &mut RunState,
        (stop, observer): (&AtomicBool, &mut dyn Observer),
    ) -> Result<Round> {
        let folder = state.round_folder(round);
        if let Some(run) = state.begun(round)? {
            let resumed = ResumeOptions::new(run);
            let tuned = match &self.dataset {
                Some(dataset) if self.options.tune.data.is_none() => {
                    resume_on(dataset, &resumed, stop, observer)?
                }
                _ => crate::resume(&resumed, stop, observer)?,
            };
            let model = recovered(&tuned)?;
            return Ok(Round { model, top1_cut: state.top1_cut(round), tuned: Some(tuned) });
        }
        let groups = Groups::of(model.graph(), protect).map_err(setup::prune)?;
        let steps = CubicSchedule { start: 0.0, end: 1.0, rounds: self.options.rounds() };
        let plan = select::plan(self, [start, model], &groups, steps.at(round + 1))?;
        let model = self.cut(model, (&groups, &plan.cut), self.dataset.as_ref())?;
        if self.dataset.is_none() {
            return Ok(Round { model, top1_cut: None, tuned: None });
        }
        let top1_cut = self.top1(&model, observer)?;
        state.cut(round, top1_cut)?;
        if self.epochs_of(round) == 0 {
            return Ok(Round { model, top1_cut, tuned: None });
        }
        let recovery = self.options.recovery(self.epochs_of(round));
        let teacher = self.options.distill.then(|| self.model.clone());
        let from = TuneFrom { teacher, ..TuneFrom::new(model) };
        let options = FineTuneOptions { out: Some(folder), ..recovery };
        let own = self.dataset.as_ref().filter(|_| options.data.is_none());
        let tuned = fine_tune_from(from, own, &options, stop, observer)?;
        let model = recovered(&tuned)?;
        Ok(Round { model, top1_cut, tuned: Some(tuned) })
    }

    /// The model without these units; where there are pictures, its weights are fitted to it as it was, and its statistics averaged again.
    fn cut(
        &self,
        model: &Model,
        (groups, units): (&Groups, &Cut),
        dataset: Option<&Dataset>,
    ) -> Result<Model> {
        let mut smaller = cut(model, groups, units).map_err(setup::prune)?;
        let Some(dataset) = dataset else { return Ok(smaller) };
        let PruneOptions { evidence_batches, statistics_batches, reconstruct, .. } = self.options;
        let recovery = self.options.recovery(1);
        if reconstruct {
            let images = training_images(model, dataset, evidence_batches, &recovery)?;
            let both = [model, &smaller];
            smaller = reconstruct::reconstruct(both, (groups, units), images, recovery.threads)?;
        }
        if statistics_batches > 0 {
            smaller = recalibrate(&smaller, dataset, statistics_batches, &recovery)?;
        }
        Ok(smaller)
    }

    /// Epochs of a round: the last has what is left over.
    fn epochs_of(&self, round: usize) -> usize {
        let (epochs, rounds) = (self.options.recovery_epochs, self.options.rounds());
        let each = epochs / rounds;
        if round + 1 == rounds { epochs - each * (rounds - 1) } else { each }
    }

    fn top1(&self, model: &Model, observer: &mut dyn Observer) -> Result<Option<f64>> {
        let Some(dataset) = &self.dataset else { return Ok(None) };
        Ok(Some(self.judge(dataset, model, observer)?.top1))
    }

    /// How well a model names the held-out pictures.
    fn judge(
        &self,
        dataset: &Dataset,
        model: &Model,
        observer: &mut dyn Observer,
    ) -> Result<Judged> {
        judged(dataset, model, &self.options.tune, observer)
    }

    fn report(
        &self,
        groups: &Groups,
        top1_before: Option<f64>,
        last: Round,
        state: &RunState,
        observer: &mut dyn Observer,
    ) -> Result<PruneReport> {
        let Round { model, top1_cut, tuned } = last;
        let stopped = tuned.as_ref().is_some_and(|tuned| tuned.stopped);
        // Whoever stopped it waits for no measurement, and a file appears when it is done.
        let path = match stopped {
            false => Some(state.write(&model, self.options.file.as_deref())?),
            true => None,
        };
        let judged = match &self.dataset {
            Some(dataset) if !stopped => Some(self.judge(dataset, &model, observer)?),
            _ => None,
        };
        let (mut latencies, mut targets) = (Vec::new(), Vec::new());
        if !stopped {
            if let Latencies::Measured = self.latencies {
                let (batch, threads) = (self.options.latency_batch, self.options.tune.threads);
                latencies = latency::measure([&self.model, &model], batch, threads)?;
            }
            targets = select::targets([&self.model, &model], &self.options)?;
        }
        let cost = |model: &Model| {
            let cost = taper_cost::of(model.graph(), model.preprocess().input_size);
            cost.map(|cost| cost.total()).map_err(|source| Error::Cost { source })
        };
        let (before, after) = (cost(&self.model)?, cost(&model)?);
        let one = latencies.first();
        Ok(PruneReport {
            params_before: before.params.0,
            params: after.params.0,
            macs_before: before.macs().0,
            macs: after.macs().0,
            top1_before,
            top1_cut,
            top1_after: judged.as_ref().map(|judged| judged.top1),
            top1_last: tuned.as_ref().and_then(|tuned| tuned.val_top1),
            latency_before_ms: one.map(|pair| pair.before_ms),
            latency_after_ms: one.map(|pair| pair.after_ms),
            is_faster: one.map(|_| latencies.iter().all(|pair| pair.after_ms < pair.before_ms)),
            latencies,
            image_size: model.preprocess().input_size,
            chosen_by: select::words(&self.options, self.model.graph()),
            targets,
            layers: select::layers(groups, model.graph())?,
            images: judged.map(|judged| judged.images),
            seconds: self.started.elapsed().as_secs_f64(),
            model: path,
            out: state.folder().to_path_buf(),
            stopped,
        })
    }
}

/// What recovery has made so far: its best model, or the one that it began with.
fn recovered(tuned: &FineTuneReport) -> Result<Model> {
    let start = || RunFolder::new(tuned.out.clone()).start();
    Model::load(tuned.model.clone().unwrap_or_else(start)).map_err(setup::model)
}
