//! The run: epochs of steps, an evaluation after each, checkpoints, and stopping at any step.
//!
//! Above: `recipes`. Below: `step`, `evaluate`, `checkpoint`, `log`. Not here: how settings are chosen (`recipes`).
//! In the run folder: `model.safetensors` (best), `checkpoint/state.safetensors` (last), `metrics.jsonl`.
//! Before a checkpoint takes its place, the log it remembers and the best model it knows of are on the disk.

mod settings;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::Network;
use taper_optim::{Optimizer, Rule};

use crate::error::{Error, Result};
use crate::log::{Line, Log};
use crate::metrics::scores;
use crate::step::{StepSettings, finite, step};
use crate::{Batches, Best, Checkpoint, Evaluation, Event, Observer, Progress, Running, evaluate};

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
    /// [`Error::NotFinite`] if it diverged: the last good checkpoint is still there.
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
                    best: progress.best,
                    steps: progress.step,
                    stopped: true,
                });
            }
            let evaluated = self.end_epoch(&mut progress, &mut log, observer);
            last = Some(evaluated.map_err(|source| self.locate(&progress, source))?);
        }
        let last = match last {
            Some(last) => last,
            None => self.evaluate()?,
        };
        Ok(Outcome { last: Some(last), best: progress.best, steps: progress.step, stopped: false })
    }

    /// Reads where the run is, or makes its first checkpoint, so that it can be resumed whenever it ends.
    fn start(&mut self, start: Start, observer: &mut dyn Observer) -> Result<(Progress, Log)> {
        let mut progress = match start {
            Start::Fresh => Progress::default(),
            Start::Resume => self.restore()?,
        };
        let mut log = Log::open(&self.settings.log_path(), progress.log_bytes)?;
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
        for batch in train.epoch(progress.epoch, progress.batch) {
            if stop.load(Ordering::Relaxed) {
                return Ok(Trained::Stopped);
            }
            let batch = batch?;
            let (position, samples) = (batch.position, batch.targets.len());
            if !batch.skipped.is_empty() {
                observer.on_event(&Event::Skipped { samples: &batch.skipped });
            }
            let settings = self.settings.step(progress.step);
            let report = step(self.network, &mut self.optimizer, batch, settings)?;
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
            progress.running.add(loss, report.hits, samples);
            progress.batch = position + 1;
            progress.step += 1;
            if self.settings.saves_after(progress.step) {
                self.save(progress, log, observer)?;
            }
        }
        Ok(if stop.load(Ordering::Relaxed) { Trained::Stopped } else { Trained::Epoch })
    }

    /// Evaluates, keeps the model if it is the best, and saves the checkpoint at the beginning of the next epoch.
    fn end_epoch(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation> {
        let val = self.evaluate()?;
        finite("the validation loss", val.scores.loss)?;
        let Progress { epoch, step, running, best, .. } = *progress;
        let is_best = best.is_none_or(|best| best.is_beaten_by(&val.scores));
        let train = scores(running.loss, [running.hits, 0], running.samples);
        let (train_loss, train_top1) = (train.loss, train.top1);
        log.write(&Line::Epoch { epoch, step, train_loss, train_top1, val: val.scores, is_best })?;
        if is_best {
            self.check_params()?;
            self.save_best(observer)?;
        }
        let best = if is_best { Some(Best { epoch, scores: val.scores }) } else { best };
        let mut next = Progress { epoch: epoch + 1, step, best, ..Progress::default() };
        self.save(&mut next, log, observer)?;
        *progress = next;
        observer.on_event(&Event::EpochEnd { epoch, train, val: &val, is_best });
        Ok(val)
    }

    fn evaluate(&self) -> Result<Evaluation> {
        evaluate(&mut self.network.session()?, self.val)
    }

    fn save_best(&self, observer: &mut dyn Observer) -> Result<()> {
        let path = self.settings.model_path();
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
            config: self.settings.config.clone(),
            params: params.map(|p| (p.name.clone(), p.var.as_detached_tensor())).collect(),
            optimizer: self.optimizer.state()?,
        };
        let path = self.settings.checkpoint_path();
        checkpoint.save(&path)?;
        observer.on_event(&Event::Saved { path: &path });
        Ok(())
    }

    /// Refuses to let a checkpoint of numbers be replaced by one of NaN.
    fn check_params(&self) -> Result<()> {
        match self.network.first_not_finite()? {
            Some((name, value)) => finite(&format!("parameter `{name}`"), f64::from(value)),
            None => Ok(()),
        }
    }

    fn restore(&mut self) -> Result<Progress> {
        let path = self.settings.checkpoint_path();
        let checkpoint = Checkpoint::load(&path, &self.settings.config)?;
        self.network.load(&checkpoint.params)?;
        self.optimizer.load_state(&checkpoint.optimizer)?;
        Ok(checkpoint.progress)
    }

    fn locate(&self, progress: &Progress, source: Error) -> Error {
        let checkpoint = self.settings.checkpoint_path();
        let Progress { step, epoch, .. } = *progress;
        Error::At { step, epoch, checkpoint, source: Box::new(source) }
    }
}

impl Running {
    #[expect(clippy::cast_precision_loss, reason = "batch sizes stay far below 2^53")]
    fn add(&mut self, loss: f64, hits: u64, samples: usize) {
        self.loss += loss * samples as f64;
        self.hits += hits;
        self.samples += samples;
    }
}

impl Best {
    /// By top-1; of equal ones, the lower loss is better, and then the earlier epoch.
    fn is_beaten_by(&self, other: &crate::Scores) -> bool {
        let best = &self.scores;
        other.top1 > best.top1 || (other.top1 >= best.top1 && other.loss < best.loss)
    }
}

#[cfg(test)]
mod tests;
