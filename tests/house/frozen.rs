//! What is frozen does not change, and what is trained does.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use taper_layers::{Network, loss::cross_entropy};
use taper_model::{Model, Preprocess};
use taper_optim::{Optimizer, Sgd, split_by_decay};
use taper_transfer::Freeze;
use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};

/// All parameters and buffers by name, before and after one step of SGD.
fn before_and_after(freeze: &Freeze) -> (BTreeMap<String, Vec<f32>>, BTreeMap<String, Vec<f32>>) {
    let graph = mobilenet_v2(Scaling::width(0.1), 2).unwrap();
    let preprocess = Preprocess { input_size: [32, 32], ..Preprocess::imagenet() };
    let model = Model::random(graph, 5, preprocess, Vec::new()).unwrap();
    let mut network = Network::new(&model, &Device::Cpu).unwrap();
    freeze.apply(&mut network).unwrap();
    let values = |network: &Network| -> BTreeMap<String, Vec<f32>> {
        let params = network.params().iter();
        params.map(|p| (p.name.clone(), p.var.flatten_all().unwrap().to_vec1().unwrap())).collect()
    };
    let before = values(&network);
    let xs = Tensor::arange(0f32, 4.0 * 3.0 * 32.0 * 32.0, &Device::Cpu).unwrap();
    let xs = xs.affine(0.37, 0.1).unwrap().sin().unwrap().reshape((4, 3, 32, 32)).unwrap();
    let targets = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
    assert_eq!(xs.dtype(), DType::F32);
    let value =
        network.value_and_grad(&xs, 0, |logits| cross_entropy(logits, &targets, 0.0)).unwrap();
    let params = network.trainable().into_iter().map(|(name, var)| (name, var, true));
    let groups = split_by_decay(params, 1e-4);
    let mut optimizer = Optimizer::from_groups(groups, Sgd::default()).unwrap();
    optimizer.step_at(&value.grads, 0.1).unwrap();
    (before, values(&network))
}

fn changed(freeze: &Freeze) -> Vec<String> {
    let (before, after) = before_and_after(freeze);
    before
        .into_iter()
        .filter(|(name, values)| after[name] != *values)
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn a_frozen_backbone_keeps_its_weights_and_its_statistics() {
    let mut names = changed(&Freeze::Backbone);
    names.sort();
    assert_eq!(names, ["classifier.bias", "classifier.weight"]);
}

#[test]
fn a_frozen_stage_keeps_everything_below_it() {
    let names = changed(&Freeze::Stage("blocks.3".into()));
    let below = ["conv_stem", "bn1", "blocks.0.", "blocks.1.", "blocks.2.", "blocks.3."];
    for name in &names {
        assert!(!below.iter().any(|prefix| name.starts_with(prefix)), "{name} changed");
    }
    assert!(names.iter().any(|name| name == "blocks.4.0.bn1.running_mean"));
    assert!(names.iter().any(|name| name == "blocks.6.0.conv_pwl.weight"));
}

#[test]
fn with_nothing_frozen_every_norm_sees_the_batch() {
    let names = changed(&Freeze::None);
    assert!(names.iter().any(|name| name == "conv_stem.weight"));
    assert_eq!(names.iter().filter(|name| name.ends_with("running_var")).count(), 52);
}
