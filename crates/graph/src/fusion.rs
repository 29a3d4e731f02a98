//! One node in the place of several: the rewriting behind passes that fold weights.
//!
//! Above: passes that change graph and weights together. Below: `rewriting`. Not here: which nodes can be one, and the new
//! weights (`taper-model`); nodes that come and go (`edit`).
//! Names, parameters and initial values of all other nodes stay; scopes cover what is left of them.

use std::collections::HashMap;

use crate::rewriting::Rewriting;
use crate::{Bias, Graph, NodeId, Op, Result};

/// Nodes that become one.
#[derive(Debug, Clone, PartialEq)]
pub struct Fusion {
    /// Of the new node.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Whether it has a bias.
    pub bias: Bias,
    /// What it reads: a node that stays, or that another fusion ends in.
    pub from: NodeId,
    /// The node in whose place it stands.
    pub last: NodeId,
    /// The other nodes that vanish.
    pub others: Vec<NodeId>,
}

impl Graph {
    /// A graph with one node in the place of each group of nodes.
    ///
    /// # Errors
    /// [`Error::Fused`](crate::Error::Fused) if a node that stays, or an output, needs one that vanishes; and as the builder.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Bias, Conv, Fusion, GraphBuilder, Op};
    /// # fn main() -> taper_graph::Result<()> {
    /// let mut b = GraphBuilder::new(3)?;
    /// let conv = b.conv("conv", b.input(), Conv::pointwise(8), Bias::Without)?;
    /// let norm = b.batch_norm("bn", conv, 1e-5, 0.1)?;
    /// b.output("features", norm)?;
    /// let graph = b.build()?;
    ///
    /// let (name, op) = ("conv".to_owned(), graph.node(conv).op().clone());
    /// let (from, last, others) = (graph.input(), norm, vec![conv]);
    /// let folded = graph.fuse(&[Fusion { name, op, bias: Bias::With, from, last, others }])?;
    /// let names: Vec<_> = folded.params().iter().map(|param| param.name.as_str()).collect();
    /// assert_eq!(names, ["conv.weight", "conv.bias"]);
    /// # Ok(()) }
    /// ```
    pub fn fuse(&self, fusions: &[Fusion]) -> Result<Self> {
        let ends: HashMap<NodeId, &Fusion> = fusions.iter().map(|it| (it.last, it)).collect();
        let others = fusions.iter().flat_map(|fusion| &fusion.others).copied();
        let vanishes = self.marks(&others.collect::<Vec<_>>());
        let rewriting = Rewriting::new(self).walk(|rewriting, id| match ends.get(&id) {
            Some(fusion) => {
                let Fusion { name, op, bias, from, .. } = fusion;
                let from = rewriting.place(*from, name)?;
                let new = rewriting.builder.push(name, op.clone(), &[from], *bias)?;
                rewriting.put(id, new);
                Ok(())
            }
            None if vanishes[id.index()] => Ok(()),
            None => rewriting.copy(id),
        });
        rewriting?.finish()
    }
}
