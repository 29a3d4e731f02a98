//! What can go wrong when a graph is planned.
//!
//! Above: all of this crate. Below: `taper-graph`'s errors. Not here: what goes wrong while a plan runs (`taper-engine`).

/// A graph that cannot be planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A batch whose tensors no address can reach, or one of no images.
    #[error("a batch of {batch} images of {h}x{w} cannot be laid out")]
    Batch {
        /// Images in the batch.
        batch: usize,
        /// Rows of an image.
        h: usize,
        /// Columns of an image.
        w: usize,
    },
    /// Marks of another number than parameters.
    #[error("{got} marks say which parameters are trained, the graph has {expected}")]
    Marks {
        /// How many there are.
        got: usize,
        /// Parameters of the graph.
        expected: usize,
    },
    /// A node without what its operation needs, which no graph that was built has: a bug of this library.
    #[error("node `{node}` {what}; this is a bug, please report it with the network")]
    Internal {
        /// Name of the node.
        node: String,
        /// What is missing.
        what: &'static str,
    },
    /// The graph refused.
    #[error("the graph cannot be planned")]
    Graph(#[from] taper_graph::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
