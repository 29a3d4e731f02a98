//! The engine's trainer behind candle's types: made when first needed, and anew when other parameters are frozen.
//!
//! Above: `network`, `network::training`. Below: `engine::Trainer`. Not here: the reverse pass (`engine`).

use std::sync::Mutex;

use candle_core::{Device, Tensor};
use taper_engine::{Cpu, Trainer};
use taper_graph::Graph;

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

/// A trainer for one choice of trained parameters.
pub(super) struct Executor {
    trainer: Trainer<f32, Cpu>,
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
        let trainer = Trainer::new(graph, OUTPUT, &trained, Cpu::new(threads))?;
        let shapes = graph.params().iter().map(|spec| spec.shape.clone()).collect();
        Ok(Self { trainer, trained, shapes, runs: 0 })
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
        let logits = self.trainer.forward(values, xs, shape, seed)?;
        let n = shape[0];
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
