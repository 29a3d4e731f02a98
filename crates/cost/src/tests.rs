//! Counts against numbers worked out by hand.
//!
//! Above: `cargo test`. Below: `count`, `unit`. Not here: published counts of whole networks (`taper-zoo`).

use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Op, PoolKind, Window};

use crate::{
    Bytes, Elements, Flops, Macs, Params, Pass, Seconds, inference_memory, macs, of, of_trained,
    params, training_memory,
};

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
    let costs = of(&small(), [16, 16]).unwrap();
    let counts = |count: fn(&crate::Cost) -> u64| costs.nodes.iter().map(count).collect::<Vec<_>>();
    let macs = counts(|cost| cost.forward.macs.0);
    assert_eq!(macs, [0, 64 * 8 * 27, 64 * 8 * 9, 64 * 4 * 8, 0, 0, 5 * 4]);
    let params = counts(|cost| cost.params.0);
    assert_eq!(params, [0, 8 * 27, 8 * 9 + 8, 4 * 8, 2 * 4, 0, 5 * 4 + 5]);
    let activations = counts(|cost| cost.activations.0);
    assert_eq!(activations, [0, 64 * 8, 64 * 8, 64 * 4, 64 * 4, 4, 5]);
    // A norm multiplies and adds; a pool reads every element once.
    assert_eq!(counts(|cost| cost.forward.norms.0), [0, 0, 0, 0, 2 * 64 * 4, 0, 0]);
    assert_eq!(counts(|cost| cost.forward.elementwise.0), [0, 0, 0, 0, 0, 64 * 4, 0]);
    let read = [0, 16 * 16 * 3 + 8 * 27, 64 * 8 + 80, 64 * 8 + 32, 64 * 4 + 16, 64 * 4, 4 + 25];
    assert_eq!(counts(|cost| cost.forward.read.0), read.map(|elements| 4 * elements));
    assert_eq!(
        counts(|cost| cost.forward.written.0),
        activations.iter().map(|n| 4 * n).collect::<Vec<_>>()
    );
}

#[test]
fn totals_are_sums_of_nodes_and_of_scopes() {
    let (graph, costs) = (small(), of(&small(), [16, 16]).unwrap());
    let total = costs.total();
    assert_eq!(params(&graph), total.params);
    assert_eq!(macs(&graph, 16, 16).unwrap(), total.forward.macs);
    assert_eq!(
        total.forward.flops(),
        Flops::from(total.forward.macs) + total.forward.norms + total.forward.elementwise
    );
    let tree = costs.tree(&graph);
    assert_eq!(tree.cost, total);
    assert_eq!(tree.parts.len(), 6);
}

#[test]
fn scopes_nest_along_dots_and_a_node_may_be_called_as_a_scope_is() {
    let mut b = GraphBuilder::new(1).unwrap();
    let mut xs = b.input();
    for name in ["a", "a.b", "a.c.d", "e", "a.c.f"] {
        xs = b.activation(name, xs, Activation::Relu).unwrap();
    }
    b.output("ys", xs).unwrap();
    let graph = b.build().unwrap();
    let tree = of(&graph, [2, 2]).unwrap().tree(&graph);
    let names =
        |scope: &crate::ScopeCost| scope.parts.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&tree), ["a", "e"]);
    assert_eq!(names(&tree.parts[0]), ["a", "a.b", "a.c"]);
    assert_eq!(names(&tree.parts[0].parts[2]), ["a.c.d", "a.c.f"]);
    assert_eq!(tree.parts[0].cost.forward.elementwise, Flops(4 * 4));
    assert_eq!(tree.cost.forward.elementwise, Flops(5 * 4));
}

#[test]
fn names_of_any_depth_are_gathered() {
    let mut b = GraphBuilder::new(1).unwrap();
    let deep = vec!["a"; 60].join(".");
    let xs = b.activation(&deep, b.input(), Activation::Relu).unwrap();
    b.output("ys", xs).unwrap();
    let graph = b.build().unwrap();
    let tree = of(&graph, [2, 2]).unwrap().tree(&graph);
    assert_eq!(tree.cost.forward.elementwise, Flops(4));
}

#[test]
fn what_is_frozen_has_no_gradient_and_passes_none_below_the_lowest_that_is_trained() {
    let graph = small();
    let all = of(&graph, [16, 16]).unwrap();
    let backward = |costs: &crate::NetworkCost| -> Vec<u64> {
        costs.nodes.iter().map(|cost| cost.backward.macs.0).collect()
    };
    let forward: Vec<u64> = all.nodes.iter().map(|cost| cost.forward.macs.0).collect();
    // The image has no gradient, all else has two.
    let twice = [0, forward[1], 2 * forward[2], 2 * forward[3], 0, 0, 2 * forward[6]];
    assert_eq!(backward(&all), twice);
    let head = of_trained(&graph, [16, 16], |id| graph.param(id).name.starts_with("fc")).unwrap();
    assert_eq!(backward(&head), [0, 0, 0, 0, 0, 0, forward[6]]);
    let above = of_trained(&graph, [16, 16], |id| graph.param(id).name.starts_with("dw")).unwrap();
    assert_eq!(backward(&above), [0, 0, forward[2], forward[3], 0, 0, forward[6]]);
    let none = of_trained(&graph, [16, 16], |_| false).unwrap().total().backward;
    assert_eq!(none, crate::Work::default());
}

#[test]
fn memory_over_time_is_what_lives() {
    let memory = inference_memory(&small(), &["logits"], [1, 16, 16], 1).unwrap();
    let names: Vec<&str> = memory.timeline.moments.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["stem", "dw", "pw", "pool", "fc"]);
    // The stem's map and the depthwise one's at once.
    let live: Vec<u64> = memory.timeline.moments.iter().map(|it| it.live.0 / 4).collect();
    assert_eq!(live, [512, 1024, 512 + 256, 256 + 4, 4 + 5]);
    assert_eq!((memory.timeline.peak, memory.timeline.peak_bytes()), (1, Bytes(4096)));
    let at_peak: Vec<&str> = memory.timeline.at_peak.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(at_peak, ["stem", "dw"]);
    assert!(memory.arena >= memory.timeline.peak_bytes());
}

#[test]
fn memory_of_training_has_all_its_parts() {
    let (graph, trained) = (small(), vec![true; 10]);
    let memory = training_memory(&graph, &["logits"], &trained, [4, 16, 16], 2).unwrap();
    let trained_params = params(&graph).0 * 4;
    assert_eq!(memory.gradients, Bytes(trained_params));
    assert_eq!(memory.optimizer, Bytes(2 * trained_params));
    assert_eq!(memory.images, Bytes(4 * 4 * 3 * 256));
    assert!(memory.stored_activations < memory.arena);
    let passes: Vec<Pass> = memory.timeline.moments.iter().map(|moment| moment.pass).collect();
    assert_eq!(passes.iter().filter(|pass| **pass == Pass::Forward).count(), 5);
    assert_eq!(passes.iter().filter(|pass| **pass == Pass::Backward).count(), 5);
    assert!(memory.timeline.at_peak.iter().any(|tensor| tensor.is_gradient));
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
    assert_eq!([Seconds(0.00412).to_string(), Seconds(75.0).to_string()], ["4.12 ms", "1.25 min"]);
    assert_eq!(Elements(3_000).to_string(), "3.00 k");
    assert_eq!([Macs(12).to_string(), Macs(45_600).to_string()], ["12", "45.6 k"]);
}
