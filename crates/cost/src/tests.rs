//! Counts against numbers worked out by hand.
//!
//! Above: `cargo test`. Below: `count`, `unit`. Not here: published counts of whole networks (`taper-zoo`).

use taper_graph::{Bias, Conv, Graph, GraphBuilder, Op, PoolKind, Window};

use crate::{Bytes, Macs, Params, macs, nodes, params};

/// Stem 3x3 stride 2 to 8 channels, depthwise 3x3, pointwise to 4, pool, linear to 5.
fn small() -> Graph {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::Without).unwrap();
    let xs = b.conv("dw", xs, Conv::depthwise(8, 3, 1), Bias::With).unwrap();
    let xs = b.conv("pw", xs, Conv::pointwise(4), Bias::Without).unwrap();
    let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    let xs = b.global_pool("pool", xs, PoolKind::Avg, true).unwrap();
    let xs = b.linear("fc", xs, 5, Bias::With).unwrap();
    b.output("logits", xs).unwrap();
    b.build().unwrap()
}

#[test]
fn each_node_costs_what_its_formula_says() {
    let costs = nodes(&small(), 16, 16).unwrap();
    let macs: Vec<u64> = costs.iter().map(|cost| cost.macs.0).collect();
    let params: Vec<u64> = costs.iter().map(|cost| cost.params.0).collect();
    assert_eq!(macs, [0, 64 * 8 * 27, 64 * 8 * 9, 64 * 4 * 8, 0, 0, 5 * 4]);
    assert_eq!(params, [0, 8 * 27, 8 * 9 + 8, 4 * 8, 2 * 4, 0, 5 * 4 + 5]);
}

#[test]
fn totals_are_sums_of_nodes() {
    let costs = nodes(&small(), 16, 16).unwrap();
    assert_eq!(params(&small()), costs.iter().map(|cost| cost.params).sum());
    assert_eq!(macs(&small(), 16, 16).unwrap(), costs.iter().map(|cost| cost.macs).sum());
}

#[test]
fn a_transposed_convolution_costs_what_the_convolution_it_undoes_costs() {
    let window = Window::square(2, 2);
    let graph = |op: Op, channels| {
        let mut b = GraphBuilder::new(channels).unwrap();
        let xs = b.push("conv", op, &[b.input()], Bias::Without).unwrap();
        b.output("ys", xs).unwrap();
        b.build().unwrap()
    };
    let down = graph(Op::Conv(Conv { out: 6, window, groups: 1 }), 4);
    let conv = Conv { out: 4, window, groups: 1 };
    let up = graph(Op::ConvTranspose { conv, output_padding: [0, 0] }, 6);
    assert_eq!(macs(&down, 8, 8).unwrap(), macs(&up, 4, 4).unwrap());
}

#[test]
fn a_size_that_does_not_fit_is_refused_with_its_cause() {
    let mut b = GraphBuilder::new(3).unwrap();
    let window = Window { padding: taper_graph::Padding::Valid, ..Window::square(5, 1) };
    let conv = Conv { out: 1, window, groups: 1 };
    let xs = b.conv("conv", b.input(), conv, Bias::Without).unwrap();
    b.output("ys", xs).unwrap();
    let error = macs(&b.build().unwrap(), 4, 4).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("`conv`"), "{cause}");
}

#[test]
fn counts_are_printed_with_three_digits() {
    let printed = [Macs(300_774_272).to_string(), Params(3_504_872).to_string()];
    assert_eq!(printed, ["301 M", "3.50 M"]);
    assert_eq!([Bytes(12_345).to_string(), Bytes(7).to_string()], ["12.3 kB", "7 B"]);
    assert_eq!([Macs(12).to_string(), Macs(45_600).to_string()], ["12", "45.6 k"]);
}
