//! The search for widths: greedy by score per cost, filled up, then improved by small changes.
//!
//! Above: `budget`. Below: `levels`, `terms`. Not here: what the network really takes (`truth`).
//! Greedy on the ratio is within one item of the best for a knapsack whose costs are sums (Dantzig 1957,
//! <https://doi.org/10.1287/opre.5.2.266>); here they are products, so that ratios are taken again after every step.

use super::TOLERANCE;
use super::levels::Levels;
use super::terms::Terms;

/// Changes that are tried to improve a solution: enough for every network of the zoo, and some tenths of a second for none.
const MOST_TRIALS: usize = 4000;

/// Combinations of widths that are all tried: those of small networks, of which the search finds the best less often.
const MOST_COMBINATIONS: usize = 1 << 12;

/// Levels by which a group is changed at most to improve a solution.
const MOST_JUMP: usize = 3;

/// Levels of all groups up to which every level of a group is tried instead, and of every two.
const FEW_LEVELS: usize = 256;

/// Groups that are tried with a second one to land near a target: only small networks need it, whose single channels cost much.
const MOST_PAIRS: usize = 64;

/// Units that a group may be narrowed or widened by to land near a target, beside its levels.
const FEW_UNITS: usize = 4;

/// A cost that may not be more than its bound.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    pub(super) terms: Terms,
    pub(super) bound: f64,
}

pub(super) struct Search<'a> {
    levels: &'a [Levels],
    constraints: &'a [Constraint],
    exponent: f64,
}

/// What a search found.
pub(super) struct Found {
    /// Units that each group keeps.
    pub(super) kept: Vec<usize>,
    /// Whether the tightest bound is used to within the tolerance.
    pub(super) is_near: bool,
}

/// Widths, and where they come from.
#[derive(Clone)]
struct State {
    /// By group, into its levels.
    level: Vec<usize>,
    /// By group.
    kept: Vec<usize>,
    /// By constraint, as a share of its bound.
    used: Vec<f64>,
}

impl State {
    /// How much of the tightest bound is used.
    fn ratio(&self) -> f64 {
        self.used.iter().copied().fold(0.0, f64::max)
    }

    /// Whether enough of the tightest bound is used.
    fn is_near(&self) -> bool {
        self.ratio() >= 1.0 - TOLERANCE
    }
}

/// Whether a group is none of those that are changed.
fn is_free(changes: &[(usize, usize)], group: usize) -> bool {
    changes.iter().all(|(changed, _)| *changed != group)
}

impl<'a> Search<'a> {
    pub(super) fn new(levels: &'a [Levels], constraints: &'a [Constraint], exponent: f64) -> Self {
        Self { levels, constraints, exponent }
    }

    /// Units that each group keeps; `None` if even the least is too much.
    pub(super) fn solve(&self) -> Option<Found> {
        let is_knapsack = (self.exponent - 1.0).abs() < f64::EPSILON;
        let counts = self.levels.iter().map(|levels| levels.kept.len());
        let all = counts.fold(1, usize::saturating_mul);
        if is_knapsack && all <= MOST_COMBINATIONS {
            return self.best_of(all);
        }
        let mut state = self.at(vec![0; self.levels.len()]);
        if !self.lower(&mut state, &[]) {
            return None;
        }
        self.fill(&mut state, &[]);
        // The sum of lost scores is what a knapsack makes small; of another order it is not.
        if is_knapsack {
            self.improve(&mut state);
        }
        if !state.is_near() {
            self.land(&mut state);
            let levels = self.levels.iter().zip(&state.kept);
            let levels = levels.map(|(levels, kept)| levels.kept.iter().position(|it| it == kept));
            if let Some(levels) = levels.collect::<Option<Vec<usize>>>().filter(|_| is_knapsack) {
                state = self.at(levels);
                self.improve(&mut state);
            }
        }
        Some(Found { is_near: state.is_near(), kept: state.kept })
    }

    /// The best of all combinations of levels: near the target if one is, and losing the least score.
    fn best_of(&self, all: usize) -> Option<Found> {
        let mut best: Option<(State, f64)> = None;
        for mut number in 0..all {
            let level = self.levels.iter().map(|levels| {
                let n = levels.kept.len();
                let level = number % n;
                number /= n;
                level
            });
            let state = self.at(level.collect());
            let lost = self.lost(&state);
            let is_better = best.as_ref().is_none_or(|(best, least)| {
                let (near, was_near) = (state.is_near(), best.is_near());
                near && !was_near || near == was_near && lost < *least
            });
            if state.ratio() <= 1.0 && is_better {
                best = Some((state, lost));
            }
        }
        best.map(|(state, _)| Found { is_near: state.is_near(), kept: state.kept })
    }

    fn at(&self, level: Vec<usize>) -> State {
        let kept: Vec<usize> =
            level.iter().zip(self.levels).map(|(&at, levels)| levels.kept[at]).collect();
        let used = self.constraints.iter().map(|it| it.terms.of(&kept) / it.bound).collect();
        State { level, kept, used }
    }

    fn set(&self, state: &mut State, group: usize, level: usize) {
        self.keep(state, group, self.levels[group].kept[level]);
        state.level[group] = level;
    }

