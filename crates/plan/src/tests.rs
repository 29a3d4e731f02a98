//! What nodes become, and how a plan that does not fit says so.
//!
//! Above: `cargo test`. Below: `fused`, `inference`, `training`. Not here: that what runs allocates what is planned (`taper-engine`, `tests/zoo`).

use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PoolKind, ResizeMode, ResizeTo,
};

use crate::fused::Lowering;
use crate::training::Step;
use crate::{Error, FusedGraph, InferencePlan, Recompute, TrainingPlan, UnitOp};

fn ops(graph: &Graph, output: NodeId) -> Vec<UnitOp> {
    let fused = FusedGraph::new(graph, &[output]).unwrap();
    fused.units.iter().map(|unit| unit.op).collect()
}

/// Convolution, norm, activation; then the same norm and activation where nothing can be left pending.
fn network() -> (Graph, NodeId) {
    let mut b = GraphBuilder::new(3).unwrap();
    let xs = b.conv("conv", b.input(), Conv::dense(4, 3, 2), Bias::Without).unwrap();
    let xs = b.batch_norm("bn", xs, 1e-5, 0.1).unwrap();
    let xs = b.activation("act", xs, Activation::Relu).unwrap();
    let pooled = b.global_pool("pool", xs, PoolKind::Avg, false).unwrap();
    let curved = b.activation("curved", pooled, Activation::Silu).unwrap();
    let normed = b.batch_norm("normed", curved, 1e-5, 0.1).unwrap();
    let kept = b.dropout("kept", normed, 0.0).unwrap();
    let ys = b.dropout("dropped", kept, 0.5).unwrap();
    b.output("ys", ys).unwrap();
    (b.build().unwrap(), ys)
}

#[test]
fn a_copy_is_a_copy_and_a_norm_alone_is_a_norm() {
    let (graph, ys) = network();
    let ops = ops(&graph, ys);
    assert!(matches!(ops[0], UnitOp::Conv { .. }), "{ops:?}");
    let rest = [
        UnitOp::GlobalMean,
        UnitOp::Copy,
        UnitOp::BatchNorm,
        UnitOp::Copy,
        UnitOp::Dropout { p: 0.5 },
    ];
    assert_eq!(ops[1..], rest);
}

#[test]
fn a_value_that_nobody_wrote_is_no_image() {
    let (graph, ys) = network();
    let lowering = Lowering::new(&graph, &[ys]);
    for id in graph.node_ids() {
        let name = graph.node(id).name();
        let refused = lowering.value_of(id).unwrap_err();
        assert!(matches!(&refused, Error::Internal { node, .. } if node == name), "{refused}");
    }
}

#[test]
fn a_map_whose_size_alone_is_read_is_not_computed() {
    let mut b = GraphBuilder::new(3).unwrap();
    let like = b.conv("like", b.input(), Conv::dense(8, 3, 2), Bias::Without).unwrap();
    let xs = b.global_pool("pool", b.input(), PoolKind::Avg, false).unwrap();
    let op = Op::Resize { out: ResizeTo::Like, mode: ResizeMode::Nearest };
    let ys = b.push("ys", op, &[xs, like], Bias::Without).unwrap();
    b.output("ys", ys).unwrap();
    let graph = b.build().unwrap();
    let resize = UnitOp::Resize { factor: None, mode: ResizeMode::Nearest };
    assert_eq!(ops(&graph, ys), [UnitOp::GlobalMean, resize]);
    let plan = InferencePlan::new(&graph, &[ys], [16, 20]).unwrap();
    let extents = plan.fused.extents(&graph, [16, 20]).unwrap();
    assert_eq!(extents[plan.fused.outputs[0]].size(), [8, 10]);
}

#[test]
fn batches_that_cannot_be_laid_out_and_marks_of_another_graph_are_refused() {
    let (graph, _) = network();
    let trained = vec![true; graph.params().len()];
    let plan = TrainingPlan::new(&graph, &["ys"], &trained).unwrap();
    for n in [0, usize::MAX] {
        let refused = plan.memory(&graph, [n, 32, 32]);
        assert!(matches!(refused, Err(Error::Batch { batch, .. }) if batch == n), "{n}");
    }
    let refused = TrainingPlan::new(&graph, &["ys"], &trained[1..]).unwrap_err();
    assert!(matches!(refused, Error::Marks { got, expected } if got + 1 == expected));
    assert!(matches!(TrainingPlan::new(&graph, &["logits"], &trained), Err(Error::Graph(_))));
}

/// A chain of so many convolutions.
fn chain(length: usize) -> (Graph, TrainingPlan) {
    let mut b = GraphBuilder::new(4).unwrap();
    let mut xs = b.input();
    for i in 0..length {
        xs = b.conv(&format!("conv{i}"), xs, Conv::dense(4, 3, 1), Bias::Without).unwrap();
        xs = b.activation(&format!("act{i}"), xs, Activation::Relu).unwrap();
    }
    b.output("xs", xs).unwrap();
    let graph = b.build().unwrap();
    let plan = TrainingPlan::new(&graph, &["xs"], &vec![true; length]).unwrap();
    (graph, plan)
}

#[test]
fn a_chain_is_cut_into_about_as_many_segments_as_each_has_units() {
    let map = 4 * 8 * 8;
    for (length, most) in [(16, 10), (64, 18), (256, 34)] {
        let (graph, plan) = chain(length);
        let kept = plan.memory(&graph, [1, 8, 8]).unwrap();
        assert_eq!(kept.total, (length + 3) * map, "the image, all maps, two gradients");
        assert!(kept.dropped.is_empty() && kept.again.iter().all(Vec::is_empty));
        let plan = plan.recomputing(Recompute::Segments);
        let memory = plan.memory(&graph, [1, 8, 8]).unwrap();
        // Twice the root, the image, and two gradients.
        assert!(memory.total <= most * map, "{} maps for {length} units", memory.total / map);
        assert!(memory.dropped.len() < length);
    }
}

#[test]
fn what_is_dropped_is_there_again_before_it_is_read_on_the_way_back() {
    let (graph, plan) = chain(16);
    let plan = plan.recomputing(Recompute::Segments);
    let memory = plan.memory(&graph, [1, 8, 8]).unwrap();
    let mut is_there: Vec<bool> = (0..17).map(|v| !memory.dropped.contains(&v)).collect();
    let steps: Vec<Step> = memory.steps().collect();
    assert_eq!(
        steps[..17],
        [&(0..16).map(Step::Forward).collect::<Vec<_>>()[..], &[Step::Turn]].concat()
    );
    for step in &steps[17..] {
        match *step {
            Step::Recompute(u) => {
                let unit = &plan.fused.units[u];
                assert!(unit.inputs.iter().all(|&v| is_there[v]) && !is_there[unit.output]);
                is_there[unit.output] = true;
            }
            Step::Backward(u) => {
                let unit = &plan.fused.units[u];
                assert!(unit.inputs.iter().chain([&unit.output]).all(|&v| is_there[v]), "unit {u}");
            }
            Step::Forward(_) | Step::Turn => unreachable!("the forward pass is over"),
        }
    }
    let moved = |v: usize| memory.restored[v] != memory.stored[v];
    assert!((0..17).all(|v| memory.dropped.contains(&v) || !moved(v)));
}
