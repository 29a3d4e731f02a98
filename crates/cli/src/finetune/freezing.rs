//! Flags of what is trained and from where: frozen parts, gradual unfreezing, batch norms, a new head.
//!
//! Above: `finetune`. Below: `taper_recipes`. Not here: any default but those of [`FineTuneOptions`].

use clap::Args;
use taper_recipes::{FineTuneOptions, Freeze, HeadInit, Norms};

fn defaults() -> FineTuneOptions {
    FineTuneOptions::default()
}

#[derive(Debug, Clone, Args)]
#[group(skip)]
pub(super) struct FreezingFlags {
    /// What is not trained: the backbone, nothing, or everything up to a stage such as blocks.3
    #[arg(long, value_name = "backbone|none|STAGE", default_value_t = defaults().freeze)]
    freeze: Freeze,
    /// Train these stages alone, such as blocks.3,head, and the new classifier
    #[arg(long, value_name = "STAGE,…", conflicts_with = "freeze")]
    train: Option<String>,
    /// Augmented views of each picture of which a frozen backbone computes features once, for epochs to take by turns; 0 for new ones each
    #[arg(long, value_name = "N", default_value_t = defaults().feature_views)]
    feature_views: usize,
    /// What a new classifier begins with: random weights, or mixtures of the pretrained one's, by what that takes the new pictures for [default: pretrained; random with --pretrained none]
    #[arg(long, value_name = "random|pretrained")]
    head_init: Option<HeadInit>,
    /// Epochs after which one more part of the network is trained, from the classifier to the stem [default: all from the first epoch on]
    #[arg(long, value_name = "EPOCHS")]
    unfreeze_every: Option<usize>,
    /// Batch norms are trained, keep what they have, or get the statistics of the training pictures once and keep them [default: freeze; train with --pretrained none, --bn-l1, --precise-bn and --sync-bn]
    #[arg(long, value_name = "train|freeze|recalibrate")]
    norms: Option<Norms>,
}

impl FreezingFlags {
    /// The same options with what these flags say.
    pub(super) fn into_options(self, options: FineTuneOptions) -> FineTuneOptions {
        FineTuneOptions {
            freeze: self.train.map_or(self.freeze, |names| Freeze::all_but(&names)),
            feature_views: self.feature_views,
            head_init: self.head_init,
            unfreeze_every: self.unfreeze_every,
            norms: self.norms,
            ..options
        }
    }
}
