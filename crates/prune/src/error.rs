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
    /// A word that is no option.
    #[error("`{got}` is no {what}; one is {}", known.join(", "))]
    UnknownWord { what: &'static str, got: String, known: Vec<&'static str> },
    /// A criterion that needs pictures, without what they said.
    #[error(
        "`{criterion}` needs {what} of the network on pictures; give a folder of pictures to gather them from, or take a criterion that reads weights alone, such as `l2`"
    )]
    NoEvidence { criterion: String, what: &'static str },
    /// A parameter without a gradient.
    #[error(
        "`{criterion}` needs the gradient of `{name}`, which has none; gather gradients with nothing frozen"
    )]
    NoGradient { criterion: String, name: String },
    /// A channel whose activations were not watched.
    #[error("the channels of `{name}` have no activations; gather those of all nodes")]
    NotWatched { name: String },
    /// Evidence of another network.
    #[error("the {what} of {name} are {got} and should be {expected}: they are of another network")]
    EvidenceShape { what: &'static str, name: String, got: usize, expected: usize },
    /// NaN or infinite numbers.
    #[error(
        "the {what} of `{name}` are not all finite numbers; train it again or take weights from before that happened"
    )]
    NotFinite { what: &'static str, name: String },
    /// Scores that decide nothing.
    #[error("`{criterion}` {reason}; {cure}")]
    NothingToSay { criterion: String, reason: &'static str, cure: &'static str },
    /// Scores of another network.
    #[error("there are {got} scores for {expected} units")]
    ScoreCount { got: usize, expected: usize },
    /// Text that is no amount.
    #[error("`{got}` is no amount; write a share (`0.5`, `50%`) or a number (`150M`, `8000`)")]
    Amount { got: String },
    /// A number that is no limit.
    #[error("{what} is {got}, it must be {expected}")]
    Limit { what: &'static str, got: String, expected: &'static str },
    /// Targets that are none, or contradict one another.
    #[error("{what}")]
    Targets { what: String },
    /// A target that needs no cut.
    #[error(
        "nothing need be cut: the {metric} are {got} already, the target is {target}; give a smaller one"
    )]
    AlreadyMet { metric: String, target: String, got: String },
    /// A target below what limits and protection leave.
    #[error(
        "the {metric} cannot be cut from {before} to {target}: {least} is the least, since {held}; give a larger target, or loosen the limits or what is protected"
    )]
    Unreachable { metric: String, target: String, least: String, before: String, held: String },
    /// A latency without a clock.
    #[error("a target for the latency needs a price: a function that measures or predicts seconds")]
    NoPrice,
    /// A price that could not be told.
    #[error("the time of a cut network could not be told")]
    Price {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cost of the network or of the cut one.
    #[error("the network's cost cannot be told")]
    Cost {
        #[from]
        source: taper_cost::Error,
    },
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
