//! Sums that travel as bf16: what they owe is part of the run.

use taper_distributed::{ReduceDtype, ReduceOptions};

use super::{Shared, files, run, settings};
use crate::{LocalSgd, Start, Synchronization};

fn rounded(ranks: usize) -> Shared {
    let options = ReduceOptions { dtype: ReduceDtype::Bf16, ..ReduceOptions::default() };
    Shared { options, ..(4, ranks).into() }
}

/// Shards that share every step, and shards that meet.
fn both(ranks: usize) -> [Shared; 2] {
    let sync = Synchronization::Weights(LocalSgd::mean(2));
    [rounded(ranks), Shared { sync, ..rounded(ranks) }]
}

#[test]
fn a_run_with_bf16_goes_on_with_what_rounding_owes() {
    let dir = tempfile::tempdir().unwrap();
    for shared in [1, 2, 4].into_iter().flat_map(both) {
        let Shared { ranks, sync, .. } = shared;
        let named = |what: &str| settings(&dir.path().join(format!("{what} {ranks} {sync:?}")));
        let [whole, stopped, exact] = ["whole", "stopped", "exact"].map(named);
        run(shared, &whole, Start::Fresh, None).remove(0).0.unwrap();
        run(shared, &stopped, Start::Fresh, Some(1)).remove(0).0.unwrap();
        run(shared, &stopped, Start::Resume, Some(4)).remove(0).0.unwrap();
        run(shared, &stopped, Start::Resume, None).remove(0).0.unwrap();
        assert!(files(&stopped) == files(&whole), "{ranks} {sync:?}");
        run(Shared { sync, ..(4, ranks).into() }, &exact, Start::Fresh, None).remove(0).0.unwrap();

        assert_eq!(files(&exact)[0] == files(&whole)[0], ranks == 1, "one rank rounds nothing");
    }
}

#[test]
fn a_run_with_bf16_is_not_gone_on_with_by_other_ranks() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    run(rounded(4), &settings, Start::Fresh, Some(1)).remove(0).0.unwrap();
    for (outcome, _) in run(rounded(2), &settings, Start::Resume, None) {
        let text = outcome.unwrap_err().chain();
        let expected =
            "was made with ranks (fixed by sums in bf16) = 4, this run has 2; resume with the same";
        assert!(text.contains(expected), "{text}");
    }
    for (outcome, _) in run((4, 4), &settings, Start::Resume, None) {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("bf16) = 4, this run has nothing"), "{text}");
    }
}