    fn keep(&self, state: &mut State, group: usize, count: usize) {
        for (used, it) in state.used.iter_mut().zip(self.constraints) {
            *used -= it.terms.saved(&state.kept, group, count) / it.bound;
        }
        state.kept[group] = count;
    }

    fn lost(&self, state: &State) -> f64 {
        let lost = self.levels.iter().zip(&state.level).map(|(levels, &at)| levels.lost[at]);
        lost.sum()
    }

    /// Score lost for what is saved of the bounds in `counts`, a unit, if a group goes from its level to the one at `to`.
    fn density(&self, state: &State, group: usize, to: usize, counts: &[bool]) -> Option<f64> {
        let (levels, from) = (&self.levels[group], state.level[group]);
        let count = *levels.kept.get(to)?;
        let units = state.kept[group].abs_diff(count) as f64;
        let score = (levels.lost[to] - levels.lost[from]) / units;
        let constraints = self.constraints.iter().zip(counts).filter(|(_, counts)| **counts);
        let saved: f64 =
            constraints.map(|(it, _)| it.terms.saved(&state.kept, group, count) / it.bound).sum();
        // Both change their signs when a group grows.
        let (score, saved) = if to > from { (score, saved) } else { (-score, -saved) };
        (saved > 0.0).then(|| score / (saved / units).powf(self.exponent))
    }

    /// Narrows the groups, the cheapest in score first, until all bounds are met; all but those in `except`.
    fn lower(&self, state: &mut State, except: &[(usize, usize)]) -> bool {
        let mut unmet: Vec<bool> = state.used.iter().map(|used| *used > 1.0).collect();
        let density = |state: &State, unmet: &[bool], group: usize| {
            let may = is_free(except, group);
            may.then(|| self.density(state, group, state.level[group] + 1, unmet)).flatten()
        };
        let all = |state: &State, unmet: &[bool]| -> Vec<Option<f64>> {
            (0..self.levels.len()).map(|group| density(state, unmet, group)).collect()
        };
        let mut densities = all(state, &unmet);
        while unmet.contains(&true) {
            let candidates = densities.iter().enumerate();
            let candidates = candidates.filter_map(|(group, it)| it.map(|it| (group, it)));
            let Some((group, _)) = candidates.min_by(|a, b| a.1.total_cmp(&b.1)) else {
                return false;
            };
            self.set(state, group, state.level[group] + 1);
            let now: Vec<bool> = state.used.iter().map(|used| *used > 1.0).collect();
            if now != unmet {
                unmet = now;
                densities = all(state, &unmet);
                continue;
            }
            densities[group] = density(state, &unmet, group);
            let near = self.constraints.iter().flat_map(|it| it.terms.neighbors(group));
            let mut near: Vec<usize> = near.collect();
            near.sort_unstable();
            near.dedup();
            for other in near {
                densities[other] = density(state, &unmet, other);
            }
        }
        true
    }

    /// Widens groups again while the bounds stay met, the most valuable first; all but those in `except`.
    fn fill(&self, state: &mut State, except: &[(usize, usize)]) {
        let counts = vec![true; self.constraints.len()];
        loop {
            let candidates = (0..self.levels.len()).filter(|&group| is_free(except, group));
            let fits = candidates.filter(|&group| self.fits(state, group));
            let valued = fits.map(|group| {
                let density = self.density(state, group, state.level[group] - 1, &counts);
                (group, density.unwrap_or(f64::INFINITY))
            });
            // The first of equal ones.
            let best = valued.min_by(|a, b| b.1.total_cmp(&a.1));
            let Some((group, _)) = best else { return };
            self.set(state, group, state.level[group] - 1);
        }
    }

    fn fits(&self, state: &State, group: usize) -> bool {
        let level = state.level[group];
        level > 0 && self.fits_with(state, group, self.levels[group].kept[level - 1])
    }

    fn fits_with(&self, state: &State, group: usize, count: usize) -> bool {
        state
            .used
            .iter()
            .zip(self.constraints)
            .all(|(used, it)| used - it.terms.saved(&state.kept, group, count) / it.bound <= 1.0)
    }

    /// Widens or narrows one group, or two if there are few, repairs with the others, and keeps what comes near the target, and then what
    /// loses less score.
    fn improve(&self, state: &mut State) {
        let mut trials = 0;
        let has_few = self.levels.iter().map(|it| it.kept.len()).sum::<usize>() <= FEW_LEVELS;
        while trials < MOST_TRIALS
            && (self.improve_one(state, has_few, &mut trials)
                || has_few && self.improve_two(state, &mut trials))
        {}
    }

    /// Changes of one group: whether any was better.
    fn improve_one(&self, state: &mut State, has_few: bool, trials: &mut usize) -> bool {
        let mut is_better = false;
        for (group, levels) in self.levels.iter().enumerate() {
            let most = if has_few { levels.kept.len() } else { MOST_JUMP };
            for jump in (1..=most).flat_map(|jump| [-jump.cast_signed(), jump.cast_signed()]) {
                if let Some(level) = state.level[group].checked_add_signed(jump) {
                    is_better |= self.take_if_better(state, &[(group, level)], trials);
                }
            }
        }
        is_better
    }

