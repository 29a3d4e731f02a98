//! What the blocks add: nodes, names, residuals, gates.
//!
//! Above: `cargo test`. Below: `blocks`. Not here: whole families (`taper-zoo`).

use crate::blocks::{
    ConvBlock, DepthwiseSeparable, InvertedResidual, MobileOneBlock, Residual, ResidualKind,
    SqueezeExcite, Style, UniversalInvertedBottleneck, Variation,
};
use crate::{
    Activation, Conv, Extent, Flow, Graph, GraphBuilder, Init, NodeId, Op, Padding, Result,
};

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
    let graph = block(|b, xs| row.build_with(b, "b", xs, &STYLE, &variation));
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
    let graph = block(|b, xs| row.build_with(b, "b", xs, &STYLE, &variation));
    assert_eq!(nodes(&graph), ["b.conv_dw", "b.bn1", "b.act1", "b.conv_pw", "b.bn2", "b.act2"]);
}

#[test]
fn the_plain_block_is_the_default_variation() {
    let row = DepthwiseSeparable { out: 8, kernel_size: 3, stride: 1 };
    let plain = block(|b, xs| row.build(b, "b", xs, &STYLE));
    let varied = block(|b, xs| row.build_with(b, "b", xs, &STYLE, &Variation::default()));
    assert_eq!(plain, varied);
    assert_eq!(nodes(&plain).last(), Some(&"b.add"));
}

#[test]
fn a_universal_bottleneck_moves_in_its_middle_or_else_in_its_first_convolution() {
    let strides = |start, middle| {
        let row = UniversalInvertedBottleneck { start, middle, expanded: 16, out: 8, stride: 2 };
        let graph = block(|b, xs| row.build(b, "b", xs, &STYLE, &Variation::default()));
        let convs = graph.nodes().iter().filter_map(|node| match node.op() {
            Op::Conv(conv) => Some(conv.window.stride[0]),
            _ => None,
        });
        convs.collect::<Vec<_>>()
    };
    assert_eq!(strides(3, 5), [1, 1, 2, 1]);
    assert_eq!(strides(3, 0), [2, 1, 1]);
    assert_eq!(strides(0, 3), [1, 2, 1]);
    assert_eq!(strides(0, 0), [1, 1]); // no depthwise convolution: nothing moves
}

#[test]
fn shortcuts_have_a_convolution_where_they_need_one() {
    let names = |width, stride, pools_shortcut| {
        let row = Residual { kind: ResidualKind::Basic, width, stride, pools_shortcut };
        let graph = block(|b, xs| row.build(b, "b", xs, &STYLE));
        let names = nodes(&graph).into_iter().filter_map(|name| name.strip_prefix("b.downsample."));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(8, 1, false), Vec::<String>::new());
    assert_eq!(names(8, 2, false), ["0", "1"]);
    assert_eq!(names(16, 2, true), ["0", "1", "2"]); // pool, convolution, norm
    assert_eq!(names(16, 1, true), ["1", "2"]);
}

#[test]
fn the_last_norm_of_a_residual_begins_at_zero() {
    let kind = ResidualKind::Bottleneck;
    let row = Residual { kind, width: 2, stride: 1, pools_shortcut: false };
    let graph = block(|b, xs| row.build(b, "b", xs, &STYLE));
    let init = |name: &str| graph.param(graph.param_id(name).unwrap()).init;
    let inits = ["b.bn1.weight", "b.bn2.weight", "b.bn3.weight"].map(init);
    assert_eq!(inits, [Init::Ones, Init::Ones, Init::Zeros]);
}

#[test]
fn parallel_ways_are_as_many_as_the_block_says() {
    let names = |conv| {
        let row = MobileOneBlock { conv, branches: 2, squeeze_excite: Some(GATE) };
        let graph = block(|b, xs| row.build(b, "b", xs, &STYLE));
        let ways = nodes(&graph).into_iter().filter_map(|name| name.strip_suffix(".conv"));
        let names: Vec<String> = ways.map(|name| name.replace("b.", "")).collect();
        (names.join(" "), graph.find_node("b.identity").is_some())
    };
    let all = "conv_scale conv_kxk.0 conv_kxk.1".to_owned();
    assert_eq!(names(Conv::depthwise(8, 3, 1)), (all.clone(), true));
    assert_eq!(names(Conv::depthwise(8, 3, 2)), (all, false));
    assert_eq!(names(Conv::pointwise(16)), ("conv_kxk.0 conv_kxk.1".to_owned(), false));
}

#[test]
fn tensorflows_padding_reaches_every_window_of_a_block() {
    let row = ConvBlock { out: 16, kernel_size: 3, stride: 2 };
    let graph = block(|b, xs| row.build(b, "b", xs, &STYLE, &Variation::default()));
    assert_eq!(nodes(&graph), ["b.conv", "b.bn1", "b.act1"]); // stride 2: nothing to add
    let Op::Conv(conv) = graph.nodes()[1].op() else { panic!("a convolution") };
    assert_eq!(conv.window.padding, Padding::Same);
}
