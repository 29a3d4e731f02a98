//! What a network costs as a sum of products of widths: a convolution is bilinear in what it reads and what it makes.
//!
//! Above: `search`, `budget`. Below: `Groups`, `taper-graph`'s extents. Not here: what is counted for which target (`measure`).
//! Nothing is rebuilt when a width changes: the products that it stands in are evaluated again.

use std::collections::BTreeMap;

use taper_graph::{NodeId, ParamId, ParamSpec};

use crate::Groups;

/// The length of an axis, or the channels of a node: a constant, and so many for each unit that a group keeps.
#[derive(Debug, Clone, Default, PartialEq)]
struct Width {
    constant: f64,
    parts: Vec<(usize, f64)>,
}

impl Width {
    fn of(&self, kept: &[usize]) -> f64 {
        let parts = self.parts.iter().map(|&(group, per_unit)| per_unit * kept[group] as f64);
        self.constant + parts.sum::<f64>()
    }

    /// If that group kept so many instead.
    fn with(&self, kept: &[usize], group: usize, count: usize) -> f64 {
        let change = count as f64 - kept[group] as f64;
        let parts = self.parts.iter().filter(|part| part.0 == group);
        self.of(kept) + parts.map(|(_, per_unit)| per_unit * change).sum::<f64>()
    }
}

/// `Σ weight · Π widths`, over the units that each group keeps.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    terms: Vec<(f64, Vec<Width>)>,
    /// The terms that a group stands in.
    by_group: Vec<Vec<usize>>,
}

impl Terms {
    pub(super) fn new(groups: &Groups) -> Self {
        Self { terms: Vec::new(), by_group: vec![Vec::new(); groups.groups().len()] }
    }

    fn push(&mut self, weight: f64, widths: Vec<Width>) {
        if weight == 0.0 {
            return;
        }
        for (group, _) in widths.iter().flat_map(|width| &width.parts) {
            if self.by_group[*group].last() != Some(&self.terms.len()) {
                self.by_group[*group].push(self.terms.len());
            }
        }
        self.terms.push((weight, widths));
    }

    /// `weight` for each element of a parameter.
    pub(super) fn push_param(&mut self, axes: &Axes, spec: &ParamSpec, id: ParamId, weight: f64) {
        let width = |(axis, len): (usize, &usize)| axes.width(id, axis, *len);
        self.push(weight, spec.shape.iter().enumerate().map(width).collect());
    }

    /// `weight` for each channel of a node.
    pub(super) fn push_node(&mut self, groups: &Groups, node: NodeId, weight: f64) {
        let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
        for unit in groups.of_node(node) {
            if let Some(group) = groups.group_of(*unit) {
                *counts.entry(group).or_default() += 1.0;
            }
        }
        let per_unit = |(group, count): (usize, f64)| {
            (group, count / groups.groups()[group].units.len() as f64)
        };
        let parts = counts.into_iter().map(per_unit).collect();
        self.push(weight, vec![Width { constant: 0.0, parts }]);
    }

    /// `weight` for each unit of a group.
    pub(super) fn push_group(&mut self, group: usize, weight: f64) {
        self.push(weight, vec![Width { constant: 0.0, parts: vec![(group, 1.0)] }]);
    }

    /// `weight`, whatever is cut.
    pub(super) fn push_constant(&mut self, weight: f64) {
        self.push(weight, Vec::new());
    }

    pub(super) fn of(&self, kept: &[usize]) -> f64 {
        let product = |(weight, widths): &(f64, Vec<Width>)| {
            weight * widths.iter().map(|width| width.of(kept)).product::<f64>()
        };
        self.terms.iter().map(product).sum()
    }

    /// How much less there is if that group keeps `count` units.
    pub(super) fn saved(&self, kept: &[usize], group: usize, count: usize) -> f64 {
        let saved = |&term: &usize| {
            let (weight, widths) = &self.terms[term];
            let now = widths.iter().map(|width| width.of(kept)).product::<f64>();
            let then = widths.iter().map(|width| width.with(kept, group, count)).product::<f64>();
            weight * (now - then)
        };
        self.by_group[group].iter().map(saved).sum()
    }

    /// The groups whose saving depends on that of this one.
    pub(super) fn neighbors(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let widths = self.by_group[group].iter().flat_map(|&term| &self.terms[term].1);
        widths.flat_map(|width| width.parts.iter().map(|part| part.0))
    }
}

/// The groups of every axis of every parameter.
pub(super) struct Axes(BTreeMap<(ParamId, usize), Vec<Part>>);

/// A group's part of an axis.
struct Part {
    group: usize,
    per_unit: usize,
    units: usize,
}

impl Axes {
    pub(super) fn of(groups: &Groups) -> Self {
        let mut axes: BTreeMap<_, Vec<Part>> = BTreeMap::new();
        for (i, group) in groups.groups().iter().enumerate() {
            for member in &group.members {
                let (per_unit, units) = (member.per_unit, group.units.len());
                let part = Part { group: i, per_unit, units };
                axes.entry((member.param, member.axis)).or_default().push(part);
            }
        }
        Self(axes)
    }

    fn width(&self, param: ParamId, axis: usize, len: usize) -> Width {
        let parts = self.0.get(&(param, axis)).map_or(&[][..], Vec::as_slice);
        let covered: usize = parts.iter().map(|part| part.per_unit * part.units).sum();
        Width {
            constant: len.saturating_sub(covered) as f64,
            parts: parts.iter().map(|part| (part.group, part.per_unit as f64)).collect(),
        }
    }
}
