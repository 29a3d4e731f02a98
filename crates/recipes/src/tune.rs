//! One run: what is planned, the optimizer, the loop, the report.
//!
//! Above: `fine_tune`. Below: `tune::{average, besides, clock, confide, features, lr_range, page, sizes}`, `ranks`, `taper_train::Fit`, `taper_transfer`, `taper_optim`. Not here: where the network
//! and the pictures come from (`fine_tune`).

mod average;
mod besides;
mod clock;
mod confide;
mod features;
mod lr_range;
mod page;
mod sizes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::Device;
use taper_data::batch::batch_ranges;
use taper_layers::{Network, Parameter};
use taper_model::Model;
use taper_optim::Optimizer;
use taper_train::{
    Batches, Checkpoint, DataParallel, Fit, Limits, Outcome, Review, RunFolder, Settings, Start,
    StepHook, Teacher, Vectors,
};

use crate::data;
use crate::error::{Error, Result};
use crate::event_file::EventFiles;
use crate::fine_tune::PreparedRun;
use crate::groups;
use crate::observer::{Event, Observer, RunPlan};
use crate::options::{FineTuneOptions, Norms};
use crate::ranks;
use crate::relay::Relay;
use crate::report::FineTuneReport;
use crate::run::{self, Run};
use crate::setup;
use crate::task::{ClassificationScores, LOGITS, Objective, task_of, top};
use crate::warm_head;
use confide::Confided;
use features::Seen;

/// Steps between checkpoints, besides the one after each epoch: what a kill can cost.
const SAVE_EVERY: u64 = 50;

pub(crate) use besides::{same_classes, unfreeze};
pub(crate) use sizes::{for_teacher, min_batch};

/// A run that is ready to go.
pub(crate) struct Tune<'a> {
    prepared: PreparedRun<'a>,
    options: &'a FineTuneOptions,
    parallel: &'a DataParallel,
    /// The whole network, frozen as asked.
    network: Network,
    objective: Objective,
    /// The fewest pictures that a step can do with: a last batch of fewer joins the one before.
    min_batch: usize,
    teacher: Option<Teacher>,
    hooks: Vec<Box<dyn StepHook + 'a>>,
}

impl<'a> Tune<'a> {
    pub(crate) fn new(
        mut prepared: PreparedRun<'a>,
        options: &'a FineTuneOptions,
        parallel: &'a DataParallel,
    ) -> Result<Self> {
        if options.norms() == Norms::Recalibrate {
            prepared.model = besides::recalibrated(&prepared.model, &prepared.dataset, options)?;
        }
        let network = frozen_network(&prepared.model, options)?;
        if network.trainable().is_empty() {
            let expected = "a part that leaves something to train";
            return Err(Error::option("freeze", &options.freeze, expected));
        }
        let [h, w] = prepared.model.preprocess().input_size;
        let min_batch = min_batch(&network, [h, w], options)?;
        if options.batch_size < min_batch {
            let expected = format!(
                "{min_batch} or more: batch norms of this network see maps of one position at {h}x{w} pixels, and one picture has no \
                 variance there; larger pictures or frozen norms can do with fewer"
            );
            return Err(Error::option("batch_size", &options.batch_size, expected));
        }
        let min_batch = shared_batch(min_batch, prepared.dataset.train.len(), options)?;
        let objective = Objective::new(&prepared.dataset, options)?;
        objective.metrics(&mut Review::new(), options.best_by.as_deref())?;
        let teacher = match &prepared.kept.teacher {
            Some(teacher) => besides::teacher(teacher, prepared.model.preprocess(), options)?,
            None => None,
        };
        let masks = prepared.kept.masks.as_ref();
        let hooks = besides::hooks(&network, masks, options)?;
        if options.feature_views > 0 && !hooks.is_empty() {
            let expected = "0 for a network whose weights are masked: steps see all of it";
            return Err(Error::option("feature_views", &options.feature_views, expected));
        }
        Ok(Tune { prepared, options, parallel, network, objective, min_batch, teacher, hooks })
    }

    /// The same with hooks of the caller's own.
    pub(crate) fn with_hooks(mut self, hooks: Vec<Box<dyn StepHook + 'a>>) -> Self {
        self.hooks.extend(hooks);
        self
    }

    /// Makes the run's folder, with what it keeps and its configuration.
    pub(crate) fn begin(&self, folder: RunFolder) -> Result<Run> {
        let config = self.prepared.config(self.options);
        let run = match self.parallel.group().is_first() {
            true => {
                let _held = run::claim(&folder)?;
                self.prepared.kept.save(&folder)?;
                Run::begin(folder, config)?
            }
            false => Run { folder, config, start: Start::Fresh },
        };
        ranks::see_one_folder(self.parallel, &run.folder)?;
        Ok(run)
    }

