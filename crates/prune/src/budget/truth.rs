//! What a network costs before and after, whatever is counted: by sums of products, or by asking the cut graph.
//!
//! Above: `budget`. Below: `metric`, `terms`, `cut_graph`, `taper-cost`. Not here: the search (`search`).
//! Memory is the fullest moment of many. Each that was the fullest of some cut becomes a constraint, a sum over the tensors that live then
//! (cutting planes: Kelley 1960, <https://doi.org/10.1137/0108053>).
//! Time is taken to fall by the same seconds with every unit of a group; what that gets wrong, `budget` corrects.

use std::collections::BTreeMap;

use taper_cost::inference_memory;
use taper_graph::Graph;

use super::levels::Levels;
use super::metric::macs;
use super::search::Constraint;
use super::terms::Terms;
use super::{Metric, Price, Problem, Reached, Target, cut_of};
use crate::{Error, Result, cut_graph};

/// Share of its multiply-accumulates' part of the time that a unit saves at least, however little was measured: noise may say none.
const LEAST_SAVING: f64 = 0.1;

pub(super) struct Truth<'a, 'p> {
    problem: &'a Problem<'a>,
    price: Option<&'a mut Price<'p>>,
    goals: Vec<Goal>,
    /// Constraints, and whether they are exact.
    constraints: Vec<Constraint>,
    exact: Vec<bool>,
    /// Names of the tensors of each moment that is a constraint.
    moments: Vec<Vec<String>>,
}

struct Goal {
    metric: Metric,
    before: f64,
    target: f64,
    terms: Option<Terms>,
}

/// What a cut came to.
pub(super) struct Outcome {
    /// The largest share of a target that is used.
    pub(super) ratio: f64,
    /// Whether there is a new constraint now.
    pub(super) is_news: bool,
}

impl<'a, 'p> Truth<'a, 'p> {
    pub(super) fn new(
        problem: &'a Problem<'a>,
        targets: &[Target],
        price: Option<&'a mut Price<'p>>,
    ) -> Result<Self> {
        let (goals, constraints, exact) = (Vec::new(), Vec::new(), Vec::new());
        let mut truth = Self { problem, price, goals, constraints, exact, moments: Vec::new() };
        let graph = problem.groups.graph();
        let all: Vec<usize> = problem.groups.groups().iter().map(|it| it.units.len()).collect();
        for &Target { metric, amount } in targets {
            let terms = metric.terms(problem)?;
            let before = match &terms {
                Some(terms) => terms.of(&all),
                None => truth.asked(metric, graph)?,
            };
            let target = amount.of(before);
            if let Some(terms) = &terms {
                truth.constraints.push(Constraint { terms: terms.clone(), bound: target });
                truth.exact.push(true);
            }
            truth.goals.push(Goal { metric, before, target, terms });
            match metric {
                Metric::Latency if target < before => truth.predict_time(before, target)?,
                Metric::Memory => drop(truth.add_moment(graph, target)?),
                _ => {}
            }
        }
        Ok(truth)
    }

    /// Whether all that counts are sums of products.
    pub(super) fn is_additive(&self) -> bool {
        self.goals.iter().all(|goal| goal.terms.is_some())
    }

    pub(super) fn constraints(&self) -> &[Constraint] {
        &self.constraints
    }

