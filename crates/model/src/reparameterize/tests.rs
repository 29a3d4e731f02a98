//! A reparameterized network computes what it did.
//!
//! Above: `cargo test`. Below: `reparameterize`. Not here: counts of whole networks against timm's (`taper-zoo`).
//! The networks are run by loops over pixels, which share no code with anything.

use std::collections::BTreeSet;

use taper_graph::blocks::{MobileOneBlock, RepVitBlock, SqueezeExcite, Style};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PoolKind};

use super::*;
use crate::Preprocess;

const STYLE: Style =
    Style { activation: Activation::Relu, eps: 1e-3, momentum: 0.1, tf_padding: false };
const GATE: SqueezeExcite =
    SqueezeExcite { squeezed: 4, activation: Activation::Relu, gate: Activation::Sigmoid };

/// Values in `[low, high)` that depend on nothing but their place.
fn values(seed: usize, n: usize, low: f32, high: f32) -> Vec<f32> {
    let at = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 10_007) as f32 / 10_007.0;
    (0..n).map(|i| low + (high - low) * at(i)).collect()
}

fn model(graph: Graph) -> Model {
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [7, 6];
    let model = Model::random(graph, 5, preprocess, Vec::new()).unwrap();
    let mut tensors = model.tensors().to_vec();
    for (seed, tensor) in tensors.iter_mut().enumerate() {
        let is_var = model.graph().params()[seed].name.ends_with("running_var");
        let (low, high) = if is_var { (0.2, 2.0) } else { (-1.0, 1.0) };
        tensor.data = values(seed, tensor.data.len(), low, high);
    }
    model.with_tensors(tensors).unwrap()
}

fn build(add: impl FnOnce(&mut GraphBuilder, NodeId) -> taper_graph::Result<NodeId>) -> Model {
    let mut b = GraphBuilder::new(8).unwrap();
    let input = b.input();
    let xs = add(&mut b, input).unwrap();
    b.output("ys", xs).unwrap();
    model(b.build().unwrap())
}

/// A map `(c, h, w)`, or a vector with one position.
#[derive(Clone)]
struct Map {
    size: [usize; 3],
    data: Vec<f64>,
}

/// The output `ys` of a model, pixel by pixel.
fn run(model: &Model) -> Vec<f64> {
    let mut maps: Vec<Map> = Vec::new();
    for id in model.graph().node_ids() {
        let node = model.graph().node(id);
        let inputs: Vec<&Map> = node.inputs().iter().map(|id| &maps[id.index()]).collect();
        let params: Vec<&Tensor> =
            node.params().iter().map(|id| &model.tensors()[id.index()]).collect();
        let map = match node.op() {
            Op::Input { channels } => {
                let data = values(99, channels * 42, -1.0, 1.0);
                Map { size: [*channels, 7, 6], data: data.into_iter().map(f64::from).collect() }
            }
            Op::Conv(conv) => convolve(conv, inputs[0], &params),
            op => pointwise(op, &inputs, &params),
        };
        maps.push(map);
    }
    maps[model.graph().output("ys").unwrap().index()].data.clone()
}

fn convolve(conv: &Conv, xs: &Map, params: &[&Tensor]) -> Map {
    let ([c_in, h, w], [k_h, k_w]) = (xs.size, conv.window.kernel);
    let [top, left, ..] = conv.window.pads([h, w]);
    let [h_out, w_out] = conv.window.output_size([h, w]).unwrap();
    let depth = c_in / conv.groups;
    let mut data = Vec::new();
    for (c, i, j) in places([conv.out, h_out, w_out]) {
        let mut sum = params.get(1).map_or(0.0, |bias| f64::from(bias.data[c]));
        for (d, u, v) in places([depth, k_h, k_w]) {
            let [row, column] = [i * conv.window.stride[0] + u, j * conv.window.stride[1] + v];
            if row < top || column < left || row - top >= h || column - left >= w {
                continue;
            }
            let channel = c / (conv.out / conv.groups) * depth + d;
            let x = xs.data[(channel * h + row - top) * w + column - left];
            sum += x * f64::from(params[0].data[((c * depth + d) * k_h + u) * k_w + v]);
        }
        data.push(sum);
    }
    Map { size: [conv.out, h_out, w_out], data }
}

fn places([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a * b * c).map(move |i| (i / (b * c), i / c % b, i % c))
}

fn pointwise(op: &Op, inputs: &[&Map], params: &[&Tensor]) -> Map {
    let xs = inputs[0];
    let positions = xs.size[1] * xs.size[2];
    let param = |slot: usize, i: usize| f64::from(params[slot].data[i / positions]);
    let each = |f: &dyn Fn(usize, f64) -> f64| {
        let data = xs.data.iter().enumerate().map(|(i, x)| f(i, *x)).collect();
        Map { size: xs.size, data }
    };
    match op {
        Op::BatchNorm { eps, .. } => {
            each(&|i, x| (x - param(2, i)) / (param(3, i) + eps).sqrt() * param(0, i) + param(1, i))
        }
        Op::Activation(Activation::Relu) => each(&|_, x| x.max(0.0)),
        Op::Activation(Activation::Sigmoid) => each(&|_, x| 1.0 / (1.0 + (-x).exp())),
        Op::Add => each(&|i, x| x + inputs[1].data[i]),
        Op::Mul => each(&|i, x| x * inputs[1].data[i / positions]),
        Op::Scale { factor } => each(&|_, x| x * factor),
        Op::GlobalPool { .. } => {
            let data =
                xs.data.chunks(positions).map(|it| it.iter().sum::<f64>() / positions as f64);
            Map { size: [xs.size[0], 1, 1], data: data.collect() }
        }
        Op::Linear { out } => {
            let rows = params[0].data.chunks(xs.data.len()).zip(&params[1].data);
            let dot =
                |row: &[f32]| row.iter().zip(&xs.data).map(|(w, x)| f64::from(*w) * x).sum::<f64>();
            let data = rows.map(|(row, bias)| dot(row) + f64::from(*bias)).collect();
            Map { size: [*out, 1, 1], data }
        }
        op => panic!("{}", op.label()),
    }
}

