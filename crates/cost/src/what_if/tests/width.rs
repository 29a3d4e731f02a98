//! Other numbers of channels, and which of them must agree.
//!
//! Above: `cargo test`. Below: `width`, `channels`. Not here: factors that are none (`tests`).

use taper_graph::blocks::{MobileAttention, SqueezeExcite, Variation};
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Op, PoolKind, Result};

use super::{FULL, STYLE, Small, apply, channels, id, refused};
use crate::what_if::Change;
use crate::{Error, macs, params};

fn filters(node: &str, filters: usize) -> Change {
    Change::Filters { node: node.to_owned(), filters }
}

fn halved(graph: &Graph) -> Graph {
    apply(graph, &Change::Width(0.5)).unwrap()
}

#[test]
fn half_as_wide_is_the_network_with_half_the_channels() {
    let half =
        Small { stem: 16, stages: [8, 16], expanded: [48, 96], blocks: 3, head: 64, classes: 10 };
    assert_eq!(halved(&FULL.graph()), half.graph());
    // By hand: convolutions, then two numbers a channel of each norm, then the classifier.
    let expected = 27 * 16
        + 9 * 16
        + 16 * 8
        + (8 * 48 + 9 * 48 + 48 * 16)
        + 2 * (16 * 96 + 9 * 96 + 96 * 16)
        + 16 * 64
        + 2 * (16 + 16 + 8 + 48 + 48 + 16 + 2 * (96 + 96 + 16) + 64)
        + 64 * 10
        + 10;
    assert_eq!(params(&halved(&FULL.graph())).0, expected);
}

#[test]
fn channels_are_rounded_to_multiples_of_eight_and_never_the_wrong_way() {
    for (channels_before, factor, expected) in
        [(24, 0.5, 16), (32, 0.35, 16), (6, 0.5, 6), (4, 1.25, 8), (32, 1.4, 48), (3, 0.9, 3)]
    {
        let graph = Small { stem: channels_before, ..FULL }.graph();
        let changed = apply(&graph, &Change::Width(factor)).unwrap();
        assert_eq!(channels(&changed, "conv_stem"), expected, "{channels_before} {factor}");
        assert_eq!(channels(&changed, "classifier"), 10);
        assert_eq!(changed.input_channels(), 3);
    }
}

#[test]
fn the_squeezed_channels_are_a_layer_like_others() -> Result<()> {
    let graph = |c, squeezed| {
        let mut b = GraphBuilder::new(3)?;
        let xs = b.conv("conv", b.input(), Conv::dense(c, 3, 1), Bias::Without)?;
        let (activation, gate) = (Activation::Relu, Activation::HardSigmoid);
        let xs = SqueezeExcite { squeezed, activation, gate }.build(&mut b, "se", xs)?;
        b.output("features", xs)?;
        b.build()
    };
    assert_eq!(halved(&graph(64, 32)?), graph(32, 16)?);
    Ok(())
}

/// `ShuffleNetV2`'s blocks: half of the channels passes, the other is worked on, then both are shuffled.
fn shuffled(half: usize) -> Result<Graph> {
    let mut b = GraphBuilder::new(3)?;
    let mut xs = b.conv("stem", b.input(), Conv::dense(2 * half, 3, 2), Bias::Without)?;
    for n in 0..2 {
        let at = |name: &str| format!("{n}.{name}");
        let slice = |start| Op::Slice { start, len: half };
        let left = b.push(&at("left"), slice(0), &[xs], Bias::Without)?;
        let right = b.push(&at("right"), slice(half), &[xs], Bias::Without)?;
        let worked = b.conv(&at("pw"), right, Conv::pointwise(half), Bias::Without)?;
        let worked = b.conv(&at("dw"), worked, Conv::depthwise(half, 3, 1), Bias::Without)?;
        let both = b.concat(&at("both"), &[left, worked])?;
        xs = b.push(&at("shuffle"), Op::Shuffle { groups: 2 }, &[both], Bias::Without)?;
    }
    let xs = b.conv("last", xs, Conv::pointwise(64), Bias::With)?;
    b.output("logits", xs)?;
    b.build()
}

