//! What can be wrong with pruning.
//!
//! Above: every function of this crate. Below: `protect`, `taper-graph`, `taper-model`. Not here: impossible networks (`taper_graph::Error`).

use crate::{Protected, UnitId};

/// A network that cannot be cut like that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A name to protect that the network does not have.
    #[error(
        "the network has no node or scope `{name}` to protect; the nearest name is `{nearest}`"
    )]
    UnknownName { name: String, nearest: String },
    /// Groups of another graph.
    #[error(
        "the groups are of another network than the one to be cut; make them with `Groups::of` of this one"
    )]
    OtherGraph,
    /// A unit that does not exist.
    #[error("there is no unit {unit:?}, the groups have {known} units")]
    UnknownUnit { unit: UnitId, known: usize },
    /// A unit that must stay.
    #[error("channels of `{node}` cannot be removed: {reason}")]
    Protected { node: String, reason: Box<Protected> },
    /// A group of which nothing would be left.
    #[error(
        "all {units} units of the group of `{node}` would be removed; leave at least one, or remove the whole block (`depth`)"
    )]
    Emptied { node: String, units: usize },
    /// More channels than can be followed.
    #[error("the network has {got} channels and indices to follow, at most {limit} are")]
    TooLarge { got: usize, limit: usize },
    /// The graph after the cut, or its extents.
    #[error("the graph does not fit together")]
    Graph {
        #[from]
        source: taper_graph::Error,
    },
    /// The model after the cut.
    #[error("graph and weights do not fit together after the cut")]
    Model {
        #[from]
        source: taper_model::Error,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
