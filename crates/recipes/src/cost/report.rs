//! Costs as they are printed and written.
//!
//! Above: `cost`, the binary. Below: `taper_cost`, `serde`. Not here: counting.

use serde::Serialize;
use taper_cost::latency::UnitPrediction;
use taper_cost::{
    Cost, InferenceMemory, NetworkCost, Pass, Prediction, Roof, ScopeCost, Seconds, Timeline,
    TrainingMemory, UnitCost, UnitKind,
};
use taper_graph::Graph;

use super::{CostNetwork, CostOptions, Predicted};

/// What a network costs. Counts are of one image, times and memory of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostReport {
    /// The network.
    pub model: String,
    /// Height and width of the image.
    pub image_size: [usize; 2],
    /// Images a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations: two a multiply-accumulate, and what norms, activations, pools and sums do.
    pub flops: u64,
    /// Of these, operations of norms.
    pub norm_flops: u64,
    /// Of these, operations of activations, pools, sums and softmax.
    pub elementwise_flops: u64,
    /// Multiply-accumulates of the backward pass.
    pub backward_macs: u64,
    /// Elements of the outputs of all layers.
    pub activations: u64,
    /// Bytes read and written, if every layer ran alone.
    pub bytes: u64,
    /// Operations for each of these bytes.
    pub intensity: f64,
    /// Bytes of the tensors that live at once in inference, at most.
    pub peak_activation_bytes: u64,
    /// Memory of inference.
    pub memory: MemoryCost,
    /// Memory of training.
    pub training_memory: TrainingMemoryCost,
    /// The time that is predicted, if the machine is calibrated.
    pub time: Option<TimeCost>,
    /// Milliseconds of a batch that was run.
    pub measured_ms: Option<f64>,
    /// Milliseconds of a training step that was run.
    pub measured_training_ms: Option<f64>,
    /// The largest batch that trains in the memory that was named: none if it was not named, 0 if not even one image fits.
    pub largest_batch: Option<usize>,
    /// Share of ImageNet's validation pictures that the published weights name rightly.
    pub top1: Option<f64>,
    /// Layer by layer, in the order of the network.
    pub layers: Vec<LayerCost>,
    /// Scope by scope: outer before inner.
    #[serde(skip)]
    pub tree: ScopeRow,
    /// The units that run, with their predicted times.
    #[serde(skip)]
    pub units: Vec<UnitRow>,
    /// What the machine can do at best.
    #[serde(skip)]
    pub roof: Option<Roof>,
}

/// A unit of inference: a convolution with its norm and activation.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitRow {
    /// The first of its nodes.
    pub name: String,
    /// The kind of work.
    pub kind: UnitKind,
    /// Floating-point operations of a batch.
    pub flops: u64,
    /// Bytes of a batch.
    pub bytes: u64,
    /// Predicted milliseconds of a batch.
    pub ms: Option<f64>,
}

/// What inference keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryCost {
    /// Parameters and buffers.
    pub weights_bytes: u64,
    /// The arenas.
    pub arena_bytes: u64,
    /// The images.
    pub images_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
    /// The tensors that live at the peak, the largest first.
    pub at_peak: Vec<LiveTensorCost>,
    /// Unit by unit.
    #[serde(skip)]
    pub timeline: Vec<MomentCost>,
}

/// What training keeps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainingMemoryCost {
    /// Parameters and buffers.
    pub weights_bytes: u64,
    /// Gradients of parameters.
    pub gradients_bytes: u64,
    /// The optimizer's state.
    pub optimizer_bytes: u64,
    /// Activations and their gradients, in one block.
    pub arena_bytes: u64,
    /// Activations that are stored when the forward pass ends.
    pub stored_activations_bytes: u64,
    /// The images.
    pub images_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
    /// What a process that trains so will hold, its program included.
    pub process_bytes: u64,
    /// The tensors that live at the peak, the largest first.
    pub at_peak: Vec<LiveTensorCost>,
    /// Unit by unit, forward and back.
    #[serde(skip)]
    pub timeline: Vec<MomentCost>,
}

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LiveTensorCost {
    /// The node whose output it is, or whose output's gradient.
    pub name: String,
    /// Whether it is a gradient.
    pub is_gradient: bool,
    /// Its size.
    pub bytes: u64,
}

