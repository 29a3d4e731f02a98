//! What the blocks add: nodes, names, residuals, gates.
//!
//! Above: `cargo test`. Below: `blocks`. Not here: whole families (`taper-zoo`).

use crate::blocks::{
    ConvBlock, DepthwiseSeparable, InvertedResidual, SqueezeExcite, Style, Variation,
};
use crate::{Activation, Extent, Flow, Graph, GraphBuilder, NodeId, Op, Padding, Result};

const STYLE: Style =
    Style { activation: Activation::HardSwish, eps: 1e-3, momentum: 0.01, tf_padding: true };
const GATE: SqueezeExcite =
    SqueezeExcite { squeezed: 4, activation: Activation::Relu, gate: Activation::HardSigmoid };

/// One block on an image of 8 channels.
fn block(add: impl FnOnce(&mut GraphBuilder, NodeId) -> Result<NodeId>) -> Graph {
    let mut b = GraphBuilder::new(8).unwrap();
    let input = b.input();
    let xs = add(&mut b, input).unwrap();
    b.output("ys", xs).unwrap();
    b.build().unwrap()
}

fn nodes(graph: &Graph) -> Vec<&str> {
    graph.nodes()[1..].iter().map(crate::Node::name).collect()
}

#[test]
fn a_gate_stands_between_depthwise_convolution_and_projection() {
    let variation = Variation { squeeze_excite: Some(GATE), ..Variation::default() };
    let row = InvertedResidual { expanded: 16, out: 8, kernel_size: 5, stride: 1 };
    let graph = block(|b, xs| row.build_varied(b, "b", xs, &STYLE, &variation));
    let gate = ["pool", "conv_reduce", "act1", "conv_expand", "gate", "mul"];
    let gate = gate.map(|node| format!("b.se.{node}"));
    let names = nodes(&graph);
    assert_eq!(names[3..6], ["b.conv_dw", "b.bn2", "b.act2"]);
    assert_eq!(names[6..12], gate.each_ref().map(String::as_str));
    assert_eq!(names[12..], ["b.conv_pwl", "b.bn3", "b.add"]);

    let extents = graph.extents(7, 7).unwrap();
    let at = |name: &str| graph.find_node(name).unwrap();
    assert_eq!(extents[at("b.se.gate").index()], Extent::Map { h: 1, w: 1, c: 16 });
    assert_eq!(extents[at("b.se.mul").index()], Extent::Map { h: 7, w: 7, c: 16 });
    let inputs = [extents[at("b.act2").index()], extents[at("b.se.gate").index()]];
    assert_eq!([0, 1].map(|input| Op::Mul.flow(input, &inputs)), [Flow::Same, Flow::Same]);
    let shape = |name: &str| &graph.param(graph.param_id(name).unwrap()).shape;
    assert_eq!(shape("b.se.conv_reduce.weight"), &[4, 16, 1, 1]);
    assert_eq!(shape("b.se.conv_expand.bias"), &[16]);
    assert_eq!(Graph::from_json(&graph.to_json()).unwrap(), graph);
}

#[test]
fn the_first_mobilenets_block_ends_in_an_activation_and_adds_nothing() {
    let variation = Variation { has_residual: false, is_linear: false, ..Variation::default() };
    let row = DepthwiseSeparable { out: 8, kernel_size: 3, stride: 1 };
    let graph = block(|b, xs| row.build_varied(b, "b", xs, &STYLE, &variation));
    assert_eq!(nodes(&graph), ["b.conv_dw", "b.bn1", "b.act1", "b.conv_pw", "b.bn2", "b.act2"]);
}

#[test]
fn the_plain_block_is_the_default_variation() {
    let row = DepthwiseSeparable { out: 8, kernel_size: 3, stride: 1 };
    let plain = block(|b, xs| row.build(b, "b", xs, &STYLE));
    let varied = block(|b, xs| row.build_varied(b, "b", xs, &STYLE, &Variation::default()));
    assert_eq!(plain, varied);
    assert_eq!(nodes(&plain).last(), Some(&"b.add"));
}

#[test]
fn tensorflows_padding_reaches_every_window_of_a_block() {
    let row = ConvBlock { out: 16, kernel_size: 3, stride: 2 };
    let graph = block(|b, xs| row.build(b, "b", xs, &STYLE, &Variation::default()));
    assert_eq!(nodes(&graph), ["b.conv", "b.bn1", "b.act1"]); // stride 2: nothing to add
    let Op::Conv(conv) = graph.nodes()[1].op() else { panic!("a convolution") };
    assert_eq!(conv.window.padding, Padding::Same);
}
