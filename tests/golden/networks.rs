//! The networks of the fixtures, and their problems: parameters, batch, gradient of the loss.
//!
//! Above: `step`, `network`, `logits`. Below: `graph::blocks`, `zoo`. Not here: reading files (`taper_tests::fixture`).

use taper_engine::Real;
use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Names, Style, conv_norm_act};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Op, PoolKind, ScopeKind};
use taper_model::{Model, Preprocess, Provenance, Tensor};
use taper_tests::fixture::Fixture;
use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};

/// Of both networks.
pub(crate) const CLASSES: usize = 5;

/// A fixture with its network.
pub(crate) struct Problem {
    pub(crate) graph: Graph,
    pub(crate) fixture: Fixture,
}

/// The short network: every kind of block (`mobilenet_v2_net.SHORT`). `tag` is `f64` or `f32`.
pub(crate) fn short(tag: &str) -> Problem {
    let fixture = Fixture::open(&format!("mobilenet_v2_short_{tag}"));
    Problem { graph: short_graph().unwrap(), fixture }
}

/// The whole table at width 0.1: all 158 parameter tensors.
pub(crate) fn full(tag: &str) -> Problem {
    let fixture = Fixture::open(&format!("mobilenet_v2_step_{tag}"));
    let graph = mobilenet_v2(Scaling::width(0.1), CLASSES).unwrap();
    // The goldens were made without dropout.
    let graph = graph.map_ops(|node| match node.op() {
        Op::Dropout { .. } => Op::Dropout { p: 0.0 },
        op => op.clone(),
    });
    Problem { graph: graph.unwrap(), fixture }
}

fn short_graph() -> taper_graph::Result<Graph> {
    let style =
        Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
    let mut b = GraphBuilder::new(3)?;
    let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
    let input = b.input();
    let mut xs = conv_norm_act(&mut b, names, input, Conv::dense(8, 3, 2), &style)?;
    xs = b.scope(ScopeKind::Stage, "blocks.0", |b| {
        let block = DepthwiseSeparable { out: 6, kernel_size: 3, stride: 1 };
        block.build(b, "blocks.0.0", xs, &style)
    })?;
    for (stage, out, repeats, stride) in [(1, 12, 2, 2), (2, 16, 2, 2), (3, 20, 1, 1)] {
        for i in 0..repeats {
            let stride = if i == 0 { stride } else { 1 };
            let expanded = 6 * b.channels(xs);
            let block = InvertedResidual { expanded, out, kernel_size: 3, stride };
            xs = block.build(&mut b, &format!("blocks.{stage}.{i}"), xs, &style)?;
        }
    }
    let names = Names { conv: "conv_head", norm: "bn2", activation: Some("act2") };
    xs = conv_norm_act(&mut b, names, xs, Conv::pointwise(48), &style)?;
    b.output("features", xs)?;
    xs = b.global_pool("global_pool", xs, PoolKind::Avg, true)?;
    b.output("pre_logits", xs)?;
    xs = b.linear("classifier", xs, CLASSES, Bias::With)?;
    b.output("logits", xs)?;
    b.build()
}

impl Problem {
    /// Parameters and statistics before the step, by `ParamId`.
    pub(crate) fn params<T: Real>(&self) -> Vec<Vec<T>> {
        let golden = |name: &str| self.fixture.get(&format!("params/{name}"));
        let read = |name| golden(name).data.iter().map(|&v| T::from_f64(v)).collect();
        self.graph.params().iter().map(|spec| read(&spec.name)).collect()
    }

    /// The batch `(n, h, w, 3)` and `[n, h, w]`.
    pub(crate) fn inputs<T: Real>(&self) -> (Vec<T>, [usize; 3]) {
        let (xs, shape) = self.fixture.get("inputs").channels_last();
        (xs.into_iter().map(T::from_f64).collect(), shape)
    }

    /// Mean cross-entropy of `logits` and its gradient, `(softmax(logits) - one_hot(target)) / n`.
    pub(crate) fn loss(&self, logits: &[f64]) -> (f64, Vec<f64>) {
        let targets = self.fixture.get("targets").to_indices();
        let n = targets.len() as f64;
        let mut loss = 0.0;
        let mut grad = Vec::with_capacity(logits.len());
        for (row, target) in logits.chunks_exact(CLASSES).zip(targets) {
            let total: f64 = row.iter().map(|z| z.exp()).sum();
            for (class, z) in row.iter().enumerate() {
                let hit = if class == target { 1.0 } else { 0.0 };
                loss -= hit * (z - total.ln()) / n;
                grad.push((z.exp() / total - hit) / n);
            }
        }
        (loss, grad)
    }

    /// The network with the fixture's parameters as a model.
    pub(crate) fn model(&self) -> Model {
        let params = self.params::<f32>();
        let tensors = self.graph.params().iter().zip(params);
        let tensors = tensors.map(|(spec, data)| Tensor { shape: spec.shape.clone(), data });
        let classes = (0..CLASSES).map(|i| format!("class {i}")).collect();
        let graph = self.graph.clone();
        Model::new(graph, tensors.collect(), Preprocess::imagenet(), classes, Provenance::default())
            .unwrap()
    }
}

/// Exact.
pub(crate) fn to_f64<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}