/// Memory while a unit runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MomentCost {
    /// The unit's first node.
    pub name: String,
    /// Whether it runs backward.
    pub is_backward: bool,
    /// Bytes of what lives.
    pub bytes: u64,
}

/// Predicted times, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeCost {
    /// The machine.
    pub on: String,
    /// A batch.
    pub ms: f64,
    /// The least that the machine could take for it.
    pub bound_ms: f64,
    /// A training step.
    pub training_ms: f64,
    /// The least that the machine could take for it.
    pub training_bound_ms: f64,
}

/// What one layer costs for one image; its time is that of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerCost {
    /// Its node.
    pub name: String,
    /// Its operation.
    pub op: &'static str,
    /// Extent of its output: height, width and channels, or channels.
    pub output: Vec<usize>,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Multiply-accumulates on the way back.
    pub backward_macs: u64,
    /// Elements of its output.
    pub activations: u64,
    /// Bytes read, weights included.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Operations for each byte.
    pub intensity: f64,
    /// Predicted milliseconds of the unit that begins with it.
    pub ms: Option<f64>,
    /// The least that the machine could take for that unit.
    pub bound_ms: Option<f64>,
}

/// A scope with the sums over its layers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScopeRow {
    /// The whole name; empty for the network.
    pub name: String,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Floating-point operations.
    pub flops: u64,
    /// Elements of its layers' outputs.
    pub activations: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Predicted milliseconds.
    pub ms: Option<f64>,
    /// In the order of the network.
    pub parts: Vec<ScopeRow>,
}

/// What a report is made of.
pub(super) struct Parts<'a> {
    pub(super) network: &'a CostNetwork,
    pub(super) options: &'a CostOptions,
    pub(super) threads: usize,
    pub(super) costs: &'a NetworkCost,
    pub(super) plan: &'a [UnitCost],
    pub(super) inference: &'a InferenceMemory,
    pub(super) training: &'a TrainingMemory,
    pub(super) time: Option<&'a Predicted>,
    pub(super) roof: Option<&'a Roof>,
    pub(super) largest: Option<Option<usize>>,
}

/// Puts a report together.
pub(super) fn report(parts: &Parts<'_>) -> CostReport {
    let Parts { network, options, threads, costs, plan, inference, training, time, roof, largest } =
        *parts;
    let graph = &network.graph;
    let total = costs.total();
    let units = time.map(|(inference, ..)| by_node(graph, inference));
    let layers: Vec<LayerCost> = layers(graph, costs, units.as_deref());
    CostReport {
        model: network.name.clone(),
        image_size: costs.size,
        batch: options.batch,
        threads,
        params: total.params.0,
        macs: total.forward.macs.0,
        flops: total.forward.flops().0,
        norm_flops: total.forward.norms.0,
        elementwise_flops: total.forward.elementwise.0,
        backward_macs: total.backward.macs.0,
        activations: total.activations.0,
        bytes: total.forward.bytes().0,
        intensity: total.forward.intensity(),
        peak_activation_bytes: inference.timeline.peak_bytes().0,
        memory: memory(inference),
        training_memory: training_memory(training),
        time: time.map(times),
        measured_ms: None,
        measured_training_ms: None,
        largest_batch: largest.map(|batch| batch.unwrap_or(0)),
        top1: network.top1,
        layers,
        tree: row(&costs.tree(graph), units.as_deref()),
        units: unit_rows(graph, plan, options.batch, units.as_deref()),
        roof: roof.cloned(),
    }
}

fn times((inference, training, on): &Predicted) -> TimeCost {
    TimeCost {
        on: on.clone(),
        ms: inference.total.ms(),
        bound_ms: inference.bound.ms(),
        training_ms: training.total.ms(),
        training_bound_ms: training.bound.ms(),
    }
}

fn unit_rows(
    graph: &Graph,
    units: &[UnitCost],
    batch: usize,
    times: Option<&[Option<(Seconds, Seconds)>]>,
) -> Vec<UnitRow> {
    let row = |unit: &UnitCost| UnitRow {
        name: graph.node(unit.node).name().to_owned(),
        kind: unit.shape.kind,
        flops: unit.work.flops().times(batch).0,
        bytes: unit.work.bytes().times(batch).0,
        ms: times.and_then(|times| times[unit.node.index()]).map(|(time, _)| time.ms()),
    };
    units.iter().map(row).collect()
}

