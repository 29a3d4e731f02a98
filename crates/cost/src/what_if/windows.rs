//! Where a network's maps become smaller: other strides, pools in the place of strides.
//!
//! Above: `what_if`. Below: `layers`, `Window`. Not here: sizes of maps (`taper_graph`).

use taper_graph::{Graph, NodeId, Op, Padding, PoolKind, Window};

use super::layers::{layer, sole_readers};
use super::{known_extents, mismatch};
use crate::{Error, Result};

/// Another stride of one window. Where ways with another stride meet the ones behind it, those that moved as far as it did do so again.
pub(super) fn with_stride(graph: &Graph, node: NodeId, stride: usize) -> Result<Graph> {
    let Some(old) = graph.node(node).op().window().copied() else {
        let (node, op) = (graph.node(node).name().to_owned(), graph.node(node).op().label());
        return Err(Error::NoStride { node, op });
    };
    let ([h, w], _) = known_extents(graph)?;
    let mut moved = vec![node];
    loop {
        let new = with_windows(graph, &moved, |id, window| {
            let new = strides(&old, window, stride);
            // Beside it, a pool whose windows neither overlap nor leave gaps stays so.
            if id != node && window.kernel == window.stride {
                window.kernel = new;
            }
            window.stride = new;
        })?;
        let Err(source) = new.extents(h, w) else { return Ok(new) };
        let more = match &source {
            taper_graph::Error::Mismatch { node: meeting, .. } => graph
                .find_node(meeting)
                .map(|meeting| beside(graph, node, meeting, old.stride))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let before = moved.len();
        moved.extend(more);
        moved.sort_unstable();
        moved.dedup();
        if moved.len() == before {
            return Err(mismatch(source));
        }
    }
}

/// A pool behind the layer of a strided convolution, which then has stride 1. Sizes are rounded up, as the stride did.
pub(super) fn with_pool(graph: &Graph, node: NodeId, kind: PoolKind) -> Result<Graph> {
    let op = graph.node(node).op();
    let stride = if let Op::Conv(conv) = op { conv.window.stride } else { [1, 1] };
    if stride == [1, 1] {
        let (node, op) = (graph.node(node).name().to_owned(), op.label());
        return Err(Error::NotStrided { node, op });
    }
    let last = layer(graph, &sole_readers(graph), node).last().copied().unwrap_or(node);
    let still = with_windows(graph, &[node], |_, window| window.stride = [1, 1])?;
    let window = Window { kernel: stride, stride, padding: Padding::Valid, ..Window::point() };
    let name = format!("{}.pool", graph.node(node).name());
    let pooled = still.insert_after(last, &name, Op::Pool { kind, window, ceil: true });
    pooled.map_err(mismatch)
}

/// The graph with other windows at some nodes.
fn with_windows(
    graph: &Graph,
    nodes: &[NodeId],
    change: impl Fn(NodeId, &mut Window),
) -> Result<Graph> {
    let mut ids = graph.node_ids();
    let new = graph.map_ops(|node| {
        let mut op = node.op().clone();
        if let Some(id) = ids.next().filter(|id| nodes.contains(id))
            && let Some(window) = op.window_mut()
        {
            change(id, window);
        }
        op
    });
    new.map_err(mismatch)
}

/// The stride along both axes; an axis along which nothing moves and no tap has a neighbor is none (1-D maps).
fn strides(named: &Window, window: &Window, stride: usize) -> [usize; 2] {
    [0, 1].map(|axis| {
        let other = 1 - axis;
        let is_still = window.stride[axis] == 1 && window.stride[other] > 1;
        let is_line = named.kernel[axis] == 1 && named.kernel[other] > 1;
        if is_still || is_line { 1 } else { stride }
    })
}

/// Windows of the same stride on other ways to the place where a node's ways meet.
fn beside(graph: &Graph, node: NodeId, meeting: NodeId, stride: [usize; 2]) -> Vec<NodeId> {
    if stride == [1, 1] {
        return Vec::new();
    }
    let [before, there] = [node, meeting].map(|end| ancestors(graph, end));
    let mut behind = vec![false; graph.nodes().len()];
    behind[node.index()] = true;
    for id in graph.node_ids().filter(|id| *id > node) {
        behind[id.index()] = graph.node(id).inputs().iter().any(|input| behind[input.index()]);
    }
    let is_beside = |id: &NodeId| there[id.index()] && !before[id.index()] && !behind[id.index()];
    let others = graph.node_ids().filter(is_beside);
    others
        .filter(|id| graph.node(*id).op().window().is_some_and(|other| other.stride == stride))
        .collect()
}

/// Whether each node is read on the way to `end`, which is one too.
fn ancestors(graph: &Graph, end: NodeId) -> Vec<bool> {
    let mut ancestors = vec![false; graph.nodes().len()];
    ancestors[end.index()] = true;
    for id in graph.node_ids().rev().filter(|id| *id <= end) {
        if ancestors[id.index()] {
            graph.node(id).inputs().iter().for_each(|input| ancestors[input.index()] = true);
        }
    }
    ancestors
}
