//! The steps of an epoch, from wherever it was left.
//!
//! Above: `fit`. Below: `step`, `parallel`, `log`. Not here: what comes behind an epoch (`fit`), checkpoints (`fit::state`).

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::{Network, loss::Loss};
use taper_optim::{Optimizer, Rule, Scores};

use super::{Fit, tell_skipped};
use crate::error::{Error, Result};
use crate::log::{Line, Log};
use crate::metrics::{LOSS, Metric};
use crate::parallel::{Lesson, Turn, Turns, local_step, sharded_step};
use crate::step::{Participants, StepReport, StepSettings, step};
use crate::{DataParallel, Event, Observer, Progress, Running};

/// Whether an epoch's training came to its end.
pub(super) enum Trained {
    Epoch,
    Stopped,
    /// There is no time left.
    TimeUp,
}

impl<R: Rule> Fit<'_, R> {
    /// Steps through the rest of the epoch.
    pub(super) fn train_epoch(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Trained> {
        for hook in &mut self.hooks {
            hook.before_epoch(progress.epoch, self.network)?;
        }
        let (mut skipped, mut least) = (Vec::new(), LeastBatch::default());
        let place = (progress.epoch, progress.batch);
        let time_up = self.time_up;
        // A call takes a step of an epoch that it begins, or calls that are too short would never come to an end.
        let is_first = Cell::new(true);
        let is_stopped = || {
            let late = time_up.is_some_and(|flag| flag.load(Ordering::Relaxed));
            let is_first = is_first.replace(false);
            stop.load(Ordering::Relaxed) || (late && !is_first)
        };
        for turn in Turns::new(self.train, place, self.shared(), &is_stopped) {
            let turn = turn?;
            if turn.is_stopped {
                return self.who_stopped(stop);
            }
            log.skipped(progress, &turn.skipped)?;
            tell_skipped(observer, progress.epoch, &turn.skipped);
            skipped.extend_from_slice(&turn.skipped);
            let position = turn.position;
            let samples =
                self.shared().map_or(turn.samples(), |parallel| parallel.seen_by_norms(&turn));
            let needed = least.of(self.network, turn.size)?;
            if samples >= needed {
                self.take_step(turn, progress, log, observer)?;
                if self.shared().is_some_and(DataParallel::is_due) {
                    self.meet(progress.step)?;
                }
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
        if self.any_rank(stop.load(Ordering::Relaxed))? {
            return Ok(Trained::Stopped);
        }
        self.meet(progress.step)?;
        match progress.running.samples {
            0 if least.needed > 1 && skipped.len() < self.train.n_samples() => {
                Err(Error::TooFew { needed: least.needed })
            }
            0 => Err(Error::nothing_left("training", skipped)),
            _ => Ok(Trained::Epoch),
        }
    }

    /// Whether somebody asked for it, on any rank, or time is up.
    fn who_stopped(&self, stop: &AtomicBool) -> Result<Trained> {
        match self.any_rank(stop.load(Ordering::Relaxed))? {
            true => Ok(Trained::Stopped),
            false => Ok(Trained::TimeUp),
        }
    }

    pub(super) fn any_rank(&self, is_so: bool) -> Result<bool> {
        self.shared().map_or(Ok(is_so), |parallel| parallel.any(is_so))
    }

    /// Moves the parameters by one batch.
    fn take_step(
        &mut self,
        turn: Turn,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let (position, samples) = (turn.position, turn.samples());
        let values = progress.main_scores();
        let scores = Scores { values: &values, better: self.better() };
        let settings = self.settings.step(progress, scores);
        let report = self.step(turn, settings, &mut progress.running)?;
        if self.shared().is_none_or(|parallel| parallel.local().is_none())
            && let Some(average) = &mut self.average
        {
            average.after_step(progress.step, self.network)?;
        }
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

    /// Makes one network of shards that were alone until `step`, if they were.
    pub(super) fn meet(&mut self, step: u64) -> Result<()> {
        let Some(parallel) = self.shared() else { return Ok(()) };
        let alone = parallel.meet(self.network, &self.hooks)?;
        match &mut self.average {
            Some(average) if alone > 0 => average.after_steps(step - alone..step, self.network),
            _ => Ok(()),
        }
    }

    /// A step, shown to the metric that is followed while training.
    fn step(
        &mut self,
        turn: Turn,
        settings: StepSettings,
        running: &mut Running,
    ) -> Result<StepReport> {
        let shared = self.shared();
        let mut metric = self.metrics.iter_mut().find(|metric| metric.name() != LOSS);
        if let Some(metric) = &mut metric {
            metric.reset();
            if let Some(state) = running.state() {
                metric.load_state(&state);
            }
        }
        let watched = metric.as_mut().map(|metric| &mut ***metric as &mut dyn Metric);
        let participants = Participants { metric: watched, hooks: &mut self.hooks };
        let (network, optimizer) = (self.network, &mut self.optimizer);
        let lesson = Lesson { loss: self.loss, teacher: self.teacher.as_mut() };
        let report = match shared {
            Some(parallel) if parallel.local().is_some() => {
                local_step(parallel, turn, (network, optimizer), lesson, participants, settings)?
            }
            Some(parallel) => {
                sharded_step(parallel, turn, (network, optimizer), lesson, participants, settings)?
            }
            None => whole_step(turn, (network, optimizer), lesson, participants, settings)?,
        };
        running.metric = metric
            .map(|metric| (metric.name(), metric.state().into_iter().map(f64::to_bits).collect()));
        Ok(report)
    }
}

/// A step with the only part of a batch.
fn whole_step<R: Rule>(
    turn: Turn,
    (network, optimizer): (&Network, &mut Optimizer<R>),
    lesson: Lesson<'_>,
    participants: Participants<'_, '_>,
    settings: StepSettings,
) -> Result<StepReport> {
    let Some(batch) = turn.parts.into_iter().next() else {
        return Err(Error::TooFew { needed: 1 });
    };
    let Lesson { loss, mut teacher } = lesson;
    let taught = teacher.as_mut().map(|teacher| teacher.outputs(&batch)).transpose()?;
    let taught = teacher.as_deref().zip(taught);
    let taught = taught.map(|(teacher, outputs)| teacher.loss(loss, outputs));
    let loss = taught.as_ref().map_or(loss, |taught| taught as &dyn Loss);
    step(network, optimizer, batch, loss, participants, settings)
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
    fn of(&mut self, network: &Network, [h, w]: [usize; 2]) -> Result<usize> {
        if self.size != Some([h, w]) {
            self.needed = network.min_batch([h, w])?;
            self.size = Some([h, w]);
        }
        Ok(self.needed)
    }
}
