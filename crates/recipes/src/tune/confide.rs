//! What held-out pictures say about the best model of a run, put into its file when the run is at its end.
//!
//! Above: `tune`. Below: `confidence`, `run_report::answers`. Not here: measuring (`confidence`).
//! Every rank measures, so that all have the same report, and the first one writes. What the model answers goes on to the page, so that it
//! is asked once.

use std::sync::atomic::{AtomicBool, Ordering};

use taper_classifier::class_names;
use taper_data::TargetKind;
use taper_model::Model;
use taper_train::{Batches, Outcome};

use super::Tune;
use crate::confidence::{self, Calibrated};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::run_report::answers::{Answer, Collector};
use crate::setup;

/// What held-out pictures say.
#[derive(Debug, Default)]
pub(super) struct Confided {
    pub(super) calibrated: Option<Calibrated>,
    pub(super) calibration: Vec<f64>,
    /// What the best model answers to them, if the page needs it and nobody else has to ask.
    pub(super) answers: Option<Vec<Answer>>,
}

impl Tune<'_> {
    /// Measures with pictures: all that are held out, and some to train with.
    pub(super) fn confide_images(
        &self,
        run: &Run,
        outcome: &Outcome,
        val: &dyn Batches,
        stop: &AtomicBool,
    ) -> Result<Confided> {
        let Some(model) = self.finished(run, outcome, stop)? else {
            return Ok(Confided::default());
        };
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
    ) -> Result<Confided> {
        let Some(model) = self.finished(run, outcome, stop)? else {
            return Ok(Confided::default());
        };
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
    ) -> Result<Confided> {
        let threads = self.options.threads;
        let Some(measured) = confidence::measure(network, parts, threads, stop)? else {
            return Ok(Confided::default());
        };
        let mut answers = None;
        if self.parallel.group().is_first() {
            if self.has_page() {
                let names = class_names(model).map_err(setup::classifier)?;
                let held_out = &self.prepared.dataset.val;
                let mut collector = Collector::new(model.task(), &names, held_out);
                measured.tell(&mut collector)?;
                answers = Some(collector.answers);
            }
            let confidence = Some(measured.confidence);
            let model = model.clone().with_confidence(confidence).map_err(setup::model)?;
            model.save(run.folder.model()).map_err(setup::model)?;
        }
        let calibrated = Some(measured.calibrated);
        Ok(Confided { calibrated, calibration: measured.calibration, answers })
    }
}
