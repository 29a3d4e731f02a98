//! Model files and other projects' files: right, damaged and hostile.
//!
//! Above: `cargo test`. Below: everything in this crate. Not here: published weights (`taper-zoo`).

mod channels;
#[cfg(feature = "pth")]
mod checkpoints;
mod file;
mod keymap;
#[cfg(feature = "pth")]
mod pickle;
mod property;
#[cfg(feature = "pth")]
mod pth;

use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, PoolKind};

use crate::{Model, Preprocess};

/// Convolution, norm, activation, classifier of two classes.
fn graph() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(4, 3, 2), Bias::Without).unwrap();
    let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    let xs = b.activation("act", xs, Activation::Relu6).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

fn classes() -> Vec<String> {
    vec!["ants".to_owned(), "bees".to_owned()]
}

fn model() -> Model {
    Model::random(graph(), 1, Preprocess::imagenet(), classes()).unwrap()
}

/// The error and all its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
