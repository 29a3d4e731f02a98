//! Which nodes are linear in one earlier node, and so can be one convolution.
//!
//! Above: `reparameterize`. Below: `taper_graph`. Not here: weights (`kernel`).
//! A convolution begins a branch, so that none is followed by another: their kernels would grow.

use taper_graph::{Conv, Graph, NodeId, Op, PadMode, Padding};

/// How a node follows from one earlier node, its source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Branch {
    /// The source itself.
    Source(NodeId),
    /// A convolution or linear layer of a branch.
    Layer(NodeId, Layer, Box<Branch>),
    /// A norm of a branch, with its eps.
    Norm(NodeId, f64, Box<Branch>),
    /// A sum of two branches from the same source.
    Sum(NodeId, [Box<Branch>; 2]),
    /// A branch times a number.
    Scale(NodeId, f64, Box<Branch>),
}

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Layer {
    Conv(Conv),
    /// With so many outputs.
    Linear(usize),
}

/// What convolutions must share to be added: groups and stride; linear layers have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    /// As many channels as there are, where they are.
    Identity,
    Linear,
    /// A convolution whose kernel lies beside its output's position: added to none.
    Off,
    Conv {
        groups: usize,
        stride: [usize; 2],
    },
}

impl Branch {
    pub(super) fn source(&self) -> NodeId {
        match self {
            Self::Source(id) => *id,
            Self::Layer(.., branch) | Self::Norm(.., branch) | Self::Scale(.., branch) => {
                branch.source()
            }
            Self::Sum(_, [branch, _]) => branch.source(),
        }
    }

    /// Every node from behind the source to the end.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        match self {
            Self::Source(_) => Vec::new(),
            Self::Layer(id, _, branch) | Self::Norm(id, _, branch) | Self::Scale(id, _, branch) => {
                [branch.nodes(), vec![*id]].concat()
            }
            Self::Sum(id, [a, b]) => [a.nodes(), b.nodes(), vec![*id]].concat(),
        }
    }

    /// Whether there are parallel branches in it.
    pub(super) fn adds(&self) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Layer(.., branch) | Self::Norm(.., branch) | Self::Scale(.., branch) => {
                branch.adds()
            }
            Self::Sum(..) => true,
        }
    }

    /// The first convolution or linear layer; a branch without one stays as it is.
    pub(super) fn layer(&self) -> Option<(NodeId, Layer)> {
        match self {
            Self::Source(_) => None,
            Self::Layer(id, layer, _) => Some((*id, *layer)),
            Self::Norm(.., branch) | Self::Scale(.., branch) => branch.layer(),
            Self::Sum(_, [a, b]) => a.layer().or_else(|| b.layer()),
        }
    }
}

/// The branches of a graph.
pub(super) struct Branches<'a> {
    graph: &'a Graph,
    /// How many nodes and outputs read each node.
    readers: Vec<usize>,
}

