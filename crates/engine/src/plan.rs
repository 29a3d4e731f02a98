//! A graph read as units: a convolution, the norm and the activation behind it are one.
//!
//! Above: `session`, `train`. Below: `graph`. Not here: memory (`arena`), the order of a backward pass (`train`).
//! A *value* is one stored tensor with what is still pending on it: a norm, an activation. A *unit* writes one value and reads
//! others. Only what the asked-for output depends on is read.

mod reading;

use taper_graph::{Conv, Extent, Graph, NodeId, Op, ParamId, PoolKind};
use taper_kernels::{Activation, ConvShape, PoolShape, PoolWindow, Pooling};

use crate::{Error, Result};
use reading::Planner;

/// A batch norm pending on a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) node: NodeId,
    /// Scale, shift, running mean, running variance.
    pub(crate) params: [ParamId; 4],
    pub(crate) eps: f64,
    pub(crate) momentum: f64,
}

/// A stored tensor, and what whoever reads it applies.
#[derive(Debug)]
pub(crate) struct Value {
    /// The last node of the unit: its extent is the tensor's.
    pub(crate) node: NodeId,
    /// The unit that writes it; the image has none.
    pub(crate) writer: Option<usize>,
    /// The units that read it, in order.
    pub(crate) readers: Vec<usize>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
}

/// What a unit does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Conv {
        conv: Conv,
        weight: ParamId,
        bias: Option<ParamId>,
    },
    Linear {
        out: usize,
        weight: ParamId,
        bias: Option<ParamId>,
    },
    /// A batch norm that follows no convolution of its own: a depthwise one of one tap, whose weights are ones.
    Norm,
    Add,
    /// The second input is the gate.
    Mul,
    /// The mean over the whole map.
    Pool,
    /// Any other pooling; see [`pool_shape`].
    Windows,
    /// PyTorch's order: channel by channel.
    Flatten,
    /// With `p` 0 a copy, for an activation that cannot be left pending on what is there.
    Dropout {
        p: f64,
    },
}

impl Work {
    /// Weight and bias, where a convolution or linear layer has them.
    pub(crate) fn params(&self) -> [Option<ParamId>; 2] {
        match *self {
            Self::Conv { weight, bias, .. } | Self::Linear { weight, bias, .. } => {
                [Some(weight), bias]
            }
            _ => [None, None],
        }
    }

    /// Whether a convolution's kernel runs it.
    pub(crate) fn is_conv(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Linear { .. } | Self::Norm)
    }
}

#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) node: NodeId,
    pub(crate) work: Work,
    /// Values.
    pub(crate) inputs: Vec<usize>,
    /// A value.
    pub(crate) output: usize,
}

