//! Layers: a convolution or linear layer with the norm and the activation that only it feeds.
//!
//! Above: `width`, `windows`, `removable`. Below: `taper_graph`. Not here: what runs as one (`taper-plan`).

use taper_graph::{Graph, NodeId, Op};

/// For each node the only one that reads it, if there is one and it is no output.
pub(super) fn sole_readers(graph: &Graph) -> Vec<Option<NodeId>> {
    let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); graph.nodes().len()];
    for id in graph.node_ids() {
        for input in graph.node(id).inputs() {
            readers[input.index()].push(id);
        }
    }
    for output in graph.outputs().values() {
        readers[output.index()].clear();
    }
    let sole = readers.iter().map(|readers| match readers.as_slice() {
        [reader] => Some(*reader),
        _ => None,
    });
    sole.collect()
}

/// A node, the norm that alone reads it, and the activation that alone reads these.
pub(super) fn layer(graph: &Graph, sole_readers: &[Option<NodeId>], node: NodeId) -> Vec<NodeId> {
    let mut layer = vec![node];
    let reader = |last: NodeId| sole_readers[last.index()];
    let mut last = node;
    if let Some(norm) = reader(last).filter(|id| is_norm(graph.node(*id).op())) {
        layer.push(norm);
        last = norm;
    }
    let is_activation = |id: &NodeId| matches!(graph.node(*id).op(), Op::Activation(_));
    layer.extend(reader(last).filter(is_activation));
    layer
}

fn is_norm(op: &Op) -> bool {
    matches!(op, Op::BatchNorm { .. } | Op::GroupNorm { .. } | Op::LayerNorm { .. })
}

/// Whether an operation makes channels with weights.
pub(super) fn has_filters(op: &Op) -> bool {
    match op {
        Op::Conv(_) | Op::ConvTranspose { .. } | Op::Linear { .. } => true,
        Op::Input { .. }
        | Op::BatchNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::ChannelScale
        | Op::Activation(_)
        | Op::Pool { .. }
        | Op::LpPool { .. }
        | Op::BlurPool { .. }
        | Op::AdaptivePool { .. }
        | Op::GlobalPool { .. }
        | Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::Concat
        | Op::Slice { .. }
        | Op::Shuffle { .. }
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Attention { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. } => false,
    }
}
