//! What a training step runs, where its gradients go, and where its tensors lie.
//!
//! Above: `taper-engine`, `taper-cost`. Below: `fused`, `training::{memory, order, routes, schedule, segments}`. Not here: numbers, norms' statistics
//! (`taper-engine`).

mod memory;
mod order;
mod routes;
mod schedule;
mod segments;

use taper_graph::{Graph, NodeId};

use crate::fused::Norm;
use crate::{Error, FusedGraph, Result, UnitOp};
pub use memory::TrainingMemory;
pub use order::GradientOrder;
use routes::Statistics;
pub use routes::{GradientRoutes, Route};
pub use schedule::Step;

impl Norm {
    /// Whether its scale or shift is trained.
    #[must_use]
    pub fn is_trained(&self, trained: &[bool]) -> bool {
        self.params[..2].iter().any(|param| trained[param.index()])
    }
}

/// What of the forward pass is not kept for the way back, but computed again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing: fastest.
    #[default]
    Nothing,
    /// All but what passes between segments of the network, which are cut so that the arena is smallest (gradient checkpointing, Chen et
    /// al. 2016, <https://arxiv.org/abs/1604.06174>). Gradients have the same bits, and take up to one forward pass more.
    Segments,
}

/// The units of a training step, and where its gradients go.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingPlan {
    /// The units.
    pub fused: FusedGraph,
    /// Where gradients go.
    pub routes: GradientRoutes,
    /// The parameters that get a gradient, by [`ParamId`](taper_graph::ParamId); buffers never do.
    pub trained: Vec<bool>,
    /// What is computed again instead of kept.
    pub recompute: Recompute,
}

impl TrainingPlan {
    /// Plans to train the parameters marked in `trained` (by [`ParamId`](taper_graph::ParamId); buffers' marks do not matter) through the
    /// named outputs.
    ///
    /// # Errors
    /// For an unknown output, or marks of another number than parameters.
    pub fn new(graph: &Graph, outputs: &[&str], trained: &[bool]) -> Result<Self> {
        let trained = marks(graph, trained)?;
        Ok(Self::of(fused(graph, outputs)?, trained))
    }

    /// As [`TrainingPlan::new`], with the gradient of the image.
    ///
    /// # Errors
    /// As [`TrainingPlan::new`].
    pub fn with_image_gradient(graph: &Graph, outputs: &[&str], trained: &[bool]) -> Result<Self> {
        let trained = marks(graph, trained)?;
        // Value 0 is the image.
        Ok(Self::of(FusedGraph { watched: Some(0), ..fused(graph, outputs)? }, trained))
    }

    /// As [`TrainingPlan::new`], but leaves out what gives the same for the same image in every step: all that no trained parameter lies
    /// below and no dropout acts on. The plan begins at the returned nodes, whose values are given.
    ///
    /// # Errors
    /// As [`TrainingPlan::new`].
    pub fn above(graph: &Graph, outputs: &[&str], trained: &[bool]) -> Result<(Self, Vec<NodeId>)> {
        let Self { fused, routes, trained, .. } = Self::new(graph, outputs, trained)?;
        let is_fixed = |unit: &crate::Unit| !routes.needs[unit.output] && !unit.op.drops();
        let (fused, nodes) = fused.above(is_fixed);
        Ok((Self::of(fused, trained), nodes))
    }

    /// Plans the gradient of the named output with respect to the output of `node`, in evaluation mode: nothing is trained, nothing is
    /// dropped, and only what lies between the two is run. The plan begins at the returned nodes, whose values are given.
    ///
    /// # Errors
    /// For an unknown output.
    pub fn watching(graph: &Graph, output: &str, node: NodeId) -> Result<(Self, Vec<NodeId>)> {
        let mut fused = FusedGraph::new(graph, &[graph.output(output)?, node])?;
        let watched = fused.outputs[1];
        let mut is_above = vec![false; fused.values.len()];
        is_above[watched] = true;
        for unit in &fused.units {
            is_above[unit.output] |= unit.inputs.iter().any(|&v| is_above[v]);
        }
        drop_nothing(&mut fused);
        is_above[watched] = false; // it is given, whatever writes it
        let (mut fused, given) = fused.above(|unit| !is_above[unit.output]);
        fused.watched = fused.outputs.pop();
        Ok((Self::of(fused, vec![false; graph.params().len()]), given))
    }

    /// The same, with this computed again instead of kept.
    #[must_use]
    pub fn recomputing(self, recompute: Recompute) -> Self {
        Self { recompute, ..self }
    }

    /// The same without dropout.
    #[must_use]
    pub fn without_dropout(self) -> Self {
        let Self { mut fused, trained, recompute, .. } = self;
        drop_nothing(&mut fused);
        Self::of(fused, trained).recomputing(recompute)
    }

    /// The same in evaluation mode: norms that are trained use their running statistics too, as constants, and nothing is dropped.
    #[must_use]
    pub fn in_evaluation_mode(self) -> Self {
        let Self { fused, trained, recompute, .. } = self.without_dropout();
        let routes = GradientRoutes::new(&fused, &trained, Statistics::Running);
        Self { routes, fused, trained, recompute }
    }

    fn of(fused: FusedGraph, trained: Vec<bool>) -> Self {
        let routes = GradientRoutes::new(&fused, &trained, Statistics::Batch);
        Self { routes, fused, trained, recompute: Recompute::Nothing }
    }

    /// Lays out the arena for batches of `[n, h, w]`.
    ///
    /// # Errors
    /// For an empty batch, one that no address can reach, or an image that the graph does not take.
    pub fn memory(&self, graph: &Graph, shape: [usize; 3]) -> Result<TrainingMemory> {
        TrainingMemory::new(graph, &self.fused, &self.routes, self.recompute, shape)
    }
}

fn drop_nothing(fused: &mut FusedGraph) {
    for unit in fused.units.iter_mut().filter(|unit| unit.op.drops()) {
        unit.op = UnitOp::Copy;
    }
}

/// What some named outputs depend on.
fn fused(graph: &Graph, outputs: &[&str]) -> Result<FusedGraph> {
    let nodes = outputs.iter().map(|output| graph.output(output));
    FusedGraph::new(graph, &nodes.collect::<taper_graph::Result<Vec<NodeId>>>()?)
}

/// Which parameters are trained: those that are marked, and are no buffers.
fn marks(graph: &Graph, trained: &[bool]) -> Result<Vec<bool>> {
    let (got, expected) = (trained.len(), graph.params().len());
    if got != expected {
        return Err(Error::Marks { got, expected });
    }
    let marks = graph.params().iter().zip(trained);
    Ok(marks.map(|(param, &mark)| mark && param.role.is_trained()).collect())
}
