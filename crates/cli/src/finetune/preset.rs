//! Flags of a set of defaults, by name or by a word of its own.
//!
//! Above: `finetune`. Below: `taper_recipes::Preset`. Not here: what a preset sets (`taper_recipes`).

use clap::Args;
use taper_recipes::{FineTuneOptions, Preset};

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct PresetFlags {
    /// Set of defaults for the options that are not given: a first look, the usual, better for more time, or from random weights
    #[arg(long, value_name = "quick|default|best|scratch", default_value_t = FineTuneOptions::default().preset)]
    preset: Preset,
    /// Short for --preset quick
    #[arg(long, conflicts_with_all = ["preset", "best"])]
    quick: bool,
    /// Short for --preset best
    #[arg(long, conflicts_with = "preset")]
    best: bool,
}

impl PresetFlags {
    /// The one that is meant.
    pub(super) fn preset(&self) -> Preset {
        match self {
            Self { quick: true, .. } => Preset::Quick,
            Self { best: true, .. } => Preset::Best,
            Self { preset, .. } => *preset,
        }
    }
}
