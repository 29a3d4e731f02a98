//! What can be wrong when counting.
//!
//! Above: every function of this crate. Below: `taper-graph`, `taper-plan`. Not here: impossible networks (`taper_graph::Error`).

/// A network that cannot be counted at that size.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// The network does not take an image of that size.
    #[error("the network does not take an image of {h}x{w}")]
    Size {
        h: usize,
        w: usize,
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// The network's memory cannot be planned.
    #[error("the memory for images of {h}x{w} cannot be planned")]
    Plan {
        h: usize,
        w: usize,
        #[source]
        source: Box<taper_plan::Error>,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
