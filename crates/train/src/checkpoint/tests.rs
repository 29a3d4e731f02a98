//! Round trips, other runs, and files that are no checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::{Best, Checkpoint, Progress, Running};
use crate::{Error, Scores};

fn example() -> Checkpoint {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let values = [("loss", 0.1 + 0.2), ("top1", 1.0 / 3.0), ("top5", 1.0)];
    let values = values.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let scores = Scores { values, samples: 3 };
    let metric = Some(("top1".to_owned(), vec![(1.0f64 / 3.0).to_bits(), f64::NAN.to_bits()]));
    Checkpoint {
        progress: Progress {
            epoch: 2,
            batch: 3,
            step: 43,
            running: Running { loss: std::f64::consts::E / 3.0, metric, samples: 96 },
            best: Some(Best { epoch: 1, scores }),
            log_bytes: 1234,
            scores: vec![Some(0.25), None, Some(1.0 / 3.0)],
            kept: vec![0, 2],
            recoveries: 0,
        },
        config: BTreeMap::from([("seed".to_owned(), "0".to_owned())]),
        params: BTreeMap::from([(
            "conv.weight".to_owned(),
            tensor(&[1.0, -0.0, f32::MIN_POSITIVE]),
        )]),
        optimizer: BTreeMap::from([
            ("conv.weight.momentum_buffer".to_owned(), tensor(&[0.1, 0.2, 0.3])),
            ("conv.weight.step".to_owned(), Tensor::new(43i64, &Device::Cpu).unwrap()),
        ]),
        average: BTreeMap::from([("conv.weight".to_owned(), tensor(&[0.5, 0.25, -0.0]))]),
        hooks: vec![
            BTreeMap::new(),
            BTreeMap::from([("a/b.c".to_owned(), Tensor::new(&[1u8, 0], &Device::Cpu).unwrap())]),
        ],
        parallel: BTreeMap::from([("rank 1/residual/0".to_owned(), tensor(&[-0.5]))]),
    }
}

fn saved() -> (tempfile::TempDir, PathBuf, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("checkpoint/state.safetensors");
    let checkpoint = example();
    checkpoint.save(&path).unwrap();
    (dir, path, checkpoint)
}

#[test]
fn a_checkpoint_comes_back_with_the_same_bits() {
    let (dir, path, saved) = saved();
    let loaded = Checkpoint::load(&path, &saved.config).unwrap();
    assert_eq!((&loaded.progress, &loaded.config), (&saved.progress, &saved.config));
    let bits = |tensor: &Tensor| -> Vec<u32> {
        tensor.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
    };
    assert_eq!(bits(&loaded.params["conv.weight"]), bits(&saved.params["conv.weight"]));
    assert_eq!(bits(&loaded.average["conv.weight"]), bits(&saved.average["conv.weight"]));
    assert_eq!(loaded.optimizer["conv.weight.step"].to_scalar::<i64>().unwrap(), 43);
    assert!(loaded.hooks.len() == 2 && loaded.hooks[0].is_empty());
    assert_eq!(loaded.hooks[1]["a/b.c"].to_vec1::<u8>().unwrap(), [1, 0]);
    assert_eq!(bits(&loaded.parallel["rank 1/residual/0"]), [f32::to_bits(-0.5)]);
    let again = dir.path().join("again");
    loaded.save(&again).unwrap();
    assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&path).unwrap());
}

#[test]
fn the_checkpoint_of_another_run_is_refused_with_what_differs() {
    let (_dir, path, _) = saved();
    let other = BTreeMap::from([("seed".to_owned(), "1".to_owned())]);
    let refused = Checkpoint::load(&path, &other).unwrap_err();
    assert!(
        matches!(&refused, Error::OtherRun { key, saved, current, .. } if (key.as_str(), saved.as_str(), current.as_str()) == ("seed", "0", "1"))
    );
    let more =
        BTreeMap::from([("seed".to_owned(), "0".to_owned()), ("model".to_owned(), "x".to_owned())]);
    assert!(
        matches!(Checkpoint::load(&path, &more), Err(Error::OtherRun { key, .. }) if key == "model")
    );
}

#[test]
fn no_checkpoint_is_told_from_a_broken_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.safetensors");
    let load = || Checkpoint::load(&path, &BTreeMap::new());
    assert!(matches!(load(), Err(Error::NoCheckpoint { .. })));
    std::fs::write(&path, b"not a checkpoint").unwrap();
    assert!(matches!(load(), Err(Error::Malformed { .. })));
    let tensors = [("x", Tensor::new(1f32, &Device::Cpu).unwrap())];
    std::fs::write(&path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    assert!(load().unwrap_err().to_string().contains("lacks `taper.checkpoint`"));
}

proptest! {
    #![proptest_config(ProptestConfig::default())]
    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_panics(place in 0usize..2000, byte: u8, cut: bool) {
        let (_dir, path, saved) = saved();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = place % bytes.len();
        bytes[place] = byte;
        if cut {
            bytes.truncate(place);
        }
        std::fs::write(&path, &bytes).unwrap();
        let loaded = Checkpoint::load(&path, &saved.config);
        prop_assert!(!cut || loaded.is_err());
    }
}
