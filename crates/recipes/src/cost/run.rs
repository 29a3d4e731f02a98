//! What a whole run takes: pictures, epochs, batches and decoding.
//!
//! Above: `cost`, the binary. Below: `data`, `setup`, `taper_data`. Not here: a step (`taper_cost`), the run itself (`fine_tune`).
//! Reading pictures and computing share the cores, so their times add up. Pictures are read here and now to see how long they take:
//! on another device that is only right for as fast a one.

use std::time::Instant;

use serde::Serialize;
use taper_data::Sample;
use taper_model::Preprocess;

use super::{CostNetwork, CostOptions, CostReport};
use crate::data;
use crate::error::{Error, Result};
use crate::options::FineTuneOptions;
use crate::setup;

/// Pictures that are read to see how long they take.
const READ: usize = 96;

/// A run of so many epochs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunCost {
    /// Pictures to train with, and those that are held out.
    pub images: usize,
    /// Pictures that every epoch is evaluated on.
    pub val_images: usize,
    /// Epochs.
    pub epochs: usize,
    /// Steps an epoch.
    pub steps: usize,
    /// Seconds of all steps.
    pub step_seconds: f64,
    /// Seconds of evaluating after every epoch, without reading.
    pub evaluate_seconds: f64,
    /// Seconds of reading and transforming pictures.
    pub reading_seconds: f64,
    /// All of it.
    pub seconds: f64,
}

/// What fine-tuning on the pictures of `recipe` takes, of which `report` holds the predicted times of a batch of its size.
///
/// # Errors
/// [`Error::NotPredicted`] if the report has no times; [`Error::Data`] for a folder that cannot be trained on.
pub fn run_cost(
    network: &CostNetwork,
    options: &CostOptions,
    report: &CostReport,
    recipe: &FineTuneOptions,
) -> Result<RunCost> {
    let unknown = || Error::NotPredicted { assertion: "a whole run".to_owned() };
    let time = report.time.as_ref().ok_or_else(unknown)?;
    let dataset = data::to_train(recipe, &recipe.open_cache(1)?)?;
    let size = options.image_size.unwrap_or(network.size);
    let preprocess = Preprocess { input_size: size, ..Preprocess::imagenet() };
    let transform = setup::train_transform(&preprocess, recipe)?;
    let recipe = FineTuneOptions { batch_size: report.batch, ..recipe.clone() };
    let a_picture = |samples: &[Sample]| -> Result<f64> {
        let some = &samples[..samples.len().min(READ)];
        let loader = setup::loader(some, transform.clone(), &recipe)?;
        let start = Instant::now();
        for batch in loader.epoch(0, 0) {
            batch.map_err(setup::data)?;
        }
        Ok(start.elapsed().as_secs_f64() / some.len().max(1) as f64)
    };
    let reading = a_picture(&dataset.train)?;
    let (images, val_images, epochs) = (dataset.train.len(), dataset.val.len(), recipe.epochs);
    let steps = images.div_ceil(report.batch);
    let times = epochs as f64;
    let step_seconds = times * steps as f64 * time.training_ms / 1e3;
    let evaluate_seconds = times * val_images as f64 * time.ms / report.batch as f64 / 1e3;
    let reading_seconds = times * (images + val_images) as f64 * reading;
    Ok(RunCost {
        images,
        val_images,
        epochs,
        steps,
        step_seconds,
        evaluate_seconds,
        reading_seconds,
        seconds: step_seconds + evaluate_seconds + reading_seconds,
    })
}
