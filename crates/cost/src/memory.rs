//! What a network keeps in memory while it runs, from the plan that the engine obeys.
//!
//! Above: reports, `batch`. Below: `timeline`, `units`, `taper-plan`. Not here: packed weights, which depend on the machine; what a
//! process takes (`taper bench` measures it).

use taper_graph::{Graph, NodeId};
use taper_plan::inference::ExecutionOrder;
use taper_plan::{InferencePlan, Recompute, TrainingPlan};

use crate::timeline::Timeline;
use crate::{Bytes, Error, Macs, Result, UnitCost, UnitKind, training_units};

/// What inference keeps in memory between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InferenceMemory {
    /// All parameters and buffers, as a model holds them.
    pub params: Bytes,
    /// What `taper_engine::Session::arena_bytes` says after such a batch: an arena for every image that is under way, and what bands
    /// pass through.
    pub arena: Bytes,
    /// The batch itself, which the caller holds.
    pub images: Bytes,
    /// What lives at which unit, of one image.
    pub timeline: Timeline,
}

impl InferenceMemory {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.params + self.arena + self.images
    }
}

/// What training keeps in memory between steps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingMemory {
    /// All parameters and buffers.
    pub params: Bytes,
    /// Gradients of the trained parameters.
    pub gradients: Bytes,
    /// What the optimizer keeps for each trained parameter.
    pub optimizer: Bytes,
    /// What `taper_engine::Trainer::arena_bytes` says after such a step: activations and their gradients, in one block.
    pub arena: Bytes,
    /// The part of it that holds activations when the forward pass ends.
    pub stored_activations: Bytes,
    /// The batch itself, which the caller holds beside the arena's copy.
    pub images: Bytes,
    /// What kernels need beside: a dense convolution finishes the gradient of its output in a copy, the largest of which is kept.
    pub scratch: Bytes,
    /// What is multiplied again on the way back, because it was not kept.
    pub recomputed: Macs,
    /// What lives when: every unit forward, and again on the way back.
    pub timeline: Timeline,
}

impl TrainingMemory {
    /// All that the plan knows of: without scratch.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.params + self.gradients + self.optimizer + self.arena + self.images
    }
}

/// What a session of the named outputs keeps after a batch of `n` images of `h` rows and `w` columns on `threads` threads (0 is one).
///
/// # Errors
/// [`Error::Plan`] for an unknown output, an image that the network does not take, or one that no address can reach.
///
/// # Examples
/// ```
/// use taper_cost::{Bytes, inference_memory};
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// let memory = inference_memory(&b.build()?, &["features"], [1, 32, 32], 1)?;
/// // The image is read where it lies.
/// assert_eq!((memory.params, memory.arena), (Bytes(4 * 8 * 3 * 9), Bytes(4 * 16 * 16 * 8)));
/// # Ok(()) }
/// ```
pub fn inference_memory(
    graph: &Graph,
    outputs: &[&str],
    shape @ [n, h, w]: [usize; 3],
    threads: usize,
) -> Result<InferenceMemory> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let nodes = outputs.iter().map(|output| graph.output(output));
    let nodes: taper_graph::Result<Vec<NodeId>> = nodes.collect();
    let nodes = nodes.map_err(|source| refused(source.into()))?;
    let plan = InferencePlan::new(graph, &nodes, [h, w]).map_err(refused)?;
    let threads = threads.max(1);
    let elements = plan.elements(graph, [h, w], n, threads).map_err(refused)?;
    let memory = plan.memory(graph, [h, w], ExecutionOrder::Bands { threads }).map_err(refused)?;
    Ok(InferenceMemory {
        params: params(graph, |_| true),
        arena: Bytes::of_elements(elements),
        images: images(graph, shape),
        timeline: Timeline::of_inference(graph, &plan, &memory),
    })
}

/// What a trainer of the parameters marked in `trained`, through the named outputs, keeps after a step on `n` images of `h` rows and `w`
/// columns, and an optimizer that keeps `slots` numbers for each trained parameter: 1 for momentum, 2 for Adam.
///
/// # Errors
/// [`Error::Plan`] for an unknown output, marks of another number than parameters, an empty batch, an image that the network does not
/// take, or a batch that no address can reach.
///
/// # Examples
/// ```
/// use taper_cost::{Bytes, training_memory};
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// let memory = training_memory(&b.build()?, &["features"], &[true], [2, 32, 32], 1)?;
/// // Images, map, and the map's gradient.
/// assert_eq!(memory.arena, Bytes(4 * 2 * (32 * 32 * 3 + 2 * 16 * 16 * 8)));
/// assert_eq!(memory.optimizer, memory.params);
/// # Ok(()) }
/// ```
pub fn training_memory(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    shape @ [_, h, w]: [usize; 3],
    slots: usize,
) -> Result<TrainingMemory> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let plan = TrainingPlan::new(graph, outputs, trained).map_err(refused)?;
    training_memory_of(graph, &plan, shape, slots)
}

