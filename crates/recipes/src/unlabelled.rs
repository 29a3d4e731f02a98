//! Pictures without labels, which take part with what the teacher says of them.
//!
//! Above: `fine_tune`. Below: `taper_data`, `taper_engine::Session`. Not here: what the teacher says of each batch besides (`tune::besides`).
//! Source: pseudo-labels as probabilities, Hinton et al. 2015, <https://arxiv.org/abs/1503.02531>, section 4; Xie et al. 2020 (noisy student),
//! <https://arxiv.org/abs/1911.04252>: the teacher sees pictures as they are, the student sees them changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::folder::{Listing, list_pictures_below};
use taper_data::{Array, Dataset, Sample, Skipped, Target, TargetKind};
use taper_engine::{Session, SessionOptions};
use taper_model::Model;

use crate::error::{Error, Result};
use crate::observer::{Event, Observer};
use crate::options::FineTuneOptions;
use crate::setup;
use crate::task::LOGITS;

/// What names begin with, so that none is that of a picture with a label.
const WITHIN: &str = "unlabelled/";

/// Pictures without labels, before anybody has said anything of them.
pub(crate) struct Unlabelled {
    samples: Vec<Sample>,
    skipped: Vec<Skipped>,
}

impl Unlabelled {
    /// Those of the folder `unlabelled`, if there is one.
    ///
    /// # Errors
    /// [`Error::Option`] where pictures have no classes; [`Error::Data`] if there are none, and with `strict` if a file is none.
    pub(crate) fn find(
        dataset: &Dataset,
        options: &FineTuneOptions,
        observer: &mut dyn Observer,
    ) -> Result<Option<Self>> {
        let Some(folder) = &options.unlabelled else { return Ok(None) };
        if dataset.kind() != TargetKind::Class {
            let expected = "absent where pictures have no classes";
            return Err(Error::option("unlabelled", &folder.display(), expected));
        }
        let (samples, skipped) = pictures(folder, observer)?;
        let held_out = held_out(&samples, dataset);
        if held_out > 0 {
            let text = format!(
                "{held_out} pictures of `{}` are among those held out: what they say of the model is of pictures that it was trained with",
                folder.display()
            );
            observer.on_event(&Event::Warning(&text));
        }
        if let (true, Some(first)) = (options.strict, skipped.first()) {
            let (count, name, reason) = (skipped.len(), first.name.clone(), first.reason.clone());
            return Err(setup::data(taper_data::Error::Strict { count, name, reason }));
        }
        Ok(Some(Self { samples, skipped }))
    }

    /// What tells the data set with these pictures from others.
    fn fingerprint(&self, dataset: &Dataset) -> u64 {
        let train = dataset.train.iter().chain(&self.samples).cloned().collect();
        Dataset { train, ..dataset.clone() }.fingerprint()
    }
}

/// What a run's configuration has of its pictures: that of the data set, with those without labels if there are any.
pub(crate) fn fingerprint(
    dataset: &Dataset,
    options: &FineTuneOptions,
    observer: &mut dyn Observer,
) -> Result<String> {
    let unlabelled = Unlabelled::find(dataset, options, observer)?;
    Ok(printed(unlabelled.as_ref(), dataset))
}

/// The same of what was found.
pub(crate) fn printed(unlabelled: Option<&Unlabelled>, dataset: &Dataset) -> String {
    let print = unlabelled.map_or_else(|| dataset.fingerprint(), |it| it.fingerprint(dataset));
    format!("{print:016x}")
}