/// Times by node index; nodes that are no unit's first have none.
type ByNode = Vec<Option<(Seconds, Seconds)>>;

fn by_node(graph: &Graph, prediction: &Prediction) -> ByNode {
    let mut times: ByNode = vec![None; graph.nodes().len()];
    for UnitPrediction { node, time, bound, .. } in &prediction.units {
        let (old, old_bound) = times[node.index()].unwrap_or_default();
        times[node.index()] = Some((old + *time, old_bound + *bound));
    }
    times
}

fn layers(
    graph: &Graph,
    costs: &NetworkCost,
    times: Option<&[Option<(Seconds, Seconds)>]>,
) -> Vec<LayerCost> {
    let layer = |id: taper_graph::NodeId| {
        let (node, cost) = (graph.node(id), costs.node(id));
        let time = times.and_then(|times| times[id.index()]);
        let output = match costs.extents[id.index()] {
            taper_graph::Extent::Map { h, w, c } => vec![h, w, c],
            taper_graph::Extent::Vector { c } => vec![c],
        };
        LayerCost {
            name: node.name().to_owned(),
            op: node.op().label(),
            output,
            params: cost.params.0,
            macs: cost.forward.macs.0,
            flops: cost.forward.flops().0,
            backward_macs: cost.backward.macs.0,
            activations: cost.activations.0,
            read_bytes: cost.forward.read.0,
            written_bytes: cost.forward.written.0,
            intensity: cost.forward.intensity(),
            ms: time.map(|(time, _)| time.ms()),
            bound_ms: time.map(|(_, bound)| bound.ms()),
        }
    };
    // The image is no layer.
    graph.node_ids().skip(1).map(layer).collect()
}

fn row(scope: &ScopeCost, times: Option<&[Option<(Seconds, Seconds)>]>) -> ScopeRow {
    let parts: Vec<ScopeRow> = scope.parts.iter().map(|part| row(part, times)).collect();
    let own = scope.node.and_then(|node| times?[node.index()]).map(|(time, _)| time.ms());
    let inner: f64 = parts.iter().filter_map(|part| part.ms).sum();
    let Cost { params, activations, forward, .. } = scope.cost;
    ScopeRow {
        name: scope.name.clone(),
        params: params.0,
        macs: forward.macs.0,
        flops: forward.flops().0,
        activations: activations.0,
        bytes: forward.bytes().0,
        ms: times.map(|_| own.unwrap_or(0.0) + inner),
        parts,
    }
}

fn memory(memory: &InferenceMemory) -> MemoryCost {
    let (at_peak, timeline) = timeline(&memory.timeline);
    MemoryCost {
        weights_bytes: memory.params.0,
        arena_bytes: memory.arena.0,
        images_bytes: memory.images.0,
        total_bytes: memory.total().0,
        at_peak,
        timeline,
    }
}

fn training_memory(memory: &TrainingMemory) -> TrainingMemoryCost {
    let (at_peak, timeline) = timeline(&memory.timeline);
    TrainingMemoryCost {
        weights_bytes: memory.params.0,
        gradients_bytes: memory.gradients.0,
        optimizer_bytes: memory.optimizer.0,
        arena_bytes: memory.arena.0,
        stored_activations_bytes: memory.stored_activations.0,
        images_bytes: memory.images.0,
        total_bytes: memory.total().0,
        process_bytes: super::budget::process_bytes(memory),
        at_peak,
        timeline,
    }
}

/// Tensors of a peak that are named.
const AT_PEAK: usize = 8;

fn timeline(timeline: &Timeline) -> (Vec<LiveTensorCost>, Vec<MomentCost>) {
    let tensors = timeline.at_peak.iter().take(AT_PEAK).map(|tensor| LiveTensorCost {
        name: tensor.name.clone(),
        is_gradient: tensor.is_gradient,
        bytes: tensor.bytes.0,
    });
    let moments = timeline.moments.iter().map(|moment| MomentCost {
        name: moment.name.clone(),
        is_backward: moment.pass != Pass::Forward,
        bytes: moment.live.0,
    });
    (tensors.collect(), moments.collect())
}
