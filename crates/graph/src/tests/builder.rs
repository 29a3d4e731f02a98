//! What the builder makes and what it refuses.
//!
//! Above: `cargo test`. Below: `builder`, `blocks`, `scope`. Not here: sizes of maps (`shape`).

use super::small;
use crate::{
    Activation, AxisRole, Bias, Conv, Error, Flow, GraphBuilder, Init, Op, ParamRole, PoolKind,
    ScopeKind, Window,
};

/// What happens when `op` reads the image (3 channels), or a vector of 3 after pooling it.
fn refuse(op: Op, pooled: bool) -> String {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = match pooled {
        true => b.global_pool("pool", b.input(), PoolKind::Avg, true).unwrap(),
        false => b.input(),
    };
    b.push("node", op, &[xs], Bias::Without).unwrap_err().to_string()
}

#[test]
fn impossible_nodes_are_refused_by_name() {
    let conv = |conv: Conv| refuse(Op::Conv(conv), false);
    assert_eq!(
        conv(Conv { groups: 2, ..Conv::dense(4, 3, 1) }),
        "`node`: 3 channels cannot be split into 2 groups: 3 mod 2 = 1, it must be 0"
    );
    assert_eq!(
        conv(Conv { groups: 3, ..Conv::dense(4, 3, 1) }),
        "`node`: 4 channels cannot be split into 3 groups: 4 mod 3 = 1, it must be 0"
    );
    assert!(conv(Conv::dense(0, 3, 1)).starts_with("channel count of `node` is 0"));
    assert!(
        conv(Conv { groups: 0, ..Conv::dense(4, 3, 1) }).starts_with("group count of `node` is 0")
    );
    assert!(conv(Conv::dense(4, 0, 1)).starts_with("kernel size of `node` is 0"));
    assert!(conv(Conv::dense(4, 3, 0)).starts_with("stride of `node` is 0"));
    assert!(conv(Conv::dense(usize::MAX, 3, 1)).starts_with("channel count of `node`"));
    assert!(
        refuse(Op::Conv(Conv::pointwise(4)), true).contains("takes a map, its input is a vector")
    );
    assert!(refuse(Op::Linear { out: 4 }, false).contains("takes a vector, its input is a map"));
    assert!(
        refuse(Op::Slice { start: 2, len: 2 }, false).contains("channel range of `node` is 2..4")
    );
    assert!(refuse(Op::Shuffle { groups: 2 }, false).contains("2 groups"));
    assert!(refuse(Op::Flatten, false).contains("fixed size"));
    assert!(refuse(Op::Add, false).contains("has 1 inputs, it takes 2"));
    assert!(refuse(Op::Input { channels: 3 }, false).contains("the input is node 0"));
}

#[test]
fn numbers_that_are_no_numbers_are_refused() {
    for p in [1.0, -0.1, f64::NAN] {
        assert!(refuse(Op::Dropout { p }, false).contains("dropping probability"), "{p}");
    }
    for eps in [f64::NAN, f64::INFINITY, -1e-5] {
        assert!(refuse(Op::LayerNorm { eps }, false).starts_with("eps of `node`"), "{eps}");
    }
    let norm = Op::BatchNorm { eps: 1e-5, momentum: Some(f64::NAN) };
    assert!(refuse(norm, false).starts_with("momentum of `node`"));
    let pool = Op::Pool {
        kind: PoolKind::Max,
        window: Window { padding: crate::Padding::symmetric(2), ..Window::square(3, 1) },
        ceil: false,
    };
    assert!(refuse(pool, false).contains("at most half the kernel, 3 / 2 = 1"));
}

#[test]
fn names_are_unique_and_printable() {
    let mut b = GraphBuilder::new(3).unwrap();
    let add = |b: &mut GraphBuilder, name: &str| b.activation(name, b.input(), Activation::Relu);
    add(&mut b, "act").unwrap();
    assert!(matches!(add(&mut b, "act"), Err(Error::Duplicate { what: "nodes", .. })));
    for name in ["", "a\nb", &"x".repeat(256)] {
        assert!(matches!(add(&mut b, name), Err(Error::Name { .. })), "{name:?}");
    }
}

#[test]
fn a_factor_is_a_number_and_changes_no_shape() {
    for factor in [f64::NAN, f64::INFINITY, 1e9] {
        assert!(refuse(Op::Scale { factor }, false).starts_with("factor of `node`"), "{factor}");
    }
    let mut b = GraphBuilder::new(3).unwrap();
    let half = b.scale("half", b.input(), 0.5).unwrap();
    b.output("ys", half).unwrap();
    let graph = b.build().unwrap();
    let extents = graph.extents(4, 5).unwrap();
    assert_eq!(extents[1], extents[0]);
    assert_eq!(graph.node(half).op().flow(0, &extents[..1]), Flow::Same);
    assert_eq!(crate::Graph::from_json(&graph.to_json()).unwrap(), graph);
}

#[test]
fn a_parameter_begins_as_it_is_told_to() {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::pointwise(4), Bias::With).unwrap();
    b.init("conv.weight", Init::Uniform { bound: 0.5 }).unwrap();
    let error = b.init("conv.scale", Init::Zeros).unwrap_err().to_string();
    assert_eq!(error, "the network has no parameter `conv.scale`");
    let error = b.init("conv.bias", Init::Normal { std: f64::NAN }).unwrap_err().to_string();
    assert!(error.starts_with("initial value of `conv.bias`"), "{error}");
    b.init("conv.bias", Init::Ones).unwrap();
    b.output("ys", xs).unwrap();
    let inits: Vec<Init> = b.build().unwrap().params().iter().map(|spec| spec.init).collect();
    assert_eq!(inits, [Init::Uniform { bound: 0.5 }, Init::Ones]);
}

