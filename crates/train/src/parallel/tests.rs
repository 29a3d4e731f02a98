//! Whole runs in shards on one rank and on several: the same files, the same events, the same errors.

mod failures;
mod local;
mod rounded;
mod rules;
mod synced;
mod unfreezing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use taper_data::{EvalTransform, Interpolation};
use taper_data::{Loader, LoaderOptions, Mix, Order, Sample, TrainTransform, sample_set};
use taper_distributed::{Group, ReduceOptions};
use taper_graph::{Activation, Bias, Conv, GraphBuilder, PoolKind};
use taper_layers::loss::{CrossEntropy, Distillation};
use taper_layers::{NamedTensors, Network};
use taper_model::{Model, Preprocess};
use taper_optim::{AdamW, Clip, Optimizer, Schedule, split_by_decay};

use crate::Limits;
use crate::{
    Accuracy, Batches, DataParallel, Event, Fit, L1Penalty, Outcome, Result, Review, RunFolder,
    Settings, Start, StepHook, Synchronization, Teacher, WeightAverage,
};

const SIDE: usize = 8;

/// Convolutions with norms, one of which averages over all batches, a dropout, and a classifier of six classes.
fn network(seed: u64) -> Network {
    network_that_drops(0.3, seed)
}

fn network_that_drops(p: f64, seed: u64) -> Network {
    let build = || -> taper_graph::Result<_> {
        let mut b = GraphBuilder::new(3)?;
        let mut xs = b.input();
        for (i, momentum) in [(0, 0.1), (1, 0.3)] {
            xs = b.conv(&format!("conv{i}"), xs, Conv::dense(6, 3, 2), Bias::Without)?;
            xs = b.batch_norm(&format!("bn{i}"), xs, 1e-5, momentum)?;
            xs = b.activation(&format!("act{i}"), xs, Activation::Relu6)?;
        }
        let op = taper_graph::Op::BatchNorm { eps: 1e-5, momentum: None };
        let xs = b.push("counted", op, &[xs], Bias::Without)?;
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
        let xs = b.dropout("drop", xs, p)?;
        let logits = b.linear("classifier", xs, 6, Bias::With)?;
        b.output("logits", logits)?;
        b.build()
    };
    let preprocess = Preprocess { input_size: [SIDE, SIDE], ..Preprocess::imagenet() };
    let classes = (0..6).map(|class| class.to_string()).collect();
    let model = Model::random(build().unwrap(), seed, preprocess, classes).unwrap();
    Network::new(&model, &Device::Cpu).unwrap().with_threads(1)
}

/// Pictures, in batches.
struct Sets {
    train: Loader,
    val: Loader,
}

/// Two pictures cannot be read, few numbers of shards divide batches, and these are mixed by mixup or cutmix, shard by shard.
fn sets() -> Sets {
    mixed_sets(&[3, 20], 11, Some(Mix::new(0.4, 1.0, 6).unwrap()))
}

/// Without mixing, so that a batch has the same pictures whatever its shards.
fn sets_of(gone: &[usize], batch_size: usize) -> Sets {
    mixed_sets(gone, batch_size, None)
}

fn mixed_sets(gone: &[usize], batch_size: usize, mix: Option<Mix>) -> Sets {
    let dataset = sample_set::emoji6().unwrap();
    let mut train: Vec<Sample> = dataset.train.into_iter().step_by(9).collect();
    for &at in gone {
        let class = train[at].class().unwrap();
        train[at] = Sample::from_file(format!("gone{at}"), class, "/nowhere/at/all.png".into());
    }
    let mut val: Vec<Sample> = dataset.val.into_iter().step_by(4).collect();
    val[6] = Sample::from_file("gone", 1, "/nowhere/at/all.png".into());
    let augmented = TrainTransform::imagenet([SIDE, SIDE], Interpolation::Bilinear).unwrap();
    let plain = EvalTransform::imagenet([SIDE, SIDE], 1.0, Interpolation::Bilinear).unwrap();
    let options = LoaderOptions {
        batch_size,
        order: Order::Shuffled,
        seed: 4,
        threads: 1,
        ..LoaderOptions::default()
    };
    let in_order = LoaderOptions { batch_size: 5, order: Order::Sequential, ..options.clone() };
    let options = LoaderOptions { mix, ..options };
    Sets {
        train: Loader::new(&train, augmented.into(), &options).unwrap(),
        val: Loader::new(&val, plain.into(), &in_order).unwrap(),
    }
}

fn settings(out: &Path) -> Settings {
    Settings {
        epochs: 2,
        schedule: Schedule::cosine(0.02, 10),
        clip: Some(Clip::Norm(1.0)),
        best_by: None,
        limits: Limits::default(),
        seed: 9,
        save_every: Some(3),
        keep_best: 0,
        out: RunFolder::new(out),
        config: BTreeMap::from([("run".to_owned(), "a test".to_owned())]),
    }
}

