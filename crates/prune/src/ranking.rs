//! Scores of different groups made comparable: among all, within a layer, or among groups that are alike.
//!
//! Above: `budget`. Below: `Groups`, `criterion`'s scores. Not here: costs.
//! Source of *isomorphic*: Fang et al. 2024, <https://arxiv.org/abs/2407.04616>: only groups with the same operations around them have
//! scores of one distribution.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use taper_graph::{AxisRole, Conv, Graph, Node, Op, ParamId, ParamRole};

use crate::words::{parse_word, word_of};
use crate::{Error, Group, Groups, Result};

/// Which units are compared with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// All, by their scores as they are.
    Global,
    /// Those of a group, by their ranks: every layer loses the same share, if costs are left aside.
    Local,
    /// Those of groups with the same operations and roles, by their ranks: every kind of layer loses the same share, if costs are left
    /// aside, and within a kind the scores say which layer.
    Isomorphic,
}

const WORDS: [(&str, Ranking); 3] =
    [("global", Ranking::Global), ("local", Ranking::Local), ("isomorphic", Ranking::Isomorphic)];

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(self, &WORDS))
    }
}

impl FromStr for Ranking {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        parse_word("ranking", word, &WORDS)
    }
}

impl Ranking {
    /// What suits a network: isomorphic if it has depthwise convolutions, whose few weights a channel cannot be compared with those of
    /// others; else global.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Bias, Conv, GraphBuilder};
    /// use taper_prune::Ranking;
    /// # fn main() -> taper_graph::Result<()> {
    /// let mut b = GraphBuilder::new(3)?;
    /// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::With)?;
    /// let xs = b.conv("dw", xs, Conv::depthwise(8, 3, 1), Bias::With)?;
    /// b.output("features", xs)?;
    /// assert_eq!(Ranking::of(&b.build()?), Ranking::Isomorphic);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn of(graph: &Graph) -> Self {
        let mut nodes = graph.nodes().iter();
        if nodes.any(|node| is_depthwise(graph, node)) { Self::Isomorphic } else { Self::Global }
    }

    /// Scores that can be compared over all groups, by unit. Ranks are `(k + 1/2) / n` for the `k`-th lowest of `n`, equal ones in the
    /// order of units; infinite scores stay infinite.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::{Bias, Conv, GraphBuilder};
    /// use taper_prune::{Groups, Protect, Ranking};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut b = GraphBuilder::new(1)?;
    /// let xs = b.conv("conv", b.input(), Conv::dense(2, 3, 1), Bias::With)?;
    /// let xs = b.conv("end", xs, Conv::pointwise(1), Bias::With)?;
    /// b.output("features", xs)?;
    /// let groups = Groups::of(&b.build()?, &Protect::default())?;
    /// let infinite = f64::INFINITY;
    /// let ranked = Ranking::Local.rank(&groups, &[infinite, 9.0, 3.0, infinite])?;
    /// assert_eq!(ranked, [infinite, 0.75, 0.25, infinite]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::ScoreCount`] if there is not a score for each unit, [`Error::NotFinite`] if one is NaN.
    pub fn rank(self, groups: &Groups, scores: &[f64]) -> Result<Vec<f64>> {
        check(groups, scores)?;
        let mut classes: BTreeMap<Class, Vec<usize>> = BTreeMap::new();
        for (i, group) in groups.groups().iter().enumerate() {
            let class = match self {
                Self::Global => return Ok(scores.to_vec()),
                Self::Local => Class::Own(i),
                Self::Isomorphic => Class::Alike(signature(groups.graph(), group)),
            };
            let scored = group.units.clone().filter(|&unit| scores[unit].is_finite());
            classes.entry(class).or_default().extend(scored);
        }
        let mut ranked = scores.to_vec();
        for mut units in classes.into_values() {
            units.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
            let n = units.len() as f64;
            for (k, unit) in units.into_iter().enumerate() {
                ranked[unit] = (k as f64 + 0.5) / n;
            }
        }
        Ok(ranked)
    }
}

/// One score for each unit, none of them NaN.
pub(crate) fn check(groups: &Groups, scores: &[f64]) -> Result<()> {
    if scores.len() != groups.n_units() {
        return Err(Error::ScoreCount { got: scores.len(), expected: groups.n_units() });
    }
    let nan = |group: &&Group| group.units.clone().any(|unit| scores[unit].is_nan());
    match groups.groups().iter().find(nan) {
        None => Ok(()),
        Some(group) => {
            let name = groups.label(group).to_owned();
            Err(Error::NotFinite { what: "scores", name })
        }
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Own(usize),
    Alike(Vec<Part>),
}

/// What a member is, its sizes left aside: operation, whether depthwise, number of the parameter at its node, and which side.
type Part = (&'static str, bool, usize, u8);

fn signature(graph: &Graph, group: &Group) -> Vec<Part> {
    let part = |member: &crate::Member| {
        let role = graph.param(member.param).role;
        let counts = !matches!(role, ParamRole::Bias | ParamRole::BatchesTracked);
        let owner = graph.nodes().iter().find(|node| node.params().contains(&member.param));
        let node = owner.filter(|_| counts)?;
        let side = match member.role {
            AxisRole::Out => 0,
            AxisRole::In { .. } => 1,
            AxisRole::Fixed => 2,
        };
        let number = node.params().iter().position(|param| *param == member.param);
        Some((node.op().label(), is_depthwise(graph, node), number.unwrap_or(0), side))
    };
    group.members.iter().filter_map(part).collect()
}

/// Whether each channel has a filter of its own: one input channel, and as many groups as outputs; a convolution of an image with a single
/// channel is none.
fn is_depthwise(graph: &Graph, node: &Node) -> bool {
    let weight = node.params().first().map(|param: &ParamId| graph.param(*param));
    match (node.op(), weight) {
        (Op::Conv(Conv { groups, .. }), Some(weight)) => {
            *groups > 1 && weight.axes.get(1) == Some(&AxisRole::Fixed)
        }
        (Op::ConvTranspose { conv, .. }, Some(weight)) => {
            conv.groups > 1 && weight.axes.first() == Some(&AxisRole::Out)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
