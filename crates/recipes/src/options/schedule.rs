//! What each schedule takes, its defaults, and the schedule itself.
//!
//! Above: `options::fine_tune`, `setup`. Below: `taper_optim::Schedule`. Not here: rates over steps (`taper_optim`).

use taper_optim::{Decay, Plateau, Schedule};

use super::choice::ScheduleKind;
use super::{FineTuneOptions, require};
use crate::error::{Error, Result};

impl ScheduleKind {
    /// What a fall multiplies by when nothing is given: PyTorch's, of an exponential, which falls every epoch, that of Tan and Le 2019,
    /// <https://arxiv.org/abs/1905.11946>. None of a schedule that does not fall so.
    pub fn decay_rate(self) -> Option<f64> {
        match self {
            Self::Step | Self::MultiStep | Self::Plateau => Some(0.1),
            Self::Exponential => Some(0.97),
            Self::Cosine | Self::CosineRestarts | Self::OneCycle => None,
            Self::Polynomial | Self::Constant => None,
        }
    }

    /// The options that this schedule looks at, besides rate and warm-up.
    fn takes(self) -> &'static [&'static str] {
        match self {
            Self::Cosine => &["min_lr"],
            Self::CosineRestarts => &["min_lr", "cycle_epochs", "cycle_mul", "cycle_decay"],
            Self::OneCycle => &["pct_start"],
            Self::Step | Self::Exponential => &["decay_rate", "decay_epochs"],
            Self::MultiStep => &["decay_rate", "decay_milestones"],
            Self::Polynomial => &["min_lr", "power"],
            Self::Plateau => &["min_lr", "decay_rate", "patience_epochs"],
            Self::Constant => &[],
        }
    }
}

impl FineTuneOptions {
    /// The share of one cycle in which the rate rises when none is given: PyTorch's.
    pub const PCT_START: f64 = 0.3;

    /// Epochs that may be no better when nothing is given: a run of some ten epochs leaves no room for PyTorch's 10.
    pub const PATIENCE_EPOCHS: u64 = 2;

    /// The learning rate over all `steps`, of which an epoch has so many.
    pub(crate) fn lr_schedule(&self, steps: u64, steps_per_epoch: usize) -> Schedule {
        let kind = self.schedule;
        let floor = self.min_lr.unwrap_or(0.0);
        let factor = self.decay_rate.or(kind.decay_rate()).unwrap_or(1.0);
        let third = steps.div_ceil(3).max(1);
        let in_steps = |epochs: f64| as_steps(epochs * as_f64(steps_per_epoch as u64));
        let every = |epochs: Option<f64>, default| epochs.map_or(default, in_steps).max(1);
        let decay = match kind {
            ScheduleKind::Constant => Decay::Constant,
            ScheduleKind::Cosine => Decay::Cosine { total_steps: steps, floor },
            ScheduleKind::CosineRestarts => Decay::CosineRestarts {
                period: every(self.cycle_epochs, third),
                longer: self.cycle_mul.unwrap_or(1.0),
                lower: self.cycle_decay.unwrap_or(1.0),
                floor,
            },
            ScheduleKind::OneCycle => Decay::OneCycle {
                total_steps: steps.max(2),
                rising: self.pct_start.unwrap_or(Self::PCT_START),
            },
            ScheduleKind::Step => Decay::Step { every: every(self.decay_epochs, third), factor },
            ScheduleKind::MultiStep => {
                let milestones = self.decay_milestones.iter().flat_map(|numbers| &numbers.0);
                Decay::MultiStep {
                    at: milestones.map(|&epochs| in_steps(epochs)).collect(),
                    factor,
                }
            }
            ScheduleKind::Exponential => {
                let every = self.decay_epochs.unwrap_or(1.0) * as_f64(steps_per_epoch as u64);
                Decay::Exponential { factor: factor.powf(1.0 / every.max(1.0)) }
            }
            ScheduleKind::Polynomial => {
                Decay::Polynomial { total_steps: steps, power: self.power.unwrap_or(1.0), floor }
            }
            ScheduleKind::Plateau => {
                let patience = self.patience_epochs.unwrap_or(Self::PATIENCE_EPOCHS);
                Decay::Plateau(Plateau { factor, patience, floor, ..Plateau::default() })
            }
        };
        Schedule::new(self.peak_lr(), decay).with_warmup(self.warmup)
    }

