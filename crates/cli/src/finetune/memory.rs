//! Flags of what a run holds in memory.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: how much a network needs (`taper cost`).

use clap::Args;
use taper_recipes::FineTuneOptions;

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct MemoryFlags {
    /// Keep little of the forward pass and compute it again in the backward pass: the same result from less memory, in more time
    #[arg(long)]
    pub(super) grad_checkpointing: bool,
}

impl MemoryFlags {
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        let Self { grad_checkpointing } = self;
        FineTuneOptions { grad_checkpointing, ..options }
    }
}
