//! Whole runs of a tiny network: learning, stopping, being killed, resuming, diverging.

mod averages;
mod hooks;
mod limits;
mod small_batches;
mod teaching;
mod unreadable;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use taper_data::Targets;
use taper_data::random::Rng;
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, PoolKind};
use taper_layers::loss::CrossEntropy;
use taper_layers::{NamedTensors, Network};
use taper_model::{Model, Preprocess};
use taper_optim::{AdamW, Clip, Optimizer, Rule, Schedule, Sgd, split_by_decay};

use super::{Fit, Outcome, Settings, Start};
use crate::Limits;
use crate::{
    Accuracy, Batch, Batches, Checkpoint, Error, Event, LogLoss, MeanIou, MeanLoss, Metric, Result,
    RunFolder,
};

const SIDE: usize = 6;

/// Pictures of three classes: one channel is brighter. Shuffled, with noise that changes from epoch to epoch.
struct Pictures {
    n: usize,
    batch_size: usize,
    noise: f32,
}

impl Pictures {
    fn batch(&self, epoch: usize, position: usize, indices: &[usize]) -> Batch {
        let picture = |&i: &usize| {
            let mut rng = Rng::keyed([17, epoch as u64, i as u64]);
            let noise = self.noise;
            (0..SIDE * SIDE * 3).map(move |place| {
                let bright = if place % 3 == i % 3 { 1.0 } else { 0.0 };
                bright + noise * f32::from(u16::try_from(rng.below(1000)).unwrap()) / 1000.0
            })
        };
        Batch {
            position,
            xs: indices.iter().flat_map(picture).collect(),
            shape: [indices.len(), SIDE, SIDE],
            targets: Targets::Classes(
                indices.iter().map(|&i| u32::try_from(i % 3).unwrap()).collect(),
            ),
            indices: indices.to_vec(),
            skipped: Vec::new(),
            for_teacher: None,
        }
    }
}

impl Batches for Pictures {
    fn n_samples(&self) -> usize {
        self.n
    }

    fn n_batches(&self) -> usize {
        self.n.div_ceil(self.batch_size)
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let mut order: Vec<usize> = (0..self.n).collect();
        Rng::keyed([5, epoch as u64]).shuffle(&mut order);
        let batches: Vec<Vec<usize>> =
            order.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        let batches = batches.into_iter().enumerate().skip(start_batch);
        Box::new(batches.map(move |(position, indices)| Ok(self.batch(epoch, position, &indices))))
    }
}

/// A convolution, a norm, a pool, a dropout and a classifier.
fn test_net() -> Network {
    net(&[1])
}

/// A convolution and a norm for each stride, a pool, a dropout and a classifier.
fn net(strides: &[usize]) -> Network {
    let build = || -> taper_graph::Result<Graph> {
        let mut b = GraphBuilder::new(3)?;
        let mut xs = b.input();
        for (i, &stride) in strides.iter().enumerate() {
            xs = b.conv(&format!("conv{i}"), xs, Conv::dense(8, 3, stride), Bias::Without)?;
            xs = b.batch_norm(&format!("bn{i}"), xs, 1e-5, 0.1)?;
            xs = b.activation(&format!("act{i}"), xs, Activation::Relu6)?;
        }
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
        let xs = b.dropout("drop", xs, 0.2)?;
        let logits = b.linear("classifier", xs, 3, Bias::With)?;
        b.output("logits", logits)?;
        b.build()
    };
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [SIDE, SIDE];
    let classes = ["red", "green", "blue"].map(str::to_owned).to_vec();
    let model = Model::random(build().unwrap(), 1, preprocess, classes).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}

fn settings(out: &Path, lr: f64) -> Settings {
    Settings {
        epochs: 3,
        schedule: Schedule::cosine(lr, 12).with_warmup(2),
        clip: Some(Clip::Norm(1.0)),
        best_by: None,
        limits: Limits::default(),
        seed: 9,
        save_every: None,
        keep_best: 0,
        out: RunFolder::new(out),
        config: BTreeMap::from([("lr".to_owned(), lr.to_string())]),
    }
}

/// Four batches an epoch, the last of which is smaller.
const TRAIN: Pictures = Pictures { n: 22, batch_size: 6, noise: 0.5 };
const VAL: Pictures = Pictures { n: 9, batch_size: 4, noise: 0.2 };

