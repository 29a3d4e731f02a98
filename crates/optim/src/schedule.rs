//! Learning-rate schedules as pure functions of the step.
//!
//! Above: `train`, `recipes`. Below: `plateau`. Not here: epochs; the unit is optimizer steps, never epochs.
//! Source: cosine and restarts: Loshchilov and Hutter 2017, <https://arxiv.org/abs/1608.03983>; one cycle: Smith and Topin 2017,
//! <https://arxiv.org/abs/1708.07120>; warm-up: Goyal et al. 2017, <https://arxiv.org/abs/1706.02677>; all as PyTorch's schedulers.

use std::f64::consts::PI;

use crate::Plateau;
use crate::error::{Result, check};
use crate::plateau::Scores;

/// A linear warm-up to `peak`, then a decay.
///
/// Of `w` steps of warm-up, the step with index `i` runs at `peak · (i + 1) / w`, so that the first is not wasted and the
/// last is at `peak`, like the first step after it. What falls to a floor stays there beyond its end.
///
/// # Numerics
/// Agrees with PyTorch's schedulers within 1e-12 of the peak (`tests/golden.rs`).
///
/// # Examples
/// ```
/// use taper_optim::Schedule;
/// let schedule = Schedule::cosine(1.0, 100).with_warmup(10);
/// assert_eq!((schedule.lr_at(0), schedule.lr_at(10), schedule.lr_at(100)), (0.1, 1.0, 0.0));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps of linear warm-up. Default 0.
    pub warmup_steps: u64,
    /// What follows the warm-up.
    pub decay: Decay,
}

/// How the learning rate changes after the warm-up. `t` counts steps from the warm-up's end, `T` is what is left of the total then.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// It stays at the peak.
    Constant,
    /// Half a cosine from the peak, at the end of the warm-up, to `floor` at `total_steps`:
    /// `floor + (peak − floor)(1 + cos(π·t / T)) / 2`.
    Cosine {
        /// The step at which the floor is reached, warm-up included.
        total_steps: u64,
        /// The last learning rate.
        floor: f64,
    },
    /// Half a cosine again and again: each is `longer` times as long as the one before, and begins at `lower` times its peak. 1 for both are
    /// PyTorch's `CosineAnnealingWarmRestarts`.
    CosineRestarts {
        /// Steps of the first, 1 or more.
        period: u64,
        /// What a length is multiplied by, 1 or more.
        longer: f64,
        /// What a peak is multiplied by, from 0 to 1.
        lower: f64,
        /// Where each ends.
        floor: f64,
    },
    /// Up from `peak / 25` to the peak over a share of the steps and down to `peak / 250 000` at the last, along half cosines. It has a warm-up
    /// of its own: one of [`Schedule::with_warmup`] is left out.
    OneCycle {
        /// Steps of the whole, 2 or more.
        total_steps: u64,
        /// The share that goes up, in `(0, 1)`.
        rising: f64,
    },
    /// Multiplied by `factor` after every `every` steps: `peak · factor^⌊t / every⌋`.
    Step {
        /// Length of a stair, in steps, at least 1.
        every: u64,
        /// What a stair multiplies by.
        factor: f64,
    },
    /// Multiplied by `factor` at each of some steps.
    MultiStep {
        /// The steps, counted from the beginning of the warm-up.
        at: Vec<u64>,
        /// What each multiplies by.
        factor: f64,
    },
    /// Multiplied by `factor` after each step: `peak · factorᵗ`.
    Exponential {
        /// What a step multiplies by.
        factor: f64,
    },
    /// A power of what is left: `floor + (peak − floor)(1 − t / T)^power`.
    Polynomial {
        /// The step at which the floor is reached, warm-up included.
        total_steps: u64,
        /// The exponent, above 0; 1 is a line.
        power: f64,
        /// The last learning rate.
        floor: f64,
    },
    /// Multiplied by a factor whenever scores do not get better any more: see [`Schedule::lr_after`].
    Plateau(Plateau),
}

