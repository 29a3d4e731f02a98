//! What hooks do to a run: masked entries stay zero, penalties pull, states go on after a stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use taper_data::Targets;
use taper_layers::Network;
use taper_layers::loss::CrossEntropy;
use taper_optim::{AdamW, Optimizer, Rule, Sgd, split_by_decay};

use super::super::{Fit, Outcome, Settings, Start};
use super::{SIDE, TRAIN, VAL, files, settings, sgd, test_net};
use crate::{
    Accuracy, Batch, Error, Event, L1Penalty, Masks, Participants, Result, StepHook, StepSettings,
    Unfreeze, step,
};

type Hooks<'a> = Vec<Box<dyn StepHook + 'a>>;

fn optimizer<R: Rule>(network: &Network, rule: R) -> Optimizer<R> {
    let params = network.params().iter().filter(|param| param.is_trained());
    let params = params.map(|p| (p.name.clone(), p.var.clone(), p.role.is_decayed()));
    Optimizer::from_groups(split_by_decay(params, 1e-2), rule).unwrap()
}

/// Runs the test network with hooks; stops after step `stop_at`.
fn run<R: Rule>(
    hooks: Hooks<'_>,
    rule: R,
    settings: &Settings,
    start: Start,
    stop_at: u64,
) -> (Result<Outcome>, Network) {
    let (network, stop) = (test_net(), AtomicBool::new(false));
    let outcome = Fit {
        network: &network,
        optimizer: optimizer(&network, rule),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks,
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

fn values(network: &Network, name: &str) -> Vec<f32> {
    let param = network.params().iter().find(|param| param.name == name).unwrap();
    param.var.flatten_all().unwrap().to_vec1().unwrap()
}

/// Two of three entries of two tensors are kept.
fn kept() -> BTreeMap<String, Vec<bool>> {
    let some = |len: usize| (0..len).map(|i| i % 3 != 1).collect();
    BTreeMap::from([
        ("conv0.weight".to_owned(), some(8 * 3 * 9)),
        ("classifier.weight".to_owned(), some(3 * 8)),
    ])
}

/// More and more of the smallest weights of the convolution, after every third step.
fn growing() -> Masks<'static> {
    Masks::changing("three more after every third step", |step, network| {
        if step % 3 != 2 {
            return Ok(None);
        }
        let weights = values(network, "conv0.weight");
        let mut order: Vec<usize> = (0..weights.len()).collect();
        order.sort_by(|&a, &b| weights[a].abs().total_cmp(&weights[b].abs()).then(a.cmp(&b)));
        let mut kept = vec![true; weights.len()];
        order[..usize::try_from(step + 1).unwrap()].iter().for_each(|&i| kept[i] = false);
        Ok(Some(BTreeMap::from([("conv0.weight".to_owned(), kept)])))
    })
}

#[test]
fn masked_entries_stay_zero_through_momentum_weight_decay_and_clipping_and_others_move() {
    let (first, dir) = (test_net(), tempfile::tempdir().unwrap());
    let mut settings = settings(&dir.path().join("sgd"), 0.1);
    for (name, rule) in
        [("sgd", Box::new(sgd()) as Box<dyn Rule>), ("adamw", Box::new(AdamW::default()))]
    {
        settings.out = crate::RunFolder::new(dir.path().join(name));
        let hooks: Hooks<'_> = vec![Box::new(Masks::new(kept()))];
        let (outcome, network) = run(hooks, rule, &settings, Start::Fresh, u64::MAX);
        outcome.unwrap();
        let best = taper_model::Model::load(settings.out.model()).unwrap();
        for (param, kept) in kept() {
            let (before, after) = (values(&first, &param), values(&network, &param));
            let saved = &best.tensor(&param).unwrap().data;
            for ((before, after), (kept, saved)) in
                before.iter().zip(&after).zip(kept.iter().zip(saved))
            {
                let is_zero = [*after, *saved].map(|value| value.to_bits() == 0);
                assert_eq!(is_zero, [!kept; 2], "{name} {param}: {before} {after} {saved}");
                assert!(
                    !kept || before.to_bits() != after.to_bits(),
                    "{name} {param} did not move"
                );
            }
        }
    }
}

/// A mask that comes late finds momentum; the step after it moves nothing.
#[test]
fn masks_that_grow_hold_against_the_momentum_they_find() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    for stop_at in [1, 2, 3, 7, 8, 9, 11] {
        let (outcome, network) =
            run(vec![Box::new(growing())], sgd(), &settings, Start::Fresh, stop_at);
        outcome.unwrap();
        let zeros = values(&network, "conv0.weight").iter().filter(|w| **w == 0.0).count();
        assert_eq!(zeros as u64, 3 * ((stop_at + 1) / 3), "after step {stop_at}");
    }
}