fn run_with<R: Rule>(
    rule: R,
    settings: &Settings,
    start: Start,
    stop: &AtomicBool,
    observe: impl FnMut(&Event<'_>),
) -> Result<Outcome> {
    run_judged(rule, classified(), settings, start, stop, observe)
}

fn classified() -> Vec<Box<dyn Metric>> {
    vec![Box::new(LogLoss::new()), Box::new(Accuracy::top(1)), Box::new(Accuracy::top(5))]
}

fn run_judged<R: Rule>(
    rule: R,
    metrics: Vec<Box<dyn Metric>>,
    settings: &Settings,
    start: Start,
    stop: &AtomicBool,
    observe: impl FnMut(&Event<'_>),
) -> Result<Outcome> {
    run_on((&test_net(), metrics), [&TRAIN, &VAL], rule, settings, start, (stop, observe))
}

fn run_on<R: Rule>(
    (network, metrics): (&Network, Vec<Box<dyn Metric>>),
    [train, val]: [&dyn Batches; 2],
    rule: R,
    settings: &Settings,
    start: Start,
    (stop, mut observe): (&AtomicBool, impl FnMut(&Event<'_>)),
) -> Result<Outcome> {
    let params = network.params().iter().filter(|param| param.is_trained());
    let params =
        params.map(|param| (param.name.clone(), param.var.clone(), param.role.is_decayed()));
    let optimizer = Optimizer::from_groups(split_by_decay(params, 1e-3), rule)?;
    let save_model = |network: &Network, path: &Path| {
        network.to_model()?.save(path)?;
        Ok(())
    };
    let mut fit = Fit {
        network,
        optimizer,
        loss: &CrossEntropy::new().with_label_smoothing(0.1)?,
        teacher: None,
        hooks: vec![],
        average: None,
        metrics,
        train,
        val,
        settings,
        save_model: &save_model,
        time_up: None,
        parallel: None,
    };
    fit.run(start, stop, &mut observe)
}

fn sgd() -> Sgd {
    Sgd { momentum: 0.9, nesterov: true, dampening: 0.0 }
}

fn run(settings: &Settings, start: Start, observe: impl FnMut(&Event<'_>)) -> Result<Outcome> {
    run_with(sgd(), settings, start, &AtomicBool::new(false), observe)
}

/// The bytes of the three files of a run.
fn files(settings: &Settings) -> [Vec<u8>; 3] {
    [settings.out.model(), settings.out.checkpoint(), settings.out.log()]
        .map(|path| std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
}

#[test]
fn a_tiny_network_learns_and_tells_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), 0.3);
    settings.epochs = 12;
    settings.schedule = Schedule::cosine(0.3, 48).with_warmup(2);
    let (mut steps, mut epochs, mut losses) = (0, 0, Vec::new());
    let outcome = run(&settings, Start::Fresh, |event| match event {
        Event::Started { epochs, batches_per_epoch, samples_per_epoch, step, .. } => {
            assert_eq!((*epochs, *batches_per_epoch, *samples_per_epoch, *step), (12, 4, 22, 0));
        }
        Event::Step { step, loss, grad_norm, .. } => {
            assert_eq!(*step, steps);
            assert!(grad_norm.is_some());
            steps += 1;
            losses.push(*loss);
        }
        Event::EpochEnd { epoch, train, val, .. } => {
            assert_eq!((*epoch, train.samples, val.scores.samples), (epochs, 22, 9));
            epochs += 1;
        }
        _ => {}
    })
    .unwrap();
    assert_eq!((steps, epochs, outcome.steps, outcome.stopped), (48, 12, 48, false));
    let last = outcome.last.unwrap().scores;
    assert_eq!(last.get("top1"), Some(1.0), "{last:?}");
    assert!(losses[47] < losses[0]);
    assert!(outcome.best.unwrap().scores.get("top1") >= last.get("top1"));
    let log = String::from_utf8(files(&settings)[2].clone()).unwrap();
    assert_eq!(log.lines().count(), 48 + 12);
    let saved = Model::load(settings.out.model()).unwrap();
    assert_eq!(saved.classes(), ["red", "green", "blue"]);
}

fn stopping_anywhere_changes_nothing<R: Rule + Copy>(rule: R, lr: f64) {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"), lr);
    let never = AtomicBool::new(false);
    run_with(rule, &whole, Start::Fresh, &never, |_| ()).unwrap();
    for first in [0, 1, 3, 4, 7, 11] {
        let stopped = settings(&dir.path().join(first.to_string()), lr);
        let mut start = Start::Fresh;
        for at in [first, first + 2, 100] {
            let stop = AtomicBool::new(false);
            let outcome = run_with(rule, &stopped, start, &stop, |event| {
                if matches!(event, Event::Step { step, .. } if *step >= at) {
                    stop.store(true, Ordering::Relaxed);
                }
            });
            assert_eq!(outcome.unwrap().stopped, at < 12);
            start = Start::Resume;
        }
        assert!(files(&stopped) == files(&whole), "stopped after steps {first} and {}", first + 2);
    }
}

#[test]
fn a_run_stopped_anywhere_and_resumed_is_one_never_stopped_bit_for_bit() {
    stopping_anywhere_changes_nothing(sgd(), 0.1);
    stopping_anywhere_changes_nothing(AdamW::default(), 0.01);
}

/// Copies a run folder as a kill at this moment would leave it.
fn snapshot(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => snapshot(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn a_run_killed_at_any_event_and_resumed_is_one_never_killed_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let mut whole = settings(&dir.path().join("whole"), 0.1);
    whole.save_every = Some(3);
    let mut kills = 0;
    run(&whole, Start::Fresh, |_| {
        snapshot(whole.out.path(), &dir.path().join(format!("kill-{kills}")));
        kills += 1;
    })
    .unwrap();
    assert!(kills > 20, "{kills}");
    for kill in 0..kills {
        let mut killed = settings(&dir.path().join(format!("kill-{kill}")), 0.1);
        killed.save_every = Some(3);
        run(&killed, Start::Resume, |_| ()).unwrap();
        assert!(files(&killed) == files(&whole), "killed at event {kill}");
    }
}

#[test]
fn a_finished_run_resumes_to_its_own_result() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    let first = run(&settings, Start::Fresh, |_| ()).unwrap();
    let before = files(&settings);
    let again = run(&settings, Start::Resume, |event| {
        assert!(!matches!(event, Event::Step { .. }));
    });
    assert_eq!(again.unwrap(), first);
    assert!(files(&settings) == before);
}

#[test]
fn a_diverging_run_names_the_step_and_keeps_the_last_good_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), 1e38);
    settings.clip = None;
    settings.schedule = Schedule::constant(1e38);
    let error = run(&settings, Start::Fresh, |_| ()).unwrap_err();
    let Error::At { step, checkpoint, source, .. } = error else { panic!("{error:?}") };
    assert!(step >= 1 && matches!(*source, Error::NotFinite { .. }), "{step} {source:?}");
    let checkpoint = Checkpoint::load(&checkpoint, &settings.config).unwrap();
    assert_eq!(checkpoint.progress.step, 0);
    let finite = |tensor: &candle_core::Tensor| {
        let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
        values.iter().all(|value| value.is_finite())
    };
    assert!(checkpoint.params.values().all(finite));
}

