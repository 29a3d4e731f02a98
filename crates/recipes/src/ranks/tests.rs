//! Ranks of one process: the files of one rank, and what they refuse.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use taper_data::{Dataset, sample_set};
use taper_distributed::{Group, GroupOptions};
use taper_train::RunFolder;
use taper_transfer::Freeze;

use crate::error::{Error, Result};
use crate::fine_tune::{begin, go_on};
use crate::options::{Augment, FineTuneOptions, Pretrained, ReduceDtype};
use crate::report::FineTuneReport;
use crate::{ResumeOptions, Silent};

fn pictures() -> Dataset {
    let mut dataset = sample_set::emoji6().unwrap();
    dataset.train = dataset.train.into_iter().step_by(36).collect();
    dataset.val = dataset.val.into_iter().step_by(15).collect();
    dataset
}

/// Twelve pictures in steps of six or fewer, on a network that needs two for each.
fn options(out: &Path) -> FineTuneOptions {
    FineTuneOptions {
        model: "mobilenetv2_035".to_owned(),
        pretrained: Pretrained::None,
        image_size: Some(32),
        batch_size: 6,
        epochs: 2,
        shards: 2,
        threads: 1,
        out: Some(out.to_path_buf()),
        ..FineTuneOptions::default()
    }
}

/// What each of the ranks comes to.
fn on_ranks<T: Send>(ranks: usize, work: &(dyn Fn(usize, Arc<Group>) -> T + Sync)) -> Vec<T> {
    let groups = match ranks {
        1 => vec![Group::alone()],
        _ => Group::threads(ranks).unwrap(),
    };
    std::thread::scope(|scope| {
        let all = groups.into_iter().enumerate();
        let all: Vec<_> =
            all.map(|(rank, group)| scope.spawn(move || work(rank, group.into()))).collect();
        all.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn tune(
    ranks: usize,
    of: &(dyn Fn(usize) -> FineTuneOptions + Sync),
) -> Vec<Result<FineTuneReport>> {
    let dataset = pictures();
    on_ranks(ranks, &|rank, group| {
        begin(&group, Some(&dataset), &of(rank), &AtomicBool::new(false), &mut Silent)
    })
}

fn files(out: &Path) -> [Vec<u8>; 3] {
    let folder = RunFolder::new(out);
    [folder.model(), folder.checkpoint(), folder.log()]
        .map(|path| std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
}

fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        words = format!("{words}: {source}");
        cause = source.source();
    }
    words
}

#[test]
fn two_ranks_leave_the_files_of_one_and_report_what_sharing_cost() {
    let dir = tempfile::tempdir().unwrap();
    let head = |options: FineTuneOptions| FineTuneOptions {
        freeze: Freeze::Backbone,
        augment: Augment::None,
        ..options
    };
    let synced = |options: FineTuneOptions| FineTuneOptions { sync_bn: true, ..options };
    let plain: fn(FineTuneOptions) -> _ = |options| options;
    let meeting = |options: FineTuneOptions| FineTuneOptions {
        sync_every: 2,
        outer_momentum: 0.9,
        ..options
    };
    let kinds = [("all", plain), ("head", head), ("synced", synced), ("meeting", meeting)];
    for (name, change) in kinds {
        let [one, two] = ["one", "two"].map(|ranks| dir.path().join(format!("{name} on {ranks}")));
        let of = |out: &Path| change(options(out));
        let alone = tune(1, &|_| of(&one)).remove(0).unwrap();
        let shared = tune(2, &|_| of(&two));
        assert!(files(&two) == files(&one), "{name}");
        for report in shared {
            let report = report.unwrap();
            assert_eq!((report.val_top1, report.val_loss), (alone.val_top1, alone.val_loss));
            let cost = report.distributed.unwrap();
            assert_eq!((cost.ranks, cost.shards), (2, 2));
            assert!(cost.sent_bytes > 0 && cost.reduced_bytes > 0);
        }
        let cost = alone.distributed.unwrap();
        assert_eq!((cost.ranks, cost.sent_bytes), (1, 0));
    }
}

#[test]
fn a_run_of_two_ranks_goes_on_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| dir.path().join(name));
    tune(1, &|_| options(&whole)).remove(0).unwrap();
    let dataset = pictures();
    on_ranks(2, &|rank, group| {
        let stop = AtomicBool::new(rank == 1); // before the first step
        let report = begin(&group, Some(&dataset), &options(&stopped), &stop, &mut Silent);
        assert!(report.unwrap().stopped);
    });
    let never = AtomicBool::new(false);
    let resume = ResumeOptions::new(&stopped);
    go_on(Group::alone().into(), Some(&dataset), &resume, Vec::new(), &never, &mut Silent).unwrap();
    assert!(files(&stopped) == files(&whole));
}

#[test]
fn a_run_of_two_ranks_that_rounds_goes_on_with_two_and_not_with_one() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, stopped] = ["whole", "stopped"].map(|name| dir.path().join(name));
    let of = |out: &Path| FineTuneOptions { reduce_dtype: ReduceDtype::Bf16, ..options(out) };
    let [report, _] = tune(2, &|_| of(&whole)).try_into().unwrap();
    let cost = report.unwrap().distributed.unwrap();
    // Two shards of statistics travel as they are, gradients in half.
    assert!(cost.sent_bytes < cost.reduced_bytes * 6 / 10, "{cost:?}");
    let dataset = pictures();
    let never = AtomicBool::new(false);
    on_ranks(2, &|rank, group| {
        let stop = AtomicBool::new(rank == 1);
        begin(&group, Some(&dataset), &of(&stopped), &stop, &mut Silent).unwrap()
    });
    let resume = ResumeOptions::new(&stopped);
    let go_on = |group| go_on(group, Some(&dataset), &resume, Vec::new(), &never, &mut Silent);
    let refused = words(&go_on(Group::alone().into()).unwrap_err());
    assert!(refused.contains("bf16) = 2, this run has 1"), "{refused}");
    on_ranks(2, &|_, group| drop(go_on(group).unwrap()));
    assert!(files(&stopped) == files(&whole));
}