#[test]
fn a_run_with_masks_and_a_penalty_stopped_and_resumed_is_one_never_stopped_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let hooks = || -> Hooks<'static> {
        let penalty = L1Penalty::new(1e-2, ["bn0.weight".to_owned()]).unwrap();
        let first = BTreeMap::from([("conv0.weight".to_owned(), vec![true; 8 * 3 * 9])]);
        vec![
            Box::new(penalty),
            Box::new(Masks::new(BTreeMap::from([(
                "classifier.weight".to_owned(),
                kept().remove("classifier.weight").unwrap(),
            )]))),
            Box::new(growing().beginning_with(first)),
        ]
    };
    let whole = settings(&dir.path().join("whole"), 0.1);
    run(hooks(), sgd(), &whole, Start::Fresh, u64::MAX).0.unwrap();
    for first in [0, 2, 4, 8] {
        let stopped = settings(&dir.path().join(first.to_string()), 0.1);
        let mut start = Start::Fresh;
        for at in [first, first + 2, u64::MAX] {
            let outcome = run(hooks(), sgd(), &stopped, start, at).0.unwrap();
            assert_eq!(outcome.stopped, at < 12);
            start = Start::Resume;
        }
        assert!(files(&stopped) == files(&whole), "stopped after steps {first} and {}", first + 2);
    }
    // The masks made a difference, and are asked for.
    let plain = settings(&dir.path().join("plain"), 0.1);
    run(vec![], sgd(), &plain, Start::Fresh, u64::MAX).0.unwrap();
    assert!(files(&plain) != files(&whole));
    let other = run(vec![], sgd(), &whole, Start::Resume, u64::MAX).0.unwrap_err();
    assert!(matches!(&other, Error::OtherRun { key, .. } if key == "hook 1"), "{other}");
}

#[test]
fn a_mask_that_does_not_fit_is_refused_before_anything_is_written() {
    for (name, len, reason) in [
        (
            "conv7.weight",
            3,
            "there is a mask for `conv7.weight`, which is no parameter of the network",
        ),
        (
            "classifier.weight",
            23,
            "there is a mask for `classifier.weight`, which has 24 entries, not 23",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let masks = Masks::new(BTreeMap::from([(name.to_owned(), vec![true; len])]));
        let settings = settings(&dir.path().join("run"), 0.1);
        let (outcome, _) = run(vec![Box::new(masks)], sgd(), &settings, Start::Fresh, 0);
        assert_eq!(outcome.unwrap_err().to_string(), reason);
        assert!(!settings.out.path().exists());
    }
}

#[test]
fn what_is_held_does_not_move_and_a_run_that_unfreezes_goes_on_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let parts = || -> Vec<Vec<String>> {
        let norm = ["conv0.weight", "bn0.weight", "bn0.bias", "bn0.running_mean"];
        vec![names(&["classifier.weight", "classifier.bias"]), names(&norm)]
    };
    let hooks = || -> Hooks<'static> { vec![Box::new(Unfreeze::new(2, parts()).unwrap())] };
    let first = test_net();
    let moved = |network: &Network, name: &str| values(network, name) != values(&first, name);
    let whole = settings(&dir.path().join("whole"), 0.1);
    let (outcome, network) = run(hooks(), sgd(), &whole, Start::Fresh, u64::MAX);
    outcome.unwrap();
    assert!(moved(&network, "conv0.weight") && moved(&network, "bn0.running_mean"));
    // Two epochs of four steps; steps 7 and 8 are the last that is held and the first that is not.
    for at in [2, 7, 8, 9] {
        let stopped = settings(&dir.path().join(at.to_string()), 0.1);
        let (outcome, network) = run(hooks(), sgd(), &stopped, Start::Fresh, at);
        assert!(outcome.unwrap().stopped);
        for name in ["conv0.weight", "bn0.weight", "bn0.running_mean", "bn0.running_var"] {
            assert_eq!(moved(&network, name), at >= 8, "{name} after step {at}");
        }
        assert!(moved(&network, "classifier.weight"));
        run(hooks(), sgd(), &stopped, Start::Resume, u64::MAX).0.unwrap();
        assert!(files(&stopped) == files(&whole), "stopped after step {at}");
    }
    let other: Hooks<'_> = vec![Box::new(Unfreeze::new(1, parts()).unwrap())];
    let other = run(other, sgd(), &whole, Start::Resume, u64::MAX).0.unwrap_err();
    assert!(matches!(&other, Error::OtherRun { key, .. } if key == "hook 1"), "{other}");
    assert!(Unfreeze::new(0, parts()).is_err());
}

