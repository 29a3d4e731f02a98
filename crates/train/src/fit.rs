//! The run: epochs of steps, an evaluation after each, checkpoints, and stopping at any step.
//!
//! Above: `recipes`. Below: `step`, `teacher`, `hook`, `evaluate`, `checkpoint`, `log`. Not here: how settings are chosen (`recipes`), where the
//! run's files lie (`run_folder`).
//! Before a checkpoint takes its place, the log it remembers and the best model it knows of are on the disk.

mod settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::{Network, loss::Loss};
use taper_optim::{Optimizer, Rule};

use crate::error::{Error, Result};
use crate::log::{Line, Log, Train};
use crate::metrics::{LOSS, MeanLoss, Metric, Scores};
use crate::step::{Participants, StepReport, StepSettings, finite, step};
use crate::{
    Batch, Batches, Best, Checkpoint, Evaluation, Event, Goal, Observer, Progress, Running,
    Skipped, StepHook, Teacher, evaluate,
};

pub use settings::{Outcome, Settings, Start};

/// Writes the model file of a network; a head trained on cached features puts its backbone back here.
type SaveModel<'a> = dyn Fn(&Network, &Path) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>
    + 'a;

/// Everything a run needs.
pub struct Fit<'a, R> {
    /// The network that is trained; its frozen flags say which part.
    pub network: &'a Network,
    /// Steps the network's trained parameters.
    pub optimizer: Optimizer<R>,
    /// What is minimized: a loss of `taper_layers::loss`, or a closure of outputs and targets.
    pub loss: &'a dyn Loss,
    /// Whose answers to each training batch are learned besides; evaluation asks the targets alone.
    pub teacher: Option<Teacher>,
    /// What else happens to gradients and parameters in each step, in this order.
    pub hooks: Vec<Box<dyn StepHook + 'a>>,
    /// What is looked at when evaluating. The first that is not called `loss` picks the best model and is followed while training, too;
    /// without one, the loss picks it. The mean of the loss function is added, unless one is called `loss`.
    pub metrics: Vec<Box<dyn Metric + 'a>>,
    /// What it is trained on.
    pub train: &'a dyn Batches,
    /// What it is evaluated on after each epoch.
    pub val: &'a dyn Batches,
    /// How it is trained.
    pub settings: &'a Settings,
    /// Writes the best model; called with the network and the path.
    pub save_model: &'a SaveModel<'a>,
}

impl<R: std::fmt::Debug> std::fmt::Debug for Fit<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit").field("settings", self.settings).finish_non_exhaustive()
    }
}

/// Whether an epoch's training came to its end.
enum Trained {
    Epoch,
    Stopped,
}

