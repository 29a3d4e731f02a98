//! Flags of what lies in a run's folder besides what it needs.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: which folder (`finetune`), the page anew (`report`).

use clap::Args;
use taper_recipes::FineTuneOptions;

#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub(super) struct FilesFlags {
    /// No page about the run, report.html, and no predictions.jsonl
    #[arg(long)]
    no_report: bool,
    /// Event files for `TensorBoard`: tensorboard --logdir RUN
    #[arg(long)]
    tensorboard: bool,
}

impl FilesFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        FineTuneOptions { report: !self.no_report, tensorboard: self.tensorboard, ..options }
    }
}
