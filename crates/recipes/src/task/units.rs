//! Numbers to predict in units of their own spread, so that one learning rate suits ages and millimeters.
//!
//! Above: `task`. Below: `taper_train::Metric`, `taper_layers::loss::Loss`. Not here: putting the units into the finished model
//! (`taper_model::rescale_classifier`).

use candle_core::{Device, Tensor};
use taper_data::{Sample, Target};
use taper_layers::NamedTensors;
use taper_layers::loss::Loss;
use taper_train::{Goal, Metric, Output, Predictions};

use super::single;

/// Mean and standard deviation of each number over the training pictures of which it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Units {
    pub(super) mean: Vec<f32>,
    pub(super) std: Vec<f32>,
}

impl Units {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let rows = || {
            samples.iter().filter_map(|sample| match sample.target() {
                Target::Numbers(array) => Some(array.values()),
                _ => None,
            })
        };
        let k = rows().next().map_or(0, <[f32]>::len);
        // Of each number those that are known.
        let known = |at: usize| rows().map(move |row| row[at]).filter(|value| !value.is_nan());
        let average = |at: usize, of: &dyn Fn(f64) -> f64| {
            known(at).map(|value| of(f64::from(value))).sum::<f64>()
                / known(at).count().max(1) as f64
        };
        let mean: Vec<f64> = (0..k).map(|at| average(at, &|value| value)).collect();
        let spread = |(at, mean): (usize, &f64)| average(at, &|value| (value - mean).powi(2));
        let variance: Vec<f64> = mean.iter().enumerate().map(spread).collect();
        // What is the same everywhere has no spread, whatever rounding leaves of it.
        let varies = |at: usize| {
            let first = known(at).next().map(f32::to_bits);
            known(at).any(|value| Some(value.to_bits()) != first)
        };
        let std = variance.iter().enumerate().map(|(at, variance)| match single(variance.sqrt()) {
            std if varies(at) && std > f32::MIN_POSITIVE => std,
            _ => 1.0,
        });
        Self { std: std.collect(), mean: mean.into_iter().map(single).collect() }
    }

    /// A loss of outputs in these units and targets in their own.
    pub(super) fn loss(&self, inner: Box<dyn Loss>) -> Box<dyn Loss> {
        let Self { mean, std } = self.clone();
        Box::new(move |outputs: &NamedTensors, targets: &NamedTensors| {
            let numbers = targets.single()?;
            let row = |values: &[f32]| Tensor::new(values, &Device::Cpu)?.to_dtype(numbers.dtype());
            let scaled = numbers.broadcast_sub(&row(&mean)?)?.broadcast_div(&row(&std)?)?;
            inner.loss(outputs, &NamedTensors::new([(LABEL, scaled)]))
        })
    }
}

/// The name of the only target.
const LABEL: &str = "numbers";

/// A metric of numbers that sees outputs in the units of the targets.
pub(super) struct InUnits {
    inner: Box<dyn Metric>,
    units: Option<Units>,
}

impl InUnits {
    pub(super) fn new(inner: Box<dyn Metric>, units: Option<Units>) -> Self {
        Self { inner, units }
    }
}

impl Metric for InUnits {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn goal(&self) -> Goal {
        self.inner.goal()
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> taper_train::Result<()> {
        let Some(Units { mean, std }) = &self.units else { return self.inner.update(batch) };
        let output = batch.single()?;
        let units = std.iter().zip(mean).cycle();
        let values: Vec<f32> =
            output.values.iter().zip(units).map(|(x, (std, mean))| x * std + mean).collect();
        let output = Output { values: &values, ..output };
        self.inner.update(&Predictions::new(vec![output], batch.targets(), batch.indices())?)
    }

    fn compute(&self) -> Option<f64> {
        self.inner.compute()
    }

    fn state(&self) -> Vec<f64> {
        self.inner.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.inner.load_state(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rows: &[[f32; 2]]) -> Vec<Sample> {
        let sample =
            |row: &[f32; 2]| Sample::from_static("x", Target::numbers(row.to_vec()), b"none");
        rows.iter().map(sample).collect()
    }

    #[test]
    fn units_are_mean_and_spread_and_one_where_nothing_varies() {
        let units = Units::of(&samples(&[[1.0, 37.2], [3.0, 37.2], [5.0, 37.2], [7.0, 37.2]]));
        assert!((units.mean[0] - 4.0).abs() < 1e-6 && (units.mean[1] - 37.2).abs() < 1e-4);
        assert!((units.std[0] - 5f32.sqrt()).abs() < 1e-6, "{units:?}");
        assert!((units.std[1] - 1.0).abs() < 1e-6, "{units:?}");
    }

    #[test]
    fn numbers_that_are_not_known_say_nothing_of_the_units() {
        let none = f32::NAN;
        let units = Units::of(&samples(&[[none, none], [1.0, none], [5.0, none], [none, none]]));
        assert_eq!((units.mean, units.std), (vec![3.0, 0.0], vec![2.0, 1.0]));
    }

    #[test]
    fn the_loss_sees_scaled_targets_and_metrics_unscaled_outputs() {
        let units = Units { mean: vec![10.0], std: vec![4.0] };
        let loss = units.loss(Box::new(taper_layers::loss::Mse::new()));
        let tensor = |value: f32| Tensor::new(&[[value]], &Device::Cpu).unwrap();
        let named = |value| NamedTensors::new([("y", tensor(value))]);
        let loss = loss.loss(&named(1.0), &named(18.0)).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - 1.0).abs() < 1e-6, "{loss}"); // (18 - 10) / 4 = 2, and 1 was said
        let inner = Box::new(taper_train::MeanAbsoluteError::new());
        let mut metric = InUnits::new(inner, Some(units));
        let targets = taper_data::Targets::collate([Target::numbers(vec![18.0])]).unwrap();
        let output = Output { name: "y", values: &[1.0], shape: &[1, 1] };
        metric.update(&Predictions::new(vec![output], &targets, &[0]).unwrap()).unwrap();
        assert_eq!(metric.compute(), Some(4.0)); // 1 * 4 + 10 = 14
    }
}