    /// Refuses what the schedule does not look at, and numbers outside of their range.
    pub(super) fn check_schedule(&self) -> Result<()> {
        let kind = self.schedule;
        let is_taken = |field: &'static str, value: &dyn std::fmt::Display| {
            if kind.takes().contains(&field) {
                return Ok(());
            }
            let expected = format!("absent with `schedule` {kind}, which does not look at it");
            Err(Error::option(field, &value, expected))
        };
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let open = |value: f64| value > 0.0 && value < 1.0;
        let numbers: [(_, _, &dyn Fn(f64) -> bool, _); 8] = [
            ("min_lr", self.min_lr, &|value| value.is_finite() && value >= 0.0, "0 or more"),
            ("decay_rate", self.decay_rate, &open, "between 0 and 1, both excluded"),
            ("decay_epochs", self.decay_epochs, &positive, "a positive number"),
            ("cycle_epochs", self.cycle_epochs, &positive, "a positive number"),
            ("cycle_mul", self.cycle_mul, &|value| value.is_finite() && value >= 1.0, "1 or more"),
            (
                "cycle_decay",
                self.cycle_decay,
                &|value| value > 0.0 && value <= 1.0,
                "above 0 and at most 1",
            ),
            ("power", self.power, &positive, "a positive number"),
            ("pct_start", self.pct_start, &open, "between 0 and 1, both excluded"),
        ];
        for (field, value, holds, expected) in numbers {
            let Some(value) = value else { continue };
            is_taken(field, &value)?;
            require(field, value, holds(value), expected)?;
        }
        if let Some(least) = self.min_lr {
            let most = self.peak_lr();
            require("min_lr", least, least <= most, &format!("at most the `lr` of {most}"))?;
        }
        if let Some(epochs) = self.patience_epochs {
            is_taken("patience_epochs", &epochs)?;
        }
        match &self.decay_milestones {
            Some(epochs) => {
                is_taken("decay_milestones", epochs)?;
                if epochs.0.iter().all(|&epochs| positive(epochs)) {
                    return Ok(());
                }
                Err(Error::option("decay_milestones", epochs, "positive numbers of epochs"))
            }
            None if kind == ScheduleKind::MultiStep => {
                let expected = "given with `schedule` multi-step: the epochs after which the rate falls, such as 30,60";
                Err(Error::option("decay_milestones", &"absent", expected))
            }
            None => Ok(()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "step counts stay far below 2^53")]
fn as_f64(steps: u64) -> f64 {
    steps as f64
}

/// Epochs have parts; steps are whole. As many as can be are more than any run has.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn as_steps(steps: f64) -> u64 {
    steps.round().clamp(0.0, 1e15) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Numbers;

    fn options(schedule: ScheduleKind) -> FineTuneOptions {
        FineTuneOptions { schedule, lr: Some(1.0), warmup: 0, ..FineTuneOptions::default() }
    }

    fn close(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-12, "{got} {expected}");
    }

    fn at_steps(schedule: &Schedule, expected: &[(u64, f64)]) {
        expected.iter().for_each(|&(at, lr)| close(schedule.lr_at(at), lr));
    }

    #[test]
    fn every_schedule_begins_with_the_warm_up_but_one_cycle_which_has_its_own() {
        for word in ScheduleKind::WORDS {
            let kind: ScheduleKind = word.parse().unwrap();
            let milestones = (kind == ScheduleKind::MultiStep).then(|| Numbers(vec![3.0]));
            let options =
                FineTuneOptions { warmup: 10, decay_milestones: milestones, ..options(kind) };
            options.check().unwrap();
            let schedule = options.lr_schedule(100, 20);
            schedule.check().unwrap();
            assert!(schedule.lr_at(0) < 0.5, "{word}");
            let top = if kind == ScheduleKind::OneCycle { 29 } else { 10 };
            close(schedule.lr_at(top), 1.0);
        }
    }

    #[test]
    fn stairs_go_down_twice_or_as_often_as_is_said() {
        let schedule = options(ScheduleKind::Step).lr_schedule(90, 9);
        at_steps(&schedule, &[(29, 1.0), (30, 0.1), (60, 0.01), (89, 0.01)]);
        let said = FineTuneOptions {
            decay_epochs: Some(2.0),
            decay_rate: Some(0.5),
            ..options(ScheduleKind::Step)
        };
        let schedule = said.lr_schedule(90, 9);
        at_steps(&schedule, &[(17, 1.0), (18, 0.5), (36, 0.25)]);
    }

    #[test]
    fn epochs_become_steps() {
        let restarts = FineTuneOptions {
            cycle_epochs: Some(2.0),
            cycle_mul: Some(2.0),
            cycle_decay: Some(0.5),
            min_lr: Some(0.1),
            ..options(ScheduleKind::CosineRestarts)
        };
        let schedule = restarts.lr_schedule(100, 10);
        at_steps(&schedule, &[(0, 1.0), (10, 0.55), (20, 0.5), (60, 0.25)]);
        let exponential = options(ScheduleKind::Exponential).lr_schedule(100, 10);
        close(exponential.lr_at(30), 0.97f64.powi(3));
        let milestones = FineTuneOptions {
            decay_milestones: Some(Numbers(vec![1.5, 4.0])),
            ..options(ScheduleKind::MultiStep)
        };
        let schedule = milestones.lr_schedule(100, 10);
        at_steps(&schedule, &[(14, 1.0), (15, 0.1), (40, 0.01)]);
    }

    #[test]
    fn what_a_schedule_does_not_look_at_is_refused_with_both_names() {
        let refused = |options: FineTuneOptions| options.check().unwrap_err().to_string();
        let given = FineTuneOptions { power: Some(2.0), ..options(ScheduleKind::Cosine) };
        assert_eq!(
            refused(given),
            "`power` is 2, it must be absent with `schedule` cosine, which does not look at it"
        );
        let missing = refused(options(ScheduleKind::MultiStep));
        assert!(
            missing.starts_with("`decay_milestones` is absent, it must be given with"),
            "{missing}"
        );
        let high = FineTuneOptions { min_lr: Some(2.0), ..options(ScheduleKind::Cosine) };
        assert_eq!(refused(high), "`min_lr` is 2, it must be at most the `lr` of 1");
        let odd = FineTuneOptions { decay_rate: Some(1.0), ..options(ScheduleKind::Step) };
        assert!(refused(odd).starts_with("`decay_rate` is 1"));
    }
}
