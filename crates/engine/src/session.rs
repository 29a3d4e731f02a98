//! Inference without a framework: norms folded, weights packed once, one arena.
//!
//! Above: `transfer`, `recipes`, users who only classify. Below: `session::{compile, runner}`. Not here: training (`train`).
//! Every unit writes what its readers need: bias, residual and activation happen in the convolution's epilogue. An addition
//! whose one operand is a convolution that nobody else reads costs nothing of its own.

mod compile;
mod profile;
mod runner;

use std::sync::Arc;

use taper_model::Model;

use crate::error::check_len;
use crate::{Error, Result};
use compile::Program;
use runner::Runner;

pub use profile::UnitTime;

/// How a session runs.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Threads; 0 for all cores.
    pub threads: usize,
    /// The output to compute: `logits`, `pre_logits`, `features`, …
    pub output: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { threads: 0, output: "logits".to_owned() }
    }
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
    /// All cores on one image after the other.
    team: Runner,
    /// One core each, each with images of its own.
    lanes: Vec<Runner>,
    output: Vec<f32>,
}

impl Session {
    /// Compiles a model: folds norms, packs weights.
    ///
    /// # Errors
    /// For an unknown output, or an operation without a kernel.
    pub fn new(model: &Model, options: &SessionOptions) -> Result<Self> {
        let team = Runner::new(options.threads);
        let program = Arc::new(Program::new(model, &options.output, &team.cpu)?);
        Ok(Self { program, team, lanes: Vec::new(), output: Vec::new() })
    }

    /// Another session over the same packed weights, for another thread.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            program: Arc::clone(&self.program),
            team: Runner::new(self.team.cpu.threads()),
            lanes: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Bytes of the arenas, of which there is one for each core when batches are run.
    #[must_use]
    pub fn arena_bytes(&self) -> usize {
        std::iter::once(&self.team).chain(&self.lanes).map(Runner::arena_bytes).sum()
    }

    /// Computes the output of `n` images of `h` by `w`: `xs` is `(n, h, w, c)`, the result `(n, …)`, channels last.
    ///
    /// Every image is run on its own, since its activations then stay in cache. With as many images as threads, each thread has
    /// images of its own; what is left is shared by all. The result does not depend on either.
    ///
    /// # Errors
    /// For a slice of the wrong length, or images the network cannot take.
    pub fn run(&mut self, xs: &[f32], [n, h, w]: [usize; 3]) -> Result<&[f32]> {
        let sizes = self.prepare(xs, [n, h, w])?;
        let threads = self.team.cpu.threads();
        let each = if threads > 1 { n / threads } else { 0 };
        self.output.resize(n * sizes.output, 0.0);
        let (in_lanes, left) = self.output.split_at_mut(each * threads * sizes.output);
        let (lane_xs, left_xs) = xs.split_at(each * threads * sizes.image);
        let program = &self.program;
        if each > 0 {
            self.lanes.resize_with(threads, || Runner::new(1));
            for lane in &mut self.lanes {
                lane.prepare(program, [1, h, w])?;
            }
            let shares = in_lanes.chunks_exact_mut(each * sizes.output);
            let images = lane_xs.chunks_exact(each * sizes.image);
            let mut work: Vec<_> = self.lanes.iter_mut().zip(images.zip(shares)).collect();
            self.team.cpu.each(&mut work, |(lane, (xs, out))| {
                run_one_by_one(lane, program, sizes, xs, out);
            });
        }
        run_one_by_one(&mut self.team, program, sizes, left_xs, left);
        Ok(&self.output)
    }

    fn prepare(&mut self, xs: &[f32], [n, h, w]: [usize; 3]) -> Result<Sizes> {
        let too_large = || Error::Batch { batch: n, h, w };
        if n == 0 {
            return Err(too_large());
        }
        self.team.prepare(&self.program, [1, h, w])?;
        let len = |value: usize| {
            self.team.layout.as_ref().map_or(0, |layout| layout.extents[value].len())
        };
        let sizes = Sizes { image: len(0), output: len(self.program.plan.output) };
        let all = |len: usize| n.checked_mul(len).ok_or_else(too_large);
        all(sizes.output)?;
        check_len("the batch of images", xs.len(), all(sizes.image)?)?;
        Ok(sizes)
    }
}

/// Elements of one image and of its output.
#[derive(Clone, Copy)]
struct Sizes {
    image: usize,
    output: usize,
}

fn run_one_by_one(
    runner: &mut Runner,
    program: &Program,
    sizes: Sizes,
    xs: &[f32],
    out: &mut [f32],
) {
    let images = xs.chunks_exact(sizes.image);
    for (xs, out) in images.zip(out.chunks_exact_mut(sizes.output)) {
        runner.run(program, xs, out, |_done| ());
    }
}
