//! Learning from another network: the loss by hand, a teacher that contradicts the targets, and going on after a stop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use taper_graph::{Bias, GraphBuilder, PoolKind};
use taper_layers::loss::{CrossEntropy, Distillation, Loss};
use taper_layers::{ModuleNhwc, NamedTensors, Network, Resampling, Target, Upsample};
use taper_model::{Model, Preprocess};
use taper_optim::{Optimizer, Schedule, split_by_decay};

use super::super::{Fit, Outcome, Settings, Start};
use super::{SIDE, TRAIN, VAL, files, settings, sgd, test_net};
use crate::{Accuracy, Batches, Event, Rendition, Result, Teacher};

/// Takes a picture whose channel `i` is bright for one of class `i + 1`; its output is called `name`.
fn contrary(name: &str) -> Network {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 3, Bias::Without).unwrap();
    b.output(name, xs).unwrap();
    let preprocess = Preprocess { input_size: [SIDE, SIDE], ..Preprocess::imagenet() };
    let model = Model::random(b.build().unwrap(), 1, preprocess, vec![]).unwrap();
    let mut tensors = model.tensors().to_vec();
    tensors[0].data = vec![0.0, 0.0, 9.0, 9.0, 0.0, 0.0, 0.0, 9.0, 0.0];
    Network::new(&model.with_tensors(tensors).unwrap(), &Device::Cpu).unwrap()
}

fn teacher(weight: f64) -> Teacher {
    let session = contrary("logits").session().unwrap();
    Teacher::new(session, Distillation::new(2.0).unwrap(), weight).unwrap()
}

fn run(
    teacher: Teacher,
    settings: &Settings,
    start: Start,
    stop_at: u64,
) -> (Result<Outcome>, Network) {
    let (network, stop) = (test_net(), AtomicBool::new(false));
    let params = network.trainable().into_iter().map(|(name, var)| (name, var, false));
    let outcome = Fit {
        network: &network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 0.0), sgd()).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: Some(teacher),
        hooks: vec![],
        average: None,
        metrics: vec![Box::new(Accuracy::top(1))],
        train: &TRAIN,
        val: &VAL,
        settings,
        save_model: &|network: &Network, path: &Path| Ok(network.to_model()?.save(path)?),
        time_up: None,
        parallel: None,
    }
    .run(start, &stop, &mut |event: &Event<'_>| {
        if matches!(event, Event::Step { step, .. } if *step >= stop_at) {
            stop.store(true, Ordering::Relaxed);
        }
    });
    (outcome, network)
}

#[test]
fn the_loss_is_the_weighted_sum_of_the_targets_and_the_teachers() {
    let tensor = |values: &[[f32; 3]; 2]| Tensor::new(values, &Device::Cpu).unwrap();
    let (student, taught) = (
        tensor(&[[1.0, -0.5, 0.25], [0.0, 2.0, 1.0]]),
        tensor(&[[0.0, 1.0, 3.0], [2.0, 0.5, 0.0]]),
    );
    let classes = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
    let number = |loss: Tensor| loss.to_scalar::<f32>().unwrap();
    let hard = CrossEntropy::new();
    let soft = number(Distillation::new(2.0).unwrap().forward(&student, &taught).unwrap());
    let own = number(hard.forward(&student, &classes).unwrap());
    let outputs = NamedTensors::new([("logits", student)]);
    let targets = NamedTensors::new([("targets", classes)]);
    for weight in [0.0, 0.25, 1.0] {
        let teacher = teacher(weight);
        let loss = teacher.loss(&hard, NamedTensors::new([("logits", taught.clone())]));
        let expected = (1.0 - weight) * f64::from(own) + weight * f64::from(soft);
        let got = f64::from(number(loss.loss(&outputs, &targets).unwrap()));
        assert!((got - expected).abs() < 1e-6, "{weight}: {got} {expected}");
    }
}

#[test]
fn a_teacher_sees_the_very_batch_with_pixels_as_it_wants_them() {
    let batch = VAL.epoch(0, 0).next().unwrap().unwrap();
    let mut session = contrary("logits").session().unwrap();
    let pixels = vec![[2.0f32, -0.5], [0.25, 1.0], [1.0, 0.0]];
    let moved: Vec<f32> =
        batch.xs.iter().zip(pixels.iter().cycle()).map(|(x, [a, b])| x * a + b).collect();
    for (xs, teacher) in
        [(&batch.xs, teacher(0.5)), (&moved, teacher(0.5).with_pixels(pixels.clone()))]
    {
        let mut teacher = teacher;
        let expected = session.run(xs, batch.shape).unwrap();
        let got = teacher.outputs(&batch).unwrap();
        let got = got.get("logits").unwrap();
        assert_eq!(got.dims(), [batch.shape[0], 3]);
        assert_eq!(got.flatten_all().unwrap().to_vec1::<f32>().unwrap(), expected);
    }
}

