//! What a session's units cost, where a convolution, its norm, its activation and what is added to it are one.
//!
//! Above: `latency`, `taper-engine`'s profile. Below: `count`, `work`, `taper-plan`. Not here: nodes on their own (`count`), time (`latency`).
//! Bytes are those a perfect cache would move: every tensor that a unit reads or writes once, weights included. Norms behind a
//! convolution are folded into its weights and do nothing.

use serde::{Deserialize, Serialize};
use taper_graph::{Activation, Extent, Graph, NodeId};
use taper_plan::inference::{ConvSize, Step};
use taper_plan::{FusedGraph, InferencePlan, TrainingPlan, Unit, UnitOp};

use crate::count::{op_flops, op_macs};
use crate::{Bytes, Error, Flops, Macs, Result, Work};

/// What kind of work a unit is: units of one kind and size take the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnitKind {
    /// A convolution with one group and more than one tap.
    Dense,
    /// A 1x1 convolution with stride 1: a matrix product.
    Pointwise,
    /// A convolution with one filter a channel.
    Depthwise,
    /// A convolution with several groups.
    Grouped,
    /// A linear layer.
    Linear,
    /// A transposed convolution.
    Transposed,
    /// A batch norm on its own.
    BatchNorm,
    /// A norm on its own whose statistics are the image's: of layers or groups.
    Norm,
    /// A sum of its own.
    Add,
    /// A product of its own, such as the gate of a squeeze-and-excite.
    Mul,
    /// A mean over the whole map.
    GlobalMean,
    /// A pool over windows.
    Pool,
    /// An activation or a dropout on its own, or nothing but a copy.
    Copy,
    /// Channels that move: concatenation, slice, shuffle, flatten.
    Channels,
    /// Positions that move or are weighed: borders, padding, resizing, blur.
    Resample,
    /// Attention.
    Attention,
}

/// The sizes that decide on a unit's time, for one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct UnitShape {
    /// The kind of work.
    pub kind: UnitKind,
    /// Positions of the output.
    pub positions: usize,
    /// Input channels of a group.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Groups.
    pub groups: usize,
    /// Taps of a filter or window.
    pub taps: usize,
    /// Positions of the input for each of the output, rounded: the strides multiplied.
    pub stride: usize,
    /// Elements read, weights not counted.
    pub read: usize,
    /// Elements written.
    pub written: usize,
    /// Elements of the weights.
    pub weights: usize,
    /// Exponentials: one for each element that passes a curved activation such as SiLU, two for a GELU, which takes twice as long, and one for each
    /// score of attention.
    pub exponentials: usize,
}

/// What one unit does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnitCost {
    /// Its index in the plan.
    pub unit: usize,
    /// The first of its nodes.
    pub node: NodeId,
    /// Its sizes.
    pub shape: UnitShape,
    /// Operations and bytes for one image.
    pub work: Work,
    /// Whether another unit does its work: it has no time of its own.
    pub skipped: bool,
}

/// What each unit of a session does, by unit, for one image of `[h, w]`.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
/// use taper_plan::InferencePlan;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
/// let xs = b.activation("act", xs, Activation::Relu)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let units = taper_cost::units(&graph, &InferencePlan::new(&graph, &[xs], [32, 32])?, [32, 32])?;
/// assert_eq!(units.len(), 1);
/// assert_eq!(units[0].work.macs, taper_cost::macs(&graph, 32, 32)?);
/// # Ok(()) }
/// ```
pub fn units(graph: &Graph, plan: &InferencePlan, size: [usize; 2]) -> Result<Vec<UnitCost>> {
    let extents = extents(graph, &plan.fused, size)?;
    let units = plan.fused.units.iter().zip(&plan.steps).enumerate();
    Ok(units.map(|(u, (unit, step))| unit_cost(graph, &extents, (u, unit), step, 0)).collect())
}

/// [`units`] of a session of the named outputs, without those whose work others do.
///
/// # Errors
/// [`Error::Plan`] for an unknown output, or an image that the network does not take.
pub fn inference_units(
    graph: &Graph,
    outputs: &[&str],
    size @ [h, w]: [usize; 2],
) -> Result<Vec<UnitCost>> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let nodes = outputs.iter().map(|output| graph.output(output));
    let nodes: taper_graph::Result<Vec<NodeId>> = nodes.collect();
    let nodes = nodes.map_err(|source| refused(source.into()))?;
    let plan = InferencePlan::new(graph, &nodes, size).map_err(refused)?;
    let mut units = units(graph, &plan, size)?;
    units.retain(|unit| !unit.skipped);
    Ok(units)
}

/// What each unit of a training step does forward, by unit, for one image of `[h, w]`: nothing is fused but what is pending on its
/// output.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
pub fn training_units(
    graph: &Graph,
    plan: &TrainingPlan,
    size: [usize; 2],
) -> Result<Vec<UnitCost>> {
    let extents = extents(graph, &plan.fused, size)?;
    let units = plan.fused.units.iter().enumerate();
    let cost = |(u, unit): (usize, &Unit)| {
        let step = Step { output: unit.output, ..Step::default() };
        // Whoever reads a value applies what is pending on it.
        let of = |&v: &usize| exponentials_of(plan.fused.values[v].activation) * extents[v].len();
        let pending = unit.inputs.iter().map(of).sum();
        unit_cost(graph, &extents, (u, unit), &step, pending)
    };
    Ok(units.map(cost).collect())
}

fn extents(graph: &Graph, fused: &FusedGraph, [h, w]: [usize; 2]) -> Result<Vec<Extent>> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    fused.extents(graph, [h, w]).map_err(refused)
}