/// What the first and the last rate of one cycle are smaller than the peak: PyTorch's `div_factor` and, of the first, `final_div_factor`.
const RISE: f64 = 25.0;
const FALL: f64 = 1e4;

impl Schedule {
    /// Any decay from `lr`, without warm-up.
    pub fn new(lr: f64, decay: Decay) -> Self {
        Self { peak: lr, warmup_steps: 0, decay }
    }

    /// Stays at `lr`.
    pub fn constant(lr: f64) -> Self {
        Self::new(lr, Decay::Constant)
    }

    /// Falls along half a cosine from `lr` to 0 at `total_steps`.
    pub fn cosine(lr: f64, total_steps: u64) -> Self {
        Self::new(lr, Decay::Cosine { total_steps, floor: 0.0 })
    }

    /// Multiplies `lr` by `factor` after every `every` steps.
    pub fn step(lr: f64, every: u64, factor: f64) -> Self {
        Self::new(lr, Decay::Step { every, factor })
    }

    /// Puts a linear warm-up of `steps` steps in front; a cosine's end stays where it is.
    #[must_use]
    pub fn with_warmup(mut self, steps: u64) -> Self {
        self.warmup_steps = steps;
        self
    }

    /// Refuses rates and factors outside their range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) with the field's name.
    pub fn check(&self) -> Result<()> {
        let finite =
            |name, value| check(name, value, 0.0..f64::INFINITY, "a finite number, 0 or more");
        let at_least = |name, value, least, words| check(name, value, least..f64::INFINITY, words);
        finite("lr", self.peak)?;
        match &self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { floor, .. } => finite("floor", *floor),
            Decay::CosineRestarts { period, longer, lower, floor } => {
                at_least("period", as_f64(*period), 1.0, "1 or more")?;
                at_least("longer", *longer, 1.0, "a finite number, 1 or more")?;
                check("lower", *lower, 0.0..1.0 + f64::EPSILON, "a number from 0 to 1")?;
                finite("floor", *floor)
            }
            Decay::OneCycle { total_steps, rising } => {
                at_least("total_steps", as_f64(*total_steps), 2.0, "2 or more")?;
                let within = f64::MIN_POSITIVE..1.0;
                check("rising", *rising, within, "between 0 and 1, both excluded")
            }
            Decay::Step { every, factor } => {
                at_least("every", as_f64(*every), 1.0, "1 or more")?;
                finite("factor", *factor)
            }
            Decay::MultiStep { factor, .. } | Decay::Exponential { factor } => {
                finite("factor", *factor)
            }
            Decay::Polynomial { power, floor, .. } => {
                at_least("power", *power, f64::MIN_POSITIVE, "a number above 0")?;
                finite("floor", *floor)
            }
            Decay::Plateau(plateau) => plateau.check(),
        }
    }

    /// The learning rate of the step with this index, counted from 0; of a plateau, as long as there are no scores.
    pub fn lr_at(&self, step: u64) -> f64 {
        self.lr_after(step, Scores::NONE)
    }

    /// The learning rate of the step with this index, counted from 0, after evaluations with these scores: only
    /// [`Decay::Plateau`] looks at them.
    ///
    /// # Examples
    /// ```
    /// use taper_optim::{Better, Decay, Plateau, Schedule, Scores};
    /// let plateau = Plateau { factor: 0.5, patience: 1, ..Plateau::default() };
    /// let schedule = Schedule::new(1.0, Decay::Plateau(plateau));
    /// let rate = |values: &[f64]| schedule.lr_after(100, Scores { values, better: Better::Higher });
    /// assert_eq!([rate(&[0.7]), rate(&[0.7, 0.6]), rate(&[0.7, 0.6, 0.7])], [1.0, 1.0, 0.5]);
    /// ```
    pub fn lr_after(&self, step: u64, scores: Scores<'_>) -> f64 {
        let Self { peak, warmup_steps, .. } = *self;
        if let Decay::OneCycle { total_steps, rising } = self.decay {
            return one_cycle(peak, step, total_steps, rising);
        }
        if step < warmup_steps {
            return peak * (as_f64(step + 1) / as_f64(warmup_steps));
        }
        let since = step - warmup_steps;
        let share = |total_steps: u64| as_f64(since) / as_f64(total_steps - warmup_steps);
        match &self.decay {
            Decay::Constant | Decay::OneCycle { .. } => peak,
            Decay::Cosine { total_steps, floor } | Decay::Polynomial { total_steps, floor, .. }
                if step >= *total_steps =>
            {
                *floor
            }
            Decay::Cosine { total_steps, floor } => cosine(peak, *floor, share(*total_steps)),
            Decay::CosineRestarts { period, longer, lower, floor } => {
                let (turn, share) = turn_of(since, *period, *longer);
                cosine(peak * lower.powf(turn), *floor, share)
            }
            Decay::Step { every, factor } => peak * factor.powf(as_f64(since / (*every).max(1))),
            Decay::MultiStep { at, factor } => {
                peak * at.iter().filter(|&&at| step >= at).fold(1.0, |product, _| product * factor)
            }
            Decay::Exponential { factor } => peak * factor.powf(as_f64(since)),
            Decay::Polynomial { total_steps, power, floor } => {
                floor + (peak - floor) * (1.0 - share(*total_steps)).powf(*power)
            }
            Decay::Plateau(plateau) => plateau.lr_after(peak, scores),
        }
    }
}

