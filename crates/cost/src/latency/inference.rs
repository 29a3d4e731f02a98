//! Inference, unit by unit.
//!
//! Above: `latency`. Below: `fit`, `calibration`, `units`, `taper-plan`. Not here: training steps (`training`).

use taper_graph::{Graph, NodeId, ParamId};
use taper_plan::inference::{BandPlan, ExecutionOrder, images_a_thread};
use taper_plan::{InferenceMemory, InferencePlan};

use super::fit::{BandFit, Center, Fit};
use super::{Calibration, Mode, ModeSamples, UnitSample};
use crate::{Bytes, Error, Result, Roof, Seconds, UnitCost, UnitKind, UnitShape, Work, units};

/// A machine's times, fitted: predicts any network on so many threads.
#[derive(Debug, Clone)]
pub struct LatencyModel<'a> {
    pub(super) calibration: &'a Calibration,
    pub(super) threads: usize,
    pub(super) together: Fitted<'a>,
    beside: Option<Fitted<'a>>,
}

/// A mode with its fits.
#[derive(Debug, Clone)]
pub(super) struct Fitted<'a> {
    pub(super) samples: &'a ModeSamples,
    pub(super) units: Fit,
    bands: BandFit,
}

impl<'a> Fitted<'a> {
    pub(super) fn new(samples: &'a ModeSamples) -> Self {
        let center = match samples.mode {
            Mode::Together | Mode::ImageAThread => Center::Middle,
            Mode::Forward | Mode::Backward => Center::Mean,
        };
        let (units, bands) = (Fit::new(&samples.units, center), BandFit::new(&samples.bands));
        Self { samples, units, bands }
    }
}

/// How long something takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// The whole batch.
    pub total: Seconds,
    /// The roofline's bound: no less, whatever the kernels do.
    pub bound: Seconds,
    /// Unit by unit.
    pub units: Vec<UnitPrediction>,
    /// When gradients become final, in training.
    pub gradients: Option<GradientTimes>,
}

/// When the gradients of a training step become final: what can be sent while the reverse pass goes on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GradientTimes {
    /// Every trained parameter, in the order of [`GradientOrder`](taper_plan::training::GradientOrder), with the time since the step's beginning.
    pub final_at: Vec<(ParamId, Seconds)>,
    /// Running statistics of batch norms, in numbers, that a step changes.
    pub statistics: usize,
}

/// How long a unit takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UnitPrediction {
    /// The first of its nodes.
    pub node: NodeId,
    /// The kind of work.
    pub kind: UnitKind,
    /// What it does, for the batch.
    pub work: Work,
    /// Forward, and in training backward too.
    pub time: Seconds,
    /// The roofline's bound.
    pub bound: Seconds,
}

impl<'a> LatencyModel<'a> {
    /// Fits what was measured on so many threads.
    ///
    /// # Errors
    /// [`Error::NotCalibrated`] if nothing was.
    pub fn new(calibration: &'a Calibration, threads: usize) -> Result<Self> {
        let together = Fitted::new(calibration.mode(Mode::Together, threads)?);
        let beside = match threads {
            0 | 1 => None,
            threads => Some(Fitted::new(calibration.mode(Mode::ImageAThread, threads)?)),
        };
        Ok(Self { calibration, threads, together, beside })
    }

    /// What the machine can do at best.
    #[must_use]
    pub fn roof(&self) -> &Roof {
        &self.together.samples.roof
    }

