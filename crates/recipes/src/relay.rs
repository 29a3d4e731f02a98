//! Passes the events of training on as the recipe's own, with the speed.
//!
//! Above: `tune`. Below: `taper_train::Event`. Not here: what is shown (`cli`).

use std::time::{Duration, Instant};

use crate::classification::ClassificationScores;
use crate::observer::{Epoch, Event, Observer, Plan, Step};

/// Listens to `taper_train` and tells a recipe's observer.
pub(crate) struct Relay<'a> {
    observer: &'a mut dyn Observer,
    plan: &'a Plan,
    /// Since when the next step has been under way.
    since: Instant,
    training: Duration,
    images: usize,
    epochs_done: usize,
}

impl<'a> Relay<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, plan: &'a Plan) -> Self {
        Relay {
            observer,
            plan,
            since: Instant::now(),
            training: Duration::ZERO,
            images: 0,
            epochs_done: 0,
        }
    }

    /// The frozen backbone has seen `done` of `total` pictures.
    pub(crate) fn cached(&mut self, done: usize, total: usize) {
        self.observer.event(&Event::Caching { done, total });
    }

    /// Epochs that are done, those of earlier calls included.
    pub(crate) fn epochs_done(&self) -> usize {
        self.epochs_done
    }

    /// Training pictures a second of this call; evaluating and saving between epochs is left out.
    pub(crate) fn images_per_second(&self) -> f64 {
        let seconds = self.training.as_secs_f64();
        if seconds > 0.0 { self.images as f64 / seconds } else { 0.0 }
    }
}

impl taper_train::Observer for Relay<'_> {
    fn on_event(&mut self, event: &taper_train::Event<'_>) {
        let epochs = self.plan.options.epochs;
        match *event {
            taper_train::Event::Started { batches_per_epoch, step, .. } => {
                let (step, steps) =
                    (usize::try_from(step).unwrap_or(usize::MAX), batches_per_epoch.max(1));
                self.epochs_done = step / steps;
                if step > 0 {
                    self.observer
                        .event(&Event::Resumed { epoch: step / steps, step: step % steps });
                }
                self.since = Instant::now();
            }
            taper_train::Event::Step { epoch, batch, samples, loss, lr, .. } => {
                self.training += self.since.elapsed();
                self.since = Instant::now();
                self.images += samples;
                let images_per_second = self.images_per_second();
                self.observer.event(&Event::Step(Step {
                    epoch: epoch + 1,
                    epochs,
                    step: batch + 1,
                    steps: self.plan.steps_per_epoch,
                    loss,
                    lr,
                    images: samples,
                    images_per_second,
                }));
            }
            taper_train::Event::EpochEnd { epoch, ref train, val, is_best } => {
                self.epochs_done = epoch + 1;
                let val = ClassificationScores::from(&val.scores);
                self.observer.event(&Event::Epoch(Epoch {
                    epoch: epoch + 1,
                    epochs,
                    train_loss: ClassificationScores::from(train).loss,
                    val_loss: val.loss,
                    val_top1: val.top1,
                    val_top5: val.top5,
                    is_best,
                }));
                self.since = Instant::now();
            }
            _ => {}
        }
    }
}
