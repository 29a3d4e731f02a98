//! Parameters and multiply-accumulates, in all, node by node and unit by unit.
//!
//! Above: `taper-engine`'s profile, `taper models`, reports. Below: `taper-graph`'s shapes, `taper-plan`'s units. Not here: bytes, memory, time.
//! Counted as in papers and by torchvision: products of convolutions, linear layers and attention. Norms, activations,
//! biases, pools and sums count nothing.

use taper_graph::{Conv, Extent, Graph, Node, NodeId, Op, ParamId};
use taper_plan::{FusedGraph, Unit, UnitOp};

use crate::{Error, Macs, Params, Result};

/// What one node costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCost {
    /// Which.
    pub node: NodeId,
    /// Its trained parameters; shared ones count at the first node that has them.
    pub params: Params,
    /// Its multiply-accumulates for one image.
    pub macs: Macs,
}

/// Number of trained parameters; running statistics are none.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
/// b.output("features", xs)?;
/// assert_eq!(taper_cost::params(&b.build()?).0, 8 * 3 * 3 * 3 + 2 * 8);
/// # Ok(()) }
/// ```
#[must_use]
pub fn params(graph: &Graph) -> Params {
    graph.param_ids().map(|id| trained(graph, id)).sum()
}

/// Multiply-accumulates for one image of `h` rows and `w` columns.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// assert_eq!(taper_cost::macs(&b.build()?, 32, 32)?.0, 16 * 16 * 8 * 3 * 3 * 3);
/// # Ok(()) }
/// ```
pub fn macs(graph: &Graph, h: usize, w: usize) -> Result<Macs> {
    Ok(nodes(graph, h, w)?.iter().map(|cost| cost.macs).sum())
}

/// What each node costs, by node index, for one image of `h` rows and `w` columns.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
pub fn nodes(graph: &Graph, h: usize, w: usize) -> Result<Vec<NodeCost>> {
    let refused = |source| Error::Size { h, w, source: Box::new(source) };
    let extents = graph.extents(h, w).map_err(refused)?;
    let mut next_param = 0;
    let costs = graph.node_ids().map(|id| {
        let node = graph.node(id);
        // Parameters are numbered in the order of the nodes that first list them.
        let new = node.params().iter().copied().filter(|param| param.index() >= next_param);
        let params = new.clone().map(|param| trained(graph, param)).sum();
        next_param += new.count();
        NodeCost { node: id, params, macs: node_macs(node, id, &extents) }
    });
    Ok(costs.collect())
}

/// What each unit of a plan multiplies, by unit, for one image of `h` rows and `w` columns.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
/// use taper_plan::FusedGraph;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
/// let xs = b.activation("act", xs, Activation::Relu)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let fused = FusedGraph::new(&graph, &[xs])?;
/// assert_eq!(taper_cost::units(&graph, &fused, [32, 32])?, [taper_cost::macs(&graph, 32, 32)?]);
/// # Ok(()) }
/// ```
pub fn units(graph: &Graph, fused: &FusedGraph, [h, w]: [usize; 2]) -> Result<Vec<Macs>> {
    let nodes = nodes(graph, h, w)?;
    let unit = |unit: &Unit| match unit.op {
        // Made for the node behind them, which has a unit of its own.
        UnitOp::Border { .. } | UnitOp::Copy => Macs(0),
        _ => nodes[unit.node.index()].macs,
    };
    Ok(fused.units.iter().map(unit).collect())
}

fn trained(graph: &Graph, id: ParamId) -> Params {
    let spec = graph.param(id);
    Params(if spec.role.is_trained() { spec.len() as u64 } else { 0 })
}

fn node_macs(node: &Node, id: NodeId, extents: &[Extent]) -> Macs {
    let inputs: Vec<Extent> = node.inputs().iter().map(|id| extents[id.index()]).collect();
    op_macs(node.op(), &inputs, extents[id.index()])
}

/// Multiply-accumulates of one operation for one image, given the extents of what it reads and puts out.
///
/// # Examples
/// ```
/// use taper_graph::{Conv, Extent, Op};
/// let map = |c| Extent::Map { h: 7, w: 7, c };
/// let macs = taper_cost::op_macs(&Op::Conv(Conv::depthwise(8, 3, 1)), &[map(8)], map(8));
/// assert_eq!(macs.0, 7 * 7 * 8 * 9);
/// ```
#[must_use]
pub fn op_macs(op: &Op, inputs: &[Extent], ys: Extent) -> Macs {
    let Some(&xs) = inputs.first() else { return Macs(0) };
    let count = match op {
        Op::Conv(conv) => product(&[positions(ys), conv.out, filter(conv, xs.channels())]),
        Op::ConvTranspose { conv, .. } => {
            product(&[positions(xs), conv.out, filter(conv, xs.channels())])
        }
        Op::Linear { out } => product(&[*out, xs.channels()]),
        // Scores and mixing: each query with each key, over the channels of q and then of the output.
        Op::Attention { .. } => {
            let keys = inputs.get(1).copied().map_or(0, positions);
            product(&[positions(xs), keys, xs.channels() + ys.channels()])
        }
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
        | Op::Dropout { .. }
        | Op::DropPath { .. } => 0,
    };
    Macs(count)
}

/// Elements of one filter.
fn filter(conv: &Conv, in_channels: usize) -> usize {
    let [k_h, k_w] = conv.window.kernel;
    in_channels / conv.groups * k_h * k_w
}

fn positions(extent: Extent) -> usize {
    let [h, w] = extent.size();
    h * w
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product, &factor| product.saturating_mul(factor as u64))
}
