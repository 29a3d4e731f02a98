//! Evaluating: how well a model names a folder of pictures.
//!
//! Above: the binary, Rust users. Below: `source`, `data`, `evaluate::others`, `taper_train::evaluate`. Not here: evaluating while training.

mod others;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_classifier::{class_names, eval_views, mean_of_views};
use taper_data::{Array, Dataset, Loader, LoaderOptions, TargetKind, Targets};
use taper_engine::{Session, SessionOptions};
use taper_model::{Confidence, Model};
use taper_train::{Batch, Batches, Metric, confidence_interval};

use crate::confidence::Tempered;
use crate::data::SkippedFiles;
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::{EvaluateOptions, Labels};
use crate::report::EvaluateReport;
use crate::source::ModelSource;
use crate::task::{ClassificationScores, Judge, LOGITS, task_of, top};
use crate::{data, setup};
pub use others::OthersReport;

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
    let model = ModelSource::resolve(&options.model)?.load(&AtomicBool::new(false), observer)?;
    if options.others.is_some() {
        setup::must_be_measured(&model, "others", options.image_size)?;
    }
    let model = setup::told_at_size(model, options.image_size, observer)?;
    let started = Instant::now();
    let dataset = match dataset {
        Some(dataset) => {
            let folder = (!options.data.as_os_str().is_empty()).then_some(&*options.data);
            dataset.validate_targets().map_err(setup::data)?;
            data::of_ones_own(dataset, folder, options.table.as_deref(), &options.columns)?
        }
        None => data::to_evaluate(options, &model)?,
    };
    judge(&dataset, &model, options, observer, started)
}

/// Runs a model over the pictures of `dataset.val`.
pub(crate) fn judge(
    dataset: &Dataset,
    model: &Model,
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
    started: Instant,
) -> Result<EvaluateReport> {
    judge_with(dataset, model, options, observer, started, None)
}

/// [`judge`] with a metric of the caller's own besides.
pub(crate) fn judge_with(
    dataset: &Dataset,
    model: &Model,
    options: &EvaluateOptions,
    observer: &mut dyn Observer,
    started: Instant,
    besides: Option<&mut dyn Metric>,
) -> Result<EvaluateReport> {
    let mut skipped = SkippedFiles::new(data::root(Some(&options.data), options.table.as_deref()));
    skipped.tell(&dataset.skipped, observer);
    if dataset.val.is_empty() {
        return Err(setup::data(taper_data::Error::EmptyPart { part: "val" }));
    }
    let [of_data, of_model] = [task_of(dataset.kind()), model.task()];
    if of_data != of_model {
        return Err(Error::OtherTask { data: of_data, model: of_model });
    }
    let known = class_names(model).map_err(setup::classifier)?;
    let labels = labels(dataset, &known, options.labels)?;
    let session = SessionOptions { threads: options.threads, outputs: vec![LOGITS.to_owned()] };
    let mut session = Session::new(model, &session).map_err(|source| Error::Engine { source })?;
    let loading = LoaderOptions {
        batch_size: options.batch_size,
        threads: options.threads,
        ..LoaderOptions::default()
    };
    let views = eval_views(model.preprocess(), options.tta.views()).map_err(setup::classifier)?;
    let count = views.count();
    let loader = Loader::new(&dataset.val, views.into(), &loading).map_err(setup::data)?;
    let batches = Relabeled { images: loader, labels, names: known.len() };
    let temperature = match dataset.kind() {
        TargetKind::Class => model.confidence().map(Confidence::temperature),
        TargetKind::Probabilities | TargetKind::Labels | TargetKind::Numbers => None,
    };
    let mut judge = Judge::new(dataset.kind(), temperature);
    let together = |logits: &[f32], k| mean_of_views(of_model, logits, count, k);
    let mut metrics = judge.all();
    if let Some(metric) = besides {
        let metric: Box<dyn Metric + '_> = Box::new(metric);
        metrics.push(match temperature {
            Some(temperature) => Box::new(Tempered::new(metric, temperature)),
            None => metric,
        });
    }
    let evaluated =
        taper_train::evaluate_views(&mut session, &batches, count, &together, &mut metrics);
    drop(metrics);
    let gone = evaluated.as_ref().map_or_else(taper_train::Error::skipped, |seen| &seen.skipped);
    skipped.tell(gone, observer);
    let evaluation = evaluated.map_err(|source| Error::Train { source })?;
    let others = options.others.as_deref();
    let others = others
        .map(|others| others::judge(model, &dataset.val, others, options, observer))
        .transpose()?;
    let skipped_files = skipped.into_files();
    let (scores, images) =
        (ClassificationScores::from(&evaluation.scores), evaluation.scores.samples);
    Ok(EvaluateReport {
        task: of_model,
        scores: top(&evaluation.scores),
        top1: scores.top1,
        top1_interval: scores.top1.map(|top1| confidence_interval(top1, images)),
        top5: scores.top5,
        loss: scores.loss,
        temperature,
        others,
        images,
        skipped: skipped_files.len(),
        skipped_files,
        images_per_second: images as f64 / started.elapsed().as_secs_f64(),
        review: scores.top1.map(|_| data::review(&judge.review, dataset, &known)),
    })
}

