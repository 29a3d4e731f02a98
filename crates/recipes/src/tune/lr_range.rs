//! The range test of learning rates, with the network, the pictures and the rule of a run.
//!
//! Above: `find_lr`. Below: `tune`, `taper_train::LrRangeTest`. Not here: what is made of its curve (`find_lr`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use taper_layers::Network;
use taper_optim::Optimizer;
use taper_train::{Batches, LrRange, LrRangeTest};

use super::{Besides, Tune, new_network};
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::FineTuneOptions;
use crate::relay::Relay;
use crate::{groups, setup};

/// What the usual rate is multiplied by for the first rate and for the last: with the steps, 17 for each power of ten, where fastai has 12.
const RATES: [f64; 2] = [1e-2, 1e4];

/// Steps of a test.
const STEPS: usize = 100;

impl Tune<'_> {
    /// Tries rates where training would begin; nothing if stopped. What it trains is thrown away.
    pub(crate) fn lr_range(
        mut self,
        stop: &AtomicBool,
        observer: &mut dyn Observer,
    ) -> Result<Option<LrRange>> {
        let plan = self.plan(Path::new(""));
        let besides = self.take_besides();
        let mut relay = Relay::new(observer, &plan, self.prepared.skipped.take());
        if self.sees_features(&besides) {
            let Some(train) = self.train_features(stop, &mut relay)? else { return Ok(None) };
            let head = new_network(&self.head(&train)?, self.options)?;
            let train = train.shuffled(self.options.seed);
            return self.lr_range_on(&head, &train, besides, stop, &mut relay);
        }
        if !self.warm_head(stop, &mut relay)? {
            return Ok(None);
        }
        let train = self.growing(besides.teacher.is_some())?;
        self.lr_range_on(&self.network, &train, besides, stop, &mut relay)
    }

    fn lr_range_on(
        &self,
        network: &Network,
        train: &dyn Batches,
        Besides { teacher, hooks }: Besides<'_>,
        stop: &AtomicBool,
        relay: &mut Relay<'_>,
    ) -> Result<Option<LrRange>> {
        let failed = |source| Error::Train { source };
        let groups = groups::groups(network, self.options);
        let optimizer = Optimizer::from_groups(groups, setup::rule(self.options))
            .map_err(|source| failed(source.into()))?
            .with_threads(self.options.threads);
        let usual = FineTuneOptions::default_lr(self.options.optimizer, &self.options.freeze);
        let test = LrRangeTest {
            network,
            optimizer,
            loss: self.objective.loss(),
            teacher,
            hooks,
            train,
            clip: setup::clip(self.options),
            seed: self.options.seed,
            rates: RATES.map(|factor| factor * usual),
            steps: STEPS,
        };
        let mut step = 0;
        let told = &mut |point: &taper_train::LrPoint| {
            step += 1;
            let (lr, loss) = (point.lr, point.loss);
            relay.tell(&Event::TriedLr { step, steps: STEPS, lr, loss });
        };
        test.run(stop, told).map_err(failed)
    }
}
