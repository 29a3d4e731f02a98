//! The run: epochs of steps, an evaluation after each, checkpoints, and stopping at any step.
//!
//! Above: `recipes`. Below: `fit::{average, epoch, keeping, recovery, settings, state}`, `parallel`, `log`. Not here: how settings are chosen (`recipes`), where
//! the run's files lie (`run_folder`).

mod average;
mod epoch;
mod keeping;
mod recovery;
mod settings;
mod state;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::{Network, loss::Loss};
use taper_optim::{Optimizer, Rule};

use crate::error::{Error, Result};
use crate::log::{Line, Log, Train};
use crate::metrics::{LOSS, MeanLoss, Metric, Scores};
use crate::parallel::{evaluate_shared, is_first};
use crate::step::finite;
use crate::{
    Batches, Best, DataParallel, Evaluation, Event, Goal, Observer, Progress, Running, Skipped,
    StepHook, Teacher, WeightAverage,
};
use epoch::Trained;

pub use settings::{Limits, Outcome, Settings, Start};

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
    /// What is evaluated and saved in the place of the weights that are trained; none: those weights.
    pub average: Option<WeightAverage<'a>>,
    /// What is looked at when evaluating. The first that is not called `loss` is followed while training, too, and picks the best model
    /// unless the [settings](Settings::best_by) name another; without one, the loss picks it. The mean of the loss function is added, unless one is called `loss`.
    pub metrics: Vec<Box<dyn Metric + 'a>>,
    /// What it is trained on.
    pub train: &'a dyn Batches,
    /// What it is evaluated on after each epoch.
    pub val: &'a dyn Batches,
    /// How it is trained.
    pub settings: &'a Settings,
    /// Writes the best model; called with the network and the path, on the first rank alone.
    pub save_model: &'a SaveModel<'a>,
    /// Set by whoever has a clock when there is no time left: then the step at hand is finished, and the run ends with the best model so far, or
    /// before the end of its first epoch with one of the weights as they are, and can be resumed. A call takes a step in any case. None: there is
    /// time.
    pub time_up: Option<&'a AtomicBool>,
    /// How it is shared out over ranks and shards; none: one process takes every batch as a whole.
    pub parallel: Option<&'a DataParallel>,
}

impl<R: std::fmt::Debug> std::fmt::Debug for Fit<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit").field("settings", self.settings).finish_non_exhaustive()
    }
}

