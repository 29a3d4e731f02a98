//! Units of small networks, worked out by hand.

use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PoolKind, Window};

use crate::{Error, Groups, Protect, Protected, UnitId};

fn groups(graph: &Graph) -> Groups {
    Groups::of(graph, &Protect::default()).unwrap()
}

/// The network of `f` between a convolution of `channels` channels and a classifier.
fn between(channels: usize, f: impl FnOnce(&mut GraphBuilder, NodeId) -> NodeId) -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("stem", b.input(), Conv::dense(channels, 3, 1), Bias::With).unwrap();
    let ys = f(&mut b, xs);
    let pooled = b.global_pool("pool", ys, PoolKind::Avg, true).unwrap();
    let logits = b.linear("classifier", pooled, 2, Bias::With).unwrap();
    b.output("logits", logits).unwrap();
    b.build().unwrap()
}

/// Units of a node's channels, numbered from the first new one.
fn units(groups: &Groups, node: &str) -> Vec<u32> {
    let ids = groups.of_node(groups.graph().find_node(node).unwrap());
    let mut seen: Vec<UnitId> = Vec::new();
    let number = |id: &UnitId| {
        let place = seen.iter().position(|other| other == id).unwrap_or_else(|| {
            seen.push(*id);
            seen.len() - 1
        });
        u32::try_from(place).unwrap()
    };
    ids.iter().map(number).collect()
}

fn protected<'a>(groups: &'a Groups, node: &str) -> Option<&'a Protected> {
    let unit = groups.of_node(groups.graph().find_node(node).unwrap())[0];
    groups.groups()[groups.group_of(unit).unwrap()].protected.as_ref()
}

#[test]
fn every_element_has_one_unit_and_every_unit_one_group() {
    let graph = between(8, |b, xs| {
        let a = b.conv("a", xs, Conv::pointwise(4), Bias::With).unwrap();
        b.concat("cat", &[a, xs]).unwrap()
    });
    let groups = groups(&graph);
    let mut next = 0;
    for (i, group) in groups.groups().iter().enumerate() {
        assert_eq!(group.units.start, next);
        next = group.units.end;
        assert!(group.unit_ids().all(|unit| groups.group_of(unit) == Some(i)));
        for member in &group.members {
            let units = groups.of_axis(member.param, member.axis).unwrap();
            assert_eq!(member.indices.len(), group.n_units() * member.per_unit);
            for (k, unit) in group.unit_ids().enumerate() {
                assert!(member.of_unit(k).iter().all(|index| units[*index as usize] == unit));
            }
        }
    }
    assert_eq!(next, groups.n_units());
    let weight = graph.param_id("classifier.weight").unwrap();
    assert_eq!(groups.of_axis(weight, 1), Some(groups.of_node(graph.find_node("pool").unwrap())));
    assert_eq!(groups.of_axis(graph.param_id("stem.weight").unwrap(), 2), None);
}

