//! Names of other projects.
//!
//! Above: `cargo test`. Below: `keymap`. Not here: whole networks of other projects (`taper-zoo`).

use std::collections::BTreeMap;

use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Style};
use taper_graph::{Activation, GraphBuilder, ScopeKind};

use super::{classes, graph};
use crate::{Error, KeyMap, Model, Naming, Preprocess, Provenance, Tensor};

#[test]
fn torchvisions_blocks_are_numbered_through() {
    let style =
        Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
    let mut b = GraphBuilder::new(8).unwrap();
    let input = b.input();
    let first = DepthwiseSeparable { out: 8, kernel_size: 3, stride: 1 };
    let xs = b.scope(ScopeKind::Stage, "blocks.0", |b| first.build(b, "blocks.0.0", input, &style));
    let second = InvertedResidual { expanded: 16, out: 8, kernel_size: 3, stride: 1 };
    let xs = second.build(&mut b, "blocks.1.0", xs.unwrap(), &style).unwrap();
    b.output("features", xs).unwrap();
    let map = Naming::TORCHVISION_MOBILENET_V2.keymap(&b.build().unwrap());
    for (theirs, ours) in [
        ("features.0.0.weight", "conv_stem.weight"),
        ("features.1.conv.0.1.running_var", "blocks.0.0.bn1.running_var"),
        ("features.1.conv.1.weight", "blocks.0.0.conv_pw.weight"),
        ("features.2.conv.1.0.weight", "blocks.1.0.conv_dw.weight"),
        ("features.2.conv.3.bias", "blocks.1.0.bn3.bias"),
        ("features.3.0.weight", "conv_head.weight"),
        ("classifier.1.bias", "classifier.bias"),
        ("unknown", "unknown"),
    ] {
        assert_eq!(map.rename(theirs), ours);
    }
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let tensor = Tensor { shape: vec![], data: vec![0.0] };
    let names = ["a.weight", "b.weight"].map(|name| (name.to_owned(), tensor.clone()));
    let map = KeyMap::from_pairs([("a", "b")]);
    let (preprocess, provenance) = (Preprocess::imagenet(), Provenance::default());
    let tensors = BTreeMap::from(names);
    let model = Model::from_tensors(graph(), tensors, &map, preprocess, classes(), provenance);
    assert!(matches!(model, Err(Error::Tensor { .. })));
}