/// All units an output depends on, in an order in which they can run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) units: Vec<Unit>,
    /// The first ones are given: value 0, the image, or what a [`Plan::above`] starts from.
    pub(crate) values: Vec<Value>,
    /// How many values are given.
    pub(crate) given: usize,
    /// Values, in the order they were asked for; at least one.
    pub(crate) outputs: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(graph: &Graph, output: &str) -> Result<Self> {
        Self::of_nodes(graph, &[graph.output(output)?])
    }

    /// All that some nodes of a graph depend on, and the nodes as outputs.
    pub(crate) fn of_nodes(graph: &Graph, outputs: &[NodeId]) -> Result<Self> {
        let mut planner = Planner::new(graph, outputs);
        for id in graph.node_ids() {
            if planner.wanted[id.index()] {
                planner.read(id)?;
            }
        }
        let outputs = outputs.iter().map(|&output| planner.value_of(output)).collect();
        Ok(Self { units: planner.units, values: planner.values, given: 1, outputs })
    }

    /// The output of a plan that has only one.
    pub(crate) fn output(&self) -> usize {
        self.outputs[0]
    }

    /// The plan without the units that `is_fixed` says give the same for the same image in every step, given what they write; and
    /// which nodes that is. A unit is only left out if all its inputs are given.
    pub(crate) fn above(self, is_fixed: impl Fn(&Unit) -> bool) -> (Self, Vec<NodeId>) {
        let mut is_known: Vec<bool> = (0..self.values.len()).map(|v| v < self.given).collect();
        let (mut left, mut wanted) = (Vec::new(), vec![false; self.values.len()]);
        self.outputs.iter().for_each(|&v| wanted[v] = true);
        for unit in self.units {
            if is_fixed(&unit) && unit.inputs.iter().all(|&v| is_known[v]) {
                is_known[unit.output] = true;
            } else {
                unit.inputs.iter().for_each(|&v| wanted[v] = true);
                left.push(unit);
            }
        }
        let (given, rest): (Vec<usize>, Vec<usize>) =
            (0..wanted.len()).filter(|&v| wanted[v] || !is_known[v]).partition(|&v| is_known[v]);
        let mut place = vec![0; wanted.len()];
        for (new, &old) in given.iter().chain(&rest).enumerate() {
            place[old] = new;
        }
        let nodes = given.iter().map(|&v| self.values[v].node).collect();
        let mut slots: Vec<Option<Value>> = self.values.into_iter().map(Some).collect();
        let moved = given.iter().chain(&rest).filter_map(|&v| slots[v].take());
        let bare = |value: Value| Value {
            writer: None,
            norm: None,
            activation: Activation::Identity,
            ..value
        };
        let values = moved
            .enumerate()
            .map(|(new, value)| if new < given.len() { bare(value) } else { value });
        let mut plan = Self {
            values: values.map(|value| Value { readers: Vec::new(), ..value }).collect(),
            given: given.len(),
            outputs: self.outputs.iter().map(|&v| place[v]).collect(),
            units: left,
        };
        for (u, unit) in plan.units.iter_mut().enumerate() {
            unit.output = place[unit.output];
            plan.values[unit.output].writer = Some(u);
            for v in &mut unit.inputs {
                *v = place[*v];
                plan.values[*v].readers.push(u);
            }
        }
        (plan, nodes)
    }
}

/// The kernels' shape of a convolution or linear unit for a batch of `n`.
pub(crate) fn conv_shape(
    graph: &Graph,
    unit: &Unit,
    input: Extent,
    n: usize,
) -> Result<Option<ConvShape>> {
    let ([h, w], c) = (input.size(), input.channels());
    let shape = match unit.work {
        Work::Conv { conv, .. } => {
            let window = &conv.window;
            let pads = window.pads([h, w]);
            let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
            ConvShape::new([n, h, w, c], conv.out, kernel, stride, dilation, pads, conv.groups)
        }
        Work::Linear { out, .. } => ConvShape::linear(n, c, out),
        Work::Norm => ConvShape::new([n, h, w, c], c, [1; 2], [1; 2], [1; 2], [0; 4], c),
        Work::Add
        | Work::Mul
        | Work::Pool
        | Work::Windows
        | Work::Flatten
        | Work::Dropout { .. } => return Ok(None),
    };
    let node = graph.node(unit.node);
    match shape {
        Some(shape) => Ok(Some(shape)),
        None => Err(Error::Unsupported {
            node: node.name().to_owned(),
            what: format!("{} of this size", node.op().label()),
        }),
    }
}

/// The windows of a pooling unit for a batch of `n`.
pub(crate) fn pool_shape(
    graph: &Graph,
    unit: &Unit,
    input: Extent,
    output: Extent,
    n: usize,
) -> Result<Option<(PoolShape, Pooling)>> {
    let ([h, w], c) = (input.size(), input.channels());
    let node = graph.node(unit.node);
    let (kind, shape) = match node.op() {
        Op::Pool { kind, window, .. } => {
            let window = PoolWindow {
                kernel: window.kernel,
                stride: window.stride,
                dilation: window.dilation,
                pads: window.pads([h, w]),
                counts_padding: *kind == PoolKind::Avg,
            };
            (kind, PoolShape::sliding([n, h, w, c], &window, output.size()))
        }
        Op::AdaptivePool { kind, .. } | Op::GlobalPool { kind, .. } => {
            (kind, PoolShape::adaptive([n, h, w, c], output.size()))
        }
        _ => return Ok(None),
    };
    let pooling = if *kind == PoolKind::Max { Pooling::Max } else { Pooling::Mean };
    match shape {
        Some(shape) => Ok(Some((shape, pooling))),
        None => Err(Error::Unsupported {
            node: node.name().to_owned(),
            what: format!("{} with a window in the padding alone", node.op().label()),
        }),
    }
}
