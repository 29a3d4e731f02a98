//! What making weights zero needs to know.
//!
//! Above: `sparsify`, the binary's flags. Below: `options::{fine_tune, prune}`, `taper_prune`. Not here: which weights those are
//! (`taper_prune::Masks`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use taper_prune::SparseRanking;

use super::prune::recovery;
use super::{FineTuneOptions, at_least, check_threads, require};
use crate::error::{Error, Result};

/// Which weights of convolutions and linear layers become zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zeros {
    /// The smallest of all.
    Share {
        /// How many of all weights that are not protected, above 0 and below 1.
        sparsity: f64,
        /// Which weights are compared.
        ranking: SparseRanking,
    },
    /// All but the largest of every few along the input channels.
    NOfM(NOfM),
}

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share { sparsity, ranking } => {
                write!(f, "the smallest {sparsity} of the weights are zero, ranking {ranking}")
            }
            Self::NOfM(pattern) => {
                write!(f, "{pattern} along the input: {} of every {} stay", pattern.n, pattern.m)
            }
        }
    }
}

/// Of every `m` weights along the input channels `n` stay; `2:4` as a word.
///
/// ```
/// use taper_recipes::sparsify::NOfM;
/// assert_eq!("2:4".parse::<NOfM>()?, NOfM { n: 2, m: 4 });
/// assert!("2/4".parse::<NOfM>().unwrap_err().is_request());
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NOfM {
    /// Weights that stay.
    pub n: usize,
    /// Of so many.
    pub m: usize,
}

impl fmt::Display for NOfM {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.n, self.m)
    }
}

impl FromStr for NOfM {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let numbers = word.split_once(':');
        let numbers = numbers.and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
        let Some((n, m)) = numbers else {
            let (what, got) = ("pattern", word.to_owned());
            return Err(Error::Malformed { what, got, expected: "N:M, such as 2:4" });
        };
        Ok(Self { n, m })
    }
}

/// What making weights zero needs to know.
///
/// ```
/// use taper_recipes::sparsify::{SparseRanking, SparsifyOptions, Zeros};
///
/// let zeros = |sparsity| Zeros::Share { sparsity, ranking: SparseRanking::Lamp };
/// assert!(SparsifyOptions::new("mobilenetv2_100", zeros(0.8)).check().is_ok());
/// let error = SparsifyOptions::new("mobilenetv2_100", zeros(1.0)).check().unwrap_err();
/// assert_eq!(error.to_string(), "`sparsity` is 1, it must be above 0 and below 1");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SparsifyOptions {
    /// Which weights become zero.
    pub zeros: Zeros,
    /// Layers and scopes, by name, that stay dense. None by default, the first layer and the classifier included.
    pub protect: Vec<String>,
    /// Passes over the training pictures, with the masks kept; 0 to make zeros only.
    pub recovery_epochs: usize,
    /// How many of them zeros grow over, by the cubic schedule; 0 for all zeros at once, half of them when absent.
    pub gradual_epochs: Option<usize>,
    /// Steps from one growth to the next, 1 or more; at most all that zeros grow over.
    pub mask_every: u64,
    /// Whether the dense network teaches the sparse one.
    pub distill: bool,
    /// Batches of training pictures over which the statistics of norms are averaged when all zeros come at once; 0 to leave them.
    pub statistics_batches: usize,
    /// Images a batch for latencies, beside a batch of one.
    pub latency_batch: usize,
    /// Where the model file goes too, beside the one in the run's folder.
    pub file: Option<PathBuf>,
    /// Go on with the run in the folder, which these options began.
    pub resume: bool,
    /// Model, pictures, seed, threads, and how the network is trained; its `epochs` say nothing here, and `out` is this run's folder.
    pub tune: FineTuneOptions,
}

impl SparsifyOptions {
    /// Steps between growths when nothing is said: an epoch of a small set of pictures has about as many.
    pub const MASK_EVERY: u64 = 10;

    /// The learning rate of recovery when none is given: three times that of [pruning](super::PruneOptions::LR), whose fitted layers have less to learn.
    pub const LR: f64 = 3e-3;

