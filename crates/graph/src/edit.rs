//! Passes that change which nodes there are: one more behind a node, some left out.
//!
//! Above: what-if questions (`taper-cost`). Below: `rewriting`. Not here: other operations at the same nodes (`Graph::map_ops`), one
//! node in the place of several (`fusion`), scopes in a row (`repeat`), weights (`taper-model`).

use crate::rewriting::Rewriting;
use crate::{Bias, Error, Graph, NodeId, Op, Result};

impl Graph {
    /// A graph with a node without parameters behind `node`: whoever read that, outputs too, reads the new one. Scopes that hold
    /// `node` hold both.
    ///
    /// # Errors
    /// [`Error::HasParams`], and as the builder: the operation must fit, and what it makes must fit its readers.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Bias, Conv, Extent, GraphBuilder, Op, PoolKind, Window};
    /// # fn main() -> taper_graph::Result<()> {
    /// let mut b = GraphBuilder::new(3)?;
    /// let conv = b.conv("conv", b.input(), Conv::dense(8, 3, 1), Bias::With)?;
    /// b.output("features", conv)?;
    /// let pool = Op::Pool { kind: PoolKind::Max, window: Window::square(2, 2), ceil: false };
    /// let pooled = b.build()?.insert_after(conv, "pool", pool)?;
    /// let features = pooled.output("features")?;
    /// assert_eq!(pooled.node(features).name(), "pool");
    /// assert_eq!(pooled.extents(32, 32)?[features.index()], Extent::Map { h: 16, w: 16, c: 8 });
    /// # Ok(()) }
    /// ```
    pub fn insert_after(&self, node: NodeId, name: &str, op: Op) -> Result<Self> {
        let mut op = Some(op);
        let rewriting = Rewriting::new(self).walk(|rewriting, id| {
            rewriting.copy(id)?;
            let Some(op) = op.take_if(|_| id == node) else { return Ok(()) };
            let (label, n_params) = (op.label(), rewriting.builder.n_params());
            let from = rewriting.place(id, name)?;
            let new = rewriting.builder.push(name, op, &[from], Bias::Without)?;
            if rewriting.builder.n_params() > n_params {
                return Err(Error::HasParams { node: name.to_owned(), op: label });
            }
            rewriting.put(id, new);
            Ok(())
        });
        rewriting?.finish()
    }

    /// A graph without these nodes, in any order: whoever read the last of them reads what they read. Parameters that are left have the shapes
    /// that follow; where the extents of the two are equal, none changes. Without any nodes, the same graph.
    ///
    /// # Errors
    /// [`Error::Bypass`] if they do not read exactly one node outside; [`Error::Fused`] if another than the last of them is read outside or
    /// is an output; and as the builder: what they read must fit their readers.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
    /// # fn main() -> taper_graph::Result<()> {
    /// let mut b = GraphBuilder::new(8)?;
    /// let conv = b.conv("conv", b.input(), Conv::pointwise(8), Bias::With)?;
    /// let act = b.activation("act", conv, Activation::Relu)?;
    /// let last = b.conv("last", act, Conv::pointwise(4), Bias::With)?;
    /// b.output("ys", last)?;
    /// let short = b.build()?.bypass(&[conv, act])?;
    /// let names: Vec<_> = short.nodes().iter().map(|node| node.name()).collect();
    /// assert_eq!(names, ["input", "last"]);
    /// # Ok(()) }
    /// ```
    pub fn bypass(&self, nodes: &[NodeId]) -> Result<Self> {
        let vanishes = self.marks(nodes);
        let Some(last) = self.node_ids().rfind(|id| vanishes[id.index()]) else {
            return Ok(self.clone());
        };
        let reads = self.read_by(nodes);
        let &[from] = reads.as_slice() else {
            let reads = reads.iter().map(|id| self.node(*id).name.clone()).collect();
            return Err(Error::Bypass { node: self.node(last).name.clone(), reads });
        };
        let stay = self.nodes.iter().zip(&vanishes).filter(|(_, vanishes)| !**vanishes);
        let mut needed = stay.flat_map(|(node, _)| node.inputs.iter().map(move |id| (*id, node)));
        if let Some((id, reader)) = needed.find(|(id, _)| vanishes[id.index()] && *id != last) {
            let node = self.node(id).name.clone();
            return Err(Error::Fused { node, reader: reader.name.clone() });
        }
        let rewriting = Rewriting::new(self).walk(|rewriting, id| {
            if id == last {
                let from = rewriting.place(from, &self.node(id).name)?;
                rewriting.put(id, from);
            } else if !vanishes[id.index()] {
                rewriting.copy(id)?;
            }
            Ok(())
        });
        rewriting?.finish()
    }

    /// The nodes outside of a part of the network that the part reads, each once, in order.
    ///
    /// # Examples
    /// ```
    /// # use taper_graph::{Bias, Conv, GraphBuilder};
    /// # fn main() -> taper_graph::Result<()> {
    /// # let mut b = GraphBuilder::new(8)?;
    /// let conv = b.conv("conv", b.input(), Conv::pointwise(8), Bias::With)?;
    /// let sum = b.add("sum", conv, b.input())?;
    /// # b.output("ys", sum)?;
    /// # let graph = b.build()?;
    /// assert_eq!(graph.read_by(&[sum]), [graph.input(), conv]);
    /// assert_eq!(graph.read_by(&[conv, sum]), [graph.input()]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn read_by(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let inside = self.marks(nodes);
        let parts = self.node_ids().filter(|id| inside[id.index()]);
        let inputs = parts.flat_map(|id| self.node(id).inputs.iter().copied());
        let mut outside: Vec<NodeId> = inputs.filter(|id| !inside[id.index()]).collect();
        outside.sort_unstable();
        outside.dedup();
        outside
    }

    /// Whether each node is one of these; ids of other graphs mark nothing.
    pub(crate) fn marks(&self, nodes: &[NodeId]) -> Vec<bool> {
        let mut marks = vec![false; self.nodes.len()];
        for node in nodes {
            if let Some(mark) = marks.get_mut(node.index()) {
                *mark = true;
            }
        }
        marks
    }
}
