//! How much each unit matters: scores, of which the lowest are cut first.
//!
//! Above: `ranking`, `budget`. Below: `criterion::{axis_sums, median, evidence, reduction, normalizer}`, `Groups`. Not here: how scores of
//! different groups are compared (`ranking`), gradients and activations (they are passed in).
//! A unit's score is that of its members, each scored by itself, then reduced to one number, then normalized over the units of its group.
//! Sources: L1: Li et al. 2017, <https://arxiv.org/abs/1608.08710>; norm scales: Liu et al. 2017, <https://arxiv.org/abs/1708.06519>;
//! Taylor: Molchanov et al. 2019, <https://arxiv.org/abs/1906.10771>; geometric median: He et al. 2019,
//! <https://arxiv.org/abs/1811.00250>; LAMP: Lee et al. 2021, <https://arxiv.org/abs/2010.07611>; Fisher: Theis et al. 2018,
//! <https://arxiv.org/abs/1801.05787>; groups with their readers: Fang et al. 2023, <https://arxiv.org/abs/2301.12900>.

mod axis_sums;
mod evidence;
mod median;
mod normalizer;
mod reduction;

use std::fmt;
use std::str::FromStr;

use taper_graph::{AxisRole, Op, ParamId, ParamRole};
use taper_model::Model;

use crate::words::parse_word;
use crate::{Error, Group, Groups, Member, Result};
use axis_sums::AxisSums;
pub(crate) use axis_sums::finite;
pub use evidence::Evidence;
pub use normalizer::Normalizer;
pub use reduction::Reduction;

/// What a channel's worth is read from. `FromStr` and `Display` use the words of `--criterion`.
///
/// The score of a member (a parameter along an axis) for a unit, `w` its elements there, `g` their gradients:
///
/// | word | score |
/// |---|---|
/// | `l1` | `Σ \|w\|` |
/// | `l2` | `Σ w²` |
/// | `bn` | `\|γ\|` of batch norms |
/// | `taylor` | `Σ \|w g\|` |
/// | `taylor-joint` | `(γ g_γ + β g_β)²` of batch norms; without one, `(Σ w g)²` of the filter |
/// | `fpgm` | sum of the distances to the other filters |
/// | `lamp` | `l2`, divided by the sum over the units of the group that score as much or more |
/// | `fisher` | `Σ w² E[g²]` |
/// | `activation` | mean of `\|a\|` where the channel is read |
/// | `random` | a number that is drawn: the control |
///
/// # Examples
/// ```
/// use taper_prune::Criterion;
/// assert_eq!("bn".parse::<Criterion>()?, Criterion::BatchNormScale);
/// assert_eq!("random:7".parse::<Criterion>()?, Criterion::Random { seed: 7 });
/// assert_eq!(Criterion::TaylorJoint.to_string(), "taylor-joint");
/// # Ok::<(), taper_prune::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Sum of absolute weights.
    L1,
    /// Sum of squared weights.
    L2,
    /// Absolute scales of batch norms (network slimming).
    BatchNormScale,
    /// First-order change of the loss, element by element; needs gradients.
    Taylor,
    /// The same for all elements of a gate together; needs gradients.
    TaylorJoint,
    /// How far a filter is from the others: one that others can stand for goes first.
    Fpgm,
    /// Layer-adaptive magnitude.
    Lamp,
    /// Second-order change of the loss by the diagonal of the Fisher information; needs squared gradients.
    Fisher,
    /// Mean absolute activation; needs activations.
    Activation,
    /// The control: equal for the same seed and unit, whatever the weights.
    Random {
        /// Other seeds give other scores.
        seed: u64,
    },
}

/// All words, with what they stand for.
const WORDS: [(&str, Criterion); 10] = [
    ("l1", Criterion::L1),
    ("l2", Criterion::L2),
    ("bn", Criterion::BatchNormScale),
    ("taylor", Criterion::Taylor),
    ("taylor-joint", Criterion::TaylorJoint),
    ("fpgm", Criterion::Fpgm),
    ("lamp", Criterion::Lamp),
    ("fisher", Criterion::Fisher),
    ("activation", Criterion::Activation),
    ("random", Criterion::Random { seed: 0 }),
];

impl Criterion {
    /// Every criterion, the control last and with seed 0: what a table shows.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        WORDS.into_iter().map(|(_, criterion)| criterion)
    }

    /// Whether pictures must be shown to the network first.
    #[must_use]
    pub fn needs_data(self) -> bool {
        matches!(self, Self::Taylor | Self::TaylorJoint | Self::Fisher | Self::Activation)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random { seed } if *seed != 0 => write!(f, "random:{seed}"),
            _ => f.write_str(WORDS.iter().find(|(_, it)| it == self).map_or("", |(word, _)| word)),
        }
    }
}

impl FromStr for Criterion {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let seed = word.strip_prefix("random:").and_then(|seed| seed.parse().ok());
        match seed {
            Some(seed) => Ok(Self::Random { seed }),
            None => parse_word("criterion", word, &WORDS),
        }
    }
}

/// Whether the weights of those who read a channel count for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readers {
    /// They do: a channel that nobody listens to can go.
    #[default]
    Counted,
    /// Only what makes the channel counts.
    Ignored,
}

/// How units are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scoring {
    /// What a member's score is.
    pub criterion: Criterion,
    /// Several members to one number. Default: their mean.
    pub reduction: Reduction,
    /// Over the units of a group. Default: divided by their mean. [`Criterion::Lamp`] is a normalizer of its own.
    pub normalizer: Normalizer,
    /// Whether the weights of readers count. Default: they do.
    pub readers: Readers,
}