#[test]
fn a_node_of_another_builder_is_refused() {
    let graph = small();
    let mut b = GraphBuilder::new(3).unwrap();
    let stranger = graph.output("logits").unwrap();
    let error = b.activation("act", stranger, Activation::Relu).unwrap_err();
    assert!(matches!(error, Error::Input { known: 1, .. }));
    assert!(matches!(b.output("y", stranger), Err(Error::OutputNode { .. })));
}

#[test]
fn a_network_needs_outputs_and_names_those_it_has() {
    assert!(matches!(GraphBuilder::new(3).unwrap().build(), Err(Error::NoOutputs)));
    let error = small().output("logit").unwrap_err().to_string();
    assert_eq!(error, "the network has no output `logit`; it has features, logits");
}

#[test]
fn an_empty_scope_is_refused() {
    let mut b = GraphBuilder::new(3).unwrap();
    b.scope(ScopeKind::Stage, "empty", |_| Ok(())).unwrap();
    b.output("y", b.input()).unwrap();
    assert!(matches!(b.build(), Err(Error::Scope { .. })));
}

#[test]
fn parameters_stand_in_build_order_with_their_roles_and_axes() {
    let graph = small();
    let spec = |name: &str| graph.param(graph.param_id(name).unwrap());
    let order: Vec<&str> = graph.params().iter().take(3).map(|spec| spec.name.as_str()).collect();
    assert_eq!(order, ["conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.0.0.bn1.weight"]);
    let dense = AxisRole::In { input: 0, block: 1, groups: 1 };
    let fixed = AxisRole::Fixed;
    assert_eq!(spec("conv_stem.weight").shape, [8, 3, 3, 3]);
    assert_eq!(spec("conv_stem.weight").axes, [AxisRole::Out, dense, fixed, fixed]);
    assert_eq!(spec("blocks.0.0.conv_dw.weight").shape, [8, 1, 3, 3]);
    assert_eq!(spec("blocks.0.0.conv_dw.weight").axes, [AxisRole::Out, fixed, fixed, fixed]);
    assert_eq!(spec("classifier.weight").axes, [AxisRole::Out, dense]);
    assert_eq!(spec("blocks.0.0.bn1.running_var").init, Init::Ones);
    assert_eq!(spec("classifier.bias").role, ParamRole::Bias);
}

#[test]
fn scopes_nest_and_know_their_reduction() {
    let graph = small();
    let names: Vec<&str> = graph.scopes().iter().map(crate::Scope::name).collect();
    assert_eq!(names, ["stem", "blocks.0", "blocks.0.0", "blocks.0.1"]);
    let stage = graph.find_scope("blocks.0").unwrap();
    assert_eq!(graph.node(stage.last()).name(), "blocks.0.1.add");
    assert_eq!(stage.reduction(), 2);
    assert!(stage.nodes().all(|node| graph.node(node).name().starts_with("blocks.0.")));
    assert!(!stage.contains(graph.input()));
}

#[test]
fn a_residual_needs_stride_one_and_equal_channels() {
    let graph = small();
    assert!(graph.find_node("blocks.0.0.add").is_none()); // 8 to 4 channels
    assert!(graph.find_node("blocks.0.1.add").is_some()); // 4 to 4
}

#[test]
fn new_operations_bring_new_shapes_and_keep_names() {
    let graph = small();
    let six = graph
        .map_ops(|node| match node.op() {
            Op::Linear { .. } => Op::Linear { out: 6 },
            op => op.clone(),
        })
        .unwrap();
    let id = six.param_id("classifier.weight").unwrap();
    assert_eq!(six.param(id).shape, [6, 4]);
    assert_eq!(six.scopes(), graph.scopes());
    assert_eq!(graph.map_ops(|node| node.op().clone()).unwrap(), graph);
}

#[test]
fn new_operations_that_do_not_fit_are_refused() {
    let wider = small().map_ops(|node| match (node.name(), node.op()) {
        ("blocks.0.1.conv_pwl", Op::Conv(conv)) => Op::Conv(Conv { out: 5, ..*conv }),
        (_, op) => op.clone(),
    });
    let error = wider.unwrap_err().to_string();
    assert!(error.starts_with("inputs of add `blocks.0.1.add` do not fit"), "{error}");
    let other = small().map_ops(|node| match node.op() {
        Op::Linear { .. } => Op::Dropout { p: 0.1 },
        op => op.clone(),
    });
    assert!(matches!(other, Err(Error::ParamCount { .. })));
}

#[test]
fn channels_flow_as_the_operations_say() {
    let graph = small();
    let extents = graph.extents(16, 16).unwrap();
    let flow = |name: &str| {
        let node = graph.node(graph.find_node(name).unwrap());
        let inputs: Vec<_> = node.inputs().iter().map(|id| extents[id.index()]).collect();
        node.op().flow(0, &inputs)
    };
    assert_eq!(flow("conv_stem"), Flow::Mixes { groups: 1 });
    assert_eq!(flow("blocks.0.0.conv_dw"), Flow::Same);
    assert_eq!(flow("blocks.0.1.add"), Flow::Same);
    assert_eq!(flow("classifier"), Flow::Mixes { groups: 1 });
    assert_eq!(flow("input"), Flow::Opaque);
    // A dense convolution of one channel is not a depthwise one: its filters are apart from each other.
    let gray = [crate::Extent::Map { h: 5, w: 5, c: 1 }];
    assert_eq!(Op::Conv(Conv::dense(6, 3, 1)).flow(0, &gray), Flow::Mixes { groups: 1 });
}
