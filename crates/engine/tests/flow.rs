//! `Op::flow` against numbers: which output channels move when one channel of an input does.
//!
//! Above: `cargo test`. Below: `taper_engine`'s executor on the reference device. Not here: channel counts (`taper-graph`).
#![expect(clippy::unwrap_used, reason = "a test says where it fails by failing there")]

use std::collections::BTreeSet;

use taper_engine::{Reference, Trainer};
use taper_graph::{
    Activation, Bias, Conv, Extent, Flow, Graph, GraphBuilder, NodeId, Op, PadMode, ParamRole,
    PoolKind, ResizeMode, ResizeTo, Window,
};

const SIZE: [usize; 2] = [5, 6];

/// What an input of the operation is.
#[derive(Clone, Copy, Debug)]
enum Input {
    Map(usize),
    /// A map of one position.
    Gate(usize),
    Vector(usize),
}

impl Input {
    fn channels(self) -> usize {
        match self {
            Self::Map(c) | Self::Gate(c) | Self::Vector(c) => c,
        }
    }

    fn build(self, b: &mut GraphBuilder, name: &str, start: usize) -> NodeId {
        let slice = Op::Slice { start, len: self.channels() };
        let xs = b.push(name, slice, &[b.input()], Bias::Without).unwrap();
        let pool = format!("{name}.pool");
        match self {
            Self::Map(_) => xs,
            Self::Gate(_) => b.global_pool(&pool, xs, PoolKind::Avg, false).unwrap(),
            Self::Vector(_) => b.global_pool(&pool, xs, PoolKind::Avg, true).unwrap(),
        }
    }
}

/// Every operation has a number; one that is new does not compile here, and then has no case.
fn number(op: &Op) -> usize {
    match op {
        Op::Input { .. } => 0,
        Op::Conv(_) => 1,
        Op::ConvTranspose { .. } => 2,
        Op::Linear { .. } => 3,
        Op::BatchNorm { .. } => 4,
        Op::GroupNorm { .. } => 5,
        Op::LayerNorm { .. } => 6,
        Op::ChannelScale => 7,
        Op::Activation(_) => 8,
        Op::Pool { .. } => 9,
        Op::LpPool { .. } => 10,
        Op::BlurPool { .. } => 11,
        Op::AdaptivePool { .. } => 12,
        Op::GlobalPool { .. } => 13,
        Op::Add => 14,
        Op::Mul => 15,
        Op::Scale { .. } => 16,
        Op::Concat => 17,
        Op::Slice { .. } => 18,
        Op::Shuffle { .. } => 19,
        Op::Flatten => 20,
        Op::Pad { .. } => 21,
        Op::Resize { .. } => 22,
        Op::Attention { .. } => 23,
        Op::Dropout { .. } => 24,
        Op::DropPath { .. } => 25,
    }
}

const OPERATIONS: usize = 26;