/// Reparameterizes, checks that outputs agree, and gives the names of the new nodes.
fn fused(model: &Model) -> Vec<String> {
    let new = reparameterize(model).unwrap();
    let (before, after) = (run(model), run(&new));
    assert_eq!(before.len(), after.len());
    let largest = before.iter().fold(0.0f64, |largest, y| largest.max(y.abs()));
    for (a, b) in before.iter().zip(&after) {
        assert!((a - b).abs() < 1e-5 * largest, "{a} {b}");
    }
    assert!(largest > 0.1, "nothing came out");
    new.graph().nodes()[1..].iter().map(|node| node.name().to_owned()).collect()
}

#[test]
fn depthwise_ways_and_the_input_become_one_convolution() {
    let block =
        MobileOneBlock { conv: Conv::depthwise(8, 3, 1), branches: 3, squeeze_excite: None };
    assert_eq!(
        fused(&build(|b, xs| block.build(b, "one", xs, &STYLE))),
        ["one.reparam", "one.act"]
    );
}

#[test]
fn dense_strided_and_pointwise_ways_too() {
    for conv in
        [Conv::dense(12, 3, 2), Conv::dense(8, 5, 1), Conv { groups: 2, ..Conv::dense(8, 3, 1) }]
    {
        let block = MobileOneBlock { conv, branches: 2, squeeze_excite: Some(GATE) };
        let names = fused(&build(|b, xs| block.build(b, "one", xs, &STYLE)));
        assert_eq!((names.len(), names[0].as_str()), (8, "one.reparam"));
    }
    let pointwise = MobileOneBlock { conv: Conv::pointwise(8), branches: 1, squeeze_excite: None };
    assert_eq!(fused(&build(|b, xs| pointwise.build(b, "one", xs, &STYLE))).len(), 2);
}

#[test]
fn token_mixers_become_their_module_old_and_new() {
    for norms_each_way in [false, true] {
        let squeeze_excite = Some(GATE);
        let style = Style { activation: Activation::Relu, ..STYLE };
        let block = RepVitBlock { kernel_size: 3, expand_ratio: 2, squeeze_excite, norms_each_way };
        let names = fused(&build(|b, xs| block.build(b, "b", xs, &style)));
        assert_eq!(names[0], "b.token_mixer");
        let mixer = ["conv1", "act", "conv2", "add"].map(|it| format!("b.channel_mixer.{it}"));
        assert_eq!(names[7..], mixer); // the residual stays: its source is another
    }
}

#[test]
fn averaged_classifiers_with_norms_become_one() {
    let model = build(|b, xs| {
        let xs = b.global_pool("head.pool", xs, PoolKind::Avg, true)?;
        let branches = ["head.a", "head.b"].map(|branch| {
            let xs = b.batch_norm(&format!("{branch}.bn"), xs, 1e-5, 0.1)?;
            b.linear(&format!("{branch}.l"), xs, 3, Bias::With)
        });
        let [first, second] = branches;
        let sum = b.add("head.add", first?, second?)?;
        b.scale("head.mean", sum, 0.5)
    });
    assert_eq!(fused(&model), ["head.pool", "head.reparam"]);
}

#[test]
fn what_others_read_stays() {
    let model = build(|b, xs| {
        let wide = b.conv("wide", xs, Conv::dense(8, 3, 1), Bias::Without)?;
        let point = b.conv("point", xs, Conv::pointwise(8), Bias::With)?;
        let sum = b.add("sum", wide, point)?;
        let tapped = b.activation("tap", wide, Activation::Relu)?;
        b.add("ys", sum, tapped)
    });
    assert_eq!(reparameterize(&model).unwrap(), model);
}

#[test]
fn networks_without_parallel_ways_stay_with_their_norms() {
    let model = build(|b, xs| {
        let ys = b.conv("conv", xs, Conv::dense(8, 3, 1), Bias::Without)?;
        let ys = b.batch_norm("bn", ys, 1e-5, 0.1)?;
        let ys = b.activation("act", ys, Activation::Relu)?;
        let ys = b.conv("conv2", ys, Conv::dense(8, 3, 1), Bias::Without)?;
        b.add("add", ys, xs) // of another source: a residual
    });
    assert_eq!(reparameterize(&model).unwrap(), model);
}

#[test]
fn names_stay_one_of_each_and_scopes_cover_what_is_left() {
    let model = build(|b, xs| {
        let xs = b.conv("conv1", xs, Conv::dense(8, 3, 1), Bias::Without)?;
        let xs = b.batch_norm("bn1", xs, 1e-5, 0.1)?;
        let block =
            MobileOneBlock { conv: Conv::dense(8, 3, 1), branches: 1, squeeze_excite: None };
        let xs = block.build(b, "one", xs, &STYLE)?;
        block.build(b, "two", xs, &STYLE)
    });
    let names = fused(&model);
    assert_eq!(names, ["conv1", "one.reparam", "one.act", "two.reparam", "two.act"]);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let new = reparameterize(&model).unwrap();
    let scope = new.graph().find_scope("two").unwrap();
    let covered: Vec<&str> = scope.nodes().map(|id| new.graph().node(id).name()).collect();
    assert_eq!(covered, ["two.reparam", "two.act"]);
    assert_eq!(new.provenance().training.as_deref(), Some("reparameterized"));
}
