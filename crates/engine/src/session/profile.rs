//! Where the time of a session goes, unit by unit.
//!
//! Above: xtask. Below: `session`, which calls back after every unit; `taper-cost`. Not here: what the machine could do at best (xtask measures it).
//! A unit is what the plan runs at once: a convolution with its norm, activation and residual. Here units run one after the other, where
//! [`Session::run`] takes some of them in bands: their times add up to a little more than a run. Bytes are those a perfect cache
//! would move: every tensor the unit reads or writes once, weights included.

use std::time::Instant;

use taper_cost::{Bytes, UnitCost};
use taper_graph::Extent;
use taper_kernels::{ConvShape, ForwardKernel, Input};
use taper_plan::UnitOp;
use taper_plan::inference::ExecutionOrder;

use super::Session;
use super::compile::Program;
use super::runner::Prepared;
use crate::kernel::Kernel;
use crate::{Result, Spread};

/// What one unit is and how long it took.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UnitTime {
    /// Name of its first node.
    pub name: String,
    /// What runs: the convolution's kernel, or `add`, `pool`, ….
    pub kernel: &'static str,
    /// Its sizes, such as `112x112x32 -> 112x112x16, 1x1`.
    pub shape: String,
    /// Multiply-accumulates of the batch.
    pub macs: u64,
    /// Bytes read and written.
    pub bytes: u64,
    /// Milliseconds.
    pub ms: Spread,
}

impl Session {
    /// Runs the batch `rounds` times (at least once) after one run that is not counted, and returns the time of every unit.
    ///
    /// # Errors
    /// As [`Session::run`].
    ///
    /// # Examples
    /// ```
    /// use taper_engine::{Session, SessionOptions};
    /// # use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// # use taper_model::{Model, Preprocess};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut b = GraphBuilder::new(3)?;
    /// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
    /// # b.output("logits", xs)?;
    /// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
    /// let mut session = Session::new(&model, &SessionOptions::default())?;
    /// let units = session.profile(&[0.5; 32 * 32 * 3], [1, 32, 32], 3)?;
    /// let names: Vec<_> = units.iter().map(|unit| (unit.name.as_str(), unit.macs)).collect();
    /// assert_eq!(names, [("pool", 0), ("classifier", 6)]);
    /// # Ok(()) }
    /// ```
    pub fn profile(
        &mut self,
        xs: &[f32],
        shape: [usize; 3],
        rounds: usize,
    ) -> Result<Vec<UnitTime>> {
        let image_len = self.prepare(xs, shape, ExecutionOrder::Units)?;
        let Self { program, team, .. } = self;
        let mut times = vec![Vec::with_capacity(rounds.max(1)); program.units.len()];
        for round in 0..=rounds.max(1) {
            let mut spent = vec![0.0; times.len()];
            for xs in xs.chunks_exact(image_len) {
                let mut last = Instant::now();
                team.run(program, xs, std::iter::empty(), |unit| {
                    let now = Instant::now();
                    spent[unit] += (now - last).as_secs_f64() * 1e3;
                    last = now;
                })?;
            }
            // The first round is not counted, and units that others do have no time.
            let counted = times.iter_mut().zip(&program.plan.steps).zip(spent);
            for ((times, step), spent) in counted.filter(|_| round > 0) {
                times.extend((!step.skipped).then_some(spent));
            }
        }
        let [n, h, w] = shape;
        let (isa, threads) = (team.cpu.isa(), team.cpu.threads());
        let chosen = |shape: &ConvShape, input| ForwardKernel::of(shape, isa, threads, input);
        let prepared = team.prepare(program, [h, w], ExecutionOrder::Units)?;
        let costs = taper_cost::units(&program.graph, &program.plan, [h, w])?;
        let unit = |(ms, cost): (&Vec<f64>, &UnitCost)| {
            Some(describe(program, prepared, chosen, n, cost, Spread::of(ms)?))
        };
        Ok(times.iter().zip(&costs).filter_map(unit).collect())
    }
}

fn describe(
    program: &Program,
    prepared: &Prepared,
    chosen: impl Fn(&ConvShape, Input) -> ForwardKernel,
    n: usize,
    cost: &UnitCost,
    ms: Spread,
) -> UnitTime {
    let (unit, step) = (&program.plan.fused.units[cost.unit], &program.plan.steps[cost.unit]);
    let extents = &prepared.memory.extents;
    let kernel = match &prepared.kernels[cost.unit] {
        Kernel::Conv(shape) => {
            let input = if step.gated.is_some() { Input::Gated } else { Input::Stored };
            chosen(shape, input).name()
        }
        Kernel::ConvTranspose(_) => "transposed",
        Kernel::BatchNorm(_) | Kernel::GroupNorm { .. } => "norm",
        Kernel::Add => "add",
        Kernel::Mul => "mul",
        Kernel::Flatten => "flatten",
        Kernel::GlobalMean | Kernel::Pool(..) => "pool",
        Kernel::Copy | Kernel::Drop { .. } => "copy",
        Kernel::Resample(_) => "positions",
        Kernel::MoveChannels(_) => "channels",
        Kernel::PRelu => "activation",
        Kernel::Attention(_) => "attention",
    };
    let mut window = String::new();
    if let UnitOp::Conv { conv, .. } = &unit.op {
        let ([kh, kw], [sh, _]) = (conv.window.kernel, conv.window.stride);
        let stride = if sh == 1 { String::new() } else { format!("/{sh}") };
        let gated = if step.gated.is_some() { ", gated" } else { "" };
        window = format!(", {kh}x{kw}{stride}{gated}");
    }
    let (from, to) = (extents[unit.inputs[0]], extents[step.output]);
    let weights = Bytes::of_elements(cost.shape.weights);
    let maps = cost.work.bytes().0 - weights.0;
    UnitTime {
        name: program.graph.node(unit.node).name().to_owned(),
        kernel,
        shape: format!("{} -> {}{window}", sizes(from), sizes(to)),
        macs: cost.work.macs.times(n).0,
        bytes: (Bytes(maps).times(n) + weights).0,
        ms,
    }
}

fn sizes(extent: Extent) -> String {
    match extent {
        Extent::Map { h, w, c } => format!("{h}x{w}x{c}"),
        Extent::Vector { c } => c.to_string(),
    }
}