impl<'a> Branches<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let mut readers = vec![0; graph.nodes().len()];
        let read = graph.nodes().iter().flat_map(|node| node.inputs());
        read.chain(graph.outputs().values()).for_each(|id| readers[id.index()] += 1);
        Self { graph, readers }
    }

    /// The longest branches of two nodes and more, with the nodes they end in; no node is in two.
    pub(super) fn maximal_branches(&self) -> Vec<(NodeId, Branch)> {
        let mut taken = vec![false; self.graph.nodes().len()];
        let mut maximal_branches = Vec::new();
        for id in self.graph.node_ids().rev() {
            if taken[id.index()] {
                continue;
            }
            let Some((branch, _)) = self.ending_in(id) else { continue };
            let nodes = branch.nodes();
            if nodes.len() > 1 && branch.layer().is_some() {
                nodes.iter().for_each(|node| taken[node.index()] = true);
                maximal_branches.push((id, branch));
            }
        }
        maximal_branches.reverse();
        maximal_branches
    }

    fn ending_in(&self, id: NodeId) -> Option<(Branch, Signature)> {
        let node = self.graph.node(id);
        let first = *node.inputs().first()?;
        match node.op() {
            Op::Conv(conv) => {
                let (groups, stride) = (conv.groups, conv.window.stride);
                let signature = match is_centered(conv) {
                    true => Signature::Conv { groups, stride },
                    false => Signature::Off,
                };
                let layer = Layer::Conv(*conv);
                Some((Branch::Layer(id, layer, Box::new(Branch::Source(first))), signature))
            }
            &Op::Linear { out } => {
                let branch = match self.within(first) {
                    (branch @ Branch::Norm(..), _)
                        if branch.layer().is_none() && branch.nodes().len() == 1 =>
                    {
                        branch
                    }
                    (
                        Branch::Source(_)
                        | Branch::Layer(..)
                        | Branch::Norm(..)
                        | Branch::Sum(..)
                        | Branch::Scale(..),
                        _,
                    ) => Branch::Source(first),
                };
                Some((Branch::Layer(id, Layer::Linear(out), Box::new(branch)), Signature::Linear))
            }
            &Op::BatchNorm { eps, .. } => {
                let (branch, signature) = self.within(first);
                Some((Branch::Norm(id, eps, Box::new(branch)), signature))
            }
            &Op::Scale { factor } => {
                let (branch, signature) = self.within(first);
                Some((Branch::Scale(id, factor, Box::new(branch)), signature))
            }
            Op::Add => {
                let [(a, a_form), (b, b_form)] =
                    [first, node.inputs()[1]].map(|id| self.within(id));
                let signature = join(a_form, b_form)?;
                let is_sum = a.source() == b.source();
                is_sum.then(|| (Branch::Sum(id, [Box::new(a), Box::new(b)]), signature))
            }
            Op::Input { .. }
            | Op::ConvTranspose { .. }
            | Op::GroupNorm { .. }
            | Op::LayerNorm { .. }
            | Op::ChannelScale
            | Op::Activation(_)
            | Op::Pool { .. }
            | Op::LpPool { .. }
            | Op::BlurPool { .. }
            | Op::AdaptivePool { .. }
            | Op::GlobalPool { .. }
            | Op::Mul
            | Op::Concat
            | Op::Slice { .. }
            | Op::Shuffle { .. }
            | Op::Flatten
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Attention { .. }
            | Op::Dropout { .. }
            | Op::DropPath { .. } => None,
        }
    }

    /// The branch that ends in a node which only one other reads; otherwise the node as a source.
    fn within(&self, id: NodeId) -> (Branch, Signature) {
        let branch = if self.readers[id.index()] == 1 { self.ending_in(id) } else { None };
        branch.unwrap_or((Branch::Source(id), Signature::Identity))
    }
}

/// What a sum is, if its parts can be added; the identity is a convolution that does not move.
fn join(a: Signature, b: Signature) -> Option<Signature> {
    match (a, b) {
        (Signature::Off, _) => None,
        (Signature::Identity, Signature::Conv { stride: [1, 1], .. }) => Some(b),
        (Signature::Conv { stride: [1, 1], .. }, Signature::Identity) => Some(a),
        _ => (a == b).then_some(a),
    }
}

/// Whether the middle of the kernel lies on the output's position, zeros around the map.
fn is_centered(conv: &Conv) -> bool {
    let window = &conv.window;
    let [k_h, k_w] = window.kernel;
    let [h, w] = [k_h / 2, k_w / 2];
    let centered = Padding::Explicit { top: h, left: w, bottom: h, right: w };
    let is_point = window.kernel == [1, 1] && window.padding == Padding::Valid;
    k_h % 2 == 1
        && k_w % 2 == 1
        && (window.padding == centered || is_point)
        && window.dilation == [1, 1]
        && window.mode == PadMode::Zeros
}
