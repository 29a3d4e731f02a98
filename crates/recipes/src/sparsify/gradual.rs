//! Zeros that grow while a network trains, by the cubic schedule.
//!
//! Above: `sparsify`. Below: `taper_prune::{CubicSchedule, Masks}`, `taper_train::Masks`. Not here: zeros that come at once (`sparsify`).
//! Growth is a function of the step and the weights, so that a run that was stopped grows on with the same bits.
//! Sources: shares: Zhu and Gupta 2017, <https://arxiv.org/abs/1710.01878>; patterns that drop one weight after another: sparse structure
//! decay, Kao et al. 2022, <https://arxiv.org/abs/2209.07617>.

use taper_model::Model;
use taper_prune::{CubicSchedule, Masks, Protect, SparseRanking};

use crate::error::Result;
use crate::options::{NOfM, SparsifyOptions, Zeros};
use crate::setup;

/// When zeros grow: after every so many steps, so many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gradual {
    every: u64,
    rounds: usize,
}

impl Gradual {
    /// Over `steps` steps or fewer, after every `every`; none over no steps.
    pub(super) fn over(steps: u64, every: u64) -> Option<Self> {
        if steps == 0 {
            return None;
        }
        let every = every.clamp(1, steps);
        Some(Self { every, rounds: usize::try_from(steps / every).unwrap_or(usize::MAX) })
    }

    /// Steps after which all zeros are there.
    fn settled_after(self) -> u64 {
        self.every * self.rounds as u64
    }

    /// The share of all zeros that comes after so many steps; none where nothing grows.
    fn share_after(self, steps: u64) -> Option<f64> {
        let round = usize::try_from(steps / self.every).ok()?;
        let grows = steps.is_multiple_of(self.every) && (1..=self.rounds).contains(&round);
        let shares = CubicSchedule { start: 0.0, end: 1.0, rounds: self.rounds };
        grows.then(|| shares.at(round))
    }

    /// Takes part in a run.
    pub(super) fn hook<'a>(self, options: &SparsifyOptions) -> taper_train::Masks<'a> {
        let (zeros, protect) = (options.zeros, Protect::names(&options.protect));
        let description = format!(
            "{zeros}, in {} rounds of {} steps, but {:?}",
            self.rounds, self.every, protect.names
        );
        let hook = description.clone();
        let masks = taper_train::Masks::changing(description, move |step, network| {
            let Some(share) = self.share_after(step + 1) else { return Ok(None) };
            let model = network.to_model()?;
            match masks(&zeros, &model, &protect, share) {
                Ok(masks) => Ok(Some(masks.by_name(model.graph()))),
                Err(source) => {
                    let (hook, source) = (hook.clone(), Box::new(source));
                    Err(taper_train::Error::Hook { hook, source })
                }
            }
        });
        masks.settled_after(self.settled_after())
    }
}

/// The masks of a model with a share, from 0 to 1, of all zeros. Those with a larger share have the same zeros and more, where zeros are
/// zero already.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
pub(super) fn masks(zeros: &Zeros, model: &Model, protect: &Protect, share: f64) -> Result<Masks> {
    let masks = match *zeros {
        Zeros::Share { sparsity, ranking } => {
            Masks::by_magnitude(model, protect, ranking, sparsity * share)
        }
        Zeros::NOfM(NOfM { n, m }) => match ((m - n) as f64 * share).round() as usize {
            0 => Masks::by_magnitude(model, protect, SparseRanking::Global, 0.0),
            gone => Masks::n_of_m(model, protect, m - gone, m),
        },
    };
    masks.map_err(setup::prune)
}

#[cfg(test)]
mod tests {
    use taper_model::Preprocess;

    use super::*;

    #[test]
    fn zeros_grow_within_their_steps_fast_and_then_slowly_and_end_at_all_of_them() {
        assert_eq!(Gradual::over(0, 10), None);
        for (steps, every, rounds, settled) in
            [(40, 10, 4, 40), (49, 10, 4, 40), (7, 10, 1, 7), (5, 1, 5, 5), (1, 1, 1, 1)]
        {
            let gradual = Gradual::over(steps, every).unwrap();
            assert_eq!((gradual.rounds, gradual.settled_after()), (rounds, settled));
            let shares: Vec<f64> =
                (0..3 * steps).filter_map(|it| gradual.share_after(it)).collect();
            assert_eq!((shares.len(), *shares.last().unwrap()), (rounds, 1.0));
            assert_eq!(gradual.share_after(settled), Some(1.0));
            let growth: Vec<f64> = shares.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(growth.iter().all(|it| *it > 0.0), "{shares:?}");
            assert!(growth.windows(2).all(|pair| pair[1] < pair[0]), "{shares:?}");
        }
    }

    /// Growing in steps ends with the pattern that was asked for, and no zero comes back.
    #[test]
    fn what_is_zero_stays_zero_while_zeros_grow() {
        let graph = taper_zoo::architecture("mobilenetv2_035").unwrap().graph(6).unwrap();
        let dense = Model::random(graph, 7, Preprocess::imagenet(), vec![]).unwrap();
        let share = |ranking| Zeros::Share { sparsity: 0.8, ranking };
        let all = [
            share(SparseRanking::Global),
            share(SparseRanking::Local),
            share(SparseRanking::Lamp),
            Zeros::NOfM(NOfM { n: 2, m: 4 }),
            Zeros::NOfM(NOfM { n: 1, m: 8 }),
        ];
        let protect = Protect::names(["conv_stem"]);
        for zeros in all {
            let (mut model, mut before) = (dense.clone(), 0);
            for share in [0.3, 0.6, 1.0] {
                let masks = masks(&zeros, &model, &protect, share).unwrap();
                let next = masks.apply(&model).unwrap();
                let came_back = model.tensors().iter().zip(next.tensors()).any(|(old, new)| {
                    old.data.iter().zip(&new.data).any(|(old, new)| *old == 0.0 && *new != 0.0)
                });
                let (gone, _) = masks.zeros();
                assert!(
                    !came_back && gone > 0 && gone >= before,
                    "{zeros} at {share}: {gone} after {before}"
                );
                let after = taper_prune::SparsityReport::of(&next).weights.zeros;
                assert_eq!(after, gone, "{zeros} at {share}");
                (model, before) = (next, gone);
            }
            let at_once = masks(&zeros, &dense, &protect, 1.0).unwrap();
            assert_eq!(at_once.zeros().0, before, "{zeros}");
        }
    }
}