#[test]
fn halves_stay_halves() {
    // 29 is nearest to 32.
    assert_eq!(halved(&shuffled(58).unwrap()), shuffled(32).unwrap());
    let graph = shuffled(58).unwrap();
    assert_eq!(apply(&graph, &filters("stem", 100)).unwrap(), shuffled(50).unwrap());
    // All but the half of the stem that the first block works on.
    let inner = apply(&graph, &filters("1.pw", 50)).unwrap();
    let counts = ["stem", "0.left", "0.right", "0.pw", "0.both", "1.left", "1.both", "last"]
        .map(|name| channels(&inner, name));
    assert_eq!(counts, [108, 50, 58, 50, 100, 50, 100, 64]);
    assert_eq!(
        refused(&graph, &filters("stem", 101)),
        "`stem` cannot have 101 filters: they are divided further on, so they must be a multiple of 2"
    );
}

fn grouped(c: usize, groups: usize) -> Result<Graph> {
    let mut b = GraphBuilder::new(3)?;
    let xs = b.conv("conv1", b.input(), Conv::pointwise(c), Bias::Without)?;
    let conv = Conv { groups, ..Conv::dense(c, 3, 1) };
    let xs = b.conv("conv2", xs, conv, Bias::Without)?;
    let xs = b.push("norm", Op::GroupNorm { groups, eps: 1e-5 }, &[xs], Bias::Without)?;
    b.output("features", xs)?;
    b.build()
}

#[test]
fn groups_stay_as_many() -> Result<()> {
    assert_eq!(halved(&grouped(128, 32)?), grouped(64, 32)?);
    assert_eq!(halved(&grouped(240, 3)?), grouped(120, 3)?);
    // Groups of one channel cannot be halved.
    assert_eq!(halved(&grouped(12, 12)?), grouped(12, 12)?);
    assert_eq!(apply(&grouped(128, 32)?, &filters("conv2", 96)).unwrap().channels()?[2], 96);
    let odd = apply(&grouped(128, 32)?, &filters("conv2", 100)).unwrap_err();
    assert!(matches!(odd, Error::FilterGroups { step: 32, .. }), "{odd}");
    Ok(())
}

#[test]
fn heads_stay_as_many_and_their_factor_follows_their_size() -> Result<()> {
    let graph = |c, head_channels| {
        let mut b = GraphBuilder::new(3)?;
        let xs = b.conv("conv", b.input(), Conv::dense(c, 3, 2), Bias::Without)?;
        let block = MobileAttention { heads: 4, head_channels, kernel_size: 3, kv_stride: 2 };
        let xs = block.build(&mut b, "blocks.0", xs, &STYLE, &Variation::default())?;
        b.output("features", xs)?;
        b.build()
    };
    let (half, expected) = (halved(&graph(96, 64)?), graph(48, 32)?);
    assert_eq!(half.params(), expected.params());
    let scale = |graph: &Graph| match graph.node(id(graph, "blocks.0.attn.attention")).op() {
        Op::Attention { scale, .. } => *scale,
        op => panic!("{op:?}"),
    };
    assert!((scale(&half) - scale(&expected)).abs() < 1e-12);
    assert_eq!(macs(&half, 32, 32).unwrap(), macs(&expected, 32, 32).unwrap());
    Ok(())
}