#[test]
fn the_checkpoint_of_other_settings_is_not_resumed() {
    let dir = tempfile::tempdir().unwrap();
    run(&settings(dir.path(), 0.1), Start::Fresh, |_| ()).unwrap();
    let other = settings(dir.path(), 0.2);
    let refused = run(&other, Start::Resume, |_| ());
    assert!(matches!(refused, Err(Error::OtherRun { key, .. }) if key == "lr"));
    let nowhere = settings(&dir.path().join("nowhere"), 0.1);
    assert!(matches!(run(&nowhere, Start::Resume, |_| ()), Err(Error::NoCheckpoint { .. })));
}

#[test]
fn a_model_that_cannot_be_written_leaves_the_checkpoint_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    std::fs::create_dir_all(settings.out.model().join("in the way")).unwrap();
    let error = run(&settings, Start::Fresh, |_| ()).unwrap_err();
    let Error::At { source, step: 4, .. } = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("model.safetensors"), "{source}");
    assert_eq!(
        Checkpoint::load(&settings.out.checkpoint(), &settings.config).unwrap().progress.step,
        0
    );
}

#[test]
fn a_run_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let error =
        run(&settings(&dir.path().join("file/run"), 0.1), Start::Fresh, |_| ()).unwrap_err();
    assert!(
        matches!(&error, Error::File { path, .. } if path.starts_with(dir.path().join("file/run")))
    );
}

