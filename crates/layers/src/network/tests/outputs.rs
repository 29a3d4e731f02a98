//! Maps, several outputs, several passes, images with gradients, batches of none.

use candle_core::{D, DType, Device, Module, Tensor, Var};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, PoolKind};
use taper_model::{Model, Preprocess};

use super::{all_values, flat};
use crate::loss::{CrossEntropy, Mse};
use crate::{Error, NamedTensors, Network};

/// Whether a network has a batch norm in it.
#[derive(Clone, Copy)]
enum Norm {
    With,
    Without,
}

/// A map of two classes for every pixel, and a number.
fn two_heads(norm: Norm) -> Network {
    let build = || -> taper_graph::Result<Graph> {
        let mut b = GraphBuilder::new(3)?;
        let mut xs = b.conv("conv", b.input(), Conv::dense(6, 3, 1), Bias::With)?;
        if let Norm::With = norm {
            xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
        }
        xs = b.activation("act", xs, Activation::Silu)?;
        let mask = b.conv("mask", xs, Conv::pointwise(2), Bias::With)?;
        b.output("mask", mask)?;
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
        let xs = b.dropout("drop", xs, 0.4)?;
        let size = b.linear("size", xs, 1, Bias::With)?;
        b.output("size", size)?;
        b.build()
    };
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [5, 4];
    let model = Model::random(build().unwrap(), 3, preprocess, Vec::new()).unwrap();
    Network::new(&model, &Device::Cpu).unwrap().with_threads(1)
}

fn images(n: usize, phase: f32) -> Tensor {
    let values: Vec<f32> = (0..u16::try_from(n * 3 * 5 * 4).unwrap())
        .map(|i| (f32::from(i) * 0.37 + phase).sin())
        .collect();
    Tensor::from_vec(values, (n, 3, 5, 4), &Device::Cpu).unwrap()
}

fn assert_close(a: &Tensor, b: &Tensor, what: &str) {
    assert_eq!(a.dims(), b.dims(), "{what}");
    // Below a bias that a norm takes away there is nothing but rounding.
    let scale = flat(b).iter().fold(0.1f32, |most, v| most.max(v.abs()));
    for (a, b) in flat(a).iter().zip(flat(b)) {
        assert!((a - b).abs() < 2e-5 * scale, "{what}: {a} for {b}");
    }
}

/// One convolution of one tap: channel `o` of the output is `w[o] · x + b[o]`, which candle can say itself.
fn pointwise() -> Network {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::pointwise(2), Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    let model = Model::random(b.build().unwrap(), 1, Preprocess::imagenet(), Vec::new()).unwrap();
    Network::new(&model, &Device::Cpu).unwrap()
}

fn by_candle(xs: &Tensor, weight: &Tensor, bias: &Tensor) -> candle_core::Result<Tensor> {
    let rows = xs.permute((0, 2, 3, 1))?.contiguous()?; // (n, h, w, 3)
    let weight = weight.flatten_from(1)?.t()?; // (3, 2)
    let ys = rows.broadcast_matmul(&weight)?.broadcast_add(bias)?;
    ys.permute((0, 3, 1, 2))
}

#[test]
fn a_map_comes_out_channels_first_and_its_gradients_go_where_they_belong() {
    let network = pointwise();
    let [weight, bias] = [0, 1].map(|i| network.params()[i].var.clone());
    let xs = images(2, 0.0);
    let expected = by_candle(&xs, &weight, &bias).unwrap();
    assert_eq!(expected.dims(), [2, 2, 5, 4]);
    assert_close(&network.forward(&xs).unwrap(), &expected, "forward");
    // Each place of the map weighs otherwise, in candle's order.
    let steps = Tensor::arange(0f32, 80.0, &Device::Cpu).unwrap().reshape((2, 2, 5, 4)).unwrap();
    let loss = |ys: &Tensor| (ys * &steps)?.sqr()?.mean_all();
    let truth = loss(&expected).unwrap().backward().unwrap();
    let value = network.value_and_grad(&xs, 0, loss).unwrap();
    assert_close(value.outputs.single().unwrap(), &expected, "outputs");
    let taped = network.training(0).forward(&xs).unwrap();
    assert_close(&taped, &expected, "training");
    let taped = loss(&taped).unwrap().backward().unwrap();
    for (name, var) in network.trainable() {
        let truth = truth.get(&var).unwrap();
        assert_close(value.grads.get(&var).unwrap(), truth, &name);
        assert_close(taped.get(&var).unwrap(), truth, &name);
    }
}

