//! Rows of a head are kept by name, classes without pictures dropped or kept, new ones made of features.

use std::fs;
use std::path::{Path, PathBuf};

use taper_data::{Dataset, sample_set};
use taper_model::Preprocess;
use taper_transfer::Freeze;

use super::*;
use crate::observer::Told;
use crate::options::Augment;
use crate::{ResumeOptions, Silent, Splits, fine_tune, fine_tune_on, fine_tune_splits, resume};

/// A model file with these classes.
pub(crate) fn model(dir: &Path, classes: &[&str]) -> (Model, PathBuf) {
    let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(classes.len()).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let classes = classes.iter().map(|&class| class.to_owned()).collect();
    let model = Model::random(graph, 5, preprocess, classes).unwrap();
    let path = dir.join("old.safetensors");
    model.save(&path).unwrap();
    (model, path)
}

/// Some pictures of three classes: animal, clothing, face.
pub(crate) fn three() -> Dataset {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.classes.truncate(3);
    for part in [&mut dataset.train, &mut dataset.val] {
        part.retain(|sample| sample.class().is_some_and(|class| class < 3));
        *part = part.drain(..).step_by(8).collect();
    }
    dataset
}

/// A run that moves next to nothing.
fn options(dir: &Path, model: &Path) -> FineTuneOptions {
    FineTuneOptions {
        model: model.display().to_string(),
        freeze: Freeze::Backbone,
        augment: Augment::None,
        epochs: 1,
        lr: Some(1e-12),
        weight_decay: 0.0,
        out: Some(dir.join("run")),
        ..FineTuneOptions::default()
    }
}

fn row(model: &Model, class: usize) -> &[f32] {
    let weights = model.tensor("classifier.weight").unwrap();
    let c = weights.shape[1];
    &weights.data[class * c..(class + 1) * c]
}

#[test]
fn rows_are_kept_by_name_a_class_without_pictures_is_dropped_with_a_word_and_a_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (old, path) = model(dir.path(), &["clothing", "animal", "zebra"]);
    let (options, dataset) = (options(dir.path(), &path), three());
    let (stop, mut told) = (AtomicBool::new(false), Told::default());
    let report = fine_tune_on(&dataset, &options, &stop, &mut told).unwrap();
    let new = Model::load(report.model.unwrap()).unwrap();
    assert_eq!(new.classes(), ["animal", "clothing", "face"]);
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(same(row(&new, 0), row(&old, 1)) && same(row(&new, 1), row(&old, 0)));
    assert!(!same(row(&new, 2), row(&old, 2)), "a zebra is no face");
    let norm = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
    let typical = (0..3).map(|class| norm(row(&old, class))).sum::<f32>() / 3.0;
    assert!((norm(row(&new, 2)) / typical - 1.0).abs() < 0.2, "as long as the others");
    let said = told.warnings.join("\n");
    assert!(
        said.contains("`zebra`") && said.contains("dropped") && said.contains("`face`"),
        "{said}"
    );
    // The run keeps what it began with.
    assert!(dir.path().join("run/start.safetensors").is_file());
}

#[test]
fn classes_without_pictures_are_kept_when_asked_for_and_nothing_else_moves() {
    let dir = tempfile::tempdir().unwrap();
    let (old, path) = model(dir.path(), &["clothing", "animal", "zebra"]);
    let data = dir.path().join("data");
    sample_set::export(&data).unwrap();
    for part in ["train", "val"] {
        for class in ["animal", "clothing", "food", "tool", "vehicle"] {
            fs::remove_dir_all(data.join(part).join(class)).unwrap();
        }
    }
    let options = FineTuneOptions {
        data: Some(data.clone()),
        keep: true,
        lr: None,
        ..options(dir.path(), &path)
    };
    let (stop, mut told) = (AtomicBool::new(false), Told::default());
    let report = fine_tune(&options, &stop, &mut told).unwrap();
    assert_eq!(report.epochs, 0);
    assert!(report.val_top1.is_some() && report.val_images > Some(5));
    let new = Model::load(report.model.unwrap()).unwrap();
    assert_eq!(new.classes(), ["clothing", "animal", "zebra", "face"]);
    for class in 0..3 {
        assert_eq!(row(&new, class), row(&old, class));
    }
    for (param, (new, old)) in
        old.graph().params().iter().zip(new.tensors().iter().zip(old.tensors()))
    {
        let is_classifier = param.name.starts_with("classifier");
        assert!(is_classifier || new == old, "{}", param.name);
    }
    assert!(
        told.warnings.join("").contains("`clothing`, `animal`, `zebra`"),
        "{:?}",
        told.warnings
    );
    // A second time there is nothing to go on with, and the model stays.
    let again = resume(&ResumeOptions::new(dir.path().join("run")), &stop, &mut told).unwrap_err();
    assert!(again.to_string().contains("nothing to go on with"), "{again}");
    assert!(dir.path().join("run/model.safetensors").is_file());
    // What would be dropped without a word is refused, and leaves nothing behind.
    let asked = |change: &dyn Fn(&mut FineTuneOptions)| {
        let mut options =
            FineTuneOptions { out: Some(dir.path().join("refused")), ..options.clone() };
        change(&mut options);
        let error = fine_tune(&options, &stop, &mut Silent).unwrap_err();
        assert!(error.is_request() && !dir.path().join("refused").exists(), "{error}");
        error.to_string()
    };
    assert!(asked(&|it| it.ema = Some(0.9)).contains("nothing is trained then"));
    assert!(asked(&|it| it.max_minutes = Some(1.0)).contains("nothing is trained then"));
    assert!(asked(&|it| it.lr_auto = true).contains("nothing is trained then"));
    for change in [
        |it: &mut FineTuneOptions| it.tensorboard = true,
        |it: &mut FineTuneOptions| it.keep_best = Some(2),
        |it: &mut FineTuneOptions| it.swa = Some(1),
        |it: &mut FineTuneOptions| it.soup = Some(2),
    ] {
        assert!(asked(&change).contains("nothing is trained then"));
    }
    let folds = FineTuneOptions { out: Some(dir.path().join("folds")), ..options.clone() };
    let refused = fine_tune_splits(Splits::Folds(2), &folds, &stop, &mut told).unwrap_err();
    assert!(matches!(refused, Error::Option { field: "keep", .. }), "{refused}");
    assert!(!dir.path().join("folds").exists());
    // Without it, one class is nothing to tell apart.
    let forgetting = FineTuneOptions { keep: false, ..options };
    assert!(fine_tune(&forgetting, &stop, &mut told).unwrap_err().is_request());
}