fn cases() -> Vec<(Op, Vec<Input>)> {
    use Input::{Gate, Map, Vector};
    let window = Window::square(3, 1);
    let strided = Window::square(3, 2);
    let conv = |out, groups| Conv { out, window, groups };
    let transposed = |out, groups| {
        let conv = Conv { out, window: strided, groups };
        Op::ConvTranspose { conv, output_padding: [1, 0] }
    };
    let norm = Op::BatchNorm { eps: 1e-3, momentum: Some(0.1) };
    let resize = |out| Op::Resize { out, mode: ResizeMode::Bicubic };
    let attention = |heads, kv_heads| Op::Attention { heads, kv_heads, scale: 0.7 };
    let mut cases = vec![
        (Op::Conv(conv(5, 1)), vec![Map(4)]),
        (Op::Conv(conv(6, 2)), vec![Map(4)]),
        (Op::Conv(conv(9, 3)), vec![Map(6)]),
        (Op::Conv(conv(4, 4)), vec![Map(4)]),
        (Op::Conv(conv(12, 4)), vec![Map(4)]),
        (Op::Conv(conv(3, 1)), vec![Map(1)]),
        (transposed(5, 1), vec![Map(4)]),
        (transposed(4, 4), vec![Map(4)]),
        (transposed(6, 2), vec![Map(4)]),
        (Op::Linear { out: 3 }, vec![Vector(4)]),
        (norm.clone(), vec![Map(4)]),
        (norm, vec![Vector(4)]),
        (Op::GroupNorm { groups: 2, eps: 1e-3 }, vec![Map(6)]),
        (Op::GroupNorm { groups: 1, eps: 1e-3 }, vec![Map(4)]),
        (Op::LayerNorm { eps: 1e-3 }, vec![Map(4)]),
        (Op::LayerNorm { eps: 1e-3 }, vec![Vector(4)]),
        (Op::ChannelScale, vec![Map(4)]),
        (Op::LpPool { p: 2.0, window: strided, ceil: false }, vec![Map(4)]),
        (Op::BlurPool { window: strided }, vec![Map(4)]),
        (Op::Add, vec![Map(4), Map(4)]),
        (Op::Mul, vec![Map(4), Map(4)]),
        (Op::Mul, vec![Map(4), Gate(4)]),
        (Op::Scale { factor: -0.5 }, vec![Map(4)]),
        (Op::Concat, vec![Map(3), Map(1), Map(4)]),
        (Op::Concat, vec![Vector(3), Vector(2)]),
        (Op::Slice { start: 0, len: 2 }, vec![Map(5)]),
        (Op::Slice { start: 2, len: 3 }, vec![Map(5)]),
        (Op::Shuffle { groups: 2 }, vec![Map(6)]),
        (Op::Shuffle { groups: 3 }, vec![Map(6)]),
        (Op::Shuffle { groups: 6 }, vec![Map(6)]),
        (Op::Pad { sides: [1, 0, 2, 1], mode: PadMode::Reflect }, vec![Map(4)]),
        (resize(ResizeTo::Size([7, 4])), vec![Map(4)]),
        (resize(ResizeTo::Factor([1.5, 0.5])), vec![Map(4)]),
        (resize(ResizeTo::Like), vec![Map(4), Gate(3)]),
        (attention(2, 2), vec![Map(4), Map(4), Map(6)]),
        (attention(4, 2), vec![Map(8), Map(4), Map(6)]),
        (attention(3, 1), vec![Map(6), Map(2), Map(3)]),
        (Op::Dropout { p: 0.5 }, vec![Map(4)]),
        (Op::DropPath { p: 0.5 }, vec![Map(4)]),
    ];
    for kind in [PoolKind::Max, PoolKind::Avg, PoolKind::AvgWithoutPadding] {
        cases.push((Op::Pool { kind, window: strided, ceil: true }, vec![Map(4)]));
        for at_least in [false, true] {
            cases.push((Op::AdaptivePool { kind, out: [3, 8], at_least }, vec![Map(4)]));
        }
        for squeeze in [false, true] {
            cases.push((Op::GlobalPool { kind, squeeze }, vec![Map(4)]));
        }
    }
    for activation in [Activation::Relu, Activation::Silu, Activation::PRelu] {
        cases.push((Op::Activation(activation), vec![Map(4)]));
    }
    cases
}

fn values(seed: usize, len: usize) -> Vec<f64> {
    (0..len).map(|i| (((i * i) as f64).mul_add(0.37, i as f64 * 1.7) + seed as f64).sin()).collect()
}

/// The operation on slices of the image, one for each input; and the output it becomes.
fn network(op: &Op, inputs: &[Input]) -> (Graph, NodeId, Vec<NodeId>) {
    let all: usize = inputs.iter().map(|input| input.channels()).sum();
    let mut b = GraphBuilder::new(all).unwrap();
    let (mut start, mut nodes) = (0, Vec::new());
    for (i, input) in inputs.iter().enumerate() {
        nodes.push(input.build(&mut b, &format!("x{i}"), start));
        start += input.channels();
    }
    if *op == Op::Flatten {
        // The size of the map must follow from the network alone.
        let pool = Op::AdaptivePool { kind: PoolKind::Avg, out: [2, 3], at_least: false };
        nodes[0] = b.push("fixed", pool, &nodes[..1], Bias::Without).unwrap();
    }
    let ys = b.push("op", op.clone(), &nodes, Bias::Without).unwrap();
    b.output("y", ys).unwrap();
    (b.build().unwrap(), ys, nodes)
}