#[test]
fn the_gradient_of_two_outputs_is_the_sum_of_those_of_each() {
    let network = two_heads(Norm::With);
    assert_eq!(network.output_names(), ["mask", "size"]);
    let (xs, classes) =
        (images(3, 0.0), Tensor::ones((3, 5, 4), DType::U32, &Device::Cpu).unwrap());
    let sizes = Tensor::new(&[[1f32], [2.0], [-1.0]], &Device::Cpu).unwrap();
    let mask = |ys: &Tensor| CrossEntropy::new().forward(ys, &classes);
    let size = |ys: &Tensor| Mse::new().forward(ys, &sizes);
    let both = network
        .value_and_grad_all(&xs, 7, |ys| mask(ys.get("mask")?)? + size(ys.get("size")?)?)
        .unwrap();
    let only = |name: &str| two_heads(Norm::With).with_outputs(&[name]).unwrap();
    let (a, b) = (only("mask"), only("size"));
    let [of_mask, of_size] =
        [a.value_and_grad(&xs, 7, mask).unwrap(), b.value_and_grad(&xs, 7, size).unwrap()];
    for (((name, var), (_, a)), (_, b)) in
        network.trainable().iter().zip(a.trainable()).zip(b.trainable())
    {
        let sum = of_mask.grads.get(&a).unwrap() + of_size.grads.get(&b).unwrap();
        assert_close(both.grads.get(var).unwrap(), &sum.unwrap(), name);
    }
    // One output that the loss leaves out has no part in it.
    let half = two_heads(Norm::With);
    let value = half.value_and_grad_all(&xs, 7, |ys| mask(ys.get("mask")?)).unwrap();
    for ((name, var), (_, a)) in half.trainable().iter().zip(a.trainable()) {
        assert_close(value.grads.get(var).unwrap(), of_mask.grads.get(&a).unwrap(), name);
    }
    let ys = network.forward_all(&xs).unwrap();
    assert_eq!(ys.get("mask").unwrap().dims(), [3, 2, 5, 4]);
    assert_eq!(ys.get("size").unwrap().dims(), [3, 1]);
}

#[test]
fn several_outputs_come_through_the_tape_too() {
    let (direct, taped) = (two_heads(Norm::With), two_heads(Norm::With));
    let xs = images(3, 0.0);
    let loss = |ys: &NamedTensors| {
        let mask = ys.get("mask")?.sqr()?.mean(D::Minus1)?.sum_all()?;
        mask + ys.get("size")?.sqr()?.sum_all()? * 0.5
    };
    let expected = direct.value_and_grad_all(&xs, 0, loss).unwrap();
    let grads = loss(&taped.training(0).forward_all(&xs).unwrap()).unwrap().backward().unwrap();
    for ((name, a), (_, b)) in direct.trainable().iter().zip(taped.trainable()) {
        assert_close(grads.get(&b).unwrap(), expected.grads.get(a).unwrap(), name);
    }
    assert_eq!(all_values(&direct), all_values(&taped));
}

