//! Classes that a model knows and classes of new pictures in one model: which rows of the head stay, where new ones begin.
//!
//! Above: `fine_tune`. Below: `features`, `confidence`, `taper_transfer::imprint`, `taper_model::carry_classifier`, `setup`. Not here: training what comes of it (`tune`).
//! Only a model file has classes to keep; a network of the zoo begins with a new head.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use taper_classifier::class_names;
use taper_data::{Dataset, Sample, Skipped, TargetKind};
use taper_model::{Confidence, Familiarity, Model, Task, carry_classifier};
use taper_train::{DataParallel, RunFolder};
use taper_transfer::{OtherFeatures, imprint, mean_features, usual_features};

use crate::confidence::with_classes;
use crate::data::{self, SkippedFiles};
use crate::error::{Error, Result};
use crate::evaluate::{judge_with, listed};
use crate::features::{Batching, Embedded, embedded};
use crate::observer::{Event, Observer};
use crate::options::{EvaluateOptions, FineTuneOptions, Pretrained};
use crate::report::FineTuneReport;
use crate::run::{self, Kept, Run, RunConfig, fingerprint};
use crate::run_report::answers::Collector;
use crate::run_report::calls::{Call, Ended};
use crate::run_report::{Of, at_end, or_told};
use crate::{setup, source};

/// Pictures of a class that its weights are made of, at most: the mean of so many is known well enough.
const PICTURES: usize = 64;

/// A model for old and new classes.
pub(crate) struct Extended {
    /// Its classes are those of the data set, or, with old ones that are kept, those and these.
    pub(crate) model: Model,
    /// Whether there are no old classes without pictures, so that training loses none.
    pub(crate) is_whole: bool,
    /// Pictures that the new classes could not be made of.
    pub(crate) skipped: Vec<Skipped>,
}

impl Extended {
    /// What training begins with; the run's folder is to keep it.
    pub(crate) fn begin(self, kept: Kept) -> (Model, Kept) {
        let start = Some(self.model.clone());
        (self.model, Kept { start, ..kept })
    }
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
/// [`Error::Option`] for `keep` of a model without classes, and with options of a training that there is none of; [`Error::Data`] for a new class of
/// which no picture can be read.
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
    if !is_whole {
        check_untrained(options)?;
    }
    tell(&meeting, is_whole, observer);
    let (others, directions) = if is_whole { (None, &[][..]) } else { old_features(model)? };
    let model = &setup::at_size(model.clone(), options.image_size)?;
    let mut new = carry_classifier(model, classes, options.seed).map_err(setup::model)?;
    let transfer = |source| Error::Transfer { source };
    let OfClasses { features, width, skipped } = match added.is_empty() {
        true => OfClasses::default(),
        false => of_classes(model, (&dataset.train, dataset), options, stop, observer)?,
    };
    let old: Vec<usize> =
        (0..classes.len()).filter(|&class| !added.contains(&classes[class])).collect();
    for (at, name) in dataset.classes.iter().enumerate().filter(|(_, name)| added.contains(name)) {
        let Some(class) = classes.iter().position(|it| it == name) else { continue };
        if features[at].is_empty() {
            return Err(setup::data(taper_data::Error::EmptyClass {
                path: options.data.clone().unwrap_or_default(),
                class: name.clone(),
                skipped: skipped.len(),
                first: skipped.first().cloned().map(Box::new),
            }));
        }
        let others = others.clone().unwrap_or_else(|| {
            let means =
                features.iter().enumerate().filter(|(other, it)| *other != at && !it.is_empty());
            let means = means.flat_map(|(_, features)| mean_features(features, width));
            mean_features(&means.collect::<Vec<f32>>(), width)
        });
        let others = OtherFeatures { mean: &others, directions };
        new = imprint(&new, class, &features[at], others, &old).map_err(transfer)?;
    }
    if let (false, Some(confidence)) = (is_whole, model.confidence()) {
        let is_added = |class: usize| added.contains(&dataset.classes[class]);
        let of_added = |features: Vec<Vec<f32>>| -> Vec<Vec<f32>> {
            let all = features.into_iter().enumerate();
            all.filter(|(class, _)| is_added(*class)).map(|(_, it)| it).collect()
        };
        let val = of_classes(model, (&dataset.val, dataset), options, stop, observer)?;
        let (train, val) = (of_added(features), of_added(val.features).concat());
        let confidence = with_classes(confidence, &train, &val)?;
        new = new.with_confidence(Some(confidence)).map_err(setup::model)?;
    }
    Ok(Some(Extended { model: new, is_whole, skipped }))
}

