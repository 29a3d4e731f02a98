//! Nodes that come and go, and scopes in a row.
//!
//! Above: `cargo test`. Below: `edit`, `repeat`. Not here: other operations at the same nodes (`builder`).

use proptest::prelude::*;

use super::small;
use crate::{
    Activation, Bias, Conv, Error, Extent, Graph, GraphBuilder, Init, NodeId, Op, PoolKind, Scope,
    Window,
};

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(crate::Node::name).collect()
}

fn scopes(graph: &Graph) -> Vec<(&str, Vec<&str>, u32)> {
    let nodes = |scope: &Scope| scope.nodes().map(|id| graph.node(id).name()).collect();
    graph.scopes().iter().map(|it| (it.name(), nodes(it), it.reduction())).collect()
}

fn id(graph: &Graph, name: &str) -> NodeId {
    graph.find_node(name).unwrap()
}

fn pool() -> Op {
    Op::Pool { kind: PoolKind::Max, window: Window::square(2, 2), ceil: false }
}

#[test]
fn readers_outputs_and_scopes_take_the_node_that_is_put_in() {
    let graph = small();
    let last = id(&graph, "blocks.0.1.add");
    let edited = graph.insert_after(last, "pool", pool()).unwrap();
    let inserted = id(&edited, "pool");
    assert_eq!(inserted.index(), last.index() + 1);
    assert_eq!(edited.output("features").unwrap(), inserted);
    assert_eq!(edited.node(id(&edited, "global_pool")).inputs(), [inserted]);
    for name in ["blocks.0", "blocks.0.1"] {
        assert_eq!(edited.find_scope(name).unwrap().last(), inserted);
        assert_eq!(edited.find_scope(name).unwrap().reduction(), 4);
    }
    assert_eq!(edited.find_scope("blocks.0.0"), graph.find_scope("blocks.0.0"));
    assert_eq!(edited.params(), graph.params());
    assert_eq!(edited.extents(16, 16).unwrap()[inserted.index()], Extent::Map { h: 4, w: 4, c: 4 });
}

#[test]
fn what_cannot_be_put_in_is_refused() {
    let graph = small();
    let stem = id(&graph, "conv_stem");
    let norm = graph.insert_after(stem, "bn", Op::BatchNorm { eps: 1e-5, momentum: Some(0.1) });
    let error = norm.unwrap_err().to_string();
    assert_eq!(
        error,
        "batch_norm `bn` has parameters; only an operation without any can be put in"
    );
    let taken = graph.insert_after(stem, "drop", pool()).unwrap_err();
    assert!(matches!(taken, Error::Duplicate { what: "nodes", .. }), "{taken}");
    let add = graph.insert_after(stem, "sum", Op::Add).unwrap_err();
    assert!(matches!(add, Error::InputCount { .. }), "{add}");
}

#[test]
fn a_block_that_is_left_out_leaves_no_trace() {
    let graph = small();
    let block: Vec<NodeId> = graph.find_scope("blocks.0.1").unwrap().nodes().collect();
    let edited = graph.bypass(&block).unwrap();
    assert!(names(&edited).iter().all(|name| !name.starts_with("blocks.0.1")));
    assert!(edited.params().iter().all(|param| !param.name.starts_with("blocks.0.1")));
    let scopes: Vec<&str> = edited.scopes().iter().map(Scope::name).collect();
    assert_eq!(scopes, ["stem", "blocks.0", "blocks.0.0"]);
    let last = edited.find_scope("blocks.0.0").unwrap().last();
    assert_eq!(edited.output("features").unwrap(), last);
    assert_eq!(edited.nodes().len() + block.len(), graph.nodes().len());
    assert_eq!(graph.bypass(&[]).unwrap(), graph);
}

#[test]
fn nodes_that_others_need_stay() {
    let graph = small();
    let part = [id(&graph, "blocks.0.0.conv_dw"), id(&graph, "conv_stem")];
    assert!(graph.bypass(&part).is_ok()); // 3 channels instead of 8: shapes follow
    let add = graph.bypass(&[id(&graph, "blocks.0.1.add")]).unwrap_err().to_string();
    assert_eq!(
        add,
        "`blocks.0.1.add` cannot be left out: what vanishes with it reads 2 nodes (blocks.0.0.bn2, blocks.0.1.bn3), \
         its readers can read one in its place"
    );
    let tail = ["blocks.0.1.add", "global_pool"].map(|name| id(&graph, name));
    let error = graph.bypass(&tail).unwrap_err();
    assert!(matches!(error, Error::Bypass { .. }), "{error}");
    let both = ["blocks.0.0.bn2", "blocks.0.1.conv_pw"].map(|name| id(&graph, name));
    let error = graph.bypass(&both).unwrap_err().to_string();
    assert_eq!(error, "`blocks.0.0.bn2` cannot vanish: `blocks.0.1.add` reads it");
    let mut b = GraphBuilder::new(4).unwrap();
    let conv = b.conv("conv", b.input(), Conv::pointwise(4), Bias::With).unwrap();
    let act = b.activation("act", conv, Activation::Relu).unwrap();
    b.output("inner", conv).unwrap();
    b.output("outer", act).unwrap();
    let error = b.build().unwrap().bypass(&[conv, act]).unwrap_err().to_string();
    assert_eq!(error, "`conv` cannot vanish: `output inner` reads it");
    assert!(matches!(graph.bypass(&[graph.input()]), Err(Error::Bypass { .. })));
}

