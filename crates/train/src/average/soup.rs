//! Greedy soups: what the best epochs' weights are kept for, and their mean.
//!
//! Above: `average`, `fit::average`. Below: candle's tensors. Not here: evaluations (`fit::average`).
//! Source: Wortsman et al. 2022, <https://arxiv.org/abs/2203.05482>, recipe 1; the mean is summed in double precision, as by timm's
//! `avg_checkpoints.py`.

use candle_core::{DType, Tensor};
use taper_layers::Network;
use taper_optim::{Better, Scores};

use super::{AVERAGE, Kind, WeightAverage, copies, set};
use crate::error::{Result, at};

impl WeightAverage<'_> {
    /// Keeps the weights of an epoch if they are among the best of those with these scores, by epoch.
    pub(crate) fn keep(
        &mut self,
        epoch: usize,
        scores: Scores<'_>,
        network: &Network,
    ) -> Result<()> {
        let Kind::Soup { most } = self.kind else { return Ok(()) };
        let kept = self.ingredients.iter().map(|(epoch, _)| *epoch).chain([epoch]);
        let best = best_first(kept.collect(), scores);
        if best.iter().take(most).any(|&it| it == epoch) {
            self.ingredients.push((epoch, copies(network)?));
        }
        self.ingredients.retain(|(it, _)| best.iter().take(most).any(|best| best == it));
        Ok(())
    }

    /// The epochs that a soup may be made of, the best first.
    pub(crate) fn ingredients(&self, scores: Scores<'_>) -> Vec<usize> {
        best_first(self.ingredients.iter().map(|(epoch, _)| *epoch).collect(), scores)
    }

    /// Gives a network the mean of the weights of these epochs. Counts of batches are those of the first.
    pub(crate) fn pour(&self, epochs: &[usize], network: &Network) -> Result<()> {
        let of = |epoch: &usize| self.ingredients.iter().find(|(it, _)| it == epoch);
        let parts: Vec<&Vec<Tensor>> =
            epochs.iter().filter_map(of).map(|(_, values)| values).collect();
        let mut means = Vec::new();
        for (index, param) in network.params().iter().enumerate() {
            let taken = if param.is_count() { 1 } else { parts.len() };
            let tensors = parts.iter().take(taken).filter_map(|values| values.get(index));
            let tensors: Vec<&Tensor> = tensors.collect();
            means.push(mean(&tensors).map_err(at(AVERAGE))?);
        }
        set(network, &means)
    }
}

/// Epochs by their scores; of equals the earlier first.
pub(crate) fn best_first(mut epochs: Vec<usize>, scores: Scores<'_>) -> Vec<usize> {
    let score = |epoch: usize| scores.values.get(epoch).copied().unwrap_or(f64::NAN);
    let worse = |epoch: usize| match (score(epoch), scores.better) {
        (score, _) if score.is_nan() => f64::INFINITY,
        (score, Better::Lower) => score,
        (score, Better::Higher) => -score,
    };
    epochs.sort_by(|&a, &b| worse(a).total_cmp(&worse(b)).then(a.cmp(&b)));
    epochs
}

#[expect(clippy::cast_precision_loss, reason = "a few tensors")]
fn mean(tensors: &[&Tensor]) -> candle_core::Result<Tensor> {
    let Some((first, rest)) = tensors.split_first() else {
        candle_core::bail!("a mean of nothing");
    };
    let mut sum = first.to_dtype(DType::F64)?;
    for tensor in rest {
        sum = (sum + tensor.to_dtype(DType::F64)?)?;
    }
    (sum / tensors.len() as f64)?.to_dtype(first.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn the_best_come_first_and_of_equals_the_earlier() {
        let values = [0.5, 0.9, 0.7, 0.9];
        let order = |better| best_first(vec![3, 2, 1, 0], Scores { values: &values, better });
        assert_eq!(order(Better::Higher), [1, 3, 2, 0]);
        assert_eq!(order(Better::Lower), [0, 2, 1, 3]);
        let values = [0.5, f64::NAN];
        for better in [Better::Lower, Better::Higher] {
            assert_eq!(best_first(vec![1, 0], Scores { values: &values, better }), [0, 1]);
        }
    }

    #[test]
    fn a_mean_is_summed_in_double_precision() {
        let of = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
        let (large, one) = (of(16_777_216.0), of(1.0));
        let got = mean(&[&large, &one, &one]).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(got[0].to_bits(), (16_777_218.0f32 / 3.0).to_bits());
    }
}
