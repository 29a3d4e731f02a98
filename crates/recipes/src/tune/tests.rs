//! Pictures that are gone after the folder was read, on pictures and on features; last batches of one; what a stopped run reports.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use taper_data::folder::Options;
use taper_data::{Batch, Cache, Check, Dataset, ImageFolder, Sample, sample_set};
use taper_distributed::Group;
use taper_model::{Model, Preprocess};
use taper_train::Batches;
use taper_transfer::{Features, Freeze};

use super::Tune;
use crate::error::{Error, Result};
use crate::fine_tune::PreparedRun;
use crate::observer::{Event, Observer};
use crate::options::{Augment, FineTuneOptions, MatmulPrecision, Norms};
use crate::ranks;
use crate::relay::Relay;
use crate::report::FineTuneReport;
use crate::run::{self, Kept, Run, RunConfig};
use crate::setup;

/// Remembers what it is told, and stops after so many steps.
struct Listener<'a> {
    skipped: Vec<PathBuf>,
    epochs: Vec<[usize; 2]>,
    batches: Vec<usize>,
    stop: &'a AtomicBool,
    stop_after: usize,
}

impl Observer for Listener<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        match event {
            Event::Skipped(skipped) => self.skipped.push(skipped.path.clone()),
            Event::Epoch(epoch) => self.epochs.push([epoch.train_images, epoch.val_images]),
            Event::Step(step) => self.batches.push(step.images),
            _ => {}
        }
        if self.batches.len() >= self.stop_after {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A network for pictures of 32x32, whose last maps have one position.
fn small_model() -> Model {
    use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};
    let graph = mobilenet_v2(Scaling::width(0.1), 10).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    Model::random(graph, 7, preprocess, (0..10).map(|class| class.to_string()).collect()).unwrap()
}

/// Sixty pictures to train with and 105 to validate on, none of which is kept in memory.
fn pictures(dir: &Path) -> Dataset {
    let data = dir.join("data");
    sample_set::export(&data).unwrap();
    let options = Options { check: Check::Headers, cache: Cache::none(), ..Options::default() };
    let mut dataset = ImageFolder::open(&data, &options).unwrap();
    dataset.train = dataset.train.into_iter().step_by(7).take(60).collect();
    dataset
}

fn options(dir: &Path, features: bool) -> FineTuneOptions {
    FineTuneOptions {
        data: Some(dir.join("data")),
        epochs: 2,
        batch_size: 8,
        head_epochs: 2,
        freeze: if features { Freeze::Backbone } else { Freeze::None },
        augment: if features { Augment::None } else { Augment::Yes },
        clip_norm: Some(1.0),
        ema: Some(0.9),
        ..FineTuneOptions::default()
    }
}

/// Runs `dataset` in `dir/run`, after what `spoil` did to the files.
fn train<'a>(
    dir: &Path,
    dataset: Dataset,
    options: &FineTuneOptions,
    (stop, stop_after): (&'a AtomicBool, usize),
    spoil: impl FnOnce(&Dataset),
) -> (Result<FineTuneReport>, Listener<'a>) {
    let (skipped, epochs, batches) = (Vec::new(), Vec::new(), Vec::new());
    let mut listener = Listener { skipped, epochs, batches, stop, stop_after };
    let prepared =
        PreparedRun::with(small_model(), dataset, Kept::default(), options, stop, &mut listener);
    let prepared = prepared.unwrap();
    let config = RunConfig::new(options.clone(), String::new(), String::new());
    let run = Run::begin(run::vacant(Some(&dir.join("run"))).unwrap(), config).unwrap();
    spoil(&prepared.dataset);
    let options = &ranks::with_shards(options, &Group::alone());
    let parallel = &ranks::share(Group::alone().into(), options).unwrap();
    let tune = Tune::new(prepared, options, parallel);
    let report = tune.and_then(|tune| tune.run(&run, stop, &mut listener, Instant::now()));
    (report, listener)
}

