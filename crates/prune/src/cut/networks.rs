//! Random networks of every operation that couples channels, their weights, and what they compute in double precision.
//!
//! Above: `properties`, other tests of this crate. Below: `taper_model`. Not here: networks that exist (`tests/house/prune.rs`).

use serde_json::Value;
use taper_engine::{Reference, Trainer};
use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PadMode, ParamRole, PoolKind, Window,
};
use taper_model::{Model, Preprocess};

use crate::{Cut, Groups, UnitId};

/// `(h, w)` of the image and of every map.
const SIZE: [usize; 2] = [5, 4];

/// A source of numbers.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `n`, by `SplitMix64`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % n
    }
}

/// Maps of one size, any of which may be read.
struct Growing {
    b: GraphBuilder,
    maps: Vec<NodeId>,
    draw: Draw,
}

impl Growing {
    fn any(&mut self) -> NodeId {
        // Mostly one of the last, so that networks are deep.
        let recent = self.maps.len().min(3);
        let back = if self.draw.below(4) == 0 { self.maps.len() } else { recent };
        self.maps[self.maps.len() - 1 - self.draw.below(back)]
    }

    fn push(&mut self, kind: &str, op: Op, from: &[NodeId]) -> NodeId {
        let bias = if self.draw.below(2) == 0 { Bias::With } else { Bias::Without };
        let name = format!("{kind}{}", self.maps.len());
        let new = self.b.push(&name, op, from, bias).unwrap();
        self.maps.push(new);
        new
    }

    fn conv(&mut self, from: NodeId, out: usize, groups: usize) -> NodeId {
        let kernel_size = 1 + 2 * self.draw.below(2);
        self.push("conv", Op::Conv(Conv { groups, ..Conv::dense(out, kernel_size, 1) }), &[from])
    }

    /// Something with as many channels as `xs`.
    fn alike(&mut self, xs: NodeId) -> NodeId {
        let c = self.b.channels(xs);
        let other = self.any();
        if self.b.channels(other) == c && other != xs { other } else { self.conv(other, c, 1) }
    }

    fn step(&mut self) {
        let xs = self.any();
        let c = self.b.channels(xs);
        match self.draw.below(17) {
            0 | 1 => {
                let out = 2 + self.draw.below(7);
                self.conv(xs, out, 1);
            }
            2 => {
                let out = c * (1 + self.draw.below(2));
                self.conv(xs, out, c);
            }
            3 => {
                let grouped = self.conv(xs, 6, 1);
                let groups = 2 + self.draw.below(2);
                let out = groups * (1 + self.draw.below(3));
                self.conv(grouped, out, groups);
            }
            4 | 5 => {
                self.push("bn", Op::BatchNorm { eps: 1e-3, momentum: Some(0.1) }, &[xs]);
            }
            6 => {
                let f = [Activation::Relu, Activation::Silu, Activation::PRelu, Activation::Tanh];
                let f = f[self.draw.below(f.len())];
                self.push("act", Op::Activation(f), &[xs]);
            }
            7 | 8 => {
                let ys = self.alike(xs);
                self.push("add", Op::Add, &[xs, ys]);
            }
            9 => self.gate(xs),
            10 => {
                let ys = self.any();
                self.push("cat", Op::Concat, &[xs, ys]);
            }
            11 => {
                let start = self.draw.below(c);
                let len = 1 + self.draw.below(c - start);
                self.push("slice", Op::Slice { start, len }, &[xs]);
            }
            12 => {
                let parts = [2, 3, c].into_iter().find(|parts| c.is_multiple_of(*parts));
                let groups = parts.unwrap_or(1);
                self.push("shuffle", Op::Shuffle { groups }, &[xs]);
            }
            13 => self.attend(xs),
            14 => {
                let groups = 1 + usize::from(c.is_multiple_of(2));
                let norms = [Op::LayerNorm { eps: 1e-3 }, Op::GroupNorm { groups, eps: 1e-3 }];
                let norm = norms[self.draw.below(2)].clone();
                self.push("norm", norm, &[xs]);
            }
            15 => {
                let groups = [1, c, 2][self.draw.below(3)];
                let xs = if groups == 2 { self.conv(xs, 4, 1) } else { xs };
                let out = if groups == c { c } else { 4 };
                let conv = Conv { out, window: Window::square(3, 1), groups };
                self.push("up", Op::ConvTranspose { conv, output_padding: [0, 0] }, &[xs]);
            }
            _ => {
                let window = Window::square(3, 1);
                let [max, edges] = [
                    Op::Pool { kind: PoolKind::Max, window, ceil: false },
                    Op::Pad { sides: [1, 0, 0, 0], mode: PadMode::Replicate },
                ];
                let cropped = Window { kernel: [2, 1], ..Window::square(1, 1) };
                let crop = Op::Pool { kind: PoolKind::Avg, window: cropped, ceil: false };
                let pooled = self.push("max", max, &[xs]);
                let name = format!("edges{}", self.maps.len());
                let padded = self.b.push(&name, edges, &[pooled], Bias::Without).unwrap();
                let scaled = self.push("crop", crop, &[padded]);
                self.push("gamma", Op::ChannelScale, &[scaled]);
            }
        }
    }

