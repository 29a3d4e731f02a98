//! Changed networks against the same networks built by hand.
//!
//! Above: `cargo test`. Below: `what_if`. Not here: whole families (`tests/house`).

mod property;
mod sweep;
mod width;
mod windows;

use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Style};
use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, PoolKind, Result, ScopeKind,
};

use super::{Change, RemovablePart, apply, removable};
use crate::{Error, macs, of, params};

const STYLE: Style =
    Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// What the networks of these tests differ in.
#[derive(Clone, Copy)]
struct Small {
    stem: usize,
    /// Output channels of the two stages.
    stages: [usize; 2],
    /// Inside of the blocks of the second stage, the first of which is entered by the first stage's channels.
    expanded: [usize; 2],
    /// Blocks of the second stage.
    blocks: usize,
    head: usize,
    classes: usize,
}

const FULL: Small =
    Small { stem: 32, stages: [16, 32], expanded: [96, 192], blocks: 3, head: 128, classes: 10 };

impl Small {
    /// Stem with stride 2, a stage of one separable block, one of inverted residuals (the first with stride 2), head, classifier.
    fn graph(&self) -> Graph {
        self.build().unwrap()
    }

    fn build(&self) -> Result<Graph> {
        let mut b = GraphBuilder::new(3)?;
        let layer = |b: &mut GraphBuilder, names: [&str; 3], xs, conv| {
            let xs = b.conv(names[0], xs, conv, Bias::Without)?;
            let xs = b.batch_norm(names[1], xs, 1e-5, 0.1)?;
            b.activation(names[2], xs, Activation::Relu6)
        };
        let image = b.input();
        let stem = ["conv_stem", "bn1", "act1"];
        let xs = b.scope(ScopeKind::Stem, "stem", |b| {
            layer(b, stem, image, Conv::dense(self.stem, 3, 2))
        })?;
        let xs = b.scope(ScopeKind::Stage, "blocks.0", |b| {
            let block = DepthwiseSeparable { out: self.stages[0], kernel_size: 3, stride: 1 };
            block.build(b, "blocks.0.0", xs, &STYLE)
        })?;
        let xs = b.scope(ScopeKind::Stage, "blocks.1", |b| {
            (0..self.blocks).try_fold(xs, |xs, n| {
                let (expanded, stride) = (self.expanded[n.min(1)], if n == 0 { 2 } else { 1 });
                let out = self.stages[1];
                let block = InvertedResidual { expanded, out, kernel_size: 3, stride };
                block.build(b, &format!("blocks.1.{n}"), xs, &STYLE)
            })
        })?;
        let xs = layer(&mut b, ["conv_head", "bn2", "act2"], xs, Conv::pointwise(self.head))?;
        let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
        let xs = b.linear("classifier", xs, self.classes, Bias::With)?;
        b.output("logits", xs)?;
        b.build()
    }
}

fn id(graph: &Graph, name: &str) -> NodeId {
    graph.find_node(name).unwrap()
}

fn channels(graph: &Graph, name: &str) -> usize {
    graph.channels().unwrap()[id(graph, name).index()]
}

/// The message of a refusal, and of its cause.
fn refused(graph: &Graph, change: &Change) -> String {
    let error = apply(graph, change).unwrap_err();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn other_classes_are_another_last_layer() {
    let six = apply(&FULL.graph(), &Change::Head(6)).unwrap();
    assert_eq!(six, Small { classes: 6, ..FULL }.graph());
}

#[test]
fn classifiers_that_are_averaged_have_as_many_classes() {
    let graph = |classes| -> Result<Graph> {
        let mut b = GraphBuilder::new(3)?;
        let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
        let [first, second] =
            ["first", "second"].map(|name| b.linear(name, xs, classes, Bias::With));
        let sum = b.add("sum", first?, second?)?;
        let mean = b.scale("mean", sum, 0.5)?;
        b.output("logits", mean)?;
        b.build()
    };
    assert_eq!(apply(&graph(1000).unwrap(), &Change::Head(7)).unwrap(), graph(7).unwrap());
}

#[test]
fn a_network_without_logits_has_no_classes() {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With).unwrap();
    b.output("features", xs).unwrap();
    assert_eq!(
        refused(&b.build().unwrap(), &Change::Head(6)),
        "the network cannot be changed to classes=6: the network has no output `logits`; it has features"
    );
}

#[test]
fn stages_get_as_many_blocks_as_the_factor_says() {
    let with = |blocks| Small { blocks, ..FULL }.graph();
    for (factor, blocks) in [(2.0, 6), (1.0, 3), (0.7, 2), (0.5, 2), (0.1, 1), (1.5, 4)] {
        let changed = apply(&with(3), &Change::Depth(factor)).unwrap();
        // The one block of the first stage changes the channels: it stays alone.
        assert_eq!(changed, with(blocks), "{factor}");
    }
}

