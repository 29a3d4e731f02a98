//! One run: what is planned, the features of a frozen backbone computed once, the optimizer, the loop, the report.
//!
//! Above: `fine_tune`. Below: `taper_train::Fit`, `taper_transfer`, `taper_optim`. Not here: where the network and the pictures
//! come from (`fine_tune`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Device;
use taper_data::{Order, Sample, Targets};
use taper_layers::{Network, Parameter};
use taper_model::Model;
use taper_optim::{AdamW, Optimizer, Rule, Sgd};
use taper_train::{Batches, Fit, Outcome, Settings, Start, Vectors};
use taper_transfer::{Features, Freeze};

use crate::classification::{self, ClassificationScores, LOGITS, Metrics};
use crate::data;
use crate::error::{Error, Result};
use crate::fine_tune::Begun;
use crate::observer::{Event, Observer, Plan};
use crate::options::{Augment, FineTuneOptions, OptimizerKind};
use crate::relay::Relay;
use crate::report::FineTuneReport;
use crate::run_folder::RunFolder;
use crate::setup;
use crate::warm_head;

/// Steps between checkpoints, besides the one after each epoch: what a kill can cost.
const SAVE_EVERY: u64 = 50;

/// A run that is ready to go.
pub(crate) struct Tune<'a> {
    begun: Begun,
    options: &'a FineTuneOptions,
    folder: &'a RunFolder,
    /// The whole network, frozen as asked.
    network: Network,
}

impl<'a> Tune<'a> {
    pub(crate) fn new(
        begun: Begun,
        options: &'a FineTuneOptions,
        folder: &'a RunFolder,
    ) -> Result<Self> {
        let mut network = new_network(&begun.model, options)?;
        options.freeze.apply(&mut network).map_err(|source| Error::Transfer { source })?;
        if network.trainable().is_empty() {
            return Err(Error::option(
                "--freeze",
                &options.freeze,
                "a part that leaves something to train",
            ));
        }
        Ok(Tune { begun, options, folder, network })
    }

    /// Trains to the end, or until `stop` is set.
    pub(crate) fn run(
        self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
        started: Instant,
    ) -> Result<FineTuneReport> {
        let plan = self.plan();
        observer.event(&Event::Planned(&plan));
        let once = self.options.freeze == Freeze::Backbone && self.options.augment == Augment::None;
        let mut relay = Relay::new(observer, &plan);
        let mut metrics = Metrics::new();
        let outcome = match once {
            true => self.run_on_features(&mut metrics, stop, &mut relay)?,
            false => self.run_on_images(&mut metrics, stop, &mut relay)?,
        };
        Ok(self.report(outcome.as_ref(), &metrics, &relay, started))
    }