    /// Trains to the end, or until `stop` is set.
    pub(crate) fn run(
        mut self,
        run: &Run,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
        started: Instant,
    ) -> Result<FineTuneReport> {
        let plan = self.plan(run.folder.path());
        let is_told = self.options.tensorboard && self.parallel.group().is_first();
        let events = is_told.then(|| run.folder.tensorboard());
        let mut observer = EventFiles::new(observer, events.as_deref());
        let observer: &mut dyn Observer = &mut observer;
        observer.on_event(&Event::Planned(&plan));
        if let Some(text) = besides::never_unfrozen(&self.network, self.options)? {
            observer.on_event(&Event::Warning(&text));
        }
        let besides = self.take_besides();
        let once = self.sees_features(&besides);
        let mut relay = Relay::new(observer, &plan, self.prepared.skipped.take());
        let mut review = Review::new();
        let watch = (&mut review, stop, &mut relay, started);
        let (outcome, confided) = match once {
            true => self.run_on_features(run, watch)?,
            false => self.run_on_images(run, besides, watch)?,
        }
        .unzip();
        let Confided { calibrated, calibration, answers } = confided.unwrap_or_default();
        let report = self.report(outcome, run, (&review, relay), started)?;
        let report = FineTuneReport { calibrated, calibration, ..report };
        Ok(self.with_page(report, run, answers, observer))
    }

