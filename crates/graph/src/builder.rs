//! Makes graphs: each call adds a node and refuses what cannot be.
//!
//! Above: `blocks`, the zoo's tables. Below: `shape`, `param`, `builder::check`. Not here: sizes of maps, which depend on
//! the image (`Graph::extents`).
//! A graph from JSON is replayed through the same door, so there is one set of checks.

mod check;

use std::collections::{BTreeMap, HashSet};

use crate::param::{self, Slot};
use crate::shape::Known;
use crate::{
    Activation, Bias, Conv, DType, Error, Graph, Init, Node, NodeId, Op, ParamId, ParamSpec,
    PoolKind, Result, Scope, ScopeKind, Window,
};

/// A graph in the making.
///
/// # Examples
/// ```
/// use taper_graph::{Activation, Bias, Conv, GraphBuilder, PoolKind, ScopeKind};
/// # fn main() -> taper_graph::Result<()> {
/// let mut b = GraphBuilder::new(3)?;
/// let stem = b.scope(ScopeKind::Stem, "stem", |b| {
///     let xs = b.conv("conv_stem", b.input(), Conv::dense(16, 3, 2), Bias::Without)?;
///     let xs = b.batch_norm("bn1", xs, 1e-5, 0.1)?;
///     b.activation("act1", xs, Activation::Relu6)
/// })?;
/// let pooled = b.global_pool("global_pool", stem, PoolKind::Avg, true)?;
/// let logits = b.linear("classifier", pooled, 10, Bias::With)?;
/// b.output("logits", logits)?;
/// let graph = b.build()?;
/// assert_eq!(graph.params()[0].name, "conv_stem.weight");
/// assert_eq!(graph.find_scope("stem").map(|s| s.reduction()), Some(2));
///
/// let mut b = GraphBuilder::new(3)?;
/// let error = b.conv("stem", b.input(), Conv { groups: 2, ..Conv::dense(16, 3, 2) }, Bias::With);
/// assert_eq!(
///     error.unwrap_err().to_string(),
///     "`stem`: 3 channels cannot be split into 2 groups: 3 mod 2 = 1, it must be 0"
/// );
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    known: Vec<Known>,
    reductions: Vec<u32>,
    params: Vec<ParamSpec>,
    scopes: Vec<Scope>,
    outputs: BTreeMap<String, NodeId>,
    names: HashSet<String>,
    param_names: HashSet<String>,
}

impl GraphBuilder {
    /// Begins with an image of `channels`, named `input`.
    ///
    /// # Errors
    /// [`Error::Range`] for no channels or absurdly many.
    pub fn new(channels: usize) -> Result<Self> {
        let mut builder = Self::empty();
        builder.push("input", Op::Input { channels }, &[], Bias::Without)?;
        Ok(builder)
    }

    pub(crate) fn empty() -> Self {
        Self {
            nodes: Vec::new(),
            known: Vec::new(),
            reductions: Vec::new(),
            params: Vec::new(),
            scopes: Vec::new(),
            outputs: BTreeMap::new(),
            names: HashSet::new(),
            param_names: HashSet::new(),
        }
    }

    /// The image.
    #[must_use]
    pub fn input(&self) -> NodeId {
        NodeId::new(0)
    }

    /// Channels of a node's output. Nodes of another builder have 0.
    #[must_use]
    pub fn channels(&self, node: NodeId) -> usize {
        self.known.get(node.index()).map_or(0, |known| known.channels)
    }

