//! What goes wrong on one rank ends all, with its name.

use std::sync::atomic::AtomicBool;

use candle_core::{Result as CandleResult, Tensor};
use taper_layers::loss::{CrossEntropy, Loss};

use super::{NamedTensors, Rank, Told, files, on_ranks, run, sets, settings};
use crate::{Error, Start};

/// From its third call on, something happens.
struct Failing {
    calls: std::sync::atomic::AtomicUsize,
    is_nan: bool,
}

impl Loss for Failing {
    fn loss(&self, outputs: &NamedTensors, targets: &NamedTensors) -> CandleResult<Tensor> {
        let loss = CrossEntropy::new().loss(outputs, targets)?;
        match self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0..=2 => Ok(loss),
            _ if self.is_nan => loss * f64::NAN,
            _ => candle_core::bail!("out of luck"),
        }
    }
}

/// Rank 2 of 4 fails.
fn failing(is_nan: bool, settings: &crate::Settings) -> Vec<Told> {
    let sets = sets();
    on_ranks((4, 4), &|rank, parallel| {
        let failing = Failing { calls: 0.into(), is_nan };
        let fine = CrossEntropy::new();
        let loss: &dyn Loss = if rank == 2 { &failing } else { &fine };
        let stop = AtomicBool::new(false);
        let (sets, start) = (&sets, Start::Fresh);
        let part =
            Rank { parallel: Some(parallel), sets, settings, start, seed: 1, loss, stop: &stop };
        (part.run(&mut |_| ()), Vec::new())
    })
}

#[test]
fn a_loss_that_is_no_number_is_told_with_its_rank_by_all() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    for (outcome, _) in failing(true, &settings) {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("at step 4"), "{text}");
        assert!(text.contains("the loss of shard 2 on rank 2 is NaN"), "{text}");
    }
    // The checkpoint after step 3 is whole, and the run goes on from it.
    run((4, 2), &settings, Start::Resume, None).into_iter().for_each(|(it, _)| drop(it.unwrap()));
    let never = super::settings(&dir.path().join("never"));
    run((4, 1), &never, Start::Fresh, None).remove(0).0.unwrap();
    assert_eq!(files(&settings)[1].len(), files(&never)[1].len());
}

#[test]
fn an_error_on_one_rank_ends_the_others_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    for (rank, (outcome, _)) in failing(false, &settings(dir.path())).into_iter().enumerate() {
        let error = outcome.unwrap_err();
        let text = error.chain();
        assert!(text.contains("out of luck"), "rank {rank}: {text}");
        assert!(rank == 2 || text.contains("rank 2 ended the job"), "{text}");
        assert!(matches!(error, Error::At { .. }));
    }
}

#[test]
fn what_the_first_rank_cannot_read_or_write_ends_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir.path().join("nothing here"));
    for (rank, (outcome, _)) in run((2, 2), &settings, Start::Resume, None).into_iter().enumerate()
    {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("there is no checkpoint at"), "rank {rank}: {text}");
    }
    std::fs::write(dir.path().join("file"), "").unwrap();
    let settings = super::settings(&dir.path().join("file/run"));
    for (rank, (outcome, _)) in run((2, 2), &settings, Start::Fresh, None).into_iter().enumerate() {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("cannot write"), "rank {rank}: {text}");
    }
}
