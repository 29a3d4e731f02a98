//! Networks that are right, wrong and hostile.
//!
//! Above: `cargo test`. Below: everything in this crate. Not here: whole families (`taper-zoo`).

mod blocks;
mod builder;
mod edit;
mod json;
mod property;
mod shape;

use crate::blocks::{DepthwiseSeparable, InvertedResidual, Style};
use crate::{Activation, Bias, Conv, Graph, GraphBuilder, PoolKind, ScopeKind};

/// A network with one of everything that a mobile network has.
fn small() -> Graph {
    let style =
        Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
    let mut b = GraphBuilder::new(3).unwrap();
    let stem = b
        .scope(ScopeKind::Stem, "stem", |b| {
            b.conv("conv_stem", b.input(), Conv::dense(8, 3, 2), Bias::Without)
        })
        .unwrap();
    let xs = b
        .scope(ScopeKind::Stage, "blocks.0", |b| {
            let first = DepthwiseSeparable { out: 4, kernel_size: 3, stride: 1 };
            let xs = first.build(b, "blocks.0.0", stem, &style)?;
            let second = InvertedResidual { expanded: 12, out: 4, kernel_size: 5, stride: 1 };
            second.build(b, "blocks.0.1", xs, &style)
        })
        .unwrap();
    b.output("features", xs).unwrap();
    let xs = b.global_pool("global_pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.dropout("drop", xs, 0.2).unwrap();
    let xs = b.linear("classifier", xs, 10, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}
