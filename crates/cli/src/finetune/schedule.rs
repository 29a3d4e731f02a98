//! Flags of the learning rate over time.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: the highest rate (`finetune::optimizer`), any default but those of [`FineTuneOptions`].

use clap::Args;
use taper_recipes::{FineTuneOptions, Numbers, ScheduleKind};

fn defaults() -> FineTuneOptions {
    FineTuneOptions::default()
}

fn decay_rate_help() -> String {
    let of = |kind: ScheduleKind| kind.decay_rate().unwrap_or(1.0);
    let (step, exponential) = (of(ScheduleKind::Step), of(ScheduleKind::Exponential));
    format!("What a fall multiplies by [default: {step}, for exponential {exponential}]")
}

fn pct_start_help() -> String {
    let default = FineTuneOptions::PCT_START;
    format!("Share of one-cycle in which the rate rises [default: {default}]")
}

fn patience_help() -> String {
    let default = FineTuneOptions::PATIENCE_EPOCHS;
    format!("Epochs that may be no better before plateau falls [default: {default}]")
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct ScheduleFlags {
    /// How the learning rate falls
    #[arg(long, value_name = "cosine|cosine-restarts|one-cycle|step|multi-step|exponential|polynomial|plateau|constant", default_value_t = defaults().schedule)]
    schedule: ScheduleKind,
    /// Steps over which the learning rate rises from 0
    #[arg(long, value_name = "STEPS", default_value_t = defaults().warmup)]
    warmup: u64,
    /// Rate at which cosine, cosine-restarts, polynomial and plateau fall no further [default: 0]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    min_lr: Option<f64>,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = decay_rate_help())]
    decay_rate: Option<f64>,
    /// Epochs from one fall to the next [default: a third of all for step, 1 for exponential]
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    decay_epochs: Option<f64>,
    /// Epochs after which multi-step falls
    #[arg(long, value_name = "EPOCHS,…")]
    decay_milestones: Option<Numbers>,
    /// Epochs of the first of cosine-restarts [default: a third of all]
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    cycle_epochs: Option<f64>,
    /// How many times as long as the one before each of cosine-restarts is [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    cycle_mul: Option<f64>,
    /// What the highest rate of the one before is multiplied by [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    cycle_decay: Option<f64>,
    /// Exponent of polynomial [default: 1]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    power: Option<f64>,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = pct_start_help())]
    pct_start: Option<f64>,
    #[arg(long, value_name = "EPOCHS", help = patience_help())]
    patience_epochs: Option<u64>,
}

impl ScheduleFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        FineTuneOptions {
            schedule: self.schedule,
            warmup: self.warmup,
            min_lr: self.min_lr,
            decay_rate: self.decay_rate,
            decay_epochs: self.decay_epochs,
            decay_milestones: self.decay_milestones,
            cycle_epochs: self.cycle_epochs,
            cycle_mul: self.cycle_mul,
            cycle_decay: self.cycle_decay,
            power: self.power,
            pct_start: self.pct_start,
            patience_epochs: self.patience_epochs,
            ..options
        }
    }
}