#[test]
fn two_forward_passes_before_a_backward_pass_keep_their_own_values() {
    let network = two_heads(Norm::With).with_outputs(&["size"]).unwrap();
    let (a, b) = (images(3, 0.0), images(4, 1.0));
    let training = network.training(3);
    let [ya, yb] = [&a, &b].map(|xs| training.forward(xs).unwrap());
    // A third one, of another kind, comes between.
    two_heads(Norm::With).value_and_grad_all(&a, 0, |ys| ys.get("size")?.sum_all()).unwrap();
    let weights =
        |n: usize, phase: f32| images(n, phase).flatten_from(1).unwrap().narrow(1, 0, 1).unwrap();
    let (wa, wb) = (weights(3, 0.3), weights(4, 0.6));
    let loss = (ya * &wa).unwrap().sum_all().unwrap() - (yb * &wb).unwrap().sum_all().unwrap();
    let grads = loss.unwrap().backward().unwrap();
    // The same by one pass at a time: each step has a seed of its own.
    let alone = two_heads(Norm::With).with_outputs(&["size"]).unwrap();
    let one = alone.training(3);
    let first = (one.forward(&a).unwrap() * &wa).unwrap().sum_all().unwrap().backward().unwrap();
    let second = (one.forward(&b).unwrap() * &wb).unwrap().sum_all().unwrap().backward().unwrap();
    let size = |name: &str| name.starts_with("size") || !name.starts_with("mask");
    for ((name, var), (_, other)) in network.trainable().iter().zip(alone.trainable()) {
        let expected = first.get(&other).unwrap() - second.get(&other).unwrap();
        assert_close(grads.get(var).unwrap(), &expected.unwrap(), name);
        let moved = flat(grads.get(var).unwrap()).iter().any(|g| g.abs() > 1e-6);
        assert_eq!(moved, size(name) && name != "conv.bias", "{name}"); // a norm takes its mean away
    }
    // Both passes moved the running statistics, once each.
    assert_eq!(all_values(&network), all_values(&alone));
}

#[test]
fn a_pass_inside_of_a_loss_does_not_spoil_the_one_around_it() {
    let network = two_heads(Norm::Without).with_outputs(&["size"]).unwrap();
    let (a, b) = (images(3, 0.0), images(2, 1.0));
    let alone = network.value_and_grad(&a, 5, |ys| ys.sqr()?.sum_all()).unwrap();
    let around = network
        .value_and_grad(&a, 5, |ys| {
            network.value_and_grad(&b, 6, |ys| ys.sum_all())?;
            ys.sqr()?.sum_all()
        })
        .unwrap();
    for (name, var) in network.trainable() {
        let (a, b) = (alone.grads.get(&var), around.grads.get(&var));
        assert_eq!(a.map(flat), b.map(flat), "{name}");
    }
}

#[test]
fn freezing_between_passes_does_not_confuse_them() {
    let mut network = two_heads(Norm::Without).with_outputs(&["size"]).unwrap();
    let xs = images(3, 0.0);
    let before = network.training(0);
    let loss = before.forward(&xs).unwrap().sum_all().unwrap();
    let expected = {
        let alone = two_heads(Norm::Without).with_outputs(&["size"]).unwrap();
        let loss = alone.training(0).forward(&xs).unwrap().sum_all().unwrap();
        flat(loss.backward().unwrap().get(&alone.params()[0].var).unwrap())
    };
    network.set_frozen(|name| name.starts_with("conv"));
    network.value_and_grad(&images(2, 1.0), 0, |ys| ys.sum_all()).unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(flat(grads.get(&network.params()[0].var).unwrap()), expected);
}

#[test]
fn an_image_that_is_a_variable_gets_its_gradient() {
    let network = pointwise();
    let [weight, bias] = [0, 1].map(|i| network.params()[i].var.clone());
    let xs = Var::from_tensor(&images(2, 0.0)).unwrap();
    let loss = |ys: &Tensor| ys.powf(2.0)?.sum_all()? + xs.as_tensor().sum_all()?;
    let truth = loss(&by_candle(&xs, &weight, &bias).unwrap()).unwrap().backward().unwrap();
    let direct = network.value_and_grad(&xs, 0, loss).unwrap().grads;
    let taped = loss(&network.training(0).forward(&xs).unwrap()).unwrap().backward().unwrap();
    for var in [&xs, &weight, &bias] {
        assert_close(direct.get(var).unwrap(), truth.get(var).unwrap(), "direct");
        assert_close(taped.get(var).unwrap(), truth.get(var).unwrap(), "taped");
    }
    assert!(matches!(network.forward(&xs), Err(Error::TrackedInput)));
}