#[test]
fn copies_of_a_block_stand_in_a_row_with_parameters_of_their_own() {
    let graph = small();
    let edited = graph.repeat("blocks.0.1", 2).unwrap();
    let of = |name: &str| edited.find_scope(name).unwrap();
    assert_eq!(
        scopes(&edited).iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
        ["stem", "blocks.0", "blocks.0.0", "blocks.0.1", "blocks.0.2", "blocks.0.3"]
    );
    let old = graph.find_scope("blocks.0.1").unwrap();
    for (before, name) in [("blocks.0.1", "blocks.0.2"), ("blocks.0.2", "blocks.0.3")] {
        assert_eq!(of(name).nodes().len(), old.nodes().len());
        assert_eq!(of(name).reduction(), 2);
        let first = edited.node(of(name).nodes().next().unwrap());
        assert_eq!(first.inputs(), [of(before).last()]);
        let add = edited.node(of(name).last());
        assert_eq!((add.name(), add.inputs()[1]), (&*format!("{name}.add"), of(before).last()));
        assert!(edited.param_id(&format!("{name}.conv_dw.weight")).is_some());
    }
    assert_eq!(of("blocks.0").last(), of("blocks.0.3").last());
    assert_eq!(edited.output("features").unwrap(), of("blocks.0.3").last());
    assert_eq!(Graph::from_json(&edited.to_json()).unwrap(), edited);
    assert_eq!(graph.repeat("blocks.0.1", 0).unwrap(), graph);
}

#[test]
fn a_copy_begins_as_the_scope_and_shares_within_itself() {
    let mut b = GraphBuilder::new(4).unwrap();
    let block = |b: &mut GraphBuilder| {
        let xs = b.conv("block.conv", b.input(), Conv::pointwise(4), Bias::Without)?;
        b.init("block.conv.weight", Init::Ones)?;
        b.activation("act", xs, Activation::Relu)
    };
    let xs = b.scope(crate::ScopeKind::Block, "block", block).unwrap();
    b.output("ys", xs).unwrap();
    let graph = b.build().unwrap();
    // A second node with the first one's weight, as a description may have it.
    let text = graph.to_json().replace(
        r#"{"name":"act","op":{"activation":"relu"},"inputs":[1]}"#,
        r#"{"name":"act","op":{"conv":{"out":4,"window":{"kernel":[1,1],"stride":[1,1],"dilation":[1,1],"padding":{"explicit":{"top":0,"left":0,"bottom":0,"right":0}},"mode":"zeros"},"groups":1}},"inputs":[1],"params":[0]}"#,
    );
    let shared = Graph::from_json(&text).unwrap();
    assert_eq!(shared.nodes()[2].params(), shared.nodes()[1].params());
    let edited = shared.repeat("block", 1).unwrap();
    assert_eq!(names(&edited), ["input", "block.conv", "act", "block.1.conv", "block.1.act"]);
    assert_eq!(edited.nodes()[4].params(), edited.nodes()[3].params());
    let params: Vec<_> = edited.params().iter().map(|it| (it.name.as_str(), it.init)).collect();
    assert_eq!(params, [("block.conv.weight", Init::Ones), ("block.1.conv.weight", Init::Ones)]);
}

#[test]
fn names_that_are_taken_are_passed_over() {
    let mut b = GraphBuilder::new(4).unwrap();
    let mut xs = b.input();
    for name in ["stage.0", "stage.2"] {
        let conv = |b: &mut GraphBuilder| {
            b.conv(&format!("{name}.conv"), xs, Conv::pointwise(4), Bias::With)
        };
        xs = b.scope(crate::ScopeKind::Block, name, conv).unwrap();
    }
    b.output("ys", xs).unwrap();
    let edited = b.build().unwrap().repeat("stage.0", 2).unwrap();
    assert_eq!(
        names(&edited),
        ["input", "stage.0.conv", "stage.1.conv", "stage.3.conv", "stage.2.conv"]
    );
}

#[test]
fn what_cannot_follow_itself_is_refused() {
    let graph = small();
    assert_eq!(
        graph.repeat("blocks.0.0", 1).unwrap_err().to_string(),
        "scope `blocks.0.0` cannot be repeated: it makes 4 channels of 8; name one that reads one node and keeps its channels"
    );
    let unknown = graph.repeat("blocks.9", 1).unwrap_err().to_string();
    assert_eq!(unknown, "the network has no scope `blocks.9`");
    // As many as anybody asks for, up to what a network may hold.
    assert!(matches!(graph.repeat("blocks.0.1", usize::MAX), Err(Error::TooLarge { .. })));
}

proptest! {
    #[test]
    fn repeating_and_leaving_the_copies_out_gives_the_same_graph(copies in 0usize..6) {
        let graph = small();
        let mut edited = graph.repeat("blocks.0.1", copies).unwrap();
        prop_assert_eq!(
            edited.nodes().len(),
            graph.nodes().len() + copies * graph.find_scope("blocks.0.1").unwrap().nodes().len()
        );
        edited.extents(33, 17).unwrap();
        for copy in (2..2 + copies).rev() {
            let nodes: Vec<NodeId> =
                edited.find_scope(&format!("blocks.0.{copy}")).unwrap().nodes().collect();
            edited = edited.bypass(&nodes).unwrap();
        }
        prop_assert_eq!(edited, graph);
    }
}
