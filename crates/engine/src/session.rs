//! Inference without a framework: norms folded, weights packed once, one arena.
//!
//! Above: `transfer`, `recipes`, users who only classify. Below: `session::{compile, runner}`, `taper-plan`. Not here: training (`train`).
//! Every unit writes what its readers need: bias, residual and activation happen in the convolution's epilogue. An addition
//! whose one operand is a convolution that nobody else reads costs nothing of its own, and no more does the gate of a
//! squeeze-and-excite before a pointwise convolution.

mod bands;
mod compile;
mod profile;
mod runner;
mod timing;

use std::sync::Arc;

use taper_graph::{Graph, NodeId, ParamId};
use taper_kernels::Cpu;
use taper_model::Model;
use taper_plan::inference::{ExecutionOrder, images_a_thread};

use crate::error::{check_len, check_params};
use crate::{Error, Result};
use compile::Program;
use runner::{Prepared, Runner};

pub use profile::UnitTime;
pub(crate) use timing::{RunTimes, Timing};

/// How a session runs.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// Threads; 0 for all cores, at most [`Cpu::MOST_THREADS`].
    pub threads: usize,
    /// The outputs to compute, such as `logits`, `pre_logits`, `features`; none named: [`Graph::main_outputs`].
    pub outputs: Vec<String>,
}

/// A compiled network. Takes normalized images, channels last.
///
/// ```
/// use taper_engine::{Session, SessionOptions};
/// use taper_graph::{Bias, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut b = GraphBuilder::new(3)?;
/// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
/// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
/// # b.output("logits", xs)?;
/// # let classes = vec!["ants".to_owned(), "bees".to_owned()];
/// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?;
/// let mut session = Session::new(&model, &SessionOptions::default())?;
/// let logits = session.run(&[0.5; 32 * 32 * 3], [1, 32, 32])?;
/// assert_eq!(logits.len(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Session {
    program: Arc<Program>,
    /// By output.
    names: Vec<String>,
    /// All cores on one image after the other.
    team: Runner,
    /// One core each, each with images of its own.
    lanes: Vec<Runner>,
    /// Of the batch, by output.
    outputs: Vec<Vec<f32>>,
}