#[test]
fn the_logits_of_a_calibrated_teacher_are_divided_by_its_temperature() {
    let batch = VAL.epoch(0, 0).next().unwrap().unwrap();
    let logits = |teacher: Teacher| {
        let mut teacher = teacher;
        let said = teacher.outputs(&batch).unwrap();
        said.get("logits").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let plain = logits(teacher(0.5));
    let expected: Vec<f32> = plain.iter().map(|logit| logit / 0.25).collect();
    assert_eq!(logits(teacher(0.5).with_calibration(0.25).unwrap()), expected);
    assert_eq!(logits(teacher(0.5).with_calibration(1.0).unwrap()), plain);
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(teacher(0.5).with_calibration(temperature).is_err(), "{temperature}");
    }
}

#[test]
fn a_teacher_looks_at_what_the_batch_has_for_it() {
    let mut batch = VAL.epoch(0, 0).next().unwrap().unwrap();
    let [n, h, w] = batch.shape;
    let xs: Vec<f32> = (0..n * 2 * h * w * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    let shape = [n, 2 * h, w];
    let mut session = contrary("logits").session().unwrap();
    let expected = session.run(&xs, shape).unwrap().to_vec();
    batch.for_teacher = Some(Rendition { xs, shape });
    // It is made for the teacher: neither its pixels nor its size are changed again.
    let teacher = teacher(0.5).with_pixels(vec![[2.0, 1.0]; 3]).with_input_size([9 * h, 9 * w]);
    let mut teacher = teacher;
    let got = teacher.outputs(&batch).unwrap();
    let got = got.get("logits").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(got, expected);
}

#[test]
fn a_teacher_sees_much_smaller_pictures_in_its_own_size_and_others_as_they_are() {
    let batch = VAL.epoch(0, 0).next().unwrap().unwrap();
    let [n, h, w] = batch.shape;
    let xs = Tensor::from_slice(&batch.xs, (n, h, w, ()), &Device::Cpu).unwrap();
    let upsample = Upsample::new(Target::Size([2 * h, w + 1]), Resampling::Bilinear).unwrap();
    let xs = upsample.forward_nhwc(&xs, false).unwrap();
    let xs = xs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut session = contrary("logits").session().unwrap();
    let own = session.run(&batch.xs, batch.shape).unwrap().to_vec();
    let enlarged = session.run(&xs, [n, 2 * h, w + 1]).unwrap().to_vec();
    assert_ne!(own, enlarged);
    for (size, expected) in
        [([2 * h, w + 1], &enlarged), ([h + h / 4, w], &own), ([h, w], &own), ([1, w - 1], &own)]
    {
        let got = teacher(0.5).with_input_size(size).outputs(&batch).unwrap();
        let got = got.get("logits").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(&got, expected, "{size:?}");
    }
}

#[test]
fn a_student_learns_what_its_teacher_says_and_not_what_the_targets_do() {
    let dir = tempfile::tempdir().unwrap();
    for (weight, right) in [(1.0, 0.0), (0.0, 1.0)] {
        let mut settings = settings(&dir.path().join(weight.to_string()), 0.3);
        settings.epochs = 12;
        settings.schedule = Schedule::cosine(0.3, 48).with_warmup(2);
        let (outcome, _) = run(teacher(weight), &settings, Start::Fresh, u64::MAX);
        let last = outcome.unwrap().last.unwrap();
        assert_eq!(last.scores.get("top1"), Some(right), "weight {weight}");
    }
}

#[test]
fn a_run_with_a_teacher_stopped_and_resumed_is_one_never_stopped_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"), 0.1);
    run(teacher(0.5), &whole, Start::Fresh, u64::MAX).0.unwrap();
    let stopped = settings(&dir.path().join("stopped"), 0.1);
    for (start, at) in [(Start::Fresh, 2), (Start::Resume, 6), (Start::Resume, u64::MAX)] {
        run(teacher(0.5), &stopped, start, at).0.unwrap();
    }
    assert!(files(&stopped) == files(&whole));
}

#[test]
fn a_teacher_of_another_output_is_named_with_its_step() {
    let dir = tempfile::tempdir().unwrap();
    let session = contrary("other").session().unwrap();
    let teacher = Teacher::new(session, Distillation::new(2.0).unwrap(), 0.5).unwrap();
    let (outcome, _) = run(teacher, &settings(dir.path(), 0.1), Start::Fresh, 0);
    let mut text = String::new();
    let error = outcome.unwrap_err();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    assert!(text.contains("there is no `other`; there are `logits`"), "{text}");
}