    /// Everything but which weights become zero, which has no default. What is as in pruning has the defaults of
    /// [`PruneOptions`](super::PruneOptions).
    pub fn new(model: impl Into<String>, zeros: Zeros) -> Self {
        let like = super::PruneOptions::new(model);
        Self {
            zeros,
            protect: like.protect,
            recovery_epochs: like.recovery_epochs,
            gradual_epochs: None,
            mask_every: Self::MASK_EVERY,
            distill: like.distill,
            statistics_batches: like.statistics_batches,
            latency_batch: like.latency_batch,
            file: None,
            resume: false,
            tune: like.tune,
        }
    }

    /// The epochs of this request that zeros grow over.
    pub fn growing_epochs(&self) -> usize {
        self.gradual_epochs.unwrap_or(self.recovery_epochs / 2)
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// [`Error::Option`] that names the option, what it is and what it must be.
    pub fn check(&self) -> Result<()> {
        match self.zeros {
            Zeros::Share { sparsity, .. } => {
                let is_share = sparsity > 0.0 && sparsity < 1.0;
                require("sparsity", sparsity, is_share, "above 0 and below 1")?;
            }
            Zeros::NOfM(pattern @ NOfM { n, m }) => {
                if n == 0 || n >= m {
                    let expected = "N:M with 0 < N < M, such as 2:4";
                    return Err(Error::option("n_of_m", &pattern, expected));
                }
            }
        }
        let (growing, all) = (self.growing_epochs(), self.recovery_epochs);
        if growing > 0 && growing >= all {
            let expected =
                format!("fewer than the {all} epochs of recovery: the last keep all zeros");
            return Err(Error::option("gradual_epochs", &growing, expected));
        }
        if self.mask_every == 0 {
            return Err(Error::option("mask_every", &0, "1 or more"));
        }
        at_least("latency_batch", self.latency_batch, 1)?;
        check_threads(self.tune.threads)?;
        self.recovery().check()
    }

    /// The options with which the sparse network trains.
    pub(crate) fn recovery(&self) -> FineTuneOptions {
        recovery(&self.tune, self.recovery_epochs.max(1), Self::LR, self.distill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &SparsifyOptions) -> String {
        let error = options.check().unwrap_err();
        assert!(error.is_request());
        error.to_string()
    }

    fn share(sparsity: f64) -> SparsifyOptions {
        let zeros = Zeros::Share { sparsity, ranking: SparseRanking::Global };
        SparsifyOptions::new("mobilenetv2_100", zeros)
    }

    #[test]
    fn shares_and_patterns_that_are_none_are_refused_by_name() {
        for sparsity in [0.0, 1.0, 1.5, -0.5, f64::NAN, f64::INFINITY] {
            let expected = format!("`sparsity` is {sparsity}, it must be above 0 and below 1");
            assert_eq!(refused(&share(sparsity)), expected);
        }
        for (n, m) in [(0, 4), (4, 4), (5, 4), (0, 0)] {
            let options = SparsifyOptions { zeros: Zeros::NOfM(NOfM { n, m }), ..share(0.5) };
            assert!(refused(&options).starts_with(&format!("`n_of_m` is {n}:{m}, it must be N:M")));
        }
        for word in ["", "2", "2:", ":4", "2:4:8", "-2:4", "a:b", "2.0:4"] {
            let error = word.parse::<NOfM>().unwrap_err().to_string();
            assert_eq!(error, format!("`{word}` is no pattern: expected N:M, such as 2:4"));
        }
    }

    #[test]
    fn zeros_grow_over_half_of_recovery_and_never_over_all_of_it() {
        let with = |recovery_epochs, gradual_epochs| SparsifyOptions {
            recovery_epochs,
            gradual_epochs,
            ..share(0.5)
        };
        assert_eq!([0, 1, 2, 10].map(|epochs| with(epochs, None).growing_epochs()), [0, 0, 1, 5]);
        for (all, growing) in [(0, None), (0, Some(0)), (4, Some(3)), (4, Some(0))] {
            with(all, growing).check().unwrap();
        }
        for (all, growing) in [(4, 4), (4, 9), (0, 1)] {
            let words = refused(&with(all, Some(growing)));
            assert!(words.starts_with(&format!("`gradual_epochs` is {growing}")), "{words}");
        }
        let never = SparsifyOptions { mask_every: 0, ..share(0.5) };
        assert_eq!(refused(&never), "`mask_every` is 0, it must be 1 or more");
    }
}
