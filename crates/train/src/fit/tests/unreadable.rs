//! Samples that cannot be read while a run is under way: left out, counted, named, and never silently.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{Pictures, SIDE, TRAIN, VAL, classified, files, run_on, settings, sgd, test_net};
use crate::{Batch, Batches, Error, Event, Outcome, Result, Settings, Skipped, Start};

/// A set some of whose samples are gone.
struct Gone<'a> {
    set: &'a Pictures,
    gone: &'a [usize],
}

impl Batches for Gone<'_> {
    fn n_samples(&self) -> usize {
        self.set.n_samples()
    }

    fn n_batches(&self) -> usize {
        self.set.n_batches()
    }

    fn epoch(
        &self,
        epoch: usize,
        start_batch: usize,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let without = move |batch: Batch| {
            let is_gone = |index: &&usize| self.gone.contains(index);
            let kept: Vec<usize> = batch.indices.iter().filter(|i| !is_gone(i)).copied().collect();
            let skipped = batch
                .indices
                .iter()
                .filter(is_gone)
                .map(|i| Skipped { name: format!("{i}.png"), reason: "no such file".to_owned() });
            let skipped = skipped.collect();
            Batch { skipped, ..self.set.batch(epoch, batch.position, &kept) }
        };
        Box::new(self.set.epoch(epoch, start_batch).map(move |batch| batch.map(without)))
    }
}

fn run(
    [train, val]: [&[usize]; 2],
    settings: &Settings,
    start: Start,
    stop: &AtomicBool,
    observe: impl FnMut(&Event<'_>),
) -> Result<Outcome> {
    let (train, val) = (Gone { set: &TRAIN, gone: train }, Gone { set: &VAL, gone: val });
    run_on((&test_net(), classified()), [&train, &val], sgd(), settings, start, (stop, observe))
}

/// Three pictures of training; the whole second batch of validation and one more.
const SOME: [&[usize]; 2] = [&[1, 5, 20], &[0, 1, 2, 3, 8]];

fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

#[test]
fn what_is_left_is_counted_and_what_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    let mut told: Vec<(usize, String)> = Vec::new();
    let mut epochs = Vec::new();
    let never = AtomicBool::new(false);
    let outcome = run(SOME, &settings, Start::Fresh, &never, |event| match event {
        Event::Skipped { epoch, samples } => {
            told.extend(samples.iter().map(|sample| (*epoch, sample.name.clone())));
        }
        Event::EpochEnd { train, val, .. } => epochs.push((train.samples, val.scores.samples)),
        _ => {}
    });
    let last = outcome.unwrap().last.unwrap();
    assert_eq!(epochs, [(TRAIN.n - 3, VAL.n - 5); 3]);
    assert_eq!((last.scores.samples, last.skipped.len()), (VAL.n - 5, 5));
    for epoch in 0..3 {
        let mut names: Vec<&str> =
            told.iter().filter(|(of, _)| *of == epoch).map(|(_, name)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["0.png", "1.png", "1.png", "2.png", "20.png", "3.png", "5.png", "8.png"]
        );
    }
    let log = String::from_utf8(files(&settings)[2].clone()).unwrap();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!(
        (of("skipped").len(), of("skipped")[0]["reason"].as_str()),
        (24, Some("no such file"))
    );
    assert_eq!(
        (&of("epoch")[2]["train_samples"], &of("epoch")[2]["val"]["samples"]),
        (&19.into(), &4.into())
    );
}

#[test]
fn stopping_and_going_on_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let whole = settings(&dir.path().join("whole"), 0.1);
    run(SOME, &whole, Start::Fresh, &AtomicBool::new(false), |_| ()).unwrap();
    for first in [0, 3, 4, 9] {
        let stopped = settings(&dir.path().join(first.to_string()), 0.1);
        let stop = AtomicBool::new(false);
        let outcome = run(SOME, &stopped, Start::Fresh, &stop, |event| {
            if matches!(event, Event::Step { step, .. } if *step >= first) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        assert!(outcome.unwrap().stopped);
        run(SOME, &stopped, Start::Resume, &AtomicBool::new(false), |_| ()).unwrap();
        assert!(files(&stopped) == files(&whole), "stopped after step {first}");
    }
}

#[test]
fn a_set_of_which_nothing_is_left_is_named() {
    let (train, val) = (all(TRAIN.n), all(VAL.n));
    for (gone, set) in [([&train[..], &[]], "training"), ([&[], &val[..]], "validation")] {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path(), 0.1);
        let never = AtomicBool::new(false);
        let error = run(gone, &settings, Start::Fresh, &never, |_| ()).unwrap_err();
        let Error::At { source, .. } = error else { panic!("{error:?}") };
        let words = source.to_string();
        assert!(matches!(*source, Error::Unreadable { .. }), "{words}");
        assert!(words.contains(set) && words.contains(".png`: no such file"), "{words}");
    }
}

#[test]
fn a_batch_of_which_nothing_is_left_takes_no_step() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), 0.1);
    let first: Vec<usize> = TRAIN.epoch(0, 0).next().unwrap().unwrap().indices;
    let mut steps = Vec::new();
    let never = AtomicBool::new(false);
    run([&first, &[]], &settings, Start::Fresh, &never, |event| {
        if let Event::Step { epoch: 0, batch, step, .. } = event {
            steps.push((*batch, *step));
        }
    })
    .unwrap();
    assert_eq!(steps, [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(TRAIN.batch(0, 0, &[]).shape, [0, SIDE, SIDE]);
}