/// [`training_memory`] of a plan: one that begins above what is frozen, or computes a part again instead of keeping it.
///
/// # Errors
/// As [`training_memory`].
///
/// # Examples
/// ```
/// use taper_graph::{Activation, Bias, Conv, GraphBuilder};
/// use taper_plan::{Recompute, TrainingPlan};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let mut xs = b.input();
/// for i in 0..16 {
///     xs = b.conv(&format!("conv{i}"), xs, Conv::dense(8, 3, 1), Bias::Without)?;
///     xs = b.activation(&format!("act{i}"), xs, Activation::Relu)?;
/// }
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let plan = TrainingPlan::new(&graph, &["features"], &[true; 16])?;
/// let kept = taper_cost::training_memory_of(&graph, &plan, [1, 32, 32], 1)?;
/// let plan = plan.recomputing(Recompute::Segments);
/// let again = taper_cost::training_memory_of(&graph, &plan, [1, 32, 32], 1)?;
/// // A little over twice the root of 16 maps, for up to one more forward pass.
/// assert!(2 * again.arena.0 < kept.arena.0 + kept.arena.0 / 4);
/// assert!(again.recomputed < taper_cost::macs(&graph, 32, 32)?);
/// # Ok(()) }
/// ```
pub fn training_memory_of(
    graph: &Graph,
    plan: &TrainingPlan,
    shape @ [n, h, w]: [usize; 3],
    slots: usize,
) -> Result<TrainingMemory> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let memory = plan.memory(graph, shape).map_err(refused)?;
    let timeline = Timeline::of_training(graph, plan, &memory);
    let gradients = params(graph, |param| plan.trained[param]);
    let units = training_units(graph, plan, [h, w])?;
    let is_dense = |unit: &&UnitCost| {
        let is_dense = matches!(unit.shape.kind, UnitKind::Dense | UnitKind::Grouped);
        is_dense && plan.routes.needs[plan.fused.units[unit.unit].output]
    };
    let dense = units.iter().filter(is_dense);
    let scratch = dense.map(|unit| Bytes::of_elements(unit.shape.written).times(n)).max();
    let again = memory.again.iter().flatten().map(|&unit| units[unit].work.macs.times(n));
    Ok(TrainingMemory {
        recomputed: again.sum(),
        params: params(graph, |_| true),
        optimizer: gradients.times(slots),
        gradients,
        arena: Bytes::of_elements(memory.total),
        stored_activations: timeline.at_turn(&memory, plan.fused.units.len()),
        images: images(graph, shape),
        scratch: scratch.unwrap_or(Bytes(0)),
        timeline,
    })
}

/// [`training_memory`] of a trainer that begins above what `trained` leaves frozen, and bytes of the session that computes what it begins
/// with: its packed weights, its arena, and what it gives. `slots` are the optimizer's; the session has so many `threads`.
///
/// # Errors
/// As [`training_memory`].
pub fn training_memory_above(
    graph: &Graph,
    (outputs, trained, recompute): (&[&str], &[bool], Recompute),
    shape @ [n, h, w]: [usize; 3],
    (slots, threads): (usize, usize),
) -> Result<(TrainingMemory, Bytes)> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let (plan, nodes) = TrainingPlan::above(graph, outputs, trained).map_err(refused)?;
    let memory = training_memory_of(graph, &plan.recomputing(recompute), shape, slots)?;
    if nodes == [graph.input()] {
        return Ok((memory, Bytes(0)));
    }
    let below = InferencePlan::new(graph, &nodes, [h, w]).map_err(refused)?;
    let arena = below.elements(graph, [h, w], n, threads.max(1)).map_err(refused)?;
    let ids: std::collections::BTreeSet<_> = below.fused.params().map(|id| id.index()).collect();
    let extents = graph.extents(h, w).map_err(|source| refused(source.into()))?;
    let given: Bytes =
        nodes.iter().map(|node| Bytes::of_elements(extents[node.index()].len())).sum();
    // The weights, packed, and those they were packed from.
    let weights = params(graph, |param| ids.contains(&param)).times(2);
    Ok((memory, Bytes::of_elements(arena) + weights + given.times(n)))
}

fn params(graph: &Graph, counts: impl Fn(usize) -> bool) -> Bytes {
    let params = graph.params().iter().enumerate().filter(|(param, _)| counts(*param));
    params.map(|(_, spec)| Bytes::of_elements(spec.len())).sum()
}

fn images(graph: &Graph, [n, h, w]: [usize; 3]) -> Bytes {
    Bytes::of_elements(graph.input_channels()).times(n).times(h).times(w)
}
