//! Where the time of a session goes, unit by unit.
//!
//! Above: xtask. Below: `session`, which calls back after every unit. Not here: what the machine could do at best (xtask measures it).
//! A unit is what the plan runs at once: a convolution with its norm, activation and residual. Here units run one after the other, where
//! [`Session::run`] takes some of them in bands: their times add up to a little more than a run. Bytes are those a perfect cache
//! would move: every tensor the unit reads or writes once, weights included.

use std::time::Instant;

use taper_graph::Extent;
use taper_kernels::Cpu;

use super::Session;
use super::compile::Program;
use super::runner::{Layout, Order};
use crate::plan::Work;
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
        let image_len = self.prepare(xs, shape, Order::Units)?;
        let Self { program, team, .. } = self;
        let mut times = vec![Vec::with_capacity(rounds.max(1)); program.plan.units.len()];
        for round in 0..=rounds.max(1) {
            let mut spent = vec![0.0; times.len()];
            for xs in xs.chunks_exact(image_len) {
                let mut last = Instant::now();
                team.run(program, xs, std::iter::empty(), |unit| {
                    let now = Instant::now();
                    spent[unit] += (now - last).as_secs_f64() * 1e3;
                    last = now;
                });
            }
            // The first round is not counted, and units that others do have no time.
            let counted = times.iter_mut().zip(&program.steps).zip(spent).filter(|_| round > 0);
            for ((times, step), spent) in counted {
                times.extend((!step.skipped).then_some(spent));
            }
        }
        let Some(layout) = &team.layout else { return Ok(Vec::new()) };
        let timed = times.iter().enumerate();
        let unit = |(unit, ms): (usize, &Vec<f64>)| {
            Some(describe(program, layout, shape[0], unit, Spread::of(ms)?))
        };
        Ok(timed.filter_map(unit).collect())
    }
}

fn describe(program: &Program, layout: &Layout, n: usize, unit_idx: usize, ms: Spread) -> UnitTime {
    let (unit, step) = (&program.plan.units[unit_idx], &program.steps[unit_idx]);
    let len = |value: usize| layout.extents[value].len() * n;
    let read: usize = step.reads(unit).map(len).sum();
    let (mut macs, mut weight) = (0, 0);
    let (kernel, window) = match (&unit.work, layout.forms[unit_idx].conv()) {
        (Work::Conv { conv, .. }, Some(shape)) => {
            weight = shape.weight_len();
            macs = n * shape.output_positions() * weight;
            let ([kh, kw], [sh, _]) = (conv.window.kernel, conv.window.stride);
            let stride = if sh == 1 { String::new() } else { format!("/{sh}") };
            let gated = if step.gated.is_some() { ", gated" } else { "" };
            (Cpu::kernel_of(shape), format!(", {kh}x{kw}{stride}{gated}"))
        }
        (Work::Linear { .. }, Some(shape)) => {
            weight = shape.weight_len();
            macs = n * shape.output_positions() * weight;
            (Cpu::kernel_of(shape), String::new())
        }
        (Work::Norm, _) => ("norm", String::new()),
        (Work::Add, _) => ("add", String::new()),
        (Work::Mul, _) => ("mul", String::new()),
        (Work::Flatten, _) => ("flatten", String::new()),
        (Work::Pool | Work::Windows, _) => ("pool", String::new()),
        (Work::Dropout { .. } | Work::DropPath { .. }, _) => ("copy", String::new()),
        (Work::ConvTranspose { .. }, Some(shape)) => {
            weight = shape.weight_len();
            macs = n * shape.output_positions() * weight;
            ("transposed", String::new())
        }
        (Work::Border { .. } | Work::Spatial, _) => ("positions", String::new()),
        (Work::Channels, _) => ("channels", String::new()),
        (Work::GroupNorm { .. }, _) => ("norm", String::new()),
        (Work::Prelu { .. }, _) => ("activation", String::new()),
        (Work::Attention, _) => ("attention", String::new()),
        _ => ("", String::new()),
    };
    let (from, to) = (layout.extents[unit.inputs[0]], layout.extents[step.output]);
    let elements = read + len(step.output) + weight;
    UnitTime {
        name: program.graph.node(unit.node).name().to_owned(),
        kernel,
        shape: format!("{} -> {}{window}", sizes(from), sizes(to)),
        macs: macs as u64,
        bytes: (elements * size_of::<f32>()) as u64,
        ms,
    }
}

fn sizes(extent: Extent) -> String {
    match extent {
        Extent::Map { h, w, c } => format!("{h}x{w}x{c}"),
        Extent::Vector { c } => c.to_string(),
    }
}