fn remove(samples: &[Sample]) {
    samples.iter().for_each(|sample| fs::remove_file(sample.path().unwrap()).unwrap());
}

#[test]
fn pictures_that_are_gone_are_named_and_counted_on_pictures_and_on_features() {
    for features in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (never, options) = (AtomicBool::new(false), options(dir.path(), features));
        let dataset = pictures(dir.path());
        // The whole second batch of validation, one that is cut in half, and three of training.
        let mut gone: Vec<PathBuf> = dataset.val[8..16]
            .iter()
            .chain(&dataset.train[5..8])
            .chain(&dataset.val[40..41])
            .map(|sample| sample.path().unwrap().to_path_buf())
            .collect();
        let (report, told) =
            train(dir.path(), dataset, &options, (&never, usize::MAX), |dataset| {
                remove(&dataset.val[8..16]);
                remove(&dataset.train[5..8]);
                let half = dataset.val[40].path().unwrap();
                let bytes = fs::read(half).unwrap();
                fs::write(half, &bytes[..bytes.len() / 2]).unwrap();
            });
        let report = report.unwrap();
        let mut skipped: Vec<PathBuf> =
            report.skipped_files.iter().map(|skipped| skipped.path.clone()).collect();
        assert_eq!((report.skipped, told.skipped), (12, skipped.clone()), "features: {features}");
        gone.sort();
        skipped.sort();
        assert_eq!(skipped, gone);
        assert!(report.skipped_files.iter().all(|skipped| !skipped.reason.is_empty()));
        assert_eq!(told.epochs, [[57, 96]; 2]);
        assert_eq!(report.val_images, Some(96));
        let review = report.review.unwrap();
        let seen: u64 = (0..6).map(|class| review.confusion.total(class)).sum();
        assert_eq!(seen, 96);
        for mistake in review.mistakes {
            assert!(mistake.image.contains(&format!("/{}/", mistake.actual)), "{mistake:?}");
            assert!(!gone.contains(&PathBuf::from(mistake.image)));
        }
    }
}

/// A tune of a frozen backbone on augmented pictures.
fn views_of(dir: &Path, feature_views: usize) -> FineTuneOptions {
    FineTuneOptions { augment: Augment::Yes, feature_views, ..options(dir, true) }
}

#[test]
fn the_views_of_features_are_the_pictures_of_the_first_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let (never, options) = (AtomicBool::new(false), views_of(dir.path(), 2));
    let dataset = pictures(dir.path());
    let (mut listener, stop) = (crate::Silent, &never);
    let kept = Kept::default();
    let mut prepared =
        PreparedRun::with(small_model(), dataset, kept, &options, stop, &mut listener).unwrap();
    let (model, dataset) = (prepared.model.clone(), prepared.dataset.clone());
    let skipped = prepared.skipped.take();
    let options = ranks::with_shards(&options, &Group::alone());
    let parallel = &ranks::share(Group::alone().into(), &options).unwrap();
    let tune = Tune::new(prepared, &options, parallel).unwrap();
    let plan = tune.plan(dir.path());
    let mut relay = Relay::new(&mut listener, &plan, skipped);
    let views = tune.train_features(stop, &mut relay).unwrap().unwrap();
    assert_eq!(views.n_samples(), 60);
    let of_views = |epoch| vectors_of(views.epoch(epoch, 0));
    assert_ne!(of_views(0), of_views(1));
    assert_eq!(of_views(0), of_views(2));
    // What steps on pictures would show in the same epochs.
    let loader = setup::train_loader(&dataset, model.preprocess(), 1, &options).unwrap();
    for epoch in 0..2 {
        let mut features = Features::new(&model, 1).unwrap();
        let batches = loader.epoch(epoch, 0).map(|batch| {
            let Batch { xs, shape, indices, .. } = batch.unwrap();
            features.extend(&xs, shape).unwrap();
            (indices, features.take())
        });
        let mut expected: Vec<(usize, Vec<f32>)> = Vec::new();
        for (indices, values) in batches {
            let width = values.len() / indices.len();
            expected.extend(indices.into_iter().zip(values.chunks(width).map(<[f32]>::to_vec)));
        }
        expected.sort_by_key(|(index, _)| *index);
        for ((index, vector), (of, expected)) in of_views(epoch).iter().zip(&expected) {
            assert_eq!(index, of);
            for (a, b) in vector.iter().zip(expected) {
                assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{index}: {a} {b}");
            }
        }
    }
}