#[test]
fn flattened_maps_and_layers_of_one_weight_follow() -> Result<()> {
    let graph = |c, hidden| {
        let mut b = GraphBuilder::new(1)?;
        let xs = b.conv("conv", b.input(), Conv::dense(c, 5, 1), Bias::With)?;
        let pool = Op::AdaptivePool { kind: PoolKind::Avg, out: [7, 7], at_least: false };
        let xs = b.push("pool", pool, &[xs], Bias::Without)?;
        let xs = b.flatten("flatten", xs)?;
        let xs = b.linear("fc1", xs, hidden, Bias::With)?;
        let xs = b.linear("fc2", xs, hidden, Bias::Without)?;
        let xs = b.linear("fc3", xs, hidden, Bias::Without)?;
        let xs = b.linear("fc4", xs, 10, Bias::With)?;
        b.output("logits", xs)?;
        // The third linear layer with the weight of the second.
        let text = b.build()?.to_json();
        let own = text.find(r#"{"name":"fc3.weight""#).unwrap();
        let next = own + 1 + text[own + 1..].find(r#"{"name":""#).unwrap();
        let text = text[..own].to_owned() + &text[next..];
        let text = text.replace(r#""inputs":[5],"params":[5]"#, r#""inputs":[5],"params":[4]"#);
        let text = text.replace(r#""inputs":[6],"params":[6,7]"#, r#""inputs":[6],"params":[5,6]"#);
        Graph::from_json(&text)
    };
    assert_eq!(halved(&graph(32, 128)?), graph(16, 64)?);
    assert_eq!(apply(&graph(32, 128)?, &filters("fc3", 40)).unwrap(), graph(32, 40)?);
    Ok(())
}

#[test]
fn filters_take_along_who_must_agree() {
    let graph = FULL.graph();
    let inner = apply(&graph, &filters("blocks.1.0.conv_pw", 48)).unwrap();
    assert_eq!(inner, Small { expanded: [48, 192], ..FULL }.graph());
    let same = apply(&graph, &filters("blocks.1.0.conv_dw", 48)).unwrap();
    assert_eq!(same, inner);
    // Sums tie the outputs of a stage.
    let outer = apply(&graph, &filters("blocks.1.2.conv_pwl", 40)).unwrap();
    assert_eq!(outer, Small { stages: [16, 40], ..FULL }.graph());
    let classes = apply(&graph, &filters("classifier", 6)).unwrap();
    assert_eq!(classes, Small { classes: 6, ..FULL }.graph());
}

#[test]
fn what_has_no_filters_or_no_choice_is_refused() {
    let graph = FULL.graph();
    assert_eq!(
        refused(&graph, &filters("bn1", 8)),
        "`bn1` (batch_norm) has no filters; name a convolution or a linear layer"
    );
    let nothing = refused(&graph, &filters("conv_stem", 0));
    assert_eq!(
        nothing,
        "the network cannot be changed to filters:conv_stem=0: channel count of `conv_stem` is 0, it must be between 1 and 1048576"
    );
    assert!(
        refused(&graph, &filters("conv_stem", usize::MAX)).contains("channel count of `conv_stem`")
    );
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("dw", b.input(), Conv::depthwise(3, 3, 1), Bias::With).unwrap();
    b.output("features", xs).unwrap();
    let on_image = b.build().unwrap();
    assert_eq!(
        refused(&on_image, &filters("dw", 6)),
        "`dw` must have as many channels as the image, 3"
    );
    assert_eq!(halved(&on_image), on_image);
}

#[test]
fn endless_groups_are_refused_and_not_counted() {
    let mut b = GraphBuilder::new(3).unwrap();
    let c = 1 << 19;
    let mut xs = b.conv("stem", b.input(), Conv::pointwise(c), Bias::With).unwrap();
    for n in 0..64 {
        let groups = c / 2;
        xs = b
            .push(&format!("norm{n}"), Op::GroupNorm { groups, eps: 1e-5 }, &[xs], Bias::Without)
            .unwrap();
    }
    b.output("features", xs).unwrap();
    let error = apply(&b.build().unwrap(), &Change::Width(0.5)).unwrap_err();
    assert!(matches!(error, Error::Groups { .. }), "{error}");
}
