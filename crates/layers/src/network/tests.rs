//! The module against itself: eval and training, tape and no tape, frozen and trained.

mod observed;
mod outputs;
mod synced;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Module, Tensor, Var};
use taper_engine::{MatmulPrecision, Recompute};
use taper_graph::blocks::{InvertedResidual, Names, Style, conv_norm_act};
use taper_graph::{Activation, Bias, Conv, GraphBuilder, PoolKind};
use taper_model::{Model, Preprocess};

use super::pixels::{as_pixels, with_pixels};
use crate::loss::cross_entropy;
use crate::{Error, LossAndGrads, Network};

/// A stem, an inverted residual with its addition, and a classifier for three classes.
fn test_net(dropout: f64) -> Network {
    let build = || -> taper_graph::Result<_> {
        let style =
            Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
        let mut b = GraphBuilder::new(3)?;
        let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
        let input = b.input();
        let xs = conv_norm_act(&mut b, names, input, Conv::dense(8, 3, 2), &style)?;
        let block = InvertedResidual { expanded: 16, out: 8, kernel_size: 3, stride: 1 };
        let xs = block.build(&mut b, "blocks.0.0", xs, &style)?;
        let xs = b.global_pool("global_pool", xs, PoolKind::Avg, true)?;
        let xs = b.dropout("drop", xs, dropout)?;
        let logits = b.linear("classifier", xs, 3, Bias::With)?;
        b.output("logits", logits)?;
        b.build()
    };
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [12, 12];
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let model = Model::random(build().unwrap(), 3, preprocess, classes).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}

/// Four images `(4, 3, 12, 12)` that differ, contiguous in that order.
fn images() -> Tensor {
    let wave = |i: u16| (f32::from(i) * 0.37).sin() + (f32::from(i / 432) * 1.3).cos();
    let values: Vec<f32> = (0..4 * 3 * 12 * 12).map(wave).collect();
    Tensor::from_vec(values, (4, 3, 12, 12), &Device::Cpu).unwrap()
}

fn targets() -> Tensor {
    Tensor::new(&[0u32, 1, 2, 1], &Device::Cpu).unwrap()
}