impl Session {
    /// Compiles a model: folds norms, packs weights.
    ///
    /// # Errors
    /// For an unknown output, an operation without a kernel, or more threads than [`Cpu::MOST_THREADS`].
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let mut names = options.outputs.clone();
        if names.is_empty() {
            names = model.graph().main_outputs().map(str::to_owned).collect();
        }
        let nodes: taper_graph::Result<Vec<NodeId>> =
            names.iter().map(|name| model.graph().output(name)).collect();
        let params: Vec<&[f32]> = model.tensors().iter().map(|t| t.data.as_slice()).collect();
        let size = model.preprocess().input_size;
        let session = Self::of_nodes(model.graph(), &params, &nodes?, size, options.threads)?;
        Ok(Self { names, ..session })
    }

    /// Compiles what some nodes of a graph depend on, to compute them all: what a training step starts from when everything below
    /// is frozen ([`Trainer::above`](crate::Trainer::above)).
    ///
    /// `params` are in the graph's order; `size` is the height and width of any image the graph can take.
    ///
    /// # Errors
    /// For too many threads, parameters of the wrong lengths, an image the graph cannot take, or an operation without a kernel.
    pub fn of_nodes(
        graph: &Graph,
        params: &[&[f32]],
        nodes: &[NodeId],
        size: [usize; 2],
        threads: usize,
    ) -> Result<Self> {
        check_params(graph, params)?;
        if threads > Cpu::MOST_THREADS {
            return Err(Error::Threads { got: threads, most: Cpu::MOST_THREADS });
        }
        let team = Runner::new(threads);
        let program = Arc::new(Program::new(graph, params, nodes, size, &team.cpu)?);
        let names = nodes.iter().map(|&node| graph.node(node).name().to_owned()).collect();
        Ok(Self { program, names, team, lanes: Vec::new(), outputs: Vec::new() })
    }

    /// The parameters and buffers that were compiled in: a session is out of date when one of them has changed.
    #[must_use]
    pub fn params(&self) -> Vec<ParamId> {
        self.program.params()
    }

    /// Another session over the same packed weights, for another thread.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.fork_with(self.threads())
    }

    /// [`Session::fork`] on so many threads, 0 for all cores. Changes no result.
    #[must_use]
    pub fn fork_with(&self, threads: usize) -> Self {
        let team = Runner::new(threads);
        Self {
            program: Arc::clone(&self.program),
            names: self.names.clone(),
            team,
            lanes: Vec::new(),
            outputs: Vec::new(),
        }
    }

    /// The threads it runs on.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.team.cpu.threads()
    }

    /// The names of its outputs, in the order of [`Session::run_all`]; those of the nodes for a [`Session::of_nodes`].
    #[must_use]
    pub fn output_names(&self) -> &[String] {
        &self.names
    }

    /// The shapes of its outputs for `n` images of `h` by `w`: `(n, c)` of vectors, `(n, h, w, c)` of maps.
    ///
    /// # Errors
    /// For images the network cannot take.
    pub fn output_shapes(&self, shape: [usize; 3]) -> Result<Vec<Vec<usize>>> {
        Ok(self.program.plan.fused.output_shapes(&self.program.graph, shape)?)
    }

    /// Bytes of the arenas, of which there is one for each core when batches are run, and of what bands pass through.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        std::iter::once(&self.team).chain(&self.lanes).map(Runner::arena_bytes).sum()
    }

    /// Computes the (first) output of `n` images of `h` by `w`: `xs` is `(n, h, w, c)`, the result `(n, …)`, channels last, of the shape
    /// that [`Session::output_shapes`] tells.
    ///
    /// Every image is run on its own, since its activations then stay in cache. With as many images as threads, each thread has
    /// images of its own; what is left is shared by all. The result does not depend on either. Of no images the output is empty.
    ///
    /// # Errors
    /// For a slice of the wrong length, or images the network cannot take.
    pub fn run(&mut self, xs: &[f32], shape: [usize; 3]) -> Result<&[f32]> {
        Ok(self.run_all(xs, shape)?.first().map_or(&[], Vec::as_slice))
    }

    /// [`Session::run`] for a session of several outputs: all of them, in the order they were asked for.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_all(&mut self, xs: &[f32], [n, h, w]: [usize; 3]) -> Result<&[Vec<f32>]> {
        let order = self.team.bands();
        let image_len = self.prepare(xs, [n, h, w], order)?;
        let Self { program, team, lanes, outputs, .. } = self;
        if n == 0 {
            return Ok(outputs);
        }
        let threads = team.cpu.threads();
        let each = images_a_thread(n, threads);
        let mut outs: Vec<_> = outputs.iter_mut().map(|out| image_chunks(out, n)).collect();
        let images = xs.chunks_exact(image_len);
        let mut images: Vec<Image<'_>> = images
            .map(|xs| Image { xs, outs: outs.iter_mut().filter_map(Iterator::next).collect() })
            .collect();
        let (in_lanes, left) = images.split_at_mut(each * threads);
        if each > 0 {
            lanes.resize_with(threads, || Runner::new(1));
            for lane in &mut *lanes {
                let order = lane.bands();
                lane.prepare(program, [h, w], order)?;
            }
            let shares = lanes.iter_mut().zip(in_lanes.chunks_exact_mut(each));
            let mut work: Vec<_> = shares.map(|(lane, images)| (lane, images, Ok(()))).collect();
            team.cpu.each(&mut work, |(lane, images, done)| {
                *done = run_one_by_one(lane, program, images);
            });
            work.into_iter().try_for_each(|(_, _, done)| done)?;
        }
        run_one_by_one(team, program, left)?;
        Ok(outputs)
    }

    /// Makes room for a batch, and returns the elements of one image.
    fn prepare(
        &mut self,
        xs: &[f32],
        [n, h, w]: [usize; 3],
        order: ExecutionOrder,
    ) -> Result<usize> {
        let too_large = || taper_plan::Error::Batch { batch: n, h, w };
        let Self { program, team, outputs, .. } = self;
        let Prepared { memory, .. } = team.prepare(program, [h, w], order)?;
        let all = |value: usize| memory.extents[value].len().checked_mul(n).ok_or_else(too_large);
        check_len("the batch of images", xs.len(), all(0)?)?;
        outputs.resize_with(program.plan.fused.outputs.len(), Vec::new);
        for (out, &value) in outputs.iter_mut().zip(&program.plan.fused.outputs) {
            out.resize(all(value)?, 0.0);
        }
        Ok(all(0)? / n.max(1))
    }
}

/// An image, and where its outputs go.
struct Image<'a> {
    xs: &'a [f32],
    outs: Vec<&'a mut [f32]>,
}

/// The places of `n` images in an output.
fn image_chunks(out: &mut [f32], n: usize) -> std::slice::ChunksExactMut<'_, f32> {
    let len = out.len() / n;
    out.chunks_exact_mut(len)
}

fn run_one_by_one(runner: &mut Runner, program: &Program, images: &mut [Image<'_>]) -> Result<()> {
    for Image { xs, outs } in images {
        runner.run(program, xs, outs.iter_mut().map(|out| &mut **out), |_done| ())?;
    }
    Ok(())
}
