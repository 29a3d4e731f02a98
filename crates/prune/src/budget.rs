//! Which units to cut so that a network meets its targets and loses least: a knapsack over groups of score against cost.
//!
//! Above: `taper-recipes`. Below: `budget::{levels, limits, metric, search, terms, truth}`, `ranking`. Not here: scores (`criterion`), the
//! cut itself (`cut`), whole blocks (`depth`).
//! What a unit saves depends on the widths around it, so that costs are products of widths (`terms`) that are evaluated again after every
//! step; what no sum of products gives, memory and time, is asked of the cut graph and corrected for.

mod amount;
mod levels;
mod limits;
mod metric;
mod search;
mod sensitivity;
mod terms;
mod truth;

use taper_graph::Graph;

use crate::{Cut, Error, Groups, Result, UnitId, ranking};
pub use amount::Amount;
use levels::Levels;
pub use limits::{Limits, Widths};
pub use metric::{FileSize, Metric, check_targets};
use search::{Constraint, Found, Search};
pub use sensitivity::cut_of_group;
use truth::Truth;

/// How near a target a solution must come: it is met if 98 % to 100 % of it are used.
pub const TOLERANCE: f64 = 0.02;

/// Attempts to correct what is predicted of memory and time by what the cut network takes.
const MOST_CORRECTIONS: usize = 24;

/// What a network should cost at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// What is counted.
    pub metric: Metric,
    /// How much of it may be left.
    pub amount: Amount,
}

/// Says in seconds how long a network takes, by measuring it or predicting it. It is called once for every group that can be cut, and some
/// twenty times more.
pub type Price<'a> =
    dyn FnMut(&Graph) -> std::result::Result<f64, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// What is to be cut.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The network's groups.
    pub groups: &'a Groups,
    /// How much each unit matters, by unit, comparable over groups ([`Ranking::rank`](crate::Ranking::rank)); infinite for those that stay.
    pub scores: &'a [f64],
    /// Height and width of the images.
    pub size: [usize; 2],
    /// What every layer keeps.
    pub limits: &'a Limits,
    /// How much costs count, from 0 to 1: units go in the order of `score / costᵉ`. 1 is the knapsack, which takes most from the costliest
    /// layers; 0 leaves costs aside and cuts the lowest scores until the target is met.
    pub cost_exponent: f64,
}

/// A group before and after.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GroupWidth {
    /// Index of the group.
    pub group: usize,
    /// Name of the first node that has its channels.
    pub name: String,
    /// Units before.
    pub before: usize,
    /// Units after.
    pub after: usize,
}

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reached {
    /// What was counted.
    pub metric: Metric,
    /// Before the cut.
    pub before: f64,
    /// What was asked for.
    pub target: f64,
    /// After the cut.
    pub after: f64,
}

/// A solution.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The units that go.
    pub cut: Cut,
    /// Every group, in order.
    pub widths: Vec<GroupWidth>,
    /// Every target, in order.
    pub reached: Vec<Reached>,
    /// Share of the finite scores that is lost.
    pub lost: f64,
}

/// The units to cut so that all targets are met, the tightest to within 2 % ([`TOLERANCE`]) where the widths allow it, and the sum of the
/// lost scores is small. Equal calls give equal plans; of equal units the first go first. Negative scores are shifted so that the lowest
/// is 0.
///
/// # Errors
/// [`Error::Unreachable`] says the least that the network can be cut to, and what holds it back; [`Error::AlreadyMet`] if nothing need be
/// cut; [`Error::Targets`] for targets that are none or contradict one another; [`Error::Limit`]; [`Error::NoPrice`] if a latency is to
/// be met without a price; [`Error::Price`]; [`Error::ScoreCount`]; [`Error::NotFinite`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_prune::{Amount, Groups, Limits, Metric, Problem, Protect, Target, cut_graph, solve};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("a", b.input(), Conv::dense(32, 3, 1), Bias::With)?;
/// let xs = b.conv("b", xs, Conv::dense(32, 3, 1), Bias::With)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// let xs = b.linear("classifier", xs, 10, Bias::With)?;
/// b.output("logits", xs)?;
/// let graph = b.build()?;
/// let groups = Groups::of(&graph, &Protect::default())?;
/// let scores: Vec<f64> = (0..groups.n_units()).map(|unit| 1.0 + unit as f64).collect();
///
/// let limits = Limits { multiple: 1, ..Limits::default() };
/// let (size, limits) = ([32, 32], &limits);
/// let problem = Problem { groups: &groups, scores: &scores, size, limits, cost_exponent: 1.0 };
/// let target = Target { metric: Metric::Macs, amount: Amount::Share(0.5) };
/// let plan = solve(&problem, &[target], None)?;
///
/// let before = taper_cost::macs(&graph, 32, 32)?.0 as f64;
/// let after = taper_cost::macs(&cut_graph(&graph, &groups, &plan.cut)?, 32, 32)?.0 as f64;
/// assert_eq!(plan.reached[0].after, after);
/// assert!(after <= 0.5 * before && after >= 0.49 * before);
/// # Ok(()) }
/// ```
pub fn solve(
    problem: &Problem<'_>,
    targets: &[Target],
    price: Option<&mut Price<'_>>,
) -> Result<Plan> {
    problem.limits.check(problem.groups)?;
    ranking::check(problem.groups, problem.scores)?;
    check_targets(targets)?;
    problem.check_exponent()?;
    let scores = shifted(problem.scores);
    let problem = Problem { scores: &scores, ..*problem };
    let mut truth = Truth::new(&problem, targets, price)?;
    truth.check_needed()?;
    // The best with coarser widths, which is taken if finer ones do not come nearer.
    let mut coarse: Option<(Vec<Levels>, Vec<usize>)> = None;
    let mut step = 1;
    loop {
        let levels = problem.levels(problem.limits, step);
        let found = match truth.is_additive() {
            true => Search::new(&levels, truth.constraints(), problem.cost_exponent).solve(),
            false => corrected(&problem, &levels, &mut truth)?,
        };
        match found {
            Some(Found { kept, is_near: true }) => return problem.plan(&levels, &kept, &mut truth),
            Some(Found { kept, .. }) if coarse.is_none() => coarse = Some((levels, kept)),
            _ if step >= problem.limits.multiple.max(2) => {
                let Some((levels, kept)) = coarse else { return Err(truth.unreachable(&levels)?) };
                return problem.plan(&levels, &kept, &mut truth);
            }
            _ => {}
        }
        step *= 2;
    }
}