#[test]
fn ranks_that_were_asked_for_different_things_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let seeds = |rank: usize| FineTuneOptions { seed: 7 * rank as u64, ..options(&out) };
    for error in tune(2, &seeds) {
        let error = error.unwrap_err();
        let words = words(&error);
        assert!(
            words.contains("ranks differ in `seed`: rank 0 has `0`, rank 1 has `7`"),
            "{words}"
        );
        assert!(error.is_request());
    }
    let other = pictures();
    let fewer = Dataset { train: other.train[1..].to_vec(), ..pictures() };
    let all = on_ranks(2, &|rank, group| {
        let dataset = if rank == 1 { &fewer } else { &other };
        begin(&group, Some(dataset), &options(&out), &AtomicBool::new(false), &mut Silent)
    });
    for error in all {
        let words = words(&error.unwrap_err());
        assert!(words.contains("ranks differ in `fingerprint of the data`"), "{words}");
    }
    assert!(!out.exists(), "nothing was written");
}

#[test]
fn a_folder_that_only_the_first_rank_sees_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("run");
    // The first rank's folder is named to all; a resumed run names its own.
    tune(1, &|_| FineTuneOptions { epochs: 1, ..options(&elsewhere) }).remove(0).unwrap();
    let dataset = pictures();
    let all = on_ranks(2, &|rank, group| {
        let run = if rank == 0 { elsewhere.clone() } else { dir.path().join("not here") };
        let (stop, resume) = (AtomicBool::new(false), ResumeOptions::new(run));
        go_on(group, Some(&dataset), &resume, Vec::new(), &stop, &mut Silent)
    });
    for error in all {
        let words = words(&error.unwrap_err());
        assert!(words.contains("not here` holds no run"), "{words}");
    }
}

#[test]
fn steps_that_cannot_be_shared_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let refused = |ranks: usize, change: fn(FineTuneOptions) -> FineTuneOptions| {
        let error = tune(ranks, &|_| change(options(&out))).remove(0).unwrap_err();
        assert!(error.is_request() && !out.exists());
        words(&error)
    };
    for (ranks, change, expected) in [
        (
            1,
            (|it| FineTuneOptions { shards: 3, ..it }) as fn(FineTuneOptions) -> _,
            "powers of two",
        ),
        (2, |it| FineTuneOptions { shards: 1, ..it }, "1 shards cannot be shared out to 2 ranks"),
        (1, |it| FineTuneOptions { shards: 4, ..it }, "8 or more: 4 shards of 2 or more pictures"),
        (1, |it| FineTuneOptions { shards: 8, batch_size: 99, ..it }, "at most 6"),
        (
            1,
            |it| FineTuneOptions { shards: 8, sync_bn: true, ..it },
            "8 or more: 8 shards of 1 or more pictures",
        ),
    ] {
        let words = refused(ranks, change);
        assert!(words.contains(expected), "{words}");
    }
}

#[cfg(not(feature = "mpi"))]
#[test]
fn several_processes_without_mpi_are_refused() {
    for (name, launcher) in [
        ("OMPI_COMM_WORLD_SIZE", "Open MPI"),
        ("PMI_SIZE", "MPICH"),
        ("SLURM_STEP_NUM_TASKS", "srun"),
    ] {
        let several = |asked: &str| (asked == name).then(|| "4".to_owned());
        let error = super::group(&several, GroupOptions::default()).unwrap_err();
        assert!(error.is_request());
        let words = error.to_string();
        assert!(words.contains(launcher) && words.contains("has started 4"), "{words}");
        assert!(words.contains("`--features mpi`"), "{words}");
        let one = |asked: &str| (asked == name).then(|| "1".to_owned());
        assert!(super::group(&one, GroupOptions::default()).unwrap().is_alone());
    }
    let of_pmix = |asked: &str| (asked == "PMIX_RANK").then(|| "1".to_owned());
    let words = super::group(&of_pmix, GroupOptions::default()).unwrap_err().to_string();
    assert!(words.starts_with("a launcher of PMIx has started an unknown number"), "{words}");
    assert!(super::group(&|_| None, GroupOptions::default()).unwrap().is_alone());
}

#[test]
fn a_trace_of_all_ranks_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let (out, trace) = (dir.path().join("run"), dir.path().join("trace.json"));
    let options = FineTuneOptions { trace: Some(trace.clone()), epochs: 1, ..options(&out) };
    let dataset = pictures();
    let traced = GroupOptions { trace: true, ..GroupOptions::default() };
    let groups = Group::threads_with(2, traced).unwrap();
    std::thread::scope(|scope| {
        let of = |group: Arc<Group>| {
            let run =
                || begin(&group, Some(&dataset), &options, &AtomicBool::new(false), &mut Silent);
            run().unwrap()
        };
        let ranks: Vec<_> =
            groups.into_iter().map(|group| scope.spawn(move || of(group.into()))).collect();
        ranks.into_iter().for_each(|rank| drop(rank.join().unwrap()));
    });
    let trace: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(trace).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    for rank in 0..2 {
        for name in ["shard", "optimizer", "bucket 0"] {
            let is_it = |event: &&serde_json::Value| {
                event["pid"] == rank && event["name"] == name && event["ph"] == "X"
            };
            // Two steps of the only epoch.
            assert_eq!(events.iter().filter(is_it).count(), 2, "{name} of rank {rank}");
        }
    }
}
