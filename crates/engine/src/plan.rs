//! A graph read as units: a convolution, the norm and the activation behind it are one.
//!
//! Above: `session`, `train`. Below: `graph`. Not here: memory (`arena`), the order of a backward pass (`train`).
//! A *value* is one stored tensor with what is still pending on it: a norm, an activation. A *unit* writes one value and reads
//! others. Only what the asked-for output depends on is read.

use taper_graph::{
    Activation as GraphActivation, Conv, Extent, Graph, Node, NodeId, Op, PadMode, ParamId,
    PoolKind,
};
use taper_kernels::{Activation, ConvShape};

use crate::{Error, Result};

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
    Add,
    /// The second input is the gate.
    Mul,
    Pool,
    /// With `p` 0 a copy, for an activation that cannot be left pending on what is there.
    Dropout {
        p: f64,
    },
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
    /// Value 0 is the image.
    pub(crate) values: Vec<Value>,
    /// A value.
    pub(crate) output: usize,
}

impl Plan {
    pub(crate) fn new(graph: &Graph, output: &str) -> Result<Self> {
        let output = graph.output(output)?;
        let mut planner = Planner::new(graph, output);
        for id in graph.node_ids() {
            if planner.wanted[id.index()] {
                planner.read(id)?;
            }
        }
        let output = planner.value_of(output);
        Ok(Self { units: planner.units, values: planner.values, output })
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    wanted: Vec<bool>,
    /// How many wanted nodes read a node.
    readers: Vec<usize>,
    value_of: Vec<Option<usize>>,
    units: Vec<Unit>,
    values: Vec<Value>,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, output: NodeId) -> Self {
        let mut wanted = vec![false; graph.nodes().len()];
        let mut readers = vec![0; wanted.len()];
        wanted[output.index()] = true;
        for id in graph.node_ids().rev().filter(|id| id.index() <= output.index()) {
            if wanted[id.index()] {
                for input in graph.node(id).inputs() {
                    wanted[input.index()] = true;
                    readers[input.index()] += 1;
                }
            }
        }
        // The image is value 0 even of an output that does not depend on it.
        wanted[graph.input().index()] = true;
        let value_of = vec![None; wanted.len()];
        Self { graph, wanted, readers, value_of, units: Vec::new(), values: Vec::new() }
    }

    /// The value of a node read before; inputs have smaller ids.
    fn value_of(&self, node: NodeId) -> usize {
        self.value_of[node.index()].unwrap_or_default()
    }

    fn refuse<T>(node: &Node, what: &str) -> Result<T> {
        let what = format!("{} {what}", node.op().label());
        Err(Error::Unsupported { node: node.name().to_owned(), what: what.trim_end().to_owned() })
    }

    fn read(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let params = node.params();
        match node.op() {
            Op::Input { .. } => {
                self.push_value(id, None);
                Ok(())
            }
            Op::Conv(conv) if conv.window.mode != PadMode::Zeros => {
                Self::refuse(node, "with padding other than zeros")
            }
            Op::Conv(conv) => {
                let (weight, bias) = (params[0], params.get(1).copied());
                self.push(id, Work::Conv { conv: *conv, weight, bias })
            }
            Op::Linear { out } => {
                let (weight, bias) = (params[0], params.get(1).copied());
                self.push(id, Work::Linear { out: *out, weight, bias })
            }
            Op::Add => self.push(id, Work::Add),
            Op::Mul => self.push(id, Work::Mul),
            Op::GlobalPool { kind: PoolKind::Avg | PoolKind::AvgWithoutPadding, .. } => {
                self.push(id, Work::Pool)
            }
            Op::Dropout { p } => self.push(id, Work::Dropout { p: *p }),
            Op::BatchNorm { eps, momentum } => self.norm(id, *eps, *momentum),
            Op::Activation(activation) => self.activation(id, *activation),
            _ => Self::refuse(node, ""),
        }
    }

    fn push_value(&mut self, node: NodeId, writer: Option<usize>) -> usize {
        let (readers, norm, activation) = (Vec::new(), None, Activation::Identity);
        self.values.push(Value { node, writer, readers, norm, activation });
        self.value_of[node.index()] = Some(self.values.len() - 1);
        self.values.len() - 1
    }

    fn push(&mut self, id: NodeId, work: Work) -> Result<()> {
        let unit = self.units.len();
        let inputs: Vec<usize> =
            self.graph.node(id).inputs().iter().map(|&input| self.value_of(input)).collect();
        for &input in &inputs {
            self.values[input].readers.push(unit);
        }
        let output = self.push_value(id, Some(unit));
        self.units.push(Unit { node: id, work, inputs, output });
        Ok(())
    }

    /// The value a norm or an activation can be left pending on: nobody else may read it bare.
    fn pending_on(&self, id: NodeId) -> Option<usize> {
        let input = *self.graph.node(id).inputs().first()?;
        let value = self.value_of(input);
        let free = self.readers[input.index()] == 1 && self.values[value].writer.is_some();
        (free && self.values[value].activation == Activation::Identity).then_some(value)
    }

    fn norm(&mut self, id: NodeId, eps: f64, momentum: Option<f64>) -> Result<()> {
        let node = self.graph.node(id);
        let Some(momentum) = momentum else {
            return Self::refuse(node, "with a cumulative mean (momentum none)");
        };
        let (Some(value), Ok(params)) = (self.pending_on(id), node.params().try_into()) else {
            return Self::refuse(node, "that does not directly follow a convolution");
        };
        let after = self.values[value].writer.map(|unit| &self.units[unit].work);
        let bare =
            matches!(after, Some(Work::Conv { bias: None, .. } | Work::Linear { bias: None, .. }));
        if !bare || self.values[value].norm.is_some() {
            return Self::refuse(node, "that does not directly follow a convolution without bias");
        }
        self.values[value].norm = Some(Norm { node: id, params, eps, momentum });
        self.values[value].node = id;
        self.value_of[id.index()] = Some(value);
        Ok(())
    }

    fn activation(&mut self, id: NodeId, activation: GraphActivation) -> Result<()> {
        let node = self.graph.node(id);
        let activation = match activation {
            GraphActivation::Relu => Activation::Relu,
            GraphActivation::Relu6 => Activation::Relu6,
            GraphActivation::HardSwish => Activation::HardSwish,
            GraphActivation::HardSigmoid => Activation::HardSigmoid,
            GraphActivation::Silu => Activation::Silu,
            GraphActivation::Sigmoid => Activation::Sigmoid,
            other => return Self::refuse(node, &format!("{other:?}")),
        };
        let written_with_it = |value: &usize| {
            let writer = self.values[*value].writer.map(|unit| self.units[unit].work);
            matches!(writer, Some(Work::Conv { .. } | Work::Linear { .. } | Work::Add))
        };
        let value = match self.pending_on(id).filter(written_with_it) {
            Some(value) => value,
            None => {
                self.push(id, Work::Dropout { p: 0.0 })?;
                self.values.len() - 1
            }
        };
        self.values[value].activation = activation;
        self.values[value].node = id;
        self.value_of[id.index()] = Some(value);
        Ok(())
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
        Work::Add | Work::Mul | Work::Pool | Work::Dropout { .. } => return Ok(None),
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
