//! Passes the events of training on as the recipe's own, with the speed and with what could not be read.
//!
//! Above: `tune`. Below: `taper_train::Event`. Not here: what is shown (`cli`).

use std::time::{Duration, Instant};

use crate::data::SkippedFiles;
use crate::observer::{Epoch, Event, Observer, RunPlan, Step};
use crate::report::Skipped;
use crate::task::{ClassificationScores, NamedScore, named};

/// Listens to `taper_train` and tells a recipe's observer.
pub(crate) struct Relay<'a> {
    observer: &'a mut dyn Observer,
    plan: &'a RunPlan,
    skipped: SkippedFiles<'a>,
    /// Since when the next step has been under way.
    since: Instant,
    training: Duration,
    images: usize,
    epochs_done: usize,
}

impl<'a> Relay<'a> {
    /// `skipped` are the files that were told already.
    pub(crate) fn new(
        observer: &'a mut dyn Observer,
        plan: &'a RunPlan,
        skipped: SkippedFiles<'a>,
    ) -> Self {
        Relay {
            observer,
            plan,
            skipped,
            since: Instant::now(),
            training: Duration::ZERO,
            images: 0,
            epochs_done: 0,
        }
    }

    /// The frozen backbone has seen `done` of `total` pictures.
    pub(crate) fn cached(&mut self, done: usize, total: usize) {
        self.observer.on_event(&Event::Caching { done, total });
    }

    /// Pictures could not be read any more.
    pub(crate) fn skip(&mut self, samples: &[taper_data::Skipped]) {
        self.skipped.tell(samples, self.observer);
    }

    /// Passes an event of the recipe's own on.
    pub(crate) fn tell(&mut self, event: &Event<'_>) {
        self.observer.on_event(event);
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

    /// Every file that was skipped, once.
    pub(crate) fn into_skipped(self) -> Vec<Skipped> {
        self.skipped.into_files()
    }

    /// The score that picks the best epoch: the one that was named, or the first.
    fn score(&self, loss: f64, scores: &[NamedScore]) -> NamedScore {
        let named = self.plan.options.best_by.as_ref();
        let found = match named {
            Some(name) => scores.iter().find(|score| score.name == *name),
            None => scores.first(),
        };
        found.cloned().unwrap_or_else(|| NamedScore { name: "loss".to_owned(), value: loss })
    }

    fn step(&mut self, epoch: usize, batch: usize, images: usize, [loss, lr]: [f64; 2]) {
        self.training += self.since.elapsed();
        self.since = Instant::now();
        self.images += images;
        let images_per_second = self.images_per_second();
        self.observer.on_event(&Event::Step(Step {
            epoch: epoch + 1,
            epochs: self.plan.options.epochs,
            step: batch + 1,
            steps: self.plan.steps_per_epoch,
            loss,
            lr,
            images,
            images_per_second,
        }));
    }
}

impl taper_train::Observer for Relay<'_> {
    fn on_event(&mut self, event: &taper_train::Event<'_>) {
        match *event {
            taper_train::Event::Started { epoch, batch, .. } => {
                self.epochs_done = epoch;
                if (epoch, batch) != (0, 0) {
                    self.observer.on_event(&Event::Resumed { epoch, step: batch });
                }
                self.since = Instant::now();
            }
            taper_train::Event::Step { epoch, batch, samples, loss, lr, .. } => {
                self.step(epoch, batch, samples, [loss, lr]);
            }
            taper_train::Event::Skipped { samples, .. } => self.skip(samples),
            taper_train::Event::TooFew { epoch, batch, samples, needed } => {
                let (epoch, step, images) = (epoch + 1, batch + 1, samples);
                self.observer.on_event(&Event::TooFew { epoch, step, images, needed });
            }
            taper_train::Event::Recovered { epoch, scale, reason, .. } => {
                self.observer.on_event(&Event::Recovered { epoch: epoch + 1, scale, reason });
            }
            taper_train::Event::Soup { epochs, of, scores } => {
                let epochs: Vec<usize> = epochs.iter().map(|epoch| epoch + 1).collect();
                let score = self.score(scores.get("loss").unwrap_or(f64::NAN), &named(scores));
                self.observer.on_event(&Event::Soup { epochs: &epochs, of, score });
            }
            taper_train::Event::EpochEnd { epoch, ref train, val, is_best } => {
                self.epochs_done = epoch + 1;
                let scores = ClassificationScores::from(&val.scores);
                let val_scores = named(&val.scores);
                self.observer.on_event(&Event::Epoch(Epoch {
                    epoch: epoch + 1,
                    epochs: self.plan.options.epochs,
                    train_loss: ClassificationScores::from(train).loss,
                    val_loss: scores.loss,
                    score: self.score(scores.loss, &val_scores),
                    val_images: val.scores.samples,
                    train_images: train.samples,
                    val_scores,
                    is_best,
                }));
                self.since = Instant::now();
            }
            _ => {}
        }
    }
}