/// `pending` exponentials are taken of what is read.
fn unit_cost(
    graph: &Graph,
    extents: &[Extent],
    (unit_idx, unit): (usize, &Unit),
    step: &Step,
    pending: usize,
) -> UnitCost {
    let inputs: Vec<Extent> = unit.inputs.iter().map(|&v| extents[v]).collect();
    let (own, output) = (extents[unit.output], extents[step.output]);
    let params = unit.op.params().into_iter().flatten();
    let weights: usize = params.map(|id| graph.param(id).len()).sum();
    let read: usize = step.reads(unit).map(|v| extents[v].len()).sum();
    // A border, or a copy for what is pending, is made for the node behind it, which has a unit of its own.
    let is_own = !matches!(unit.op, UnitOp::Border { .. } | UnitOp::Copy);
    let op = graph.node(unit.node).op();
    let macs = if is_own { op_macs(op, &inputs, own) } else { Macs(0) };
    let (norms, elementwise) = if is_own { op_flops(op, &inputs, own) } else { Default::default() };
    let each = |is: bool| Flops(if is { output.len() as u64 } else { 0 });
    let gate = step.gated.map_or(Flops(0), |[map, _]| Flops(extents[map].len() as u64));
    let work = Work {
        macs,
        norms,
        elementwise: elementwise
            + each(step.activation.is_some())
            + each(step.residual.is_some())
            + gate,
        read: Bytes::of_elements(read) + Bytes::of_elements(weights),
        written: Bytes::of_elements(output.len()),
    };
    let written = output.len();
    let exponentials = pending
        + exponentials_of(step.activation) * written
        + match unit.op {
            UnitOp::Attention { heads, .. } => heads * positions(inputs[0]) * positions(inputs[1]),
            _ => 0,
        };
    let shape = UnitShape { read, written, weights, exponentials, ..shape(unit, extents) };
    UnitCost { unit: unit_idx, node: unit.node, shape, work, skipped: step.skipped }
}

fn positions(extent: Extent) -> usize {
    extent.size().iter().product()
}

/// All but elements.
fn shape(unit: &Unit, extents: &[Extent]) -> UnitShape {
    let (xs, ys) = (extents[unit.inputs[0]], extents[unit.output]);
    let size = ConvSize::new(unit, extents);
    let (kind, groups, taps) = match &unit.op {
        UnitOp::Conv { conv, .. } => {
            let taps = conv.window.kernel.iter().product();
            let kind = match size {
                Some(size) if size.is_pointwise() => UnitKind::Pointwise,
                Some(size) if size.is_depthwise() => UnitKind::Depthwise,
                _ if conv.groups > 1 => UnitKind::Grouped,
                _ => UnitKind::Dense,
            };
            (kind, conv.groups, taps)
        }
        UnitOp::Linear { .. } => (UnitKind::Linear, 1, 1),
        UnitOp::ConvTranspose { conv, .. } => {
            (UnitKind::Transposed, conv.groups, conv.window.kernel.iter().product())
        }
        UnitOp::BatchNorm => (UnitKind::BatchNorm, 1, 1),
        UnitOp::GroupNorm { .. } | UnitOp::LayerNorm { .. } => (UnitKind::Norm, 1, 1),
        UnitOp::Add => (UnitKind::Add, 1, 1),
        UnitOp::Mul => (UnitKind::Mul, 1, 1),
        UnitOp::GlobalMean => (UnitKind::GlobalMean, 1, positions(xs)),
        UnitOp::Pool { window, .. } | UnitOp::LpPool { window, .. } => {
            (UnitKind::Pool, 1, window.kernel.iter().product())
        }
        UnitOp::AdaptivePool { .. } => {
            (UnitKind::Pool, 1, positions(xs).div_ceil(positions(ys).max(1)))
        }
        UnitOp::Copy
        | UnitOp::Dropout { .. }
        | UnitOp::DropPath { .. }
        | UnitOp::Scale { .. }
        | UnitOp::PRelu { .. } => (UnitKind::Copy, 1, 1),
        UnitOp::Concat | UnitOp::Slice { .. } | UnitOp::Shuffle { .. } | UnitOp::Flatten => {
            (UnitKind::Channels, 1, 1)
        }
        UnitOp::Border { .. } | UnitOp::Pad { .. } | UnitOp::Resize { .. } => {
            (UnitKind::Resample, 1, 1)
        }
        UnitOp::BlurPool { window } => (UnitKind::Resample, 1, window.kernel.iter().product()),
        UnitOp::Attention { heads, .. } => {
            (UnitKind::Attention, *heads, positions(extents[unit.inputs[1]]))
        }
    };
    UnitShape {
        kind,
        positions: positions(ys),
        in_channels: xs.channels() / groups.max(1),
        out_channels: ys.channels(),
        groups,
        taps,
        stride: positions(xs).div_ceil(positions(ys).max(1)),
        read: 0,
        written: 0,
        weights: 0,
        exponentials: 0,
    }
}

/// Exponentials of an element that passes an activation, rounded: on AVX-512 a SiLU adds 0.26 ns to an element, a sigmoid 0.24, a tanh
/// 0.31, a Mish 0.35, a GELU 0.46 and by its tanh 0.44; a hard swish 0.06.
fn exponentials_of(activation: Option<Activation>) -> usize {
    match activation {
        Some(Activation::Gelu | Activation::GeluTanh) => 2,
        Some(Activation::Silu | Activation::Sigmoid | Activation::Tanh | Activation::Mish) => 1,
        Some(
            Activation::Relu
            | Activation::Relu6
            | Activation::HardSwish
            | Activation::HardSigmoid
            | Activation::LeakyRelu { .. }
            | Activation::PRelu,
        )
        | None => 0,
    }
}
