//! What can be wrong with a name or with weights.
//!
//! Above: every function of this crate. Below: `taper-graph`, `taper-model`. Not here: failed downloads (`hub::Error`).

/// A network or weights that cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// A name that no architecture or weights have.
    #[error("there is no network `{name}`; did you mean `{nearest}`? `taper models` lists all")]
    UnknownName { name: String, nearest: String },
    /// An architecture without published weights.
    #[error("there are no published weights for `{name}`; train it from random ones")]
    NoWeights { name: String },
    /// Weights that are not in the binary.
    #[error("the weights `{name}` are not embedded; fetch {from} and give the file's path")]
    NotEmbedded { name: String, from: String },
    /// Weights that no source gave.
    #[error("cannot get the weights `{name}`:{failures}\nby hand: {cure}")]
    NotObtained { name: String, failures: String, cure: String },
    /// Variables of the environment, or a download that was stopped.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub { source: Box<crate::hub::Error> },
    /// The network cannot be built.
    #[error("cannot build `{name}`")]
    Graph {
        name: String,
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// The weights do not fit.
    #[error("cannot use the weights `{name}`")]
    Model {
        name: String,
        #[source]
        source: Box<taper_model::Error>,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
