//! First layers for other images, against timm.
//!
//! Above: `cargo test`. Below: `channels`, `classifier`. Not here: networks of the zoo (`taper-zoo`).

use std::path::Path;

use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};

use super::{classes, graph, model};
use crate::{Error, Model, Preprocess, Tensor, adapt_channels, reset_classifier, tensors};

/// A convolution of that weight on an image of as many channels as it has.
fn net(weight: &Tensor) -> Model {
    let [out, channels, kernel, _] = weight.shape[..].try_into().unwrap();
    let mut b = GraphBuilder::new(channels).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(out, kernel, 2), Bias::Without).unwrap();
    b.output("features", xs).unwrap();
    let model = Model::random(b.build().unwrap(), 0, Preprocess::imagenet(), Vec::new()).unwrap();
    model.with_tensors(vec![weight.clone()]).unwrap()
}

#[test]
fn weights_are_summed_or_repeated_and_scaled_as_timm_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/channels.safetensors");
    let golden = tensors::read(path).unwrap();
    let model = net(&golden["weight"]);
    let mut compared = 0;
    for (name, expected) in golden.iter().filter(|(name, _)| *name != "weight") {
        let adapted = adapt_channels(&model, name.parse().unwrap()).unwrap();
        assert_eq!(adapted.tensors()[0].shape, expected.shape, "{name} channels");
        for (got, expected) in adapted.tensors()[0].data.iter().zip(&expected.data) {
            // Sums of three numbers up to 3, in another order at most.
            assert!((got - expected).abs() <= 3.0 * f32::EPSILON, "{name}: {got} {expected}");
        }
        compared += 1;
    }
    assert_eq!(compared, 6);
}

#[test]
fn other_weights_stay_and_the_provenance_tells() {
    let old = model();
    let new = adapt_channels(&old, 5).unwrap();
    assert_eq!(new.graph().input_channels(), 5);
    assert_eq!(new.tensors()[1..], old.tensors()[1..]);
    assert_eq!(new.provenance().training.as_deref(), Some("first layer for 5 channels"));
    assert_eq!(adapt_channels(&old, 3).unwrap(), old);
    assert!(matches!(adapt_channels(&old, 0), Err(Error::Graph { .. })));
}

#[test]
fn a_first_layer_that_mixes_no_channels_is_refused() {
    let mut b = GraphBuilder::new(3).unwrap();
    let depthwise = Conv { groups: 3, ..Conv::dense(6, 3, 1) };
    let xs = b.conv("conv", b.input(), depthwise, Bias::Without).unwrap();
    b.output("features", xs).unwrap();
    let model = Model::random(b.build().unwrap(), 0, Preprocess::imagenet(), Vec::new()).unwrap();
    let refused = adapt_channels(&model, 6);
    assert!(matches!(refused, Err(Error::FirstLayer { node, .. }) if node == "conv"));
}

#[test]
fn a_new_classifier_leaves_the_rest_and_is_the_seeds() {
    let old = model();
    let names: Vec<String> = (0..7).map(|i| i.to_string()).collect();
    let new = reset_classifier(&old, &names, 1).unwrap();
    assert_eq!(new.tensor("classifier.weight").unwrap().shape, [7, 4]);
    assert_eq!(new.tensor("classifier.bias").unwrap().data, [0.0; 7]);
    assert_eq!((new.classes().len(), new.tensor("conv.weight")), (7, old.tensor("conv.weight")));
    assert_eq!(new, reset_classifier(&old, &names, 1).unwrap());
    assert_ne!(new, reset_classifier(&old, &names, 2).unwrap());
    assert!(new.provenance().training.as_deref().unwrap().contains("7 classes"));
    assert!(matches!(reset_classifier(&old, &[], 1), Err(Error::NoClasses)));
    assert_eq!(reset_classifier(&old, &classes(), 1).unwrap().graph(), &graph());
}

#[test]
fn a_network_whose_logits_are_no_linear_layer_keeps_its_classifier() {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::pointwise(4), Bias::With).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    b.output("logits", xs).unwrap();
    let model = Model::random(b.build().unwrap(), 0, Preprocess::imagenet(), vec![]).unwrap();
    let refused = reset_classifier(&model, &["x".to_owned()], 0);
    assert!(matches!(refused, Err(Error::NoClassifier { node, .. }) if node == "pool"));
}
