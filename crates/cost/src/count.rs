//! Parameters and multiply-accumulates, in all and node by node.
//!
//! Above: `taper models`, `taper cost`, reports. Below: `taper-graph`'s shapes. Not here: bytes, memory, time.
//! Counted as in papers and by torchvision: products of convolutions, linear layers and attention. Norms, activations,
//! biases, pools and sums count nothing.

use taper_graph::{Conv, Extent, Graph, Node, NodeId, Op, ParamId};

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

fn trained(graph: &Graph, id: ParamId) -> Params {
    let spec = graph.param(id);
    Params(if spec.role.is_trained() { spec.len() as u64 } else { 0 })
}

fn node_macs(node: &Node, id: NodeId, extents: &[Extent]) -> Macs {
    let input = |input_idx: usize| node.inputs().get(input_idx).map(|id| extents[id.index()]);
    let (Some(xs), ys) = (input(0), extents[id.index()]) else { return Macs(0) };
    let count = match node.op() {
        Op::Conv(conv) => product(&[positions(ys), conv.out, filter(conv, xs.channels())]),
        Op::ConvTranspose { conv, .. } => {
            product(&[positions(xs), conv.out, filter(conv, xs.channels())])
        }
        Op::Linear { out } => product(&[*out, xs.channels()]),
        // Scores and mixing: each query with each key, over the channels of q and then of the output.
        Op::Attention { .. } => {
            let keys = input(1).map_or(0, positions);
            product(&[positions(xs), keys, xs.channels() + ys.channels()])
        }
        _ => 0,
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