fn batch() -> Batch {
    let xs = (0..3 * SIDE * SIDE * 3).map(|i| ((i * i) as f32 * 0.21).sin()).collect();
    Batch {
        position: 0,
        xs,
        shape: [3, SIDE, SIDE],
        targets: Targets::Classes(vec![0, 1, 2]),
        indices: vec![0, 1, 2],
        skipped: vec![],
        for_teacher: None,
    }
}

/// One step of plain descent shows the gradient: with and without the penalty it differs by `lambda · sign`.
#[test]
fn the_penalty_adds_lambda_times_the_sign_and_nothing_at_zero() {
    let scales = [0.5f32, -0.25, 0.0, 2.0, -3.0, 1.0, 1e-3, -1e-3];
    let after = |lambda: Option<f64>| {
        let network = test_net();
        let scale = network.params().iter().find(|param| param.name == "bn0.weight").unwrap();
        scale.var.set(&Tensor::new(&scales, &Device::Cpu).unwrap()).unwrap();
        let mut optimizer = optimizer(&network, Sgd::default());
        let mut hooks: Hooks<'_> = lambda
            .map(|lambda| {
                let penalized = ["bn0.weight", "no such"].map(str::to_owned);
                Box::new(L1Penalty::new(lambda, penalized).unwrap()) as Box<dyn StepHook>
            })
            .into_iter()
            .collect();
        let settings = StepSettings { lr: 0.5, clip: None, seed: 0, step: 0 };
        let loss = CrossEntropy::new();
        let participants = Participants { metric: None, hooks: &mut hooks };
        let report =
            step(&network, &mut optimizer, batch(), &loss, participants, settings).unwrap();
        (report.loss, values(&network, "bn0.weight"), values(&network, "bn0.bias"))
    };
    let (plain, pulled) = (after(None), after(Some(0.125)));
    assert_eq!((plain.0, &plain.2), (pulled.0, &pulled.2));
    for ((plain, pulled), scale) in plain.1.iter().zip(&pulled.1).zip(scales) {
        let sign = if scale == 0.0 { 0.0 } else { scale.signum() };
        assert!((plain - pulled - 0.5 * 0.125 * sign).abs() < 1e-6, "{scale}: {plain} {pulled}");
    }
}

/// The first epochs, whose network is denser, are no candidates for the best model, also after a stop.
#[test]
fn an_epoch_whose_masks_still_change_has_no_best_model() {
    let dir = tempfile::tempdir().unwrap();
    let settings_of = |name: &str| settings(&dir.path().join(name), 0.1);
    let whole = settings_of("whole");
    let hooks = |after| -> Hooks<'static> { vec![Box::new(growing().settled_after(after))] };
    let (outcome, _) = run(hooks(0), sgd(), &whole, Start::Fresh, u64::MAX);
    let (steps, epochs) = (outcome.unwrap().steps, whole.epochs as u64);
    let per_epoch = steps / epochs;
    assert!(epochs > 1 && per_epoch > 1, "{epochs} epochs of {per_epoch} steps");
    for (after, first) in [(1, 0), (per_epoch, 0), (per_epoch + 1, 1), (steps, epochs - 1)] {
        let late = settings_of(&format!("after {after}"));
        run(hooks(after), sgd(), &late, Start::Fresh, per_epoch).0.unwrap();
        let (outcome, _) = run(hooks(after), sgd(), &late, Start::Resume, u64::MAX);
        let best = outcome.unwrap().best.unwrap();
        assert!(best.epoch as u64 >= first, "settled after {after}: best is epoch {}", best.epoch);
        let zeros = taper_model::Model::load(late.out.model()).unwrap();
        let zeros = zeros.tensor("conv0.weight").unwrap().data.iter().filter(|w| **w == 0.0);
        assert_eq!(zeros.count() as u64, 3 * (per_epoch * (best.epoch as u64 + 1) / 3));
    }
    let never = settings_of("never");
    let (outcome, _) = run(hooks(steps + 1), sgd(), &never, Start::Fresh, u64::MAX);
    assert_eq!(outcome.unwrap().best, None);
    assert!(!never.out.model().exists());
}
