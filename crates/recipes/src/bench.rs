//! Measuring: how long a batch takes on this machine.
//!
//! Above: the binary, Rust users. Below: `source`, `taper_engine::Session`, `taper_train::step`. Not here: comparing with other
//! programs, and where the time goes (`cargo xtask bench`).
//! Images are random numbers: what they show changes no time.

use std::time::{Duration, Instant};

use candle_core::Device;
use taper_classifier::class_names;
use taper_data::random::Rng;
use taper_data::{Batch, Targets};
use taper_engine::{Cpu, Session, SessionOptions, Spread};
use taper_layers::{Network, loss::CrossEntropy};
use taper_model::Model;
use taper_optim::{Optimizer, Rule};
use taper_train::{Participants, StepSettings, step};

use crate::error::{Error, Result};
use crate::groups;
use crate::options::{BenchMode, BenchOptions, FineTuneOptions};
use crate::report::BenchReport;
use crate::setup;
use crate::source::ModelSource;
use crate::task::LOGITS;

/// Runs that are measured at least, however long they take.
const FEWEST: usize = 5;

/// A step so small that no number of them spoils the weights.
const LR: f64 = 1e-6;

/// Measures batches through a model, or training steps, one after the other.
///
/// A name without weights on this machine is measured with random ones.
///
/// # Errors
/// [`Error::is_request`] tells a wrong request from work that failed.
///
/// # Examples
/// ```
/// use taper_recipes::{BenchOptions, bench};
///
/// let options = BenchOptions { image_size: Some(64), seconds: 0.1, ..BenchOptions::new("mobilenetv2_035") };
/// let report = bench(&options)?;
/// assert!(report.runs >= 5 && report.p10_ms <= report.median_ms);
/// # Ok::<(), taper_recipes::Error>(())
/// ```
pub fn bench(options: &BenchOptions) -> Result<BenchReport> {
    let BenchOptions { matmul_precision, .. } = *options;
    bench_of(options, &FineTuneOptions { matmul_precision, ..FineTuneOptions::default() })
}

/// [`bench()`] of the training steps of a recipe: its optimizer, and what it freezes.
pub(crate) fn bench_of(options: &BenchOptions, recipe: &FineTuneOptions) -> Result<BenchReport> {
    options.check()?;
    let source = ModelSource::resolve(&options.model)?;
    let model = match source.load_here()? {
        Some(model) => model,
        None => source.random(0)?,
    };
    let size = options.image_size.map_or(model.preprocess().input_size, |size| [size; 2]);
    let (spread, runs) = measure(&model, size, options, recipe)?;
    Ok(BenchReport {
        median_ms: spread.median,
        p10_ms: spread.p10,
        p90_ms: spread.p90,
        threads: Cpu::new(options.threads).threads(),
        peak_bytes: peak_bytes(),
        batch: options.batch,
        image_size: size,
        mode: options.mode,
        runs,
        images_per_second: options.batch as f64 * 1e3 / spread.median,
    })
}

/// Milliseconds of batches of images of a height and width, in training with the optimizer of a recipe and what it freezes; and how many were run.
pub(crate) fn measure(
    model: &Model,
    [h, w]: [usize; 2],
    options: &BenchOptions,
    recipe: &FineTuneOptions,
) -> Result<(Spread, usize)> {
    let shape = [options.batch, h, w];
    let ms = match options.mode {
        BenchMode::Infer => infer(model, shape, options)?,
        BenchMode::Train => train(model, shape, options, recipe)?,
    };
    let spread = Spread::of(&ms).ok_or_else(|| Error::option("seconds", &0, "positive"))?;
    Ok((spread, ms.len()))
}

fn infer(model: &Model, shape: [usize; 3], options: &BenchOptions) -> Result<Vec<f64>> {
    let session = SessionOptions { threads: options.threads, ..SessionOptions::default() };
    let engine = |source| Error::Engine { source };
    let mut session = Session::new(model, &session).map_err(engine)?;
    let xs = images(model, shape);
    repeat(options.seconds, || {
        let start = Instant::now();
        session.run(&xs, shape).map_err(engine)?;
        Ok(start)
    })
}

fn train(
    model: &Model,
    shape: [usize; 3],
    options: &BenchOptions,
    recipe: &FineTuneOptions,
) -> Result<Vec<f64>> {
    let mut training = Training::new(model, shape, options.threads, recipe)?;
    repeat(options.seconds, || training.step())
}

