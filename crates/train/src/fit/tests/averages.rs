//! Runs whose model is an average of weights: what it is, that it is what is evaluated, and that it goes on after a stop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use taper_layers::Network;
use taper_layers::loss::CrossEntropy;
use taper_optim::{Optimizer, split_by_decay};

use super::super::{Fit, Outcome, Settings, Start};
use super::{TRAIN, VAL, files, settings, sgd, test_net};
use crate::{
    Accuracy, Checkpoint, Error, Event, LogLoss, Masks, Metric, Result, StepHook, WeightAverage,
    evaluate,
};

/// A hook that writes down the weights after every step.
struct Seen<'a>(&'a std::cell::RefCell<Vec<Vec<Vec<f32>>>>);

impl StepHook for Seen<'_> {
    fn describe(&self) -> String {
        "seen".to_owned()
    }

    fn after_step(&mut self, _step: u64, network: &Network) -> Result<()> {
        self.0.borrow_mut().push(weights(network));
        Ok(())
    }
}

fn weights(network: &Network) -> Vec<Vec<f32>> {
    let values = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1().unwrap();
    network.params().iter().map(|param| values(&param.var)).collect()
}

fn run(
    (hooks, ema): (Vec<Box<dyn StepHook + '_>>, Option<f64>),
    settings: &Settings,
    start: Start,
    stop_at: u64,
) -> (Result<Outcome>, Network) {
    let average = ema.map(|decay| WeightAverage::ema(decay).unwrap());
    run_with((hooks, average), settings, start, stop_at)
}

fn run_with<'a>(
    (hooks, average): (Vec<Box<dyn StepHook + 'a>>, Option<WeightAverage<'a>>),
    settings: &'a Settings,
    start: Start,
    stop_at: u64,
) -> (Result<Outcome>, Network) {
    let (network, stop) = (test_net(), AtomicBool::new(false));
    let params = network.params().iter().filter(|param| param.is_trained());
    let params = params.map(|p| (p.name.clone(), p.var.clone(), p.role.is_decayed()));
    let outcome = Fit {
        network: &network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 1e-2), sgd()).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks,
        average,
        metrics: vec![Box::new(LogLoss::new()), Box::new(Accuracy::top(1))],
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
fn the_saved_and_evaluated_model_is_the_moving_average_and_training_goes_on_as_without() {
    let dir = tempfile::tempdir().unwrap();
    let [mut plain, mut averaged] = ["plain", "ema"].map(|it| settings(&dir.path().join(it), 0.1));
    (plain.epochs, averaged.epochs) = (1, 1);
    let seen = std::cell::RefCell::default();
    let (_, without) = run((vec![], None), &plain, Start::Fresh, u64::MAX);
    let hooks: Vec<Box<dyn StepHook>> = vec![Box::new(Seen(&seen))];
    let (outcome, network) = run((hooks, Some(0.5)), &averaged, Start::Fresh, u64::MAX);
    let last = outcome.unwrap().last.unwrap().scores;
    assert_eq!(weights(&network), weights(&without), "an average changes nothing of the training");

    // The decays of timm's warm-up are 0, 0.37 and then 0.5.
    let decays = [0.0, 1.0 - 2f64.powf(-2.0 / 3.0), 0.5, 0.5];
    let best = saved(&averaged);
    is_moving_average(&best, &weights(&test_net()), &seen.into_inner(), decays);
    let mut metrics: Vec<Box<dyn Metric>> =
        vec![Box::new(LogLoss::new()), Box::new(Accuracy::top(1))];
    let scores = evaluate(&mut best.session().unwrap(), &VAL, &mut metrics).unwrap().scores;
    for name in ["loss", "top1"] {
        assert_eq!(scores.get(name), last.get(name), "{name}");
    }
}

fn saved(settings: &Settings) -> Network {
    let model = taper_model::Model::load(settings.out.model()).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}

