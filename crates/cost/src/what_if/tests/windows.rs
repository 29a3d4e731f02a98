//! Other strides, and pools in their place.
//!
//! Above: `cargo test`. Below: `windows`. Not here: sizes of maps (`taper-graph`).

use taper_graph::blocks::{Residual, ResidualKind};
use taper_graph::{Bias, Conv, Extent, Graph, GraphBuilder, PoolKind, Window};

use super::{FULL, STYLE, apply, id, refused};
use crate::what_if::Change;
use crate::{macs, of};

fn stride(node: &str, stride: usize) -> Change {
    Change::Stride { node: node.to_owned(), stride }
}

fn pool(node: &str, kind: PoolKind) -> Change {
    Change::Pool { node: node.to_owned(), kind: Some(kind) }
}

fn extent(graph: &Graph, name: &str, size: [usize; 2]) -> Extent {
    graph.extents(size[0], size[1]).unwrap()[id(graph, name).index()]
}

/// One block of stride 2.
fn residual(pools_shortcut: bool) -> Graph {
    let mut b = GraphBuilder::new(16).unwrap();
    let block = Residual { kind: ResidualKind::Basic, width: 32, stride: 2, pools_shortcut };
    let image = b.input();
    let xs = block.build(&mut b, "layer2.0", image, &STYLE).unwrap();
    b.output("features", xs).unwrap();
    b.build().unwrap()
}

#[test]
fn without_the_stems_stride_everything_behind_it_costs_four_times_as_much() {
    let graph = FULL.graph();
    let still = apply(&graph, &stride("conv_stem", 1)).unwrap();
    assert_eq!(extent(&still, "conv_stem", [64, 64]), Extent::Map { h: 64, w: 64, c: 32 });
    let (before, after) =
        (of(&graph, [64, 64]).unwrap().nodes, of(&still, [64, 64]).unwrap().nodes);
    for ((node, before), after) in graph.nodes().iter().zip(&before).zip(&after) {
        let times = if node.name() == "classifier" { 1 } else { 4 };
        assert_eq!(after.macs().0, times * before.macs().0);
    }
    assert_eq!(apply(&still, &stride("conv_stem", 2)).unwrap(), graph);
    assert_eq!(still.find_scope("blocks.1").unwrap().reduction(), 2);
}

#[test]
fn the_ways_through_a_block_move_together() {
    for pools_shortcut in [false, true] {
        let graph = residual(pools_shortcut);
        for to in [1, 2, 3] {
            let moved = apply(&graph, &stride("layer2.0.conv1", to)).unwrap();
            let expected = Extent::Map { h: 24 / to, w: 24 / to, c: 32 };
            assert_eq!(extent(&moved, "layer2.0.add", [24, 24]), expected, "{pools_shortcut}");
        }
    }
    let message = refused(&FULL.graph(), &stride("blocks.1.1.conv_dw", 2));
    assert!(
        message.starts_with(
            "the network cannot be changed to stride:blocks.1.1.conv_dw=2: inputs of add `blocks.1.1.add` do not fit"
        ),
        "{message}"
    );
}

/// No scope says which ways belong together.
#[test]
fn ways_that_meet_one_after_the_other_all_follow() {
    let graph = |stride: usize| {
        let mut b = GraphBuilder::new(3).unwrap();
        let image = b.input();
        let mut sum = b.conv("ways.0", image, Conv::dense(8, 1, stride), Bias::Without).unwrap();
        for n in 1..4 {
            let conv = Conv::dense(8, 3, stride);
            let way = b.conv(&format!("ways.{n}"), image, conv, Bias::Without).unwrap();
            sum = b.add(&format!("add.{n}"), sum, way).unwrap();
        }
        let other = b.conv("other", image, Conv::dense(8, 3, 2), Bias::Without).unwrap();
        let last = b.conv("last", sum, Conv::dense(8, 3, 2), Bias::Without).unwrap();
        b.output("one", last).unwrap();
        b.output("two", other).unwrap();
        b.build().unwrap()
    };
    for n in 0..4 {
        for to in [1, 3] {
            assert_eq!(apply(&graph(2), &stride(&format!("ways.{n}"), to)).unwrap(), graph(to));
        }
    }
}

#[test]
fn maps_of_one_row_move_along_the_width() {
    let mut b = GraphBuilder::new(2).unwrap();
    let conv = Conv { out: 8, window: Window::line(9, 4), groups: 1 };
    let xs = b.conv("conv", b.input(), conv, Bias::With).unwrap();
    b.output("features", xs).unwrap();
    let moved = apply(&b.build().unwrap(), &stride("conv", 2)).unwrap();
    assert_eq!(extent(&moved, "conv", [1, 64]), Extent::Map { h: 1, w: 32, c: 8 });
}

#[test]
fn a_pool_stands_behind_norm_and_activation_and_changes_no_size_behind_it() {
    let graph = FULL.graph();
    for kind in [PoolKind::Max, PoolKind::Avg] {
        let pooled = apply(&graph, &pool("conv_stem", kind)).unwrap();
        let node = pooled.node(id(&pooled, "conv_stem.pool"));
        assert_eq!(node.inputs(), [id(&pooled, "act1")]);
        for size in [[64, 64], [33, 47], [224, 160]] {
            let expected = extent(&graph, "act1", size);
            assert_eq!(extent(&pooled, "conv_stem.pool", size), expected);
            assert_eq!(extent(&pooled, "pool", size), extent(&graph, "pool", size));
        }
        // The stem's convolution alone costs more.
        let [before, after] = [&graph, &pooled].map(|graph| macs(graph, 64, 64).unwrap().0);
        assert_eq!(after - before, 3 * 32 * 32 * 32 * 27);
        assert_eq!(pooled.find_scope("stem").unwrap().reduction(), 2);
    }
    let block = apply(&residual(false), &pool("layer2.0.conv1", PoolKind::Max)).unwrap();
    for size in [[24, 24], [13, 7]] {
        let expected = extent(&residual(false), "layer2.0.add", size);
        assert_eq!(extent(&block, "layer2.0.add", size), expected);
    }
}

#[test]
fn what_has_no_stride_is_refused() {
    let graph = FULL.graph();
    assert_eq!(
        refused(&graph, &stride("act1", 2)),
        "`act1` (activation) has no stride; name a convolution or a pool"
    );
    let message = "`conv_head` (conv) has no stride that a pool could replace; name a convolution with a stride of 2 or more";
    assert_eq!(refused(&graph, &pool("conv_head", PoolKind::Max)), message);
    assert!(refused(&graph, &stride("conv_stem", 0)).contains("stride of `conv_stem` is 0"));
    assert!(refused(&graph, &stride("conv_stem", usize::MAX)).contains("stride of `conv_stem`"));
}
