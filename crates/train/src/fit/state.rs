//! Where a run begins, and what it leaves on the disk: the log, checkpoints and the best model. With several ranks, of the first alone.
//!
//! Above: `fit`, `fit::epoch`. Below: `checkpoint`, `log`, `parallel`. Not here: what a checkpoint's file looks like (`checkpoint`).
//! Before a checkpoint takes its place, the log it remembers and the best model it knows of are on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use taper_optim::Rule;

use super::{Fit, Start};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::metrics::LOSS;
use crate::parallel::is_first;
use crate::step::finite;
use crate::{Checkpoint, DataParallel, Event, Observer, Progress};

impl<R: Rule> Fit<'_, R> {
    /// Reads where the run is, or makes its first checkpoint, so that it can be resumed whenever it ends.
    pub(super) fn start(
        &mut self,
        start: Start,
        observer: &mut dyn Observer,
    ) -> Result<(Progress, Log)> {
        let mut progress = match start {
            Start::Fresh => {
                if let Some(parallel) = self.shared() {
                    parallel.share_weights(self.network)?;
                }
                for hook in &mut self.hooks {
                    hook.begin(self.network)?;
                }
                if let Some(average) = &mut self.average {
                    average.begin(self.network)?;
                }
                if let Some(parallel) = self.shared() {
                    parallel.begin(self.network, &self.optimizer)?;
                }
                Progress::default()
            }
            Start::Resume => self.restore()?,
        };
        let mut log = match is_first(self.shared()) {
            true => Log::open(&self.settings.out.log(), progress.log_bytes)?,
            false => Log::elsewhere(),
        };
        if start == Start::Fresh {
            self.save(&mut progress, &mut log, observer)?;
        }
        Ok((progress, log))
    }

    pub(super) fn save_best(&self, observer: &mut dyn Observer) -> Result<()> {
        if !is_first(self.shared()) {
            return Ok(());
        }
        self.save_model(&self.settings.out.model(), observer)
    }

    /// Writes the network as it is.
    pub(super) fn save_model(&self, path: &Path, observer: &mut dyn Observer) -> Result<()> {
        let failed = |source| Error::Model { path: path.to_owned(), source };
        (self.save_model)(self.network, path).map_err(failed)?;
        observer.on_event(&Event::Saved { path });
        Ok(())
    }

    pub(super) fn save(
        &self,
        progress: &mut Progress,
        log: &mut Log,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.compare_ranks()?;
        let kept = |parallel: &DataParallel| parallel.state(self.network, &self.optimizer);
        let parallel = self.shared().map(kept).transpose()?.unwrap_or_default();
        if !is_first(self.shared()) {
            return Ok(());
        }
        self.check_params()?;
        progress.log_bytes = log.sync()?;
        let params = self.network.params().iter();
        let mut params: BTreeMap<String, Tensor> =
            params.map(|p| (p.name.clone(), p.var.as_detached_tensor())).collect();
        // Shards that train alone keep what they have among what is parallel.
        let local = self.shared().filter(|parallel| parallel.local().is_some());
        if let Some(local) = local {
            params.extend(local.met(self.network)?);
        }
        let checkpoint = Checkpoint {
            progress: progress.clone(),
            config: self.config(),
            params,
            optimizer: local.map_or_else(|| self.optimizer.state(), |_| Ok(BTreeMap::new()))?,
            hooks: self.hooks.iter().map(|hook| hook.state()).collect::<Result<_>>()?,
            average: match &self.average {
                Some(average) => average.state(self.network),
                None => BTreeMap::new(),
            },
            parallel,
        };
        let path = self.settings.out.checkpoint();
        checkpoint.save(&path)?;
        observer.on_event(&Event::Saved { path: &path });
        Ok(())
    }

    /// Refuses to keep what is not the same on all ranks.
    pub(super) fn compare_ranks(&self) -> Result<()> {
        let shared = self.shared();
        shared.map_or(Ok(()), |parallel| parallel.compare(self.network, &self.optimizer))
    }

    /// What makes the run what it is: what it was told, its hooks, its average, and its shards if there are several.
    fn config(&self) -> BTreeMap<String, String> {
        let hooks = self.hooks.iter().zip(1..);
        let hooks = hooks.map(|(hook, n): (_, usize)| (format!("hook {n}"), hook.describe()));
        let shards = self.shared().map(DataParallel::describe).unwrap_or_default();
        let average = self.average.iter().map(|it| ("average".to_owned(), it.describe()));
        let best_by = self.settings.best_by.iter().map(|name| ("best by".to_owned(), name.clone()));
        let config = self.settings.config.clone().into_iter();
        config.chain(hooks).chain(average).chain(shards).chain(best_by).collect()
    }

    /// Refuses to let a checkpoint of numbers be replaced by one of NaN.
    pub(super) fn check_params(&self) -> Result<()> {
        match self.network.first_not_finite()? {
            Some((name, value)) => finite(&format!("parameter `{name}`"), f64::from(value)),
            None => Ok(()),
        }
    }

    fn restore(&mut self) -> Result<Progress> {
        let path = self.settings.out.checkpoint();
        let read = || Checkpoint::bytes(&path);
        let bytes = self.shared().map_or_else(read, |parallel| parallel.share(read))?;
        let checkpoint = Checkpoint::of_run(&path, &bytes, &self.config())?;
        self.network.load(&checkpoint.params)?;
        self.optimizer.load_state(&checkpoint.optimizer)?;
        if let Some(parallel) = self.shared() {
            parallel.load_state(&checkpoint.parallel, self.network, &mut self.optimizer)?;
        }
        let mut states = checkpoint.hooks.into_iter();
        for hook in &mut self.hooks {
            hook.load_state(self.network, states.next().unwrap_or_default())?;
        }
        if let Some(average) = &mut self.average {
            average.load_state(self.network, checkpoint.average)?;
        }
        self.check_metric(&path, &checkpoint.progress)?;
        Ok(checkpoint.progress)
    }

    /// Refuses to go on with another metric than the run began with: the best model so far is that of the other one.
    fn check_metric(&self, path: &Path, progress: &Progress) -> Result<()> {
        let followed = self.metrics.iter().map(|metric| metric.name()).find(|name| name != LOSS);
        let current = followed.unwrap_or_else(|| LOSS.to_owned());
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
}
