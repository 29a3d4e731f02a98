//! The network as data: nodes, parameters, scopes and named outputs.
//!
//! Above: every pass over a network. Below: `op`, `param`, `shape`, `scope`. Not here: making one (`builder`), JSON (`json`).
//! Inputs have smaller ids, so a cycle cannot be written. Immutable: every pass returns a new `Graph`.

use std::collections::BTreeMap;

use crate::shape::{self, Known, Space};
use crate::{Bias, Error, Extent, GraphBuilder, NodeId, Op, ParamId, ParamSpec, Result, Scope};

/// The version of the description that this crate writes.
pub const FORMAT: u32 = 1;

/// A network that was checked when it was built.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) params: Vec<ParamSpec>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) outputs: BTreeMap<String, NodeId>,
}

/// An operation, what it reads and what it owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<NodeId>,
    pub(crate) params: Vec<ParamId>,
}

impl Node {
    /// Name in timm's spelling: `blocks.1.0.conv_pw`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it computes.
    #[must_use]
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// What it reads, in order.
    #[must_use]
    pub fn inputs(&self) -> &[NodeId] {
        &self.inputs
    }

    /// Its parameters in the order that its [`Op`] states. Another node may share them.
    #[must_use]
    pub fn params(&self) -> &[ParamId] {
        &self.params
    }

    /// Whether a convolution or linear layer has a bias; `Without` for every other operation.
    #[must_use]
    pub fn bias(&self) -> Bias {
        match self.op {
            Op::Conv(_) | Op::ConvTranspose { .. } | Op::Linear { .. }
                if self.params.len() == 2 =>
            {
                Bias::With
            }
            _ => Bias::Without,
        }
    }
}

impl Graph {
    /// All nodes, inputs before their readers; the image is the first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node of this graph.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Every node with its id.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len()).map(NodeId::new)
    }

    /// All parameters and buffers, in build order.
    #[must_use]
    pub fn params(&self) -> &[ParamSpec] {
        &self.params
    }

    /// One parameter of this graph.
    #[must_use]
    pub fn param(&self, id: ParamId) -> &ParamSpec {
        &self.params[id.index()]
    }

    /// The id of every parameter.
    pub fn param_ids(
        &self,
    ) -> impl DoubleEndedIterator<Item = ParamId> + ExactSizeIterator + use<> {
        (0..self.params.len()).map(ParamId::new)
    }

    /// The parameter of that name.
    #[must_use]
    pub fn param_id(&self, name: &str) -> Option<ParamId> {
        self.params.iter().position(|param| param.name == name).map(ParamId::new)
    }

    /// The node of that name.
    #[must_use]
    pub fn find_node(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name).map(NodeId::new)
    }

    /// Named ranges of nodes, outer before inner.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The scope of that name.
    #[must_use]
    pub fn find_scope(&self, name: &str) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.name() == name)
    }

    /// Outputs by name.
    #[must_use]
    pub fn outputs(&self) -> &BTreeMap<String, NodeId> {
        &self.outputs
    }

    /// The output of that name.
    ///
    /// # Errors
    /// [`Error::UnknownOutput`], which lists those there are.
    pub fn output(&self, name: &str) -> Result<NodeId> {
        self.outputs.get(name).copied().ok_or_else(|| Error::UnknownOutput {
            name: name.to_owned(),
            known: self.outputs.keys().cloned().collect(),
        })
    }

    /// The outputs that are meant where none is named: `logits` if there is one, else all, by name.
    pub fn main_outputs(&self) -> impl Iterator<Item = &str> {
        let only_logits = self.outputs.contains_key("logits");
        self.outputs
            .keys()
            .map(String::as_str)
            .filter(move |name| !only_logits || *name == "logits")
    }

    /// The image.
    #[must_use]
    pub fn input(&self) -> NodeId {
        NodeId::new(0)
    }

    /// Channels of the image.
    #[must_use]
    pub fn input_channels(&self) -> usize {
        match self.nodes.first().map(Node::op) {
            Some(Op::Input { channels }) => *channels,
            _ => 0,
        }
    }

    /// The extent of every node's output, by node index, for an image of `h` rows and `w` columns.
    ///
    /// # Errors
    /// Names the first node whose window does not fit, or whose inputs differ in size.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Activation, Bias, Conv, Extent, GraphBuilder};
    /// # fn main() -> taper_graph::Result<()> {
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
    /// b.output("features", xs)?;
    /// let graph = b.build()?;
    /// assert_eq!(graph.extents(224, 224)?[1], Extent::Map { h: 112, w: 112, c: 8 });
    /// # Ok(()) }
    /// ```
    pub fn extents(&self, h: usize, w: usize) -> Result<Vec<Extent>> {
        let unknown = |node: &Node| Error::UnknownSize { node: node.name.clone() };
        let extents = self.infer(Some([h, w]))?.into_iter().zip(&self.nodes);
        extents.map(|(known, node)| known.extent().ok_or_else(|| unknown(node))).collect()
    }

    /// The channels of every node's output, by node index; they do not depend on the image's size.
    ///
    /// # Errors
    /// None that building the graph would not have met.
    ///
    /// # Examples
    /// ```
    /// # use taper_graph::{Bias, Conv, GraphBuilder};
    /// # fn main() -> taper_graph::Result<()> {
    /// # let mut b = GraphBuilder::new(3)?;
    /// # let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
    /// # b.output("features", xs)?;
    /// assert_eq!(b.build()?.channels()?, [3, 8]);
    /// # Ok(()) }
    /// ```
    pub fn channels(&self) -> Result<Vec<usize>> {
        Ok(self.infer(None)?.into_iter().map(|known| known.channels).collect())
    }

    fn infer(&self, image: Option<[usize; 2]>) -> Result<Vec<Known>> {
        let mut known: Vec<Known> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let inputs: Vec<Known> = node.inputs.iter().map(|id| known[id.index()]).collect();
            let mut output = shape::infer(&node.name, &node.op, &inputs)?;
            if matches!(node.op, Op::Input { .. }) {
                output.space = Space::Map(image);
                shape::bound(&node.name, &node.op, output)?;
            }
            known.push(output);
        }
        Ok(known)
    }

    /// A graph of the same nodes with other operations: `f` returns what each node shall be. Shapes of parameters follow,
    /// names, element types and initial values stay; so a new head or fewer channels are one call.
    ///
    /// # Errors
    /// As the builder: the new operations must fit together, and have as many parameters as the old.
    ///
    /// # Examples
    /// ```
    /// # use taper_graph::{Bias, GraphBuilder, Op, PoolKind};
    /// # fn main() -> taper_graph::Result<()> {
    /// # let mut b = GraphBuilder::new(3)?;
    /// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// # let xs = b.linear("classifier", xs, 1000, Bias::With)?;
    /// # b.output("logits", xs)?;
    /// # let graph = b.build()?;
    /// let six = graph.map_ops(|node| match node.op() {
    ///     Op::Linear { .. } => Op::Linear { out: 6 },
    ///     op => op.clone(),
    /// })?;
    /// assert_eq!(six.params()[0].shape, [6, 3]);
    /// # Ok(()) }
    /// ```
    pub fn map_ops(&self, mut f: impl FnMut(&Node) -> Op) -> Result<Self> {
        let mut builder = GraphBuilder::empty();
        for node in &self.nodes {
            let specs: Vec<&ParamSpec> = node.params.iter().map(|id| self.param(*id)).collect();
            builder.replay(Node { op: f(node), ..node.clone() }, &specs)?;
        }
        builder.finish(self.scopes.clone(), self.outputs.clone())
    }
}
