//! The engine's trainer behind candle's types: made when first needed, and anew when other gradients are wanted.
//!
//! Above: `network`, `network::{memory, training}`. Below: `executor::synced`, `engine::{Trainer, Session}`. Not here: the reverse pass (`engine`).

mod synced;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{Device, Tensor};
use taper_engine::{Cpu, MatmulPrecision, Recompute, Session, Trainer};
use taper_graph::{Graph, NodeId, ParamId};

use super::lock;
use crate::Parameter;
use crate::error::{Error, Result, at};
use crate::parameter::with_values;

/// Numbers the forward passes of the process.
static PASSES: AtomicU64 = AtomicU64::new(1);

/// A graph, and the executor that was last made for it. Shared by a network and its training modules.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) graph: Graph,
    /// Their names; at least one.
    pub(super) outputs: Vec<String>,
    /// 0 means all cores.
    pub(super) threads: usize,
    pub(super) mode: Mode,
    pub(super) recompute: Recompute,
    pub(super) precision: MatmulPrecision,
    executor: Mutex<Option<Executor>>,
}

/// What a network does while gradients are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Norms that are trained use the batch's statistics, dropout drops.
    Training,
    /// Norms use their running statistics, nothing is dropped.
    Evaluation,
}

/// Whether the gradient of the image is wanted, besides those of the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageGradient {
    Wanted,
    Unwanted,
}

impl ImageGradient {
    /// Wanted if candle records what becomes of the image.
    pub(super) fn of(xs: &Tensor) -> Self {
        if xs.track_op() { Self::Wanted } else { Self::Unwanted }
    }
}

/// What a forward pass in training mode is a function of, besides the parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass<'a> {
    /// Images `(n, h, w, c)`.
    pub(super) xs: &'a [f32],
    /// `[n, h, w]`.
    pub(super) shape: [usize; 3],
    /// Decides what dropout drops.
    pub(super) seed: u64,
}

/// Is told, by index in the graph, the gradients of trained parameters as soon as they are final.
pub(super) type Observe<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// Running statistics as a step leaves them, by index in the graph.
pub(super) type Statistics = Vec<(usize, Vec<f32>)>;

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
    image: ImageGradient,
    shapes: Vec<Vec<usize>>,
    /// The forward pass whose values the trainer holds; none after a failure.
    pass: Option<u64>,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("pass", &self.pass).finish_non_exhaustive()
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

    /// The kept one, or, if it is not that of these values, a new one for images of this size.
    fn current<'s>(
        kept: &'s mut Option<Self>,
        (graph, nodes, threads): (&Graph, &[NodeId], usize),
        values: &[&[f32]],
        [_, h, w]: [usize; 3],
    ) -> Result<&'s mut Session> {
        let prefix = match kept.take().filter(|prefix| prefix.is_current(values)) {
            Some(prefix) => prefix,
            None => Self::new(graph, values, nodes, [h, w], threads)?,
        };
        Ok(&mut kept.insert(prefix).session)
    }

    /// Whether nobody has changed a frozen parameter since. Reads them all: 1 ms for MobileNetV2.
    fn is_current(&self, values: &[&[f32]]) -> bool {
        self.made_from.iter().all(|(id, then)| values[id.index()] == then)
    }
}

impl Runner {
    pub(super) fn new(graph: Graph, outputs: Vec<String>, threads: usize, mode: Mode) -> Self {
        let (recompute, precision) = (Recompute::Nothing, MatmulPrecision::F32);
        Self { graph, outputs, threads, mode, recompute, precision, executor: Mutex::default() }
    }

    /// One that differs in what `change` does to it.
    pub(super) fn changed(&self, change: impl FnOnce(&mut Self)) -> Self {
        let Self { graph, outputs, threads, mode, recompute, precision, .. } = self;
        let new = Self::new(graph.clone(), outputs.clone(), *threads, *mode);
        let mut new = Self { recompute: *recompute, precision: *precision, ..new };
        change(&mut new);
        new
    }

    /// Bytes that the executor keeps between passes; 0 before the first.
    pub(super) fn arena_bytes(&self) -> usize {
        lock(&self.executor).as_ref().map_or(0, |executor| executor.trainer.arena_bytes())
    }

    /// Frees them, until the next pass.
    pub(super) fn free_arena(&self) {
        *lock(&self.executor) = None;
    }

    /// Calls `f` with an executor for the parameters as they are frozen now.
    pub(super) fn with_executor<R>(
        &self,
        params: &[Parameter],
        image: ImageGradient,
        f: impl FnOnce(&mut Executor) -> Result<R>,
    ) -> Result<R> {
        let mut slot = lock(&self.executor);
        let trained: Vec<bool> = params.iter().map(Parameter::is_trained).collect();
        let fits = |executor: &Executor| executor.trained == trained && executor.image == image;
        let executor = match slot.take().filter(fits) {
            Some(executor) => executor,
            None => Executor::new(self, trained, image)?,
        };
        f(slot.insert(executor))
    }
}

