//! A graph on its way to another: nodes copied one after the other, with their parameters, scopes and outputs.
//!
//! Above: `fusion`, `edit`, `repeat`. Below: `GraphBuilder`. Not here: what becomes of which node.
//! Names, element types and initial values of parameters stay, and which nodes share them; shapes follow from what a node reads.

use std::collections::{BTreeMap, HashMap};

use crate::{Error, Graph, GraphBuilder, Node, NodeId, ParamId, ParamSpec, Result, Scope};

pub(crate) struct Rewriting<'a> {
    pub(crate) old: &'a Graph,
    pub(crate) builder: GraphBuilder,
    /// The node to read in the place of each old one.
    places: Vec<Option<NodeId>>,
    params: HashMap<ParamId, ParamId>,
    /// How many nodes of the new graph stand before each of the old.
    before: Vec<usize>,
}

impl<'a> Rewriting<'a> {
    pub(crate) fn new(old: &'a Graph) -> Self {
        let (builder, places) = (GraphBuilder::empty(), vec![None; old.nodes.len()]);
        Self { old, builder, places, params: HashMap::new(), before: vec![0] }
    }

    /// Calls `each` with every old node.
    pub(crate) fn walk(
        mut self,
        mut each: impl FnMut(&mut Self, NodeId) -> Result<()>,
    ) -> Result<Self> {
        for id in self.old.node_ids() {
            each(&mut self, id)?;
            self.before.push(self.builder.n_nodes());
        }
        Ok(self)
    }

    /// What to read in the place of an old node.
    pub(crate) fn place(&self, id: NodeId, reader: &str) -> Result<NodeId> {
        self.places.get(id.index()).copied().flatten().ok_or_else(|| Error::Fused {
            node: self.old.nodes.get(id.index()).map(|node| node.name.clone()).unwrap_or_default(),
            reader: reader.to_owned(),
        })
    }

    /// From now on `new` is read in the place of the old node.
    pub(crate) fn put(&mut self, id: NodeId, new: NodeId) {
        self.places[id.index()] = Some(new);
    }

    /// Copies an old node.
    pub(crate) fn copy(&mut self, id: NodeId) -> Result<()> {
        let old = self.old.node(id);
        let inputs = old.inputs.iter().map(|input| self.place(*input, &old.name));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let params = new_ids(&old.params, self.builder.n_params(), &mut self.params);
        let specs: Vec<&ParamSpec> = old.params.iter().map(|id| self.old.param(*id)).collect();
        let new = self.builder.replay(Node { inputs, params, ..old.clone() }, &specs)?;
        self.put(id, new);
        Ok(())
    }

    /// The old scopes around the new nodes; those of which nothing is left cover none.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        let mut scopes = self.old.scopes.clone();
        for Scope { nodes, .. } in &mut scopes {
            *nodes = self.before[nodes.start]..self.before[nodes.end];
        }
        scopes
    }

    /// The new graph with the old scopes, as far as something is left of them.
    pub(crate) fn finish(self) -> Result<Graph> {
        let mut scopes = self.scopes();
        scopes.retain(|scope| !scope.nodes.is_empty());
        self.finish_with(scopes)
    }

    pub(crate) fn finish_with(self, scopes: Vec<Scope>) -> Result<Graph> {
        let outputs = self.old.outputs.iter();
        let outputs = outputs
            .map(|(name, id)| Ok((name.clone(), self.place(*id, &format!("output {name}"))?)));
        let outputs: BTreeMap<String, NodeId> = outputs.collect::<Result<_>>()?;
        self.builder.finish(scopes, outputs)
    }
}

/// The new ids of a node's parameters: of those met before the same, of the others the next.
pub(crate) fn new_ids(
    old: &[ParamId],
    mut next: usize,
    known: &mut HashMap<ParamId, ParamId>,
) -> Vec<ParamId> {
    let new = old.iter().map(|param| {
        *known.entry(*param).or_insert_with(|| {
            next += 1;
            ParamId::new(next - 1)
        })
    });
    new.collect()
}
