//! A training step, unit by unit.
//!
//! Above: `latency`. Below: `fit`, `calibration`, `units`, `taper-plan`. Not here: inference (`inference`).

use taper_graph::{Graph, ParamId};
use taper_plan::training::{GradientOrder, Route};
use taper_plan::{TrainingPlan, UnitOp};

use super::fit::Fit;
use super::inference::{Fitted, around};
use super::{
    GradientTimes, LatencyModel, Mode, Prediction, StepSample, UnitPrediction, UnitSample,
};
use crate::{Bytes, Error, Result, Seconds, UnitCost, Work, training_units};

impl LatencyModel<'_> {
    /// A training step on `n` images of `h` by `w`: forward and backward, with an optimizer that keeps `slots` numbers for each parameter.
    ///
    /// # Errors
    /// [`Error::NotCalibrated`] if training was not measured; [`Error::Plan`] for what cannot be trained so.
    pub fn training_step(
        &self,
        graph: &Graph,
        outputs: &[&str],
        trained: &[bool],
        shape @ [_, h, w]: [usize; 3],
        slots: usize,
    ) -> Result<Prediction> {
        let refused = |source| Error::Plan { h, w, source: Box::new(source) };
        let plan = TrainingPlan::new(graph, outputs, trained).map_err(refused)?;
        self.training_step_of(graph, &plan, shape, slots)
    }

    /// [`LatencyModel::training_step`] of a plan, with what it computes again on the way back.
    ///
    /// # Errors
    /// As [`LatencyModel::training_step`].
    pub fn training_step_of(
        &self,
        graph: &Graph,
        plan: &TrainingPlan,
        shape @ [n, h, w]: [usize; 3],
        slots: usize,
    ) -> Result<Prediction> {
        let refused = |source| Error::Plan { h, w, source: Box::new(source) };
        let forward = Fitted::new(self.calibration.mode(Mode::Forward, self.threads)?);
        let backward = Fitted::new(self.calibration.mode(Mode::Backward, self.threads)?);
        let memory = plan.memory(graph, shape).map_err(refused)?;
        let around = around(graph, Bytes::of_elements(memory.total));
        let units = training_units(graph, plan, [h, w])?;
        let time = |fit: &Fit, sample: &UnitSample, work: &Work| {
            Seconds(fit.seconds(sample).unwrap_or_else(|| self.roof().bound(work).0))
        };
        let mut back_times = vec![Seconds(0.0); plan.fused.units.len()];
        let mut forward_times = back_times.clone();
        let unit = |unit: &UnitCost| {
            let (mut work, there) =
                (unit.work.times(n), UnitSample::of_forward(unit, n, around, 0.0));
            let mut spent = time(&forward.units, &there, &work);
            forward_times[unit.unit] = spent;
            if memory.again.iter().flatten().any(|&again| again == unit.unit) {
                (spent, work) = (spent + spent, work + work);
            }
            if plan.routes.needs[plan.fused.units[unit.unit].output] {
                let gradients = gradients(plan, unit.unit);
                let back = UnitSample::of_backward(plan, unit, n, around, 0.0);
                let way_back = backward_work(&unit.work, gradients).times(n);
                back_times[unit.unit] = time(&backward.units, &back, &way_back);
                spent += back_times[unit.unit];
                work = work + way_back;
            }
            let bound = self.roof().bound(&work);
            UnitPrediction { node: unit.node, kind: unit.shape.kind, work, time: spent, bound }
        };
        let units: Vec<UnitPrediction> = units.iter().map(unit).collect();
        let trained = graph.params().iter().zip(&plan.trained).filter(|(_, trained)| **trained);
        let lens: Vec<u64> = trained.map(|(spec, _)| spec.len() as u64).collect();
        let step = StepSample {
            threads: self.threads,
            slots,
            params: lens.iter().sum(),
            tensors: lens.len(),
            images: (n * h * w * graph.input_channels()) as u64,
            seconds: 0.0,
        };
        let rest = step_seconds(&self.calibration.steps, &step)
            + forward.samples.overhead
            + backward.samples.overhead;
        let passes = units.iter().map(|unit| unit.time).sum::<Seconds>();
        let (total, bound) = (passes + Seconds(rest), units.iter().map(|unit| unit.bound).sum());
        for (unit, again) in memory.again.iter().enumerate() {
            back_times[unit] += again.iter().map(|&again| forward_times[again]).sum::<Seconds>();
        }
        let way_back: f64 = back_times.iter().map(|time| time.0).sum();
        let begin = Seconds(passes.0 - way_back + forward.samples.overhead);
        let gradients = Some(GradientTimes {
            final_at: final_at(graph, plan, begin, &back_times),
            statistics: statistics(graph, plan),
        });
        Ok(Prediction { total, bound, units, gradients })
    }
}

