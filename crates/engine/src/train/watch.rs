//! The gradient of an output with respect to a value inside the network, in evaluation mode.
//!
//! Above: `recipes`, whose class-activation maps are made of it. Below: `taper-plan`, `train`. Not here: gradients of parameters
//! (`train::backward`), what is drawn of a gradient.
//! Nothing is trained: norms use their running statistics and nothing is dropped. Only what lies between the value and the output
//! is run; the values it begins with are given by the caller.

use taper_graph::{Graph, NodeId};
use taper_kernels::{Device, Real};
use taper_plan::TrainingPlan;

use super::Trainer;
use crate::Result;

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// Prepares to differentiate the named output with respect to the output of `node`, in evaluation mode.
    ///
    /// [`Trainer::forward_from`] takes the values of the returned nodes, which a [`Session::of_nodes`](crate::Session::of_nodes)
    /// computes: `node`, and what else the output reads without passing through it. [`Trainer::backward`] then takes the gradient
    /// of the output and empties every vector of `gradients`, since nothing is trained; [`Trainer::watched_gradient`] has the result.
    ///
    /// # Errors
    /// For an unknown output, or an operation without a kernel.
    ///
    /// # Examples
    /// ```
    /// use taper_engine::{Reference, Trainer};
    /// use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(1)?;
    /// let pooled = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// let logits = b.linear("classifier", pooled, 1, Bias::With)?;
    /// b.output("logits", logits)?;
    /// let graph = b.build()?;
    ///
    /// // Three times the mean of a 1x2 image, plus 1: each pixel weighs 1.5.
    /// let (mut trainer, given) = Trainer::watching(&graph, "logits", graph.input(), Reference)?;
    /// assert_eq!(given, [graph.input()]);
    /// let params: [&[f64]; 2] = [&[3.0], &[1.0]];
    /// assert_eq!(trainer.forward_from(&params, &[&[2.0, 4.0]], [1, 1, 2], 0)?, [10.0]);
    /// trainer.backward(&params, &[1.0], &mut vec![Vec::new(); 2])?;
    /// assert_eq!(trainer.watched_gradient(), [1.5, 1.5]);
    /// # Ok(()) }
    /// ```
    pub fn watching(
        graph: &Graph,
        output: &str,
        node: NodeId,
        device: D,
    ) -> Result<(Self, Vec<NodeId>)> {
        let (plan, given) = TrainingPlan::watching(graph, output, node)?;
        Ok((Self::of_plan(graph, plan, device), given))
    }

    /// The gradient of the value that is watched, `(n, …)`, channels last, after [`Trainer::backward`]; zeros if the output does not
    /// depend on it. Empty without a forward, or if nothing is watched.
    #[must_use]
    pub fn watched_gradient(&self) -> Vec<T> {
        let (Some(v), Some(prepared)) = (self.fused.watched, &self.prepared) else {
            return Vec::new();
        };
        let memory = &prepared.memory;
        match self.routes.buffers[v] {
            Some(_) => self.arena[memory.gradients[v].clone()].to_vec(),
            None => vec![T::default(); memory.stored[v].len()],
        }
    }
}
