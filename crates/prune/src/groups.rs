//! Units and groups: the channels, and the indices of parameters, that can only be lost together.
//!
//! Above: criteria, budgets, `cut`. Below: `groups::{sites, coupling}`, `taper_graph`. Not here: which units matter least.
//! Exact at single channels: a union-find over all of them, by the rules of flow and axis roles; nothing goes by names or families.

mod coupling;
mod sites;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;
use taper_graph::{AxisRole, Graph, NodeId, ParamId};

use crate::{Protect, Protected, Result};
use coupling::{Components, Coupling};
use sites::{Place, Sites};

/// What is lost together: number of a unit, over all groups in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnitId(pub u32);

impl UnitId {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Units that touch the same axes and nodes in the same way, and may be compared: a residual stage of 24 channels is one group of 24.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its units.
    pub units: Range<usize>,
    /// What of which parameters they are.
    pub members: Vec<Member>,
    /// Nodes whose outputs have them as channels, in order.
    pub nodes: Vec<NodeId>,
    /// Why none of them may go.
    pub protected: Option<Protected>,
}

impl Group {
    /// How many units.
    #[must_use]
    pub fn n_units(&self) -> usize {
        self.units.len()
    }

    /// Its units' numbers.
    pub fn unit_ids(&self) -> impl DoubleEndedIterator<Item = UnitId> + ExactSizeIterator + use<> {
        self.units.clone().map(unit_id)
    }
}

/// An axis of a parameter, as far as it belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The parameter.
    pub param: ParamId,
    /// Its axis.
    pub axis: usize,
    /// What an index of it means.
    pub role: AxisRole,
    /// Indices a unit has: 1, unless heads, groups, shuffles or flattened maps go as a whole.
    pub per_unit: usize,
    /// Those of the group's `k`-th unit are `indices[k · per_unit ..][.. per_unit]`, in rising order.
    pub indices: Vec<u32>,
}

impl Member {
    /// The indices of the group's `k`-th unit; none beyond.
    #[must_use]
    pub fn of_unit(&self, k: usize) -> &[u32] {
        self.indices.chunks_exact(self.per_unit.max(1)).nth(k).unwrap_or_default()
    }
}

/// All groups of a graph.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
/// use taper_prune::{Groups, Protect};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let stem = b.conv("stem", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// let expand = b.conv("expand", stem, Conv::pointwise(16), Bias::Without)?;
/// let project = b.conv("project", expand, Conv::pointwise(8), Bias::Without)?;
/// let sum = b.add("sum", stem, project)?;
/// let pooled = b.global_pool("pool", sum, PoolKind::Avg, true)?;
/// let logits = b.linear("classifier", pooled, 10, Bias::With)?;
/// b.output("logits", logits)?;
/// let groups = Groups::of(&b.build()?, &Protect::default())?;
/// let sizes = |group: &taper_prune::Group| (group.n_units(), group.protected.is_some());
/// let sizes: Vec<_> = groups.groups().iter().map(sizes).collect();
/// // The image, the residual sum's channels, the expansion's, the classes.
/// assert_eq!(sizes, [(3, true), (8, false), (16, false), (10, true)]);
/// assert_eq!(groups.groups()[1].members.len(), 4); // stem out, expand in, project out, classifier in
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    graph: Graph,
    groups: Vec<Group>,
    sites: Sites,
    /// The unit of every element of every site.
    units: Vec<UnitId>,
    /// The group of every unit.
    group_of: Vec<u32>,
}

impl Groups {
    /// The groups of a graph, those protected too, in its order.
    ///
    /// Every channel of every node, and every index of every parameter's axis that stands for channels, belongs to exactly one unit, and
    /// every unit to exactly one group.
    ///
    /// # Errors
    /// [`Error::UnknownName`](crate::Error::UnknownName) if `protect` names what is not there;
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a graph beyond any network.
    pub fn of(graph: &Graph, protect: &Protect) -> Result<Self> {
        let sites = Sites::of(graph)?;
        let mut coupling = Coupling::new(graph, &sites);
        coupling.couple();
        coupling.protect(protect)?;
        let found = coupling.finish();
        Ok(gathered(graph.clone(), sites, found))
    }

    /// The graph whose groups they are.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All groups, in the order of the graph.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Units of all groups.
    #[must_use]
    pub fn n_units(&self) -> usize {
        self.group_of.len()
    }

    /// The index of a unit's group.
    #[must_use]
    pub fn group_of(&self, unit: UnitId) -> Option<usize> {
        self.group_of.get(unit.index()).map(|group| *group as usize)
    }