impl<R: Rule> Fit<'_, R> {
    /// Trains until the last epoch is evaluated, or until `stop` is set: then the step at hand is finished and saved.
    ///
    /// # Errors
    /// [`Error::Setting`] and [`Error::Empty`] before anything is written; [`Error::NoCheckpoint`], [`Error::Malformed`]
    /// or [`Error::OtherRun`] when resuming; [`Error::At`] with the step if training fails, whose source is
    /// [`Error::NotFinite`] if it diverged, [`Error::Unreadable`] if not one sample of a set can be read any more, [`Error::TooFew`] if
    /// no batch of an epoch is large enough for a step: the last good checkpoint is still there.
    pub fn run(
        &mut self,
        start: Start,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.settings.check()?;
        self.check_sets()?;
        let (mut progress, mut log) = self.start(start, observer)?;
        observer.on_event(&Event::Started {
            epochs: self.settings.epochs,
            batches_per_epoch: self.train.n_batches(),
            samples_per_epoch: self.train.n_samples(),
            epoch: progress.epoch,
            batch: progress.batch,
            step: progress.step,
        });
        let mut last = None;
        while progress.epoch < self.settings.epochs {
            let trained = self.train_epoch(&mut progress, &mut log, stop, observer);
            if let Trained::Stopped = trained.map_err(|source| self.locate(&progress, source))? {
                self.save(&mut progress, &mut log, observer)?;
                observer.on_event(&Event::Stopped { step: progress.step });
                return Ok(Outcome {
                    last,
                    best: progress.best.clone(),
                    steps: progress.step,
                    stopped: true,
                });
            }
            let evaluated = self.end_epoch(&mut progress, &mut log, observer);
            last = Some(evaluated.map_err(|source| self.locate(&progress, source))?);
        }
        let last = match last {
            Some(last) => last,
            None => self.evaluate(progress.epoch, observer)?,
        };
        Ok(Outcome { last: Some(last), best: progress.best, steps: progress.step, stopped: false })
    }

    /// Checks everything and makes the first checkpoint, so that [`Start::Resume`] finds one from now on.
    ///
    /// # Errors
    /// As [`Fit::run`] with [`Start::Fresh`], before the first step.
    pub fn begin(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.settings.check()?;
        self.check_sets()?;
        self.start(Start::Fresh, observer).map(drop)
    }

    /// Reads where the run is, or makes its first checkpoint, so that it can be resumed whenever it ends.
    fn start(&mut self, start: Start, observer: &mut dyn Observer) -> Result<(Progress, Log)> {
        let mut progress = match start {
            Start::Fresh => {
                for hook in &mut self.hooks {
                    hook.begin(self.network)?;
                }
                Progress::default()
            }
            Start::Resume => self.restore()?,
        };
        let mut log = Log::open(&self.settings.out.log(), progress.log_bytes)?;
        if start == Start::Fresh {
            self.save(&mut progress, &mut log, observer)?;
        }
        Ok((progress, log))
    }

    fn check_sets(&self) -> Result<()> {
        for (set, batches) in [("training", self.train), ("validation", self.val)] {
            if batches.n_batches() == 0 {
                return Err(Error::Empty { set });
            }
        }
        Ok(())
    }

    /// Steps through the rest of the epoch.
    fn train_epoch(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        let train = self.train;
        let (mut skipped, mut least) = (Vec::new(), LeastBatch::default());
        for batch in train.epoch(progress.epoch, progress.batch) {
            if stop.load(Ordering::Relaxed) {
                return Ok(Trained::Stopped);
            }
            let batch = batch?;
            log.skipped(progress, &batch.skipped)?;
            tell_skipped(observer, progress.epoch, &batch.skipped);
            skipped.extend_from_slice(&batch.skipped);
            let (position, samples) = (batch.position, batch.indices.len());
            let needed = least.of(self.network, batch.shape)?;
            if samples >= needed {
                self.take_step(batch, progress, log, observer)?;
            } else if samples > 0 {
                let Progress { epoch, step, .. } = *progress;
                log.write(&Line::TooFew { epoch, step, batch: position, samples, needed })?;
                observer.on_event(&Event::TooFew { epoch, batch: position, samples, needed });
            }
            progress.batch = position + 1;
            if samples >= needed && self.settings.saves_after(progress.step) {
                self.save(progress, log, observer)?;
            }
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Trained::Stopped);
        }
        match progress.running.samples {
            0 if least.needed > 1 && skipped.len() < train.n_samples() => {
                Err(Error::TooFew { needed: least.needed })
            }
            0 => Err(Error::nothing_left("training", skipped)),
            _ => Ok(Trained::Epoch),
        }
    }

    /// Moves the parameters by one batch.
    fn take_step(
        &mut self,
        batch: Batch,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (position, samples) = (batch.position, batch.indices.len());
        let settings = self.settings.step(progress.step);
        let report = self.step(batch, settings, &mut progress.running)?;
        let StepSettings { lr, .. } = settings;
        let (loss, grad_norm) = (report.loss, report.grad_norm);
        let Progress { epoch, step, .. } = *progress;
        log.write(&Line::Step { epoch, step, loss, lr, grad_norm })?;
        observer.on_event(&Event::Step {
            epoch,
            batch: position,
            step,
            samples,
            loss,
            lr,
            grad_norm,
        });
        progress.running.add(loss, samples);
        progress.step += 1;
        Ok(())
    }

    /// Evaluates, keeps the model if it is the best of those that hooks take for settled, and saves the checkpoint at the beginning of the next epoch.
    fn end_epoch(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation> {
        let train = self.running_scores(&progress.running);
        let val = self.evaluate(progress.epoch, observer)?;
        log.skipped(progress, &val.skipped)?;
        finite("the validation loss", val.scores.get(LOSS).unwrap_or(0.0))?;
        let Progress { epoch, step, .. } = *progress;
        let best = progress.best.take();
        let is_settled = self.hooks.iter().all(|hook| hook.is_settled(step));
        let is_best =
            is_settled && best.as_ref().is_none_or(|best| self.beats(&val.scores, &best.scores));
        log.write(&Line::Epoch { epoch, step, train: Train(&train), val: &val.scores, is_best })?;
        if is_best {
            self.check_params()?;
            self.save_best(observer)?;
        }
        let best = if is_best { Some(Best { epoch, scores: val.scores.clone() }) } else { best };
        let mut next = Progress { epoch: epoch + 1, step, best, ..Progress::default() };
        self.save(&mut next, log, observer)?;
        *progress = next;
        observer.on_event(&Event::EpochEnd { epoch, train, val: &val, is_best });
        Ok(val)
    }

    fn evaluate(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<Evaluation> {
        let mut all: Vec<Box<dyn Metric + '_>> = Vec::new();
        if self.metrics.iter().all(|metric| metric.name() != LOSS) {
            all.push(Box::new(MeanLoss::new(self.loss)));
        }
        for metric in &mut self.metrics {
            all.push(Box::new(metric.as_mut()));
        }
        let evaluated = evaluate(&mut self.network.session()?, self.val, &mut all);
        let skipped = evaluated.as_ref().map_or_else(Error::skipped, |val| &val.skipped);
        tell_skipped(observer, epoch, skipped);
        evaluated
    }

    /// A step, shown to the metric that is followed while training.
    fn step(
        &mut self,
        batch: Batch,
        settings: StepSettings,
        running: &mut Running,
    ) -> Result<StepReport> {
        let mut metric = self.metrics.iter_mut().find(|metric| metric.name() != LOSS);
        if let Some(metric) = &mut metric {
            metric.reset();
            if let Some(state) = running.state() {
                metric.load_state(&state);
            }
        }
        let watched = metric.as_mut().map(|metric| &mut ***metric as &mut dyn Metric);
        let taught = self.teacher.as_mut().map(|teacher| teacher.outputs(&batch)).transpose()?;
        let taught = self.teacher.as_ref().zip(taught);
        let taught = taught.map(|(teacher, outputs)| teacher.loss(self.loss, outputs));
        let loss = taught.as_ref().map_or(self.loss, |taught| taught as &dyn Loss);
        let participants = Participants { metric: watched, hooks: &mut self.hooks };
        let optimizer = &mut self.optimizer;
        let report = step(self.network, optimizer, batch, loss, participants, settings)?;
        running.metric = metric
            .map(|metric| (metric.name(), metric.state().into_iter().map(f64::to_bits).collect()));
        Ok(report)
    }

    /// What the training batches of an epoch come to.
    #[expect(clippy::cast_precision_loss, reason = "sample counts stay far below 2^53")]
    fn running_scores(&mut self, running: &Running) -> Scores {
        let loss = running.loss / running.samples.max(1) as f64;
        let mut values = vec![(LOSS.to_owned(), loss)];
        let metric = self.metrics.iter_mut().find(|metric| metric.name() != LOSS);
        if let (Some(metric), Some(state)) = (metric, running.state()) {
            metric.load_state(&state);
            values.extend(metric.compute().map(|value| (metric.name(), value)));
        }
        Scores { values, samples: running.samples }
    }

    /// The metric that picks the best model.
    fn main_metric(&self) -> Option<&dyn Metric> {
        self.metrics
            .iter()
            .find(|metric| metric.name() != LOSS)
            .map(|metric| &**metric as &dyn Metric)
    }

    fn beats(&self, scores: &Scores, best: &Scores) -> bool {
        match self.main_metric() {
            Some(metric) => scores.beats(best, &metric.name(), metric.goal()),
            None => scores.beats(best, LOSS, Goal::Minimize),
        }
    }

    fn save_best(&self, observer: &mut dyn Observer) -> Result<()> {
        let path = self.settings.out.model();
        let failed = |source| Error::Model { path: path.clone(), source };
        (self.save_model)(self.network, &path).map_err(failed)?;
        observer.on_event(&Event::Saved { path: &path });
        Ok(())
    }

    fn save(
        &self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.check_params()?;
        progress.log_bytes = log.sync()?;
        let params = self.network.params().iter();
        let checkpoint = Checkpoint {
            progress: progress.clone(),
            config: self.config(),
            params: params.map(|p| (p.name.clone(), p.var.as_detached_tensor())).collect(),
            optimizer: self.optimizer.state()?,
            hooks: self.hooks.iter().map(|hook| hook.state()).collect::<Result<_>>()?,
        };
        let path = self.settings.out.checkpoint();
        checkpoint.save(&path)?;
        observer.on_event(&Event::Saved { path: &path });
        Ok(())
    }

    /// What makes the run what it is: what it was told, and its hooks.
    fn config(&self) -> BTreeMap<String, String> {
        let hooks = self.hooks.iter().zip(1..);
        let hooks = hooks.map(|(hook, n): (_, usize)| (format!("hook {n}"), hook.describe()));
        self.settings.config.clone().into_iter().chain(hooks).collect()
    }

    /// Refuses to let a checkpoint of numbers be replaced by one of NaN.
    fn check_params(&self) -> Result<()> {
        match self.network.first_not_finite()? {
            Some((name, value)) => finite(&format!("parameter `{name}`"), f64::from(value)),
            None => Ok(()),
        }
    }

    fn restore(&mut self) -> Result<Progress> {
        let path = self.settings.out.checkpoint();
        let checkpoint = Checkpoint::load(&path, &self.config())?;
        self.network.load(&checkpoint.params)?;
        self.optimizer.load_state(&checkpoint.optimizer)?;
        let mut states = checkpoint.hooks.into_iter();
        for hook in &mut self.hooks {
            hook.load_state(self.network, states.next().unwrap_or_default())?;
        }
        self.check_metric(&path, &checkpoint.progress)?;
        Ok(checkpoint.progress)
    }

    /// Refuses to go on with another metric than the run began with: the best model so far is that of the other one.
    fn check_metric(&self, path: &Path, progress: &Progress) -> Result<()> {
        let current = self.main_metric().map_or_else(|| LOSS.to_owned(), Metric::name);
        let of_best = progress.best.as_ref().map(|best| &best.scores.values);
        let followed = progress.running.metric.iter().map(|(name, _)| name);
        let known: Vec<&String> =
            of_best.into_iter().flatten().map(|(name, _)| name).chain(followed).collect();
        if known.is_empty() || known.contains(&&current) {
            return Ok(());
        }
        let saved = known.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        Err(Error::OtherRun { path: path.to_owned(), key: "metric".to_owned(), saved, current })
    }

    fn locate(&self, progress: &Progress, source: Error) -> Error {
        let checkpoint = self.settings.out.checkpoint();
        let Progress { step, epoch, .. } = *progress;
        Error::At { step, epoch, checkpoint, source: Box::new(source) }
    }
}

/// How many images of the last size asked for a step needs.
struct LeastBatch {
    size: Option<[usize; 2]>,
    needed: usize,
}

impl Default for LeastBatch {
    fn default() -> Self {
        Self { size: None, needed: 1 }
    }
}

impl LeastBatch {
    fn of(&mut self, network: &Network, [_, h, w]: [usize; 3]) -> Result<usize> {
        if self.size != Some([h, w]) {
            self.needed = network.min_batch([h, w])?;
            self.size = Some([h, w]);
        }
        Ok(self.needed)
    }
}

fn tell_skipped(observer: &mut dyn Observer, epoch: usize, samples: &[Skipped]) {
    if !samples.is_empty() {
        observer.on_event(&Event::Skipped { epoch, samples });
    }
}

impl Running {
    #[expect(clippy::cast_precision_loss, reason = "batch sizes stay far below 2^53")]
    fn add(&mut self, loss: f64, samples: usize) {
        self.loss += loss * samples as f64;
        self.samples += samples;
    }

    fn state(&self) -> Option<Vec<f64>> {
        let (_, bits) = self.metric.as_ref()?;
        Some(bits.iter().copied().map(f64::from_bits).collect())
    }
}

#[cfg(test)]
mod tests;
