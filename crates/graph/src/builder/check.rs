//! What the builder checks beside shapes: names, inputs, parameters, scopes, outputs.
//!
//! Above: `builder`. Below: `shape`. Not here: whether an operation fits its inputs (`shape`).

use std::collections::{BTreeMap, HashSet};

use super::GraphBuilder;
use crate::param::{self, Slot};
use crate::shape::{self, Known, MAX_ELEMENTS};
use crate::{
    Bias, Error, Graph, Init, Node, NodeId, Op, ParamId, ParamSpec, ResizeTo, Result, Scope,
};

/// More nodes than any network.
const MAX_NODES: usize = 1 << 17;

impl GraphBuilder {
    /// What the node will put out, if it may be added.
    pub(super) fn inspect(&self, name: &str, op: &Op, inputs: &[NodeId]) -> Result<Known> {
        check_name("node", name)?;
        if self.names.contains(name) {
            return Err(Error::Duplicate { what: "nodes", name: name.to_owned() });
        }
        let position = self.nodes.len();
        if position >= MAX_NODES {
            let (node, got) = (name.to_owned(), format!("more than {position}"));
            return Err(Error::TooLarge { node, what: "node count", got, limit: MAX_NODES as u64 });
        }
        if matches!(op, Op::Input { .. }) != (position == 0) {
            return Err(Error::InputPosition { node: name.to_owned(), position });
        }
        let known = inputs.iter().map(|input| {
            self.known.get(input.index()).copied().ok_or_else(|| Error::Input {
                node: name.to_owned(),
                input: input.index(),
                known: position,
            })
        });
        shape::infer(name, op, &known.collect::<Result<Vec<_>>>()?)
    }

    /// Adds a node that was inspected and whose parameters are in.
    pub(super) fn admit(&mut self, node: Node, known: Known) {
        let of = |id: &NodeId| self.reductions[id.index()];
        let reduction = match (&node.op, node.inputs.as_slice()) {
            (Op::Resize { out: ResizeTo::Like, .. }, [_, like]) => of(like),
            (op, inputs) => reduction(op, inputs.iter().map(of).max().unwrap_or(1)),
        };
        self.reductions.push(reduction);
        self.names.insert(node.name.clone());
        self.known.push(known);
        self.nodes.push(node);
    }

    /// Whether a new parameter may be added.
    pub(super) fn admit_param(&self, node: &str, spec: &ParamSpec) -> Result<()> {
        check_name("parameter", &spec.name)?;
        if self.param_names.contains(&spec.name) {
            return Err(Error::Duplicate { what: "parameters", name: spec.name.clone() });
        }
        let count = spec.shape.iter().try_fold(1u64, |n, &len| n.checked_mul(len as u64));
        if count.is_none_or(|count| count > MAX_ELEMENTS) {
            let (node, got) = (node.to_owned(), format!("{:?}", spec.shape));
            return Err(Error::TooLarge { node, what: "parameter", got, limit: MAX_ELEMENTS });
        }
        check_init(node, spec)
    }

    /// Adds a parameter that a description lists at `id`, or checks that it is the one that is shared.
    pub(super) fn adopt_param(&mut self, node: &str, id: ParamId, spec: ParamSpec) -> Result<()> {
        let next = self.params.len();
        if id.index() == next {
            self.admit_param(node, &spec)?;
            self.param_names.insert(spec.name.clone());
            self.params.push(spec);
            return Ok(());
        }
        let Some(shared) = self.params.get(id.index()) else {
            return Err(Error::ParamOrder { node: node.to_owned(), got: id.index(), next });
        };
        check_same(shared, &spec)
    }

    /// Adds a node of a description, whose parameters must be what its operation has.
    pub(crate) fn adopt(&mut self, node: Node, params: &[ParamSpec]) -> Result<()> {
        let known = self.inspect(&node.name, &node.op, &node.inputs)?;
        let inputs: Vec<Known> = node.inputs.iter().map(|id| self.known[id.index()]).collect();
        let slots = param::slots(&node.op, &inputs, node.bias());
        if slots.len() != node.params.len() {
            return Err(param_count(&node, slots.len()));
        }
        for (slot, &id) in slots.into_iter().zip(&node.params) {
            let next = self.params.len();
            let spec = params.get(id.index()).ok_or_else(|| Error::ParamOrder {
                node: node.name.clone(),
                got: id.index(),
                next,
            })?;
            let Slot { shape, role, axes, .. } = slot;
            let expected = ParamSpec { shape, role, axes, ..spec.clone() };
            check_same(spec, &expected)?;
            self.adopt_param(&node.name, id, expected)?;
        }
        self.admit(node, known);
        Ok(())
    }

    /// Checks scopes and outputs and gives the graph.
    pub(crate) fn finish(
        self,
        mut scopes: Vec<Scope>,
        outputs: BTreeMap<String, NodeId>,
    ) -> Result<Graph> {
        if self.nodes.is_empty() {
            return Err(Error::InputPosition { node: "input".to_owned(), position: 0 });
        }
        if outputs.is_empty() {
            return Err(Error::NoOutputs);
        }
        outputs.iter().try_for_each(|(name, &node)| self.check_output(name, node))?;
        check_scopes(&scopes, self.nodes.len())?;
        for scope in &mut scopes {
            scope.reduction = self.reductions[scope.nodes.end - 1];
        }
        Ok(Graph { nodes: self.nodes, params: self.params, scopes, outputs })
    }