/// The vectors of an epoch, in the order of their samples.
fn vectors_of(batches: impl Iterator<Item = taper_train::Result<Batch>>) -> Vec<(usize, Vec<f32>)> {
    let mut all = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        let width = batch.xs.len() / batch.indices.len();
        let vectors = batch.xs.chunks(width).map(<[f32]>::to_vec);
        all.extend(batch.indices.iter().copied().zip(vectors));
    }
    all.sort_by_key(|(index, _)| *index);
    all
}

#[test]
fn a_run_on_views_counts_a_picture_that_is_gone_once() {
    let dir = tempfile::tempdir().unwrap();
    let (never, options) = (AtomicBool::new(false), views_of(dir.path(), 3));
    let dataset = pictures(dir.path());
    let (report, told) = train(dir.path(), dataset, &options, (&never, usize::MAX), |dataset| {
        remove(&dataset.train[5..8]);
    });
    let report = report.unwrap();
    assert_eq!((report.skipped, told.skipped.len()), (3, 3));
    assert_eq!(told.epochs, [[57, 105]; 2]);
    assert!(report.calibrated.is_some());
}

#[test]
fn a_part_of_which_no_picture_is_left_is_an_error_that_names_one() {
    for (features, part) in
        [(false, "training"), (false, "validation"), (true, "training"), (true, "validation")]
    {
        let dir = tempfile::tempdir().unwrap();
        let (never, options) = (AtomicBool::new(false), options(dir.path(), features));
        let dataset = pictures(dir.path());
        let (report, told) =
            train(dir.path(), dataset, &options, (&never, usize::MAX), |dataset| match part {
                "training" => remove(&dataset.train),
                _ => remove(&dataset.val),
            });
        let error = report.unwrap_err();
        let mut words = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            words += &format!(": {cause}");
            source = cause.source();
        }
        assert!(words.contains(part) && words.contains(".png`: "), "{words}");
        assert!(!error.is_request());
        assert!(!told.skipped.is_empty());
    }
}

/// 57 pictures in batches of 8 leave one, which batch norms cannot use alone on maps of one position.
#[test]
fn a_last_picture_joins_the_batch_before_it() {
    for (features, expected) in [(false, [8, 8, 8, 8, 8, 8, 9]), (true, [8, 8, 8, 8, 8, 8, 8])] {
        let dir = tempfile::tempdir().unwrap();
        let (never, options) = (AtomicBool::new(false), options(dir.path(), features));
        let options = FineTuneOptions { norms: Some(Norms::Train), ..options };
        let mut dataset = pictures(dir.path());
        dataset.train.truncate(57);
        let (report, told) = train(dir.path(), dataset, &options, (&never, usize::MAX), |_| ());
        assert_eq!(report.unwrap().epochs, 2);
        assert_eq!(told.batches[..7], expected);
        // A frozen norm needs no variance: there the last picture is a batch of its own.
        assert_eq!(told.batches.len(), if features { 16 } else { 14 });
        assert_eq!(told.batches.iter().sum::<usize>(), 2 * 57);
    }
}