#[test]
fn settings_that_cannot_be_trained_with_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let refused = |change: &dyn Fn(&mut Settings)| {
        let mut settings = settings(&out, 0.1);
        change(&mut settings);
        let error = run(&settings, Start::Fresh, |_| ()).unwrap_err();
        assert!(matches!(error, Error::Setting { .. } | Error::Optimizer { .. }), "{error:?}");
        assert!(!out.exists());
    };
    refused(&|settings| settings.epochs = 0);
    refused(&|settings| settings.clip = Some(Clip::Norm(0.0)));
    refused(&|settings| settings.schedule = Schedule::constant(f64::NAN));
}

#[test]
fn a_run_is_not_resumed_with_another_metric() {
    let dir = tempfile::tempdir().unwrap();
    let judged = |metric: Box<dyn Metric>, start, stop_at: u64| {
        let stop = AtomicBool::new(false);
        run_judged(sgd(), vec![metric], &settings(dir.path(), 0.1), start, &stop, |event| {
            if matches!(event, Event::Step { step, .. } if *step >= stop_at) {
                stop.store(true, Ordering::Relaxed);
            }
        })
    };
    for stop_at in [1, 6] {
        judged(Box::new(Accuracy::top(1)), Start::Fresh, stop_at).unwrap();
        let refused = judged(Box::new(MeanIou::new()), Start::Resume, 100).unwrap_err();
        assert!(
            matches!(&refused, Error::OtherRun { key, current, .. } if (key.as_str(), current.as_str()) == ("metric", "miou")),
            "{refused:?}"
        );
        judged(Box::new(Accuracy::top(1)), Start::Resume, 100).unwrap();
    }
}

#[test]
fn without_a_metric_the_mean_of_the_loss_function_picks_the_best_model() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    let mut lowest = f64::INFINITY;
    let outcome =
        run_judged(sgd(), vec![], &settings, Start::Fresh, &AtomicBool::new(false), |event| {
            if let Event::EpochEnd { val, is_best, .. } = event {
                let loss = val.scores.get("loss").unwrap();
                assert_eq!(val.scores.values.len(), 1);
                assert_eq!(*is_best, loss < lowest);
                lowest = lowest.min(loss);
            }
        });
    assert_eq!(outcome.unwrap().best.unwrap().scores.get("loss"), Some(lowest));
    // The mean is that of the smoothed loss, in double precision or not.
    let smoothed = CrossEntropy::new().with_label_smoothing(0.1).unwrap();
    let model = Model::load(settings.out.model()).unwrap();
    let mut session = Network::new(&model, &Device::Cpu).unwrap().session().unwrap();
    let scores = crate::evaluate(&mut session, &VAL, &mut [Box::new(MeanLoss::new(&smoothed))])
        .unwrap()
        .scores;
    assert!((scores.get("loss").unwrap() - lowest).abs() < 1e-6, "{scores:?} {lowest}");
}

#[test]
fn a_loss_that_refuses_the_targets_is_named_with_its_step() {
    let dir = tempfile::tempdir().unwrap();
    let network = test_net();
    let params = network.trainable().into_iter().map(|(name, var)| (name, var, true));
    let optimizer = Optimizer::from_groups(split_by_decay(params, 0.0), sgd()).unwrap();
    let loss = |outputs: &NamedTensors, _: &NamedTensors| outputs.get("mask")?.sum_all();
    let mut fit = Fit {
        network: &network,
        optimizer,
        loss: &loss,
        teacher: None,
        hooks: vec![],
        average: None,
        metrics: vec![],
        train: &TRAIN,
        val: &VAL,
        settings: &settings(dir.path(), 0.1),
        save_model: &|_, _| Ok(()),
        time_up: None,
        parallel: None,
    };
    let error =
        fit.run(Start::Fresh, &AtomicBool::new(false), &mut |_: &Event<'_>| ()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    assert!(text.starts_with("training failed at step 1"), "{text}");
    assert!(text.contains("there is no `mask`; there are `logits`"), "{text}");
}
