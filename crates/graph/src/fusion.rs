//! One node in the place of several: the rewriting behind passes that fold weights.
//!
//! Above: passes that change graph and weights together. Below: `builder`. Not here: which nodes can be one, and the new
//! weights (`taper-model`).
//! Names, parameters and initial values of all other nodes stay; scopes cover what is left of them.

use std::collections::{BTreeMap, HashMap};

use crate::{Bias, Error, Graph, GraphBuilder, Node, NodeId, Op, ParamId, Result, Scope};

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
    /// [`Error::Fused`] if a node that stays, or an output, needs one that vanishes; and as the builder.
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
        let mut rewriting = Rewriting {
            old: self,
            builder: GraphBuilder::empty(),
            places: vec![None; self.nodes.len()],
            params: HashMap::new(),
        };
        let ends: HashMap<NodeId, &Fusion> = fusions.iter().map(|it| (it.last, it)).collect();
        let mut vanishes = vec![false; self.nodes.len()];
        for other in fusions.iter().flat_map(|fusion| &fusion.others) {
            if let Some(vanishes) = vanishes.get_mut(other.index()) {
                *vanishes = true;
            }
        }
        // How many nodes of the new graph stand before each of the old.
        let mut before = vec![0];
        for id in self.node_ids() {
            match ends.get(&id) {
                Some(fusion) => rewriting.add(id, fusion)?,
                None if vanishes[id.index()] => {}
                None => rewriting.copy(id)?,
            }
            before.push(rewriting.builder.n_nodes());
        }
        let mut scopes = self.scopes.clone();
        for Scope { nodes, .. } in &mut scopes {
            *nodes = before[nodes.start]..before[nodes.end];
        }
        scopes.retain(|scope| !scope.nodes.is_empty());
        let outputs = self
            .outputs
            .iter()
            .map(|(name, id)| Ok((name.clone(), rewriting.place(*id, &format!("output {name}"))?)));
        let outputs: BTreeMap<String, NodeId> = outputs.collect::<Result<_>>()?;
        rewriting.builder.finish(scopes, outputs)
    }
}

/// A graph on its way to another.
struct Rewriting<'a> {
    old: &'a Graph,
    builder: GraphBuilder,
    /// By old node.
    places: Vec<Option<NodeId>>,
    params: HashMap<ParamId, ParamId>,
}

impl Rewriting<'_> {
    fn place(&self, id: NodeId, reader: &str) -> Result<NodeId> {
        self.places.get(id.index()).copied().flatten().ok_or_else(|| Error::Fused {
            node: self.old.nodes.get(id.index()).map(|node| node.name.clone()).unwrap_or_default(),
            reader: reader.to_owned(),
        })
    }

    fn add(&mut self, id: NodeId, fusion: &Fusion) -> Result<()> {
        let from = self.place(fusion.from, &fusion.name)?;
        let new = self.builder.push(&fusion.name, fusion.op.clone(), &[from], fusion.bias)?;
        self.places[id.index()] = Some(new);
        Ok(())
    }

    fn copy(&mut self, id: NodeId) -> Result<()> {
        let old = self.old.node(id);
        let inputs = old.inputs.iter().map(|input| self.place(*input, &old.name));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let mut specs = Vec::with_capacity(old.params.len());
        let mut next = self.builder.n_params();
        for param in &old.params {
            let new = *self.params.entry(*param).or_insert_with(|| {
                next += 1;
                ParamId::new(next - 1)
            });
            specs.push((new, self.old.param(*param).clone()));
        }
        let params = specs.iter().map(|(id, _)| *id).collect();
        let node = Node { name: old.name.clone(), op: old.op.clone(), inputs, params };
        self.places[id.index()] = Some(self.builder.copy(node, specs)?);
        Ok(())
    }
}