#[test]
fn a_batch_size_of_one_is_refused_before_training_where_norms_need_two() {
    let dir = tempfile::tempdir().unwrap();
    let never = AtomicBool::new(false);
    let norms = Some(Norms::Train);
    let alone =
        |features| FineTuneOptions { batch_size: 1, norms, ..options(dir.path(), features) };
    let (report, _) =
        train(dir.path(), pictures(dir.path()), &alone(false), (&never, usize::MAX), |_| ());
    let error = report.unwrap_err();
    assert!(matches!(error, Error::Option { field: "batch_size", .. }) && error.is_request());
    assert!(error.to_string().contains("2 or more: batch norms"), "{error}");
    assert!(!dir.path().join("run/checkpoint").exists());

    let other = tempfile::tempdir().unwrap();
    let frozen = FineTuneOptions { data: Some(other.path().join("data")), ..alone(true) };
    let (report, _) =
        train(other.path(), pictures(other.path()), &frozen, (&never, usize::MAX), |_| ());
    assert_eq!(report.unwrap().epochs, 2);
}

#[test]
fn the_report_of_a_stopped_run_names_a_model_that_is_there_or_none() {
    for (steps, is_there) in [(0, false), (3, false), (9, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (stop, options) = (AtomicBool::new(false), options(dir.path(), false));
        let (report, _) = train(dir.path(), pictures(dir.path()), &options, (&stop, steps), |_| ());
        let report = report.unwrap();
        assert!(report.stopped, "{steps}");
        assert_eq!(report.model.is_some(), is_there, "{steps}");
        assert_eq!(report.best_val_top1.is_some(), is_there);
        assert!(report.model.is_none_or(|model| model.is_file()));
        assert!(Run::open(&dir.path().join("run")).is_ok(), "it can go on");
    }
}

#[test]
fn frozen_norms_keep_their_statistics_recalibrated_ones_have_those_of_the_pictures() {
    let run = |norms, unfreeze_every, freeze: &str| {
        let dir = tempfile::tempdir().unwrap();
        let never = AtomicBool::new(false);
        let freeze: Freeze = freeze.parse().unwrap();
        let options = FineTuneOptions {
            norms,
            unfreeze_every,
            freeze,
            head_epochs: 0,
            ema: None,
            ..options(dir.path(), false)
        };
        let dataset = pictures(dir.path());
        let (report, _) = train(dir.path(), dataset, &options, (&never, usize::MAX), |_| ());
        Model::load(report.unwrap().model.unwrap()).unwrap()
    };
    let before = small_model();
    let same = |model: &Model, name: &str| model.tensor(name) == before.tensor(name);
    let trained = run(Some(Norms::Train), None, "none");
    assert!(!same(&trained, "bn1.running_mean") && !same(&trained, "bn1.weight"));
    let frozen = run(Some(Norms::Freeze), None, "none");
    assert!(same(&frozen, "bn1.running_mean") && same(&frozen, "bn1.weight"));
    assert!(!same(&frozen, "conv_stem.weight"));
    let recalibrated = run(Some(Norms::Recalibrate), None, "none");
    assert!(!same(&recalibrated, "bn1.running_mean") && same(&recalibrated, "bn1.weight"));
    assert!(!same(&recalibrated, "conv_stem.weight"));
    let surgical = run(Some(Norms::Train), None, "all but blocks.2");
    assert!(same(&surgical, "conv_stem.weight") && same(&surgical, "blocks.6.0.conv_pw.weight"));
    assert!(!same(&surgical, "blocks.2.0.conv_pw.weight"));
    // Two epochs train classifier and head.
    let gradual = run(Some(Norms::Train), Some(1), "none");
    assert!(!same(&gradual, "conv_head.weight") && same(&gradual, "blocks.6.0.conv_pw.weight"));
}

#[test]
fn the_precision_of_products_reaches_the_network() {
    let pictures: Vec<f32> = (0..4 * 3 * 32 * 32u16).map(|i| f32::from(i).sin()).collect();
    let pictures =
        candle_core::Tensor::from_vec(pictures, (4, 3, 32, 32), &candle_core::Device::Cpu);
    let pictures = pictures.unwrap();
    let logits = |matmul_precision| {
        let options = FineTuneOptions { matmul_precision, ..FineTuneOptions::default() };
        let network = super::new_network(&small_model(), &options)?;
        let value = network.value_and_grad(&pictures, 0, |logits| logits.sqr()?.mean_all());
        let logits = value.unwrap().outputs.get("logits").unwrap().flatten_all().unwrap();
        Ok::<_, Error>(logits.to_vec1::<f32>().unwrap())
    };
    let whole = logits(MatmulPrecision::F32).unwrap();
    match logits(MatmulPrecision::Bf16) {
        Ok(rounded) => assert!(rounded != whole && rounded.iter().all(|x| x.is_finite())),
        Err(error) => assert!(!MatmulPrecision::Bf16.of_engine().is_here(), "{error}"),
    }
}

#[test]
fn gradient_checkpointing_reaches_the_network_and_saves_memory() {
    let pictures = vec![0.5f32; 4 * 3 * 32 * 32];
    let pictures =
        candle_core::Tensor::from_vec(pictures, (4, 3, 32, 32), &candle_core::Device::Cpu);
    let pictures = pictures.unwrap();
    let bytes = [false, true].map(|grad_checkpointing| {
        let options = FineTuneOptions { grad_checkpointing, ..FineTuneOptions::default() };
        let network = super::new_network(&small_model(), &options).unwrap();
        network.value_and_grad(&pictures, 0, |logits| logits.sqr()?.mean_all()).unwrap();
        network.training_bytes()
    });
    assert!(bytes[1] < bytes[0], "{bytes:?}");
}

#[test]
fn a_teacher_has_to_see_pictures_of_each_size_that_they_grow_through_or_in_its_own() {
    use taper_graph::{Bias, Conv, GraphBuilder, Padding, PoolKind, Window};
    let dir = tempfile::tempdir().unwrap();
    let dataset = pictures(dir.path());
    let teach = |name: &str, own: usize, kernel_size: usize| {
        let mut b = GraphBuilder::new(3).unwrap();
        let xs = b.input();
        let xs = b.conv("conv", xs, Conv::dense(4, 3, 2), Bias::With).unwrap();
        // Maps of 32x32 pixels, and of 16x16 on small pictures, where a window of 20 has no place.
        let window = Window { padding: Padding::Valid, ..Window::square(kernel_size, 1) };
        let xs = b.conv("wide", xs, Conv { window, ..Conv::pointwise(4) }, Bias::With).unwrap();
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
        let xs = b.linear("classifier", xs, dataset.classes.len(), Bias::With).unwrap();
        b.output("logits", xs).unwrap();
        let preprocess = Preprocess { input_size: [own; 2], ..Preprocess::imagenet() };
        let teacher = Model::random(b.build().unwrap(), 3, preprocess, dataset.classes.clone());
        let file = dir.path().join(format!("{name}.safetensors"));
        teacher.unwrap().save(&file).unwrap();
        let options = FineTuneOptions {
            data: None,
            teacher: Some(file.display().to_string()),
            model: "mobilenetv2_035".to_owned(),
            pretrained: crate::Pretrained::None,
            image_size: Some(64),
            image_size_from: Some(32),
            report: false,
            out: Some(dir.path().join(name)),
            ..options(dir.path(), false)
        };
        let never = AtomicBool::new(false);
        crate::fine_tune_on(&dataset, &options, &never, &mut crate::Silent)
    };
    let refused = teach("fixed", 40, 20).unwrap_err();
    assert!(matches!(refused, Error::Option { field: "teacher", .. }), "{refused}");
    assert!(refused.to_string().contains("32x32"), "{refused}");
    assert!(!dir.path().join("fixed").exists());
    assert_eq!(teach("any", 40, 3).unwrap().epochs, 2);
    assert_eq!(teach("own", 64, 20).unwrap().epochs, 2);
}