/// Steps on one batch, over and over.
pub(crate) struct Training {
    network: Network,
    optimizer: Optimizer<Box<dyn Rule>>,
    batch: Batch,
    loss: CrossEntropy,
}

impl Training {
    /// Steps on a batch of `[n, h, w]` random images, with the optimizer of the options.
    pub(crate) fn new(
        model: &Model,
        shape: [usize; 3],
        threads: usize,
        options: &FineTuneOptions,
    ) -> Result<Self> {
        let failed = |source| Error::Train { source };
        let network =
            Network::new(model, &Device::Cpu).and_then(|network| network.with_outputs(&[LOGITS]));
        let network = network.and_then(|network| {
            network.with_matmul_precision(options.matmul_precision.of_engine())
        });
        let network = network.map_err(|source| failed(source.into()))?;
        let mut network = network.with_threads(threads);
        options.freeze.apply(&mut network).map_err(|source| Error::Transfer { source })?;
        let groups = groups::groups(&network, options);
        let optimizer = Optimizer::from_groups(groups, setup::rule(options));
        let optimizer = optimizer.map_err(|source| failed(source.into()))?;
        let classes = class_names(model).map_err(setup::classifier)?.len().max(1);
        let labels = (0..).take(shape[0]).map(|label: u32| label % small(classes));
        let batch = Batch {
            position: 0,
            xs: images(model, shape),
            shape,
            targets: Targets::Classes(labels.collect()),
            indices: (0..shape[0]).collect(),
            skipped: Vec::new(),
            for_teacher: None,
        };
        Ok(Self { network, optimizer, batch, loss: CrossEntropy::new() })
    }

    /// One step; returns when it began.
    pub(crate) fn step(&mut self) -> Result<Instant> {
        let failed = |source| Error::Train { source };
        // Steps take their batch; the copy is the loader's work and not a step's.
        let batch = self.batch.clone();
        let settings = StepSettings { lr: LR, clip: None, seed: 0, step: 0 };
        let start = Instant::now();
        step(
            &self.network,
            &mut self.optimizer,
            batch,
            &self.loss,
            Participants::default(),
            settings,
        )
        .map_err(failed)?;
        Ok(start)
    }

    /// The median over steps for as long as `budget`.
    pub(crate) fn median_seconds(&mut self, budget: Duration) -> Result<f64> {
        let ms = repeat(budget.as_secs_f64(), || self.step())?;
        Ok(Spread::of(&ms).map_or(0.0, |spread| spread.median / 1e3))
    }
}

/// Milliseconds of runs, for so many seconds after one that is not counted; `once` returns when it began.
fn repeat(seconds: f64, mut once: impl FnMut() -> Result<Instant>) -> Result<Vec<f64>> {
    once()?;
    let began = Instant::now();
    let mut ms = Vec::new();
    while ms.len() < FEWEST || began.elapsed().as_secs_f64() < seconds {
        ms.push(once()?.elapsed().as_secs_f64() * 1e3);
    }
    Ok(ms)
}

/// A batch `(n, h, w, c)` of mean 0 and variance 1, as after normalization.
pub(crate) fn images(model: &Model, [n, h, w]: [usize; 3]) -> Vec<f32> {
    let mut rng = Rng::keyed([0]);
    let len = n * h * w * model.graph().input_channels();
    (0..len).map(|_| single((rng.unit() - 0.5) * 12.0_f64.sqrt())).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point")]
fn single(value: f64) -> f32 {
    value as f32
}

/// Classes as a label's type; so many that they do not fit are more than enough.
fn small(classes: usize) -> u32 {
    u32::try_from(classes).unwrap_or(u32::MAX)
}

/// The most memory this process has held, where the system tells.
pub(crate) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_work_is_measured_a_few_times_and_fast_work_for_the_time_given() {
        let mut runs = 0;
        let mut once = || {
            runs += 1;
            Ok(Instant::now())
        };
        assert_eq!(repeat(0.0, &mut once).unwrap().len(), FEWEST);
        assert_eq!(runs, FEWEST + 1);
        assert!(repeat(0.01, || Ok(Instant::now())).unwrap().len() > FEWEST);
    }

    #[test]
    fn the_first_failure_ends_it() {
        assert!(repeat(0.0, || Err(Error::NoImages)).is_err());
    }
}
