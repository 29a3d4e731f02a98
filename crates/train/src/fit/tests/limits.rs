//! Runs that end before their last epoch, and one that diverges and goes on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::Network;
use taper_layers::loss::CrossEntropy;
use taper_optim::{Optimizer, split_by_decay};

use super::super::{Fit, Limits, Outcome, Settings, Start};
use super::{TRAIN, VAL, files, settings, sgd, test_net};
use crate::{Accuracy, Checkpoint, Error, Event, LogLoss, Result, StepHook};

/// A hook that makes weights no numbers behind a step, once.
struct Spoils {
    behind: u64,
    left: u32,
}

impl StepHook for Spoils {
    fn describe(&self) -> String {
        "spoils".to_owned()
    }

    fn after_step(&mut self, step: u64, network: &Network) -> Result<()> {
        if step == self.behind && self.left > 0 {
            self.left -= 1;
            let var = &network.params()[0].var;
            let nan = var.affine(f64::NAN, 0.0).and_then(|nan| var.set(&nan));
            nan.map_err(|source| Error::Tensor { what: "the weights", source })?;
        }
        Ok(())
    }
}

/// A run of which `flag` is set behind a step: the one that stops it, or the one that says that time is up.
fn run(
    hook: Spoils,
    settings: &Settings,
    start: Start,
    (stops, times_out): (u64, u64),
    mut observe: impl FnMut(&Event<'_>),
) -> Result<Outcome> {
    let network = test_net();
    let (stop, time_up) = (AtomicBool::new(false), AtomicBool::new(false));
    let params = network.params().iter().filter(|param| param.is_trained());
    let params = params.map(|p| (p.name.clone(), p.var.clone(), p.role.is_decayed()));
    Fit {
        network: &network,
        optimizer: Optimizer::from_groups(split_by_decay(params, 1e-2), sgd()).unwrap(),
        loss: &CrossEntropy::new(),
        teacher: None,
        hooks: vec![Box::new(hook)],
        average: None,
        metrics: vec![Box::new(LogLoss::new()), Box::new(Accuracy::top(1))],
        train: &TRAIN,
        val: &VAL,
        settings,
        save_model: &|network: &Network, path: &Path| Ok(network.to_model()?.save(path)?),
        time_up: Some(&time_up),
        parallel: None,
    }
    .run(start, &stop, &mut |event: &Event<'_>| {
        observe(event);
        if let Event::Step { step, .. } = event {
            stop.fetch_or(*step >= stops, Ordering::Relaxed);
            time_up.fetch_or(*step >= times_out, Ordering::Relaxed);
        }
    })
}

const NEVER: u64 = u64::MAX;

fn harmless() -> Spoils {
    Spoils { behind: NEVER, left: 0 }
}

