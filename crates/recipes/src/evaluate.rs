//! Evaluating: how well a model names a folder of pictures.
//!
//! Above: the binary, Rust users. Below: `source`, `data`, `taper_train::evaluate`. Not here: evaluating while training.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_classifier::class_names;
use taper_data::{Dataset, Loader, LoaderOptions, Targets};
use taper_engine::{Session, SessionOptions};
use taper_train::{Batch, Batches};

use crate::classification::{ClassificationScores, LOGITS, Metrics};
use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::{EvaluateOptions, Labels};
use crate::report::EvaluateReport;
use crate::{data, setup, source};

/// Classes that are named in a message.
const NAMED: usize = 8;

/// Runs a model over a folder of pictures whose classes are known.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
///
/// # Examples
/// ```
/// use taper_recipes::{EvaluateOptions, Labels, Silent, evaluate};
///
/// let dir = tempfile::tempdir()?;
/// taper_data::sample_set::export(dir.path())?;
/// // ImageNet's classes are others, so the numbers mean nothing.
/// let options = EvaluateOptions {
///     labels: Labels::Order,
///     ..EvaluateOptions::new("mobilenetv2_100", dir.path())
/// };
/// let report = evaluate(&options, &mut Silent)?;
/// assert_eq!(report.images, 105);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate(options: &EvaluateOptions, observer: &mut dyn Observer) -> Result<EvaluateReport> {
    run(None, options, observer)
}

/// [`evaluate`] on the `val` of a data set of your own, in memory or in files, instead of a folder: `options.data` must be empty, as it is
/// after [`EvaluateOptions::of_model`].
///
/// # Errors
/// As [`evaluate`], and [`Error::Data`] if its samples have no classes, or others than `dataset.classes`.
///
/// # Examples
/// ```
/// use taper_data::{Dataset, Image, Sample};
/// use taper_recipes::{EvaluateOptions, Labels, Silent, evaluate_on};
///
/// let grey = |class: u32, level: u8| Sample::from_image(format!("{level}"), class, Image::new(1, 1, vec![level; 3]).unwrap());
/// let dataset = Dataset::new(["dark", "bright"], vec![grey(0, 9)], vec![grey(0, 20), grey(1, 210)])?;
/// let options = EvaluateOptions { labels: Labels::Order, ..EvaluateOptions::of_model("mobilenetv2_100") };
/// assert_eq!(evaluate_on(&dataset, &options, &mut Silent)?.images, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn evaluate_on(
    dataset: &Dataset,
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
) -> Result<EvaluateReport> {
    run(Some(dataset), options, observer)
}

fn run(
    dataset: Option<&Dataset>,
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
) -> Result<EvaluateReport> {
    options.check()?;
    let model = source::load(&options.model, &AtomicBool::new(false), observer)?;
    let started = Instant::now();
    let dataset = match dataset {
        Some(dataset) => {
            let folder = (!options.data.as_os_str().is_empty()).then_some(&*options.data);
            dataset.validate_targets().map_err(setup::data)?;
            data::of_ones_own(dataset, folder)?
        }
        None => data::to_evaluate(options)?,
    };
    for skipped in data::skipped(&dataset, Some(&options.data)) {
        observer.event(&Event::Skipped(&skipped));
    }
    if dataset.val.is_empty() {
        return Err(setup::data(taper_data::Error::EmptyPart { part: "val" }));
    }
    let known = class_names(&model).map_err(setup::classifier)?;
    let labels = labels(&dataset, &known, options.labels)?;
    let session = SessionOptions { threads: options.threads, outputs: vec![LOGITS.to_owned()] };
    let mut session = Session::new(&model, &session).map_err(|source| Error::Engine { source })?;
    let loading = LoaderOptions {
        batch_size: options.batch_size,
        threads: options.threads,
        ..LoaderOptions::default()
    };
    let transform = setup::eval_transform(model.preprocess())?;
    let loader = Loader::new(&dataset.val, transform, &loading).map_err(setup::data)?;
    let batches = Relabeled { images: loader, labels };
    let mut metrics = Metrics::new();
    let evaluation = taper_train::evaluate(&mut session, &batches, &mut metrics.all())
        .map_err(|source| Error::Train { source })?;
    let (scores, images) =
        (ClassificationScores::from(&evaluation.scores), evaluation.scores.samples);
    Ok(EvaluateReport {
        top1: scores.top1,
        top5: scores.top5,
        images,
        skipped: dataset.skipped.len(),
        images_per_second: images as f64 / started.elapsed().as_secs_f64(),
        review: data::review(&metrics.review, &dataset, &known),
    })
}

/// The model's index for each class of the folder.
fn labels(dataset: &Dataset, known: &[String], by: Labels) -> Result<Vec<u32>> {
    let classes = &dataset.classes;
    match by {
        Labels::Order if classes.len() > known.len() => {
            Err(Error::TooManyClasses { folder: classes.len(), model: known.len() })
        }
        Labels::Order => Ok((0..).take(classes.len()).collect()),
        Labels::Name => {
            let indices: HashMap<&String, u32> = known.iter().zip(0..).collect();
            let found: Option<Vec<u32>> =
                classes.iter().map(|class| indices.get(class).copied()).collect();
            found.ok_or_else(|| {
                let unknown = classes.iter().filter(|class| !indices.contains_key(class));
                Error::UnknownClasses { unknown: listed(unknown), known: listed(known.iter()) }
            })
        }
    }
}

/// Pictures whose labels are the folder's, given with the model's.
struct Relabeled {
    images: Loader,
    labels: Vec<u32>,
}

impl Batches for Relabeled {
    fn n_samples(&self) -> usize {
        self.images.n_samples()
    }

    fn n_batches(&self) -> usize {
        self.images.n_batches()
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = taper_train::Result<Batch>> + '_> {
        let relabel = |mut batch: Batch| {
            // A folder's samples have classes and nothing else.
            if let Targets::Classes(classes) = &mut batch.targets {
                classes.iter_mut().for_each(|label| *label = self.labels[*label as usize]);
            }
            batch
        };
        Box::new(
            Batches::epoch(&self.images, epoch, start_batch).map(move |batch| batch.map(relabel)),
        )
    }
}

/// The first few of `classes`, in backticks.
fn listed<'c>(classes: impl Iterator<Item = &'c String>) -> String {
    let classes: Vec<&String> = classes.collect();
    let shown: Vec<String> = classes.iter().take(NAMED).map(|class| format!("`{class}`")).collect();
    let more = if classes.len() > NAMED {
        format!(" and {} more", classes.len() - NAMED)
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}