impl Scoring {
    /// The defaults with this criterion.
    #[must_use]
    pub fn of(criterion: Criterion) -> Self {
        Self {
            criterion,
            reduction: Reduction::default(),
            normalizer: Normalizer::default(),
            readers: Readers::default(),
        }
    }
}

/// The score of each unit, by [`UnitId`](crate::UnitId): the lower, the less it matters. Infinite for units that stay: those of protected
/// groups, and of groups on which the criterion has nothing to say (`bn` where no norm is).
///
/// Biases and shifts do not count: next to weights they say little, and a unit's neighbors can take them over.
///
/// # Errors
/// [`Error::NoEvidence`] without the data that the criterion needs, [`Error::EvidenceShape`] if it belongs to another network,
/// [`Error::NotFinite`] names a parameter that holds NaN or infinite numbers, [`Error::NothingToSay`] if the criterion scores no group or
/// tells no two units of a group apart.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_model::{Model, Preprocess};
/// use taper_prune::{Criterion, Evidence, Groups, Protect, Scoring, scores};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 10, Bias::With)?;
/// b.output("logits", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
/// let groups = Groups::of(model.graph(), &Protect::default())?;
/// let scores = scores(&model, &groups, &Scoring::of(Criterion::L2), &Evidence::default())?;
/// assert_eq!(scores.len(), groups.n_units());
/// # Ok(()) }
/// ```
pub fn scores(
    model: &Model,
    groups: &Groups,
    scoring: &Scoring,
    evidence: &Evidence<'_>,
) -> Result<Vec<f64>> {
    evidence.check(model.graph(), scoring.criterion)?;
    let mut sums = AxisSums::new(model, scoring.criterion, evidence);
    let mut scores = vec![f64::INFINITY; groups.n_units()];
    let mut tells = Tells::Nothing;
    for group in groups.groups().iter().filter(|group| group.protected.is_none()) {
        let members = member_scores(model, groups, group, scoring, &mut sums)?;
        let Some(mut reduced) = scoring.reduction.reduce(&members) else { continue };
        tells = tells.max(Tells::of(&reduced));
        scoring.normalizer.of(scoring.criterion).normalize(&mut reduced);
        scores[group.units.clone()].copy_from_slice(&reduced);
    }
    let reason = match tells {
        Tells::Nothing => "scores no channel that could be cut",
        Tells::Equal => "gives all channels of a layer the same score",
        Tells::Apart => return Ok(scores),
    };
    let is_empty = groups.groups().iter().all(|group| group.protected.is_some());
    let cure = match scoring.criterion {
        _ if is_empty => "protect less: every group of channels is protected",
        Criterion::BatchNormScale => {
            "train with batch norms and a penalty on their scales first, or take `l2`"
        }
        _ => "take another criterion, such as `l2`, or weights that were trained",
    };
    Err(Error::NothingToSay { criterion: scoring.criterion.to_string(), reason, cure })
}

/// How much scores say, the most last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    Nothing,
    Equal,
    Apart,
}

impl Tells {
    fn of(scores: &[f64]) -> Self {
        // A layer of a single channel cannot lose it, so it does not count as told apart.
        let differ = scores.windows(2).any(|pair| pair[0].total_cmp(&pair[1]).is_ne());
        if differ { Self::Apart } else { Self::Equal }
    }
}

/// The scores of the units of a group by each member that counts.
fn member_scores(
    model: &Model,
    groups: &Groups,
    group: &Group,
    scoring: &Scoring,
    sums: &mut AxisSums<'_>,
) -> Result<Vec<Vec<f64>>> {
    let n = group.units.len();
    match scoring.criterion {
        Criterion::Random { seed } => {
            Ok(vec![group.units.clone().map(|unit| drawn(seed, unit as u64)).collect()])
        }
        Criterion::Activation => sums.activations(groups, group),
        Criterion::TaylorJoint => sums.joint(group),
        Criterion::Fpgm => {
            let counted = group.members.iter().filter(|member| {
                model.graph().param(member.param).role == ParamRole::Weight
                    && counts(model, member, scoring)
            });
            counted.map(|member| median::distances(model, member, n)).collect()
        }
        Criterion::L1
        | Criterion::L2
        | Criterion::BatchNormScale
        | Criterion::Taylor
        | Criterion::Lamp
        | Criterion::Fisher => {
            let counted = group.members.iter().filter(|member| counts(model, member, scoring));
            counted.map(|member| sums.of_units(member, n)).collect()
        }
    }
}

/// Whether a member says something about its units.
fn counts(model: &Model, member: &Member, scoring: &Scoring) -> bool {
    let role = model.graph().param(member.param).role;
    let is_reader = matches!(member.role, AxisRole::In { .. });
    if scoring.criterion == Criterion::BatchNormScale {
        return role == ParamRole::NormScale && is_batch_norm(model, member.param);
    }
    match role {
        ParamRole::Weight => !is_reader || scoring.readers == Readers::Counted,
        ParamRole::NormScale | ParamRole::LayerScale => true,
        ParamRole::Bias
        | ParamRole::NormShift
        | ParamRole::Slope
        | ParamRole::RunningMean
        | ParamRole::RunningVar
        | ParamRole::BatchesTracked
        | ParamRole::Constant => false,
    }
}

fn is_batch_norm(model: &Model, param: ParamId) -> bool {
    let mut owners = model.graph().nodes().iter().filter(|node| node.params().contains(&param));
    owners.any(|node| matches!(node.op(), Op::BatchNorm { .. }))
}

/// Uniform in `[0, 1)` by `SplitMix64` (Steele et al. 2014, <https://doi.org/10.1145/2660193.2660195>): the same for a seed and a unit,
/// whatever else is scored.
fn drawn(seed: u64, unit: u64) -> f64 {
    (mixed(mixed(seed) ^ unit) >> 11) as f64 / (1u64 << 53) as f64
}

fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