/// Searches with bounds that are corrected until the cut network meets its targets.
fn corrected(
    problem: &Problem<'_>,
    levels: &[Levels],
    truth: &mut Truth<'_, '_>,
) -> Result<Option<Found>> {
    let mut best: Option<(f64, Vec<usize>)> = None;
    // Factors of the bounds that were met, and that were not.
    let (mut met, mut missed): (Option<f64>, Option<f64>) = (None, None);
    let mut factor = 1.0;
    for _ in 0..MOST_CORRECTIONS {
        let constraints: Vec<Constraint> = truth.scaled(factor);
        let found = Search::new(levels, &constraints, problem.cost_exponent).solve();
        let is_least = found.is_none();
        let lowest = || levels.iter().filter_map(|levels| levels.kept.last().copied()).collect();
        let kept = found.map_or_else(lowest, |found| found.kept);
        let outcome = truth.measure(levels, &kept)?;
        if outcome.ratio <= 1.0 {
            if best.as_ref().is_none_or(|(ratio, _)| outcome.ratio > *ratio) {
                best = Some((outcome.ratio, kept));
            }
            if outcome.ratio >= 1.0 - TOLERANCE {
                break;
            }
            met = Some(factor);
        } else if is_least {
            break;
        } else if outcome.is_news {
            // The network's fullest moment is another one now: ask again with it in mind.
            continue;
        } else {
            missed = Some(factor);
        }
        factor = match (met, missed) {
            (Some(met), Some(missed)) if (missed - met).abs() < 1e-3 * met => break,
            (Some(met), Some(missed)) => 0.5 * (met + missed),
            // Aims at the middle of what is tolerated.
            _ => factor * (1.0 - TOLERANCE / 2.0) / outcome.ratio,
        };
    }
    Ok(best.map(|(ratio, kept)| Found { kept, is_near: ratio >= 1.0 - TOLERANCE }))
}

fn shifted(scores: &[f64]) -> Vec<f64> {
    let least = scores.iter().copied().fold(0.0, f64::min);
    scores.iter().map(|score| score - least).collect()
}

impl Problem<'_> {
    fn check_exponent(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.cost_exponent) {
            return Ok(());
        }
        let (what, got) = ("the exponent of costs", self.cost_exponent.to_string());
        Err(Error::Limit { what, got, expected: "between 0 (costs do not count) and 1" })
    }

    fn levels(&self, limits: &Limits, step: usize) -> Vec<Levels> {
        let groups = 0..self.groups.groups().len();
        groups.map(|group| Levels::of(self.groups, group, self.scores, limits, step)).collect()
    }

    fn plan(&self, levels: &[Levels], kept: &[usize], truth: &mut Truth<'_, '_>) -> Result<Plan> {
        let groups = self.groups.groups();
        let width = |(group, (levels, after)): (usize, (&Levels, &usize))| GroupWidth {
            group,
            name: self.groups.label(&groups[group]).to_owned(),
            before: levels.n(),
            after: *after,
        };
        let lost: f64 = levels.iter().zip(kept).map(|(it, kept)| it.lost_at(*kept)).sum();
        let all: f64 = self.scores.iter().filter(|score| score.is_finite()).sum();
        Ok(Plan {
            cut: cut_of(self.groups, levels, kept)?,
            widths: levels.iter().zip(kept).enumerate().map(width).collect(),
            reached: truth.reached(levels, kept)?,
            lost: if all > 0.0 { lost / all } else { 0.0 },
        })
    }
}

/// The cut that leaves so many units of every group.
fn cut_of(groups: &Groups, levels: &[Levels], kept: &[usize]) -> Result<Cut> {
    let gone = levels
        .iter()
        .zip(kept)
        .flat_map(|(levels, kept)| levels.order.iter().take(levels.n() - kept));
    let mut units: Vec<usize> = gone.copied().collect();
    units.sort_unstable();
    let ids = units.into_iter().filter_map(|unit| u32::try_from(unit).ok()).map(UnitId);
    Cut::of(groups, ids)
}

#[cfg(test)]
mod tests;
