//! Shards that train alone and meet: the same files on any number of ranks, stopped anywhere, and what meeting costs and does.

use std::sync::atomic::AtomicBool;

use taper_distributed::Totals;
use taper_layers::Network;
use taper_layers::loss::CrossEntropy;
use taper_optim::{Optimizer, Schedule, Sgd, split_by_decay};

use super::{Shared, Told, files, network_that_drops, on_ranks, run, sets_of, settings};
use crate::{
    Checkpoint, DataParallel, Event, Fit, LocalSgd, Masks, Outcome, Result, Settings, Start,
    StepHook, Synchronization, WeightAverage,
};

const DILOCO: LocalSgd = LocalSgd { every: 3, outer_lr: 0.7, outer_momentum: 0.9 };

fn local(local: LocalSgd, shards: usize, ranks: usize) -> Shared {
    Shared { sync: Synchronization::Weights(local), ..(shards, ranks).into() }
}

fn steps(all: Vec<Told>) -> u64 {
    let steps: Vec<u64> = all.into_iter().map(|(outcome, _)| outcome.unwrap().steps).collect();
    assert!(steps.iter().all(|step| *step == steps[0]));
    steps[0]
}

#[test]
fn shards_that_meet_leave_the_same_files_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    for (name, how) in [("mean", LocalSgd::mean(2)), ("diloco", DILOCO)] {
        let alone = settings(&dir.path().join(format!("{name} alone")));
        let (outcome, told) = run(local(how, 4, 1), &alone, Start::Fresh, None).remove(0);
        let outcome = outcome.unwrap();
        for ranks in [2, 4] {
            let shared = settings(&dir.path().join(format!("{name} on {ranks}")));
            for (rank, (it, events)) in
                run(local(how, 4, ranks), &shared, Start::Fresh, None).into_iter().enumerate()
            {
                assert_eq!(it.unwrap(), outcome, "{name} on {ranks}: rank {rank}");
                assert_eq!(events.len(), if rank == 0 { told.len() } else { 0 });
            }
            assert!(files(&shared) == files(&alone), "{name} on {ranks}");
        }
        let every = settings(&dir.path().join(format!("{name} not")));
        run((4, 1), &every, Start::Fresh, None).remove(0).0.unwrap();
        assert!(files(&every)[0] != files(&alone)[0]);
    }
}

#[test]
fn a_run_stopped_anywhere_between_meetings_goes_on_with_other_ranks_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"));
    run(local(DILOCO, 4, 1), &whole, Start::Fresh, None).remove(0).0.unwrap();
    for (i, [first, then]) in [[4, 1], [1, 4], [2, 4], [4, 2], [1, 1]].into_iter().enumerate() {
        let stopped = settings(&dir.path().join(format!("stopped {i}")));
        let at = steps(run(local(DILOCO, 4, first), &stopped, Start::Fresh, Some(i as u64)));
        let saved = Checkpoint::read(&stopped.out.checkpoint()).unwrap().parallel;
        let has = |key: &str| saved.keys().any(|it| it.starts_with(key));
        // An epoch has five steps and ends with a meeting, unless it is stopped right before.
        let is_alone = ![0, 3, 8].contains(&at);
        assert!(at == 5 || has("shard/3/param/") == is_alone, "{at}");
        assert!(has("shard/3/optimizer/") && !has("rank/"));
        assert_eq!(has("outer/momentum/"), at >= 3);
        run(local(DILOCO, 4, then), &stopped, Start::Resume, None);
        assert!(files(&stopped) == files(&whole), "{first} ranks, then {then}, at {at}");
    }
    let other = local(LocalSgd { every: 4, ..DILOCO }, 4, 2);
    let refused = run(other, &whole, Start::Resume, None).remove(0).0.unwrap_err().chain();
    let expected = "meetings of shards = every 3 steps, outer lr 0.7, outer momentum 0.9";
    assert!(refused.contains(expected), "{refused}");
}

#[test]
fn a_checkpoint_whose_shards_are_gone_is_refused_by_key() {
    let dir = tempfile::tempdir().unwrap();
    for (key, what) in [
        ("outer/steps", "is missing or no count"),
        ("shard/1/param/conv0.weight", "is missing"),
        ("outer/momentum/conv0.weight", "has another shape"),
    ] {
        let settings = settings(&dir.path().join(key));
        steps(run(local(DILOCO, 2, 1), &settings, Start::Fresh, Some(3)));
        let path = settings.out.checkpoint();
        let mut checkpoint = Checkpoint::read(&path).unwrap();
        let tensor = checkpoint.parallel.remove(key).unwrap();
        if what == "has another shape" {
            let longer = candle_core::Tensor::cat(&[&tensor, &tensor], 0).unwrap();
            checkpoint.parallel.insert(key.to_owned(), longer);
        }
        checkpoint.save(&path).unwrap();
        let refused = run(local(DILOCO, 2, 1), &settings, Start::Resume, None).remove(0).0;
        let text = refused.unwrap_err().chain();
        assert!(text.contains(&format!("the checkpoint's `{key}` {what}")), "{text}");
    }
}

/// A run of ten steps, none of which drops anything, with SGD; gives parameters in the end, and what was sent.
fn weights(
    parallel: Option<&DataParallel>,
    settings: &Settings,
    average: Option<WeightAverage<'static>>,
) -> (Vec<Vec<f32>>, Totals) {
    let (outcome, weights, totals) = run_with(parallel, settings, (average, vec![]));
    assert_eq!(outcome.unwrap().steps, 12);
    (weights, totals)
}