/// The mean features of the pictures that a model's classes were learned from, and directions in which they vary: what its file has, or else the mean that its
/// norms tell.
fn old_features(model: &Model) -> Result<(Option<Vec<f32>>, &[f32])> {
    let familiarity = model.confidence().and_then(Confidence::familiarity);
    let directions = familiarity.map_or(&[][..], Familiarity::directions);
    let measured = familiarity.and_then(Familiarity::usual_features);
    let told = || usual_features(model).map_err(|source| Error::Transfer { source });
    let mean = measured.map_or_else(told, |mean| Ok(Some(mean)))?;
    if mean.is_none() {
        let expected = "false for this model, whose file does not tell the features of the old classes: give pictures of them, too";
        return Err(Error::option("keep", &true, expected));
    }
    Ok((mean, directions))
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

/// Features by class of the data set.
#[derive(Default)]
struct OfClasses {
    /// Those of a class row by row, each of `width` numbers.
    features: Vec<Vec<f32>>,
    width: usize,
    skipped: Vec<Skipped>,
}

/// The features of the first of these pictures of each class that can be read.
fn of_classes(
    model: &Model,
    (pictures, dataset): (&[Sample], &Dataset),
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<OfClasses> {
    let mut counts = vec![0; dataset.classes.len()];
    let mut is_among_first = |class: u32| {
        let count = counts.get_mut(class as usize)?;
        *count += 1;
        (*count <= PICTURES).then_some(())
    };
    let samples = pictures.iter().filter(|it| it.class().and_then(&mut is_among_first).is_some());
    let samples: Vec<_> = samples.cloned().collect();
    let batching = Batching { batch_size: options.batch_size, threads: options.threads };
    let Embedded { vectors, width, indices, skipped } =
        embedded(model, &samples, batching, stop, observer)?;
    let mut features = vec![Vec::new(); dataset.classes.len()];
    for (&index, row) in indices.iter().zip(vectors.chunks_exact(width.max(1))) {
        if let Some(of_class) = samples[index].class().and_then(|it| features.get_mut(it as usize))
        {
            of_class.extend_from_slice(row);
        }
    }
    Ok(OfClasses { features, width, skipped })
}

/// Refuses what would change a training, where there is none: it would be dropped without a word.
fn check_untrained(options: &FineTuneOptions) -> Result<()> {
    let FineTuneOptions { teacher, unlabelled, ema, swa, soup, keep_best, .. } = options;
    let FineTuneOptions { max_minutes, lr_auto, tensorboard, .. } = options;
    let number = |value: &Option<usize>| value.map(|it| it.to_string());
    let asked: [(&'static str, Option<String>); 9] = [
        ("teacher", teacher.clone()),
        ("unlabelled", unlabelled.as_ref().map(|it| it.display().to_string())),
        ("ema", ema.map(|it| it.to_string())),
        ("swa", number(swa)),
        ("soup", number(soup)),
        ("keep_best", number(keep_best)),
        ("tensorboard", tensorboard.then(|| "true".to_owned())),
        ("max_minutes", max_minutes.map(|it| it.to_string())),
        ("lr", lr_auto.then(|| "auto".to_owned())),
    ];
    match asked.into_iter().find_map(|(field, value)| Some((field, value?))) {
        Some((field, value)) => Err(Error::option(
            field,
            &value,
            "absent where `keep` keeps classes without pictures: nothing is trained then",
        )),
        None => Ok(()),
    }
}

/// Ends a run that trains nothing: writes the model, and says how it names the held-out pictures.
///
/// # Errors
/// [`Error::Option`] on several ranks, which would all do the same.
pub(crate) fn finish(
    (extended, dataset, folder): (Extended, &Dataset, RunFolder),
    parallel: &DataParallel,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
    started: Instant,
) -> Result<FineTuneReport> {
    if !parallel.group().is_alone() {
        let expected = "false on several ranks: nothing is trained that they could share";
        return Err(Error::option("keep", &true, expected));
    }
    let Extended { model, skipped: gone, .. } = extended;
    let mut skipped =
        SkippedFiles::new(data::root(options.data.as_deref(), options.table.as_deref()));
    skipped.tell(&gone, observer);
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
    // The model first: whoever is ended between both leaves a model, and no run that could not be gone on with.
    let held = run::claim(&folder)?;
    model.save(folder.model()).map_err(setup::model)?;
    let run = Run::begin(folder, config)?;
    drop(held);
    let judged = EvaluateOptions {
        data: options.data.clone().unwrap_or_default(),
        batch_size: options.batch_size,
        threads: options.threads,
        ..EvaluateOptions::of_model("")
    };
    let names = class_names(&model).map_err(setup::classifier)?;
    let mut answers = Collector::new(model.task(), &names, &dataset.val);
    let report = judge_with(dataset, &model, &judged, observer, started, Some(&mut answers))?;
    let mut skipped = skipped.into_files();
    skipped.extend(report.skipped_files);
    let mut report = FineTuneReport {
        task: report.task,
        val_top1: report.top1,
        best_val_top1: report.top1,
        val_scores: report.scores.clone(),
        best_val_scores: report.scores,
        val_loss: Some(report.loss),
        val_images: Some(report.images),
        skipped: skipped.len(),
        skipped_files: skipped,
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
        calibration: Vec::new(),
        distributed: None,
    };
    let call = Call::of(&report, Ended::Finished, options.threads, 1);
    let Run { folder, config, .. } = &run;
    let of = Of { folder, config, options, model: Some(&model), dataset: Some(dataset) };
    let page = at_end(&of, call, Some(answers.answers));
    report.page = or_told(&of.folder.report(), page, observer).flatten();
    Ok(report)
}

#[cfg(test)]
pub(crate) mod tests;