    /// Squeeze-and-excite, whose sigmoid is not 0 at 0.
    fn gate(&mut self, xs: NodeId) {
        let (n, c) = (self.maps.len(), self.b.channels(xs));
        let pooled = self.b.global_pool(&format!("se{n}"), xs, PoolKind::Avg, false).unwrap();
        let reduce = Conv::pointwise(2 + self.draw.below(3));
        let squeezed = self.b.conv(&format!("se{n}.reduce"), pooled, reduce, Bias::With).unwrap();
        let act = self.b.activation(&format!("se{n}.act"), squeezed, Activation::Relu).unwrap();
        let expand = Conv::pointwise(c);
        let wide = self.b.conv(&format!("se{n}.expand"), act, expand, Bias::With).unwrap();
        let gate = self.b.activation(&format!("se{n}.gate"), wide, Activation::Sigmoid).unwrap();
        self.push("mul", Op::Mul, &[xs, gate]);
    }

    fn attend(&mut self, xs: NodeId) {
        let (heads, kv_heads) = [(2, 2), (4, 2), (3, 1), (3, 3)][self.draw.below(4)];
        let [each, of_v] = [1 + self.draw.below(2), 1 + self.draw.below(2)];
        let q = self.conv(xs, each * heads, 1);
        let k = self.conv(xs, each * kv_heads, 1);
        let v = self.conv(xs, of_v * kv_heads, 1);
        self.push("attention", Op::Attention { heads, kv_heads, scale: 0.7 }, &[q, k, v]);
    }
}

/// A network of so many steps.
pub(crate) fn network(seed: u64, steps: usize) -> Graph {
    let mut draw = Draw::new(seed);
    let mut b = GraphBuilder::new(1 + 2 * draw.below(2)).unwrap();
    let stem = b.conv("stem", b.input(), Conv::dense(6, 3, 1), Bias::With).unwrap();
    let mut growing = Growing { b, maps: vec![stem], draw };
    (0..steps).for_each(|_| growing.step());
    let Growing { mut b, maps, mut draw } = growing;
    // Half of the networks are flattened: a channel is several columns of the classifier.
    let last = maps[maps.len() - 1];
    let vector = if draw.below(2) == 0 {
        b.global_pool("pool", last, PoolKind::Avg, true).unwrap()
    } else {
        let pool = Op::AdaptivePool { kind: PoolKind::Avg, out: [2, 3], at_least: false };
        let pooled = b.push("pool", pool, &[last], Bias::Without).unwrap();
        b.flatten("flatten", pooled).unwrap()
    };
    let hidden = b.linear("hidden", vector, 7, Bias::With).unwrap();
    let hidden = b.activation("hidden.act", hidden, Activation::HardSwish).unwrap();
    let logits = b.linear("classifier", hidden, 3, Bias::With).unwrap();
    b.output("features", last).unwrap();
    b.output("logits", logits).unwrap();
    shared(&b.build().unwrap(), &mut draw)
}

