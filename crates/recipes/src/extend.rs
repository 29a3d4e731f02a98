//! Classes that a model knows and classes of new pictures in one model: which rows of the head stay, where new ones begin.
//!
//! Above: `fine_tune`. Below: `taper_transfer::{Features, imprint}`, `taper_model::carry_classifier`, `setup`. Not here: training what comes of it (`tune`).
//! Only a model file has classes to keep; a network of the zoo begins with a new head.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use taper_data::{Dataset, Sample, TargetKind};
use taper_model::{Model, Task, carry_classifier};
use taper_train::{DataParallel, RunFolder};
use taper_transfer::{Features, imprint, mean_features, usual_features};

use crate::error::{Error, Result};
use crate::evaluate::{judge, listed};
use crate::observer::{Event, Observer};
use crate::options::{EvaluateOptions, FineTuneOptions, Pretrained};
use crate::report::FineTuneReport;
use crate::run::{Run, RunConfig, fingerprint};
use crate::{setup, source};

/// Pictures of a class that its weights are made of, at most: the mean of so many is known well enough.
const PICTURES: usize = 64;

/// A model for old and new classes.
pub(crate) struct Extended {
    /// Its classes are those of the data set, or, with old ones that are kept, those and these.
    pub(crate) model: Model,
    /// Whether there are old classes without pictures, so that nothing can be trained without losing them.
    pub(crate) is_whole: bool,
}

/// How the classes of a model and of pictures meet.
struct Meeting {
    /// Of the new model.
    classes: Vec<String>,
    added: Vec<String>,
    missing: Vec<String>,
}

impl Meeting {
    fn of(model: &Model, dataset: &Dataset, options: &FineTuneOptions) -> Option<Self> {
        let is_told = source::is_file(&options.model)
            && options.pretrained == Pretrained::Yes
            && model.task() == Task::Classification
            && dataset.kind() == TargetKind::Class;
        let (old, new) = (model.classes(), &dataset.classes);
        let is_met = options.keep || old.iter().any(|class| new.contains(class));
        if !is_told || !is_met || old.is_empty() {
            return None;
        }
        let without = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|class| !those.contains(class)).cloned().collect()
        };
        let (added, missing) = (without(new, old), without(old, new));
        let classes = match options.keep && !missing.is_empty() {
            true => old.iter().chain(&added).cloned().collect(),
            false => new.clone(),
        };
        Some(Self { classes, added, missing })
    }
}

