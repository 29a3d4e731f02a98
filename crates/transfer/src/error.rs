//! What can be wrong with a head, a stage or a backbone.
//!
//! Above: every file of this crate. Below: the errors of `graph`, `model`, `engine`. Not here: training (`train`).

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal that names the node or the stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no part of the network.
    #[error("there is no stage `{name}`; use `none`, `backbone`, or one of {}", known.join(", "))]
    UnknownStage {
        /// The name given.
        name: String,
        /// The names there are, from the image on.
        known: Vec<String>,
    },
    /// The classifier reads more than the pooled vector.
    #[error(
        "`{node}` reads the backbone besides `pre_logits`, so features cannot be computed once"
    )]
    HeadReadsBackbone {
        /// The node.
        node: String,
    },
    /// The backbone's features are a map.
    #[error("the output `pre_logits` is a map, features are cached as vectors")]
    FeaturesAreMaps,
    /// There is nothing to make a class of.
    #[error(
        "the pictures of class {class} have no features of their own: there are none, or they look like all others to the network"
    )]
    FewFeatures {
        /// Its index.
        class: usize,
    },
    /// Features, and how much each is of each class, are not of the same pictures.
    #[error(
        "{belongs} shares of pictures in {classes} classes do not fit {features} numbers of features: one row of each is expected for every picture, and one picture at least"
    )]
    Members {
        /// Numbers of features.
        features: usize,
        /// Shares given.
        belongs: usize,
        /// Classes.
        classes: usize,
    },
    /// A head that belongs to another network.
    #[error("the head has a parameter `{name}` that does not fit the network")]
    ForeignHead {
        /// The parameter.
        name: String,
    },
    /// The graph refused.
    #[error("the graph refused")]
    Graph {
        /// Why.
        #[source]
        source: Box<taper_graph::Error>,
    },
    /// The model refused.
    #[error("the model refused")]
    Model {
        /// Why.
        #[source]
        source: Box<taper_model::Error>,
    },
    /// The engine refused.
    #[error("the engine refused")]
    Engine {
        /// Why.
        #[source]
        source: Box<taper_engine::Error>,
    },
}

impl From<taper_graph::Error> for Error {
    fn from(source: taper_graph::Error) -> Self {
        Self::Graph { source: Box::new(source) }
    }
}

impl From<taper_model::Error> for Error {
    fn from(source: taper_model::Error) -> Self {
        Self::Model { source: Box::new(source) }
    }
}

impl From<taper_engine::Error> for Error {
    fn from(source: taper_engine::Error) -> Self {
        Self::Engine { source: Box::new(source) }
    }
}
