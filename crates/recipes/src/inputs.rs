//! What a request to fine-tune names: a model, pictures, a teacher.
//!
//! Above: `fine_tune`, `find_lr`. Below: `source`, `data`. Not here: a new head for the model (`fine_tune`), one that keeps classes (`extend`).

use std::sync::atomic::AtomicBool;

use taper_data::{Cache, Dataset};
use taper_model::Model;

use crate::data;
use crate::error::Result;
use crate::observer::Observer;
use crate::options::{FineTuneOptions, Pretrained};
use crate::run::Kept;
use crate::setup;
use crate::source::ModelSource;

/// The model and the pictures that a request names.
pub(crate) fn inputs(
    dataset: Option<&Dataset>,
    kept: &Kept,
    cache: &Cache,
    stop: &AtomicBool,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
) -> Result<(Model, Dataset)> {
    let model = match &kept.start {
        Some(model) => model.clone(),
        None => {
            let source = ModelSource::resolve(&options.model)?;
            match options.pretrained {
                Pretrained::Yes => source.load(stop, observer)?,
                Pretrained::None => source.random(options.seed)?,
            }
        }
    };
    let dataset = match dataset {
        Some(dataset) => {
            dataset.validate_training().map_err(setup::data)?;
            let (folder, table) = (options.data.as_deref(), options.table.as_deref());
            data::of_ones_own(dataset, folder, table, &options.columns())?.with_cache(cache)
        }
        None => data::to_train(options, cache)?,
    };
    Ok((model, dataset))
}

/// The teacher that the options name.
pub(crate) fn teacher(
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<Model>> {
    let name = options.teacher.as_deref();
    name.map(|name| ModelSource::resolve(name)?.load(stop, observer)).transpose()
}
