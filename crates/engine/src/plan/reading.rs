//! How the nodes of a graph become units: what a norm or an activation can be left pending on.
//!
//! Above: `plan`. Below: `graph`. Not here: splitting a plan (`plan`).

use taper_graph::{
    Activation as GraphActivation, Conv, Graph, Node, NodeId, Op, PadMode, PoolKind, Window,
};
use taper_kernels::Activation;

use super::form::without_padding;
use super::{Norm, Unit, Value, Work};
use crate::{Error, Result};

pub(super) struct Planner<'a> {
    graph: &'a Graph,
    pub(super) wanted: Vec<bool>,
    /// How many wanted nodes read a node.
    readers: Vec<usize>,
    value_of: Vec<Option<usize>>,
    pub(super) units: Vec<Unit>,
    pub(super) values: Vec<Value>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(graph: &'a Graph, outputs: &[NodeId]) -> Self {
        let mut wanted = vec![false; graph.nodes().len()];
        let mut readers = vec![0; wanted.len()];
        for output in outputs {
            wanted[output.index()] = true;
            // Whoever asked for it reads it as it is: nothing may be left pending on it.
            readers[output.index()] += 1;
        }
        for id in graph.node_ids().rev() {
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
    pub(super) fn value_of(&self, node: NodeId) -> usize {
        self.value_of[node.index()].unwrap_or_default()
    }

    fn refuse<T>(node: &Node, what: &str) -> Result<T> {
        let what = format!("{} {what}", node.op().label());
        Err(Error::Unsupported { node: node.name().to_owned(), what: what.trim_end().to_owned() })
    }

    pub(super) fn read(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let params = node.params();
        match node.op() {
            Op::Input { .. } => {
                self.push_value(id, None);
                Ok(())
            }
            Op::Conv(conv) => {
                let (weight, bias) = (params[0], params.get(1).copied());
                self.bordered(id, &conv.window, |window| Work::Conv {
                    conv: Conv { window, ..*conv },
                    weight,
                    bias,
                })
            }
            Op::ConvTranspose { .. } => {
                let (weight, bias) = (params[0], params.get(1).copied());
                self.bare_input(id);
                self.push(id, Work::ConvTranspose { weight, bias })
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
            Op::GlobalPool { .. } | Op::AdaptivePool { .. } => self.push(id, Work::Windows),
            Op::Pool { window, .. } | Op::LpPool { window, .. } => {
                self.bordered(id, window, |_| Work::Windows)
            }
            Op::BlurPool { .. } | Op::Pad { .. } | Op::Resize { .. } | Op::Scale { .. } => {
                self.push(id, Work::Spatial)
            }
            Op::Concat | Op::Slice { .. } | Op::Shuffle { .. } => self.push(id, Work::Channels),
            // A filter of one tap for each channel.
            Op::ChannelScale => {
                let conv = Conv::depthwise(self.graph.param(params[0]).len(), 1, 1);
                self.push(id, Work::Conv { conv, weight: params[0], bias: None })
            }
            Op::GroupNorm { eps, .. } | Op::LayerNorm { eps } => {
                self.push(id, Work::GroupNorm { eps: *eps, scale: params[0], shift: params[1] })
            }
            Op::Activation(GraphActivation::PRelu) => {
                self.push(id, Work::Prelu { slope: params[0] })
            }
            Op::Attention { .. } => self.push(id, Work::Attention),
            Op::Flatten => self.push(id, Work::Flatten),
            Op::DropPath { p } => self.push(id, Work::DropPath { p: *p }),
            Op::Dropout { p } => self.push(id, Work::Dropout { p: *p }),
            Op::BatchNorm { eps, momentum } => self.norm(id, *eps, *momentum),
            Op::Activation(activation) => self.activation(id, *activation),
            _ => Self::refuse(node, ""),
        }
    }

    fn push_value(&mut self, node: NodeId, writer: Option<usize>) -> usize {
        let (readers, activation) = (Vec::new(), Activation::Identity);
        let (norm, border) = (None, None);
        self.values.push(Value { node, writer, readers, norm, activation, border });
        self.value_of[node.index()] = Some(self.values.len() - 1);
        self.values.len() - 1
    }

    fn push(&mut self, id: NodeId, work: Work) -> Result<()> {
        let inputs = self.graph.node(id).inputs().iter().map(|&input| self.value_of(input));
        let inputs = inputs.collect();
        self.push_unit(id, id, work, inputs);
        Ok(())
    }

    /// Adds a unit of node `id` that writes what is, or goes with, the value of `writes`.
    fn push_unit(&mut self, id: NodeId, writes: NodeId, work: Work, inputs: Vec<usize>) -> usize {
        let unit = self.units.len();
        for &input in &inputs {
            self.values[input].readers.push(unit);
        }
        let output = self.push_value(writes, Some(unit));
        self.units.push(Unit { node: id, work, inputs, output });
        output
    }

    /// Adds a unit that slides a window; where that reads something else than zeros beyond the map, after one that lays it around
    /// the map.
    fn bordered(
        &mut self,
        id: NodeId,
        window: &Window,
        work: impl FnOnce(Window) -> Work,
    ) -> Result<()> {
        let input = self.graph.node(id).inputs()[0];
        if window.mode == PadMode::Zeros {
            return self.push(id, work(*window));
        }
        let inner = self.value_of(input);
        let border = self.push_unit(id, input, Work::Border { window: *window }, vec![inner]);
        self.values[border].border = Some(*window);
        // The border is no value of the node it surrounds.
        self.value_of[input.index()] = Some(inner);
        self.push_unit(id, id, work(without_padding(*window)), vec![border]);
        Ok(())
    }

    /// Makes sure that nothing is pending on the first input of a node, by a copy where something is.
    fn bare_input(&mut self, id: NodeId) {
        let input = self.graph.node(id).inputs()[0];
        let value = self.value_of(input);
        if self.values[value].norm.is_some()
            || self.values[value].activation != Activation::Identity
        {
            self.push_unit(id, input, Work::Dropout { p: 0.0 }, vec![value]);
        }
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
        let Some((&params, rest)) = node.params().split_first_chunk::<4>() else {
            return Self::refuse(node, "without its four parameters");
        };
        let tracked = rest.first().copied();
        let is_bare_conv = |value: &usize| {
            let writer = self.values[*value].writer.map(|unit| &self.units[unit].work);
            let bare = matches!(
                writer,
                Some(Work::Conv { bias: None, .. } | Work::Linear { bias: None, .. })
            );
            bare && self.values[*value].norm.is_none()
        };
        let value = match self.pending_on(id).filter(is_bare_conv) {
            Some(value) => value,
            None => {
                self.push(id, Work::Norm)?;
                self.values.len() - 1
            }
        };
        self.values[value].norm = Some(Norm { node: id, params, tracked, eps, momentum });
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
            GraphActivation::Tanh => Activation::Tanh,
            GraphActivation::Gelu => Activation::Gelu,
            GraphActivation::GeluTanh => Activation::GeluTanh,
            GraphActivation::Mish => Activation::Mish,
            GraphActivation::LeakyRelu { slope } => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "f32 is what kernels compute in"
                )]
                let slope = slope as f32;
                Activation::LeakyRelu { slope }
            }
            other => return Self::refuse(node, &format!("{other:?}")),
        };
        let written_with_it = |value: &usize| {
            let writer = self.values[*value].writer.map(|unit| self.units[unit].work);
            writer.is_some_and(|work| work.is_conv() || matches!(work, Work::Add))
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
