//! Batch norm against statistics computed by hand, and who may change what.

use std::collections::HashMap;

use candle_core::{DType, Device, ModuleT, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};

use super::*;
use crate::init::var_builder;

fn built(config: BatchNormConfig) -> (VarMap, BatchNorm) {
    let vars = VarMap::new();
    let vb = var_builder(&vars, 0, DType::F64, &Device::Cpu);
    let bn = BatchNorm::new(config, vb.pp("bn")).unwrap();
    (vars, bn)
}

/// A batch of two pictures with two channels and two positions.
fn batch(offset: f64) -> Tensor {
    let values = [[[[1.0, 2.0]], [[10.0, 10.0]]], [[[3.0, 6.0]], [[20.0, 40.0]]]];
    (Tensor::new(&values, &Device::Cpu).unwrap() + offset).unwrap()
}

fn assert_values(got: &Tensor, expected: &[f64]) {
    let got = got.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-12, "{got} instead of {expected}");
    }
}

#[test]
fn training_normalizes_by_the_batch_and_moves_the_running_statistics() {
    let (vars, bn) = built(BatchNormConfig::new(2));
    let ys = bn.forward_t(&batch(0.0), true).unwrap();
    // Means 3 and 20; squared deviations 4+1+0+9 and 100+100+0+400.
    let [a, b] = [(3.5f64 + 1e-5).sqrt(), (150f64 + 1e-5).sqrt()];
    let expected = [-2.0 / a, -1.0 / a, -10.0 / b, -10.0 / b, 0.0, 3.0 / a, 0.0, 20.0 / b];
    assert_values(&ys, &expected);
    assert_values(&bn.running_mean(), &[0.3, 2.0]);
    assert_values(&bn.running_var(), &[0.9 + 1.4 / 3.0, 0.9 + 20.0]); // unbiased: 14/3 and 200
    let data = vars.data().lock().unwrap();
    assert_values(data["bn.running_mean"].as_tensor(), &[0.3, 2.0]);
    assert!(!data.contains_key("bn.num_batches_tracked"));
}

