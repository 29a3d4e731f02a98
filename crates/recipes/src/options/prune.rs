//! What pruning needs to know.
//!
//! Above: `prune`, the binary's flags. Below: `options::fine_tune`, `taper_prune`. Not here: how a plan is made of it (`prune::select`).

use std::path::PathBuf;

use taper_prune::{Criterion, Limits, Normalizer, Ranking, Reduction, Target, check_targets};

use super::{FineTuneOptions, at_least, check_threads, require};
use crate::error::{Error, Result};
use crate::setup;

/// What pruning needs to know.
///
/// ```
/// use taper_recipes::prune::{Amount, Metric, Target};
/// use taper_recipes::prune::PruneOptions;
///
/// let half = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
/// let options = PruneOptions { targets: vec![half], ..PruneOptions::new("mobilenetv2_100") };
/// assert!(options.check().is_ok());
/// assert!(PruneOptions::new("mobilenetv2_100").check().unwrap_err().is_request());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PruneOptions {
    /// What must be left of what. All hold together.
    pub targets: Vec<Target>,
    /// What says how much a channel matters.
    pub criterion: Criterion,
    /// Which channels are compared; [`Ranking::of`] the network when absent.
    pub ranking: Option<Ranking>,
    /// Several parameters of a channel to one number.
    pub reduction: Reduction,
    /// Over the channels of a group.
    pub normalizer: Normalizer,
    /// What every layer keeps.
    pub limits: Limits,
    /// Layers and scopes, by name, whose channels all stay.
    pub protect: Vec<String>,
    /// How much costs count against scores, from 0 to 1.
    pub cost_exponent: f64,
    /// Height and width of the pruned network's images, pixels; as before when absent.
    pub image_size: Option<usize>,
    /// Cut and recover so many times, 1 or more.
    pub rounds: usize,
    /// Passes over the training pictures after the cuts, over all rounds together; 0 to cut only.
    pub recovery_epochs: usize,
    /// Whether the unpruned network teaches the pruned one while it recovers.
    pub distill: bool,
    /// Batches of training pictures that a criterion on data looks at.
    pub evidence_batches: usize,
    /// Batches of training pictures over which the statistics of norms are averaged after a cut; 0 to leave them.
    pub statistics_batches: usize,
    /// Images a batch for latencies, beside a batch of one.
    pub latency_batch: usize,
    /// A calibration of the machine whose latency is meant; this machine's is measured when absent.
    pub calibration: Option<PathBuf>,
    /// Where the model file goes too, beside the one in the run's folder.
    pub file: Option<PathBuf>,
    /// Go on with the run in the folder, which these options began.
    pub resume: bool,
    /// Model, pictures, seed, threads, and how the pruned network is trained; its `epochs` say nothing here, and `out` is this run's folder.
    pub tune: FineTuneOptions,
}

impl PruneOptions {
    /// The learning rate of recovery when none is given.
    pub const LR: f64 = 5e-3;

    /// Everything but a target, which has no default.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            targets: Vec::new(),
            criterion: Criterion::L2,
            ranking: None,
            reduction: Reduction::default(),
            normalizer: Normalizer::default(),
            limits: Limits::default(),
            protect: Vec::new(),
            cost_exponent: 1.0,
            image_size: None,
            rounds: 1,
            recovery_epochs: 10,
            distill: true,
            evidence_batches: 8,
            statistics_batches: 16,
            latency_batch: 32,
            calibration: None,
            file: None,
            resume: false,
            tune: FineTuneOptions { model: model.into(), ..FineTuneOptions::default() },
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] that names the option, what it is and what it must be.
    pub fn check(&self) -> Result<()> {
        if self.targets.is_empty() && self.image_size.is_none() {
            let expected =
                "given, or a target for parameters, size, memory or latency, or an image size";
            return Err(Error::option("target_macs", &"absent", expected));
        }
        if !self.targets.is_empty() {
            check_targets(&self.targets).map_err(setup::prune)?;
        }
        at_least("rounds", self.rounds, 1)?;
        at_least("latency_batch", self.latency_batch, 1)?;
        at_least("evidence_batches", self.evidence_batches, 1)?;
        let (exponent, rounds) = (self.cost_exponent, self.rounds);
        require("cost_exponent", exponent, (0.0..=1.0).contains(&exponent), "from 0 to 1")?;
        if self.recovery_epochs > 0 && rounds > self.recovery_epochs {
            let expected = format!("at most the {} epochs of recovery", self.recovery_epochs);
            return Err(Error::option("rounds", &rounds, expected));
        }
        super::check_size(self.image_size)?;
        check_threads(self.tune.threads)?;
        self.recovery(1).check()
    }

    /// The options with which a round of so many epochs trains.
    pub(crate) fn recovery(&self, epochs: usize) -> FineTuneOptions {
        recovery(&self.tune, epochs, self.distill)
    }
}

/// The options with which a pruned network trains for so many epochs, taught by the one it was or not.
pub(super) fn recovery(tune: &FineTuneOptions, epochs: usize, distill: bool) -> FineTuneOptions {
    FineTuneOptions {
        epochs,
        lr: Some(tune.lr.unwrap_or(PruneOptions::LR)),
        head_epochs: 0,
        // Which network that is, is said when the run begins.
        teacher: distill.then(|| tune.model.clone()),
        ..tune.clone()
    }
}
