//! Sweeps: which points there are, what is refused, being stopped.

use std::path::Path;

use taper_data::sample_set;
use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
use taper_model::Preprocess;

use super::*;
use crate::Silent;
use crate::prune::sensitivity;

fn half() -> SweepOptions {
    SweepOptions::new(vec![0.5])
}

fn with_data() -> PruneOptions {
    let options = PruneOptions::new("model");
    let tune = FineTuneOptions { data: Some("photos".into()), ..options.tune };
    PruneOptions { tune, ..options }
}

#[test]
fn every_share_has_a_folder_of_its_own_and_the_control_comes_last() {
    let asked = SweepOptions {
        controls: vec!["mobilenetv2_050".to_owned()],
        ..SweepOptions::new(vec![0.5, 0.625, 0.7])
    };
    let keys = |options: &PruneOptions, asked: &SweepOptions| -> Vec<String> {
        Due::all(options, asked).into_iter().map(|due| due.key).collect()
    };
    let chosen = ["macs-0.50", "macs-0.625", "macs-0.70", "control-1"];
    let random = ["random-0.50", "random-0.625", "random-0.70"];
    assert_eq!(keys(&with_data(), &asked), [&chosen[..], &random].concat());
    let alone = SweepOptions { random: RandomControl::LeftOut, ..asked.clone() };
    assert_eq!(keys(&with_data(), &alone), chosen);
    let random = PruneOptions { criterion: Some(Criterion::Random { seed: 3 }), ..with_data() };
    assert_eq!(keys(&random, &asked), chosen);
}

#[test]
fn requests_that_cannot_be_meant_are_refused() {
    let refused = |options: &PruneOptions, asked: &SweepOptions, field: &str| {
        let error = check(None, options, asked).unwrap_err();
        assert!(matches!(&error, Error::Option { field: it, .. } if *it == field), "{error}");
    };
    refused(&PruneOptions::new("model"), &half(), "data");
    refused(&with_data(), &SweepOptions::new(vec![]), "sweep");
    refused(&with_data(), &SweepOptions::new(vec![1.0]), "sweep");
    let macs = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
    refused(&PruneOptions { targets: vec![macs], ..with_data() }, &half(), "target_macs");
    let file = Some("small.safetensors".into());
    refused(&PruneOptions { file, ..with_data() }, &half(), "out");
    refused(&PruneOptions { rounds: Some(0), ..with_data() }, &half(), "rounds");
    assert!(check(None, &with_data(), &half()).is_ok());
}

#[test]
fn a_share_holds_beside_the_other_targets() {
    let params = Target { metric: Metric::Params, amount: Amount::Share(0.4) };
    let options = PruneOptions { targets: vec![params], resume: true, ..with_data() };
    let share = of_share(&options, 0.5, Criterion::Fpgm, "out/macs-0.50".into());
    let macs = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
    assert_eq!((share.targets, share.resume), (vec![macs, params], false));
    assert_eq!(
        (share.criterion, share.tune.out),
        (Some(Criterion::Fpgm), Some("out/macs-0.50".into()))
    );
}

/// A network of one group for the built-in pictures, a few of them, and a request that does little.
fn small(dir: &Path) -> (PruneOptions, Dataset) {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.train.truncate(8);
    dataset.val.truncate(6);
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::Without).unwrap();
    let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 6, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let classes = dataset.classes.clone();
    let model = Model::random(b.build().unwrap(), 0, preprocess, classes).unwrap();
    let path = dir.join("model.safetensors");
    model.save(&path).unwrap();
    let options = PruneOptions::new(path.to_str().unwrap());
    let tune =
        FineTuneOptions { batch_size: 4, out: Some(dir.join("sweep")), ..options.tune.clone() };
    let options = PruneOptions { recovery_epochs: 1, latency_batch: 1, tune, ..options };
    (options, dataset)
}

#[test]
fn a_sweep_that_was_stopped_goes_on_to_the_points_of_one_that_was_not() {
    let dir = tempfile::tempdir().unwrap();
    let (options, dataset) = small(dir.path());
    let run = |options: &PruneOptions, stop: bool| {
        let stop = AtomicBool::new(stop);
        sweep(Some(&dataset), options, &half(), &stop, &mut Silent).unwrap()
    };
    let stopped = run(&options, true);
    assert!(stopped.stopped && stopped.points.len() == 1, "{stopped:?}");
    assert_eq!((stopped.points[0].kind, stopped.images), (PointKind::Unpruned, 6));
    assert!(stopped.points[0].latencies.is_empty());
    let whole = run(&PruneOptions { resume: true, ..options.clone() }, false);
    assert!(!whole.stopped);
    let tune = FineTuneOptions { out: Some(dir.path().join("other")), ..options.tune.clone() };
    let other = run(&PruneOptions { tune, ..options }, false);
    let numbers = |report: &SweepReport| -> Vec<(String, u64, f64, Option<f64>)> {
        let points = report.points.iter();
        points.map(|it| (it.name.clone(), it.macs, it.top1, it.top1_cut)).collect()
    };
    assert_eq!(numbers(&whole), numbers(&other));
    let names: Vec<&str> = whole.points.iter().map(|point| point.name.as_str()).collect();
    assert_eq!(names, ["unpruned", "fisher 0.50", "random 0.50"]);
    assert!(whole.points.iter().all(|point| point.latencies[0].ms > 0.0));
}

#[test]
fn sensitivity_that_is_stopped_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (options, dataset) = small(dir.path());
    let seen = |stop: bool| {
        let stop = AtomicBool::new(stop);
        sensitivity(Some(&dataset), &options, &[0.5], &stop, &mut Silent).unwrap()
    };
    let stopped = seen(true);
    assert!(stopped.stopped && stopped.groups.is_empty());
    let [group] = &seen(false).groups[..] else { panic!("one group") };
    assert_eq!((group.name.as_str(), group.cuts[0].kept), ("stem", 4));
    assert_eq!(2 * group.cuts[0].macs_saved, seen(false).macs);
    assert!(!dir.path().join("sweep").exists());
}
