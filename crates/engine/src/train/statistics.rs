//! The statistics of a batch after a forward pass, and the running ones that follow from them.
//!
//! Above: `layers`, `recalibrate`. Below: `train::norm`, `taper-plan`. Not here: sums over positions (`kernels`), averages over batches
//! (`recalibrate`).

use taper_graph::ParamId;
use taper_kernels::{Device, Real};
use taper_plan::fused::Norm;

use super::Trainer;
use super::norm::NormState;

impl<T: Real, D: Device<T>> Trainer<T, D> {
    /// Running means and (unbiased) variances after the last forward, of every norm that used the batch's statistics:
    /// `(1 − momentum)·running + momentum·batch`. A cumulative norm's momentum is one over the number of batches, which is returned
    /// with them.
    #[must_use]
    pub fn running_statistics(&self, params: &[&[T]]) -> Vec<(ParamId, Vec<T>)> {
        let mut all = Vec::new();
        for (norm, state) in self.norms_of_batches() {
            let batches = norm.tracked.map(|id| (id, params[id.index()][0].to_f64() + 1.0));
            // A norm without a momentum of its own has a count.
            let momentum = norm.momentum.or(batches.map(|(_, count)| 1.0 / count)).unwrap_or(0.0);
            all.extend(batches.map(|(id, count)| (id, vec![T::from_f64(count)])));
            all.extend(state.of_batch(norm).map(|(id, batch)| {
                let blend = |(&old, new): (&T, f64)| {
                    T::from_f64((1.0 - momentum) * old.to_f64() + momentum * new)
                };
                (id, params[id.index()].iter().zip(batch).map(blend).collect())
            }));
        }
        all
    }

    /// Means and (unbiased) variances of the batch of the last forward, of every norm that used them, by their parameters.
    #[must_use]
    pub fn batch_statistics(&self) -> Vec<(ParamId, Vec<f64>)> {
        self.norms_of_batches().flat_map(|(norm, state)| state.of_batch(norm)).collect()
    }

    /// The counts of batches, of those norms that keep one.
    pub(crate) fn tracked_counts(&self) -> Vec<ParamId> {
        self.norms_of_batches().filter_map(|(norm, _)| norm.tracked).collect()
    }

    /// The norms that use the batch's statistics.
    fn norms_of_batches(&self) -> impl Iterator<Item = (&Norm, &NormState<T>)> {
        // Parts that share statistics all have them.
        let states = self.parts.first().map_or(&self.norms, |part| &part.norms);
        let norms = self.fused.values.iter().zip(states).zip(&self.routes.batch_norms);
        norms.filter_map(|((value, state), &uses_batch)| {
            value.norm.as_ref().filter(|_| uses_batch).map(|norm| (norm, state))
        })
    }
}

impl<T: Real> NormState<T> {
    /// Mean and unbiased variance of the batch.
    fn of_batch(&self, norm: &Norm) -> [(ParamId, Vec<f64>); 2] {
        let count = self.count as f64;
        let scaled = |values: &[T], factor: f64| -> Vec<f64> {
            values.iter().map(|value| value.to_f64() * factor).collect()
        };
        [
            (norm.params[2], scaled(&self.mean, 1.0)),
            (norm.params[3], scaled(&self.var, count / (count - 1.0))),
        ]
    }
}
