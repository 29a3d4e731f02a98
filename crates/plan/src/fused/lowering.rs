//! How the nodes of a graph become units: what a norm or an activation can be left pending on.
//!
//! Above: `fused`. Below: `taper-graph`. Not here: splitting a fused graph (`fused`).

use taper_graph::{
    Activation, Conv, Graph, Node, NodeId, Op, PadMode, Padding, PoolKind, ResizeTo, Window,
};

use super::{Norm, Unit, UnitOp, Value};
use crate::{Error, Result};

pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    pub(super) wanted: Vec<bool>,
    /// How many wanted nodes read a node.
    readers: Vec<usize>,
    value_of: Vec<Option<usize>>,
    pub(super) units: Vec<Unit>,
    pub(super) values: Vec<Value>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(graph: &'a Graph, outputs: &[NodeId]) -> Self {
        let mut wanted = vec![false; graph.nodes().len()];
        let mut readers = vec![0; wanted.len()];
        for output in outputs {
            wanted[output.index()] = true;
            // Whoever asked for it reads it as it is: nothing may be left pending on it.
            readers[output.index()] += 1;
        }
        for id in graph.node_ids().rev() {
            if wanted[id.index()] {
                for input in read(graph.node(id)) {
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

    fn internal(&self, id: NodeId, what: &'static str) -> Error {
        Error::Internal { node: self.graph.node(id).name().to_owned(), what }
    }

    /// The value of a node lowered before; inputs have smaller ids.
    pub(crate) fn value_of(&self, node: NodeId) -> Result<usize> {
        self.value_of[node.index()]
            .ok_or_else(|| self.internal(node, "is read before it is written"))
    }

    fn input(&self, id: NodeId) -> Result<NodeId> {
        let input = self.graph.node(id).inputs().first().copied();
        input.ok_or_else(|| self.internal(id, "reads nothing"))
    }

    /// Parameter number `index` of a node.
    fn param(&self, id: NodeId, index: usize) -> Result<taper_graph::ParamId> {
        let param = self.graph.node(id).params().get(index).copied();
        param.ok_or_else(|| self.internal(id, "lacks a parameter"))
    }

    pub(super) fn lower(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let bias = node.params().get(1).copied();
        let op = match node.op() {
            Op::Input { .. } => {
                self.push_value(id, None);
                return Ok(());
            }
            Op::Conv(conv) => {
                let (weight, conv) = (self.param(id, 0)?, *conv);
                let op = |window| UnitOp::Conv { conv: Conv { window, ..conv }, weight, bias };
                return self.bordered(id, &conv.window, op);
            }
            Op::Pool { kind, window, .. } => {
                return self.bordered(id, window, |window| UnitOp::Pool { kind: *kind, window });
            }
            Op::LpPool { p, window, .. } => {
                return self.bordered(id, window, |window| UnitOp::LpPool { p: *p, window });
            }
            Op::BatchNorm { eps, momentum } => return self.norm(id, *eps, *momentum),
            Op::Activation(Activation::PRelu) => UnitOp::PRelu { slope: self.param(id, 0)? },
            Op::Activation(activation) => return self.activation(id, *activation),
            Op::ConvTranspose { conv, .. } => {
                self.bare_input(id)?;
                UnitOp::ConvTranspose { conv: *conv, weight: self.param(id, 0)?, bias }
            }
            Op::Linear { out } => UnitOp::Linear { out: *out, weight: self.param(id, 0)?, bias },
            // A filter of one tap for each channel.
            Op::ChannelScale => {
                let weight = self.param(id, 0)?;
                let conv = Conv::depthwise(self.graph.param(weight).len(), 1, 1);
                UnitOp::Conv { conv, weight, bias: None }
            }
            &Op::GroupNorm { groups, eps } => {
                let (scale, shift) = (self.param(id, 0)?, self.param(id, 1)?);
                UnitOp::GroupNorm { groups, eps, scale, shift }
            }
            &Op::LayerNorm { eps } => {
                let (scale, shift) = (self.param(id, 0)?, self.param(id, 1)?);
                UnitOp::LayerNorm { eps, scale, shift }
            }
            Op::Add => UnitOp::Add,
            Op::Mul => UnitOp::Mul,
            Op::GlobalPool { kind: PoolKind::Avg | PoolKind::AvgWithoutPadding, .. } => {
                UnitOp::GlobalMean
            }
            Op::GlobalPool { kind: kind @ PoolKind::Max, .. } | Op::AdaptivePool { kind, .. } => {
                UnitOp::AdaptivePool { kind: *kind }
            }
            Op::BlurPool { window } => UnitOp::BlurPool { window: *window },
            &Op::Pad { sides, mode } => UnitOp::Pad { sides, mode },
            &Op::Resize { out, mode } => {
                let factor = match out {
                    ResizeTo::Factor(factor) => Some(factor),
                    ResizeTo::Size(_) | ResizeTo::Like => None,
                };
                UnitOp::Resize { factor, mode }
            }
            Op::Scale { factor } => UnitOp::Scale { factor: *factor },
            Op::Concat => UnitOp::Concat,
            &Op::Slice { start, len } => UnitOp::Slice { start, len },
            Op::Shuffle { groups } => UnitOp::Shuffle { groups: *groups },
            &Op::Attention { heads, kv_heads, scale } => {
                UnitOp::Attention { heads, kv_heads, scale }
            }
            Op::Flatten => UnitOp::Flatten,
            Op::Dropout { p } if *p > 0.0 => UnitOp::Dropout { p: *p },
            Op::DropPath { p } if *p > 0.0 => UnitOp::DropPath { p: *p },
            Op::Dropout { .. } | Op::DropPath { .. } => UnitOp::Copy,
        };
        self.push(id, op)?;
        Ok(())
    }

    fn push_value(&mut self, node: NodeId, writer: Option<usize>) -> usize {
        let (readers, norm, activation, border) = (Vec::new(), None, None, None);
        self.values.push(Value { node, writer, readers, norm, activation, border });
        self.value_of[node.index()] = Some(self.values.len() - 1);
        self.values.len() - 1
    }

    /// Adds the unit of a node that reads what the node reads; returns the value it writes.
    fn push(&mut self, id: NodeId, op: UnitOp) -> Result<usize> {
        let inputs = read(self.graph.node(id)).map(|input| self.value_of(input));
        let inputs = inputs.collect::<Result<_>>()?;
        Ok(self.push_unit(id, id, op, inputs))
    }

    /// Adds a unit of node `id` that writes what is, or goes with, the value of `writes`.
    fn push_unit(&mut self, id: NodeId, writes: NodeId, op: UnitOp, inputs: Vec<usize>) -> usize {
        let unit = self.units.len();
        for &input in &inputs {
            self.values[input].readers.push(unit);
        }
        let output = self.push_value(writes, Some(unit));
        self.units.push(Unit { node: id, op, inputs, output });
        output
    }

    /// Adds a unit that slides a window; where that reads something else than zeros beyond the map, after one that lays it around
    /// the map.
    fn bordered(
        &mut self,
        id: NodeId,
        window: &Window,
        op: impl FnOnce(Window) -> UnitOp,
    ) -> Result<()> {
        if window.mode == PadMode::Zeros {
            self.push(id, op(*window))?;
            return Ok(());
        }
        let input = self.input(id)?;
        let inner = self.value_of(input)?;
        let border = self.push_unit(id, input, UnitOp::Border { window: *window }, vec![inner]);
        self.values[border].border = Some(*window);
        // The border is no value of the node it surrounds.
        self.value_of[input.index()] = Some(inner);
        let bare = Window { padding: Padding::Valid, mode: PadMode::Zeros, ..*window };
        self.push_unit(id, id, op(bare), vec![border]);
        Ok(())
    }

    /// Makes sure that nothing is pending on the first input of a node, by a copy where something is.
    fn bare_input(&mut self, id: NodeId) -> Result<()> {
        let input = self.input(id)?;
        let value = self.value_of(input)?;
        if self.values[value].norm.is_some() || self.values[value].activation.is_some() {
            self.push_unit(id, input, UnitOp::Copy, vec![value]);
        }
        Ok(())
    }

    /// The value a norm or an activation can be left pending on: nobody else may read it bare.
    fn pending_on(&self, id: NodeId) -> Result<Option<usize>> {
        let input = self.input(id)?;
        let value = self.value_of(input)?;
        let free = self.readers[input.index()] == 1 && self.values[value].writer.is_some();
        Ok((free && self.values[value].activation.is_none()).then_some(value))
    }

    fn norm(&mut self, id: NodeId, eps: f64, momentum: Option<f64>) -> Result<()> {
        let Some((&params, rest)) = self.graph.node(id).params().split_first_chunk::<4>() else {
            return Err(self.internal(id, "lacks one of its four parameters"));
        };
        let tracked = rest.first().copied();
        let is_bare_conv = |value: &usize| {
            let writer = self.values[*value].writer.map(|unit| &self.units[unit].op);
            let bare = matches!(
                writer,
                Some(UnitOp::Conv { bias: None, .. } | UnitOp::Linear { bias: None, .. })
            );
            bare && self.values[*value].norm.is_none()
        };
        let value = match self.pending_on(id)?.filter(is_bare_conv) {
            Some(value) => value,
            None => self.push(id, UnitOp::BatchNorm)?,
        };
        self.values[value].norm = Some(Norm { node: id, params, tracked, eps, momentum });
        self.values[value].node = id;
        self.value_of[id.index()] = Some(value);
        Ok(())
    }

    fn activation(&mut self, id: NodeId, activation: Activation) -> Result<()> {
        let written_with_it = |value: &usize| {
            let writer = self.values[*value].writer.map(|unit| self.units[unit].op);
            writer.is_some_and(|op| op.is_conv() || matches!(op, UnitOp::Add))
        };
        let value = match self.pending_on(id)?.filter(written_with_it) {
            Some(value) => value,
            None => self.push(id, UnitOp::Copy)?,
        };
        self.values[value].activation = Some(activation);
        self.values[value].node = id;
        self.value_of[id.index()] = Some(value);
        Ok(())
    }
}

/// The inputs of which values are read: of one whose size alone matters, nothing has to be computed.
fn read(node: &Node) -> impl Iterator<Item = NodeId> + '_ {
    let inputs = node.inputs().iter().enumerate();
    inputs.filter(|(i, _)| node.op().reads_values(*i)).map(|(_, &input)| input)
}