#[test]
fn blocks_outside_of_stages_are_counted_from_one_that_changes_something_to_the_next() {
    let graph = |blocks: [usize; 2]| -> Result<Graph> {
        let mut b = GraphBuilder::new(3)?;
        let (mut xs, mut n) = (b.input(), 0);
        for (out, blocks) in [8, 16].into_iter().zip(blocks) {
            for _ in 0..blocks {
                let name = format!("features.{n}");
                xs = b.scope(ScopeKind::Block, &name, |b| {
                    b.conv(&format!("{name}.conv"), xs, Conv::dense(out, 3, 1), Bias::With)
                })?;
                n += 1;
            }
        }
        b.output("features", xs)?;
        b.build()
    };
    let short = apply(&graph([4, 2]).unwrap(), &Change::Depth(0.5)).unwrap();
    let left: Vec<&str> = short.nodes().iter().map(taper_graph::Node::name).collect();
    assert_eq!(left, ["input", "features.0.conv", "features.1.conv", "features.4.conv"]);
    let same = |graph: &Graph| (params(graph), macs(graph, 8, 8).unwrap());
    assert_eq!(same(&short), same(&graph([2, 1]).unwrap()));
}

#[test]
fn without_blocks_there_is_no_depth() {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With).unwrap();
    b.output("features", xs).unwrap();
    let graph = b.build().unwrap();
    assert!(matches!(apply(&graph, &Change::Depth(2.0)), Err(Error::NoBlocks)));
    assert_eq!(apply(&graph, &Change::Depth(1.0)).unwrap(), graph);
}

#[test]
fn factors_are_numbers_in_reason() {
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        for change in [Change::Width(factor), Change::Depth(factor)] {
            assert!(matches!(apply(&FULL.graph(), &change), Err(Error::Factor { .. })), "{change}");
        }
    }
    assert_eq!(
        refused(&FULL.graph(), &Change::Width(-1.0)),
        "width is -1, it must be from 0.01 to 100"
    );
}

#[test]
fn an_unknown_layer_is_named_with_the_nearest() {
    let change = Change::Stride { node: "convstem".to_owned(), stride: 1 };
    assert_eq!(
        refused(&FULL.graph(), &change),
        "the network has no layer `convstem`; the nearest name is `conv_stem`"
    );
    let change = Change::Pool { node: "stem".to_owned(), kind: None };
    assert!(matches!(apply(&FULL.graph(), &change), Err(Error::UnknownLayer { .. })));
}

#[test]
fn what_is_no_part_of_the_network_leaves_it() {
    let graph = FULL.graph();
    let pool = Change::Pool { node: "conv_stem".to_owned(), kind: None };
    for change in [Change::ImageSize([96, 64]), Change::Batch(8), Change::Threads(2), pool] {
        assert_eq!(apply(&graph, &change).unwrap(), graph, "{change}");
    }
}

#[test]
fn what_can_be_left_out_saves_what_it_cost() {
    let graph = FULL.graph();
    let size @ [h, w] = [64, 48];
    let parts: Vec<_> = removable(&graph, size).unwrap().collect();
    let names: Vec<(&str, RemovablePart)> =
        parts.iter().map(|part| (&*part.name, part.part)).collect();
    let (block, layer) = (RemovablePart::Block, RemovablePart::Layer);
    assert_eq!(
        names,
        [
            ("blocks.1.1", block),
            ("blocks.1.2", block),
            ("blocks.0.0.conv_dw", layer),
            ("blocks.1.1.conv_dw", layer),
            ("blocks.1.2.conv_dw", layer),
        ]
    );
    let costs = of(&graph, [h, w]).unwrap().nodes;
    for part in parts {
        let left = |id: &NodeId| part.graph.find_node(graph.node(*id).name()).is_some();
        let gone: Vec<NodeId> = graph.node_ids().filter(|id| !left(id)).collect();
        assert!(!gone.is_empty());
        let saved = gone.iter().map(|id| costs[id.index()]);
        let (saved_macs, saved_params) =
            saved.fold((0, 0), |sum, cost| (sum.0 + cost.macs().0, sum.1 + cost.params.0));
        assert_eq!(macs(&graph, h, w).unwrap().0 - macs(&part.graph, h, w).unwrap().0, saved_macs);
        assert_eq!(params(&graph).0 - params(&part.graph).0, saved_params);
    }
    // By hand: 1x1 to 192, depthwise 3x3, 1x1 to 32, at a quarter of 64x48.
    let without = removable(&graph, size).unwrap().next().unwrap().graph;
    let saved = macs(&graph, h, w).unwrap().0 - macs(&without, h, w).unwrap().0;
    assert_eq!(saved, 16 * 12 * (32 * 192 + 9 * 192 + 192 * 32));
    assert!(matches!(removable(&graph, [0, 0]).err(), Some(Error::Size { .. })));
}
