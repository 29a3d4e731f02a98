//! Runs from a model in memory: head and classes stay, masks hold, teachers teach, and all of it goes on after a stop.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_data::{Dataset, sample_set};
use taper_layers::Network;
use taper_model::{Model, Preprocess};
use taper_train::StepHook;

use super::{TuneFrom, fine_tune_from, resume_from};
use crate::error::{Error, Result};
use crate::observer::{Event, Observer, Silent};
use crate::options::{FineTuneOptions, OptimizerKind};
use crate::report::FineTuneReport;
use crate::{ResumeOptions, resume, resume_on};

fn pictures() -> Dataset {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.train = dataset.train.into_iter().step_by(21).take(16).collect();
    dataset.val = dataset.val.into_iter().step_by(9).collect();
    dataset
}

fn model(seed: u64, classes: &[String]) -> Model {
    let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(classes.len()).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    Model::random(graph, seed, preprocess, classes.to_vec()).unwrap()
}

/// A teacher whose pixels are prepared in another way.
fn teacher(classes: &[String]) -> Model {
    let model = model(5, classes);
    let preprocess = Preprocess { mean: [0.5; 3], std: [0.5; 3], ..*model.preprocess() };
    model.with_preprocess(preprocess).unwrap()
}

fn masks(model: &Model) -> BTreeMap<String, Vec<bool>> {
    ["conv_stem.weight", "conv_head.weight", "classifier.weight"]
        .into_iter()
        .map(|name| {
            let len = model.tensor(name).unwrap().data.len();
            (name.to_owned(), (0..len).map(|i| i % 4 != 2).collect())
        })
        .collect()
}

fn options(out: &Path) -> FineTuneOptions {
    FineTuneOptions {
        epochs: 2,
        batch_size: 4,
        lr: Some(0.01),
        bn_l1: Some(1e-3),
        optimizer: OptimizerKind::Sgd,
        out: Some(out.to_path_buf()),
        ..FineTuneOptions::default()
    }
}

/// Everything there is at once.
fn from(dataset: &Dataset) -> TuneFrom<'static> {
    let model = model(3, &dataset.classes);
    TuneFrom {
        teacher: Some(teacher(&dataset.classes)),
        masks: Some(masks(&model)),
        ..TuneFrom::new(model)
    }
}

/// Stops the run after so many steps.
struct Stopper<'s>(&'s AtomicBool, usize);

impl Observer for Stopper<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Step(_)) {
            self.1 -= 1;
            if self.1 == 0 {
                self.0.store(true, Ordering::Relaxed);
            }
        }
    }
}

fn run(from: TuneFrom<'_>, dataset: &Dataset, options: &FineTuneOptions) -> Result<FineTuneReport> {
    fine_tune_from(from, Some(dataset), options, &AtomicBool::new(false), &mut Silent)
}

fn files(run: &Path) -> [Vec<u8>; 3] {
    ["model.safetensors", "checkpoint/state.safetensors", "metrics.jsonl"]
        .map(|file| fs::read(run.join(file)).unwrap())
}

#[test]
fn a_run_with_a_teacher_and_masks_keeps_them_and_goes_on_bit_for_bit_without_the_program() {
    let (dir, dataset) = (tempfile::tempdir().unwrap(), pictures());
    let at = |name: &str| dir.path().join(name);
    let never = AtomicBool::new(false);
    run(from(&dataset), &dataset, &options(&at("whole"))).unwrap();
    let best = Model::load(at("whole/model.safetensors")).unwrap();
    assert_eq!(best.classes(), dataset.classes);
    for (name, kept) in masks(&best) {
        let values = &best.tensor(&name).unwrap().data;
        let zeros = values.iter().filter(|value| **value == 0.0).count();
        assert_eq!(zeros, kept.iter().filter(|kept| !**kept).count(), "{name}");
    }

    for steps in [1, 3, 4, 6] {
        let (stop, out) = (AtomicBool::new(false), at(&steps.to_string()));
        let mut stopper = Stopper(&stop, steps);
        let halted =
            fine_tune_from(from(&dataset), Some(&dataset), &options(&out), &stop, &mut stopper);
        assert!(halted.unwrap().stopped);
        let moved = at(&format!("moved-{steps}"));
        fs::rename(&out, &moved).unwrap();
        resume_on(&dataset, &ResumeOptions::new(&moved), &never, &mut Silent).unwrap();
        assert!(files(&moved) == files(&at("whole")), "stopped after {steps} steps");
    }
    // Neither teacher nor masks nor the penalty are without effect.
    let alone = |change: &dyn Fn(&mut TuneFrom<'_>, &mut FineTuneOptions)| {
        let (mut from, mut options) = (from(&dataset), options(&at("other")));
        change(&mut from, &mut options);
        run(from, &dataset, &options).unwrap();
        let model = Model::load(at("other/model.safetensors")).unwrap();
        fs::remove_dir_all(at("other")).unwrap();
        model.tensors() != best.tensors()
    };
    assert!(alone(&|from, _| from.teacher = None));
    assert!(alone(&|from, _| from.masks = None));
    assert!(alone(&|_, options| options.bn_l1 = None));
    assert!(alone(&|_, options| options.distill_weight = Some(0.5)));
    assert!(!alone(&|_, options| options.distill_weight = Some(0.9)));
}