/// The same network, in which now and then a node uses the parameters of an earlier one that has the same shapes.
fn shared(graph: &Graph, draw: &mut Draw) -> Graph {
    let mut owner: Vec<usize> = (0..graph.params().len()).collect();
    for (i, node) in graph.nodes().iter().enumerate().filter(|(_, node)| !node.params().is_empty())
    {
        let shape = |id: &taper_graph::ParamId| {
            let spec = graph.param(*id);
            (spec.shape.clone(), spec.axes.clone(), spec.role)
        };
        let like = graph.nodes()[..i].iter().find(|other| {
            other.op() == node.op()
                && other.params().iter().map(shape).eq(node.params().iter().map(shape))
        });
        if let Some(other) = like.filter(|_| draw.below(2) == 0) {
            for (own, others) in node.params().iter().zip(other.params()) {
                owner[own.index()] = owner[others.index()];
            }
        }
    }
    let mut json: Value = serde_json::from_str(&graph.to_json()).unwrap();
    let used = |id: &usize| owner.contains(id);
    let left: Vec<usize> = (0..owner.len()).filter(used).collect();
    let new_id = |old: usize| left.iter().position(|id| *id == owner[old]).unwrap();
    for node in json["nodes"].as_array_mut().unwrap() {
        for id in node.get_mut("params").and_then(Value::as_array_mut).into_iter().flatten() {
            *id = new_id(usize::try_from(id.as_u64().unwrap()).unwrap()).into();
        }
    }
    let params = json["params"].as_array().unwrap();
    json["params"] = left.iter().map(|id| params[*id].clone()).collect();
    Graph::from_json(&json.to_string()).unwrap()
}

/// Weights of middling size, positive variances.
#[expect(clippy::cast_possible_truncation, reason = "any number will do")]
pub(crate) fn model(graph: Graph, seed: u64) -> Model {
    let preprocess = Preprocess { input_size: SIZE, ..Preprocess::imagenet() };
    let model = Model::random(graph, seed, preprocess, Vec::new()).unwrap();
    let mut tensors = model.tensors().to_vec();
    for (p, (spec, tensor)) in model.graph().params().iter().zip(&mut tensors).enumerate() {
        let fan_in = (tensor.data.len() / tensor.shape[0]) as f64;
        for (i, value) in tensor.data.iter_mut().enumerate() {
            let wave =
                ((i * i) as f64).mul_add(0.37, i as f64 * 1.7 + p as f64 + seed as f64).sin();
            *value = match spec.role {
                ParamRole::Weight => wave * (2.0 / fan_in).sqrt(),
                ParamRole::RunningVar => wave.abs() + 0.5,
                _ => wave + 0.01,
            } as f32;
        }
    }
    model.with_tensors(tensors).unwrap()
}

/// The logits of two images, with running statistics.
pub(crate) fn logits(model: &Model) -> Vec<f64> {
    let params = model.tensors().iter().map(|t| t.data.iter().copied().map(f64::from).collect());
    let params: Vec<Vec<f64>> = params.collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let nothing = vec![false; params.len()];
    let mut trainer = Trainer::new(model.graph(), "logits", &nothing, Reference).unwrap();
    let [h, w] = SIZE;
    let len = 2 * h * w * model.graph().input_channels();
    let images: Vec<f64> = (0..len).map(|i| ((i * i) as f64 * 0.61).sin() * 1.5).collect();
    trainer.forward(&params, &images, [2, h, w], 0).unwrap().to_vec()
}

/// Some units of every group that may lose some.
pub(crate) fn some(groups: &Groups, draw: &mut Draw) -> Cut {
    let mut units: Vec<UnitId> = Vec::new();
    for group in groups.groups().iter().filter(|group| group.protected.is_none()) {
        let stays = draw.below(group.n_units());
        let share = draw.below(4);
        let others = group.unit_ids().enumerate().filter(|(k, _)| *k != stays);
        units.extend(others.map(|(_, unit)| unit).filter(|_| draw.below(3) < share));
    }
    Cut::of(groups, units).unwrap()
}
