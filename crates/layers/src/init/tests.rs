//! A seeded builder on candle's own modules, and which norms end residual branches.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::VarMap;
use taper_graph::blocks::{Residual, ResidualKind, Style};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId};

use super::*;

#[test]
fn a_candle_model_begins_the_same_in_any_order_of_its_layers() {
    let weights = |names: &[&str]| {
        let vars = VarMap::new();
        let vb = var_builder(&vars, 5, DType::F64, &Device::Cpu);
        for name in names {
            let conv = candle_nn::conv2d(4, 8, 3, Default::default(), vb.pp(name)).unwrap();
            let xs = Tensor::ones((1, 4, 5, 5), DType::F64, &Device::Cpu).unwrap();
            assert_eq!(conv.forward(&xs).unwrap().dims(), [1, 8, 3, 3]);
        }
        let data = vars.data().lock().unwrap();
        let values = |name: &str| data[name].flatten_all().unwrap().to_vec1::<f64>().unwrap();
        [values("a.weight"), values("b.weight")]
    };
    assert_eq!(weights(&["a", "b"]), weights(&["b", "a"]));
    let [a, b] = weights(&["a", "b"]);
    assert_ne!(a, b);
}

#[test]
fn a_variable_is_made_once_and_keeps_its_shape() {
    let vars = VarMap::new();
    let vb = var_builder(&vars, 5, DType::F32, &Device::Cpu);
    let hint = candle_nn::init::DEFAULT_KAIMING_UNIFORM;
    assert!(!vb.contains_tensor("w"));
    let first = vb.get_with_hints((2, 3), "w", hint).unwrap();
    assert!(vb.contains_tensor("w"));
    let again = vb.get_with_hints((2, 3), "w", candle_nn::Init::Const(9.0)).unwrap();
    assert_eq!(first.to_vec2::<f32>().unwrap(), again.to_vec2::<f32>().unwrap());
    let error = vb.get((3, 2), "w").unwrap_err().to_string();
    assert!(error.starts_with("variable `w` has shape [2, 3], expected [3, 2]"), "{error}");
    let error = vb.get_with_hints(3, "b", hint).unwrap_err().to_string();
    assert!(error.contains("shape [3] has no fans"), "{error}");
    let error = vb.get_unchecked("v").unwrap_err().to_string();
    assert!(error.starts_with("there is no variable `v`"), "{error}");
}

#[test]
fn hints_become_initializers() {
    use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
    let kaiming = |non_linearity| {
        let (dist, fan) = (NormalOrUniform::Uniform, FanInOut::FanOut);
        from_hint(candle_nn::Init::Kaiming { dist, fan, non_linearity }).unwrap()
    };
    let expected = |it| Initializer::kaiming(Fan::Out, Distribution::Uniform, it).unwrap();
    assert_eq!(kaiming(NonLinearity::SELU), expected(Nonlinearity::Selu));
    assert_eq!(
        kaiming(NonLinearity::ExplicitGain(3.0)),
        expected(Nonlinearity::Other { gain: 3.0 })
    );
    for (theirs, ours) in [
        (NonLinearity::ReLU, Nonlinearity::Relu),
        (NonLinearity::Linear, Nonlinearity::Linear),
        (NonLinearity::Sigmoid, Nonlinearity::Sigmoid),
        (NonLinearity::Tanh, Nonlinearity::Tanh),
        (NonLinearity::SELU, Nonlinearity::Selu),
    ] {
        assert!((theirs.gain() - ours.gain()).abs() < 1e-15, "{theirs:?}");
        assert_eq!(kaiming(theirs), expected(ours));
    }
    assert!(from_hint(candle_nn::Init::Uniform { lo: 1.0, up: 0.0 }).is_err());
}

fn graph_of(build: impl FnOnce(&mut GraphBuilder, NodeId) -> taper_graph::Result<NodeId>) -> Graph {
    let mut b = GraphBuilder::new(16).unwrap();
    let input = b.input();
    let xs = build(&mut b, input).unwrap();
    b.output("features", xs).unwrap();
    b.build().unwrap()
}

fn names(graph: &Graph) -> Vec<&str> {
    last_norms(graph).into_iter().map(|id| graph.param(id).name.as_str()).collect()
}

#[test]
fn the_shortcut_of_a_block_keeps_its_norm() {
    let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
    let graph = graph_of(|b, xs| {
        let bottleneck =
            Residual { kind: ResidualKind::Bottleneck, width: 8, stride: 2, pools_shortcut: false };
        let xs = bottleneck.build(b, "layer1.0", xs, &style)?;
        let basic =
            Residual { kind: ResidualKind::Basic, width: 32, stride: 1, pools_shortcut: false };
        basic.build(b, "layer1.1", xs, &style)
    });
    assert!(graph.param_id("layer1.0.downsample.1.weight").is_some());
    assert_eq!(names(&graph), ["layer1.0.bn3.weight", "layer1.1.bn2.weight"]);
}

#[test]
fn parallel_branches_and_branches_without_a_norm_keep_theirs() {
    let graph = graph_of(|b, xs| {
        let left = b.conv("left", xs, Conv::dense(16, 3, 1), Bias::Without)?;
        let left = b.batch_norm("left_bn", left, 1e-5, 0.1)?;
        let right = b.conv("right", xs, Conv::pointwise(16), Bias::Without)?;
        let right = b.batch_norm("right_bn", right, 1e-5, 0.1)?;
        let xs = b.add("sum", left, right)?;
        let bare = b.conv("bare", xs, Conv::pointwise(16), Bias::With)?;
        b.add("residual", bare, xs)
    });
    assert!(names(&graph).is_empty());
}
