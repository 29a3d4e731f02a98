//! What a network keeps in memory while it runs, from the plan that the engine obeys.
//!
//! Above: reports, pruning. Below: `taper-plan`. Not here: scratch of kernels and packed weights, which depend on the machine; what a
//! process takes (`taper bench` measures it).

use taper_graph::{Graph, NodeId};
use taper_plan::{InferencePlan, TrainingPlan};

use crate::{Bytes, Error, Result};

/// Bytes of a scalar: the engine runs networks in `f32`.
const SCALAR: usize = size_of::<f32>();

/// What stays in memory between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// All parameters and buffers, as a model holds them.
    pub params: Bytes,
    /// What `taper_engine::Session::arena_bytes` or `Trainer::arena_bytes` says after such a batch.
    pub arena: Bytes,
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
    [n, h, w]: [usize; 3],
    threads: usize,
) -> Result<Memory> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let nodes = outputs.iter().map(|output| graph.output(output));
    let nodes: taper_graph::Result<Vec<NodeId>> = nodes.collect();
    let nodes = nodes.map_err(|source| refused(source.into()))?;
    let plan = InferencePlan::new(graph, &nodes, [h, w]).map_err(refused)?;
    let elements = plan.elements(graph, [h, w], n, threads.max(1)).map_err(refused)?;
    Ok(Memory { params: params(graph), arena: bytes(elements) })
}

/// What a trainer of the parameters marked in `trained`, through the named outputs, keeps after a step on `n` images of `h` rows and `w` columns.
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
/// let memory = training_memory(&b.build()?, &["features"], &[true], [2, 32, 32])?;
/// // Images, map, and the map's gradient.
/// assert_eq!(memory.arena, Bytes(4 * 2 * (32 * 32 * 3 + 2 * 16 * 16 * 8)));
/// # Ok(()) }
/// ```
pub fn training_memory(
    graph: &Graph,
    outputs: &[&str],
    trained: &[bool],
    shape @ [_, h, w]: [usize; 3],
) -> Result<Memory> {
    let refused = |source| Error::Plan { h, w, source: Box::new(source) };
    let plan = TrainingPlan::new(graph, outputs, trained).map_err(refused)?;
    let memory = plan.memory(graph, shape).map_err(refused)?;
    Ok(Memory { params: params(graph), arena: bytes(memory.total) })
}

fn params(graph: &Graph) -> Bytes {
    graph.params().iter().map(|spec| bytes(spec.len())).sum()
}

fn bytes(elements: usize) -> Bytes {
    Bytes((elements as u64).saturating_mul(SCALAR as u64))
}