/// The data set with pictures without labels besides those to train with, all with probabilities of classes: whole ones of classes that are known,
/// and otherwise the teacher's, who sees each of them once.
///
/// # Errors
/// [`Error::Stopped`]; [`Error::Train`] if none can be read.
pub(crate) fn taught(
    mut dataset: Dataset,
    unlabelled: Unlabelled,
    teacher: &Model,
    options: &FineTuneOptions,
    stop: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Dataset> {
    let Unlabelled { samples, mut skipped } = unlabelled;
    let folder = options.unlabelled.clone().unwrap_or_default();
    let k = dataset.classes.len();
    let failed = |source| Error::Engine { source };
    let session = SessionOptions { threads: options.threads, outputs: vec![LOGITS.to_owned()] };
    let mut session = Session::new(teacher, &session).map_err(failed)?;
    let transform = setup::eval_transform(teacher.preprocess())?;
    let loader = setup::loader(&samples, transform, options)?;
    let (mut done, total) = (0, samples.len());
    let mut all: Vec<Sample> = Vec::new();
    for batch in loader.epoch(0, 0) {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let batch = batch.map_err(setup::data)?;
        done += batch.indices.len() + batch.skipped.len();
        skipped.extend(batch.skipped.iter().map(|it| {
            let name = it.name.strip_prefix(WITHIN).unwrap_or(&it.name);
            Skipped { name: whole(&folder.join(name)), reason: it.reason.clone() }
        }));
        if !batch.indices.is_empty() {
            let logits = session.run(&batch.xs, batch.shape).map_err(failed)?;
            for (&index, row) in batch.indices.iter().zip(logits.chunks_exact(k.max(1))) {
                let said = teacher.probabilities(row);
                all.push(samples[index].clone().with_target(probabilities(&said)?));
            }
        }
        observer.on_event(&Event::Caching { done, total });
    }
    if all.is_empty() {
        return Err(Error::Train { source: taper_train::Error::nothing_left("training", skipped) });
    }
    for part in [&mut dataset.train, &mut dataset.val] {
        for sample in part.iter_mut() {
            let class = sample.class().map_or(k, |class| class as usize);
            let whole: Vec<f64> = (0..k).map(|at| if at == class { 1.0 } else { 0.0 }).collect();
            *sample = sample.clone().with_target(probabilities(&whole)?);
        }
    }
    dataset.train.append(&mut all);
    dataset.skipped.append(&mut skipped);
    Ok(dataset)
}

/// The whole path, which says where a file is that does not lie with the data.
fn whole(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    whole.display().to_string()
}

/// How many of these pictures are among those that a data set holds out.
fn held_out(samples: &[Sample], dataset: &Dataset) -> usize {
    let place = |sample: &Sample| sample.path().and_then(|path| path.canonicalize().ok());
    let val: HashSet<PathBuf> = dataset.val.iter().filter_map(place).collect();
    samples.iter().filter_map(place).filter(|path| val.contains(path)).count()
}

/// The pictures that lie in a folder, and in all folders in it: their names are not looked at. Files that are none have their whole paths.
fn pictures(folder: &Path, observer: &mut dyn Observer) -> Result<(Vec<Sample>, Vec<Skipped>)> {
    let Listing { pictures, skipped } = list_pictures_below(folder).map_err(setup::data)?;
    let parents = pictures.iter().filter_map(|path| path.parent()).filter(|it| *it != folder);
    let inner = parents.collect::<HashSet<_>>().len();
    if inner > 0 {
        let text = format!(
            "`{}` has {inner} folders, whose names are not looked at: pictures with known classes belong to `data`",
            folder.display(),
        );
        observer.on_event(&Event::Warning(&text));
    }
    let skipped =
        skipped.into_iter().map(|it| Skipped { name: whole(&folder.join(&it.name)), ..it });
    let skipped = skipped.collect();
    let sample = |path: PathBuf| {
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        Sample::from_file(format!("{WITHIN}{name}"), 0, path)
    };
    Ok((pictures.into_iter().map(sample).collect(), skipped))
}

#[expect(clippy::cast_possible_truncation, reason = "targets are of this precision")]
fn probabilities(values: &[f64]) -> Result<Target> {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    let shape = vec![values.len()];
    Array::new(values, shape).map(Target::Probabilities).map_err(setup::data)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use taper_data::sample_set;
    use taper_model::{Confidence, Preprocess};

    use super::*;
    use crate::observer::Told;
    use crate::{Augment, ResumeOptions, Silent, fine_tune, resume};

    /// Puts a file that is no picture among those without labels as soon as the teacher has seen them all.
    struct Spoiler<'a>(&'a Path, usize);

    impl Observer for Spoiler<'_> {
        fn on_event(&mut self, event: &Event<'_>) {
            if let Event::Caching { done, total } = event
                && done == total
            {
                fs::write(self.0.join("notes.txt"), "no picture").unwrap();
                self.1 += 1;
            }
        }
    }

    #[test]
    fn a_calibrated_teacher_is_as_sure_of_pictures_as_it_says_when_it_predicts() {
        let dataset = sample_set::emoji6().unwrap();
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
        let model = Model::random(graph, 5, preprocess, dataset.classes.clone()).unwrap();
        let sharp = Confidence::new(0.25, 1).unwrap();
        let sharp = model.clone().with_confidence(Some(sharp)).unwrap();
        let said = |teacher: &Model| {
            let samples = dataset.val[..2].to_vec();
            let unlabelled = Unlabelled { samples, skipped: Vec::new() };
            let options = FineTuneOptions::default();
            let stop = AtomicBool::new(false);
            let taught =
                taught(dataset.clone(), unlabelled, teacher, &options, &stop, &mut Silent).unwrap();
            let last = taught.train.last().unwrap().target().clone();
            let Target::Probabilities(shares) = last else { panic!("{last:?}") };
            shares.values().to_vec()
        };
        // Logits are divided by a fourth, so that probabilities are to the power of four.
        let powers = said(&model).into_iter().map(|share| share.powi(4));
        let powers = Vec::from_iter(powers);
        let total: f32 = powers.iter().sum();
        for (got, power) in said(&sharp).into_iter().zip(powers) {
            assert!((got - power / total).abs() < 1e-4, "{got} {power} {total}");
        }
    }

    #[test]
    fn pictures_without_labels_are_trained_with_by_what_the_teacher_says() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        sample_set::export(&data).unwrap();
        // All but a few of the training pictures lose their labels.
        let flat = dir.path().join("flat");
        fs::create_dir(&flat).unwrap();
        let mut moved = 0;
        for class in fs::read_dir(data.join("train")).unwrap() {
            let class = class.unwrap().path();
            let mut files: Vec<_> =
                fs::read_dir(&class).unwrap().map(|it| it.unwrap().path()).collect();
            files.sort();
            for file in &files[4..] {
                fs::rename(file, flat.join(format!("{moved}.png"))).unwrap();
                moved += 1;
            }
        }
        fs::write(flat.join("notes.txt"), "no picture").unwrap();
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
        let classes = sample_set::emoji6().unwrap().classes;
        let teacher = dir.path().join("teacher.safetensors");
        Model::random(graph, 5, preprocess, classes).unwrap().save(&teacher).unwrap();
        let options = |name: &str| FineTuneOptions {
            data: Some(data.clone()),
            model: teacher.display().to_string(),
            teacher: Some(teacher.display().to_string()),
            unlabelled: Some(flat.clone()),
            augment: Augment::None,
            epochs: 1,
            head_epochs: 0,
            out: Some(dir.path().join(name)),
            ..FineTuneOptions::default()
        };
        let (stop, mut told) = (AtomicBool::new(false), Told::default());
        let report = fine_tune(&options("run"), &stop, &mut told).unwrap();
        assert_eq!((told.train_images, moved), (425, 425 - 24));
        assert!(report.val_top1.is_some() && report.review.is_some());
        assert!(report.skipped_files.iter().any(|it| it.path.ends_with("notes.txt")));

        // Another picture without a label is another run, wherever it lies.
        let deep = flat.join("deeper/still");
        fs::create_dir_all(&deep).unwrap();
        fs::copy(flat.join("0.png"), deep.join("one.png")).unwrap();
        let again = ResumeOptions::new(dir.path().join("run"));
        let changed = resume(&again, &stop, &mut Silent).unwrap_err();
        assert!(matches!(changed, Error::Changed { what: "data set", .. }), "{changed}");
        fs::remove_dir_all(flat.join("deeper")).unwrap();
        resume(&again, &stop, &mut Silent).unwrap();
        // A rate is looked for on what the teacher has said already.
        fs::remove_file(flat.join("notes.txt")).unwrap();
        let auto = FineTuneOptions { strict: true, lr_auto: true, ..options("auto") };
        let mut spoiler = Spoiler(&flat, 0);
        fine_tune(&auto, &stop, &mut spoiler).unwrap();
        assert_eq!(spoiler.1, 1);
        let strict = FineTuneOptions { strict: true, ..options("strict") };
        let refused = fine_tune(&strict, &stop, &mut Silent).unwrap_err().to_string();
        assert!(refused.contains("notes.txt"), "{refused}");

        let (folders, mut told) = (data.join("val"), Told::default());
        let options_of = |folder: &Path, name: &str| FineTuneOptions {
            unlabelled: Some(folder.to_path_buf()),
            ..options(name)
        };
        fine_tune(&options_of(&folders, "folders"), &stop, &mut told).unwrap();
        assert!(told.warnings.iter().any(|text| text.contains("6 folders")), "{:?}", told.warnings);
        let held_out = |text: &String| text.contains("are among those held out");
        assert!(told.warnings.iter().any(held_out), "{:?}", told.warnings);
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let refused = fine_tune(&options_of(&empty, "none"), &stop, &mut Silent).unwrap_err();
        assert!(refused.is_request() && !dir.path().join("none").exists(), "{refused}");
        let alone = FineTuneOptions { teacher: None, ..options("alone") };
        let refused = fine_tune(&alone, &stop, &mut Silent).unwrap_err();
        assert!(matches!(refused, Error::Option { field: "unlabelled", .. }), "{refused}");
    }
}
