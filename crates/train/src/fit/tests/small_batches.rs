//! Batches without a variance: norms on maps of one position need two pictures, and a run never ends over one.

use std::sync::atomic::{AtomicBool, Ordering};

use taper_layers::Network;

use super::{Pictures, TRAIN, VAL, classified, files, net, run_on, settings, sgd};
use crate::{Error, Event, Outcome, Result, Settings, Start};

/// Three batches of seven and one of one.
const ODD: Pictures = Pictures { n: 22, batch_size: 7, noise: 0.5 };

/// Its last norm sees one position.
fn to_one_position() -> Network {
    net(&[2, 2, 2])
}

fn run(
    network: &Network,
    train: &Pictures,
    settings: &Settings,
    start: Start,
    stop: &AtomicBool,
    observe: impl FnMut(&Event<'_>),
) -> Result<Outcome> {
    run_on((network, classified()), [train, &VAL], sgd(), settings, start, (stop, observe))
}

/// The batches that took a step, and those that were too small with what they had and needed.
fn batches(network: &Network, train: &Pictures) -> Result<(Vec<usize>, Vec<[usize; 3]>)> {
    let dir = tempfile::tempdir().unwrap();
    let (mut stepped, mut too_few) = (Vec::new(), Vec::new());
    let mut settings = settings(dir.path(), 0.01);
    settings.epochs = 1;
    let never = AtomicBool::new(false);
    run(network, train, &settings, Start::Fresh, &never, |event| match event {
        Event::Step { batch, .. } => stepped.push(*batch),
        Event::TooFew { batch, samples, needed, .. } => too_few.push([*batch, *samples, *needed]),
        _ => {}
    })?;
    let log = String::from_utf8(files(&settings)[2].clone()).unwrap();
    assert_eq!(log.matches("\"kind\":\"too_few\"").count(), too_few.len());
    Ok((stepped, too_few))
}

#[test]
fn a_last_batch_of_one_takes_no_step_where_norms_need_two() {
    let (stepped, too_few) = batches(&to_one_position(), &ODD).unwrap();
    assert_eq!((stepped, too_few), (vec![0, 1, 2], vec![[3, 1, 2]]));
}

#[test]
fn one_picture_is_enough_for_norms_that_see_more_positions_or_are_frozen() {
    assert_eq!(batches(&net(&[1]), &ODD).unwrap(), (vec![0, 1, 2, 3], vec![]));
    let mut frozen = to_one_position();
    frozen.set_frozen(|name| name.starts_with("bn2"));
    assert_eq!(batches(&frozen, &ODD).unwrap(), (vec![0, 1, 2, 3], vec![]));
}

#[test]
fn a_run_that_could_take_no_step_says_what_it_needs() {
    for alone in [Pictures { n: 1, ..ODD }, Pictures { n: 3, batch_size: 1, ..ODD }] {
        let error = batches(&to_one_position(), &alone).unwrap_err();
        let Error::At { source, step: 0, .. } = error else { panic!("{error:?}") };
        assert!(matches!(*source, Error::TooFew { needed: 2 }), "{source}");
    }
}

#[test]
fn stopping_around_a_small_batch_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"), 0.1);
    let never = AtomicBool::new(false);
    run(&to_one_position(), &ODD, &whole, Start::Fresh, &never, |_| ()).unwrap();
    for at in [1, 2, 3] {
        let stopped = settings(&dir.path().join(at.to_string()), 0.1);
        let stop = AtomicBool::new(false);
        run(&to_one_position(), &ODD, &stopped, Start::Fresh, &stop, |event| {
            if matches!(event, Event::Step { step, .. } if *step >= at) {
                stop.store(true, Ordering::Relaxed);
            }
        })
        .unwrap();
        run(&to_one_position(), &ODD, &stopped, Start::Resume, &never, |_| ()).unwrap();
        assert!(files(&stopped) == files(&whole), "stopped after step {at}");
    }
    assert_eq!(TRAIN.n, ODD.n);
}

#[test]
fn what_was_begun_can_be_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, begun) =
        (settings(&dir.path().join("whole"), 0.1), settings(&dir.path().join("begun"), 0.1));
    let never = AtomicBool::new(false);
    run(&net(&[1]), &TRAIN, &whole, Start::Fresh, &never, |_| ()).unwrap();
    let network = net(&[1]);
    let params = network.params().iter().filter(|param| param.is_trained());
    let params =
        params.map(|param| (param.name.clone(), param.var.clone(), param.role.is_decayed()));
    let optimizer =
        taper_optim::Optimizer::from_groups(taper_optim::split_by_decay(params, 1e-3), sgd());
    let mut fit = super::Fit {
        network: &network,
        optimizer: optimizer.unwrap(),
        loss: &taper_layers::loss::CrossEntropy::new().with_label_smoothing(0.1).unwrap(),
        teacher: None,
        hooks: vec![],
        average: None,
        metrics: classified(),
        train: &TRAIN,
        val: &VAL,
        settings: &begun,
        save_model: &|network: &Network, path: &std::path::Path| {
            Ok(network.to_model()?.save(path)?)
        },
        time_up: None,
        parallel: None,
    };
    fit.begin(&mut |_: &Event<'_>| ()).unwrap();
    assert!(begun.out.checkpoint().is_file());
    fit.run(Start::Resume, &never, &mut |_: &Event<'_>| ()).unwrap();
    assert!(files(&begun) == files(&whole));
}