/// When gradients become final in a reverse pass that begins at `begin`; `times` are those of the units.
fn final_at(
    graph: &Graph,
    plan: &TrainingPlan,
    begin: Seconds,
    times: &[Seconds],
) -> Vec<(ParamId, Seconds)> {
    let order = GradientOrder::new(graph, plan);
    let (mut now, mut all) = (begin, Vec::new());
    for (ids, &time) in order.finished.iter().zip(times).rev() {
        now += time;
        all.extend(ids.iter().map(|&id| (id, now)));
    }
    all.extend(order.unreached.iter().map(|&id| (id, now)));
    all
}

/// Numbers that norms remember of the batches they have seen.
fn statistics(graph: &Graph, plan: &TrainingPlan) -> usize {
    let values = plan.fused.values.iter().zip(&plan.routes.batch_norms);
    let norms = values.filter_map(|(value, &is_of_batch)| value.norm.filter(|_| is_of_batch));
    let ids =
        norms.flat_map(|norm| [norm.params[2], norm.params[3]].into_iter().chain(norm.tracked));
    ids.map(|id| graph.param(id).len()).sum()
}

impl UnitSample {
    /// A unit of inference, on one image.
    #[must_use]
    pub fn of_inference(unit: &UnitCost, around: Bytes, seconds: f64) -> Self {
        Self::new(unit, &unit.work, 1, around, seconds)
    }

    /// A unit's forward pass in training.
    #[must_use]
    pub fn of_forward(unit: &UnitCost, batch: usize, around: Bytes, seconds: f64) -> Self {
        Self::new(unit, &unit.work, batch, around, seconds)
    }

    /// A unit's backward pass.
    #[must_use]
    pub fn of_backward(
        plan: &TrainingPlan,
        unit: &UnitCost,
        batch: usize,
        around: Bytes,
        seconds: f64,
    ) -> Self {
        let gradients = gradients(plan, unit.unit);
        let work = backward_work(&unit.work, gradients);
        Self { gradients, ..Self::new(unit, &work, batch, around, seconds) }
    }

    fn new(unit: &UnitCost, work: &Work, batch: usize, around: Bytes, seconds: f64) -> Self {
        Self {
            shape: unit.shape,
            batch,
            macs: work.macs.times(batch).0,
            elementwise: (work.elementwise + work.norms).times(batch).0,
            gradients: [false; 2],
            around: around.0,
            seconds,
        }
    }
}

/// Whether a unit's weight and its input get a gradient.
fn gradients(plan: &TrainingPlan, unit: usize) -> [bool; 2] {
    let fused = &plan.fused.units[unit];
    let weight = fused.op.params().into_iter().flatten().any(|id| plan.trained[id.index()]);
    let input = plan.routes.inputs[unit].iter().any(|route| matches!(route, Route::Write { .. }));
    // A norm's scale and shift are the sums of what is behind it.
    let norm = matches!(fused.op, UnitOp::BatchNorm) && plan.routes.batch_norms[fused.output];
    [weight || norm, input]
}

/// A product for each gradient, which reads what the forward pass read and wrote.
fn backward_work(forward: &Work, gradients: [bool; 2]) -> Work {
    let products = gradients.iter().filter(|gradient| **gradient).count();
    Work {
        macs: forward.macs.times(products),
        read: forward.bytes(),
        written: if gradients[1] { forward.read } else { Bytes(0) },
        ..*forward
    }
}

/// What a step takes beside its units: so much a step, a tensor, a trained number and a number of the images, as in the samples
/// of as many slots.
fn step_seconds(samples: &[StepSample], step: &StepSample) -> f64 {
    let near = |sample: &&StepSample| sample.threads == step.threads;
    let mut samples: Vec<&StepSample> = samples.iter().filter(near).collect();
    if samples.iter().any(|sample| sample.slots == step.slots) {
        samples.retain(|sample| sample.slots == step.slots);
    }
    super::fit::step_line(&samples, step)
}
