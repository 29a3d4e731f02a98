//! Flags of what a run may hold in memory.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: how much a run needs (`taper_recipes`).

use clap::Args;
use taper_recipes::{FineTuneOptions, parse_bytes};

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct MemoryFlags {
    /// Keep little of the forward pass and compute it again in the backward pass: the same result from less memory, in more time
    #[arg(long)]
    pub(super) grad_checkpointing: bool,
    /// Memory that the process may take, such as 1GiB: where it would take more, it checkpoints gradients, and then cuts each step into
    /// shards, as many as needed; with --resume the shards stay what they are [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(super) memory: Option<u64>,
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.to_string())
}

impl MemoryFlags {
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        let Self { grad_checkpointing, memory } = self;
        FineTuneOptions { grad_checkpointing, memory, ..options }
    }
}
