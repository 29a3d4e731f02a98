//! Learning-rate schedules as pure functions of the step.
//!
//! Above: `train`, `recipes`. Below: nothing. Not here: epochs; the unit is optimizer steps, never epochs.
//! Source: cosine: Loshchilov and Hutter 2017, <https://arxiv.org/abs/1608.03983>, one period, no restarts;
//! warm-up: Goyal et al. 2017, <https://arxiv.org/abs/1706.02677>.

use crate::error::{Result, check};

/// A linear warm-up to `peak`, then a decay.
///
/// Of `w` steps of warm-up, the step with index `i` runs at `peak · (i + 1) / w`, so that the first is not wasted and the
/// last is at `peak`, like the first step after it. Beyond the end of a cosine the rate stays at the floor.
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps of linear warm-up. Default 0.
    pub warmup_steps: u64,
    /// What follows the warm-up.
    pub decay: Decay,
}

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// It stays at the peak.
    Constant,
    /// Half a cosine from the peak, at the end of the warm-up, to `floor` at `total_steps`.
    Cosine {
        /// The step at which the floor is reached, warm-up included.
        total_steps: u64,
        /// The last learning rate.
        floor: f64,
    },
    /// Multiplied by `factor` after every `every` steps, counted from the end of the warm-up.
    Step {
        /// Length of a stair, in steps, at least 1.
        every: u64,
        /// What a stair multiplies by.
        factor: f64,
    },
}

impl Schedule {
    /// Stays at `lr`.
    pub fn constant(lr: f64) -> Self {
        Self { peak: lr, warmup_steps: 0, decay: Decay::Constant }
    }

    /// Falls along half a cosine from `lr` to 0 at `total_steps`.
    pub fn cosine(lr: f64, total_steps: u64) -> Self {
        Self { decay: Decay::Cosine { total_steps, floor: 0.0 }, ..Self::constant(lr) }
    }

    /// Multiplies `lr` by `factor` after every `every` steps.
    pub fn step(lr: f64, every: u64, factor: f64) -> Self {
        Self { decay: Decay::Step { every, factor }, ..Self::constant(lr) }
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
        check("lr", self.peak, 0.0..f64::INFINITY, "a finite number, 0 or more")?;
        match self.decay {
            Decay::Constant => Ok(()),
            Decay::Cosine { floor, .. } => {
                check("floor", floor, 0.0..f64::INFINITY, "a finite number, 0 or more")
            }
            Decay::Step { every, factor } => {
                check("every", as_f64(every), 1.0..f64::INFINITY, "1 or more")?;
                check("factor", factor, 0.0..f64::INFINITY, "a finite number, 0 or more")
            }
        }
    }

    /// The learning rate of the step with this index, counted from 0.
    pub fn lr_at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (as_f64(step + 1) / as_f64(self.warmup_steps));
        }
        let since = step - self.warmup_steps;
        match self.decay {
            Decay::Constant => self.peak,
            Decay::Cosine { total_steps, floor } if step >= total_steps => floor,
            Decay::Cosine { total_steps, floor } => {
                let progress = as_f64(since) / as_f64(total_steps - self.warmup_steps);
                floor + (self.peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
            Decay::Step { every, factor } => self.peak * factor.powf(as_f64(since / every.max(1))),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
fn as_f64(steps: u64) -> f64 {
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
    fn a_rate_that_is_no_number_is_refused() {
        assert!(Schedule::constant(f64::NAN).check().is_err());
        assert!(Schedule::cosine(-0.1, 10).check().is_err());
        assert!(Schedule::step(0.1, 0, 0.5).check().is_err());
        assert!(Schedule::cosine(0.1, 10).with_warmup(3).check().is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::default())]
        #[test]
        fn rates_stay_within_bounds_and_meet_at_the_end_of_the_warm_up(
            peak in 1e-4f64..2.0, warmup in 1u64..200, rest in 1u64..2000, kind in 0..3,
        ) {
            let total = warmup + rest;
            let schedule = match kind {
                0 => Schedule::constant(peak),
                1 => Schedule::cosine(peak, total),
                _ => Schedule::step(peak, rest, 0.3),
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
