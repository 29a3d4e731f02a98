//! What a new head begins with: the old one, mixed, whatever the seed, and with whatever is trained.

use std::sync::atomic::AtomicBool;

use taper_data::{Array, Dataset, Sample, Target};
use taper_model::{Model, rescale_classifier};
use taper_transfer::Freeze;

use super::*;
use crate::extend::tests::{model, three};
use crate::fine_tune_on;
use crate::observer::{Silent, Told};
use crate::options::{Augment, HeadInit, Norms};

/// Classes that no folder has.
const OLD: [&str; 5] = ["1", "2", "3", "4", "5"];

#[test]
fn a_new_head_begins_with_the_old_one_mixed_whatever_the_seed_and_whatever_is_trained() {
    let dir = tempfile::tempdir().unwrap();
    // What a random network takes different pictures for differs little.
    let (old, path) = model(dir.path(), &OLD);
    let old = rescale_classifier(&old, &[1e6; 5], &[0.0; 5]).unwrap();
    old.save(&path).unwrap();
    let dataset = three();
    let weights = |name: &str, options: FineTuneOptions| -> Vec<f32> {
        // Next to nothing moves.
        let options = FineTuneOptions {
            model: path.display().to_string(),
            norms: Some(Norms::Freeze),
            epochs: 1,
            lr: Some(1e-12),
            weight_decay: 0.0,
            report: false,
            out: Some(dir.path().join(name)),
            ..options
        };
        let report = fine_tune_on(&dataset, &options, &AtomicBool::new(false), &mut Silent);
        let model = Model::load(report.unwrap().model.unwrap()).unwrap();
        let [weight, bias] = ["weight", "bias"]
            .map(|it| model.tensor(&format!("classifier.{it}")).unwrap().data.clone());
        [weight, bias].concat()
    };
    let mixed = |head_init| FineTuneOptions {
        head_init: Some(head_init),
        augment: Augment::None,
        ..FineTuneOptions::default()
    };
    let begun = mixed(HeadInit::Pretrained);
    let frozen = FineTuneOptions { freeze: Freeze::Backbone, ..begun.clone() };
    let first = weights("frozen", frozen.clone());
    let most = first.iter().fold(0.0f32, |most, it| most.max(it.abs()));
    assert!(most > 1.0, "{most}");
    let alike = |other: &[f32]| first.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-4 * most);
    assert!(alike(&weights("another seed", FineTuneOptions { seed: 1, ..frozen.clone() })));
    assert!(alike(&weights("all", FineTuneOptions { head_epochs: 0, ..begun.clone() })));
    let views = FineTuneOptions { augment: Augment::Yes, ..frozen.clone() };
    assert!(alike(&weights("changed pictures", views)));
    let learned = weights("learned alone", begun);
    let most_moved =
        first.iter().zip(&learned).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(most_moved > 2e-3 && most_moved < 0.1 * most, "it learns from there: {most_moved}");
    let random = FineTuneOptions { freeze: Freeze::Backbone, ..mixed(HeadInit::Random) };
    assert!(!alike(&weights("random", random)));

    // By the definition.
    let transform = crate::setup::eval_transform(old.preprocess()).unwrap();
    let loader = crate::setup::loader(&dataset.train, transform, &frozen).unwrap();
    let mut features = taper_transfer::Features::new(&old, 1).unwrap();
    let mut targets = Vec::new();
    for batch in loader.epoch(0, 0) {
        let batch = batch.unwrap();
        features.extend(&batch.xs, batch.shape).unwrap();
        targets.extend_from_slice(batch.targets.classes().unwrap());
    }
    let belongs = belongs(&targets.into(), 3).unwrap();
    let head = detach_head(&old).unwrap();
    let expected = mixed_head(&head, &dataset.classes, &features.finish(), &belongs).unwrap();
    let expected: Vec<f32> = expected.tensors().iter().flat_map(|it| it.data.clone()).collect();
    assert!(alike(&expected));
}

#[test]
fn what_no_old_head_fits_begins_with_a_random_one_and_says_so_where_another_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (old, path) = model(dir.path(), &OLD);
    let mut dataset = three();
    for sample in dataset.train.iter_mut().chain(&mut dataset.val) {
        let image = sample.image().unwrap();
        let level = f32::from(image.rgb()[0]);
        *sample = Sample::from_image(sample.name().to_owned(), Target::numbers(vec![level]), image);
    }
    dataset.classes = vec!["level".to_owned()];
    let options = FineTuneOptions {
        model: path.display().to_string(),
        head_init: Some(HeadInit::Pretrained),
        freeze: Freeze::Backbone,
        augment: Augment::None,
        epochs: 1,
        report: false,
        out: Some(dir.path().join("run")),
        ..FineTuneOptions::default()
    };
    let told_of = |dataset: &Dataset, options: &FineTuneOptions| {
        let mut told = Told::default();
        fine_tune_on(dataset, options, &AtomicBool::new(false), &mut told).unwrap();
        told.warnings.iter().filter(|it| it.contains("--head-init")).count()
    };
    assert_eq!(told_of(&dataset, &options), 1);
    let usual =
        FineTuneOptions { head_init: None, out: Some(dir.path().join("usual")), ..options.clone() };
    assert_eq!(told_of(&dataset, &usual), 0, "nobody asked for it");
    let broken = rescale_classifier(&old, &[f32::NAN; 5], &[0.0; 5]).unwrap();
    broken.save(&path).unwrap();
    let broken = FineTuneOptions { out: Some(dir.path().join("broken")), ..usual };
    assert_eq!(told_of(&three(), &broken), 1, "its weights would be the new one's");
    let without = FineTuneOptions { pretrained: crate::Pretrained::None, ..options };
    let refused = without.check().unwrap_err();
    assert!(matches!(refused, Error::Option { field: "head_init", .. }), "{refused}");
}

#[test]
fn a_teachers_probabilities_say_how_much_a_picture_is_of_each_class() {
    assert_eq!(belongs(&vec![1, 0].into(), 2).unwrap(), [0.0, 1.0, 1.0, 0.0]);
    let shares = vec![0.25, 0.75, 1.0, 0.0];
    let taught = Targets::Probabilities(Array::new(shares.clone(), vec![2, 2]).unwrap());
    assert_eq!(belongs(&taught, 2), Some(shares));
    assert_eq!(belongs(&vec![2].into(), 2), None);
}
