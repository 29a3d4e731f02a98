//! Flags of the optimizer: its rule and numbers, weight decay, clipping.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: rates over time (`finetune::schedule`), any default but those of [`FineTuneOptions`].

use std::str::FromStr;

use clap::Args;
use taper_recipes::{FineTuneOptions, Freeze, Numbers, OptimizerKind};

fn defaults() -> FineTuneOptions {
    FineTuneOptions::default()
}

/// The learning rates there are when none is given, for `--help`.
fn lr_help() -> String {
    let lr = FineTuneOptions::default_lr;
    let both = |kind| (lr(kind, &Freeze::None), lr(kind, &Freeze::Backbone));
    let (sgd, adamw) = (both(OptimizerKind::Sgd), both(OptimizerKind::AdamW));
    format!(
        "Highest learning rate, or auto: found by a range test before the run [default: {} for sgd, {} with a frozen backbone; {} and {} for adamw; of the others in proportion to adamw]",
        sgd.0, sgd.1, adamw.0, adamw.1
    )
}

/// Words of the optimizers that have such a number, with the number.
fn defaults_help<T: std::fmt::Display>(
    what: &str,
    of: impl Fn(OptimizerKind) -> Option<T>,
) -> String {
    let words = OptimizerKind::WORDS.iter();
    let kinds = words.filter_map(|word| {
        let number = word.parse().ok().and_then(&of)?;
        Some(format!("{number} for {word}"))
    });
    format!("{what} [default: {}]", kinds.collect::<Vec<_>>().join(", "))
}

/// What was asked for.
#[derive(Debug, Clone, Copy)]
enum LrFlag {
    Auto,
    Is(f64),
}

impl FromStr for LrFlag {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            number => number
                .parse()
                .map(Self::Is)
                .map_err(|error| format!("{error}: expected a number, or auto")),
        }
    }
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct OptimizerFlags {
    #[arg(long, value_name = "F|auto", allow_negative_numbers = true, help = lr_help())]
    lr: Option<LrFlag>,
    /// Rule of a step
    #[arg(long, value_name = "sgd|adam|adamw|nadam|rmsprop|rmsprop-tf|lamb|lion|adan|muon", default_value_t = defaults().optimizer)]
    optimizer: OptimizerKind,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = defaults_help("Momentum", OptimizerKind::momentum))]
    momentum: Option<f64>,
    #[arg(long, value_name = "F,F", help = defaults_help("Decay rates of moments", OptimizerKind::betas))]
    betas: Option<Numbers>,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = defaults_help("What keeps a divisor from 0", OptimizerKind::eps))]
    eps: Option<f64>,
    #[arg(long, value_name = "F", allow_negative_numbers = true, help = defaults_help("Decay rate of the mean square", OptimizerKind::alpha))]
    alpha: Option<f64>,
    /// Nesterov's momentum for sgd
    #[arg(long)]
    nesterov: bool,
    /// Steps after which the weights go half of their way back; 6 is usual [default: none]
    #[arg(long, value_name = "STEPS")]
    lookahead: Option<u64>,
    /// Weight decay; norms and biases have none
    #[arg(long, value_name = "F", allow_negative_numbers = true, default_value_t = defaults().weight_decay)]
    weight_decay: f64,
    /// Factor on the learning rate of each block against the one behind it, so that the first layers move least; 0.75 is usual [default: none]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    layer_decay: Option<f64>,
    /// Largest norm of all gradients together, 0 for no limit [default: 1 where layers are trained, norms are not, and no other clipping is given; else no limit]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// Largest value of a gradient [default: no limit]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    clip_value: Option<f64>,
    /// Largest norm of a filter's gradient as a share of the filter's own; 0.01 is usual [default: no limit]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    agc: Option<f64>,
}

impl OptimizerFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        FineTuneOptions {
            lr: match self.lr {
                Some(LrFlag::Is(lr)) => Some(lr),
                Some(LrFlag::Auto) | None => None,
            },
            lr_auto: matches!(self.lr, Some(LrFlag::Auto)),
            optimizer: self.optimizer,
            momentum: self.momentum,
            betas: self.betas,
            eps: self.eps,
            alpha: self.alpha,
            nesterov: self.nesterov,
            lookahead: self.lookahead,
            weight_decay: self.weight_decay,
            layer_decay: self.layer_decay,
            clip_norm: self.clip_norm,
            clip_value: self.clip_value,
            agc: self.agc,
            ..options
        }
    }
}