/// Holds weights to a moving average that began with `first` and kept these shares of itself where the trail went.
fn is_moving_average(
    average: &Network,
    first: &[Vec<f32>],
    trail: &[Vec<Vec<f32>>],
    decays: [f64; 4],
) {
    assert_eq!(trail.len(), decays.len());
    for (index, saved) in weights(average).iter().enumerate() {
        let param = &average.params()[index];
        for (i, &got) in saved.iter().enumerate() {
            let mut expected = f64::from(first[index][i]);
            for (weights, decay) in trail.iter().zip(decays) {
                expected = decay * expected + (1.0 - decay) * f64::from(weights[index][i]);
            }
            let expected = if param.is_count() { 4.0 } else { expected };
            let close = (f64::from(got) - expected).abs() < 1e-6 * (1.0 + expected.abs());
            assert!(close, "{}[{i}]: {got} {expected}", param.name);
        }
    }
}

#[test]
fn without_warm_up_an_average_keeps_its_share_of_the_weights_that_were_begun_with() {
    let dir = tempfile::tempdir().unwrap();
    let average = || Some(WeightAverage::ema(0.75).unwrap().without_warmup());
    let mut whole = settings(&dir.path().join("whole"), 0.1);
    whole.epochs = 1;
    let seen = std::cell::RefCell::default();
    let hooks: Vec<Box<dyn StepHook>> = vec![Box::new(Seen(&seen))];
    run_with((hooks, average()), &whole, Start::Fresh, u64::MAX).0.unwrap();
    is_moving_average(&saved(&whole), &weights(&test_net()), &seen.into_inner(), [0.75; 4]);

    let stopped =
        Settings { out: crate::RunFolder::new(dir.path().join("stopped")), ..whole.clone() };
    let plain = || Vec::<Box<dyn StepHook>>::new();
    run_with((plain(), average()), &stopped, Start::Fresh, 2).0.unwrap();
    let warm = Some(WeightAverage::ema(0.75).unwrap());
    let refused = run_with((plain(), warm), &stopped, Start::Resume, u64::MAX).0.unwrap_err();
    let is_other = matches!(&refused, Error::OtherRun { key, saved, .. } if key == "average" && saved == "ema 0.75 without warm-up");
    assert!(is_other, "{refused:?}");
    run_with((plain(), average()), &stopped, Start::Resume, u64::MAX).0.unwrap();
    assert_eq!(weights(&saved(&stopped)), weights(&saved(&whole)));
}

#[test]
fn a_run_with_an_average_stopped_anywhere_is_one_never_stopped_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"), 0.1);
    run((vec![], Some(0.9)), &whole, Start::Fresh, u64::MAX).0.unwrap();
    for first in [0, 1, 4, 10] {
        let stopped = settings(&dir.path().join(first.to_string()), 0.1);
        let mut start = Start::Fresh;
        for at in [first, first + 3, u64::MAX] {
            run((vec![], Some(0.9)), &stopped, start, at).0.unwrap();
            start = Start::Resume;
        }
        assert!(files(&stopped) == files(&whole), "stopped after step {first}");
    }
}

#[test]
fn a_run_is_not_resumed_with_another_average_or_without() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    run((vec![], Some(0.9)), &settings, Start::Fresh, 2).0.unwrap();
    for other in [None, Some(0.99)] {
        let refused = run((vec![], other), &settings, Start::Resume, u64::MAX).0.unwrap_err();
        assert!(
            matches!(&refused, Error::OtherRun { key, saved, .. } if key == "average" && saved == "ema 0.9"),
            "{refused:?}"
        );
    }
}

/// Masks that come late: what the average had there before must not be in the model.
#[test]
fn an_average_has_the_zeros_that_its_masks_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    let kept: Vec<bool> = (0..24).map(|i| i % 2 == 0).collect();
    let masks = {
        let kept = kept.clone();
        Masks::changing("late", move |step, _| {
            let masks = || [("classifier.weight".to_owned(), kept.clone())].into();
            Ok((step == 6).then(masks))
        })
    };
    let hooks: Vec<Box<dyn StepHook>> = vec![Box::new(masks.settled_after(7))];
    run((hooks, Some(0.99)), &settings, Start::Fresh, u64::MAX).0.unwrap();
    let model = taper_model::Model::load(settings.out.model()).unwrap();
    let saved = &model.tensor("classifier.weight").unwrap().data;
    for (value, kept) in saved.iter().zip(kept) {
        assert_eq!(value.to_bits() == 0, !kept, "{saved:?}");
    }
}