/// The model's index for each class of the folder.
fn labels(dataset: &Dataset, known: &[String], by: Labels) -> Result<Vec<u32>> {
    let classes = &dataset.classes;
    let is_partial = match dataset.kind() {
        TargetKind::Class | TargetKind::Labels => false,
        TargetKind::Probabilities | TargetKind::Numbers => classes.len() < known.len(),
    };
    if is_partial {
        let (theirs, folder) = (listed(known.iter()), listed(classes.iter()));
        return Err(Error::OtherClasses { what: "model", theirs, folder });
    }
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
    /// How many names the model has.
    names: usize,
}

impl Relabeled {
    /// The targets with the model's indices; a label that the pictures do not speak of does not hold.
    fn relabel(&self, targets: Targets) -> Targets {
        let spread = |array: &Array<f32>| {
            let rows = array.values().chunks_exact(self.labels.len().max(1));
            let mut values = vec![0.0; rows.len() * self.names];
            for (row, values) in rows.zip(values.chunks_exact_mut(self.names.max(1))) {
                for (&value, &label) in row.iter().zip(&self.labels) {
                    values[label as usize] = value;
                }
            }
            let shape = vec![values.len() / self.names.max(1), self.names];
            Array::new(values, shape).unwrap_or_else(|_| array.clone())
        };
        match targets {
            Targets::Classes(classes) => {
                Targets::Classes(classes.iter().map(|&class| self.labels[class as usize]).collect())
            }
            Targets::Labels(array) => Targets::Labels(spread(&array)),
            Targets::Probabilities(array) => Targets::Probabilities(spread(&array)),
            Targets::Numbers(array) => Targets::Numbers(spread(&array)),
            // No data set that is evaluated has them.
            Targets::ClassMaps(_) | Targets::Named(_) => targets,
        }
    }
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
            batch.targets = self.relabel(std::mem::take(&mut batch.targets));
            batch
        };
        Box::new(
            Batches::epoch(&self.images, epoch, start_batch).map(move |batch| batch.map(relabel)),
        )
    }
}

/// The first few of `classes`, in backticks.
pub(crate) fn listed<'c>(classes: impl Iterator<Item = &'c String>) -> String {
    let classes: Vec<&String> = classes.collect();
    let shown: Vec<String> = classes.iter().take(NAMED).map(|class| format!("`{class}`")).collect();
    let more = if classes.len() > NAMED {
        format!(" and {} more", classes.len() - NAMED)
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use taper_data::folder::Options;
    use taper_data::{Check, ImageFolder, sample_set};

    use super::*;
    use crate::observer::Told;

    fn evaluated(spoil: impl FnOnce(&Dataset)) -> (Result<EvaluateReport>, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        sample_set::export(dir.path()).unwrap();
        let reading = Options { check: Check::Headers, ..Options::default() };
        let dataset = ImageFolder::open_to_evaluate(dir.path(), &reading).unwrap();
        let small = ModelSource::resolve("mobilenetv2_035").unwrap().random(1).unwrap();
        let options = EvaluateOptions {
            labels: Labels::Order,
            batch_size: 8,
            ..EvaluateOptions::new("", dir.path())
        };
        spoil(&dataset);
        let mut told = Told::default();
        let report = judge(&dataset, &small, &options, &mut told, Instant::now());
        (report, told.skipped)
    }

    #[test]
    fn pictures_that_are_gone_are_named_and_not_counted() {
        let mut gone = Vec::new();
        let (report, told) = evaluated(|dataset| {
            for index in [0, 8, 9, 10, 11, 12, 13, 14, 15, 50] {
                let path = dataset.val[index].path().unwrap();
                fs::remove_file(path).unwrap();
                gone.push(path.to_path_buf());
            }
        });
        let report = report.unwrap();
        assert_eq!((report.images, report.skipped), (95, 10));
        assert_eq!(told, gone);
        let named: Vec<PathBuf> =
            report.skipped_files.iter().map(|skipped| skipped.path.clone()).collect();
        assert_eq!(named, gone);
        let seen: u64 =
            (0..6).map(|class| report.review.as_ref().unwrap().confusion.total(class)).sum();
        assert_eq!(seen, 95);
    }

    #[test]
    fn a_folder_of_which_nothing_is_left_is_an_error() {
        let (report, told) = evaluated(|dataset| {
            dataset.val.iter().for_each(|sample| fs::remove_file(sample.path().unwrap()).unwrap());
        });
        let error = report.unwrap_err();
        assert!(error.to_string().contains("none of the 105 samples"), "{error}");
        assert_eq!(told.len(), 105);
    }
}
