//! Counts of networks, operator by operator and layer by layer, against fvcore's and torchinfo's.
//!
//! Above: `main`. Below: `taper_cost`, the zoo, `tests/fixtures/costs.txt`, which `tests/generators/cost.py` writes. Not here: counts of small
//! graphs worked out by hand (`taper-cost`).

use sha2::{Digest, Sha256};
use taper_cost::NetworkCost;
use taper_graph::{Graph, Op};

const PEERS: &str = include_str!("../fixtures/costs.txt");

/// What fvcore says of an operator: multiply-accumulates and elements put out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    macs: u64,
    elements: u64,
}

/// One network at one size.
struct Peer<'a> {
    name: &'a str,
    size: [usize; 2],
    /// Of convolutions, linear layers and attention.
    operators: [Sums; 3],
    digest: &'a str,
    params: u64,
}

fn peers() -> Vec<Peer<'static>> {
    let lines = PEERS.lines().filter(|line| !line.starts_with('#'));
    let peer = |line: &'static str| {
        let [name, size, conv, linear, attention, digest, params] =
            line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (h, w) = size.split_once('x').unwrap();
        let sums = |text: &str| {
            let (_, sums) = text.split_once('=').unwrap();
            let (macs, elements) = sums.split_once(':').unwrap();
            Sums { macs: macs.parse().unwrap(), elements: elements.parse().unwrap() }
        };
        Peer {
            name,
            size: [h.parse().unwrap(), w.parse().unwrap()],
            operators: [conv, linear, attention].map(sums),
            digest,
            params: params.parse().unwrap(),
        }
    };
    lines.map(peer).collect()
}

/// Which of fvcore's operators a node is; none for what it leaves out or we list apart.
fn operator(op: &Op) -> Option<usize> {
    match op {
        Op::Conv(_) => Some(0),
        Op::Linear { .. } => Some(1),
        Op::Attention { .. } => Some(2),
        _ => None,
    }
}

fn ours(graph: &Graph, cost: &NetworkCost) -> ([Sums; 3], String) {
    let (mut sums, mut lines) = (<[Sums; 3]>::default(), Vec::new());
    for id in graph.node_ids() {
        let (node, cost) = (graph.node(id), cost.node(id));
        let Some(operator) = operator(node.op()) else { continue };
        sums[operator].macs += cost.forward.macs.0;
        sums[operator].elements += cost.activations.0;
        if operator < 2 {
            lines.push(format!("{} {} {}", node.name(), cost.forward.macs.0, cost.activations.0));
        }
    }
    lines.sort_unstable();
    let hash = Sha256::digest(lines.join("\n"));
    (sums, hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[test]
fn convolutions_and_linear_layers_count_what_fvcore_counts() {
    let peers = peers();
    assert!(peers.len() >= 30);
    for Peer { name, size, operators, digest, params } in peers {
        let graph = taper_zoo::create(name, 1000).unwrap();
        let cost = taper_cost::of(&graph, size).unwrap();
        let (sums, ours) = ours(&graph, &cost);
        assert_eq!(sums[..2], operators[..2], "{name} at {size:?}");
        assert_eq!(ours, digest, "{name} at {size:?}, layer by layer");
        // Of attention fvcore counts two products that put out scores and mixtures; we count one operation.
        assert_eq!(sums[2].macs, operators[2].macs, "{name} at {size:?}");
        assert_eq!(cost.total().params.0, params, "{name}");
        assert_eq!(cost.tree(&graph).cost, cost.total(), "{name}: a scope counted twice");
    }
}

#[test]
fn counts_that_other_tools_got_wrong_come_out_right() {
    // A container counted beside its layers made 11.7 G of this.
    let resnet = taper_zoo::create("resnet18", 1000).unwrap();
    let cost = taper_cost::of(&resnet, [224, 224]).unwrap().total();
    assert_eq!((cost.forward.macs.0, cost.params.0), (1_814_073_344, 11_689_512));
    assert!(cost.forward.flops().0 > 2 * 1_814_073_344, "operations are not multiply-accumulates");
    // Attention without a module of its own is invisible to hooks on modules.
    let hybrid = taper_zoo::create("mobilenetv4_hybrid_medium", 1000).unwrap();
    let costs = taper_cost::of(&hybrid, [256, 256]).unwrap();
    let attention = hybrid.node_ids().filter(|id| operator(hybrid.node(*id).op()) == Some(2));
    let macs: Vec<u64> = attention.map(|id| costs.node(id).forward.macs.0).collect();
    assert!(!macs.is_empty() && macs.iter().all(|&macs| macs > 0), "{macs:?}");
}