    /// The unit of every index of an axis; `None` for one whose indices stand for no channels.
    #[must_use]
    pub fn of_axis(&self, param: ParamId, axis: usize) -> Option<&[UnitId]> {
        self.sites.of_axis(param, axis).and_then(|range| self.units.get(range))
    }

    /// The unit of every channel of a node's output; none for a node of another graph.
    #[must_use]
    pub fn of_node(&self, node: NodeId) -> &[UnitId] {
        self.sites.of_node(node).and_then(|range| self.units.get(range)).unwrap_or_default()
    }

    /// The name of the first node or parameter that a group touches, for messages.
    #[must_use]
    pub fn label(&self, group: &Group) -> &str {
        let node = group.nodes.first().map(|id| self.graph.node(*id).name());
        let param = || group.members.first().map(|member| &*self.graph.param(member.param).name);
        node.or_else(param).unwrap_or_default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sites have fewer elements than 2³²")]
fn unit_id(unit: usize) -> UnitId {
    UnitId(unit as u32)
}

/// Where a connected component's elements lie: site and how many, sites rising; and why it is protected.
type Key = (Vec<(u32, u32)>, Option<u32>);

/// Groups of the components that are connected.
fn gathered(graph: Graph, sites: Sites, found: Components) -> Groups {
    let Components { of: component_of, reason_of, reasons } = found;
    let n = reason_of.len();
    let keys = keys(&sites, &component_of, reason_of);
    // Components by group, both in order of their first element.
    let mut by_key: HashMap<&Key, usize> = HashMap::new();
    let mut parts: Vec<(&Key, Vec<usize>)> = Vec::new();
    for (component, key) in keys.iter().enumerate() {
        let place = *by_key.entry(key).or_insert(parts.len());
        match parts.get_mut(place) {
            Some((_, components)) => components.push(component),
            None => parts.push((key, vec![component])),
        }
    }
    let (mut unit_of, mut group_of) = (vec![UnitId(0); n], Vec::with_capacity(n));
    for (group, (_, components)) in parts.iter().enumerate() {
        for component in components {
            unit_of[*component] = unit_id(group_of.len());
            group_of.push(unit_id(group).0);
        }
    }
    let units: Vec<UnitId> = component_of.iter().map(|c| unit_of[*c as usize]).collect();
    let mut groups = Vec::with_capacity(parts.len());
    let mut start = 0;
    for (key, components) in &parts {
        let units = start..start + components.len();
        start = units.end;
        let reason = key.1.and_then(|reason| reasons.get(reason as usize)).cloned();
        groups.push(empty(&graph, &sites, &key.0, units, reason));
    }
    let mut all = Groups { graph, groups, sites, units, group_of };
    all.fill_members();
    all
}

/// Sites and counts of every component, in the order of sites.
fn keys(sites: &Sites, component_of: &[u32], reasons: Vec<Option<u32>>) -> Vec<Key> {
    let mut keys: Vec<Key> = reasons.into_iter().map(|reason| (Vec::new(), reason)).collect();
    for (site, range) in sites.ranges().enumerate() {
        let site = unit_id(site).0;
        for component in &component_of[range] {
            let touched = &mut keys[*component as usize].0;
            match touched.last_mut() {
                Some((last, count)) if *last == site => *count += 1,
                Some(_) | None => touched.push((site, 1)),
            }
        }
    }
    keys
}

/// A group whose members have no indices yet.
fn empty(
    graph: &Graph,
    sites: &Sites,
    touched: &[(u32, u32)],
    units: Range<usize>,
    reason: Option<Protected>,
) -> Group {
    let (mut members, mut nodes) = (Vec::new(), Vec::new());
    for (site, count) in touched {
        match sites.place(*site as usize) {
            Place::Node(node) => nodes.push(node),
            Place::Axis { param, axis } => {
                let (role, per_unit) = (graph.param(param).axes[axis], *count as usize);
                let indices = vec![0; units.len() * per_unit];
                members.push(Member { param, axis, role, per_unit, indices });
            }
        }
    }
    let indivisible = (units.len() == 1).then_some(Protected::Indivisible);
    Group { units, members, nodes, protected: reason.or(indivisible) }
}

impl Groups {
    fn fill_members(&mut self) {
        for group in &mut self.groups {
            let first = group.units.start;
            let mut filled = vec![0; group.units.len()];
            for member in &mut group.members {
                filled.fill(0);
                let range = self.sites.of_axis(member.param, member.axis).unwrap_or_default();
                for (index, unit) in self.units[range].iter().enumerate() {
                    let Some(k) = unit.index().checked_sub(first) else { continue };
                    let Some(count) = filled.get_mut(k) else { continue };
                    member.indices[k * member.per_unit + *count] = unit_id(index).0;
                    *count += 1;
                }
            }
        }
    }
}