    fn take_besides(&mut self) -> Besides<'a> {
        Besides { teacher: self.teacher.take(), hooks: std::mem::take(&mut self.hooks) }
    }

    /// Whether the frozen backbone's outputs are all that steps need: a teacher sees pictures, and hooks know the whole network.
    fn sees_features(&self, besides: &Besides<'_>) -> bool {
        self.options.may_see_features() && besides.is_empty()
    }

    /// Every step sees pictures; nothing if stopped before the first step.
    fn run_on_images(
        &self,
        run: &Run,
        besides: Besides<'_>,
        (review, stop, relay, started): RunContext<'_, '_>,
    ) -> Result<Option<(Outcome, Confided)>> {
        let dataset = &self.prepared.dataset;
        if run.start == Start::Fresh && !self.warm_head(stop, relay)? {
            return Ok(None);
        }
        let preprocess = self.prepared.model.preprocess();
        let train = self.growing(besides.teacher.is_some())?;
        let transform = setup::eval_transform(preprocess)?;
        let val = setup::loader(&dataset.val, transform, self.options)?;
        let save = |network: &Network, path: &Path| {
            Ok(self.objective.finish(network.to_model()?)?.save(path)?)
        };
        // `config.json` has been compared already.
        let job = Job { run, save: &save, config: BTreeMap::new() };
        let watch = (review, stop, relay, started);
        let outcome = self.fit(&self.network, [&train, &val], &job, besides, watch)?;
        // What comes now has memory of its own.
        self.network.free_training_bytes();
        let confided = self.confide_images(run, &outcome, &val, stop)?;
        Ok(Some((outcome, confided)))
    }

    /// The batches to train with; a teacher sees each as it likes pictures.
    fn growing(&self, is_taught: bool) -> Result<sizes::Growing> {
        let PreparedRun { dataset, model, kept, .. } = &self.prepared;
        let teacher = kept.teacher.as_ref().filter(|_| is_taught).map(Model::preprocess);
        let preprocess = model.preprocess();
        sizes::Growing::new(dataset, preprocess, teacher, self.min_batch, self.options)
    }

    /// Trains the new head alone, where that is asked for; `false` if stopped.
    fn warm_head(&self, stop: &AtomicBool, relay: &mut Relay<'_>) -> Result<bool> {
        if !self.options.warms_head() && self.prepared.old_head.is_none() {
            return Ok(true);
        }
        let train = &self.prepared.dataset.train;
        let Some(train) = self.features(("training", Seen::Whole), train, stop, relay)? else {
            return Ok(false);
        };
        let head = self.head(&train)?;
        warm_head::train(&self.network, &head, train, &self.objective, self.options)?;
        Ok(true)
    }

    /// The head that training begins with, by its pictures' vectors.
    fn head(&self, train: &Vectors) -> Result<Model> {
        warm_head::begun(&self.prepared.model, self.prepared.old_head.as_ref(), train)
    }

    /// The frozen backbone sees every picture once, and steps see its vectors; nothing if stopped before the first step.
    fn run_on_features(
        &self,
        run: &Run,
        (review, stop, relay, started): RunContext<'_, '_>,
    ) -> Result<Option<(Outcome, Confided)>> {
        let dataset = &self.prepared.dataset;
        let Some(train) = self.train_features(stop, relay)? else { return Ok(None) };
        let held_out = ("validation", Seen::Whole);
        let Some(val) = self.features(held_out, &dataset.val, stop, relay)? else {
            return Ok(None);
        };
        let train = train.shuffled(self.options.seed);
        let model = &self.prepared.model;
        let head = self.head(&train)?;
        let save = |head: &Network, path: &Path| {
            let model = taper_transfer::attach_head(model, &head.to_model()?)?;
            Ok(self.objective.finish(model)?.save(path)?)
        };
        // A call that can read other pictures than the one before would not go on with the same run.
        let count = |what: &str, set: &dyn Batches| (what.to_owned(), set.n_samples().to_string());
        let config = BTreeMap::from([
            count("readable training pictures", &train),
            count("readable validation pictures", &val),
        ]);
        let facts: Vec<(String, String)> = config.clone().into_iter().collect();
        self.parallel.group().agree(&facts)?;
        let job = Job { run, save: &save, config };
        let (head, watch) = (new_network(&head, self.options)?, (review, stop, relay, started));
        let outcome = self.fit(&head, [&train, &val], &job, Besides::default(), watch)?;
        let confided = match self.options.feature_views {
            0 => self.confide_features(run, &outcome, [&train, &val], stop)?,
            // What is familiar is told by whole pictures, which no step has seen.
            _ => {
                let transform = setup::eval_transform(model.preprocess())?;
                let val = setup::loader(&dataset.val, transform, self.options)?;
                self.confide_images(run, &outcome, &val, stop)?
            }
        };
        Ok(Some((outcome, confided)))
    }

    fn fit(
        &self,
        network: &Network,
        [train, val]: [&dyn Batches; 2],
        job: &Job<'_>,
        Besides { teacher, hooks }: Besides<'_>,
        (review, stop, relay, started): RunContext<'_, '_>,
    ) -> Result<Outcome> {
        let failed = |source| Error::Train { source };
        let groups = groups::groups(network, self.options);
        let optimizer = Optimizer::from_groups(groups, setup::rule(self.options))
            .map_err(|source| failed(source.into()))?
            .with_threads(self.options.threads);
        let settings = self.settings(train.n_batches(), job);
        let time_up = AtomicBool::new(false);
        let mut fit = Fit {
            network,
            optimizer,
            loss: self.objective.loss(),
            teacher,
            hooks,
            average: average::average(self.options, train)?,
            metrics: self.objective.metrics(review, self.options.best_by.as_deref())?,
            train,
            val,
            settings: &settings,
            save_model: job.save,
            time_up: self.options.max_minutes.map(|_| &time_up),
            parallel: Some(self.parallel),
        };
        if job.run.start == Start::Fresh {
            fit.begin(relay).map_err(failed)?;
            if self.parallel.group().is_first() {
                job.run.has_begun()?;
            }
        }
        let mut run = || fit.run(Start::Resume, stop, relay).map_err(failed);
        match self.options.max_minutes {
            Some(minutes) => clock::within(minutes, started, &time_up, run),
            None => run(),
        }
    }

    fn settings(&self, steps_per_epoch: usize, job: &Job<'_>) -> Settings {
        let options = self.options;
        let steps = (options.epochs * steps_per_epoch) as u64;
        Settings {
            epochs: options.epochs,
            schedule: options.lr_schedule(steps, steps_per_epoch),
            clip: setup::clip(options),
            best_by: options.best_by.clone(),
            limits: Limits { patience: options.patience, recoveries: options.recoveries },
            seed: options.seed,
            save_every: Some(SAVE_EVERY),
            keep_best: options.keep_best.unwrap_or(0),
            out: job.run.folder.clone(),
            config: job.config.clone(),
        }
    }

    fn plan(&self, out: &Path) -> RunPlan {
        let PreparedRun { dataset, model, .. } = &self.prepared;
        let mut options = self.options.resolved();
        options.image_size = Some(model.preprocess().input_size[0]);
        let params = self.network.params();
        let count = |is_counted: &dyn Fn(&Parameter) -> bool| -> usize {
            params.iter().filter(|p| is_counted(p)).map(|p| p.var.elem_count()).sum()
        };
        let train_images = dataset.train.len();
        RunPlan {
            changes: self.options.changes(),
            targets: self.objective.kind(),
            classes: dataset.classes.clone(),
            train_images,
            val_images: dataset.val.len(),
            skipped: dataset.skipped.len(),
            trained_params: count(&Parameter::is_trained),
            params: count(&|param| param.role.is_trained()),
            steps_per_epoch: batch_ranges(train_images, options.batch_size, self.min_batch).len(),
            ranks: self.parallel.group().size(),
            out: out.to_path_buf(),
            options,
        }
    }

    fn report(
        &self,
        outcome: Option<Outcome>,
        run: &Run,
        (review, relay): (&Review, Relay<'_>),
        started: Instant,
    ) -> Result<FineTuneReport> {
        let mut epochs = relay.epochs_done();
        let outcome = match outcome {
            Some(outcome) => outcome,
            None => {
                let checkpoint = match run.start {
                    Start::Fresh => None,
                    Start::Resume => Some(Checkpoint::read(&run.folder.checkpoint())),
                };
                let checkpoint =
                    checkpoint.transpose().map_err(|source| Error::Train { source })?;
                let progress = checkpoint.map(|checkpoint| checkpoint.progress).unwrap_or_default();
                epochs = progress.epoch;
                let (best, steps) = (progress.best, progress.step);
                Outcome { last: None, best, steps, stopped: true, time_up: false }
            }
        };
        let last = outcome.last.as_ref().map(|last| &last.scores);
        let best = outcome.best.as_ref().map(|best| &best.scores);
        let (val_images, has_best) = (last.map(|last| last.samples), best.is_some());
        let val_scores = last.map(top).unwrap_or_default();
        let best_val_scores = best.map(top).unwrap_or_default();
        let [last, best] = [last, best].map(|scores| scores.map(ClassificationScores::from));
        let (images_per_second, skipped_files) = (relay.images_per_second(), relay.into_skipped());
        Ok(FineTuneReport {
            task: task_of(self.objective.kind()),
            val_top1: last.and_then(|last| last.top1),
            best_val_top1: best.and_then(|best| best.top1),
            val_scores,
            best_val_scores,
            val_loss: last.map(|last| last.loss),
            val_images,
            skipped: skipped_files.len(),
            skipped_files,
            epochs,
            seconds: started.elapsed().as_secs_f64(),
            images_per_second,
            model: has_best.then(|| run.folder.model()),
            page: None,
            out: run.folder.path().to_path_buf(),
            stopped: outcome.stopped,
            time_up: outcome.time_up,
            review: last.filter(|last| last.top1.is_some()).map(|_| {
                data::review(review, &self.prepared.dataset, self.prepared.model.classes())
            }),
            cache: self.options.cache_report(&self.prepared.cache),
            calibrated: None,
            calibration: Vec::new(),
            distributed: ranks::report(self.parallel),
        })
    }
}

