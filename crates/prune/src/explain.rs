//! What goes together and what stays, in names: the rows behind `taper prune --explain`.
//!
//! Above: `taper-recipes`, pictures of groups. Below: `groups`. Not here: scores, what a group costs.

use serde::Serialize;

use crate::Groups;

/// One group in names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupRow {
    /// Its place among the groups.
    pub id: usize,
    /// How many units it has.
    pub units: usize,
    /// Channels of the nodes' outputs that a unit has: all together, over all nodes.
    pub channels_per_unit: usize,
    /// Parameters and their axes.
    pub members: Vec<MemberRow>,
    /// Names of the nodes whose channels they are, in order.
    pub nodes: Vec<String>,
    /// Why the group stays as it is, if it does.
    pub protected: Option<String>,
}

/// One axis of a parameter in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberRow {
    /// The parameter's name.
    pub parameter: String,
    /// Its axis.
    pub axis: usize,
    /// Indices of the axis that a unit has.
    pub per_unit: usize,
}

/// A row for every group, in the order of the graph.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_prune::{Groups, Protect, explain};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("first", b.input(), Conv::dense(4, 3, 1), Bias::With)?;
/// let xs = b.conv("last", xs, Conv::pointwise(2), Bias::With)?;
/// b.output("features", xs)?;
/// let rows = explain(&Groups::of(&b.build()?, &Protect::names(["first"]))?);
/// assert_eq!((rows[1].units, rows[1].nodes.as_slice()), (4, &["first".to_owned()][..]));
/// let members = rows[1].members.iter().map(|member| (member.parameter.as_str(), member.axis));
/// assert_eq!(members.collect::<Vec<_>>(), [("first.weight", 0), ("first.bias", 0), ("last.weight", 1)]);
/// assert_eq!(rows[1].protected.as_deref(), Some("`first` is protected by name"));
/// assert_eq!(rows[2].protected.as_deref(), Some("channels of output `features`"));
/// # Ok(()) }
/// ```
#[must_use]
pub fn explain(groups: &Groups) -> Vec<GroupRow> {
    let graph = groups.graph();
    let rows = groups.groups().iter().enumerate().map(|(id, group)| {
        let members = group.members.iter().map(|member| MemberRow {
            parameter: graph.param(member.param).name.clone(),
            axis: member.axis,
            per_unit: member.per_unit,
        });
        let channels = group.nodes.iter().map(|node| {
            let units = groups.of_node(*node).iter();
            units.filter(|unit| group.units.contains(&unit.index())).count()
        });
        GroupRow {
            id,
            units: group.n_units(),
            channels_per_unit: channels.sum::<usize>() / group.n_units().max(1),
            members: members.collect(),
            nodes: group.nodes.iter().map(|node| graph.node(*node).name().to_owned()).collect(),
            protected: group.protected.as_ref().map(ToString::to_string),
        }
    });
    rows.collect()
}