    pub(super) fn check_output(&self, name: &str, node: NodeId) -> Result<()> {
        check_name("output", name)?;
        if node.index() < self.nodes.len() {
            return Ok(());
        }
        let (output, known) = (name.to_owned(), self.nodes.len());
        Err(Error::OutputNode { output, node: node.index(), known })
    }
}

pub(super) fn param_count(node: &Node, expected: usize) -> Error {
    let expected = match (&node.op, node.bias()) {
        (Op::Conv(_) | Op::ConvTranspose { .. } | Op::Linear { .. }, Bias::Without) => {
            "1 or 2 (weight, bias)".to_owned()
        }
        _ => expected.to_string(),
    };
    let (name, got) = (node.name.clone(), node.params.len());
    Error::ParamCount { node: name, op: node.op.label(), got, expected }
}

fn check_name(what: &'static str, name: &str) -> Result<()> {
    if (1..=255).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let name = name.chars().take(64).flat_map(char::escape_debug).collect();
    Err(Error::Name { what, name })
}

pub(super) fn check_init(node: &str, spec: &ParamSpec) -> Result<()> {
    let (Init::Constant { value } | Init::Normal { std: value } | Init::Uniform { bound: value }) =
        spec.init
    else {
        return Ok(());
    };
    if value.is_finite() {
        return Ok(());
    }
    let (node, expected) = (node.to_owned(), "a finite number".to_owned());
    Err(Error::Range { node, what: "initial value", got: value.to_string(), expected })
}

fn check_same(got: &ParamSpec, expected: &ParamSpec) -> Result<()> {
    let (what, left, right) = if got.shape != expected.shape {
        ("shape", format!("{:?}", got.shape), format!("{:?}", expected.shape))
    } else if got.role != expected.role {
        ("role", format!("{:?}", got.role), format!("{:?}", expected.role))
    } else if got.axes != expected.axes {
        ("axes", format!("{:?}", got.axes), format!("{:?}", expected.axes))
    } else {
        return Ok(());
    };
    Err(Error::Param { param: got.name.clone(), what, got: left, expected: right })
}

/// Scopes come outer before inner, in the order of their nodes; each nests in those still open.
fn check_scopes(scopes: &[Scope], n_nodes: usize) -> Result<()> {
    let mut names = HashSet::new();
    let mut open: Vec<&Scope> = Vec::new();
    let mut start = 0;
    for scope in scopes {
        check_name("scope", &scope.name)?;
        if !names.insert(&scope.name) {
            return Err(Error::Duplicate { what: "scopes", name: scope.name.clone() });
        }
        if scope.nodes.is_empty() || scope.nodes.end > n_nodes {
            return Err(scope_error(scope, "there are no such nodes"));
        }
        if scope.nodes.start < start {
            return Err(scope_error(scope, "scopes must be listed in the order of their nodes"));
        }
        start = scope.nodes.start;
        while open.last().is_some_and(|outer| outer.nodes.end <= scope.nodes.start) {
            open.pop();
        }
        // Those still open nest, so the last ends first.
        if open.last().is_some_and(|outer| outer.nodes.end < scope.nodes.end) {
            return Err(scope_error(scope, "it crosses the end of another scope"));
        }
        open.push(scope);
    }
    Ok(())
}

fn scope_error(scope: &Scope, reason: &'static str) -> Error {
    let (start, end) = (scope.nodes.start, scope.nodes.end);
    Error::Scope { scope: scope.name.clone(), start, end, reason }
}

/// Total stride after an operation; the larger of the two directions.
fn reduction(op: &Op, before: u32) -> u32 {
    let largest = |stride: [usize; 2]| u32::try_from(stride[0].max(stride[1])).unwrap_or(u32::MAX);
    match op {
        Op::Conv(conv) => before.saturating_mul(largest(conv.window.stride)),
        Op::Pool { window, .. } | Op::LpPool { window, .. } | Op::BlurPool { window } => {
            before.saturating_mul(largest(window.stride))
        }
        Op::ConvTranspose { conv, .. } => (before / largest(conv.window.stride)).max(1),
        Op::Resize { out: ResizeTo::Factor(factors), .. } => {
            let after = f64::from(before) / factors[0].min(factors[1]);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded, and stops at the largest"
            )]
            let after = after.round() as u32;
            after.max(1)
        }
        // As a stride these depend on the image.
        Op::AdaptivePool { .. } | Op::Resize { out: ResizeTo::Size(_) | ResizeTo::Like, .. } => {
            before
        }
        Op::Input { .. }
        | Op::Linear { .. }
        | Op::BatchNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::ChannelScale
        | Op::Activation(_)
        | Op::GlobalPool { .. }
        | Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::Concat
        | Op::Slice { .. }
        | Op::Shuffle { .. }
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Attention { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. } => before,
    }
}
