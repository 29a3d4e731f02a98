//! Zeros are exactly those that were asked for, before and after training and after a stop.

use std::path::Path;
use std::sync::atomic::Ordering;

use taper_data::sample_set;
use taper_model::Preprocess;

use super::*;
use crate::observer::{Event, Silent};

/// A narrow network with random weights and twelve pictures.
fn small(dir: &Path) -> (SparsifyOptions, Dataset) {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.train.truncate(12);
    dataset.val.truncate(6);
    let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let path = dir.join("dense.safetensors");
    Model::random(graph, 7, preprocess, dataset.classes.clone()).unwrap().save(&path).unwrap();
    let zeros = Zeros::Share { sparsity: 0.8, ranking: SparseRanking::Global };
    let mut options = SparsifyOptions::new(path.display().to_string(), zeros);
    options.recovery_epochs = 4;
    options.mask_every = 2;
    options.statistics_batches = 2;
    options.latency_batch = 1;
    options.tune.batch_size = 4;
    options.tune.lr = Some(1e-3);
    options.tune.out = Some(dir.join("run"));
    (options, dataset)
}

fn run(options: &SparsifyOptions, dataset: &Dataset) -> SparsifyReport {
    sparsify(Some(dataset), options, &AtomicBool::new(false), &mut Silent).unwrap()
}

/// Stops after a step, counted from 1 over all epochs.
struct StopAfter<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        if let Event::Step(_) = event {
            self.steps -= usize::from(self.steps > 0);
            self.stop.store(self.steps == 0, Ordering::Relaxed);
        }
    }
}

#[test]
fn zeros_are_as_many_as_asked_at_once_and_little_by_little_and_the_compressed_file_is_smaller() {
    let dir = tempfile::tempdir().unwrap();
    let (options, dataset) = small(dir.path());
    for (name, gradual, distill) in [("once", 0, true), ("gradual", 3, false)] {
        let mut options = SparsifyOptions {
            gradual_epochs: Some(gradual),
            distill,
            protect: vec!["conv_stem".to_owned()],
            ..options.clone()
        };
        options.tune.out = Some(dir.path().join(name));
        let report = run(&options, &dataset);
        let stem = report.params.iter().find(|param| param.name == "conv_stem.weight").unwrap();
        let asked = (report.weights.elements - stem.elements) * 4 / 5;
        assert_eq!((stem.zeros, report.weights.zeros), (0, asked), "{name}");
        assert!((report.sparsity - 0.8).abs() < 1e-4, "{name}: {}", report.sparsity);
        let saved = Model::load(report.model.as_ref().unwrap()).unwrap();
        assert_eq!(SparsityReport::of(&saved).weights, report.weights);
        assert!(2 * report.compressed_bytes < report.compressed_bytes_before, "{name}");
        assert_eq!(report.file_bytes, std::fs::metadata(report.model.unwrap()).unwrap().len());
        assert_eq!((report.note, report.images), (SMALLER_NOT_FASTER, Some(6)));
        let shares = [report.top1_before, report.top1_masked, report.top1_after, report.top1_last];
        assert!(shares.iter().all(Option::is_some), "{shares:?}");
        assert!(report.latency_before_ms > Some(0.0) && report.latency_after_ms > Some(0.0));
    }
}

#[test]
fn a_run_that_was_stopped_while_zeros_grew_ends_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (mut options, dataset) = small(dir.path());
    options.gradual_epochs = Some(3);
    let whole = run(&options, &dataset);
    for steps in [4, 11] {
        options.tune.out = Some(dir.path().join(steps.to_string()));
        let stop = AtomicBool::new(false);
        let mut observer = StopAfter { steps, stop: &stop };
        let stopped = sparsify(Some(&dataset), &options, &stop, &mut observer).unwrap();
        assert!(stopped.stopped && stopped.latencies.is_empty() && stopped.model.is_none());
        let resumed = run(&SparsifyOptions { resume: true, ..options.clone() }, &dataset);
        let bytes =
            |report: &SparsifyReport| std::fs::read(report.model.as_ref().unwrap()).unwrap();
        assert!(bytes(&resumed) == bytes(&whole), "after step {steps}");
        let told =
            |it: &SparsifyReport| (it.top1_masked, it.top1_after, it.top1_last, it.all.clone());
        assert_eq!(told(&resumed), told(&whole));
    }
    let other = SparsifyOptions { resume: true, mask_every: 3, ..options.clone() };
    let refused = sparsify(Some(&dataset), &other, &AtomicBool::new(false), &mut Silent);
    assert!(matches!(refused, Err(Error::Changed { what: "request", .. })), "{refused:?}");
}

#[test]
fn what_makes_no_zero_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (options, dataset) = small(dir.path());
    let refused = |options: &SparsifyOptions| {
        let error = sparsify(Some(&dataset), options, &AtomicBool::new(false), &mut Silent);
        let error = error.unwrap_err();
        assert!(error.is_request() && !dir.path().join("run").exists(), "{error}");
        error.to_string()
    };
    let zeros = Zeros::Share { sparsity: 1e-9, ranking: SparseRanking::Global };
    let words = refused(&SparsifyOptions { zeros, ..options.clone() });
    assert!(words.starts_with("`sparsity` is 0.000000001, it must be larger: of the "), "{words}");
    let zeros = Zeros::NOfM(NOfM { n: 1, m: 5000 });
    let words = refused(&SparsifyOptions { zeros, ..options.clone() });
    assert!(words.starts_with("`n_of_m` is 1:5000, it must be of fewer"), "{words}");
    let words =
        refused(&SparsifyOptions { protect: vec!["clasifier".to_owned()], ..options.clone() });
    assert!(words.contains("`clasifier`") && words.contains("`classifier`"), "{words}");
}
