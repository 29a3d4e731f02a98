//! What holds for every change of every small network.
//!
//! Above: `cargo test`. Below: `what_if`. Not here: networks built by hand (`tests`).

use proptest::prelude::*;
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PoolKind, Window};

use super::{apply, channels, id};
use crate::what_if::{Change, removable};
use crate::{Error, macs, of, params};

/// Layers that fit; numbers pick them. Stride 1 everywhere unless `strided`.
fn network(picks: &[(u8, usize)], strided: bool) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let mut xs = b.conv("stem", b.input(), Conv::dense(24, 3, 1), Bias::Without).unwrap();
    for (n, &(kind, m)) in picks.iter().enumerate() {
        let name = format!("layers.{n}");
        let at = |part: &str| format!("{name}.{part}");
        let c = b.channels(xs);
        let one = |b: &mut GraphBuilder, op| b.push(&name, op, &[xs], Bias::Without).unwrap();
        let grouped = |groups| Conv { groups, ..Conv::dense(8 * m, 1, 1) };
        xs = match kind {
            0 => one(&mut b, Op::Conv(Conv::dense(8 * m, 3, 1 + usize::from(strided)))),
            1 => one(&mut b, Op::Conv(Conv::depthwise(c, 3, 1))),
            2 => one(&mut b, Op::Conv(grouped(4))),
            3 => one(&mut b, Op::BatchNorm { eps: 1e-5, momentum: Some(0.1) }),
            4 => one(&mut b, Op::Activation(Activation::PRelu)),
            5 => one(&mut b, Op::GroupNorm { groups: 4, eps: 1e-3 }),
            6 => one(&mut b, Op::Shuffle { groups: 2 }),
            7 => {
                let inner = Conv { groups: 2, ..Conv::dense(c, 1, 1) };
                let ys = b.conv(&at("conv"), xs, inner, Bias::With).unwrap();
                b.add(&at("add"), ys, xs).unwrap()
            }
            8 => {
                let slice = |start, len| Op::Slice { start, len };
                let (left, right) = (slice(0, c / 4), slice(c / 4, c - c / 4));
                let left = b.push(&at("left"), left, &[xs], Bias::Without).unwrap();
                let right = b.push(&at("right"), right, &[xs], Bias::Without).unwrap();
                let right =
                    b.conv(&at("pw"), right, Conv::pointwise(8 * m), Bias::Without).unwrap();
                b.concat(&at("both"), &[right, left, left, left, left]).unwrap()
            }
            _ => {
                let gate = b.global_pool(&at("pool"), xs, PoolKind::Avg, false).unwrap();
                let gate = b.conv(&at("squeeze"), gate, Conv::pointwise(8), Bias::With).unwrap();
                let gate = b.conv(&at("excite"), gate, Conv::pointwise(c), Bias::With).unwrap();
                b.mul(&at("mul"), xs, gate).unwrap()
            }
        };
    }
    b.output("features", xs).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Max, true).unwrap();
    let xs = b.linear("classifier", xs, 10, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

fn picks() -> impl Strategy<Value = Vec<(u8, usize)>> {
    proptest::collection::vec((0u8..10, 1usize..8), 0..10)
}

/// Per node of the new graph that the old one has too: channels before and after.
fn pairs(old: &Graph, new: &Graph) -> Vec<[usize; 2]> {
    assert_eq!(old.nodes().len(), new.nodes().len());
    old.channels()
        .unwrap()
        .into_iter()
        .zip(new.channels().unwrap())
        .map(<[usize; 2]>::from)
        .collect()
}

proptest! {
    #[test]
    fn every_width_fits_together_and_shrinks_or_grows_all_layers(
        picks in picks(), factor in 0.1f64..4.0,
    ) {
        let graph = network(&picks, false);
        let wide = apply(&graph, &Change::Width(factor)).unwrap();
        wide.extents(16, 16).unwrap();
        prop_assert_eq!((channels(&wide, "input"), channels(&wide, "classifier")), (3, 10));
        for [before, after] in pairs(&graph, &wide) {
            prop_assert!((factor < 1.0 && after <= before) || (factor >= 1.0 && after >= before));
        }
        let [before, after] = [&graph, &wide].map(|graph| macs(graph, 16, 16).unwrap());
        prop_assert!((factor < 1.0 && after <= before) || (factor >= 1.0 && after >= before));
        let names = |graph: &Graph| graph.params().iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        prop_assert_eq!(names(&wide), names(&graph));
    }

    #[test]
    fn twice_as_wide_has_at_least_twice_the_channels_everywhere_inside(picks in picks()) {
        let graph = network(&picks, false);
        let twice = apply(&graph, &Change::Width(2.0)).unwrap();
        for ([before, after], node) in pairs(&graph, &twice).into_iter().zip(graph.nodes()) {
            let stays = ["input", "classifier"].contains(&node.name());
            prop_assert!(after >= if stays { before } else { 2 * before }, "{}", node.name());
        }
        prop_assert_eq!(apply(&graph, &Change::Width(1.0)).unwrap(), graph);
    }

    #[test]
    fn a_layer_gets_the_filters_asked_for_or_a_reason(picks in picks(), filters in 1usize..100) {
        let graph = network(&picks, false);
        for node in graph.nodes() {
            let change = Change::Filters { node: node.name().to_owned(), filters };
            match apply(&graph, &change) {
                Ok(changed) => {
                    prop_assert_eq!(channels(&changed, node.name()), filters);
                    changed.extents(16, 16).unwrap();
                }
                Err(Error::FilterGroups { step, .. }) => {
                    prop_assert!(filters % step != 0);
                    let change = Change::Filters { node: node.name().to_owned(), filters: step * 3 };
                    let changed = apply(&graph, &change).unwrap();
                    prop_assert_eq!(channels(&changed, node.name()), step * 3);
                }
                Err(error) => prop_assert!(matches!(error, Error::NoFilters { .. }), "{}", error),
            }
        }
    }

    /// Of networks without strides: convolutions count per position, what works on the mean and the classifier once.
    #[test]
    fn twice_the_side_is_four_times_the_work_of_every_convolution(picks in picks(), side in 4usize..20) {
        let graph = network(&picks, false);
        let [small, large] = [side, 2 * side].map(|side| of(&graph, [side, side]).unwrap().nodes);
        for ((node, small), large) in graph.nodes().iter().zip(&small).zip(&large) {
            let name = node.name();
            let once = ["squeeze", "excite", "classifier"].iter().any(|end| name.ends_with(end));
            prop_assert_eq!(large.macs().0, if once { 1 } else { 4 } * small.macs().0, "{}", name);
        }
    }

    #[test]
    fn what_is_left_out_is_what_is_saved(picks in picks(), strided in any::<bool>()) {
        let graph = network(&picks, strided);
        let costs = of(&graph, [33, 17]).unwrap().nodes;
        for part in removable(&graph, [33, 17]).unwrap() {
            let gone = |id: &NodeId| part.graph.find_node(graph.node(*id).name()).is_none();
            let gone: Vec<NodeId> = graph.node_ids().filter(gone).collect();
            prop_assert!(gone.contains(&id(&graph, &part.name)));
            let saved: u64 = gone.iter().map(|id| costs[id.index()].macs().0).sum();
            let saved_params: u64 = gone.iter().map(|id| costs[id.index()].params.0).sum();
            let left = macs(&part.graph, 33, 17).unwrap();
            prop_assert_eq!(macs(&graph, 33, 17).unwrap().0 - left.0, saved);
            prop_assert_eq!(params(&graph).0 - params(&part.graph).0, saved_params);
        }
    }

    #[test]
    fn a_pool_makes_the_map_that_the_stride_made(
        kernel_size in 1usize..8, stride in 2usize..5, padding in 0usize..4, size in [8usize..40, 8usize..40],
    ) {
        let window = Window { padding: taper_graph::Padding::symmetric(padding), ..Window::square(kernel_size, stride) };
        let mut b = GraphBuilder::new(3).unwrap();
        let xs = b.conv("conv", b.input(), Conv { out: 8, window, groups: 1 }, Bias::With).unwrap();
        b.output("features", xs).unwrap();
        let graph = b.build().unwrap();
        let change = Change::Pool { node: "conv".to_owned(), kind: Some(PoolKind::Max) };
        let pooled = apply(&graph, &change).unwrap();
        let [before, after] = [&graph, &pooled].map(|graph| {
            let extents = graph.extents(size[0], size[1]).unwrap();
            extents[graph.output("features").unwrap().index()]
        });
        prop_assert_eq!(before, after);
    }
}
