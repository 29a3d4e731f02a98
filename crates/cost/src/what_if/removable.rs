//! The blocks and layers that a network works without.
//!
//! Above: reports of what each part is worth. Below: `depth`, `layers`. Not here: what the rest costs (`count`).

use taper_graph::{Graph, NodeId};

use super::depth::{blocks, kept};
use super::layers::{has_filters, layer, sole_readers};
use crate::{Error, Result};

/// A part that can be left out, and the network without it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Removable {
    /// Of the block's scope, or of the layer's convolution or linear layer.
    pub name: String,
    /// Which it is.
    pub part: RemovablePart,
    /// The network without it.
    pub graph: Graph,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovablePart {
    /// A block.
    Block,
    /// A convolution or linear layer, with its norm and its activation.
    Layer,
}

/// Every block and every layer without which the network still takes images of `h` rows and `w` columns: those that read one node and make the
/// same extent of it. Blocks come first, both in the order of the network. One at a time: a graph is made when it is asked for.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_cost::{macs, what_if::removable};
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
/// let xs = b.conv("middle", xs, Conv::dense(8, 3, 1), Bias::With)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let parts: Vec<_> = removable(&graph, [32, 32])?.collect();
/// assert_eq!(parts.iter().map(|part| &part.name).collect::<Vec<_>>(), ["middle"]);
/// let saved = macs(&graph, 32, 32)?.0 - macs(&parts[0].graph, 32, 32)?.0;
/// assert_eq!(saved, 16 * 16 * 8 * 8 * 9);
/// # Ok(()) }
/// ```
pub fn removable(graph: &Graph, [h, w]: [usize; 2]) -> Result<impl Iterator<Item = Removable>> {
    let refused = |source| Error::Size { h, w, source: Box::new(source) };
    let extents = graph.extents(h, w).map_err(refused)?;
    let readers = sole_readers(graph);
    let blocks = blocks(graph).map(|scope| {
        let nodes: Vec<NodeId> = scope.nodes().collect();
        (scope.name(), RemovablePart::Block, nodes)
    });
    let layers = graph.node_ids().filter(move |id| has_filters(graph.node(*id).op()));
    let layers = layers
        .map(move |id| (graph.node(id).name(), RemovablePart::Layer, layer(graph, &readers, id)));
    Ok(blocks.chain(layers).filter_map(move |(name, part, nodes)| {
        kept(graph, &nodes, &extents)?;
        let without = graph.bypass(&nodes).ok()?;
        without.extents(h, w).ok()?;
        Some(Removable { name: name.to_owned(), part, graph: without })
    }))
}