    /// The constraints, those that are not exact with bounds times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Vec<Constraint> {
        let scaled = |(it, exact): (&Constraint, &bool)| {
            let factor = if *exact { 1.0 } else { factor };
            Constraint { terms: it.terms.clone(), bound: it.bound * factor }
        };
        self.constraints.iter().zip(&self.exact).map(scaled).collect()
    }

    /// Something is to be cut.
    pub(super) fn check_needed(&self) -> Result<()> {
        if self.goals.iter().any(|goal| goal.before > goal.target) {
            return Ok(());
        }
        let Some(goal) = self.goals.first() else { return Ok(()) };
        let (metric, target) = (goal.metric, goal.metric.shown(goal.target));
        let got = metric.shown(goal.before);
        Err(Error::AlreadyMet { metric: metric.to_string(), target, got })
    }

    fn asked(&mut self, metric: Metric, graph: &Graph) -> Result<f64> {
        let [h, w] = self.problem.size;
        match metric {
            Metric::Memory => {
                let outputs: Vec<&str> = graph.main_outputs().collect();
                Ok(inference_memory(graph, &outputs, [1, h, w], 1)?.arena.0 as f64)
            }
            Metric::Latency | Metric::Macs | Metric::Params | Metric::Size(_) => {
                let price = self.price.as_mut().ok_or(Error::NoPrice)?;
                let seconds = price(graph).map_err(|source| Error::Price { source })?;
                if seconds.is_finite() && seconds > 0.0 {
                    return Ok(seconds);
                }
                let name = "the network".to_owned();
                Err(Error::NotFinite { what: "seconds", name })
            }
        }
    }

    /// A constraint on seconds, from what halving each group saves.
    fn predict_time(&mut self, before: f64, target: f64) -> Result<()> {
        let problem = self.problem;
        let levels = problem.levels(problem.limits, problem.limits.multiple);
        let all: Vec<usize> = levels.iter().map(Levels::n).collect();
        let macs = macs(problem)?;
        let total = macs.of(&all);
        let mut terms = Terms::new(problem.groups);
        let mut constant = before;
        for (group, it) in levels.iter().enumerate() {
            let half = it.kept.iter().copied().find(|kept| 2 * kept <= it.n());
            let Some(count) = half.or(it.kept.last().copied()).filter(|&kept| kept < it.n()) else {
                continue;
            };
            let mut kept = all.clone();
            kept[group] = count;
            let cut = cut_graph(
                problem.groups.graph(),
                problem.groups,
                &cut_of(problem.groups, &levels, &kept)?,
            )?;
            let saved = before - self.asked(Metric::Latency, &cut)?;
            let by_macs = before * macs.saved(&all, group, count) / total;
            let a_unit = saved.max(LEAST_SAVING * by_macs) / (it.n() - count) as f64;
            terms.push_group(group, a_unit);
            constant -= a_unit * it.n() as f64;
        }
        terms.push_constant(constant);
        self.constraints.push(Constraint { terms, bound: target });
        self.exact.push(false);
        Ok(())
    }

    /// A constraint on the tensors that live at the fullest moment of a graph; whether it is new.
    fn add_moment(&mut self, graph: &Graph, target: f64) -> Result<bool> {
        let [h, w] = self.problem.size;
        let outputs: Vec<&str> = graph.main_outputs().collect();
        let memory = inference_memory(graph, &outputs, [1, h, w], 1)?;
        let live = &memory.timeline.at_peak;
        let names: Vec<String> = live.iter().map(|tensor| tensor.name.clone()).collect();
        if self.moments.contains(&names) {
            return Ok(false);
        }
        let dense = self.problem.groups.graph();
        let channels = graph.channels()?;
        let mut terms = Terms::new(self.problem.groups);
        let mut bytes: BTreeMap<&str, f64> = BTreeMap::new();
        for tensor in live {
            *bytes.entry(&tensor.name).or_default() += tensor.bytes.0 as f64;
        }
        for (name, bytes) in bytes {
            if let (Some(node), Some(now)) = (dense.find_node(name), graph.find_node(name)) {
                let weight = bytes / channels[now.index()] as f64;
                terms.push_node(self.problem.groups, node, weight);
            }
        }
        // An arena has gaps.
        let gaps = memory.timeline.peak_bytes().0 as f64 / (memory.arena.0 as f64).max(1.0);
        self.constraints.push(Constraint { terms, bound: target * gaps.min(1.0) });
        self.exact.push(false);
        self.moments.push(names);
        Ok(true)
    }

    fn after(&mut self, levels: &[Levels], kept: &[usize]) -> Result<(Vec<f64>, Option<Graph>)> {
        let groups = self.problem.groups;
        let graph = match self.is_additive() {
            true => None,
            false => Some(cut_graph(groups.graph(), groups, &cut_of(groups, levels, kept)?)?),
        };
        let mut values = Vec::with_capacity(self.goals.len());
        for i in 0..self.goals.len() {
            values.push(match (&self.goals[i].terms, &graph) {
                (Some(terms), _) => terms.of(kept),
                (None, Some(graph)) => self.asked(self.goals[i].metric, graph)?,
                (None, None) => f64::INFINITY,
            });
        }
        Ok((values, graph))
    }

    /// What a cut comes to; its fullest moment is kept in mind.
    pub(super) fn measure(&mut self, levels: &[Levels], kept: &[usize]) -> Result<Outcome> {
        let (values, graph) = self.after(levels, kept)?;
        let ratios = self.goals.iter().zip(&values).map(|(goal, value)| value / goal.target);
        let ratio = ratios.fold(0.0, f64::max);
        let memory = self
            .goals
            .iter()
            .zip(&values)
            .find(|(goal, value)| goal.metric == Metric::Memory && **value > goal.target);
        let target = memory.map(|(goal, _)| goal.target);
        let is_news = match (target, &graph) {
            (Some(target), Some(graph)) => self.add_moment(graph, target)?,
            _ => false,
        };
        Ok(Outcome { ratio, is_news })
    }

    pub(super) fn reached(&mut self, levels: &[Levels], kept: &[usize]) -> Result<Vec<Reached>> {
        let (values, _) = self.after(levels, kept)?;
        let of = |(goal, after): (&Goal, f64)| Reached {
            metric: goal.metric,
            before: goal.before,
            target: goal.target,
            after,
        };
        Ok(self.goals.iter().zip(values).map(of).collect())
    }

    /// The error that says what the least is, given the narrowest levels, and what holds it there.
    pub(super) fn unreachable(&mut self, levels: &[Levels]) -> Result<Error> {
        let least = |levels: &[Levels]| -> Vec<usize> {
            levels.iter().filter_map(|levels| levels.kept.last().copied()).collect()
        };
        let kept = least(levels);
        let (values, _) = self.after(levels, &kept)?;
        let worst = self.goals.iter().zip(values);
        let worst = worst.max_by(|a, b| (a.1 / a.0.target).total_cmp(&(b.1 / b.0.target)));
        let Some((goal, value)) = worst else {
            return Ok(Error::Targets { what: "no target is given".to_owned() });
        };
        let metric = goal.metric;
        Ok(Error::Unreachable {
            metric: metric.to_string(),
            target: metric.shown(goal.target),
            least: metric.shown(value),
            before: metric.shown(goal.before),
            held: self.held(levels),
        })
    }

    /// What keeps channels: limits and protected groups.
    fn held(&self, levels: &[Levels]) -> String {
        let (groups, limits) = (self.problem.groups, self.problem.limits);
        let mut held = vec![format!(
            "a layer loses at most {} % of its channels and keeps at least {}",
            100.0 * limits.most_cut,
            limits.least_channels.max(1)
        )];
        let mut named = |what: &str, is: &dyn Fn(usize) -> bool| {
            let those: Vec<&str> = (0..levels.len())
                .filter(|&group| is(group))
                .map(|group| groups.label(&groups.groups()[group]))
                .collect();
            let more = if those.len() > 3 { ", …" } else { "" };
            if !those.is_empty() {
                let first = those[..those.len().min(3)].join("`, `");
                held.push(format!("{} groups {what} (`{first}`{more})", those.len()));
            }
        };
        named("are protected", &|group| groups.groups()[group].protected.is_some());
        named("have channels without a score", &|group| {
            let group = &groups.groups()[group];
            let mut units = group.units.clone();
            group.protected.is_none() && units.any(|unit| !self.problem.scores[unit].is_finite())
        });
        held.join("; ")
    }
}
