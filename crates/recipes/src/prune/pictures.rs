//! The model that is pruned and the pictures that say how good it is.
//!
//! Above: `prune`, `prune::{sensitivity, sweep}`, `sparsify`. Below: `data`, `evaluate`, `source`. Not here: what is cut (`prune::select`).

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_data::Dataset;
use taper_model::{Model, Tensor};

use crate::data::{self, SkippedFiles};
use crate::error::{Error, Result};
use crate::evaluate::judge;
use crate::observer::Observer;
use crate::options::{EvaluateOptions, FineTuneOptions};
use crate::setup;
use crate::source::ModelSource;
use crate::tune::same_classes;

/// The model of a request, and its pictures, of the same classes, if there are any.
pub(crate) fn model_and_pictures(
    dataset: Option<&Dataset>,
    tune: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<(Model, Option<Dataset>)> {
    let model = ModelSource::resolve(&tune.model)?.load(stop, observer)?;
    check_finite(&model)?;
    let dataset = match (dataset, &tune.data) {
        (Some(dataset), data) => {
            dataset.validate_training().map_err(setup::data)?;
            Some(data::of_ones_own(
                dataset,
                data.as_deref(),
                tune.table.as_deref(),
                &tune.columns(),
            )?)
        }
        (None, Some(_)) => Some(data::to_train(tune, &tune.open_cache(1)?)?),
        (None, None) => None,
    };
    if let Some(dataset) = &dataset {
        SkippedFiles::new(data::root(tune.data.as_deref(), tune.table.as_deref()))
            .tell(&dataset.skipped, observer);
        same_classes("model", &model, dataset)?;
    }
    Ok((model, dataset))
}

/// How well a model names held-out pictures.
pub(crate) struct Judged {
    pub(crate) top1: f64,
    /// Nats.
    pub(crate) loss: f64,
    pub(crate) images: usize,
}

/// How well a model names the held-out pictures.
pub(crate) fn judged(
    dataset: &Dataset,
    model: &Model,
    tune: &FineTuneOptions,
    observer: &mut dyn Observer,
) -> Result<Judged> {
    let options = EvaluateOptions {
        data: tune.data.clone().unwrap_or_default(),
        batch_size: tune.batch_size,
        threads: tune.threads,
        ..EvaluateOptions::of_model(&tune.model)
    };
    let report = judge(dataset, model, &options, observer, Instant::now())?;
    let top1 = report.top1.ok_or(Error::NoClasses { what: "model", task: report.task })?;
    Ok(Judged { top1, loss: report.loss, images: report.images })
}

/// Weights that are no numbers would be cut by chance, and recover from nothing.
fn check_finite(model: &Model) -> Result<()> {
    let named = model.graph().params().iter().zip(model.tensors());
    let is_broken = |tensor: &Tensor| tensor.data.iter().any(|value| !value.is_finite());
    match named.into_iter().find(|(_, tensor)| is_broken(tensor)) {
        None => Ok(()),
        Some((spec, _)) => {
            let name = spec.name.clone();
            Err(setup::prune(taper_prune::Error::NotFinite { what: "numbers", name }))
        }
    }
}
