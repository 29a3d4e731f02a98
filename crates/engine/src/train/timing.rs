//! How long every unit of a training step takes, forward and backward.
//!
//! Above: `calibrate`. Below: `train`. Not here: losses and optimizers, which are others'.

use std::time::{Duration, Instant};

use taper_kernels::{Device, Real};

use super::Trainer;
use crate::Result;
use crate::calibrate::rounds;
use crate::session::RunTimes;

/// The gradient of every output's element: that of a mean over some thousands.
const GRADIENT: f64 = 1e-3;

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// Times steps for as long as `budget`: the forward and the backward pass.
    pub(crate) fn time_units(
        &mut self,
        params: &[&[T]],
        images: &[T],
        shape: [usize; 3],
        budget: Duration,
    ) -> Result<[RunTimes; 2]> {
        let count = self.fused.units.len();
        let mut gradients = vec![Vec::new(); self.graph.params().len()];
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        rounds(budget, || {
            let mut timer = Timer::new(count);
            self.forward_observed(params, &[images], shape, 0, &mut |unit| timer.done(unit))?;
            forward.push(timer.finish());
            let lens = self.outputs.iter().map(|output| vec![T::from_f64(GRADIENT); output.len()]);
            let seeds: Vec<Vec<T>> = lens.collect();
            let seeds: Vec<&[T]> = seeds.iter().map(Vec::as_slice).collect();
            let mut timer = Timer::new(count);
            let done = &mut |unit, _: &mut [Vec<T>]| timer.done(unit);
            self.backward_units(params, &seeds, &mut gradients, done)?;
            backward.push(timer.finish());
            Ok(())
        })?;
        // The first round lays memory out.
        let counted = |rounds: &[_]| RunTimes::of(&rounds[1..]);
        Ok([counted(&forward), counted(&backward)])
    }
}

/// Seconds of units that are done one after the other.
struct Timer {
    units: Vec<Option<f64>>,
    start: Instant,
    last: Instant,
}

impl Timer {
    fn new(count: usize) -> Self {
        let now = Instant::now();
        Self { units: vec![None; count], start: now, last: now }
    }

    fn done(&mut self, unit: usize) {
        let now = Instant::now();
        self.units[unit] = Some((now - self.last).as_secs_f64());
        self.last = now;
    }

    fn finish(self) -> (Vec<Option<f64>>, f64) {
        (self.units, self.start.elapsed().as_secs_f64())
    }
}
