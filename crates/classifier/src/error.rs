//! What can go wrong when pictures are classified.
//!
//! Above: all of this crate. Below: the errors of `model`, `engine`, `data`. Not here: wrong requests of a command (`recipes`).

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate; causes are in `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model file cannot be used.
    #[error("the model cannot be loaded")]
    Model {
        /// Why.
        #[source]
        source: taper_model::Error,
    },
    /// The network cannot be run.
    #[error("the network cannot be run")]
    Engine {
        /// Why.
        #[source]
        source: taper_engine::Error,
    },
    /// The network's logits are a map instead of one number a class.
    #[error(
        "the network's logits are {h}x{w} positions of {channels} numbers; a classifier has one number a class (use `taper_engine::Session` for maps)"
    )]
    NotAClassifier {
        /// Rows of the map.
        h: usize,
        /// Columns of the map.
        w: usize,
        /// Numbers at each position.
        channels: usize,
    },
    /// Classes were asked of a model that predicts numbers.
    #[error(
        "the model predicts numbers ({names}), no classes; ask for its logits, which are these numbers"
    )]
    PredictsNumbers {
        /// Their names.
        names: String,
    },
    /// Pictures of other things cannot be told.
    #[error(
        "the model file does not say which pictures are like those it was trained on; ask at the size it was trained at, which is the only one it was measured at, or fine-tune it with this version to measure it"
    )]
    NoFamiliarity,
    /// The transform makes pictures of other channels than the network takes.
    #[error(
        "the network takes {expected} channels, pictures are prepared with {got} (give a transform with as many, or a network for colors)"
    )]
    Channels {
        /// Channels the network takes.
        expected: usize,
        /// Channels there would be.
        got: usize,
    },
    /// What the model says about its pictures cannot be done.
    #[error("pictures cannot be prepared as the model asks")]
    Preprocess {
        /// Why.
        #[source]
        source: taper_data::Error,
    },
    /// A picture cannot be used.
    #[error("{input} cannot be classified")]
    Picture {
        /// Which one: its path, or what it was given as.
        input: String,
        /// Why.
        #[source]
        source: Box<taper_data::Error>,
    },
}