#[test]
fn what_an_image_was_made_of_gets_its_gradient_even_through_a_frozen_network() {
    let mut network = two_heads(Norm::With).with_outputs(&["size"]).unwrap();
    network.set_frozen(|_| true);
    let brightness = Var::new(&[1f32, 1.1, 0.9], &Device::Cpu).unwrap();
    let base = images(2, 0.0);
    let make = || base.broadcast_mul(&brightness.reshape((3, 1, 1))?);
    let loss = |ys: &Tensor| ys.sqr()?.sum_all();
    let value = network.value_and_grad(&make().unwrap(), 4, loss).unwrap();
    let gradient = flat(value.grads.get(&brightness).unwrap());
    let at = |channel: usize, delta: f32| {
        let mut moved = [1f32, 1.1, 0.9];
        moved[channel] += delta;
        let moved = Tensor::new(&moved, &Device::Cpu).unwrap().reshape((3, 1, 1)).unwrap();
        let xs = Var::from_tensor(&base.broadcast_mul(&moved).unwrap()).unwrap();
        network.value_and_grad(&xs, 4, loss).unwrap().loss.to_scalar::<f32>().unwrap()
    };
    for (channel, gradient) in gradient.into_iter().enumerate() {
        let difference = (at(channel, 0.01) - at(channel, -0.01)) / 0.02;
        assert!((difference - gradient).abs() < 2e-3, "{channel}: {gradient} {difference}");
    }
    let taped = loss(&network.training(4).forward(&make().unwrap()).unwrap()).unwrap();
    let taped = taped.backward().unwrap();
    assert_close(taped.get(&brightness).unwrap(), value.grads.get(&brightness).unwrap(), "taped");
}

#[test]
fn a_variable_in_the_loss_gets_its_gradient() {
    let network = two_heads(Norm::Without);
    let weight = Var::new(2f32, &Device::Cpu).unwrap();
    let value = network
        .value_and_grad_all(&images(2, 0.0), 0, |ys| {
            ys.get("size")?.sum_all()? * weight.as_tensor()
        })
        .unwrap();
    let sum = value.outputs.get("size").unwrap().sum_all().unwrap();
    assert_eq!(flat(value.grads.get(&weight).unwrap()), flat(&sum));
}

#[test]
fn a_batch_of_none_gives_empty_outputs_and_gradients_of_zero() {
    let network = two_heads(Norm::Without);
    let none = images(2, 0.0).narrow(0, 0, 0).unwrap();
    let ys = network.forward_all(&none).unwrap();
    assert_eq!(ys.get("mask").unwrap().dims(), [0, 2, 5, 4]);
    assert_eq!(ys.get("size").unwrap().dims(), [0, 1]);
    let loss = |ys: &NamedTensors| ys.get("mask")?.sum_all()? + ys.get("size")?.sum_all()?;
    let value = network.value_and_grad_all(&none, 0, loss).unwrap();
    assert_eq!(flat(&value.loss), [0.0]);
    let taped = loss(&network.training(0).forward_all(&none).unwrap()).unwrap().backward().unwrap();
    for (name, var) in network.trainable() {
        for grads in [&value.grads, &taped] {
            let gradient = grads.get(&var).unwrap();
            assert_eq!(gradient.dims(), var.dims(), "{name}");
            assert!(flat(gradient).iter().all(|g| *g == 0.0), "{name}");
        }
    }
    // A norm has no statistics of nothing, and says so.
    let refused = two_heads(Norm::With).value_and_grad_all(&none, 0, loss);
    assert!(matches!(refused, Err(Error::Engine { .. })));
    assert!(two_heads(Norm::With).forward_all(&none).is_ok());
    let flat_images = images(2, 0.0).narrow(2, 0, 0).unwrap();
    assert!(matches!(network.forward_all(&flat_images), Err(Error::Input { .. })));
}

#[test]
fn one_output_is_not_taken_for_several() {
    let network = two_heads(Norm::Without);
    let xs = images(2, 0.0);
    let several = |error: Error| {
        assert!(matches!(&error, Error::SeveralOutputs { names } if *names == ["mask", "size"]));
        assert!(error.to_string().contains("forward_all"), "{error}");
    };
    several(network.forward(&xs).unwrap_err());
    several(network.value_and_grad(&xs, 0, |ys| ys.sum_all()).unwrap_err());
    let message = network.training(0).forward(&xs).unwrap_err().to_string();
    assert!(message.contains("`mask`, `size`"), "{message}");
    assert!(matches!(network.with_outputs(&[]), Err(Error::NoOutputs)));
    let unknown = two_heads(Norm::Without).with_outputs(&["logits"]);
    assert!(matches!(unknown, Err(Error::Graph { .. })));
}
