//! Costs gathered by the names of nodes: `blocks.3` is the sum of all that begins with it.
//!
//! Above: tables, treemaps. Below: `count`. Not here: what a node costs.

use std::collections::HashMap;

use taper_graph::{Graph, NodeId};

use crate::{Cost, NetworkCost};

/// Scopes inside of each other that are told apart; names come from files and may have any number of dots.
const DEEPEST: usize = 16;

/// A part of a network: all nodes whose names begin alike, or one node.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeCost {
    /// The whole name, such as `blocks.3`; empty for the network.
    pub name: String,
    /// The sum over its parts.
    pub cost: Cost,
    /// The node, if it is one.
    pub node: Option<NodeId>,
    /// In the order of the network.
    pub parts: Vec<ScopeCost>,
}

impl ScopeCost {
    /// The last part of the name.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }
}

impl NetworkCost {
    /// The network as a tree of scopes, along the dots in the names of its nodes. The image is left out.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Bias, Conv, GraphBuilder};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.conv("stem.conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
    /// let xs = b.batch_norm("stem.bn", xs, 1e-5, 0.1)?;
    /// b.output("features", xs)?;
    /// let graph = b.build()?;
    /// let tree = taper_cost::of(&graph, [32, 32])?.tree(&graph);
    /// assert_eq!(tree.parts[0].name, "stem");
    /// assert_eq!(tree.parts[0].cost, tree.cost);
    /// assert_eq!(tree.parts[0].parts[1].short_name(), "bn");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn tree(&self, graph: &Graph) -> ScopeCost {
        let nodes: Vec<NodeId> = graph.node_ids().skip(1).collect();
        scope(graph, self, "", &nodes, DEEPEST)
    }
}

/// The scope of some nodes whose names begin with `name`; below `depth` more scopes, names are not taken apart.
fn scope(
    graph: &Graph,
    costs: &NetworkCost,
    name: &str,
    nodes: &[NodeId],
    depth: usize,
) -> ScopeCost {
    let mut parts: Vec<(String, Vec<NodeId>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for &id in nodes {
        let node = graph.node(id).name();
        let start = if name.is_empty() { 0 } else { name.len() + 1 };
        let end = node.get(start..).and_then(|rest| rest.find('.')).map(|dot| start + dot);
        let part = end.filter(|_| depth > 0).map_or(node, |end| &node[..end]);
        // A scope that is entered again later is one part all the same.
        match index.get(part) {
            Some(&part) => parts[part].1.push(id),
            None => {
                index.insert(part.to_owned(), parts.len());
                parts.push((part.to_owned(), vec![id]));
            }
        }
    }
    let parts = parts.into_iter().map(|(part, nodes)| {
        // A node may be called as a scope is; it is the scope's first part then.
        let own = nodes.iter().copied().find(|&id| graph.node(id).name() == part);
        let leaf = own.map(|id| ScopeCost {
            name: part.clone(),
            cost: costs.node(id),
            node: Some(id),
            parts: Vec::new(),
        });
        let inner: Vec<NodeId> = nodes.into_iter().filter(|&id| Some(id) != own).collect();
        match leaf {
            Some(leaf) if inner.is_empty() => leaf,
            leaf => {
                let mut scope = scope(graph, costs, &part, &inner, depth.saturating_sub(1));
                scope.cost =
                    [scope.cost].into_iter().chain(leaf.iter().map(|leaf| leaf.cost)).sum();
                scope.parts.splice(0..0, leaf);
                scope
            }
        }
    });
    let parts: Vec<ScopeCost> = parts.collect();
    let cost = parts.iter().map(|part| part.cost).sum();
    ScopeCost { name: name.to_owned(), cost, node: None, parts }
}