    /// A batch of `n` images of `h` by `w` through a session of the named outputs.
    ///
    /// # Errors
    /// [`Error::Plan`] for an unknown output, or an image that the network does not take.
    pub fn inference(
        &self,
        graph: &Graph,
        outputs: &[&str],
        [n, h, w]: [usize; 3],
    ) -> Result<Prediction> {
        let refused = |source| Error::Plan { h, w, source: Box::new(source) };
        let nodes = outputs.iter().map(|output| graph.output(output));
        let nodes: taper_graph::Result<Vec<NodeId>> = nodes.collect();
        let nodes = nodes.map_err(|source| refused(source.into()))?;
        let plan = InferencePlan::new(graph, &nodes, [h, w]).map_err(refused)?;
        let units = units(graph, &plan, [h, w])?;
        let each = images_a_thread(n, self.threads);
        let left = n - each * self.threads;
        let of = |fitted: &Fitted<'_>, threads: usize| {
            let order = ExecutionOrder::Bands { threads };
            let memory = plan.memory(graph, [h, w], order).map_err(refused)?;
            let around = around(graph, Bytes::of_elements(memory.arena.total));
            let times = fitted.times(&units, &memory, around);
            Ok::<_, Error>((times, Seconds(fitted.samples.overhead)))
        };
        let (mut times, mut total) = (vec![Seconds(0.0); units.len()], Seconds(0.0));
        let mut add = |(unit_times, overhead): (Vec<Seconds>, Seconds), runs: usize| {
            let runs = runs as f64;
            for (time, unit) in times.iter_mut().zip(&unit_times) {
                time.0 += unit.0 * runs;
            }
            total.0 += (unit_times.iter().copied().sum::<Seconds>().0 + overhead.0) * runs;
        };
        if left > 0 {
            add(of(&self.together, self.threads.max(1))?, left);
        }
        if let Some(beside) = self.beside.as_ref().filter(|_| each > 0) {
            add(of(beside, 1)?, each);
        }
        Ok(self.prediction(&units, &times, total, n))
    }

    fn prediction(
        &self,
        units: &[UnitCost],
        times: &[Seconds],
        total: Seconds,
        n: usize,
    ) -> Prediction {
        let unit = |(unit, &time): (&UnitCost, &Seconds)| {
            let work = unit.work.times(n);
            let bound = Seconds(self.roof().bound(&unit.work).0 * n as f64);
            UnitPrediction { node: unit.node, kind: unit.shape.kind, work, time, bound }
        };
        let own = units.iter().zip(times).filter(|(unit, _)| !unit.skipped);
        let units: Vec<UnitPrediction> = own.map(unit).collect();
        let bound = units.iter().map(|unit| unit.bound).sum();
        Prediction { total, bound, units, gradients: None }
    }
}

impl Fitted<'_> {
    /// The time of every unit for one image; what runs in bands is shared out as its parts would take alone.
    fn times(&self, units: &[UnitCost], memory: &InferenceMemory, around: Bytes) -> Vec<Seconds> {
        let time = |unit: &UnitCost| {
            let alone = self.units.seconds(&UnitSample::of_inference(unit, around, 0.0));
            // A kind that was never measured takes what the machine needs at least.
            let alone = alone.map(|seconds| seconds * self.samples.scale);
            Seconds(alone.unwrap_or_else(|| self.samples.roof.bound(&unit.work).0))
        };
        let time = |unit: &UnitCost| if unit.skipped { Seconds(0.0) } else { time(unit) };
        let mut times: Vec<Seconds> = units.iter().map(time).collect();
        for band in memory.bands.iter().flatten() {
            let ratio = self.bands.ratio(band_shape(band, units));
            band.units.iter().for_each(|&u| times[u].0 *= ratio);
        }
        times
    }
}

/// The sizes by which bands are compared: those of the depthwise convolution.
#[must_use]
pub fn band_shape(band: &BandPlan, units: &[UnitCost]) -> UnitShape {
    let mut shapes = band.units.iter().map(|&u| units[u].shape);
    let last = shapes.clone().next_back();
    let depthwise = shapes.find(|shape| shape.kind == UnitKind::Depthwise);
    depthwise.or(last).unwrap_or(units[0].shape)
}

/// Bytes of a network at work: its parameters, and what lives between them.
#[must_use]
pub fn around(graph: &Graph, arena: Bytes) -> Bytes {
    graph.params().iter().map(|spec| Bytes::of_elements(spec.len())).sum::<Bytes>() + arena
}