    /// Adds a node with parameters of its own: the call behind all others.
    ///
    /// # Errors
    /// Whatever makes the node impossible, with its name.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], bias: Bias) -> Result<NodeId> {
        let known = self.inspect(name, &op, inputs)?;
        let of_inputs: Vec<Known> = inputs.iter().map(|id| self.known[id.index()]).collect();
        let slots = param::slots(&op, &of_inputs, bias);
        let specs: Vec<ParamSpec> = slots.into_iter().map(|slot| spec(name, slot)).collect();
        specs.iter().try_for_each(|spec| self.admit_param(name, spec))?;
        let first = self.params.len();
        self.param_names.extend(specs.iter().map(|spec| spec.name.clone()));
        self.params.extend(specs);
        let params = (first..self.params.len()).map(ParamId::new).collect();
        let id = NodeId::new(self.nodes.len());
        self.admit(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), params }, known);
        Ok(id)
    }

    /// A convolution.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn conv(&mut self, name: &str, from: NodeId, conv: Conv, bias: Bias) -> Result<NodeId> {
        self.push(name, Op::Conv(conv), &[from], bias)
    }

    /// A batch norm; `momentum` is the weight of the **new** statistic.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn batch_norm(
        &mut self,
        name: &str,
        from: NodeId,
        eps: f64,
        momentum: f64,
    ) -> Result<NodeId> {
        let momentum = Some(momentum);
        self.push(name, Op::BatchNorm { eps, momentum }, &[from], Bias::Without)
    }

    /// An activation.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn activation(&mut self, name: &str, from: NodeId, f: Activation) -> Result<NodeId> {
        self.push(name, Op::Activation(f), &[from], Bias::Without)
    }

    /// A sum.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> Result<NodeId> {
        self.push(name, Op::Add, &[a, b], Bias::Without)
    }

    /// A product; `gate` may be `(1, 1, c)`.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn mul(&mut self, name: &str, xs: NodeId, gate: NodeId) -> Result<NodeId> {
        self.push(name, Op::Mul, &[xs, gate], Bias::Without)
    }

    /// Channels one after the other.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn concat(&mut self, name: &str, from: &[NodeId]) -> Result<NodeId> {
        self.push(name, Op::Concat, from, Bias::Without)
    }

    /// A pool over windows, sizes rounded down.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn pool(
        &mut self,
        name: &str,
        from: NodeId,
        kind: PoolKind,
        window: Window,
    ) -> Result<NodeId> {
        self.push(name, Op::Pool { kind, window, ceil: false }, &[from], Bias::Without)
    }

    /// A pool over all positions; `squeeze` makes a vector of it.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn global_pool(
        &mut self,
        name: &str,
        from: NodeId,
        kind: PoolKind,
        squeeze: bool,
    ) -> Result<NodeId> {
        self.push(name, Op::GlobalPool { kind, squeeze }, &[from], Bias::Without)
    }

    /// A map as a vector.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn flatten(&mut self, name: &str, from: NodeId) -> Result<NodeId> {
        self.push(name, Op::Flatten, &[from], Bias::Without)
    }

    /// Dropout with probability `p` of **dropping**.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn dropout(&mut self, name: &str, from: NodeId, p: f64) -> Result<NodeId> {
        self.push(name, Op::Dropout { p }, &[from], Bias::Without)
    }

    /// A linear layer.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn linear(&mut self, name: &str, from: NodeId, out: usize, bias: Bias) -> Result<NodeId> {
        self.push(name, Op::Linear { out }, &[from], bias)
    }

    /// Every element times `factor`.
    ///
    /// # Errors
    /// As [`GraphBuilder::push`].
    pub fn scale(&mut self, name: &str, from: NodeId, factor: f64) -> Result<NodeId> {
        self.push(name, Op::Scale { factor }, &[from], Bias::Without)
    }

    /// Says how a parameter begins, if not as its operation says.
    ///
    /// # Errors
    /// [`Error::UnknownParam`], and [`Error::Range`] for a number that is none.
    pub fn init(&mut self, param: &str, init: Init) -> Result<()> {
        let spec = self.params.iter_mut().rev().find(|spec| spec.name == param);
        let spec = spec.ok_or_else(|| Error::UnknownParam { param: param.to_owned() })?;
        spec.init = init;
        check::check_init(param, spec)
    }

    /// Names what `f` adds. Returns what `f` returns.
    ///
    /// # Errors
    /// Those of `f`, [`Error::Scope`] if it adds nothing, [`Error::Duplicate`] for a name that is taken.
    pub fn scope<T>(
        &mut self,
        kind: ScopeKind,
        name: &str,
        f: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let start = self.nodes.len();
        let place = self.scopes.len();
        let result = f(self)?;
        let nodes = start..self.nodes.len();
        self.scopes.insert(place, Scope { name: name.to_owned(), kind, nodes, reduction: 1 });
        Ok(result)
    }

    /// Names an output.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::OutputNode`].
    pub fn output(&mut self, name: &str, node: NodeId) -> Result<()> {
        if self.outputs.insert(name.to_owned(), node).is_some() {
            return Err(Error::Duplicate { what: "outputs", name: name.to_owned() });
        }
        self.check_output(name, node)
    }

    /// Ends the making.
    ///
    /// # Errors
    /// [`Error::NoOutputs`], and what is wrong with scopes.
    pub fn build(mut self) -> Result<Graph> {
        let (scopes, outputs) =
            (std::mem::take(&mut self.scopes), std::mem::take(&mut self.outputs));
        self.finish(scopes, outputs)
    }

    /// Adds a node with parameters of these names, element types and initial values; their shapes follow from its operation.
    pub(crate) fn replay(&mut self, node: Node, specs: &[&ParamSpec]) -> Result<NodeId> {
        let known = self.inspect(&node.name, &node.op, &node.inputs)?;
        let of_inputs: Vec<Known> = node.inputs.iter().map(|id| self.known[id.index()]).collect();
        let slots = param::slots(&node.op, &of_inputs, node.bias());
        if slots.len() != node.params.len() {
            return Err(check::param_count(&node, slots.len()));
        }
        for ((slot, id), old) in slots.into_iter().zip(&node.params).zip(specs) {
            let Slot { shape, role, axes, .. } = slot;
            let new = ParamSpec { shape, role, axes, ..(*old).clone() };
            self.adopt_param(&node.name, *id, new)?;
        }
        let id = NodeId::new(self.nodes.len());
        self.admit(node, known);
        Ok(id)
    }

    pub(crate) fn n_params(&self) -> usize {
        self.params.len()
    }

    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }
}

fn spec(node: &str, slot: Slot) -> ParamSpec {
    let Slot { suffix, shape, role, axes, init } = slot;
    ParamSpec { name: format!("{node}.{suffix}"), shape, dtype: DType::F32, role, axes, init }
}
