//! A run's average of weights: when it takes weights, and when it stands in their place.
//!
//! Above: `fit`. Below: `average`. Not here: the averages (`average`).

use taper_optim::{Better, Rule, Scores};

use super::Fit;
use crate::error::Result;
use crate::log::Log;
use crate::{Best, Evaluation, Event, Goal, Observer, Progress};

impl Progress {
    /// The scores of all epochs so far; NaN where there was none.
    pub(super) fn main_scores(&self) -> Vec<f64> {
        self.scores.iter().map(|score| score.unwrap_or(f64::NAN)).collect()
    }
}

impl<R: Rule> Fit<'_, R> {
    /// Does something with the average of weights in the place of those that are trained, if there is one.
    pub(super) fn averaged<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let entered =
            self.average.as_ref().map(|average| average.enter(self.network)).transpose()?;
        let Some(trained) = entered.flatten() else { return work(self) };
        let done = self.fitted().and_then(|()| work(self));
        trained.put_back(self.network)?;
        done
    }

    /// Makes averaged weights what hooks want of them, and norms what those need.
    fn fitted(&self) -> Result<()> {
        self.hooks.iter().try_for_each(|hook| hook.constrain(self.network))?;
        self.average.as_ref().map_or(Ok(()), |average| average.recalibrate(self.network))
    }

    /// Which of two scores of the metric that picks the best model is better.
    pub(super) fn better(&self) -> Better {
        match self.picking().1 {
            Goal::Minimize => Better::Lower,
            Goal::Maximize => Better::Higher,
        }
    }

    /// Keeps the weights of the epoch that is over for a soup, if there is one and they are among the best.
    pub(super) fn keep(&mut self, next: &Progress) -> Result<()> {
        let (values, better) = (next.main_scores(), self.better());
        let scores = Scores { values: &values, better };
        match &mut self.average {
            Some(average) => average.keep(next.epoch.saturating_sub(1), scores, self.network),
            None => Ok(()),
        }
    }

    /// Makes the soup, if one is asked for and the run is at its end: the mean of the best epochs that is no worse with each of them.
    pub(super) fn cook(
        &mut self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let values = progress.main_scores();
        let scores = Scores { values: &values, better: self.better() };
        let order = self.average.as_ref().map_or_else(Vec::new, |it| it.ingredients(scores));
        let (Some(&first), Some(best)) = (order.first(), progress.best.clone()) else {
            return Ok(());
        };
        if !self.is_over(progress) || order.len() < 2 {
            return Ok(());
        }
        let trained = crate::average::Weights::of(self.network)?;
        let done = self.ladle((first, &order), best, (log, progress), observer);
        trained.put_back(self.network)?;
        progress.best = Some(done?);
        Ok(())
    }

    /// What the best is after all ingredients were tried.
    fn ladle(
        &mut self,
        (first, order): (usize, &[usize]),
        mut best: Best,
        (log, progress): (&mut Log, &Progress),
        observer: &mut dyn Observer,
    ) -> Result<Best> {
        let mut soup = vec![first];
        let epoch = progress.epoch.saturating_sub(1);
        for &next in &order[1..] {
            let with_next = [&soup[..], &[next]].concat();
            let val = self.taste(&with_next, epoch, observer)?;
            log.skipped(progress, &val.skipped)?;
            if !self.beats(&best.scores, &val.scores) {
                // A run that has ended for want of a better epoch has still ended.
                (soup, best) = (with_next, Best { epoch: best.epoch, scores: val.scores });
            }
        }
        if soup.len() > 1 {
            self.serve(&soup)?;
            self.save_best(observer)?;
        }
        observer.on_event(&Event::Soup { epochs: &soup, of: order.len(), scores: &best.scores });
        Ok(best)
    }

    fn taste(
        &mut self,
        epochs: &[usize],
        epoch: usize,
        observer: &mut dyn Observer,
    ) -> Result<Evaluation> {
        self.serve(epochs)?;
        self.evaluate(epoch, observer)
    }

    fn serve(&self, epochs: &[usize]) -> Result<()> {
        if let Some(average) = &self.average {
            average.pour(epochs, self.network)?;
        }
        self.fitted()
    }
}
