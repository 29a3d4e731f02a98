//! Parameters and multiply-accumulates in the digits that timm and torchvision publish.
//!
//! Above: `cargo test`. Below: `architecture`, `taper_cost`. Not here: exact counts (`peers`).
//! timm counts with fvcore: beside the products of convolutions and linear layers two operations an element of a batch norm and one
//! an element that the head's mean reads, but nothing for the means of gates. With them every digit of `published.txt` is ours.
//! torchvision counts products alone, as `taper_cost` does.

use taper_graph::{Graph, Op, PoolKind};
use taper_model::{Model, Preprocess, reparameterize};

use crate::architecture;

const TIMM: &str = include_str!("published.txt");
const TORCHVISION: &str = include_str!("published_torchvision.txt");

/// Operations that fvcore counts and `taper_cost` lists apart.
fn beside(graph: &Graph, size: usize) -> u64 {
    let costs = taper_cost::of(graph, [size, size]).unwrap();
    let of = |id: taper_graph::NodeId| {
        let (node, work) = (graph.node(id), costs.node(id).forward);
        match node.op() {
            Op::BatchNorm { .. } => work.norms.0,
            Op::GlobalPool { kind: PoolKind::Avg, .. } if !node.name().contains(".se.") => {
                work.elementwise.0
            }
            _ => 0,
        }
    };
    graph.node_ids().map(of).sum()
}

/// Lines of a table without the one that says what it is.
fn rows(table: &'static str) -> impl Iterator<Item = [&'static str; 4]> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap())
}

/// Billions in `digits` behind the point, without zeros at the end.
fn billions(count: u64, digits: usize) -> String {
    let text = format!("{:.digits$}", count as f64 / 1e9);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn counts_have_the_digits_that_timm_publishes() {
    let mut checked = 0;
    for [name, size, params, macs] in rows(TIMM) {
        let (network, size) = (architecture(name).unwrap(), size.parse().unwrap());
        let mut graph = network.graph(1000).unwrap();
        assert_eq!(format!("{:.2}", taper_cost::params(&graph).0 as f64 / 1e6), params, "{name}");
        if name.starts_with("mobileone") || name.starts_with("repvit") {
            let model = Model::random(graph, 0, Preprocess::imagenet(), Vec::new()).unwrap();
            graph = reparameterize(&model).unwrap().into_parts().graph;
        }
        let all = taper_cost::macs(&graph, size, size).unwrap().0 + beside(&graph, size);
        assert_eq!(billions(all, 2), macs, "GMACs of {name} at {size}");
        checked += 1;
    }
    assert_eq!(checked, 99);
}

#[test]
fn counts_have_the_digits_that_torchvision_publishes() {
    let mut checked = 0;
    for [name, size, params, macs] in rows(TORCHVISION) {
        let graph = architecture(name).unwrap().graph(1000).unwrap();
        let size = size.parse().unwrap();
        assert_eq!(taper_cost::params(&graph).0.to_string(), params, "{name}");
        let ours = taper_cost::macs(&graph, size, size).unwrap().0;
        assert_eq!(billions(ours, 3), macs, "GMACs of {name} at {size}");
        checked += 1;
    }
    assert_eq!(checked, 22);
}
