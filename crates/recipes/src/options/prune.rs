//! What pruning needs to know.
//!
//! Above: `prune`, the binary's flags. Below: `options::fine_tune`, `taper_prune`. Not here: how a plan is made of it (`prune::select`).

use std::path::PathBuf;

use taper_graph::Graph;
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
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct PruneOptions {
    /// What must be left of what. All hold together.
    pub targets: Vec<Target>,
    /// What says how much a channel matters; [`PruneOptions::resolved`] says which when absent.
    pub criterion: Option<Criterion>,
    /// Which channels are compared; [`PruneOptions::ranking`] when absent.
    pub ranking: Option<Ranking>,
    /// Several parameters of a channel to one number; [`PruneOptions::reduction`] when absent.
    pub reduction: Option<Reduction>,
    /// What scores are divided by in a group; [`PruneOptions::normalizer`] when absent.
    pub normalizer: Option<Normalizer>,
    /// What every layer keeps.
    pub limits: Limits,
    /// Layers and scopes, by name, whose channels all stay.
    pub protect: Vec<String>,
    /// How much costs count against scores, from 0 to 1.
    pub cost_exponent: f64,
    /// Height and width of the pruned network's images, pixels; as before when absent.
    pub image_size: Option<usize>,
    /// Whether smaller images may be a part of the budget, if training pictures say that they lose less than channels do.
    pub allow_image_size: bool,
    /// Whether whole residual blocks may go, likewise.
    pub allow_depth: bool,
    /// Cut and recover so many times, 1 or more; [`PruneOptions::resolved`] says how often when absent.
    pub rounds: Option<usize>,
    /// Passes over the training pictures after the cuts, over all rounds together; 0 to cut only.
    pub recovery_epochs: usize,
    /// Whether the unpruned network teaches the pruned one while it recovers.
    pub distill: bool,
    /// Whether layers that lost inputs are fitted to what they computed with all of them, over as many batches as a criterion looks at.
    pub reconstruct: bool,
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
    pub const LR: f64 = 1e-3;

    /// Rounds when none are given and there are as many epochs.
    pub const ROUNDS: usize = 1;

    /// The largest share of its channels that a layer loses as long as the targets can be met so, below [`Limits::most_cut`].
    pub const GENTLE_CUT: f64 = 0.6;

    /// Everything but a target, which has no default.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            targets: Vec::new(),
            criterion: None,
            ranking: None,
            reduction: None,
            normalizer: None,
            limits: Limits::default(),
            protect: Vec::new(),
            cost_exponent: 1.0,
            image_size: None,
            allow_image_size: false,
            allow_depth: false,
            rounds: None,
            recovery_epochs: 10,
            distill: true,
            reconstruct: true,
            evidence_batches: 8,
            statistics_batches: 16,
            latency_batch: 32,
            calibration: None,
            file: None,
            resume: false,
            tune: FineTuneOptions { model: model.into(), ..FineTuneOptions::default() },
        }
    }

    /// The same request with what depends on whether there are pictures filled in: the criterion, by pictures if there are any and otherwise
    /// by the weights alone, and the rounds.
    #[must_use]
    pub fn resolved(&self, has_pictures: bool) -> Self {
        let criterion = if has_pictures { Criterion::Fisher } else { Criterion::L2 };
        let rounds = if has_pictures { self.recovery_epochs.clamp(1, Self::ROUNDS) } else { 1 };
        Self {
            criterion: Some(self.criterion.unwrap_or(criterion)),
            rounds: Some(self.rounds.unwrap_or(rounds)),
            ..self.clone()
        }
    }

    /// The criterion, [`resolved`](Self::resolved) or as without pictures.
    pub fn criterion(&self) -> Criterion {
        self.criterion.unwrap_or(Criterion::L2)
    }

    /// How often is cut, [`resolved`](Self::resolved) or as without pictures.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(1)
    }

    /// Whether scores say what the loss would do.
    fn is_change(&self) -> bool {
        self.criterion().needs_data() && self.criterion() != Criterion::Activation
    }

    /// What becomes of the scores of a unit's parameters: changes of the loss add up.
    pub fn reduction(&self) -> Reduction {
        let default = if self.is_change() { Reduction::Sum } else { Reduction::default() };
        self.reduction.unwrap_or(default)
    }

    /// What scores are divided by: nothing where they say what the loss would do, which can be compared over all layers.
    pub fn normalizer(&self) -> Normalizer {
        let default = if self.is_change() { Normalizer::None } else { Normalizer::default() };
        self.normalizer.unwrap_or(default)
    }

    /// Which channels of a network are compared: all where scores say what the loss would do, otherwise [`Ranking::of`] it.
    pub fn ranking(&self, graph: &Graph) -> Ranking {
        let is_change = self.normalizer() == Normalizer::None;
        let default = if is_change { Ranking::Global } else { Ranking::of(graph) };
        self.ranking.unwrap_or(default)
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
        at_least("rounds", self.rounds(), 1)?;
        at_least("latency_batch", self.latency_batch, 1)?;
        at_least("evidence_batches", self.evidence_batches, 1)?;
        let (exponent, rounds) = (self.cost_exponent, self.rounds());
        require("cost_exponent", exponent, (0.0..=1.0).contains(&exponent), "from 0 to 1")?;
        if self.recovery_epochs > 0 && rounds > self.recovery_epochs {
            let expected = format!("at most the {} epochs of recovery", self.recovery_epochs);
            return Err(Error::option("rounds", &rounds, expected));
        }
        super::check_size(self.image_size)?;
        check_threads(self.tune.threads)?;
        if let Some(minutes) = self.tune.max_minutes {
            let expected = "absent: a round that is cut short would be cut once more";
            return Err(Error::option("max_minutes", &minutes, expected));
        }
        self.recovery(1).check()
    }

    /// The options with which a round of so many epochs trains.
    pub(crate) fn recovery(&self, epochs: usize) -> FineTuneOptions {
        recovery(&self.tune, epochs, Self::LR, self.distill)
    }
}

/// The options with which a pruned network trains for so many epochs, at this rate when none is given, taught by the one it was or not.
pub(super) fn recovery(
    tune: &FineTuneOptions,
    epochs: usize,
    lr: f64,
    distill: bool,
) -> FineTuneOptions {
    FineTuneOptions {
        epochs,
        lr: Some(tune.lr.unwrap_or(lr)),
        head_epochs: 0,
        // Which network that is, is said when the run begins.
        teacher: distill.then(|| tune.model.clone()),
        ..tune.clone()
    }
}