/// Whose norms were frozen while layers learned, its statistics tell nothing of the classes' pictures: the means that a run measured do.
#[test]
fn the_file_tells_the_features_of_the_old_classes_and_in_the_end_those_of_the_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (old, path) = model(dir.path(), &["clothing", "animal"]);
    let stop = AtomicBool::new(false);
    let of = |dataset: &Dataset, class: usize| {
        let (all, options) = ((&dataset.train[..], dataset), options(dir.path(), &path));
        let OfClasses { features, width, .. } =
            of_classes(&old, all, &options, &stop, &mut Silent).unwrap();
        mean_features(&features[class], width)
    };
    let width = of(&three(), 2).len();
    // Classes whose pictures have one feature alone.
    let mut mean = vec![0.0; width];
    mean[7] = 1.0;
    let familiarity = Familiarity::new(&mean, mean.len()).unwrap().with_length(3.0).unwrap();
    let familiarity = familiarity.with_threshold(0.9, 0.95).unwrap();
    let confidence = Confidence::new(2.0, 10).unwrap().with_familiarity(familiarity);
    old.clone().with_confidence(Some(confidence)).unwrap().save(&path).unwrap();
    let data = dir.path().join("data");
    let add = |model: &Path, class: &str, out: &str| {
        sample_set::export(&data).unwrap();
        for part in ["train", "val"] {
            for folder in fs::read_dir(data.join(part)).unwrap() {
                let folder = folder.unwrap();
                if folder.file_name() != class {
                    fs::remove_dir_all(folder.path()).unwrap();
                }
            }
        }
        let options = FineTuneOptions {
            data: Some(data.clone()),
            keep: true,
            lr: None,
            out: Some(dir.path().join(out)),
            ..options(dir.path(), model)
        };
        let report = fine_tune(&options, &stop, &mut Silent).unwrap();
        fs::remove_dir_all(&data).unwrap();
        report.model.unwrap()
    };
    let one = add(&path, "face", "one");
    let new = Model::load(&one).unwrap();
    let all = sample_set::emoji6().unwrap();
    let face = of(&all, 2);
    let direction: Vec<f32> = face.iter().zip(&mean).map(|(x, usual)| x - 3.0 * usual).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    assert!(cosine(row(&new, 2), &direction) > 0.9999);
    // What is known of it stays, and faces are known as well.
    let known = new.confidence().unwrap();
    assert!((known.temperature() - 2.0).abs() < 1e-12 && known.images() == 10);
    let known = known.familiarity().unwrap();
    assert!(known.is_known(&face) && known.is_known(&mean) && known.score(&face) > 0.9);
    let flat = vec![1.0; face.len()];
    assert!(known.score(&flat) < known.score(&face));
    // A second time the first is among the old ones.
    let two = Model::load(add(&one, "food", "two")).unwrap();
    assert_eq!(two.classes(), ["clothing", "animal", "face", "food"]);
    let known = two.confidence().and_then(Confidence::familiarity).unwrap();
    assert!(known.is_known(&face) && known.is_known(&of(&all, 3)));
}

#[test]
fn a_model_of_other_classes_begins_anew_and_what_cannot_be_kept_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, path) = model(dir.path(), &["x", "y"]);
    let (stop, mut told) = (AtomicBool::new(false), Told::default());
    let dataset = three();
    let options = options(dir.path(), &path);
    fine_tune_on(&dataset, &options, &stop, &mut told).unwrap();
    assert!(told.warnings.is_empty(), "{:?}", told.warnings);
    let of_the_zoo = FineTuneOptions {
        model: "mobilenetv2_100".to_owned(),
        keep: true,
        out: Some(dir.path().join("zoo")),
        ..options
    };
    let refused = fine_tune_on(&dataset, &of_the_zoo, &stop, &mut told).unwrap_err();
    assert!(matches!(refused, Error::Option { field: "keep", .. }), "{refused}");
    assert!(!dir.path().join("zoo").exists());
}