/// The fewest pictures of a step in shards, each of which needs `min_batch`.
fn shared_batch(min_batch: usize, pictures: usize, options: &FineTuneOptions) -> Result<usize> {
    let FineTuneOptions { shards, batch_size, sync_bn, .. } = *options;
    // Norms that see all shards can do with one picture of each.
    let of_each = if sync_bn { 1 } else { min_batch };
    let least = min_batch.max(of_each.saturating_mul(shards));
    if shards > 1 && batch_size < least {
        let expected =
            format!("{least} or more: {shards} shards of {of_each} or more pictures each");
        return Err(Error::option("batch_size", &batch_size, expected));
    }
    if shards > 1 && pictures < least {
        let most = pictures / of_each;
        let expected = format!(
            "at most {most}: there are {pictures} pictures to train with, and each shard needs {of_each}"
        );
        return Err(Error::option("shards", &shards, expected));
    }
    Ok(least)
}

/// What a run on pictures and one on features do not share.
struct Job<'a> {
    run: &'a Run,
    /// Writes the best model.
    save: &'a SaveModel<'a>,
    config: BTreeMap<String, String>,
}

/// What a run has besides its steps.
#[derive(Default)]
struct Besides<'h> {
    teacher: Option<Teacher>,
    hooks: Vec<Box<dyn StepHook + 'h>>,
}

impl Besides<'_> {
    fn is_empty(&self) -> bool {
        self.teacher.is_none() && self.hooks.is_empty()
    }
}

/// What is told and asked on the way.
type RunContext<'w, 'r> = (&'w mut Review, &'w AtomicBool, &'w mut Relay<'r>, Instant);

type SaveModel<'a> = dyn Fn(&Network, &Path) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
    + 'a;

pub(crate) fn new_network(model: &Model, options: &FineTuneOptions) -> Result<Network> {
    let network =
        Network::new(model, &Device::Cpu).and_then(|network| network.with_outputs(&[LOGITS]));
    let network = network
        .and_then(|network| network.with_matmul_precision(options.matmul_precision.of_engine()));
    let network = network.map_err(|source| Error::Train { source: source.into() })?;
    Ok(network.with_threads(options.threads).recomputing(setup::recompute(options)))
}

/// The network of a model with what is asked of it frozen.
pub(crate) fn frozen_network(model: &Model, options: &FineTuneOptions) -> Result<Network> {
    let mut network = new_network(model, options)?;
    options.freeze.apply(&mut network).map_err(|source| Error::Transfer { source })?;
    match options.norms() {
        Norms::Train => {}
        Norms::Freeze | Norms::Recalibrate => taper_transfer::freeze_norms(&mut network),
    }
    Ok(network)
}

#[cfg(test)]
mod tests;
