//! The engine's trainer behind candle's types: made when first needed, and anew when other parameters are frozen.
//!
//! Above: `network`, `network::training`. Below: `engine::{Trainer, Session}`. Not here: the reverse pass (`engine`).

use std::sync::Mutex;

use candle_core::{Device, Tensor};
use taper_engine::{Cpu, Session, Trainer};
use taper_graph::{Graph, NodeId, ParamId};

use super::{OUTPUT, lock};
use crate::Parameter;
use crate::error::{Error, Result, at};
use crate::parameter::with_values;

/// A graph, and the executor that was last made for it. Shared by a network and its training modules.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) graph: Graph,
    /// 0 means all cores.
    pub(super) threads: usize,
    executor: Mutex<Option<Executor>>,
}

/// A trainer for one choice of trained parameters, above what is frozen.
pub(super) struct Executor {
    graph: Graph,
    trainer: Trainer<f32, Cpu>,
    /// What the trainer starts from.
    nodes: Vec<NodeId>,
    /// Computes it; absent when that is the image, and before the first forward pass.
    prefix: Option<Prefix>,
    threads: usize,
    trained: Vec<bool>,
    shapes: Vec<Vec<usize>>,
    /// How many forward passes ran; a backward pass belongs to the last.
    runs: u64,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("runs", &self.runs).finish_non_exhaustive()
    }
}

/// The frozen beginning of a network, compiled, and the parameters it was compiled from.
struct Prefix {
    session: Session,
    made_from: Vec<(ParamId, Vec<f32>)>,
}

impl Prefix {
    fn new(
        graph: &Graph,
        values: &[&[f32]],
        nodes: &[NodeId],
        size: [usize; 2],
        threads: usize,
    ) -> Result<Self> {
        let session = Session::of_nodes(graph, values, nodes, size, threads)?;
        let copy = |id: ParamId| (id, values[id.index()].to_vec());
        Ok(Self { made_from: session.params().into_iter().map(copy).collect(), session })
    }

    /// Whether nobody has changed a frozen parameter since. Reads them all: 1 ms for MobileNetV2.
    fn is_current(&self, values: &[&[f32]]) -> bool {
        self.made_from.iter().all(|(id, then)| values[id.index()] == then)
    }
}

/// Logits `(n, k)` and the number of the forward pass that made them.
pub(super) struct Forward {
    pub(super) logits: Tensor,
    pub(super) run: u64,
}

impl Runner {
    pub(super) fn new(graph: Graph, threads: usize) -> Self {
        Self { graph, threads, executor: Mutex::default() }
    }

    /// Calls `f` with an executor for the parameters as they are frozen now.
    pub(super) fn with_executor<R>(
        &self,
        params: &[Parameter],
        f: impl FnOnce(&mut Executor) -> Result<R>,
    ) -> Result<R> {
        let mut slot = lock(&self.executor);
        let trained: Vec<bool> = params.iter().map(Parameter::is_trained).collect();
        let executor = match slot.take().filter(|executor| executor.trained == trained) {
            Some(executor) => executor,
            None => Executor::new(&self.graph, trained, self.threads)?,
        };
        f(slot.insert(executor))
    }
}

impl Executor {
    fn new(graph: &Graph, trained: Vec<bool>, threads: usize) -> Result<Self> {
        if !trained.contains(&true) {
            return Err(Error::AllFrozen);
        }
        let (trainer, nodes) = Trainer::above(graph, OUTPUT, &trained, Cpu::new(threads))?;
        let shapes = graph.params().iter().map(|spec| spec.shape.clone()).collect();
        Ok(Self {
            graph: graph.clone(),
            trainer,
            nodes,
            prefix: None,
            threads,
            trained,
            shapes,
            runs: 0,
        })
    }

    /// Runs a batch `(n, h, w, c)` in training mode.
    pub(super) fn forward(
        &mut self,
        values: &[&[f32]],
        xs: &[f32],
        shape: [usize; 3],
        seed: u64,
    ) -> Result<Forward> {
        self.runs += 1;
        let [n, h, w] = shape;
        let logits = if self.nodes == [self.graph.input()] {
            self.trainer.forward(values, xs, shape, seed)?
        } else {
            let prefix = match self.prefix.take().filter(|prefix| prefix.is_current(values)) {
                Some(prefix) => prefix,
                None => Prefix::new(&self.graph, values, &self.nodes, [h, w], self.threads)?,
            };
            let given = self.prefix.insert(prefix).session.run_all(xs, shape)?;
            let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
            self.trainer.forward_from(values, &given, shape, seed)?
        };
        let logits = Tensor::from_slice(logits, (n, logits.len() / n), &Device::Cpu);
        Ok(Forward { logits: logits.map_err(at(OUTPUT))?, run: self.runs })
    }

    /// Gradients of the trained parameters, by index in the graph, from those of the logits of forward pass `run`.
    pub(super) fn backward(
        &mut self,
        values: &[&[f32]],
        grad: &[f32],
        run: u64,
    ) -> Result<Vec<(usize, Vec<f32>)>> {
        if run != self.runs {
            return Err(Error::Overtaken);
        }
        let mut grads = vec![Vec::new(); self.trained.len()];
        self.trainer.backward(values, grad, &mut grads)?;
        Ok(grads.into_iter().enumerate().filter(|(index, _)| self.trained[*index]).collect())
    }

    /// A gradient in its parameter's shape.
    pub(super) fn shaped(&self, index: usize, grad: Vec<f32>) -> candle_core::Result<Tensor> {
        Tensor::from_vec(grad, self.shapes[index].as_slice(), &Device::Cpu)
    }

    /// Writes the running statistics after the last forward pass into their variables.
    pub(super) fn update_statistics(&self, params: &[Parameter]) -> Result<()> {
        let updated = with_values(params, |values| Ok(self.trainer.running_statistics(values)))?;
        updated.iter().try_for_each(|(id, values)| params[id.index()].set(values))
    }
}