fn value(network: &Network, seed: u64) -> LossAndGrads {
    network
        .value_and_grad(&images(), seed, |logits| cross_entropy(logits, &targets(), 0.1))
        .unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn all_values(network: &Network) -> BTreeMap<String, Vec<f32>> {
    network.params().iter().map(|param| (param.name.clone(), flat(&param.var))).collect()
}

#[test]
fn a_channels_last_image_is_used_where_it_lies() {
    let nhwc = images().permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let address = |tensor: &Tensor| with_pixels(tensor, |xs, _| Ok(xs.as_ptr())).unwrap();
    let image = nhwc.permute((0, 3, 1, 2)).unwrap();
    assert_eq!(address(&as_pixels(&image, 3).unwrap()), address(&nhwc));
    let second = image.narrow(0, 1, 1).unwrap();
    let offset = address(&as_pixels(&second, 3).unwrap()) as usize - address(&nhwc) as usize;
    assert_eq!(offset, 3 * 12 * 12 * 4);
}

#[test]
fn images_in_either_memory_layout_give_the_same_logits() {
    let network = test_net(0.2);
    let nhwc = images().permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let channels_last = nhwc.permute((0, 3, 1, 2)).unwrap();
    assert_eq!(
        flat(&network.forward(&channels_last).unwrap()),
        flat(&network.forward(&images()).unwrap())
    );
}

#[test]
fn a_step_against_the_gradient_lowers_the_loss() {
    let network = test_net(0.0);
    let before = value(&network, 0);
    for (_, var) in network.trainable() {
        let step = (before.grads.get(&var).unwrap() * 0.05).unwrap();
        var.set(&(var.as_tensor() - step).unwrap()).unwrap();
    }
    let [before, after] =
        [before, value(&network, 0)].map(|value| value.loss.to_scalar::<f32>().unwrap());
    assert!(after < before - 1e-3, "{before} {after}");
}

#[test]
fn the_tape_delivers_the_same_gradients_and_statistics() {
    let (direct, taped) = (test_net(0.0), test_net(0.0));
    let expected = value(&direct, 0);
    let logits = taped.training(0).forward(&images()).unwrap();
    let loss = cross_entropy(&logits, &targets(), 0.1).unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(flat(&loss), flat(&expected.loss));
    for ((name, a), (_, b)) in direct.trainable().iter().zip(taped.trainable()) {
        let (a, b) = (expected.grads.get(a).unwrap(), grads.get(&b).unwrap());
        assert_eq!(flat(a), flat(b), "{name}");
    }
    assert_eq!(all_values(&direct), all_values(&taped));
}

#[test]
fn equal_seeds_drop_the_same_units() {
    let [first, again, other] = [1, 1, 2].map(|seed| flat(&value(&test_net(0.5), seed).loss));
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[test]
fn training_moves_the_running_statistics_by_the_momentum() {
    let network = test_net(0.0);
    let before = all_values(&network);
    let eval_before = flat(&network.forward(&images()).unwrap());
    value(&network, 0);
    let after = all_values(&network);
    for (name, values) in &before {
        assert_eq!(*values != after[name], name.contains("running_"), "{name}");
    }
    // An initial variance of 1 keeps nine tenths of its weight.
    assert!(after["bn1.running_var"].iter().all(|var| *var > 0.9));
    assert_ne!(flat(&network.forward(&images()).unwrap()), eval_before);
}

#[test]
fn frozen_parameters_have_no_gradient_and_frozen_norms_keep_their_statistics() {
    let mut network = test_net(0.0);
    network
        .set_frozen(|name| !name.starts_with("classifier") && !name.starts_with("blocks.0.0.bn3"));
    let before = all_values(&network);
    let names: Vec<String> = network.trainable().into_iter().map(|(name, _)| name).collect();
    let trained =
        ["blocks.0.0.bn3.weight", "blocks.0.0.bn3.bias", "classifier.weight", "classifier.bias"];
    assert_eq!(names, trained);
    let value = value(&network, 0);
    for param in network.params() {
        assert_eq!(value.grads.get(&param.var).is_some(), param.is_trained(), "{}", param.name);
    }
    for (name, values) in all_values(&network) {
        let moved = name.starts_with("blocks.0.0.bn3.running_");
        assert_eq!(values != before[&name], moved, "{name}");
    }
    network.set_frozen(|_| true);
    let refused = network.value_and_grad(&images(), 0, |logits| logits.sum_all());
    assert!(matches!(refused, Err(Error::AllFrozen)));
}

#[test]
fn evaluation_follows_the_variables() {
    let network = test_net(0.0);
    let before = flat(&network.forward(&images()).unwrap());
    assert_eq!(flat(&network.forward(&images()).unwrap()), before);
    let (_, bias) = network.trainable().pop().unwrap();
    bias.set(&Tensor::new(&[1.0f32, 2.0, 3.0], &Device::Cpu).unwrap()).unwrap();
    let after = flat(&network.forward(&images()).unwrap());
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        assert!((after - before - (i % 3 + 1) as f32).abs() < 1e-5);
    }
}

#[test]
fn a_model_goes_in_and_comes_out_unchanged() {
    let network = test_net(0.2);
    let model = network.to_model().unwrap();
    let again = Network::new(&model, &Device::Cpu).unwrap();
    assert_eq!(again.to_model().unwrap(), model);
    let tensors: BTreeMap<String, Tensor> = network
        .params()
        .iter()
        .map(|param| (param.name.clone(), param.var.as_detached_tensor()))
        .collect();
    value(&again, 0);
    assert_ne!(again.to_model().unwrap(), model);
    again.load(&tensors).unwrap();
    assert_eq!(again.to_model().unwrap(), model);
}

#[test]
fn tensors_that_do_not_fit_are_all_named_and_change_nothing() {
    let network = test_net(0.0);
    let before = all_values(&network);
    let zeros = |n: usize| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
    let mut tensors: BTreeMap<String, Tensor> = network
        .params()
        .iter()
        .map(|param| (param.name.clone(), param.var.zeros_like().unwrap()))
        .collect();
    tensors.remove("bn1.bias");
    tensors.insert("bn1.weight".to_owned(), zeros(9));
    tensors.insert("extra".to_owned(), zeros(1));
    let Err(Error::Tensors { missing, surplus, misshapen }) = network.load(&tensors) else {
        panic!("loaded")
    };
    assert_eq!([missing, surplus, misshapen], [["bn1.bias"], ["extra"], ["bn1.weight"]]);
    assert_eq!(all_values(&network), before);
}

#[test]
fn a_backward_pass_may_come_after_another_forward_pass() {
    let (network, alone) = (test_net(0.5), test_net(0.5));
    let loss = |network: &Network| network.training(0).forward(&images()).unwrap().sqr().unwrap();
    let late = loss(&network).sum_all().unwrap();
    value(&network, 9);
    let (late, early) =
        (late.backward().unwrap(), loss(&alone).sum_all().unwrap().backward().unwrap());
    for ((name, a), (_, b)) in network.trainable().iter().zip(alone.trainable()) {
        assert_eq!(late.get(a).map(flat), early.get(&b).map(flat), "{name}");
    }
}

#[test]
fn wrong_inputs_and_losses_are_refused() {
    let network = test_net(0.0);
    let grad = |xs: &Tensor| network.value_and_grad(xs, 0, |logits| logits.sum_all());
    let gray = images().narrow(1, 0, 1).unwrap();
    assert!(matches!(grad(&gray), Err(Error::Input { channels: 3, .. })));
    assert!(matches!(grad(&images().to_dtype(DType::F64).unwrap()), Err(Error::Input { .. })));
    assert!(matches!(grad(&images().narrow(2, 0, 0).unwrap()), Err(Error::Input { .. })));
    let tracked = Var::from_tensor(&images()).unwrap();
    assert!(matches!(network.forward(&tracked), Err(Error::TrackedInput)));
    let loss =
        |f: fn(&Tensor) -> candle_core::Result<Tensor>| network.value_and_grad(&images(), 0, f);
    assert!(matches!(loss(|logits| Ok(logits.clone())), Err(Error::LossShape { .. })));
    assert!(matches!(loss(|_| Tensor::new(1f32, &Device::Cpu)), Err(Error::LossIgnoresOutputs)));
}

#[test]
fn a_value_that_is_no_number_is_found() {
    let network = test_net(0.0);
    assert_eq!(network.first_not_finite().unwrap(), None);
    let (name, var) = network.trainable().swap_remove(1);
    var.set(&(var.as_tensor() * f64::INFINITY).unwrap()).unwrap();
    assert_eq!(network.first_not_finite().unwrap().unwrap().0, name);
}

/// Twelve convolutions with norms, and a classifier for three classes behind dropout.
fn deep_net() -> Network {
    let mut b = GraphBuilder::new(3).unwrap();
    let mut xs = b.input();
    for i in 0..12 {
        xs = b.conv(&format!("conv{i}"), xs, Conv::dense(4, 3, 1), Bias::Without).unwrap();
        xs = b.batch_norm(&format!("bn{i}"), xs, 1e-5, 0.1).unwrap();
        xs = b.activation(&format!("act{i}"), xs, Activation::Silu).unwrap();
    }
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.dropout("drop", xs, 0.2).unwrap();
    let logits = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", logits).unwrap();
    let model = Model::random(b.build().unwrap(), 3, Preprocess::imagenet(), vec![]).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}

/// Whatever else is chosen before or after, and whatever is frozen.
#[test]
fn a_network_that_computes_again_needs_less_memory_for_the_same_gradients() {
    let step = |mut network: Network, frozen: &str| {
        network.set_frozen(|name| !frozen.is_empty() && name.starts_with(frozen));
        assert_eq!(network.training_bytes(), 0);
        let grads = value(&network, 3).grads;
        let grads = network.trainable().into_iter().map(|(_, var)| flat(grads.get(&var).unwrap()));
        (network.training_bytes(), grads.collect::<Vec<_>>())
    };
    let again = |network: Network| network.recomputing(Recompute::Segments);
    for frozen in ["", "conv0", "bn"] {
        let (kept, grads) = step(deep_net().with_threads(1), frozen);
        let orders = [
            again(deep_net()).with_threads(1),
            again(deep_net().with_threads(1)),
            again(deep_net()).with_threads(1).with_outputs(&["logits"]).unwrap(),
        ];
        for network in orders {
            let (bytes, same) = step(network, frozen);
            assert!(bytes < kept, "{bytes} of {kept}, {frozen} frozen");
            assert!(same == grads);
        }
    }
}

/// Rounded factors are off by a 512th at most; a sum of many products is nearer.
#[test]
fn rounded_products_give_gradients_that_are_near() {
    let gradients = |precision| {
        let network = wide_net().with_matmul_precision(precision)?;
        let grads = value(&network, 3).grads;
        let all = network.trainable().into_iter().map(|(_, var)| flat(grads.get(&var).unwrap()));
        Ok::<_, Error>(all.collect::<Vec<_>>())
    };
    let whole = gradients(MatmulPrecision::F32).unwrap();
    let rounded = match gradients(MatmulPrecision::Bf16) {
        Ok(rounded) => rounded,
        Err(error) => {
            assert!(matches!(error, Error::MatmulPrecision { .. }), "{error}");
            return assert!(!MatmulPrecision::Bf16.is_here());
        }
    };
    let norm = |xs: &mut dyn Iterator<Item = f32>| xs.map(|x| x * x).sum::<f32>().sqrt();
    for (whole, rounded) in whole.iter().zip(&rounded) {
        let off = norm(&mut whole.iter().zip(rounded).map(|(a, b)| a - b));
        let size = norm(&mut whole.iter().copied());
        assert!(off <= 0.02 * size, "{off} of {size}");
    }
    assert!(whole != rounded);
}

/// Channels enough for every product to be rounded.
fn wide_net() -> Network {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(32, 3, 1), Bias::With).unwrap();
    let xs = b.activation("act", xs, Activation::Silu).unwrap();
    let xs = b.conv("pw", xs, Conv::pointwise(48), Bias::With).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let logits = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", logits).unwrap();
    let model = Model::random(b.build().unwrap(), 3, Preprocess::imagenet(), vec![]).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}
