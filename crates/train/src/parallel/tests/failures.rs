//! What goes wrong on one rank ends all, with its name.

use std::sync::atomic::AtomicBool;

use candle_core::{Result as CandleResult, Tensor};
use taper_distributed::Error as RanksError;
use taper_layers::Network;
use taper_layers::loss::{CrossEntropy, Loss};

use super::{
    NamedTensors, Rank, Shared, Told, files, on_ranks, on_ranks_checked, run, sets, settings,
};
use crate::{Checkpoint, Error, Event, LocalSgd, Start, StepHook, Synchronization};

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
fn failing(is_nan: bool, shared: Shared, settings: &crate::Settings) -> Vec<Told> {
    let sets = sets();
    on_ranks(shared, &|rank, parallel| {
        let failing = Failing { calls: 0.into(), is_nan };
        let fine = CrossEntropy::new();
        let loss: &dyn Loss = if rank == 2 { &failing } else { &fine };
        let stop = AtomicBool::new(false);
        let (sets, start) = (&sets, Start::Fresh);
        let part = Rank {
            parallel: Some(parallel),
            sets,
            settings,
            start,
            seed: 1,
            loss,
            stop: &stop,
            hook: None,
        };
        (part.run(&mut |_| ()), Vec::new())
    })
}

/// With norms of a shard's own and of all shards, and with shards that train alone.
fn all_kinds() -> [Shared; 3] {
    let own = Shared::from((4, 4));
    let of = |sync| Shared { sync, ..own };
    [own, of(Synchronization::GradientsAndNorms), of(Synchronization::Weights(LocalSgd::mean(3)))]
}

#[test]
fn a_loss_that_is_no_number_is_told_with_its_rank_by_all() {
    let dir = tempfile::tempdir().unwrap();
    for shared in all_kinds() {
        let named = |name: &str| settings(&dir.path().join(format!("{name} {:?}", shared.sync)));
        let failed = named("failed");
        for (outcome, _) in failing(true, shared, &failed) {
            let text = outcome.unwrap_err().chain();
            assert!(text.contains("at step 4"), "{text}");
            assert!(text.contains("the loss of shard 2 on rank 2 is NaN"), "{text}");
        }
        // The checkpoint after step 3 is whole, and the run goes on from it.
        let [fewer, one] = [2, 1].map(|ranks| Shared { ranks, ..shared });
        let resumed = run(fewer, &failed, Start::Resume, None);
        resumed.into_iter().for_each(|(it, _)| drop(it.unwrap()));
        let never = named("never");
        run(one, &never, Start::Fresh, None).remove(0).0.unwrap();
        let [a, b] = [&failed, &never].map(|it| Checkpoint::read(&it.out.checkpoint()).unwrap());
        assert_eq!(a.progress.step, b.progress.step);
        assert!(a.params.keys().eq(b.params.keys()) && a.optimizer.keys().eq(b.optimizer.keys()));
    }
}

#[test]
fn an_error_on_one_rank_ends_the_others_with_its_words() {
    let dir = tempfile::tempdir().unwrap();
    for shared in all_kinds() {
        let failed = failing(false, shared, &settings(dir.path()));
        for (rank, (outcome, _)) in failed.into_iter().enumerate() {
            let error = outcome.unwrap_err();
            let text = error.chain();
            assert!(text.contains("out of luck"), "rank {rank}: {text}");
            assert!(rank == 2 || text.contains("rank 2 ended the job"), "{text}");
            assert!(matches!(error, Error::At { .. }));
        }
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

/// Changes one bit of one weight after one step, as a faulty memory would.
struct Flip {
    step: u64,
    param: &'static str,
}

impl StepHook for Flip {
    fn describe(&self) -> String {
        "a flipped bit".to_owned()
    }

    fn after_step(&mut self, step: u64, network: &Network) -> crate::Result<()> {
        if step == self.step {
            let index = network.params().iter().position(|it| it.name == self.param).unwrap();
            let mut values = network.params()[index].var.flatten_all().unwrap().to_vec1().unwrap();
            let last = values.len() - 1;
            values[last] = f32::from_bits(f32::to_bits(values[last]) ^ 1);
            network.set_values(&[(index, values)]).unwrap();
        }
        Ok(())
    }
}

/// A bit flips on rank 2 of 4 after the second step.
fn flipped(param: &'static str, every: u64, settings: &crate::Settings) -> Vec<Told> {
    let sets = sets();
    on_ranks_checked((4, 4), every, &|rank, parallel| {
        let stop = AtomicBool::new(false);
        let flip = (rank == 2).then(|| Box::new(Flip { step: 1, param }) as _);
        let part = Rank {
            parallel: Some(parallel),
            sets: &sets,
            settings,
            start: Start::Fresh,
            seed: 1,
            loss: &CrossEntropy::new(),
            stop: &stop,
            hook: flip,
        };
        (part.run(&mut |_| ()), Vec::new())
    })
}

#[test]
fn a_weight_that_changes_on_one_rank_is_named_and_never_saved() {
    // Running statistics are those of all ranks again after the next step.
    for (every, step, param) in
        [(2, 1, "conv1.weight"), (2, 1, "bn0.running_var"), (0, 3, "conv1.weight")]
    {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings(dir.path());
        for (outcome, _) in flipped(param, every, &settings) {
            let Err(Error::At { step: at, source, .. }) = outcome else { panic!("no error") };
            let Error::Ranks { source } = *source else { panic!("{source:?}") };
            assert_eq!(at, step, "{param}");
            assert_eq!(source, RanksError::Diverged { name: param.to_owned(), ranks: vec![2] });
        }
        // The save after three steps has not taken place.
        assert_eq!(Checkpoint::read(&settings.out.checkpoint()).unwrap().progress.step, 0);
        assert!(!settings.out.model().exists());
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before_and_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let [failing, never] = ["failed", "never"].map(|name| settings(&dir.path().join(name)));
    let sets = sets();
    // What is written aside has no place from the fourth step on; three steps are saved then.
    let aside = failing.out.checkpoint().with_file_name(".state.safetensors.partial");
    let all = on_ranks((4, 4), &|_, parallel| {
        let part = Rank {
            parallel: Some(parallel),
            sets: &sets,
            settings: &failing,
            start: Start::Fresh,
            seed: 1,
            loss: &CrossEntropy::new().with_label_smoothing(0.1).unwrap(),
            stop: &AtomicBool::new(false),
            hook: None,
        };
        part.run(&mut |event| {
            if matches!(event, Event::Step { step: 3, .. }) {
                std::fs::create_dir(&aside).unwrap();
            }
        })
    });
    for outcome in all {
        let text = outcome.unwrap_err().chain();
        assert!(text.contains("cannot write") && text.contains("state.safetensors"), "{text}");
    }
    assert_eq!(Checkpoint::read(&failing.out.checkpoint()).unwrap().progress.step, 3);
    std::fs::remove_dir(&aside).unwrap();
    run((4, 2), &failing, Start::Resume, None).into_iter().for_each(|(it, _)| drop(it.unwrap()));
    run((4, 1), &never, Start::Fresh, None).remove(0).0.unwrap();
    assert!(files(&failing) == files(&never));
}