/// The model with a head for the classes of the pictures, if it is a file that knows some of them, or is to keep what it knows.
///
/// # Errors
/// [`Error::Option`] for `keep` of a model without classes.
pub(crate) fn extend(
    model: &Model,
    dataset: &Dataset,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<Extended>> {
    let Some(meeting) = Meeting::of(model, dataset, options) else {
        if options.keep {
            let expected = "false without a model file whose classes could be kept, and pictures of classes (--model FILE)";
            return Err(Error::option("keep", &true, expected));
        }
        return Ok(None);
    };
    let Meeting { classes, added, missing } = &meeting;
    let is_whole = !options.keep || missing.is_empty();
    tell(&meeting, is_whole, observer);
    let model = &setup::at_size(model.clone(), options.image_size)?;
    let mut new = carry_classifier(model, classes, options.seed).map_err(setup::model)?;
    let transfer = |source| Error::Transfer { source };
    let others = match is_whole {
        false => Some(usual_features(model).map_err(transfer)?.ok_or_else(|| {
            let expected = "false for this network, whose norms do not tell the features of the old classes: give pictures of them, too";
            Error::option("keep", &true, expected)
        })?),
        true => None,
    };
    let of_classes = match added.is_empty() {
        true => Vec::new(),
        false => features(model, dataset, options, stop, observer)?,
    };
    let old: Vec<usize> =
        (0..classes.len()).filter(|&class| !added.contains(&classes[class])).collect();
    for (class, name) in classes.iter().enumerate().filter(|(_, name)| added.contains(name)) {
        let Some(at) = dataset.classes.iter().position(|it| it == name) else { continue };
        let Some((features, c)) = of_classes.get(at).filter(|(features, _)| !features.is_empty())
        else {
            continue;
        };
        let others = others.clone().unwrap_or_else(|| {
            let means = of_classes.iter().zip(0..).filter(|(_, other)| *other != at);
            let means = means.flat_map(|((features, c), _)| mean_features(features, *c));
            mean_features(&means.collect::<Vec<f32>>(), *c)
        });
        new = imprint(&new, class, features, &others, &old).map_err(transfer)?;
    }
    Ok(Some(Extended { model: new, is_whole }))
}

/// Says which classes stay, come and go.
fn tell(Meeting { added, missing, .. }: &Meeting, is_whole: bool, observer: &mut dyn Observer) {
    let mut say = |text: String| observer.on_event(&Event::Warning(&text));
    let new = match added.len() {
        0 => "no class is new".to_owned(),
        n => format!("{n} new: {}", listed(added.iter())),
    };
    match (missing.len(), is_whole) {
        (0, _) => say(format!("the model's classes are kept by their names; {new}")),
        (n, true) => say(format!(
            "{n} of the model's classes have no pictures and are dropped: {} (keep them with `keep`, --keep); {new}",
            listed(missing.iter())
        )),
        (n, false) => say(format!(
            "{n} of the model's classes have no pictures and are kept: {}; {new}. Nothing is trained, for that would be to forget them: \
             new classes are made of the mean features of their pictures. That costs accuracy against training with pictures of all",
            listed(missing.iter())
        )),
    }
}

/// By class of the data set, the features of its first training pictures that can be read, and how long one is.
fn features(
    model: &Model,
    dataset: &Dataset,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Vec<(Vec<f32>, usize)>> {
    let transfer = |source| Error::Transfer { source };
    let of_class = |class: u32| -> Vec<Sample> {
        let samples = dataset.train.iter().filter(|sample| sample.class() == Some(class));
        samples.take(PICTURES).cloned().collect()
    };
    let n = u32::try_from(dataset.classes.len()).unwrap_or(u32::MAX);
    let total = (0..n).map(|class| of_class(class).len()).sum();
    let (mut done, mut all) = (0, Vec::new());
    for class in 0..n {
        let transform = setup::eval_transform(model.preprocess())?;
        let loader = setup::loader(&of_class(class), transform, options)?;
        let mut features = Features::new(model, options.threads).map_err(transfer)?;
        let mut count = 0;
        for batch in loader.epoch(0, 0) {
            let batch = batch.map_err(setup::data)?;
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            if !batch.indices.is_empty() {
                features.extend(&batch.xs, batch.shape).map_err(transfer)?;
            }
            count += batch.indices.len();
            done += batch.indices.len();
            observer.on_event(&Event::Caching { done, total });
        }
        let features = features.finish();
        let c = features.len() / count.max(1);
        all.push((features, c));
    }
    Ok(all)
}

/// Ends a run that trains nothing: writes the model, and says how it names the held-out pictures.
///
/// # Errors
/// [`Error::Option`] on several ranks, which would all do the same.
pub(crate) fn finish(
    (model, dataset, folder): (Model, &Dataset, RunFolder),
    parallel: &DataParallel,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
    started: Instant,
) -> Result<FineTuneReport> {
    if !parallel.group().is_alone() {
        let expected = "false on several ranks: nothing is trained that they could share";
        return Err(Error::option("keep", &true, expected));
    }
    let mut provenance = model.provenance().clone();
    let before = provenance.training.take().map_or_else(String::new, |it| format!("{it}; "));
    provenance.training =
        Some(format!("{before}classes added from mean features, nothing trained"));
    let model = model.with_provenance(provenance);
    let config = RunConfig::new(
        options.clone(),
        format!("{:016x}", dataset.fingerprint()),
        fingerprint(&model),
    );
    let run = Run::begin(folder, config)?;
    model.save(run.folder.model()).map_err(setup::model)?;
    let judged = EvaluateOptions {
        data: options.data.clone().unwrap_or_default(),
        batch_size: options.batch_size,
        threads: options.threads,
        ..EvaluateOptions::of_model("")
    };
    let report = judge(dataset, &model, &judged, observer, started)?;
    Ok(FineTuneReport {
        task: report.task,
        val_top1: report.top1,
        best_val_top1: report.top1,
        val_scores: report.scores.clone(),
        best_val_scores: report.scores,
        val_loss: Some(report.loss),
        val_images: Some(report.images),
        skipped: report.skipped_files.len(),
        skipped_files: report.skipped_files,
        epochs: 0,
        seconds: started.elapsed().as_secs_f64(),
        images_per_second: 0.0,
        model: Some(run.folder.model()),
        out: run.folder.path().to_path_buf(),
        stopped: false,
        time_up: false,
        review: report.review,
        cache: None,
        page: None,
        calibrated: None,
        distributed: None,
    })
}

#[cfg(test)]
mod tests;
