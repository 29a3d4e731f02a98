//! Batch norms that see all shards: a run in shards is one with whole batches, on any number of ranks.

use std::sync::atomic::AtomicBool;

use taper_distributed::{ReduceOptions, Reduction};
use taper_layers::Network;
use taper_layers::loss::CrossEntropy;
use taper_optim::{Optimizer, Schedule, Sgd, split_by_decay};

use super::{Sets, Shared, files, network_that_drops, on_ranks, run, sets_of, settings};
use crate::{DataParallel, Fit, Settings, Start, Synchronization};

fn synced(shards: usize, ranks: usize) -> Shared {
    Shared { sync: Synchronization::GradientsAndNorms, ..(shards, ranks).into() }
}

/// Twenty steps with momentum on batches of eleven pictures or fewer; gives parameters and statistics in the end.
fn weights(parallel: Option<&DataParallel>, sets: &Sets, settings: &Settings) -> Vec<Vec<f32>> {
    weights_of(&network_that_drops(0.0, 3), parallel, sets, settings)
}

fn weights_of(
    network: &Network,
    parallel: Option<&DataParallel>,
    sets: &Sets,
    settings: &Settings,
) -> Vec<Vec<f32>> {
    let rule = Sgd { momentum: 0.9, nesterov: false, dampening: 0.0 };
    let params = network.trainable().into_iter().map(|(name, var)| (name, var, true));
    let mut fit = Fit {
        network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 0.0), rule).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks: vec![],
        metrics: vec![],
        train: &sets.train,
        val: &sets.val,
        settings,
        save_model: &|_, _| Ok(()),
        average: None,
        time_up: None,
        parallel,
    };
    let outcome = fit.run(Start::Fresh, &AtomicBool::new(false), &mut |_: &crate::Event<'_>| ());
    assert_eq!(outcome.unwrap().steps, 20);
    let values = |param: &taper_layers::Parameter| {
        param.var.as_detached_tensor().flatten_all().unwrap().to_vec1().unwrap()
    };
    network.params().iter().map(values).collect()
}

fn farthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs() / (1.0 + b.abs())))
}

#[test]
fn norms_that_see_all_shards_learn_what_whole_batches_teach() {
    let dir = tempfile::tempdir().unwrap();
    let sets = sets_of(&[3, 20], 11);
    let settings = |name: String| Settings {
        epochs: 4,
        schedule: Schedule::constant(0.02),
        clip: None,
        ..settings(&dir.path().join(name))
    };
    let whole = weights(None, &sets, &settings("whole".to_owned()));
    for shards in [2, 8] {
        let mut alone: Option<Vec<Vec<f32>>> = None;
        for ranks in [1, 2, 8].into_iter().filter(|&ranks| ranks <= shards) {
            let settings = settings(format!("{shards} on {ranks}"));
            let all = on_ranks(synced(shards, ranks), &|_, parallel| {
                weights(Some(parallel), &sets, &settings)
            });
            let first = alone.get_or_insert_with(|| all[0].clone());
            assert!(all.iter().all(|weights| weights == first), "{shards} on {ranks}");
            let distance = farthest(first, &whole);
            assert!(distance < 1e-4, "{shards} on {ranks}: {distance}");
        }
    }
    let settings = settings("own".to_owned());
    let own = on_ranks((2, 2), &|_, parallel| weights(Some(parallel), &sets, &settings));
    assert!(farthest(&own[0], &whole) > 1e-2, "statistics of a shard's own are others");
}

#[test]
fn two_ranks_with_frozen_norms_learn_what_whole_batches_teach() {
    let dir = tempfile::tempdir().unwrap();
    let sets = sets_of(&[3, 20], 11);
    let settings = Settings {
        epochs: 4,
        schedule: Schedule::constant(0.02),
        clip: None,
        ..settings(dir.path())
    };
    let frozen = || {
        let mut network = network_that_drops(0.0, 3);
        network.set_frozen(|name| name.starts_with("bn") || name.starts_with("counted"));
        network
    };
    let whole = weights_of(&frozen(), None, &sets, &settings);
    let options = ReduceOptions { reduction: Reduction::Fast, ..ReduceOptions::default() };
    let two = on_ranks(Shared { options, ..(2, 2).into() }, &|_, parallel| {
        weights_of(&frozen(), Some(parallel), &sets, &settings)
    });
    assert!(two[0] == two[1]);
    assert!(farthest(&two[0], &whole) < 1e-5, "{}", farthest(&two[0], &whole));
    assert!(farthest(&whole, &weights(None, &sets, &settings)) > 1e-3);
}

#[test]
fn a_run_whose_norms_see_all_shards_goes_on_with_other_ranks_and_not_without() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"));
    run(synced(4, 1), &whole, Start::Fresh, None).remove(0).0.unwrap();
    let stopped = settings(&dir.path().join("stopped"));
    run(synced(4, 4), &stopped, Start::Fresh, Some(2)).remove(0).0.unwrap();
    let refused = run((4, 4), &stopped, Start::Resume, None).remove(0).0.unwrap_err().chain();
    assert!(refused.contains("statistics of norms = of all shards, this run has nothing"));
    run(synced(4, 2), &stopped, Start::Resume, None).remove(0).0.unwrap();
    assert!(files(&stopped) == files(&whole));
}
