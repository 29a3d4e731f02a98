//! What a network says of pictures before its classifier: one vector each.
//!
//! Above: `embed`, `similar`, `doctor`, `evaluate::others`. Below: `taper_transfer::Features`, `taper_data`. Not here: features to train on
//! (`tune::features`).

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::folder::{Listing, Options, list_pictures};
use taper_data::{Check, Dataset, ImageFolder, Loader, LoaderOptions, Sample, Skipped};
use taper_model::Model;
use taper_transfer::Features;

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::setup;

/// The vectors of the pictures that could be read.
#[derive(Debug, Default)]
pub(crate) struct Embedded {
    /// `(indices, width)`.
    pub(crate) vectors: Vec<f32>,
    /// Numbers of a picture.
    pub(crate) width: usize,
    /// Which samples they are of, in their order.
    pub(crate) indices: Vec<usize>,
    /// The others.
    pub(crate) skipped: Vec<Skipped>,
}

/// How pictures are read and run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batching {
    pub(crate) batch_size: usize,
    pub(crate) threads: usize,
}

/// The `pre_logits` of samples, each seen as in evaluation.
///
/// # Errors
/// [`Error::Stopped`]; [`Error::Transfer`] for a network without such an output.
pub(crate) fn embedded(
    model: &Model,
    samples: &[Sample],
    Batching { batch_size, threads }: Batching,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Embedded> {
    let transfer = |source| Error::Transfer { source };
    let options = LoaderOptions { batch_size, threads, ..LoaderOptions::default() };
    let transform = setup::eval_transform(model.preprocess())?;
    let loader = Loader::new(samples, transform, &options).map_err(setup::data)?;
    let mut features = Features::new(model, threads).map_err(transfer)?;
    let mut found = Embedded::default();
    for batch in loader.epoch(0, 0) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let batch = batch.map_err(setup::data)?;
        if !batch.indices.is_empty() {
            features.extend(&batch.xs, batch.shape).map_err(transfer)?;
        }
        found.indices.extend(batch.indices);
        found.skipped.extend(batch.skipped);
        let done = found.indices.len() + found.skipped.len();
        observer.on_event(&Event::Looked { done, total: samples.len() });
    }
    found.vectors = features.finish();
    found.width = found.vectors.len() / found.indices.len().max(1);
    Ok(found)
}

/// All pictures of a folder: in classes, or a flat one, which has none.
pub(crate) fn all_pictures(path: &Path, threads: usize) -> Result<Dataset> {
    let options = Options { check: Check::Headers, threads, ..Options::default() };
    match ImageFolder::open_whole(path, &options) {
        Err(taper_data::Error::FlatFolder { .. }) => {}
        whole => return whole.map_err(setup::data),
    }
    let Listing { pictures, skipped } = list_pictures(path).map_err(setup::data)?;
    let train = pictures.into_iter().map(|picture| {
        let name = picture.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Sample::from_file(name, 0, picture)
    });
    Ok(Dataset { classes: Vec::new(), train: train.collect(), val: Vec::new(), skipped })
}

/// The name of a sample's class, if the data set has classes.
pub(crate) fn class_of<'d>(sample: &Sample, classes: &'d [String]) -> &'d str {
    let class = sample.class().and_then(|class| classes.get(class as usize));
    class.map_or("", String::as_str)
}