impl<'a, R: Rule> Fit<'a, R> {
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
        let parallel = self.shared();
        let mut silent = |_: &Event<'_>| ();
        let observer = if is_first(parallel) { observer } else { &mut silent };
        ending_all(parallel, self.run_to_end(start, stop, observer))
    }

    fn run_to_end(
        &mut self,
        start: Start,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Outcome> {
        self.settings.check()?;
        self.check_best_by()?;
        self.check_hooks()?;
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
        let (mut last, mut late, mut provisional) = (None, false, None);
        while !self.is_over(&progress) {
            let trained = match self.train_epoch(&mut progress, &mut log, stop, observer) {
                Ok(Trained::Epoch) => {
                    let evaluated = self.end_epoch(&mut progress, &mut log, observer);
                    evaluated.map(|evaluated| last = Some(evaluated)).map(|()| Trained::Epoch)
                }
                Ok(unfinished) => self.save(&mut progress, &mut log, observer).map(|()| unfinished),
                Err(error) => Err(error),
            };
            match trained {
                Ok(Trained::Epoch) => {
                    late = !self.is_over(&progress) && self.is_late()?;
                    if late {
                        break;
                    }
                }
                Ok(Trained::TimeUp) => {
                    late = true;
                    if progress.best.is_none() {
                        let judged = self.judge_as_it_is(&progress, observer);
                        let (val, best) =
                            judged.map_err(|source| self.locate(&progress, source))?;
                        (last, provisional) = (Some(val), best);
                    }
                    break;
                }
                Ok(Trained::Stopped) => {
                    observer.on_event(&Event::Stopped { step: progress.step });
                    let Progress { step: steps, best, .. } = progress;
                    return Ok(Outcome { last, best, steps, stopped: true, time_up: false });
                }
                Err(error) if self.can_recover(&error, &progress) => {
                    // What is buffered belongs before the place that the log is cut at.
                    log.sync()?;
                    (progress, log) = self.recover(progress.recoveries, &error, observer)?;
                }
                Err(error) => return Err(self.locate(&progress, error)),
            }
        }
        let last = match last {
            Some(last) => last,
            None => self.averaged(|fit| fit.evaluate(progress.epoch, observer))?,
        };
        let Progress { step: steps, best, .. } = progress;
        let (last, best) = (Some(last), best.or(provisional));
        Ok(Outcome { last, best, steps, stopped: false, time_up: late })
    }

    /// Whether hooks and averages take the weights for what they are to become.
    fn is_settled(&self, step: u64) -> bool {
        self.hooks.iter().all(|hook| hook.is_settled(step))
            && self.average.as_ref().is_none_or(WeightAverage::has_begun)
    }

    /// Whether the last epoch is done, or so many were no better that there is no hope.
    fn is_over(&self, progress: &Progress) -> bool {
        let Progress { epoch, best, .. } = progress;
        let since_best = best.as_ref().map(|best| epoch.saturating_sub(best.epoch + 1));
        let patience = self.settings.limits.patience.zip(since_best);
        *epoch >= self.settings.epochs || patience.is_some_and(|(most, since)| since >= most)
    }

    /// Whether there is no time for another epoch, on any rank.
    fn is_late(&self) -> Result<bool> {
        match self.time_up {
            Some(flag) => self.any_rank(flag.load(Ordering::Relaxed)),
            None => Ok(false),
        }
    }

    /// Checks everything and makes the first checkpoint, so that [`Start::Resume`] finds one from now on.
    ///
    /// # Errors
    /// As [`Fit::run`] with [`Start::Fresh`], before the first step.
    pub fn begin(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let parallel = self.shared();
        let mut silent = |_: &Event<'_>| ();
        let observer = if is_first(parallel) { observer } else { &mut silent };
        let checked = self
            .settings
            .check()
            .and_then(|()| self.check_best_by())
            .and_then(|()| self.check_hooks())
            .and_then(|()| self.check_sets());
        let begun = checked.and_then(|()| self.start(Start::Fresh, observer).map(drop));
        ending_all(parallel, begun)
    }

    /// The shards and ranks, if there are several.
    fn shared(&self) -> Option<&'a DataParallel> {
        self.parallel.filter(|parallel| parallel.shards() > 1 || parallel.local().is_some())
    }

    /// Refuses hooks that one network has to itself where every shard has one.
    fn check_hooks(&self) -> Result<()> {
        let hook = self.hooks.iter().find(|hook| hook.follows_weights());
        match hook.filter(|_| self.shared().is_some_and(|parallel| parallel.local().is_some())) {
            None => Ok(()),
            Some(hook) => Err(Error::Setting {
                name: "hooks",
                got: hook.describe(),
                expected: "none that follows the weights of one network where shards train alone",
            }),
        }
    }

    fn check_sets(&self) -> Result<()> {
        for (set, batches) in [("training", self.train), ("validation", self.val)] {
            if batches.n_batches() == 0 {
                return Err(Error::Empty { set });
            }
        }
        Ok(())
    }

    /// Evaluates, keeps the model if it is the best of those that hooks take for settled, and saves the checkpoint at the beginning of the next epoch.
    fn end_epoch(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation> {
        if let Some(average) = &mut self.average {
            average.after_epoch(progress.epoch, self.network)?;
        }
        let (train, val, is_best) = self.judge(progress, log, observer)?;
        let Progress { epoch, step, recoveries, .. } = *progress;
        let mut next = Progress {
            epoch: epoch + 1,
            step,
            best: progress.best.take(),
            scores: std::mem::take(&mut progress.scores),
            kept: std::mem::take(&mut progress.kept),
            recoveries,
            ..Progress::default()
        };
        if self.is_settled(step) {
            self.keep(&next)?;
        }
        self.cook(&mut next, log, observer)?;
        self.save(&mut next, log, observer)?;
        *progress = next;
        observer.on_event(&Event::EpochEnd { epoch, train, val: &val, is_best });
        Ok(val)
    }

    /// Evaluates a run that has no model yet and is out of time in the middle of its first epoch, and makes a model of it. The checkpoint,
    /// which is behind it, does not know of that: a run that goes on is one that was never stopped. Shards that train alone meet for it.
    fn judge_as_it_is(
        &mut self,
        progress: &Progress,
        observer: &mut dyn Observer,
    ) -> Result<(Evaluation, Option<Best>)> {
        let Progress { epoch, step, ref running, .. } = *progress;
        self.meet(step)?;
        let train = self.running_scores(running);
        self.check_params()?;
        let is_best = self.is_settled(step);
        let val = self.averaged(|fit| {
            let val = fit.evaluate(epoch, observer)?;
            finite("the validation loss", val.scores.get(LOSS).unwrap_or(0.0))?;
            if is_best {
                fit.save_best(observer)?;
            }
            Ok(val)
        })?;
        let best = is_best.then(|| Best { epoch, scores: val.scores.clone() });
        observer.on_event(&Event::EpochEnd { epoch, train, val: &val, is_best });
        Ok((val, best))
    }

    /// Evaluates, and keeps the model if it is the best, or one of the best, of those that hooks take for settled. The average of weights stands in
    /// their place once for all of it: its norms' statistics may take many batches.
    fn judge(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<(Scores, Evaluation, bool)> {
        self.compare_ranks()?;
        self.check_params()?;
        let train = self.running_scores(&progress.running);
        let (val, is_best) = self.averaged(|fit| {
            let val = fit.evaluate(progress.epoch, observer)?;
            log.skipped(progress, &val.skipped)?;
            finite("the validation loss", val.scores.get(LOSS).unwrap_or(0.0))?;
            let Progress { epoch, step, .. } = *progress;
            let is_settled = fit.is_settled(step);
            let best = progress.best.as_ref();
            let is_best =
                is_settled && best.is_none_or(|best| fit.beats(&val.scores, &best.scores));
            log.write(&Line::Epoch {
                epoch,
                step,
                train: Train(&train),
                val: &val.scores,
                is_best,
            })?;
            progress.scores.push(val.scores.get(&fit.picking().0).filter(|it| it.is_finite()));
            if is_best {
                fit.save_best(observer)?;
                progress.best = Some(Best { epoch, scores: val.scores.clone() });
            }
            if is_settled {
                fit.keep_best(progress, observer)?;
            }
            Ok((val, is_best))
        })?;
        Ok((train, val, is_best))
    }

    fn evaluate(&mut self, epoch: usize, observer: &mut dyn Observer) -> Result<Evaluation> {
        let mut all: Vec<Box<dyn Metric + '_>> = Vec::new();
        if self.metrics.iter().all(|metric| metric.name() != LOSS) {
            all.push(Box::new(MeanLoss::new(self.loss)));
        }
        for metric in &mut self.metrics {
            all.push(Box::new(metric.as_mut()));
        }
        let mut session = self.network.session()?;
        let evaluated = evaluate_shared(&mut session, self.val, &mut all, self.parallel);
        let skipped = evaluated.as_ref().map_or_else(Error::skipped, |val| &val.skipped);
        tell_skipped(observer, epoch, skipped);
        evaluated
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

    fn beats(&self, scores: &Scores, best: &Scores) -> bool {
        let (name, goal) = self.picking();
        scores.beats(best, &name, goal)
    }

    /// The metric that picks the best model: its name, and which way is better.
    fn picking(&self) -> (String, Goal) {
        let picks = |name: String| match &self.settings.best_by {
            Some(best_by) => name == *best_by,
            None => name != LOSS,
        };
        match self.metrics.iter().find(|metric| picks(metric.name())) {
            Some(metric) => (metric.name(), metric.goal()),
            None => (LOSS.to_owned(), Goal::Minimize),
        }
    }

    /// A metric that picks the best model must be there, and be a number.
    fn check_best_by(&self) -> Result<()> {
        let Some(name) = &self.settings.best_by else { return Ok(()) };
        if name == LOSS || self.metrics.iter().any(|metric| metric.name() == *name) {
            return Ok(());
        }
        let expected = "the name of a metric of the run";
        Err(Error::Setting { name: "best_by", got: name.clone(), expected })
    }

    fn locate(&self, progress: &Progress, source: Error) -> Error {
        let checkpoint = self.settings.out.checkpoint();
        let Progress { step, epoch, .. } = *progress;
        Error::At { step, epoch, checkpoint, source: Box::new(source) }
    }
}

/// An error on one rank ends the others, which would wait for it.
fn ending_all<T>(parallel: Option<&DataParallel>, result: Result<T>) -> Result<T> {
    if let (Some(parallel), Err(error)) = (parallel, &result)
        && !error.ranks().is_some_and(taper_distributed::Error::is_common)
    {
        parallel.group().abort(&error.chain());
    }
    result
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
