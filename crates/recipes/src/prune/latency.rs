//! How long networks take: two side by side, and one after the other while a budget is solved, each in turns with the unpruned one.
//!
//! Above: `prune`, `sparsify`. Below: `taper_engine::Session`, `taper_cost::LatencyModel`. Not here: other programs (`cargo xtask bench`).

use std::time::{Duration, Instant};

use serde::Serialize;
use taper_cost::{Calibration, LatencyModel};
use taper_engine::{Cpu, Session, SessionOptions, Spread};
use taper_graph::Graph;
use taper_model::Model;

use crate::bench::images;
use crate::calibration;
use crate::error::{Error, Result};
use crate::options::PruneOptions;

/// How long every network runs in all, and in one turn.
pub(super) const MEASURED: Duration = Duration::from_millis(1500);
const TURN: Duration = Duration::from_millis(60);

/// So many runs of a network say what its median is, however short they are.
const ENOUGH: usize = 500;

/// How long a candidate is measured, at least.
const CANDIDATE: Duration = Duration::from_millis(60);

/// Turns that a candidate has, at least.
const TURNS: usize = 2;

/// Runs that take longer than this, in milliseconds, clear the caches themselves: none need bring its own back.
const COLD_MS: f64 = 50.0;

/// Milliseconds of a batch before and after, measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LatencyPair {
    /// Images.
    pub batch: usize,
    /// The unpruned network's, median.
    pub before_ms: f64,
    /// The pruned network's, median.
    pub after_ms: f64,
}

/// A session with the images that it runs.
struct Contestant {
    session: Session,
    xs: Vec<f32>,
    shape: [usize; 3],
    ms: Vec<f64>,
}

impl Contestant {
    fn new(model: &Model, batch: usize, threads: usize) -> Result<Self> {
        let options = SessionOptions { threads, ..SessionOptions::default() };
        let session = Session::new(model, &options).map_err(engine)?;
        let [h, w] = model.preprocess().input_size;
        let shape = [batch, h, w];
        Ok(Self { session, xs: images(model, shape), shape, ms: Vec::new() })
    }

    /// Runs until the turn is over, after a run that brings its caches back; the median of the turn, milliseconds.
    fn take_turn(&mut self, turn: Duration) -> Result<f64> {
        if self.ms.last().is_none_or(|ms| *ms < COLD_MS) {
            self.session.run(&self.xs, self.shape).map_err(engine)?;
        }
        let (began, first) = (Instant::now(), self.ms.len());
        loop {
            let start = Instant::now();
            self.session.run(&self.xs, self.shape).map_err(engine)?;
            self.ms.push(start.elapsed().as_secs_f64() * 1e3);
            if began.elapsed() >= turn {
                return Ok(median(&self.ms[first..]));
            }
        }
    }

    fn median_ms(&self) -> f64 {
        median(&self.ms)
    }
}

fn median(values: &[f64]) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

/// The sizes of batches that are measured: one, and `latency_batch`.
pub(super) fn batches(latency_batch: usize) -> Vec<usize> {
    let mut batches = vec![1, latency_batch];
    batches.dedup();
    batches
}

/// Both networks on every size of batch, in turns.
pub(crate) fn measure(
    models: [&Model; 2],
    latency_batch: usize,
    threads: usize,
) -> Result<Vec<LatencyPair>> {
    let mut pairs = Vec::new();
    for batch in batches(latency_batch) {
        if let [before_ms, after_ms] = in_turns(&models, batch, threads)?[..] {
            pairs.push(LatencyPair { batch, before_ms, after_ms });
        }
    }
    Ok(pairs)
}

/// Median milliseconds of a batch of each model, all measured in turns.
pub(super) fn in_turns(models: &[&Model], batch: usize, threads: usize) -> Result<Vec<f64>> {
    let all: Result<Vec<Contestant>> =
        models.iter().map(|model| Contestant::new(model, batch, threads)).collect();
    let mut all = all?;
    let began = Instant::now();
    let least = MEASURED.saturating_mul(u32::try_from(all.len()).unwrap_or(u32::MAX));
    let fewest = |all: &[Contestant]| all.iter().map(|one| one.ms.len()).min().unwrap_or(ENOUGH);
    while fewest(&all) < 3 || (began.elapsed() < least && fewest(&all) < ENOUGH) {
        for one in &mut all {
            one.take_turn(TURN)?;
        }
    }
    Ok(all.iter().map(Contestant::median_ms).collect())
}

/// Times networks as a target of latency has it: measured here, or predicted for the machine of a calibration.
///
/// What is measured is measured in turns with the unpruned network: a minute in which the machine is slower is so for both, and the budget is
/// a share of the one.
pub(super) struct Clock<'a> {
    options: &'a PruneOptions,
    dense: &'a Model,
    calibration: Option<Calibration>,
    /// The unpruned network and its seconds, once they were asked for.
    reference: Option<(Contestant, f64)>,
}

impl<'a> Clock<'a> {
    /// # Errors
    /// What reading the calibration says.
    pub(super) fn new(options: &'a PruneOptions, dense: &'a Model) -> Result<Self> {
        let calibration = options.calibration.as_deref().map(calibration::read).transpose()?;
        Ok(Self { options, dense, calibration, reference: None })
    }

    /// Seconds of a batch of `latency_batch` images through a model, run for so long.
    pub(super) fn of_model(&mut self, model: &Model, least: Duration) -> Result<f64> {
        let (batch, threads) = (self.options.latency_batch, self.options.tune.threads);
        if let Some(calibration) = &self.calibration {
            let threads = Cpu::new(threads).threads();
            let cost = |source| Error::Cost { source };
            let [h, w] = model.preprocess().input_size;
            let outputs: Vec<&str> = model.graph().main_outputs().collect();
            let fitted = LatencyModel::new(calibration, threads).map_err(cost)?;
            let predicted = fitted.inference(model.graph(), &outputs, [batch, h, w]);
            return Ok(predicted.map_err(cost)?.total.0);
        }
        let (reference, seconds) = match &mut self.reference {
            Some(reference) => reference,
            none => {
                let mut dense = Contestant::new(self.dense, batch, threads)?;
                let seconds = dense.take_turn(MEASURED)? / 1e3;
                none.insert((dense, seconds))
            }
        };
        let mut contestant = Contestant::new(model, batch, threads)?;
        let (began, turn) = (Instant::now(), TURN.min(least / 2));
        let mut ratios = Vec::new();
        while ratios.len() < TURNS || began.elapsed() < least {
            ratios.push(contestant.take_turn(turn)? / reference.take_turn(turn)?);
        }
        Ok(median(&ratios) * *seconds)
    }

    /// Seconds of a batch through a network of this graph, prepared as `like`; its weights change no time.
    pub(super) fn of_graph(
        &mut self,
        graph: &Graph,
        like: &Model,
    ) -> std::result::Result<f64, Box<dyn std::error::Error + Send + Sync>> {
        let model = Model::random(graph.clone(), 0, *like.preprocess(), Vec::new())?;
        Ok(self.of_model(&model, CANDIDATE)?)
    }
}

fn engine(source: taper_engine::Error) -> Error {
    Error::Engine { source }
}