impl Executor {
    fn new(runner: &Runner, trained: Vec<bool>, image: ImageGradient) -> Result<Self> {
        let Runner { graph, threads, precision, .. } = runner;
        let outputs: Vec<&str> = runner.outputs.iter().map(String::as_str).collect();
        let device = Cpu::with_matmul_precision(*threads, *precision)
            .ok_or(Error::MatmulPrecision { precision: *precision })?;
        let (trainer, nodes) = match image {
            ImageGradient::Unwanted if !trained.contains(&true) => return Err(Error::AllFrozen),
            ImageGradient::Unwanted => Trainer::above(graph, &outputs, &trained, device)?,
            ImageGradient::Wanted => {
                let trainer = Trainer::with_image_gradient(graph, &outputs, &trained, device)?;
                (trainer, vec![graph.input()])
            }
        };
        let trainer = match runner.mode {
            Mode::Training => trainer,
            Mode::Evaluation => trainer.in_evaluation_mode(),
        };
        let trainer = trainer.recomputing(runner.recompute);
        let shapes = graph.params().iter().map(|spec| spec.shape.clone()).collect();
        Ok(Self {
            graph: graph.clone(),
            trainer,
            nodes,
            prefix: None,
            threads: *threads,
            trained,
            image,
            shapes,
            pass: None,
        })
    }

    /// Runs a batch in training mode and returns the number of the pass.
    pub(super) fn forward(&mut self, values: &[&[f32]], pass: Pass<'_>) -> Result<u64> {
        self.pass = None;
        let Pass { xs, shape, seed } = pass;
        if self.begins_with_image() {
            self.trainer.forward(values, xs, shape, seed)?;
        } else {
            let Self { graph, nodes, prefix, threads, trainer, .. } = self;
            let session = Prefix::current(prefix, (graph, nodes, *threads), values, shape)?;
            let given = session.run_all(xs, shape)?;
            let given: Vec<&[f32]> = given.iter().map(Vec::as_slice).collect();
            trainer.forward_from(values, &given, shape, seed)?;
        }
        Ok(*self.pass.insert(PASSES.fetch_add(1, Ordering::Relaxed)))
    }

    fn begins_with_image(&self) -> bool {
        self.nodes == [self.graph.input()]
    }

    /// The outputs of the last forward pass, channels last.
    pub(super) fn outputs(&self) -> &[Vec<f32>] {
        self.trainer.outputs()
    }

    /// Their shapes for images of which `shape` is `[n, h, w]`: `(n, c)` or `(n, h, w, c)`.
    pub(super) fn output_shapes(&self, shape: [usize; 3]) -> Result<Vec<Vec<usize>>> {
        Ok(self.trainer.output_shapes(shape)?)
    }

    /// Gradients of the trained parameters, by index in the graph, from those of the outputs of pass `number`. If another pass has
    /// run since, this one is run again first.
    pub(super) fn backward(
        &mut self,
        values: &[&[f32]],
        grad_outputs: &[&[f32]],
        number: u64,
        pass: Pass<'_>,
        observe: Option<&mut Observe<'_>>,
    ) -> Result<Vec<(usize, Vec<f32>)>> {
        if self.pass != Some(number) {
            self.forward(values, pass)?;
        }
        self.pass = None; // a backward pass uses up what a forward pass left
        let mut grads = vec![Vec::new(); self.trained.len()];
        match observe {
            Some(observe) => {
                let observe = &mut |id: ParamId, grad: &[f32]| observe(id.index(), grad);
                self.trainer.backward_all_observed(values, grad_outputs, &mut grads, observe)?;
            }
            None => self.trainer.backward_all(values, grad_outputs, &mut grads)?,
        }
        Ok(grads.into_iter().enumerate().filter(|(index, _)| self.trained[*index]).collect())
    }

    /// The gradient of the image `(n, h, w, c)` after a backward pass; none if it was not wanted.
    pub(super) fn image_gradient(&self, [n, h, w]: [usize; 3]) -> Result<Option<Tensor>> {
        if self.image == ImageGradient::Unwanted {
            return Ok(None);
        }
        let shape = (n, h, w, self.graph.input_channels());
        let gradient = Tensor::from_vec(self.trainer.watched_gradient(), shape, &Device::Cpu);
        gradient.map(Some).map_err(at("the gradient of the image"))
    }

    /// A gradient in its parameter's shape.
    pub(super) fn shaped(&self, index: usize, grad: Vec<f32>) -> candle_core::Result<Tensor> {
        Tensor::from_vec(grad, self.shapes[index].as_slice(), &Device::Cpu)
    }

    /// The running statistics after the last forward pass, from those in the variables.
    pub(super) fn statistics(&self, params: &[Parameter]) -> Result<Statistics> {
        let updated = with_values(params, |values| Ok(self.trainer.running_statistics(values)))?;
        Ok(updated.into_iter().map(|(id, values)| (id.index(), values)).collect())
    }

    /// Writes them into their variables.
    pub(super) fn update_statistics(&self, params: &[Parameter]) -> Result<()> {
        self.statistics(params)?.iter().try_for_each(|(index, values)| params[*index].set(values))
    }

    /// The trained parameters in the order in which their gradients become final.
    pub(super) fn gradient_order(&self) -> Vec<usize> {
        self.trainer.gradient_order().iter().map(|id| id.index()).collect()
    }
}
