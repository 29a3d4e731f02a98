//! Which nodes are linear in one earlier node, and so can be one convolution.
//!
//! Above: `reparameterize`. Below: `taper_graph`. Not here: weights (`kernel`).
//! A convolution begins a way, so that none is followed by another: their kernels would grow.

use taper_graph::{Conv, Graph, NodeId, Op, PadMode, Padding};

/// How a node follows from one earlier node, its source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Way {
    /// The source itself.
    Source(NodeId),
    /// A convolution or linear layer of a way.
    Layer(NodeId, Layer, Box<Way>),
    /// A norm of a way, with its eps.
    Norm(NodeId, f64, Box<Way>),
    /// A sum of two ways from the same source.
    Sum(NodeId, [Box<Way>; 2]),
    /// A way times a number.
    Scale(NodeId, f64, Box<Way>),
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
enum Form {
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

impl Way {
    pub(super) fn source(&self) -> NodeId {
        match self {
            Self::Source(id) => *id,
            Self::Layer(.., way) | Self::Norm(.., way) | Self::Scale(.., way) => way.source(),
            Self::Sum(_, [way, _]) => way.source(),
        }
    }

    /// Every node from behind the source to the end.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        match self {
            Self::Source(_) => Vec::new(),
            Self::Layer(id, _, way) | Self::Norm(id, _, way) | Self::Scale(id, _, way) => {
                [way.nodes(), vec![*id]].concat()
            }
            Self::Sum(id, [a, b]) => [a.nodes(), b.nodes(), vec![*id]].concat(),
        }
    }

    /// Whether there are parallel ways in it.
    pub(super) fn adds(&self) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Layer(.., way) | Self::Norm(.., way) | Self::Scale(.., way) => way.adds(),
            Self::Sum(..) => true,
        }
    }

    /// The first convolution or linear layer; a way without one stays as it is.
    pub(super) fn layer(&self) -> Option<(NodeId, Layer)> {
        match self {
            Self::Source(_) => None,
            Self::Layer(id, layer, _) => Some((*id, *layer)),
            Self::Norm(.., way) | Self::Scale(.., way) => way.layer(),
            Self::Sum(_, [a, b]) => a.layer().or_else(|| b.layer()),
        }
    }
}

/// The ways of a graph.
pub(super) struct Ways<'a> {
    graph: &'a Graph,
    /// How many nodes and outputs read each node.
    readers: Vec<usize>,
}

impl<'a> Ways<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let mut readers = vec![0; graph.nodes().len()];
        let read = graph.nodes().iter().flat_map(|node| node.inputs());
        read.chain(graph.outputs().values()).for_each(|id| readers[id.index()] += 1);
        Self { graph, readers }
    }

    /// The longest ways of two nodes and more, with the nodes they end in; no node is in two.
    pub(super) fn roots(&self) -> Vec<(NodeId, Way)> {
        let mut taken = vec![false; self.graph.nodes().len()];
        let mut roots = Vec::new();
        for id in self.graph.node_ids().rev() {
            if taken[id.index()] {
                continue;
            }
            let Some((way, _)) = self.ending_in(id) else { continue };
            let nodes = way.nodes();
            if nodes.len() > 1 && way.layer().is_some() {
                nodes.iter().for_each(|node| taken[node.index()] = true);
                roots.push((id, way));
            }
        }
        roots.reverse();
        roots
    }

    fn ending_in(&self, id: NodeId) -> Option<(Way, Form)> {
        let node = self.graph.node(id);
        let first = *node.inputs().first()?;
        match node.op() {
            Op::Conv(conv) => {
                let (groups, stride) = (conv.groups, conv.window.stride);
                let form = match is_centered(conv) {
                    true => Form::Conv { groups, stride },
                    false => Form::Off,
                };
                let layer = Layer::Conv(*conv);
                Some((Way::Layer(id, layer, Box::new(Way::Source(first))), form))
            }
            &Op::Linear { out } => {
                let way = match self.within(first) {
                    (way @ Way::Norm(..), _) if way.layer().is_none() && way.nodes().len() == 1 => {
                        way
                    }
                    (
                        Way::Source(_)
                        | Way::Layer(..)
                        | Way::Norm(..)
                        | Way::Sum(..)
                        | Way::Scale(..),
                        _,
                    ) => Way::Source(first),
                };
                Some((Way::Layer(id, Layer::Linear(out), Box::new(way)), Form::Linear))
            }
            &Op::BatchNorm { eps, .. } => {
                let (way, form) = self.within(first);
                Some((Way::Norm(id, eps, Box::new(way)), form))
            }
            &Op::Scale { factor } => {
                let (way, form) = self.within(first);
                Some((Way::Scale(id, factor, Box::new(way)), form))
            }
            Op::Add => {
                let [(a, a_form), (b, b_form)] =
                    [first, node.inputs()[1]].map(|id| self.within(id));
                let form = join(a_form, b_form)?;
                let is_sum = a.source() == b.source();
                is_sum.then(|| (Way::Sum(id, [Box::new(a), Box::new(b)]), form))
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

    /// The way that ends in a node which only one other reads; otherwise the node as a source.
    fn within(&self, id: NodeId) -> (Way, Form) {
        let way = if self.readers[id.index()] == 1 { self.ending_in(id) } else { None };
        way.unwrap_or((Way::Source(id), Form::Identity))
    }
}

/// What a sum is, if its parts can be added; the identity is a convolution that does not move.
fn join(a: Form, b: Form) -> Option<Form> {
    match (a, b) {
        (Form::Off, _) => None,
        (Form::Identity, Form::Conv { stride: [1, 1], .. }) => Some(b),
        (Form::Conv { stride: [1, 1], .. }, Form::Identity) => Some(a),
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