    /// Every step sees pictures; nothing if stopped before the first step.
    fn run_on_images(
        &self,
        metrics: &mut Metrics,
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Outcome>> {
        if self.options.warms_head() && !self.folder.checkpoint_file().exists() {
            let Some(train) = self.features(&self.begun.dataset.train, stop, relay)? else {
                return Ok(None);
            };
            warm_head::train(&self.network, &self.begun.model, train, self.options)?;
        }
        let preprocess = self.begun.model.preprocess();
        let transform = setup::train_transform(preprocess, self.options)?;
        let train =
            setup::loader(&self.begun.dataset.train, transform, Order::Shuffled, self.options)?;
        let transform = setup::eval_transform(preprocess)?;
        let val = &self.begun.dataset.val;
        let val = setup::loader(val, transform, Order::Sequential, self.options)?;
        let save = |network: &Network, path: &Path| Ok(network.to_model()?.save(path)?);
        self.fit(&self.network, [&train, &val], &save, (metrics, stop, relay)).map(Some)
    }

    /// The frozen backbone sees every picture once, and steps see its vectors; nothing if stopped before the first step.
    fn run_on_features(
        &self,
        metrics: &mut Metrics,
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Outcome>> {
        let dataset = &self.begun.dataset;
        let Some(train) = self.features(&dataset.train, stop, relay)? else { return Ok(None) };
        let Some(val) = self.features(&dataset.val, stop, relay)? else { return Ok(None) };
        let train = train.shuffled(self.options.seed);
        let model = &self.begun.model;
        let head =
            taper_transfer::detach_head(model).map_err(|source| Error::Transfer { source })?;
        let save = |head: &Network, path: &Path| {
            Ok(taper_transfer::attach_head(model, &head.to_model()?)?.save(path)?)
        };
        let network = new_network(&head, self.options)?;
        self.fit(&network, [&train, &val], &save, (metrics, stop, relay)).map(Some)
    }

    /// The `pre_logits` vectors of `samples`, or nothing if stopped.
    fn features(
        &self,
        samples: &[Sample],
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<Vectors>> {
        let transfer = |source| Error::Transfer { source };
        let model = &self.begun.model;
        let transform = setup::eval_transform(model.preprocess())?;
        let loader = setup::loader(samples, transform, Order::Sequential, self.options)?;
        let mut features = Features::new(model, self.options.threads).map_err(transfer)?;
        let mut targets = Targets::default();
        for batch in loader.epoch(0, 0) {
            let batch = batch.map_err(setup::data)?;
            if let Some(gone) = batch.skipped.first() {
                return Err(Error::Vanished { name: gone.name.clone() });
            }
            features.extend(&batch.xs, batch.shape).map_err(transfer)?;
            targets.append(&batch.targets).map_err(setup::data)?;
            relay.cached(targets.len(), samples.len());
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
        let vectors = Vectors::new(features.finish(), targets, self.options.batch_size);
        vectors.map(Some).map_err(|source| Error::Train { source })
    }

    fn fit(
        &self,
        network: &Network,
        sets: [&dyn Batches; 2],
        save: &SaveModel<'_>,
        watch: (&mut Metrics, &AtomicBool, &mut Relay<'_>),
    ) -> Result<Outcome> {
        match self.options.optimizer {
            OptimizerKind::Sgd => {
                let rule = Sgd { momentum: self.options.momentum, ..Sgd::default() };
                self.fit_with(rule, network, sets, save, watch)
            }
            OptimizerKind::AdamW => self.fit_with(AdamW::default(), network, sets, save, watch),
        }
    }

    fn fit_with<R: Rule>(
        &self,
        rule: R,
        network: &Network,
        [train, val]: [&dyn Batches; 2],
        save_model: &SaveModel<'_>,
        (metrics, stop, relay): (&mut Metrics, &AtomicBool, &mut Relay<'_>),
    ) -> Result<Outcome> {
        let groups = setup::groups(network, self.options);
        let optimizer = Optimizer::from_groups(groups, rule)
            .map_err(|source| Error::Train { source: source.into() })?;
        let settings = self.settings(train.n_batches());
        let start = match self.folder.checkpoint_file().exists() {
            true => Start::Resume,
            false => Start::Fresh,
        };
        let mut fit = Fit {
            network,
            optimizer,
            loss: &classification::loss(self.options)?,
            metrics: metrics.all(),
            train,
            val,
            settings: &settings,
            save_model,
        };
        fit.run(start, stop, relay).map_err(|source| Error::Train { source })
    }

    fn settings(&self, steps_per_epoch: usize) -> Settings {
        let options = self.options;
        let steps = (options.epochs * steps_per_epoch) as u64;
        Settings {
            epochs: options.epochs,
            schedule: setup::schedule(options, steps),
            clip_norm: options.clip_norm,
            seed: options.seed,
            save_every: Some(SAVE_EVERY),
            out: self.folder.path().to_path_buf(),
            config: BTreeMap::new(), // config.json has been compared already
        }
    }

    fn plan(&self) -> Plan {
        let model = &self.begun.model;
        let mut options = self.options.clone();
        options.lr = Some(options.peak_lr());
        options.image_size = Some(model.preprocess().input_size[0]);
        let params = self.network.params();
        let count = |is_counted: &dyn Fn(&Parameter) -> bool| -> usize {
            params.iter().filter(|p| is_counted(p)).map(|p| p.var.elem_count()).sum()
        };
        Plan {
            options,
            classes: self.begun.dataset.classes.clone(),
            train_images: self.begun.dataset.train.len(),
            val_images: self.begun.dataset.val.len(),
            skipped: self.begun.dataset.skipped.len(),
            trained_params: count(&Parameter::is_trained),
            params: count(&|param| param.role.is_trained()),
            steps_per_epoch: self.begun.dataset.train.len().div_ceil(self.options.batch_size),
            out: self.folder.path().to_path_buf(),
        }
    }

    fn report(
        &self,
        outcome: Option<&Outcome>,
        metrics: &Metrics,
        relay: &Relay<'_>,
        started: Instant,
    ) -> FineTuneReport {
        let last = outcome.and_then(|outcome| outcome.last.as_ref()).map(|last| &last.scores);
        let best = outcome.and_then(|outcome| outcome.best.as_ref()).map(|best| &best.scores);
        let [last, best] = [last, best].map(|scores| scores.map(ClassificationScores::from));
        FineTuneReport {
            val_top1: last.map(|last| last.top1),
            best_val_top1: best.map(|best| best.top1),
            val_loss: last.map(|last| last.loss),
            epochs: relay.epochs_done(),
            seconds: started.elapsed().as_secs_f64(),
            images_per_second: relay.images_per_second(),
            model: self.folder.model(),
            out: self.folder.path().to_path_buf(),
            stopped: outcome.is_none_or(|outcome| outcome.stopped),
            review: last.map(|_| {
                data::review(&metrics.review, &self.begun.dataset, self.begun.model.classes())
            }),
        }
    }
}

/// Writes the best model.
type SaveModel<'a> = dyn Fn(&Network, &Path) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
    + 'a;

pub(crate) fn new_network(model: &Model, options: &FineTuneOptions) -> Result<Network> {
    let network =
        Network::new(model, &Device::Cpu).and_then(|network| network.with_outputs(&[LOGITS]));
    let network = network.map_err(|source| Error::Train { source: source.into() })?;
    Ok(network.with_threads(options.threads))
}