#[test]
fn files_of_a_run_that_were_changed_are_named() {
    let (dir, dataset) = (tempfile::tempdir().unwrap(), pictures());
    let (stop, out) = (AtomicBool::new(false), dir.path().join("run"));
    let mut stopper = Stopper(&stop, 1);
    fine_tune_from(from(&dataset), Some(&dataset), &options(&out), &stop, &mut stopper).unwrap();
    let never = AtomicBool::new(false);
    let refused = || {
        resume_on(&dataset, &ResumeOptions::new(&out), &never, &mut Silent).unwrap_err().to_string()
    };
    for (file, what) in [("start", "model"), ("teacher", "teacher"), ("masks", "set of masks")] {
        let path = out.join(format!("{file}.safetensors"));
        let kept = fs::read(&path).unwrap();
        match file {
            "masks" => taper_train::save_masks(&BTreeMap::new(), &path).unwrap(),
            _ => model(99, &dataset.classes).save(&path).unwrap(),
        }
        let error = refused();
        assert!(error.contains(&format!("was made with another {what}")), "{error}");
        fs::remove_file(&path).unwrap();
        let error = refused();
        assert!(error.contains(&format!("{file}.safetensors")), "{error}");
        fs::write(&path, kept).unwrap();
    }
    let moved = ResumeOptions { model: Some("mobilenetv2_100".into()), ..ResumeOptions::new(&out) };
    let error = resume(&moved, &never, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Option { field: "model", .. }), "{error}");
    resume_on(&dataset, &ResumeOptions::new(&out), &never, &mut Silent).unwrap();
}

#[test]
fn other_classes_are_refused_before_anything_is_written() {
    let (dir, dataset) = (tempfile::tempdir().unwrap(), pictures());
    let out = dir.path().join("run");
    let mut others = dataset.classes.clone();
    others.swap(0, 1);
    for what in ["model", "teacher"] {
        let mut from = from(&dataset);
        match what {
            "model" => from.model = model(3, &others),
            _ => from.teacher = Some(model(3, &others)),
        }
        let error = run(from, &dataset, &options(&out)).unwrap_err();
        assert!(matches!(error, Error::OtherClasses { .. }) && error.is_request(), "{error}");
        assert!(error.to_string().starts_with(&format!("the {what} knows ")), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn masks_that_do_not_fit_are_refused_before_anything_is_written() {
    let (dir, dataset) = (tempfile::tempdir().unwrap(), pictures());
    let out = dir.path().join("run");
    let masks = BTreeMap::from([("classifier.bias".to_owned(), vec![true; 7])]);
    let from = TuneFrom { masks: Some(masks), ..from(&dataset) };
    let error = run(from, &dataset, &options(&out)).unwrap_err().to_string();
    assert_eq!(error, "there is a mask for `classifier.bias`, which has 6 entries, not 7");
    assert!(!out.exists());
}

/// Halves the classifier's bias after every step.
struct Halved;

impl StepHook for Halved {
    fn describe(&self) -> String {
        "the bias halved".to_owned()
    }

    fn after_step(&mut self, _step: u64, network: &Network) -> taper_train::Result<()> {
        for (_, var) in network.trainable().iter().filter(|(name, _)| name == "classifier.bias") {
            let halved = var.as_detached_tensor() * 0.5;
            let refused = |source| taper_train::Error::Tensor { what: "halving", source };
            halved.and_then(|values| var.set(&values)).map_err(refused)?;
        }
        Ok(())
    }
}

#[test]
fn hooks_of_a_program_are_asked_for_when_a_run_goes_on() {
    let (dir, dataset) = (tempfile::tempdir().unwrap(), pictures());
    let (stop, out) = (AtomicBool::new(false), dir.path().join("run"));
    let hooked = || TuneFrom { hooks: vec![Box::new(Halved)], ..from(&dataset) };
    let whole = dir.path().join("whole");
    run(hooked(), &dataset, &options(&whole)).unwrap();
    let mut stopper = Stopper(&stop, 3);
    fine_tune_from(hooked(), Some(&dataset), &options(&out), &stop, &mut stopper).unwrap();
    let (never, again) = (AtomicBool::new(false), ResumeOptions::new(&out));
    let error = resume_on(&dataset, &again, &never, &mut Silent).unwrap_err();
    assert!(error.to_string().contains("hook 3 = the bias halved"), "{error}");
    resume_from(vec![Box::new(Halved)], Some(&dataset), &again, &never, &mut Silent).unwrap();
    assert!(files(&out) == files(&whole));
}