/// A file without `num_batches_tracked`, as candle-nn's norm writes it.
#[test]
fn a_file_of_candles_norm_loads_and_trains_on() {
    use candle_nn::ModuleT as _;
    let path = std::env::temp_dir().join(format!("taper-norm-{}.safetensors", std::process::id()));
    let theirs = VarMap::new();
    let vb = VarBuilder::from_varmap(&theirs, DType::F64, &Device::Cpu);
    let norm = candle_nn::batch_norm(2, 1e-5, vb.pp("bn")).unwrap();
    norm.forward_t(&batch(0.0), true).unwrap();
    theirs.save(&path).unwrap();
    let (mut vars, bn) = built(BatchNormConfig::new(2));
    vars.load(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_values(&bn.running_mean(), &[0.3, 2.0]);
    bn.forward_t(&batch(0.0), true).unwrap();
    assert_values(&bn.running_mean(), &[0.57, 3.8]);
}

#[test]
fn evaluation_uses_the_running_statistics_and_leaves_them() {
    let (_vars, bn) = built(BatchNormConfig::new(2));
    bn.forward_t(&batch(0.0), true).unwrap();
    let ys = bn.forward_t(&batch(0.0), false).unwrap();
    let [a, b] = [(0.9 + 1.4 / 3.0 + 1e-5f64).sqrt(), (20.9 + 1e-5f64).sqrt()];
    let expected = [0.7 / a, 1.7 / a, 8.0 / b, 8.0 / b, 2.7 / a, 5.7 / a, 18.0 / b, 38.0 / b];
    assert_values(&ys, &expected);
    assert_values(&bn.running_mean(), &[0.3, 2.0]);
}

#[test]
fn without_momentum_every_batch_counts_alike() {
    let (vars, bn) = built(BatchNormConfig { momentum: None, ..BatchNormConfig::new(2) });
    for offset in [0.0, 3.0, 9.0] {
        bn.forward_t(&batch(offset), true).unwrap();
    }
    assert_values(&bn.running_mean(), &[3.0 + 4.0, 20.0 + 4.0]);
    assert_values(&bn.running_var(), &[14.0 / 3.0, 200.0]);
    let count =
        || vars.data().lock().unwrap()["bn.num_batches_tracked"].to_scalar::<i64>().unwrap();
    assert_eq!(count(), 3);
    // Going on from a file goes on counting.
    let again =
        BatchNorm::new(*bn.config(), var_builder(&vars, 0, DType::F64, &Device::Cpu).pp("bn"));
    again.unwrap().forward_t(&batch(0.0), true).unwrap();
    assert_values(&bn.running_mean(), &[3.0 + 3.0, 20.0 + 3.0]);
}

#[test]
fn frozen_statistics_stay_and_affine_parameters_still_learn() {
    let (vars, bn) =
        built(BatchNormConfig { statistics: Statistics::Frozen, ..BatchNormConfig::new(2) });
    let xs = Var::from_tensor(&batch(0.0)).unwrap();
    let ys = bn.forward_t(&xs, true).unwrap();
    assert_eq!(
        ys.flatten_all().unwrap().to_vec1::<f64>().unwrap(),
        bn.forward_t(&xs, false).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
    );
    assert_values(&bn.running_mean(), &[0.0, 0.0]);
    let grads = ys.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let data = vars.data().lock().unwrap();
    for (name, is_trained) in [
        ("bn.weight", true),
        ("bn.bias", true),
        ("bn.running_mean", false),
        ("bn.running_var", false),
    ] {
        assert_eq!(grads.get(&data[name]).is_some(), is_trained, "{name}");
    }
    assert!(grads.get(&xs).is_some());
    drop(data);
    bn.clone().with_statistics(Statistics::Batch).forward_t(&xs, true).unwrap();
    assert_values(&bn.running_mean(), &[0.3, 2.0]);
}

#[test]
fn loaded_weights_evaluate_and_refuse_to_train_with_the_cure() {
    let vector = |x: f64| Tensor::new(&[x, x], &Device::Cpu).unwrap();
    let tensors = HashMap::from([
        ("stem.bn.weight".to_owned(), vector(2.0)),
        ("stem.bn.bias".to_owned(), vector(1.0)),
        ("stem.bn.running_mean".to_owned(), vector(3.0)),
        ("stem.bn.running_var".to_owned(), vector(4.0 - 1e-5)),
    ]);
    let vb = VarBuilder::from_tensors(tensors, DType::F64, &Device::Cpu);
    let bn = BatchNorm::new(BatchNormConfig::new(2), vb.pp("stem").pp("bn")).unwrap();
    let ys = bn.forward_t(&batch(0.0), false).unwrap();
    assert_values(&ys, &[-1.0, 0.0, 8.0, 8.0, 1.0, 4.0, 18.0, 38.0]);
    let error = bn.forward_t(&batch(0.0), true).unwrap_err().to_string();
    assert!(error.contains("`stem.bn`") && error.contains("build it from a `VarMap`"), "{error}");
}

#[test]
fn an_empty_batch_counts_for_nothing() {
    let (vars, bn) = built(BatchNormConfig { momentum: None, ..BatchNormConfig::new(2) });
    let xs = batch(0.0).narrow(0, 0, 0).unwrap();
    assert_eq!(bn.forward_t(&xs, true).unwrap().dims(), [0, 2, 1, 2]);
    assert_values(&bn.running_mean(), &[0.0, 0.0]);
    assert_eq!(
        vars.data().lock().unwrap()["bn.num_batches_tracked"].to_scalar::<i64>().unwrap(),
        0
    );
}

#[test]
fn nonsense_is_refused_when_it_is_built() {
    let plain = BatchNormConfig::new(2);
    for (config, part) in [
        (BatchNormConfig { channels: 0, ..plain }, "channels [0] has a zero"),
        (BatchNormConfig { eps: 0.0, ..plain }, "eps is 0, expected positive and finite"),
        (BatchNormConfig { momentum: Some(1.5), ..plain }, "momentum is 1.5, expected from 0 to 1"),
    ] {
        let vars = VarMap::new();
        let vb = var_builder(&vars, 0, DType::F64, &Device::Cpu);
        let error = candle_core::Error::from(BatchNorm::new(config, vb.pp("bn")).unwrap_err());
        let error = error.to_string();
        assert!(error.contains("`bn`") && error.contains(part), "{error}");
        assert!(vars.all_vars().is_empty());
    }
}