    /// Changes of two groups, whatever their levels: whether any was better.
    fn improve_two(&self, state: &mut State, trials: &mut usize) -> bool {
        let mut is_better = false;
        for one in 0..self.levels.len() {
            for other in one + 1..self.levels.len() {
                for level in 0..self.levels[one].kept.len() {
                    for beside in 0..self.levels[other].kept.len() {
                        let changes = [(one, level), (other, beside)];
                        is_better |= self.take_if_better(state, &changes, trials);
                    }
                }
            }
        }
        is_better
    }

    /// Takes a state with groups at these levels, the others repaired, if it is better.
    fn take_if_better(
        &self,
        state: &mut State,
        changes: &[(usize, usize)],
        trials: &mut usize,
    ) -> bool {
        if *trials == MOST_TRIALS {
            return false;
        }
        let Some(trial) = self.changed(state, changes) else { return false };
        *trials += 1;
        let (is_near, was_near) = (trial.is_near(), state.is_near());
        let is_less = self.lost(&trial) < self.lost(state) * (1.0 - 1e-12);
        let is_better = is_near && !was_near || is_near == was_near && is_less;
        if is_better {
            *state = trial;
        }
        is_better
    }

    fn changed(&self, state: &State, changes: &[(usize, usize)]) -> Option<State> {
        let mut trial = state.clone();
        for &(group, level) in changes {
            if level >= self.levels[group].kept.len() {
                return None;
            }
            self.set(&mut trial, group, level);
        }
        if !self.lower(&mut trial, changes) {
            return None;
        }
        self.fill(&mut trial, changes);
        Some(trial)
    }

    /// If too much of the tightest bound is left, lets one group have a width between its levels, the roundest that comes near enough; or
    /// where no single one does, two groups.
    fn land(&self, state: &mut State) {
        // Sums of changes round: what is compared with the tolerance is counted once more.
        *state = self.at(state.level.clone());
        if let Some(landing) = self.landing(state, None) {
            self.keep(state, landing.group, landing.count);
            return;
        }
        let mut best: Option<(State, Landing)> = None;
        for group in 0..self.levels.len().min(MOST_PAIRS) {
            for count in self.around(state, group) {
                let mut trial = state.clone();
                self.keep(&mut trial, group, count);
                let landing = self.landing(&trial, Some(group));
                let Some(landing) = landing else { continue };
                if best.as_ref().is_none_or(|(_, least)| landing.is_better(least)) {
                    best = Some((trial, landing));
                }
            }
        }
        if let Some((trial, landing)) = best {
            *state = trial;
            self.keep(state, landing.group, landing.count);
        }
    }

    /// Other widths of a group, from the level below to the one above, or some units down and up.
    fn around(&self, state: &State, group: usize) -> impl Iterator<Item = usize> + use<> {
        let (levels, level, now) = (&self.levels[group], state.level[group], state.kept[group]);
        let above = level.checked_sub(1).map_or(now, |above| levels.kept[above]);
        let below = levels.kept.get(level + 1).copied().unwrap_or(now);
        let least = levels.kept.last().copied().unwrap_or(now);
        let below = below.min(now.saturating_sub(FEW_UNITS)).max(least);
        let above = above.max(now + FEW_UNITS).min(levels.n());
        (below..=above).filter(move |&count| count != now)
    }

    /// The width of one group, other than `except`, with which the tightest bound is used and none is broken.
    fn landing(&self, state: &State, except: Option<usize>) -> Option<Landing> {
        let mut best: Option<Landing> = None;
        for group in (0..self.levels.len()).filter(|group| Some(*group) != except) {
            for count in self.around(state, group) {
                let used =
                    state.used.iter().zip(self.constraints).map(|(used, it)| {
                        used - it.terms.saved(&state.kept, group, count) / it.bound
                    });
                let ratio = used.fold(0.0, f64::max);
                if !(1.0 - TOLERANCE..=1.0).contains(&ratio) {
                    continue;
                }
                let lost = |(it, kept): (&Levels, &usize)| it.lost_at(*kept);
                let others = self.levels.iter().zip(&state.kept).map(lost).sum::<f64>();
                let levels = &self.levels[group];
                let lost = others - levels.lost_at(state.kept[group]) + levels.lost_at(count);
                let is_level = levels.kept.contains(&count);
                let roundness = if is_level { u32::MAX } else { count.trailing_zeros() };
                let landing = Landing { group, count, roundness, lost };
                if best.as_ref().is_none_or(|least| landing.is_better(least)) {
                    best = Some(landing);
                }
            }
        }
        best
    }
}

/// A width that lands near the target.
struct Landing {
    group: usize,
    count: usize,
    /// Divisions by 2 without a rest; of a level, any number.
    roundness: u32,
    lost: f64,
}

impl Landing {
    /// A rounder width first, then less lost score.
    fn is_better(&self, other: &Self) -> bool {
        let is_as_round = self.roundness == other.roundness;
        self.roundness > other.roundness || is_as_round && self.lost < other.lost
    }
}
