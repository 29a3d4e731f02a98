//! How well a model tells pictures of other things from those that it was trained on.
//!
//! Above: `evaluate`. Below: `features`, `confidence`. Not here: the threshold, which is in the model file (`taper_model::Familiarity`).

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use taper_data::Sample;
use taper_model::{Confidence, Familiarity, Model};

use crate::confidence::ranking_area;
use crate::data::SkippedFiles;
use crate::error::{Error, Result};
use crate::features::{self, Batching};
use crate::observer::Observer;
use crate::options::EvaluateOptions;
use crate::setup;

/// How well pictures of other things are told from a model's own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OthersReport {
    /// Pictures of other things that could be read.
    pub images: usize,
    /// How often a picture of the model's own is more familiar to it than one of other things, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auroc: Option<f64>,
    /// The share of the others that is called unknown.
    pub unknown: f64,
    /// The share of the model's own pictures that is called unknown.
    pub own_unknown: f64,
    /// Files that are no pictures or could not be read.
    pub skipped: usize,
}

/// Compares the familiarity of `own` pictures with that of the pictures in a folder.
pub(super) fn judge(
    model: &Model,
    own: &[Sample],
    others: &Path,
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
) -> Result<OthersReport> {
    let familiarity = model.confidence().and_then(Confidence::familiarity);
    let Some(familiarity) = familiarity else {
        return Err(setup::classifier(taper_classifier::Error::NoFamiliarity));
    };
    let dataset = features::all_pictures(others, options.threads)?;
    let mut skipped = SkippedFiles::new(Some(others));
    skipped.tell(&dataset.skipped, observer);
    let strange: Vec<Sample> = dataset.train.into_iter().chain(dataset.val).collect();
    let of_own = scores(model, familiarity, own, options, observer)?.0;
    let (of_others, gone) = scores(model, familiarity, &strange, options, observer)?;
    skipped.tell(&gone, observer);
    if of_others.is_empty() {
        return Err(Error::NothingLeft { path: others.to_path_buf() });
    }
    let unknown = |scores: &[f64]| {
        let below = scores.iter().filter(|score| **score < familiarity.threshold()).count();
        below as f64 / scores.len().max(1) as f64
    };
    Ok(OthersReport {
        images: of_others.len(),
        auroc: ranking_area(&of_own, &of_others)?,
        unknown: unknown(&of_others),
        own_unknown: unknown(&of_own),
        skipped: skipped.into_files().len(),
    })
}

/// How familiar pictures are, of those that can be read, and the others.
fn scores(
    model: &Model,
    familiarity: &Familiarity,
    samples: &[Sample],
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
) -> Result<(Vec<f64>, Vec<taper_data::Skipped>)> {
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let stop = AtomicBool::new(false);
    let found = features::embedded(model, samples, batching, &stop, observer)?;
    let rows = found.vectors.chunks_exact(found.width.max(1));
    Ok((rows.map(|row| familiarity.score(row)).collect(), found.skipped))
}