/// One rank's run.
struct Rank<'a> {
    parallel: Option<&'a DataParallel>,
    sets: &'a Sets,
    settings: &'a Settings,
    start: Start,
    /// Weights of the beginning: those of the first rank count.
    seed: u64,
    loss: &'a dyn taper_layers::loss::Loss,
    stop: &'a AtomicBool,
    hook: Option<Box<dyn StepHook>>,
}

impl Rank<'_> {
    fn run(self, observe: &mut dyn FnMut(&Event<'_>)) -> Result<Outcome> {
        let network = network(self.seed);
        let params = network.params().iter().filter(|param| param.is_trained());
        let params =
            params.map(|param| (param.name.clone(), param.var.clone(), param.role.is_decayed()));
        let teacher = super::tests::network(77).session()?;
        Fit {
            network: &network,
            optimizer: Optimizer::from_groups(split_by_decay(params, 1e-3), AdamW::default())?,
            loss: self.loss,
            teacher: Some(Teacher::new(teacher, Distillation::new(2.0)?, 0.3)?),
            hooks: {
                let penalty = L1Penalty::new(1e-4, ["conv0.weight".to_owned()])?;
                std::iter::once(Box::new(penalty) as _).chain(self.hook).collect()
            },
            average: Some(WeightAverage::ema(0.8)?),
            metrics: vec![Box::new(Accuracy::top(1)), Box::new(Review::new())],
            train: &self.sets.train,
            val: &self.sets.val,
            settings: self.settings,
            save_model: &|network, path| Ok(network.to_model()?.save(path)?),
            time_up: None,
            parallel: self.parallel,
        }
        .run(self.start, self.stop, &mut |event: &Event<'_>| observe(event))
    }
}

/// What a rank's run came to, and what it told.
type Told = (Result<Outcome>, Vec<String>);

/// How a run is shared out.
#[derive(Debug, Clone, Copy)]
struct Shared {
    shards: usize,
    ranks: usize,
    options: ReduceOptions,
    sync: Synchronization,
}

impl From<(usize, usize)> for Shared {
    fn from((shards, ranks): (usize, usize)) -> Self {
        Self { shards, ranks, options: ReduceOptions::default(), sync: Synchronization::Gradients }
    }
}

/// A run shared out over ranks (`(shards, ranks)`) in one folder, by rank. Rank 1 is asked to stop when rank 0 has taken step `until`.
fn run(
    shared: impl Into<Shared>,
    settings: &Settings,
    start: Start,
    until: Option<u64>,
) -> Vec<Told> {
    let shared = shared.into();
    let ranks = shared.ranks;
    let stops: Vec<AtomicBool> = (0..ranks).map(|_| AtomicBool::new(false)).collect();
    let (sets, loss) = (sets(), CrossEntropy::new().with_label_smoothing(0.1).unwrap());
    on_ranks(shared, &|rank, parallel| {
        let mut told = Vec::new();
        let part = Rank {
            parallel: Some(parallel),
            sets: &sets,
            settings,
            start,
            seed: 1 + rank as u64,
            loss: &loss,
            stop: &stops[rank],
            hook: None,
        };
        let outcome = part.run(&mut |event| {
            if matches!(event, Event::Step { step, .. } if Some(*step) == until) {
                stops[ranks - 1].store(true, Ordering::Relaxed);
            }
            told.push(format!("{event:?}"));
        });
        (outcome, told)
    })
}

fn on_ranks<T: Send>(
    shared: impl Into<Shared>,
    work: &(dyn Fn(usize, &DataParallel) -> T + Sync),
) -> Vec<T> {
    on_ranks_checked(shared, 2, work)
}

/// Ranks that compare what they have after every so many steps.
fn on_ranks_checked<T: Send>(
    shared: impl Into<Shared>,
    every: u64,
    work: &(dyn Fn(usize, &DataParallel) -> T + Sync),
) -> Vec<T> {
    let Shared { shards, ranks, options, sync } = shared.into();
    let groups = match ranks {
        1 => vec![Group::alone()],
        _ => Group::threads(ranks).unwrap(),
    };
    std::thread::scope(|scope| {
        let ranks = groups.into_iter().enumerate().map(|(rank, group)| {
            scope.spawn(move || {
                let parallel = DataParallel::new(group, shards, options);
                let parallel = parallel.unwrap().synchronizing(sync).unwrap();
                work(rank, &parallel.checked_every(every))
            })
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

/// The bytes of the three files of a run.
fn files(settings: &Settings) -> [Vec<u8>; 3] {
    [settings.out.model(), settings.out.checkpoint(), settings.out.log()]
        .map(|path| std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
}

#[test]
fn shards_on_any_number_of_ranks_give_the_same_files_and_tell_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for shards in [2, 8] {
        let alone = settings(&dir.path().join(format!("{shards} alone")));
        let (outcome, told) = run((shards, 1), &alone, Start::Fresh, None).remove(0);
        let outcome = outcome.unwrap();
        assert_eq!(outcome.last.as_ref().unwrap().skipped.len(), 1);
        assert!(told.iter().any(|event| event.contains("gone20")), "{told:?}");
        for ranks in [2, 4, 8].into_iter().filter(|&ranks| ranks <= shards) {
            let out = dir.path().join(format!("{shards} on {ranks}"));
            let shared = settings(&out);
            let mut all = run((shards, ranks), &shared, Start::Fresh, None).into_iter();
            let (first, told_first) = all.next().unwrap();
            assert_eq!(first.unwrap(), outcome, "{shards} on {ranks}");
            let names = |told: &[String], folder: &Path| -> Vec<String> {
                told.iter().map(|event| event.replace(&format!("{folder:?}"), "")).collect()
            };
            let folder =
                |settings: &Settings| settings.out.checkpoint().parent().unwrap().to_owned();
            assert_eq!(told_first.len(), told.len());
            let (a, b) = (names(&told_first, &folder(&shared)), names(&told, &folder(&alone)));
            let steps = |told: Vec<String>| -> Vec<String> {
                told.into_iter().filter(|event| !event.starts_with("Saved")).collect()
            };
            assert_eq!(steps(a), steps(b));
            for (other, told) in all {
                assert_eq!(other.unwrap(), outcome);
                assert!(told.is_empty(), "only the first rank tells");
            }
            assert!(files(&shared) == files(&alone), "{shards} on {ranks}");
        }
    }
}

#[test]
fn one_shard_on_one_rank_has_the_bits_of_a_run_without() {
    let dir = tempfile::tempdir().unwrap();
    let [without, with] = ["without", "with"].map(|name| settings(&dir.path().join(name)));
    let (sets, loss) = (sets(), CrossEntropy::new().with_label_smoothing(0.1).unwrap());
    let plain = Rank {
        parallel: None,
        sets: &sets,
        settings: &without,
        start: Start::Fresh,
        seed: 1,
        loss: &loss,
        stop: &AtomicBool::new(false),
        hook: None,
    };
    let plain = plain.run(&mut |_| ()).unwrap();
    let (outcome, _) = run((1, 1), &with, Start::Fresh, None).remove(0);
    assert_eq!(outcome.unwrap(), plain);
    assert!(files(&with) == files(&without));
    let shards = settings(&dir.path().join("shards"));
    run((2, 1), &shards, Start::Fresh, None).remove(0).0.unwrap();
    assert!(files(&shards) != files(&without), "shards have batch statistics of their own");
}

#[test]
fn a_run_is_stopped_by_any_rank_and_goes_on_with_another_number_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"));
    run((4, 1), &whole, Start::Fresh, None).remove(0).0.unwrap();
    for (i, [first, then]) in [[4, 1], [1, 4], [2, 4], [4, 2]].into_iter().enumerate() {
        let stopped = settings(&dir.path().join(format!("stopped {i}")));
        let until = 1 + i as u64;
        let all = run((4, first), &stopped, Start::Fresh, Some(until));
        let steps: Vec<u64> =
            all.iter().map(|(outcome, _)| outcome.as_ref().unwrap().steps).collect();
        assert!(all.iter().all(|(outcome, _)| outcome.as_ref().unwrap().stopped));
        // The rank that is asked may have said already that it goes on with the next step.
        let is_soon = (until + 1..=until + 2).contains(&steps[0]);
        assert!(steps.iter().all(|&step| step == steps[0]) && is_soon, "{steps:?}");
        for (outcome, _) in run((4, then), &stopped, Start::Resume, None) {
            assert!(!outcome.unwrap().stopped);
        }
        assert!(files(&stopped) == files(&whole), "{first} ranks, then {then}");
    }
}

#[test]
fn a_checkpoint_of_other_shards_is_refused_on_all_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    run((4, 2), &settings, Start::Fresh, Some(1));
    for (outcome, _) in run((2, 2), &settings, Start::Resume, None) {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("shards = 4, this run has 2"), "{text}");
    }
}

#[test]
fn sets_give_parts_of_their_batches() {
    let sets = sets();
    let set = crate::Vectors::new((0..14).map(|i| i as f32).collect(), vec![0; 7].into(), 3);
    let set = set.unwrap().shuffled(3);
    let piece = |position, part| taper_data::batch::Piece { position, part, of: 2 };
    for set in [&set as &dyn Batches, &sets.val] {
        let n = set.n_batches();
        let pieces = (1..n).flat_map(|position| [piece(position, 0), piece(position, 1)]);
        let parts: Vec<_> = set.pieces(1, pieces.collect()).collect::<Result<_>>().unwrap();
        assert_eq!(parts.len(), 2 * (n - 1));
        for (whole, parts) in set.epoch(1, 1).zip(parts.chunks(2)) {
            let (whole, parts) = (whole.unwrap(), [&parts[0], &parts[1]]);
            assert_eq!(parts.map(|part| part.xs.clone()).concat(), whole.xs);
            assert_eq!(parts.map(|part| part.indices.clone()).concat(), whole.indices);
        }
    }
}