#[test]
fn filters_of_a_gray_image_go_one_by_one() {
    let mut b = GraphBuilder::new(1).unwrap();
    let xs = b.conv("stem", b.input(), Conv::dense(6, 5, 1), Bias::With).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("classifier", xs, 2, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    let groups = groups(&b.build().unwrap());
    assert_eq!(units(&groups, "stem"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(protected(&groups, "stem"), None);
}

#[test]
fn a_depthwise_convolution_with_a_multiplier_goes_with_its_input() {
    let graph = between(3, |b, xs| {
        let conv = Conv { groups: 3, ..Conv::dense(6, 3, 1) };
        b.conv("dw", xs, conv, Bias::With).unwrap()
    });
    let groups = groups(&graph);
    assert_eq!(units(&groups, "dw"), [0, 0, 1, 1, 2, 2]);
    assert_eq!(units(&groups, "stem"), [0, 1, 2]);
    let weight = graph.param_id("dw.weight").unwrap();
    let stem = groups.of_node(graph.find_node("stem").unwrap());
    assert_eq!(groups.of_axis(weight, 0).unwrap()[2], stem[1]);
}

#[test]
fn groups_of_a_convolution_go_whole() {
    let graph = between(6, |b, xs| {
        b.conv("grouped", xs, Conv { groups: 3, ..Conv::dense(9, 3, 1) }, Bias::With).unwrap()
    });
    let groups = groups(&graph);
    assert_eq!(units(&groups, "stem"), [0, 0, 1, 1, 2, 2]);
    assert_eq!(units(&groups, "grouped"), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    let within = groups.of_axis(graph.param_id("grouped.weight").unwrap(), 1).unwrap();
    let group = &groups.groups()[groups.group_of(within[0]).unwrap()];
    assert_eq!(group.protected, Some(Protected::WithinGroups { node: "grouped".to_owned() }));
}

#[test]
fn a_shuffle_loses_the_same_of_each_part() {
    let shuffle = |b: &mut GraphBuilder, xs| {
        b.push("shuffle", Op::Shuffle { groups: 2 }, &[xs], Bias::Without).unwrap()
    };
    let groups = groups(&between(6, shuffle));
    assert_eq!(units(&groups, "stem"), [0, 1, 2, 0, 1, 2]);
    assert_eq!(units(&groups, "shuffle"), [0, 0, 1, 1, 2, 2]);
    // Behind a convolution in as many groups everything hangs together.
    let graph = between(6, |b, xs| {
        let ys = b.conv("grouped", xs, Conv { groups: 2, ..Conv::dense(6, 1, 1) }, Bias::With);
        shuffle(b, ys.unwrap())
    });
    assert_eq!(protected(&super::tests::groups(&graph), "stem"), Some(&Protected::Indivisible));
}

#[test]
fn slices_share_the_units_of_what_they_are_cut_from() {
    let graph = between(6, |b, xs| {
        let slice = Op::Slice { start: 2, len: 3 };
        let slice = b.push("slice", slice, &[xs], Bias::Without).unwrap();
        b.conv("last", slice, Conv::pointwise(4), Bias::With).unwrap()
    });
    let groups = groups(&graph);
    let [stem, slice] =
        ["stem", "slice"].map(|name| groups.of_node(graph.find_node(name).unwrap()));
    assert_eq!(&stem[2..5], slice);
    let group = |unit: UnitId| groups.group_of(unit);
    assert_eq!(group(stem[0]), group(stem[5]));
    assert_ne!(group(stem[0]), group(stem[2]));
}

fn attention(heads: usize, kv_heads: usize) -> Graph {
    between(8, |b, xs| {
        let mut part =
            |name: &str, out| b.conv(name, xs, Conv::pointwise(out), Bias::With).unwrap();
        let (q, k) = (part("q", 2 * heads), part("k", 2 * kv_heads));
        let v = part("v", 3 * kv_heads);
        let op = Op::Attention { heads, kv_heads, scale: 0.7 };
        let xs = b.push("attention", op, &[q, k, v], Bias::Without).unwrap();
        b.conv("proj", xs, Conv::pointwise(4), Bias::With).unwrap()
    })
}

#[test]
fn heads_go_whole() {
    let own = groups(&attention(2, 2));
    assert_eq!(units(&own, "q"), [0, 0, 1, 1]);
    assert_eq!(units(&own, "v"), [0, 0, 0, 1, 1, 1]);
    assert_eq!(protected(&own, "v"), None);
    let pairs = groups(&attention(4, 2));
    assert_eq!(units(&pairs, "q"), [0, 0, 0, 0, 1, 1, 1, 1]);
    assert_eq!(units(&pairs, "k"), [0, 0, 1, 1]);
    let shared = groups(&attention(3, 1));
    assert_eq!(units(&shared, "q"), [0, 0, 1, 1, 2, 2]);
    assert_eq!(units(&shared, "attention"), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    assert_eq!(protected(&shared, "q"), None);
    for name in ["k", "v"] {
        let node = "attention".to_owned();
        assert_eq!(protected(&shared, name), Some(&Protected::SharedKeys { node }));
    }
}

#[test]
fn what_is_normalized_together_stays() {
    for op in [Op::LayerNorm { eps: 1e-6 }, Op::GroupNorm { groups: 2, eps: 1e-6 }] {
        let graph = between(4, |b, xs| {
            let xs = b.push("norm", op, &[xs], Bias::Without).unwrap();
            b.conv("last", xs, Conv::pointwise(4), Bias::With).unwrap()
        });
        let groups = groups(&graph);
        let reason = protected(&groups, "stem").unwrap();
        assert_eq!(reason, &Protected::Normalized { node: "norm".to_owned() });
        assert_eq!(protected(&groups, "last"), None);
    }
}

#[test]
fn what_no_rule_covers_stays_and_is_named() {
    let conv = Conv { groups: 2, window: Window::square(2, 2), out: 4 };
    let graph = between(4, |b, xs| {
        let op = Op::ConvTranspose { conv, output_padding: [0, 0] };
        b.push("up", op, &[xs], Bias::With).unwrap()
    });
    let reason = protected(&groups(&graph), "stem").unwrap().to_string();
    assert!(reason.contains("conv_transpose `up`"), "{reason}");
}

#[test]
fn an_activation_with_a_parameter_is_a_member() {
    let graph = between(4, |b, xs| b.activation("act", xs, Activation::PRelu).unwrap());
    let groups = groups(&graph);
    let stem = groups.of_node(graph.find_node("stem").unwrap());
    assert_eq!(groups.of_axis(graph.param_id("act.weight").unwrap(), 0), Some(stem));
}

#[test]
fn names_protect_nodes_scopes_and_what_is_below() {
    let graph = between(4, |b, xs| {
        let xs = b.conv("blocks.0.a", xs, Conv::pointwise(5), Bias::With).unwrap();
        b.conv("blocks.0.b", xs, Conv::pointwise(6), Bias::With).unwrap()
    });
    let groups = Groups::of(&graph, &Protect::names(["blocks.0"])).unwrap();
    assert_eq!(protected(&groups, "stem"), None);
    for name in ["blocks.0.a", "blocks.0.b"] {
        assert_eq!(protected(&groups, name), Some(&Protected::ByName("blocks.0".to_owned())));
    }
    let error = Groups::of(&graph, &Protect::names(["blocks.0.c"])).unwrap_err();
    assert!(
        matches!(&error, Error::UnknownName { nearest, .. } if nearest.starts_with("blocks.0."))
    );
}
