//! What held-out pictures say about the best model of a run, put into its file when the run is at its end.
//!
//! Above: `tune`. Below: `confidence`. Not here: measuring (`confidence`).
//! Every rank measures, so that all have the same report, and the first one writes.

use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::TargetKind;
use taper_model::Model;
use taper_train::{Batches, Outcome};

use super::Tune;
use crate::confidence::{self, Calibrated};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::setup;

impl Tune<'_> {
    /// Measures with pictures: all that are held out, and some to train with.
    pub(super) fn confide_images(
        &self,
        run: &Run,
        outcome: &Outcome,
        val: &dyn Batches,
        stop: &AtomicBool,
    ) -> Result<Option<Calibrated>> {
        let Some(model) = self.finished(run, outcome, stop)? else { return Ok(None) };
        let dataset = &self.prepared.dataset;
        let some = confidence::some_of_each_class(&dataset.train, dataset.classes.len());
        let transform = setup::eval_transform(model.preprocess())?;
        let train = setup::loader(&some, transform, self.options)?;
        self.confide(run, &model, &model, [&train, val], stop)
    }

    /// Measures with the features that the frozen backbone has computed once.
    pub(super) fn confide_features(
        &self,
        run: &Run,
        outcome: &Outcome,
        parts: [&dyn Batches; 2],
        stop: &AtomicBool,
    ) -> Result<Option<Calibrated>> {
        let Some(model) = self.finished(run, outcome, stop)? else { return Ok(None) };
        let head = taper_transfer::detach_head(&model);
        let head = head.map_err(|source| Error::Transfer { source })?;
        self.confide(run, &model, &head, parts, stop)
    }

    /// The best model of a run of classes that is at its end.
    fn finished(&self, run: &Run, outcome: &Outcome, stop: &AtomicBool) -> Result<Option<Model>> {
        let is_stopped = outcome.stopped || stop.load(Ordering::Relaxed);
        // All ranks measure, or none.
        let is_stopped = self.parallel.any(is_stopped).map_err(|source| Error::Train { source })?;
        if is_stopped || outcome.best.is_none() || self.objective.kind() != TargetKind::Class {
            return Ok(None);
        }
        Model::load(run.folder.model()).map(Some).map_err(setup::model)
    }

    fn confide(
        &self,
        run: &Run,
        model: &Model,
        network: &Model,
        parts: [&dyn Batches; 2],
        stop: &AtomicBool,
    ) -> Result<Option<Calibrated>> {
        let threads = self.options.threads;
        let Some((confidence, calibrated)) = confidence::measure(network, parts, threads, stop)?
        else {
            return Ok(None);
        };
        if self.parallel.group().is_first() {
            let model = model.clone().with_confidence(Some(confidence)).map_err(setup::model)?;
            model.save(run.folder.model()).map_err(setup::model)?;
        }
        Ok(Some(calibrated))
    }
}