#[test]
fn a_run_that_diverges_goes_on_from_its_last_checkpoint_at_half_the_rate() {
    let dir = tempfile::tempdir().unwrap();
    let [mut whole, mut cut] = ["whole", "cut"].map(|name| settings(&dir.path().join(name), 0.1));
    for settings in [&mut whole, &mut cut] {
        settings.limits.recoveries = 1;
        settings.save_every = Some(2);
    }
    let spoils = || Spoils { behind: 5, left: 1 };
    let (mut rates, mut recovered) = (Vec::new(), Vec::new());
    let done = run(spoils(), &whole, Start::Fresh, (NEVER, NEVER), |event| match event {
        Event::Step { step, lr, .. } => rates.push((*step, *lr)),
        Event::Recovered { step, scale, reason, .. } => {
            recovered.push((*step, *scale, (*reason).to_owned()));
        }
        _ => {}
    });
    assert_eq!(done.unwrap().steps, 12);
    let (at, scale, reason) = &recovered[0];
    assert_eq!((recovered.len(), *at), (1, 4), "the last checkpoint was before step 4");
    assert!((scale - 0.5).abs() < 1e-12 && reason.contains("NaN"), "{scale} {reason}");
    let fourth: Vec<f64> = rates.iter().filter(|(step, _)| *step == 4).map(|(_, lr)| *lr).collect();
    assert!(fourth.len() == 2 && (fourth[1] / fourth[0] - 0.5).abs() < 1e-12, "{fourth:?}");

    // Stopped behind the recovery and gone on with: the same bits.
    run(spoils(), &cut, Start::Fresh, (7, NEVER), |_| ()).unwrap();
    run(harmless(), &cut, Start::Resume, (NEVER, NEVER), |_| ()).unwrap();
    assert!(files(&cut) == files(&whole));
    let checkpoint = Checkpoint::read(&whole.out.checkpoint()).unwrap();
    assert_eq!(checkpoint.progress.recoveries, 1);
    let log = std::fs::read_to_string(whole.out.log()).unwrap();
    let kinds = log.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["kind"].as_str().unwrap().to_owned(), line["step"].as_u64())
    });
    let kinds: Vec<(String, Option<u64>)> = kinds.collect();
    let at = kinds.iter().position(|(kind, _)| kind == "recovered").unwrap();
    assert_eq!(kinds.iter().filter(|(kind, _)| kind == "recovered").count(), 1);
    let steps = kinds.iter().filter(|(kind, _)| kind == "step").map(|(_, step)| step.unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), (0..12).collect::<Vec<_>>(), "{log}");
    assert_eq!(kinds[at + 1], ("step".to_owned(), Some(4)));

    let mut hopeless = settings(&dir.path().join("hopeless"), 0.1);
    hopeless.limits.recoveries = 2;
    let always = Spoils { behind: 5, left: 9 };
    let error = run(always, &hopeless, Start::Fresh, (NEVER, NEVER), |_| ()).unwrap_err();
    let Error::At { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, Error::NotFinite { .. }), "{source:?}");
}

#[test]
fn a_run_that_gets_no_better_ends_early_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path(), 0.0); // no epoch is better than the first
    settings.limits = Limits { patience: Some(1), ..Limits::default() };
    let done = run(harmless(), &settings, Start::Fresh, (NEVER, NEVER), |_| ()).unwrap();
    assert_eq!((done.steps, done.stopped, done.best.map(|best| best.epoch)), (8, false, Some(0)));
    let before = files(&settings);
    let again = run(harmless(), &settings, Start::Resume, (NEVER, NEVER), |_| ()).unwrap();
    assert_eq!(again.steps, 8);
    assert!(files(&settings) == before);
    settings.limits.patience = Some(0);
    let refused = run(harmless(), &settings, Start::Fresh, (NEVER, NEVER), |_| ()).unwrap_err();
    assert!(refused.to_string().contains("patience"), "{refused}");
}

#[test]
fn when_time_is_up_there_is_a_model_and_the_run_can_be_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| settings(&dir.path().join(name), 0.1));
    run(harmless(), &whole, Start::Fresh, (NEVER, NEVER), |_| ()).unwrap();
    // Behind the second step of the first epoch: there is no other model.
    let done = run(harmless(), &cut, Start::Fresh, (NEVER, 1), |_| ()).unwrap();
    assert_eq!((done.steps, done.stopped, done.time_up), (2, false, true));
    assert!(done.last.is_some() && cut.out.model().is_file());
    let done = run(harmless(), &cut, Start::Resume, (NEVER, NEVER), |_| ()).unwrap();
    assert_eq!((done.steps, done.time_up), (12, false));
    assert!(files(&cut) == files(&whole), "a run that goes on is one that was never stopped");
    // In the middle of a later epoch, the best one so far is the model.
    let later = settings(&dir.path().join("later"), 0.1);
    let done = run(harmless(), &later, Start::Fresh, (NEVER, 5), |_| ()).unwrap();
    assert_eq!((done.steps, done.time_up, done.best.map(|best| best.epoch)), (6, true, Some(0)));
    run(harmless(), &later, Start::Resume, (NEVER, NEVER), |_| ()).unwrap();
    assert!(files(&later) == files(&whole));
}