fn run_with(
    parallel: Option<&DataParallel>,
    settings: &Settings,
    (average, hooks): (Option<WeightAverage<'static>>, Vec<Box<dyn StepHook>>),
) -> (Result<Outcome>, Vec<Vec<f32>>, Totals) {
    let sets = sets_of(&[], 8);
    let network: Network = network_that_drops(0.0, 3);
    let rule = Sgd { momentum: 0.0, nesterov: false, dampening: 0.0 };
    let params = network.trainable().into_iter().map(|(name, var)| (name, var, true));
    let mut fit = Fit {
        network: &network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 0.0), rule).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks,
        metrics: vec![],
        train: &sets.train,
        val: &sets.val,
        settings,
        save_model: &|_, _| Ok(()),
        average,
        time_up: None,
        parallel,
    };
    let outcome = fit.run(Start::Fresh, &AtomicBool::new(false), &mut |_: &Event<'_>| ());
    let values = |param: &taper_layers::Parameter| {
        param.var.as_detached_tensor().flatten_all().unwrap().to_vec1().unwrap()
    };
    let totals = parallel.map(DataParallel::totals).unwrap_or_default();
    (outcome, network.params().iter().map(values).collect(), totals)
}

fn plain(out: &std::path::Path) -> Settings {
    Settings { schedule: Schedule::constant(0.05), clip: None, ..settings(out) }
}

fn farthest(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.fold(0.0, |most, (a, b)| most.max((a - b).abs() / (1.0 + b.abs())))
}

#[test]
fn meeting_after_every_step_is_sharing_gradients_and_after_h_sends_a_part_in_h() {
    let dir = tempfile::tempdir().unwrap();
    let settings = plain(dir.path());
    let on_two = |shared: Shared| {
        let all = on_ranks(shared, &|_, parallel| weights(Some(parallel), &settings, None));
        assert!(all[0].0 == all[1].0, "ranks end with the same weights");
        let [(weights, totals), _] = all.try_into().unwrap();
        (weights, totals)
    };
    let (every, sent) = on_two((2, 2).into());
    // SGD without momentum, and shards of the same size.
    let (met, sent_met) = on_two(local(LocalSgd::mean(1), 2, 2));
    assert!(farthest(&met, &every) < 1e-5, "{}", farthest(&met, &every));
    assert_eq!(sent_met.sent_bytes, sent.sent_bytes);
    for every in [2, 3, 6] {
        let (_, totals) = on_two(local(LocalSgd::mean(every), 2, 2));
        assert_eq!(totals.sent_bytes * every, sent.sent_bytes, "{every}");
    }
    // Six steps an epoch, which ends with a meeting.
    let (_, totals) = on_two(local(LocalSgd::mean(100), 2, 2));
    assert_eq!(totals.sent_bytes * 6, sent.sent_bytes);
}

#[test]
fn one_shard_that_meets_itself_is_a_run_without() {
    let dir = tempfile::tempdir().unwrap();
    let settings = plain(dir.path());
    let (without, _) = weights(None, &settings, None);
    let of = |how| {
        let all =
            on_ranks(local(how, 1, 1), &|_, parallel| weights(Some(parallel), &settings, None).0);
        farthest(&all[0], &without)
    };
    assert!(of(LocalSgd::mean(3)) < 1e-5);
    assert!(of(DILOCO) > 1e-3, "an outer momentum goes further");
}

#[test]
fn masks_that_follow_the_weights_of_one_network_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = plain(dir.path());
    let outcomes = on_ranks(local(DILOCO, 2, 2), &|_, parallel| {
        let hook = Masks::changing("half after 2 steps", |_, _| Ok(None));
        run_with(Some(parallel), &settings, (None, vec![Box::new(hook)])).0
    });
    for outcome in outcomes {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("masks that change: half after 2 steps"), "{text}");
        assert!(text.contains("where shards train alone"), "{text}");
    }
    assert!(!settings.out.checkpoint().exists());
    let fixed = || Masks::new([("conv0.weight".to_owned(), vec![false; 6 * 27])].into());
    let all = on_ranks(local(DILOCO, 2, 1), &|_, parallel| {
        let (outcome, weights, _) =
            run_with(Some(parallel), &settings, (None, vec![Box::new(fixed())]));
        outcome.unwrap();
        weights
    });
    assert!(all[0][0].iter().all(|weight| *weight == 0.0), "what is masked stays zero");
}

#[test]
fn an_average_of_weights_moves_with_meetings_for_all_steps_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let settings = plain(dir.path());
    let saved = |shared: Shared| {
        on_ranks(shared, &|_, parallel| {
            weights(Some(parallel), &settings, Some(WeightAverage::ema(0.5).unwrap()));
        });
        Checkpoint::read(&settings.out.checkpoint()).unwrap().average
    };
    let each = saved((2, 2).into());
    let met = saved(local(LocalSgd::mean(1), 2, 2));
    let far = |a: &std::collections::BTreeMap<String, candle_core::Tensor>| {
        let flat = |it: &candle_core::Tensor| it.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let [a, b] = [a, &each].map(|all| all.values().map(flat).collect::<Vec<_>>());
        farthest(&a, &b)
    };
    assert!(far(&met) < 1e-5, "{}", far(&met));
    let rare = saved(local(LocalSgd::mean(6), 2, 2));
    assert!((1e-5..0.2).contains(&far(&rare)), "{}", far(&rare));
}