/// Half a cosine from one rate to another.
fn cosine(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (PI * share).cos())
}

/// Which of turns that get longer a step is in, counted from 0, and how far it has come in it.
fn turn_of(since: u64, period: u64, longer: f64) -> (f64, f64) {
    let (period, since) = (as_f64(period.max(1)), as_f64(since));
    if longer <= 1.0 {
        let turn = (since / period).floor();
        return (turn, since / period - turn);
    }
    let (mut turn, mut begin, mut length) = (0.0, 0.0, period);
    while since >= begin + length {
        (turn, begin, length) = (turn + 1.0, begin + length, length * longer);
    }
    (turn, (since - begin) / length)
}

/// PyTorch's `OneCycleLR` with two phases: the peak may lie between two steps.
fn one_cycle(peak: f64, step: u64, total_steps: u64, rising: f64) -> f64 {
    let (step, last) = (as_f64(step), as_f64(total_steps) - 1.0);
    let (first, top) = (peak / RISE, rising * as_f64(total_steps) - 1.0);
    match step <= top {
        true if top > 0.0 => cosine(first, peak, step / top),
        true => peak,
        false => cosine(peak, first / FALL, ((step - top) / (last - top)).min(1.0)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
pub(crate) fn as_f64(steps: u64) -> f64 {
    steps as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cosine_is_at_half_its_height_in_the_middle() {
        let schedule = Schedule::cosine(1.0, 100);
        assert!((schedule.lr_at(50) - 0.5).abs() < 1e-12);
        assert!((schedule.lr_at(25) - 0.853_553_390_593_273_8).abs() < 1e-12);
        assert!(schedule.lr_at(1000) == 0.0);
    }

    #[test]
    fn stairs_fall_after_every_stretch_and_count_from_the_end_of_the_warm_up() {
        let schedule = Schedule::step(0.8, 30, 0.5).with_warmup(5);
        let rates = [5, 34, 35, 64, 65].map(|step| schedule.lr_at(step));
        for (rate, expected) in rates.iter().zip([0.8, 0.8, 0.4, 0.4, 0.2]) {
            assert!((rate - expected).abs() < 1e-15, "{rates:?}");
        }
    }

    #[test]
    fn a_warm_up_longer_than_the_cosine_ends_at_the_floor() {
        let schedule = Schedule::cosine(1.0, 5).with_warmup(10);
        assert!(schedule.lr_at(8) < 1.0 && schedule.lr_at(10) == 0.0);
    }

    #[test]
    fn each_restart_is_longer_and_lower_than_the_one_before() {
        let decay = Decay::CosineRestarts { period: 10, longer: 2.0, lower: 0.5, floor: 0.0 };
        let schedule = Schedule::new(1.0, decay);
        for (step, expected) in [(0, 1.0), (5, 0.5), (10, 0.5), (20, 0.25), (30, 0.25), (70, 0.125)]
        {
            assert!((schedule.lr_at(step) - expected).abs() < 1e-12, "{step}");
        }
    }

    #[test]
    fn one_cycle_ends_at_its_least_rate_and_stays_there_and_has_a_warm_up_of_its_own() {
        let schedule = Schedule::new(1.0, Decay::OneCycle { total_steps: 100, rising: 0.3 });
        assert!(
            (schedule.lr_at(0) - 0.04).abs() < 1e-12 && (schedule.lr_at(29) - 1.0).abs() < 1e-12
        );
        assert!(
            (schedule.lr_at(99) - 4e-6).abs() < 1e-12 && (schedule.lr_at(500) - 4e-6).abs() < 1e-12
        );
        assert!((schedule.clone().with_warmup(10).lr_at(3) - schedule.lr_at(3)).abs() < 1e-15);
        let short = Schedule::new(1.0, Decay::OneCycle { total_steps: 2, rising: 0.3 });
        assert!(short.lr_at(0).is_finite() && short.lr_at(1).is_finite());
    }

    #[test]
    fn a_rate_that_is_no_number_is_refused() {
        let refused = |decay| Schedule::new(0.1, decay).check().is_err();
        assert!(refused(Decay::OneCycle { total_steps: 1, rising: 0.3 }));
        assert!(refused(Decay::OneCycle { total_steps: 10, rising: 1.0 }));
        assert!(refused(Decay::Polynomial { total_steps: 10, power: 0.0, floor: 0.0 }));
        let (longer, lower) = (0.5, 1.0);
        assert!(refused(Decay::CosineRestarts { period: 10, longer, lower, floor: 0.0 }));
        assert!(refused(Decay::Exponential { factor: f64::NAN }));
        assert!(Schedule::constant(f64::NAN).check().is_err());
        assert!(Schedule::cosine(-0.1, 10).check().is_err());
        assert!(Schedule::step(0.1, 0, 0.5).check().is_err());
        assert!(Schedule::cosine(0.1, 10).with_warmup(3).check().is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn rates_stay_within_bounds_and_meet_at_the_end_of_the_warm_up(
            peak in 1e-4f64..2.0, warmup in 1u64..200, rest in 1u64..2000, kind in 0..7,
        ) {
            let total = warmup + rest;
            let restarts = Decay::CosineRestarts { period: rest, longer: 1.5, lower: 0.9, floor: 0.0 };
            let schedule = match kind {
                0 => Schedule::constant(peak),
                1 => Schedule::cosine(peak, total),
                2 => Schedule::step(peak, rest, 0.3),
                3 => Schedule::new(peak, restarts),
                4 => Schedule::new(peak, Decay::MultiStep { at: vec![total, warmup + 1], factor: 0.5 }),
                5 => Schedule::new(peak, Decay::Exponential { factor: 0.99 }),
                _ => Schedule::new(peak, Decay::Polynomial { total_steps: total, power: 2.0, floor: 0.0 }),
            }.with_warmup(warmup);
            prop_assert!(schedule.check().is_ok());
            prop_assert!((schedule.lr_at(warmup) - peak).abs() < 1e-12 * peak);
            let stride = peak / as_f64(warmup);
            prop_assert!((schedule.lr_at(warmup) - schedule.lr_at(warmup - 1)).abs() < 1e-12 * peak);
            prop_assert!((schedule.lr_at(0) - stride).abs() < 1e-12 * peak);
            for step in (0..total + 10).step_by(7) {
                prop_assert!((0.0..=peak).contains(&schedule.lr_at(step)));
            }
        }
    }
}
