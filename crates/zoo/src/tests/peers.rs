//! Every network against what timm says of its own: counts, names and shapes of all tensors, and all operations
//! with their numbers and sizes.
//!
//! Above: `cargo test`. Below: `architecture`. Not here: values (`tests/golden`).
//! `peers.txt` is written by `tests/generators/zoo.py`, which also prints the lines behind the digests of one network.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use taper_graph::{Extent, Graph, Node, Op, ParamSpec};

use taper_model::{Model, Preprocess, Provenance, Tensor, reparameterize};

use crate::{Architecture, architecture, architectures};

const PEERS: &str = include_str!("peers.txt");
/// Ends the name of a network whose parallel ways are one.
const FUSED: &str = ":reparameterized";

/// What a peer says of one network.
#[derive(Debug, PartialEq)]
pub(super) struct Peer {
    pub(super) input_size: usize,
    pub(super) params: u64,
    pub(super) macs: u64,
    pub(super) tensors: String,
    pub(super) operations: String,
}

fn peers() -> BTreeMap<&'static str, Peer> {
    let lines = PEERS.lines().filter(|line| !line.starts_with('#'));
    let peer = |line: &'static str| {
        let [name, input_size, params, macs, tensors, operations] =
            line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (params, macs) = (params.parse().unwrap(), macs.parse().unwrap());
        let (tensors, operations) = (tensors.to_owned(), operations.to_owned());
        let input_size = input_size.parse().unwrap();
        (name, Peer { input_size, params, macs, tensors, operations })
    };
    lines.map(peer).collect()
}

fn ours(architecture: &Architecture) -> Peer {
    let graph = architecture.graph(1000).unwrap();
    let tensors = digest(tensors(&graph));
    describe(&graph, architecture.input_size, tensors)
}

pub(super) fn describe(graph: &Graph, input_size: usize, tensors: String) -> Peer {
    Peer {
        input_size,
        params: taper_cost::params(graph).0,
        macs: taper_cost::macs(graph, input_size, input_size).unwrap().0,
        tensors,
        operations: digest(operations(graph, input_size)),
    }
}

pub(super) fn digest(mut lines: Vec<String>) -> String {
    lines.sort_unstable();
    let hash = Sha256::digest(lines.join("\n"));
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn joined<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
}

fn tensors(graph: &Graph) -> Vec<String> {
    let line = |spec: &ParamSpec| format!("{} {}", spec.name, joined(&spec.shape));
    graph.params().iter().map(line).collect()
}

fn operations(graph: &Graph, size: usize) -> Vec<String> {
    let extents = graph.extents(size, size).unwrap();
    let line = |id: taper_graph::NodeId| {
        let node = graph.node(id);
        let inputs: Vec<Extent> = node.inputs().iter().map(|id| extents[id.index()]).collect();
        operation(node, &inputs, extents[id.index()])
    };
    graph.node_ids().filter_map(line).collect()
}

/// `None` for what PyTorch does in views or not at all in evaluation.
fn operation(node: &Node, inputs: &[Extent], ys: Extent) -> Option<String> {
    let xs = *inputs.first()?;
    let size = |extent: Extent| match extent {
        Extent::Map { h, w, c } => joined(&[h, w, c]),
        Extent::Vector { c } => joined(&[c]),
    };
    let out = size(ys);
    Some(match node.op() {
        Op::Conv(conv) => {
            let (window, groups) = (&conv.window, conv.groups);
            let (kernel, stride, pads) = (window.kernel, window.stride, window.pads(xs.size()));
            let bias = if node.params().len() == 2 { " bias" } else { "" };
            format!(
                "conv {out} kernel {kernel:?} stride {stride:?} pads {pads:?} groups {groups}{bias}"
            )
        }
        Op::Linear { out } => format!("linear {out} of {}", xs.channels()),
        Op::BatchNorm { eps, momentum } => {
            format!("batch_norm {out} eps {:.0}e-6 momentum {:.4}", 1e6 * eps, (*momentum)?)
        }
        Op::Activation(activation) => format!("{} {out}", name(activation)),
        Op::Add | Op::Mul => format!("{} {out}", node.op().label()),
        Op::GlobalPool { .. } => format!("mean of {}", size(xs)),
        Op::ChannelScale => format!("mul {out}"),
        Op::Attention { heads, kv_heads, scale } => {
            let [queries, keys] = [xs, inputs[1]].map(|it| it.size().iter().product::<usize>());
            let [channels, values] = [xs, ys].map(|it| it.channels() / heads);
            let expected = 1.0 / (channels as f64).sqrt(); // torch's default
            assert!((scale - expected).abs() < 1e-12, "{}", node.name());
            format!(
                "attention of {queries} queries to {keys} keys heads {heads} of {channels} kv_heads {kv_heads} of {values}"
            )
        }
        Op::Scale { factor } => format!("scale {out} by {factor}"),
        Op::Pool { kind, window, ceil } => {
            let (kernel, stride, pads) = (window.kernel, window.stride, window.pads(xs.size()));
            let ceil = if *ceil { " ceil" } else { "" };
            format!("{} {out} kernel {kernel:?} stride {stride:?} pads {pads:?}{ceil}", name(kind))
        }
        Op::Flatten | Op::Dropout { .. } => return None,
        // A map that is large enough is not made larger.
        Op::AdaptivePool { at_least: true, .. } if xs == ys => return None,
        op => panic!("{}: the generator knows no {}", node.name(), op.label()),
    })
}

/// A name as JSON writes it.
fn name(kind: &impl serde::Serialize) -> String {
    serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn reparameterized_networks_are_those_of_their_peers() {
    let peers = peers();
    let fused = peers.iter().filter_map(|(name, it)| Some((name.strip_suffix(FUSED)?, it)));
    let mut n_fused = 0;
    for (name, peer) in fused {
        n_fused += 1;
        let architecture = architecture(name).unwrap();
        // Weights do not matter; zeros are quick.
        let graph = architecture.graph(1000).unwrap();
        let zeros =
            |spec: &ParamSpec| Tensor { shape: spec.shape.clone(), data: vec![0.0; spec.len()] };
        let tensors = graph.params().iter().map(zeros).collect();
        let (preprocess, provenance) = (Preprocess::imagenet(), Provenance::default());
        let model = Model::new(graph, tensors, preprocess, Vec::new(), provenance).unwrap();
        let fused = reparameterize(&model).unwrap().into_parts().graph;
        // Names of the new layers are ours.
        let tensors = peer.tensors.clone();
        assert_eq!(&describe(&fused, architecture.input_size, tensors), peer, "{name}");
    }
    assert_eq!(n_fused, 13);
}

#[test]
fn every_network_is_that_of_its_peer_to_the_last_tensor_and_operation() {
    let peers = peers();
    for architecture in architectures() {
        let name = architecture.name;
        let peer = peers.get(name).unwrap_or_else(|| panic!("`peers.txt` has no {name}"));
        assert_eq!(&ours(architecture), peer, "{name}");
        let counts = (architecture.params, architecture.macs);
        assert_eq!(counts, (peer.params, peer.macs), "the table of {name}");
    }
    let n_plain = peers.keys().filter(|name| !name.ends_with(FUSED)).count();
    assert_eq!(n_plain, architectures().count());
}
