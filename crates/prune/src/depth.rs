//! Residual branches a network works without: removing one leaves its shortcut, and no other layer changes its size.
//!
//! Above: budgets that may remove depth. Below: `Graph::bypass`. Not here: channels (`cut`), what leaving a block out would save (`taper-cost`).

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use taper_graph::{Graph, NodeId, Op};
use taper_model::{Model, ModelParts, Tensor};

use crate::Result;

/// A branch beside a shortcut, with the sum that joins them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResidualBlock {
    /// Name of the innermost scope that holds all of it; of the sum, if there is none.
    pub name: String,
    /// What vanishes: the branch and the sum, in order. Readers of the sum read `shortcut` instead.
    pub nodes: Vec<NodeId>,
    /// What branch and sum read.
    pub shortcut: NodeId,
}

/// Every residual block that can be removed by itself, in the order of the graph. Each is a sum of a node and of a branch that reads
/// nothing else than this node and is read by nothing else than the sum.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_prune::residual_blocks;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let stem = b.conv("stem", b.input(), Conv::dense(8, 3, 1), Bias::With)?;
/// let wide = b.conv("expand", stem, Conv::pointwise(16), Bias::With)?;
/// let narrow = b.conv("project", wide, Conv::pointwise(8), Bias::With)?;
/// let sum = b.add("sum", stem, narrow)?;
/// b.output("features", sum)?;
/// let blocks = residual_blocks(&b.build()?);
/// assert_eq!((blocks[0].name.as_str(), blocks[0].nodes.as_slice()), ("sum", &[wide, narrow, sum][..]));
/// # Ok(()) }
/// ```
#[must_use]
pub fn residual_blocks(graph: &Graph) -> Vec<ResidualBlock> {
    let mut readers: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for id in graph.node_ids() {
        for input in graph.node(id).inputs() {
            readers.entry(*input).or_default().push(id);
        }
    }
    let blocks = graph.node_ids().filter_map(|sum| {
        let node = graph.node(sum);
        let (Op::Add, [a, b]) = (node.op(), node.inputs()) else { return None };
        let (shortcut, branch) = (*a.min(b), *a.max(b));
        let mut nodes = branch_nodes(graph, shortcut, branch, &readers, sum)?;
        nodes.push(sum);
        graph.bypass(&nodes).ok()?;
        let inside = |id: &NodeId, scope: &taper_graph::Scope| scope.contains(*id);
        let holds = |scope: &&taper_graph::Scope| nodes.iter().all(|id| inside(id, scope));
        let scope = graph.scopes().iter().filter(holds).min_by_key(|scope| scope.nodes().len());
        let name = scope.map_or(node.name(), taper_graph::Scope::name).to_owned();
        Some(ResidualBlock { name, nodes, shortcut })
    });
    blocks.collect()
}

/// What lies between shortcut and sum, in order; `None` if it reads or is read elsewhere.
fn branch_nodes(
    graph: &Graph,
    shortcut: NodeId,
    branch: NodeId,
    readers: &HashMap<NodeId, Vec<NodeId>>,
    sum: NodeId,
) -> Option<Vec<NodeId>> {
    let (mut inside, mut open) = (vec![false; graph.nodes().len()], vec![branch]);
    while let Some(id) = open.pop() {
        if id < shortcut {
            return None;
        }
        if id != shortcut && !std::mem::replace(&mut inside[id.index()], true) {
            open.extend(graph.node(id).inputs());
        }
    }
    let nodes: Vec<NodeId> = graph.node_ids().filter(|id| inside[id.index()]).collect();
    let is_own = |id: &NodeId| {
        let read = readers.get(id).is_some_and(|readers| {
            readers.iter().all(|reader| *reader == sum || inside[reader.index()])
        });
        read && !graph.outputs().values().any(|output| output == id)
    };
    (!nodes.is_empty() && nodes.iter().all(is_own)).then_some(nodes)
}

/// The model without a residual block: what is left keeps its weights, and the provenance says which block went.
///
/// # Errors
/// [`Error::Graph`](crate::Error::Graph) if the block is of another graph and cannot be left out of this one.
pub fn remove_block(model: &Model, block: &ResidualBlock) -> Result<Model> {
    let graph = model.graph().bypass(&block.nodes)?;
    let names = model.graph().params().iter().map(|spec| spec.name.as_str());
    let by_name: HashMap<&str, &Tensor> = names.zip(model.tensors()).collect();
    let kept = graph.params().iter().filter_map(|spec| by_name.get(spec.name.as_str()));
    let tensors = kept.map(|tensor| (*tensor).clone()).collect();
    let done = format!("without `{}`", block.name);
    let ModelParts { preprocess, classes, provenance, .. } = model.clone().into_parts();
    let smaller = Model::new(graph, tensors, preprocess, classes, provenance.and(done))?;
    Ok(smaller.with_task(model.task()))
}
