//! Networks that tests cut, with weights and scores.
//!
//! Above: tests of `criterion`, `ranking`, `budget`. Below: `taper-graph`, `Groups`. Not here: networks for every operation (`cut::networks`).

use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, PoolKind};
use taper_model::{Model, Preprocess};

use crate::{Groups, Protect};

/// Inverted residuals: a stem of `widths[0]`, then for each other width a block that expands three times, and is added if nothing changed
/// shape; with batch norms.
pub(crate) fn inverted_residuals(widths: &[usize]) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let norm_conv = |b: &mut GraphBuilder, name: &str, xs: NodeId, conv: Conv| {
        let xs = b.conv(name, xs, conv, Bias::Without).unwrap();
        b.batch_norm(&format!("{name}_bn"), xs, 1e-5, 0.1).unwrap()
    };
    let input = b.input();
    let mut xs = norm_conv(&mut b, "stem", input, Conv::dense(widths[0], 3, 2));
    for (i, pair) in widths.windows(2).enumerate() {
        let [from, to] = [pair[0], pair[1]];
        let stride = 1 + usize::from(i % 3 == 1);
        let ys = norm_conv(&mut b, &format!("{i}.expand"), xs, Conv::pointwise(3 * from));
        let ys = b.activation(&format!("{i}.act"), ys, Activation::Relu6).unwrap();
        let ys = norm_conv(&mut b, &format!("{i}.dw"), ys, Conv::depthwise(3 * from, 3, stride));
        let ys = norm_conv(&mut b, &format!("{i}.project"), ys, Conv::pointwise(to));
        let same = from == to && stride == 1;
        xs = if same { b.add(&format!("{i}.add"), xs, ys).unwrap() } else { ys };
    }
    classified(b, xs)
}

/// Plain convolutions with biases, one after another.
pub(crate) fn plain(widths: &[usize]) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let mut xs = b.input();
    for (i, width) in widths.iter().enumerate() {
        let conv = Conv::dense(*width, 3, 1 + i % 2);
        xs = b.conv(&format!("conv{i}"), xs, conv, Bias::With).unwrap();
        xs = b.activation(&format!("act{i}"), xs, Activation::Relu).unwrap();
    }
    classified(b, xs)
}

fn classified(mut b: GraphBuilder, xs: NodeId) -> Graph {
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 10, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

/// With the weights of a seed; norms have scales of their own, not all 1.
pub(crate) fn model(graph: Graph, seed: u64) -> Model {
    let mut parts =
        Model::random(graph, seed, Preprocess::imagenet(), vec![]).unwrap().into_parts();
    for (i, (spec, tensor)) in parts.graph.params().iter().zip(&mut parts.tensors).enumerate() {
        if spec.role == taper_graph::ParamRole::NormScale {
            for (k, gamma) in tensor.data.iter_mut().enumerate() {
                *gamma = ((i * 31 + k * 17) as u64 + seed).rem_euclid(97) as f32 / 97.0 - 0.3;
            }
        }
    }
    Model::new(parts.graph, parts.tensors, parts.preprocess, vec![], parts.provenance).unwrap()
}

pub(crate) fn groups(graph: &Graph) -> Groups {
    Groups::of(graph, &Protect::default()).unwrap()
}

/// Scores from a seed, infinite for what is protected.
pub(crate) fn drawn_scores(groups: &Groups, seed: u64) -> Vec<f64> {
    let mut scores = vec![f64::INFINITY; groups.n_units()];
    for group in groups.groups().iter().filter(|group| group.protected.is_none()) {
        for unit in group.units.clone() {
            let mixed = (unit as u64 ^ (seed << 20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            scores[unit] = 0.05 + (mixed >> 40) as f64 / (1u64 << 24) as f64;
        }
    }
    scores
}