/// The channels of the output that move with channel `channel` of the image.
fn moved(graph: &Graph, ys: Extent, channel: usize) -> BTreeSet<usize> {
    let params = graph.params().iter().enumerate().map(|(i, spec)| {
        let drawn = values(i + 1, spec.len());
        let positive = spec.role == ParamRole::RunningVar;
        drawn.into_iter().map(|v| if positive { v.abs() + 0.5 } else { v + 0.01 }).collect()
    });
    let params: Vec<Vec<f64>> = params.collect();
    let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
    let trained = vec![false; params.len()];
    let mut trainer = Trainer::new(graph, "y", &trained, Reference).unwrap();
    let (all, [h, w]) = (graph.input_channels(), SIZE);
    let mut image = values(0, h * w * all);
    let mut run = |image: &[f64]| trainer.forward(&params, image, [1, h, w], 0).unwrap().to_vec();
    let before = run(&image);
    for (i, x) in image.iter_mut().enumerate() {
        *x += if i % all == channel { ((i + 3) as f64 * 0.9).cos().abs() + 0.2 } else { 0.0 };
    }
    let after = run(&image);
    let channel_of = |i: usize| i % ys.channels();
    let differs = |i: &usize| (before[*i] - after[*i]).abs() > 1e-9;
    (0..before.len()).filter(differs).map(channel_of).collect()
}

/// What a flow says of channel `i` of `xs` of input number `input`; `None` where it says nothing.
fn described(flow: Flow, input: usize, i: usize, xs: usize, ys: usize) -> Option<BTreeSet<usize>> {
    let part = |all: usize, parts: usize, part: usize| {
        let len = all / parts;
        part * len..(part + 1) * len
    };
    Some(match flow {
        Flow::Same => BTreeSet::from([i]),
        Flow::Mixes { groups } | Flow::Normalizes { groups } => {
            part(ys, groups, i / (xs / groups)).collect()
        }
        Flow::Shifted { by } => {
            let at = i.checked_add_signed(by).filter(|at| *at < ys);
            at.into_iter().collect()
        }
        Flow::Shuffled { groups } => {
            let each = xs / groups;
            BTreeSet::from([i % each * groups + i / each])
        }
        Flow::Repeated { block } => (i * block..(i + 1) * block).collect(),
        Flow::Heads { heads, kv_heads } => {
            let own = if input == 0 { heads } else { kv_heads };
            let head = i / (xs / own);
            let readers = (0..heads).filter(|h| h * own / heads == head);
            readers.flat_map(|h| part(ys, heads, h)).collect()
        }
        Flow::Nothing => BTreeSet::new(),
        Flow::Opaque => return None,
    })
}

#[test]
fn the_channels_that_move_are_those_that_flow_says() {
    let mut seen = BTreeSet::from([number(&Op::Input { channels: 1 })]);
    let mut all = cases();
    all.push((Op::Flatten, vec![Input::Map(3)]));
    for (op, inputs) in all {
        seen.insert(number(&op));
        let (graph, ys, nodes) = network(&op, &inputs);
        let extents = graph.extents(SIZE[0], SIZE[1]).unwrap();
        let shapes: Vec<Extent> = nodes.iter().map(|id| extents[id.index()]).collect();
        let (out, mut before) = (extents[ys.index()], 0);
        for (input, xs) in inputs.iter().enumerate() {
            let flow = op.flow(input, &shapes);
            for i in 0..xs.channels() {
                let mut moved = moved(&graph, out, before + i);
                let what = format!("{op:?}, {inputs:?}: channel {i} of input {input}, {flow:?}");
                let expected = described(flow, input, i, xs.channels(), out.channels());
                if let Flow::Heads { heads, .. } = flow {
                    // A flow names whole heads; a value moves one channel of each.
                    let len = out.channels() / heads;
                    moved =
                        moved.iter().flat_map(|at| at / len * len..(at / len + 1) * len).collect();
                }
                match expected {
                    Some(expected) => assert_eq!(moved, expected, "{what}"),
                    // What is opaque moves something, and more than its own channel.
                    None => assert!(moved.len() > 1, "{what}"),
                }
            }
            before += xs.channels();
        }
    }
    assert_eq!(seen, (0..OPERATIONS).collect(), "operations without a case");
}
