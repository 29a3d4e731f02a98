//! What can go wrong when a graph is prepared or run.
//!
//! Above: all of this crate. Below: `graph`'s errors. Not here: errors of files (`model`).

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation that has no kernel yet.
    #[error("node `{node}`: the engine cannot run {what}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// Which operation, and what about it.
        what: String,
    },
    /// A slice of the wrong length.
    #[error("{what} has {got} elements, expected {expected}")]
    Length {
        /// Which slice.
        what: String,
        /// Its length.
        got: usize,
        /// What the graph and the batch say.
        expected: usize,
    },
    /// Batch statistics of a single value do not exist.
    #[error(
        "batch norm `{node}` sees one value a channel (batch {batch}, {h}x{w}): its variance is undefined; use a larger batch \
         or image, or freeze the norm"
    )]
    SingleValue {
        /// Name of the node.
        node: String,
        /// Images in the batch.
        batch: usize,
        /// Rows of the map.
        h: usize,
        /// Columns of the map.
        w: usize,
    },
    /// Parts of a batch do not know what all of them come to.
    #[error("no sum over all parts of the batch")]
    Sum {
        /// What the caller's sum said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// More threads than any machine has.
    #[error("threads is {got}, expected from 0, for all cores, to {most}")]
    Threads {
        /// How many were asked for.
        got: usize,
        /// The most there can be.
        most: usize,
    },
    /// A unit does not fit what it is to be run with: a bug of this library.
    #[error("node `{node}` {what}; this is a bug, please report it with the network")]
    Internal {
        /// Name of the unit's node.
        node: String,
        /// What does not fit.
        what: &'static str,
    },
    /// `backward` needs a `forward` before it, each time.
    #[error("backward was called without a forward before it")]
    NoForward,
    /// The graph, or a batch of this shape, cannot be planned.
    #[error("the network cannot be planned")]
    Plan(#[from] taper_plan::Error),
    /// The network cannot be counted.
    #[error("the network cannot be counted")]
    Cost(#[from] taper_cost::Error),
    /// Statistics that are no numbers.
    #[error(
        "`{name}` comes to {value} over these batches; look for weights or pixels that are no numbers"
    )]
    NotFinite {
        /// The parameter that they would be.
        name: String,
        /// What they came to.
        value: f32,
    },
    /// The numbers that were computed make no model.
    #[error("the model cannot be made")]
    Model(#[from] taper_model::Error),
    /// The graph refused.
    #[error("the graph cannot be run")]
    Graph(#[from] taper_graph::Error),
}

/// A result of the engine.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn check_len(what: &str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::Length { what: what.to_owned(), got, expected })
}

pub(crate) fn check_params<T>(graph: &taper_graph::Graph, params: &[&[T]]) -> Result<()> {
    check_len("the list of parameters", params.len(), graph.params().len())?;
    for (param, spec) in params.iter().zip(graph.params()) {
        check_len(&format!("parameter `{}`", spec.name), param.len(), spec.len())?;
    }
    Ok(())
}
