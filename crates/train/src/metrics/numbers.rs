//! Metrics of numbers that are predicted.
//!
//! Above: `metrics`. Below: `data::Targets`. Not here: losses of a difference (`layers::loss`).

use taper_data::Targets;

use super::{Goal, Mean, Metric, Output, Predictions};
use crate::error::{Error, Result};

/// The mean of the differences' magnitudes over all samples and numbers: `mae`. Targets that are NaN are not known and do not count.
#[derive(Debug, Clone, Default)]
pub struct MeanAbsoluteError {
    error: Mean,
}

impl MeanAbsoluteError {
    /// Of no samples yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Metric for MeanAbsoluteError {
    fn name(&self) -> String {
        "mae".to_owned()
    }

    fn goal(&self) -> Goal {
        Goal::Minimize
    }

    fn reset(&mut self) {
        self.error = Mean::default();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (output, targets) = (batch.single()?, batch.targets());
        let Targets::Numbers(array) = targets else {
            return Err(Error::target_kind(&self.name(), "numbers", targets));
        };
        let place = places(&output, array.shape())?;
        for (i, &value) in output.values.iter().enumerate() {
            let target = f64::from(array.values()[place(i)]);
            if !target.is_nan() {
                self.error.add((f64::from(value) - target).abs());
            }
        }
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        Some(self.error.value())
    }

    fn state(&self) -> Vec<f64> {
        self.error.state()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.error = Mean::load(state);
    }
}

/// What is computed of squared differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Squares {
    Rmse,
    R2,
}

/// A number of the squared differences between outputs and targets, over all samples and numbers but those whose target is NaN, not known.
#[derive(Debug, Clone)]
pub struct SquaredError {
    squares: Squares,
    /// By number: squared differences, the first target, how far targets are from it, the squares of that, how many.
    sums: Vec<[f64; 5]>,
}

impl SquaredError {
    /// The root of their mean: `rmse`.
    #[must_use]
    pub fn root_mean() -> Self {
        Self { squares: Squares::Rmse, sums: Vec::new() }
    }

    /// The share of the targets' variance that is explained, `1 − Σ(x − y)² / Σ(y − mean y)²`: `r2`. Of several numbers their mean, as
    /// scikit-learn's `r2_score`; 0 of one that does not vary.
    #[must_use]
    pub fn r2() -> Self {
        Self { squares: Squares::R2, sums: Vec::new() }
    }
}

impl Metric for SquaredError {
    fn name(&self) -> String {
        let name = match self.squares {
            Squares::Rmse => "rmse",
            Squares::R2 => "r2",
        };
        name.to_owned()
    }

    fn goal(&self) -> Goal {
        match self.squares {
            Squares::Rmse => Goal::Minimize,
            Squares::R2 => Goal::Maximize,
        }
    }

    fn reset(&mut self) {
        self.sums.clear();
    }

    fn update(&mut self, batch: &Predictions<'_>) -> Result<()> {
        let (output, targets) = (batch.single()?, batch.targets());
        let Targets::Numbers(array) = targets else {
            return Err(Error::target_kind(&self.name(), "numbers", targets));
        };
        let (place, k) = (places(&output, array.shape())?, output.channels().max(1));
        if self.sums.is_empty() {
            self.sums = vec![[0.0; 5]; k];
        } else if self.sums.len() != k {
            let expected = format!("{} numbers, as before", self.sums.len());
            return Err(Error::shape("the output", &[k], expected));
        }
        for (i, &value) in output.values.iter().enumerate() {
            let target = f64::from(array.values()[place(i)]);
            if target.is_nan() {
                continue;
            }
            let [errors, first, sum, squares, n] = &mut self.sums[i % k];
            if *n < 1.0 {
                *first = target;
            }
            let (error, offset) = (f64::from(value) - target, target - *first);
            *errors += error * error;
            *sum += offset;
            *squares += offset * offset;
            *n += 1.0;
        }
        Ok(())
    }

    fn compute(&self) -> Option<f64> {
        let mut mean = Mean::default();
        for &[errors, _, sum, squares, n] in self.sums.iter().filter(|[.., n]| *n > 0.0) {
            let variance = squares - sum * sum / n;
            mean.add(match self.squares {
                Squares::Rmse => errors / n,
                Squares::R2 if variance > 0.0 => 1.0 - errors / variance,
                Squares::R2 => 0.0,
            });
        }
        Some(match self.squares {
            Squares::Rmse => mean.value().sqrt(),
            Squares::R2 => mean.value(),
        })
    }

    fn state(&self) -> Vec<f64> {
        self.sums.concat()
    }

    fn load_state(&mut self, state: &[f64]) {
        self.sums = state.as_chunks::<5>().0.to_vec();
    }
}

/// Where the target of each value of an output lies: outputs are channels last, targets have candle's order.
fn places(output: &Output<'_>, targets: &[usize]) -> Result<impl Fn(usize) -> usize> {
    let expected = match *output.shape {
        [n, h, w, c] => vec![n, c, h, w],
        ref shape => shape.to_vec(),
    };
    if targets != expected {
        return Err(Error::shape("the targets", targets, format!("{expected:?}")));
    }
    let (positions, c) = match *output.shape {
        [_, h, w, c] => (h * w, c),
        ref shape => (1, shape.iter().skip(1).product()),
    };
    let of_one = (positions * c).max(1);
    Ok(move |i: usize| {
        let (sample, inner) = (i / of_one, i % of_one);
        sample * of_one + (inner % c) * positions + inner / c
    })
}
