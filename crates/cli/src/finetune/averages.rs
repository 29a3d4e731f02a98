//! Flags of averages of weights, and of the models and statistics that are kept of a run.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: the averages (`taper_train`).

use clap::Args;
use taper_recipes::FineTuneOptions;

#[derive(Debug, Clone, Copy, Args)]
#[group(skip)]
pub(super) struct AverageFlags {
    /// Evaluate and save an exponential moving average of the weights, which keeps this share of itself a step; 0.999 is usual [default: none]
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    ema: Option<f64>,
    /// Let that average keep its share of the weights that the run begins with, too, from the first step on: few steps stay near to them [default: forgotten at once]
    #[arg(long)]
    no_ema_warmup: bool,
    /// Evaluate and save the mean of the weights of so many of the last epochs, with statistics of norms of its own [default: none]
    #[arg(long, value_name = "EPOCHS")]
    swa: Option<usize>,
    /// At the end save the mean of the best epochs, so many at most, that is no worse with each of them [default: none]
    #[arg(long, value_name = "K")]
    soup: Option<usize>,
    /// Keep the models of the K best epochs in the run's folder, best/epoch-N.safetensors [default: the best one's alone]
    #[arg(long, value_name = "K")]
    keep_best: Option<usize>,
    /// Before evaluating and saving, give norms exact statistics of so many training batches, in the place of moving ones [default: none]
    #[arg(long, value_name = "BATCHES")]
    precise_bn: Option<usize>,
}

impl AverageFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        let Self { ema, swa, soup, keep_best, precise_bn, .. } = self;
        let ema_warmup = !self.no_ema_warmup;
        FineTuneOptions { ema, ema_warmup, swa, soup, keep_best, precise_bn, ..options }
    }
}
