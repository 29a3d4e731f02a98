//! Sums against what a network of a few numbers gives by hand, and against a batch at a time.

use candle_core::Device;
use taper_data::{Batch, Skipped, Targets};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, PoolKind};
use taper_layers::loss::CrossEntropy;
use taper_layers::{NamedTensors, Network};
use taper_model::{Model, Preprocess};

use super::evidence;
use crate::{Error, Result};

fn batch(position: usize, xs: Vec<f32>, shape: [usize; 3], classes: Vec<u32>) -> Batch {
    let indices = (0..shape[0]).collect();
    let targets = Targets::Classes(classes);
    Batch { position, xs, shape, targets, indices, skipped: Vec::new(), for_teacher: None }
}

fn model(graph: Graph) -> Model {
    let preprocess = Preprocess { input_size: [2, 2], ..Preprocess::imagenet() };
    Model::random(graph, 4, preprocess, vec![]).unwrap()
}

fn network(model: &Model) -> Network {
    Network::new(model, &Device::Cpu).unwrap().with_threads(1)
}

/// A norm with statistics of its own, and a mean: all that happens can be written down.
#[test]
fn gradients_and_activations_are_those_of_a_norm_with_frozen_statistics_by_hand() {
    let mut b = GraphBuilder::new(1).unwrap();
    let xs = b.batch_norm("bn", b.input(), 0.0, 0.1).unwrap();
    let xs = b.activation("act", xs, Activation::Relu).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    b.output("logits", xs).unwrap();
    let model = model(b.build().unwrap());
    let mut tensors = model.tensors().to_vec();
    // gamma 3, beta 1, mean 2, variance 4: y = relu(1.5 x − 2).
    for (tensor, value) in tensors.iter_mut().zip([3.0, 1.0, 2.0, 4.0]) {
        tensor.data = vec![value];
    }
    let model = model.with_tensors(tensors).unwrap();
    let batches = || {
        [
            Ok(batch(0, vec![2.0, 4.0, 0.0, 2.0], [2, 1, 2], vec![0, 0])),
            Ok(batch(1, vec![6.0, 8.0], [1, 1, 2], vec![0])),
        ]
    };
    // The mean of the outputs: each pixel that is above zero weighs 1 / (pixels of the batch).
    let loss = |outputs: &NamedTensors, _: &NamedTensors| outputs.single()?.mean_all();
    let seen = evidence(network(&model), batches(), &loss, &["act", "bn"]).unwrap();
    // d gamma = Σ (x − 2) / 2: of x = 2, 4, (0 is cut off), 2: (0 + 1 + 0) / 4; of 6, 8: (2 + 3) / 2. d beta: 3 / 4 and 1.
    let close = |got: &[f64], expected: f64| (got[0] - expected).abs() < 1e-6;
    assert!(close(&seen.gradients[0], 0.25 + 2.5), "{seen:?}");
    assert!(close(&seen.gradients[1], 0.75 + 1.0), "{seen:?}");
    assert!(close(&seen.squared_gradients[0], 0.0625 + 6.25), "{seen:?}");
    assert!(close(&seen.squared_gradients[1], 0.5625 + 1.0), "{seen:?}");
    assert!(seen.gradients[2].is_empty() && seen.squared_gradients[3].is_empty());
    // Behind the norm 1, 4, −2, 1, 7, 10.
    assert!(close(&seen.activations[0].absolute, 23.0 / 6.0), "{seen:?}");
    assert!(close(&seen.activations[0].square, 167.0 / 6.0), "{seen:?}");
    assert!(close(&seen.activations[1].absolute, 25.0 / 6.0), "{seen:?}");
    assert!(close(&seen.activations[1].square, 171.0 / 6.0), "{seen:?}");
    assert_eq!((seen.batches, seen.samples), (2, 3));
}

/// Two convolutions with norms, dropout and a classifier.
fn classifier() -> Model {
    let mut b = GraphBuilder::new(3).unwrap();
    let mut xs = b.input();
    for i in 0..2 {
        xs = b.conv(&format!("conv{i}"), xs, Conv::dense(5, 3, 1), Bias::Without).unwrap();
        xs = b.batch_norm(&format!("bn{i}"), xs, 1e-5, 0.1).unwrap();
        xs = b.activation(&format!("act{i}"), xs, Activation::HardSwish).unwrap();
    }
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.dropout("drop", xs, 0.5).unwrap();
    let xs = b.linear("classifier", xs, 3, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    model(b.build().unwrap())
}

fn pictures(n: usize) -> Vec<f32> {
    (0..n * 12).map(|i| ((i * i) as f32 * 0.37).sin()).collect()
}

#[test]
fn a_picture_counts_the_same_in_any_batch_and_every_run_gives_the_same_bits() {
    let model = classifier();
    let (xs, classes) = (pictures(6), [0, 1, 2, 2, 1, 0]);
    let alone = |i: usize| {
        Ok(batch(i, xs[i * 12..(i + 1) * 12].to_vec(), [1, 2, 2], classes[i..=i].to_vec()))
    };
    let watched = ["act0", "pool", "classifier"];
    let run = |batches: Vec<Result<Batch>>| {
        evidence(network(&model), batches, &CrossEntropy::new(), &watched).unwrap()
    };
    let whole = run(vec![Ok(batch(0, xs.clone(), [6, 2, 2], classes.to_vec()))]);
    let singly = run((0..6).map(alone).collect());
    assert_eq!(singly, run((0..6).map(alone).collect()));
    assert_eq!(whole.activations, singly.activations);
    assert_eq!((whole.batches, singly.batches, singly.samples), (1, 6, 6));
    let mut squares = 0.0;
    for (whole, singly) in whole.gradients.iter().zip(&singly.gradients) {
        for (whole, singly) in whole.iter().zip(singly) {
            assert!((whole - singly / 6.0).abs() < 1e-5, "{whole} {singly}");
            squares += whole * whole;
        }
    }
    assert!(squares > 1e-3);
    // What is frozen in the network that comes in has evidence too.
    let mut frozen = network(&model);
    frozen.set_frozen(|_| true);
    let all = [Ok(batch(0, xs.clone(), [6, 2, 2], classes.to_vec()))];
    assert_eq!(evidence(frozen, all, &CrossEntropy::new(), &watched).unwrap(), whole);
}

#[test]
fn what_says_nothing_is_an_error_that_names_it() {
    let model = classifier();
    let loss = CrossEntropy::new();
    let run = |batches: Vec<Result<Batch>>, node: &str| {
        evidence(network(&model), batches, &loss, &[node]).unwrap_err()
    };
    let good = || Ok(batch(0, pictures(1), [1, 2, 2], vec![0]));
    let unknown = run(vec![good()], "act7");
    let Error::Network { source } = unknown else { panic!("{unknown}") };
    assert!(source.to_string().starts_with("the network has no node `act7`"), "{source}");
    assert!(matches!(run(vec![], "act0"), Error::Empty { .. }));
    let mut gone = batch(0, vec![], [0, 2, 2], vec![]);
    gone.skipped = vec![Skipped { name: "a.png".into(), reason: "is gone".into() }];
    assert!(matches!(run(vec![Ok(gone)], "act0"), Error::Unreadable { .. }));
    let odd = run(vec![Ok(batch(0, vec![f32::NAN; 12], [1, 2, 2], vec![0]))], "act0");
    assert!(odd.to_string().starts_with("the gradient of `conv0.weight` is NaN"), "{odd}");
}
