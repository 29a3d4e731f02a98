//! Other numbers of channels: a factor for all layers, a number for one, the classes.
//!
//! Above: `what_if`. Below: `channels`, `layers`, `taper_graph::scaling`. Not here: which channels must agree (`channels`).
//! Heads and groups stay as many as they are and get other sizes; groups of a depthwise convolution are its channels.
//! Source: Howard et al. 2017, section 3.3, <https://arxiv.org/abs/1704.04861>; rounding as tensorflow/models does it.

use std::collections::HashMap;

use taper_graph::scaling::make_divisible;
use taper_graph::{Conv, Graph, Node, NodeId, Op};

use super::channels::{Channels, Part};
use super::layers::has_filters;
use super::mismatch;
use crate::{Error, Result};

/// What channel counts are multiples of.
const DIVISOR: usize = 8;

/// Every layer's channels times a factor; those of the image and of the classifier stay.
pub(super) fn scaled(graph: &Graph, factor: f64) -> Result<Graph> {
    let channels = Channels::of(graph)?;
    let mut sizes = channels.sizes.clone();
    let times = occurrences(&channels);
    for (part, size) in sizes.iter_mut().enumerate() {
        // As many of it as stand in one row are a multiple of 8 together.
        let divisor = DIVISOR / gcd(DIVISOR, times[part]);
        let rounded = make_divisible(*size as f64 * factor, divisor, 0.9);
        *size = if factor < 1.0 { rounded.min(*size) } else { rounded.max(*size) };
    }
    let ends = graph.node_ids().filter(|id| is_end(graph, *id));
    for part in ends.flat_map(|id| &channels.rows[id.index()]) {
        sizes[*part] = channels.sizes[*part];
    }
    resized(graph, &channels, &sizes)
}

/// The channels of one layer, and of all that must agree with it.
pub(super) fn with_filters(graph: &Graph, node: NodeId, filters: usize) -> Result<Graph> {
    if !has_filters(graph.node(node).op()) {
        let (node, op) = (graph.node(node).name().to_owned(), graph.node(node).op().label());
        return Err(Error::NoFilters { node, op });
    }
    with_channels(graph, node, filters)
}

/// The channels of any node, and of all that must agree with it.
pub(super) fn with_channels(graph: &Graph, node: NodeId, n: usize) -> Result<Graph> {
    let channels = Channels::of(graph)?;
    let name = || graph.node(node).name().to_owned();
    let row = &channels.rows[node.index()];
    let old: usize = row.iter().map(|part| channels.sizes[*part]).sum();
    let largest = row.iter().fold(0, |gcd_of, part| gcd(gcd_of, channels.sizes[*part]));
    let step = old / largest.max(1);
    if step > 1 && !n.is_multiple_of(step) {
        return Err(Error::FilterGroups { node: name(), filters: n, step });
    }
    let image = &channels.rows[graph.input().index()];
    if n != old && row.iter().any(|part| image.contains(part)) {
        return Err(Error::ImageChannels { node: name(), channels: graph.input_channels() });
    }
    let mut sizes = channels.sizes.clone();
    for part in row {
        // `step` parts of `old` each have a whole number of these.
        sizes[*part] = (channels.sizes[*part] / largest.max(1)).saturating_mul(n / step.max(1));
    }
    resized(graph, &channels, &sizes)
}

/// The graph with parts of these sizes.
fn resized(graph: &Graph, channels: &Channels, sizes: &[usize]) -> Result<Graph> {
    let mut ids = graph.node_ids();
    let new = graph.map_ops(|node| match ids.next() {
        Some(id) => resized_op(node, id, channels, sizes),
        None => node.op().clone(),
    });
    new.map_err(mismatch)
}

fn resized_op(node: &Node, id: NodeId, channels: &Channels, sizes: &[usize]) -> Op {
    let out = channels.count(id, sizes);
    let Some(&first) = node.inputs().first() else { return node.op().clone() };
    let xs = [&channels.sizes, sizes].map(|sizes| channels.count(first, sizes));
    let conv = |conv: &Conv| {
        let is_depthwise = conv.groups > 1 && conv.groups == xs[0];
        Conv { out, groups: if is_depthwise { xs[1] } else { conv.groups }, ..*conv }
    };
    match node.op() {
        Op::Conv(old) => Op::Conv(conv(old)),
        Op::ConvTranspose { conv: old, output_padding } => {
            Op::ConvTranspose { conv: conv(old), output_padding: *output_padding }
        }
        Op::Linear { .. } => Op::Linear { out },
        Op::Slice { start, .. } => {
            Op::Slice { start: channels.before(first, *start, sizes), len: out }
        }
        // The factor is one over the root of a head's channels.
        Op::Attention { heads, kv_heads, scale } => {
            let scale = scale * (xs[0] as f64 / xs[1].max(1) as f64).sqrt();
            Op::Attention { heads: *heads, kv_heads: *kv_heads, scale }
        }
        op @ (Op::Input { .. }
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
        | Op::Shuffle { .. }
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. }) => op.clone(),
    }
}

/// Whether a node's channels mean something outside of the network: the image, the logits, and a layer that is an output and that nothing reads.
fn is_end(graph: &Graph, id: NodeId) -> bool {
    let outputs: Vec<&str> =
        graph.outputs().iter().filter(|(_, node)| **node == id).map(|(name, _)| &**name).collect();
    if id == graph.input() || outputs.contains(&"logits") {
        return true;
    }
    has_filters(graph.node(id).op())
        && !outputs.is_empty()
        && !graph.nodes().iter().any(|node| node.inputs().contains(&id))
}

/// For every part what the numbers of times that it stands in a row have in common.
fn occurrences(channels: &Channels) -> Vec<usize> {
    let mut all = vec![0; channels.sizes.len()];
    for row in &channels.rows {
        let mut times: HashMap<Part, usize> = HashMap::new();
        for part in row {
            *times.entry(*part).or_default() += 1;
        }
        for (part, times) in times {
            all[part] = gcd(all[part], times);
        }
    }
    all
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