/// Says so whenever it is asked for statistics, and shifts them all, so that they can be told.
fn shifting(
    asked: &std::cell::Cell<usize>,
) -> impl Fn(&Network) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    move |network| {
        asked.set(asked.get() + 1);
        let mean = network.params().iter().find(|param| param.name == "bn0.running_mean").unwrap();
        mean.var.set(&mean.var.zeros_like()?)?;
        Ok(())
    }
}

fn weights_saved(settings: &Settings) -> Vec<Vec<f32>> {
    let model = taper_model::Model::load(settings.out.model()).unwrap();
    weights(&Network::new(&model, &Device::Cpu).unwrap())
}

#[test]
fn the_mean_of_the_last_epochs_is_saved_with_statistics_of_its_own_and_no_epoch_before_can_be_best()
{
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir.path().join("swa"), 0.1);
    (settings.epochs, settings.keep_best, settings.best_by) = (4, 1, Some("loss".to_owned()));
    // No epoch that this run keeps: it stays as it is, and takes no place.
    std::fs::create_dir_all(settings.out.best()).unwrap();
    std::fs::write(settings.out.best_of(0), b"of somebody else").unwrap();
    let (seen, asked) = (std::cell::RefCell::default(), std::cell::Cell::new(0));
    let hooks: Vec<Box<dyn StepHook>> = vec![Box::new(Seen(&seen))];
    let average = WeightAverage::swa(2).recalibrated_by(shifting(&asked));
    let (outcome, network) = run_with((hooks, Some(average)), &settings, Start::Fresh, u64::MAX);
    let best = outcome.unwrap().best.unwrap();
    assert!(best.epoch >= 2, "{best:?}");
    assert_eq!(asked.get(), 2, "once an epoch that has an average");
    assert_eq!(std::fs::read(settings.out.best_of(0)).unwrap(), b"of somebody else");
    let kept = [1, 2, 3].map(|epoch| settings.out.best_of(epoch).is_file());
    assert_eq!(kept, [false, best.epoch == 2, best.epoch == 3]);
    let model = std::fs::read(settings.out.model()).unwrap();
    assert!(std::fs::read(settings.out.best_of(best.epoch)).unwrap() == model);
    let ends: Vec<Vec<Vec<f32>>> =
        seen.into_inner().chunks(4).map(|epoch| epoch[3].clone()).collect();
    for (index, saved) in weights_saved(&settings).iter().enumerate() {
        let param = &network.params()[index];
        for (i, &got) in saved.iter().enumerate() {
            let [a, b] = [2, 3].map(|epoch| ends[epoch][index][i]);
            let mean = if best.epoch == 2 { a } else { a + 0.5 * (b - a) };
            let expected = if param.name == "bn0.running_mean" { 0.0 } else { mean };
            let expected = if param.is_count() { [a, b][best.epoch - 2] } else { expected };
            assert!((got - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{}[{i}]", param.name);
        }
    }
}

/// One evaluation, and all that is saved behind it, has the same statistics: they are computed once.
#[test]
fn precise_norms_are_computed_once_an_epoch_and_the_best_epochs_are_kept_over_stops() {
    let dir = tempfile::tempdir().unwrap();
    let names = |settings: &Settings| -> Vec<String> {
        let files = std::fs::read_dir(settings.out.best()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let of = |name: &str| {
        let whole = settings(&dir.path().join(name), 0.1);
        Settings { epochs: 4, keep_best: 2, ..whole }
    };
    let (asked, whole) = (std::cell::Cell::new(0), of("whole"));
    let average = || Some(WeightAverage::precise_norms(shifting(&asked)));
    run_with((vec![], average()), &whole, Start::Fresh, u64::MAX).0.unwrap();
    assert_eq!(asked.get(), 4);
    let kept = Checkpoint::read(&whole.out.checkpoint()).unwrap().progress.kept;
    let expected: Vec<String> =
        kept.iter().map(|epoch| format!("epoch-{:04}.safetensors", epoch + 1)).collect();
    assert_eq!((kept.len(), names(&whole)), (2, expected));
    for first in [3, 8, 12] {
        let stopped = of(&first.to_string());
        for (start, at) in [(Start::Fresh, first), (Start::Resume, u64::MAX)] {
            run_with((vec![], average()), &stopped, start, at).0.unwrap();
        }
        assert!(files(&stopped) == files(&whole));
        assert_eq!(names(&stopped), names(&whole));
        for &epoch in &kept {
            let [a, b] = [&stopped, &whole].map(|it| std::fs::read(it.out.best_of(epoch)).unwrap());
            assert!(a == b, "epoch {epoch}");
        }
    }
}

#[test]
fn runs_with_means_and_soups_stopped_anywhere_are_those_never_stopped_bit_for_bit() {
    type Make = fn() -> WeightAverage<'static>;
    let makes: [(&str, Make); 2] =
        [("swa", || WeightAverage::swa(1)), ("soup", || WeightAverage::soup(2).unwrap())];
    for (name, make) in makes {
        let dir = tempfile::tempdir().unwrap();
        let whole = settings(&dir.path().join("whole"), 0.1);
        run_with((vec![], Some(make())), &whole, Start::Fresh, u64::MAX).0.unwrap();
        for first in [0, 5, 10, 11] {
            let stopped = settings(&dir.path().join(first.to_string()), 0.1);
            let mut start = Start::Fresh;
            for at in [first, first + 3, u64::MAX] {
                run_with((vec![], Some(make())), &stopped, start, at).0.unwrap();
                start = Start::Resume;
            }
            assert!(files(&stopped) == files(&whole), "{name} stopped after step {first}");
        }
    }
}

#[test]
fn a_soup_is_the_mean_of_the_best_epochs_with_which_it_is_no_worse() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(&dir.path().join("soup"), 0.1);
    settings.epochs = 5;
    let (mut scores, mut soup) = (Vec::new(), None);
    let seen = std::cell::RefCell::default();
    let (network, stop) = (test_net(), AtomicBool::new(false));
    let params = network.params().iter().filter(|param| param.is_trained());
    let params = params.map(|p| (p.name.clone(), p.var.clone(), p.role.is_decayed()));
    let outcome = Fit {
        network: &network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 1e-2), sgd()).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks: vec![Box::new(Seen(&seen))],
        average: Some(WeightAverage::soup(3).unwrap()),
        metrics: vec![],
        train: &TRAIN,
        val: &VAL,
        settings: &settings,
        save_model: &|network: &Network, path: &Path| Ok(network.to_model()?.save(path)?),
        time_up: None,
        parallel: None,
    }
    .run(Start::Fresh, &stop, &mut |event: &Event<'_>| match event {
        Event::EpochEnd { val, .. } => scores.push(val.scores.get("loss").unwrap()),
        Event::Soup { epochs, of, scores } => {
            soup = Some((epochs.to_vec(), *of, scores.get("loss").unwrap()));
        }
        _ => {}
    })
    .unwrap();
    let (epochs, of, loss) = soup.unwrap();
    let mut order: Vec<usize> = (0..5).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    assert_eq!((of, epochs[0]), (3, order[0]));
    assert!(epochs.iter().all(|epoch| order[..3].contains(epoch)));
    assert!(loss <= scores[order[0]]);
    assert_eq!(outcome.best.unwrap().scores.get("loss"), Some(loss));
    // The model is the mean of those epochs, and has the loss that was told.
    let ends: Vec<Vec<Vec<f32>>> =
        seen.into_inner().chunks(4).map(|epoch| epoch[3].clone()).collect();
    for (index, saved) in weights_saved(&settings).iter().enumerate() {
        let counts = network.params()[index].is_count();
        for (i, &got) in saved.iter().enumerate() {
            let sum: f32 = epochs.iter().map(|&epoch| ends[epoch][index][i]).sum();
            let mean = sum / epochs.len() as f32;
            let expected = if counts { ends[epochs[0]][index][i] } else { mean };
            assert!((got - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{index}[{i}]");
        }
    }
}
