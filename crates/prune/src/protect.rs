//! Channels that stay: what the user names, and what a network cannot lose.
//!
//! Above: `groups`. Below: `taper_graph`. Not here: least numbers of channels a layer, which are limits of a budget.

use std::fmt;

use serde::Serialize;
use taper_graph::{Graph, NodeId, nearest};

use crate::{Error, Result};

/// Names of what shall keep all of its channels: nodes (`conv_stem`), scopes (`blocks.3.0`), or what their names begin with up to a dot
/// (`blocks.3` for `blocks.3.0.conv`).
///
/// # Examples
/// ```
/// use taper_prune::Protect;
/// assert_eq!(Protect::names(["conv_stem", "blocks.6"]).names.len(), 2);
/// assert!(Protect::default().names.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protect {
    /// The names.
    pub names: Vec<String>,
}

impl Protect {
    /// Protects what has these names.
    pub fn names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect() }
    }

    /// All nodes of a graph that the names protect.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a name that the graph does not have.
    pub fn nodes_of(&self, graph: &Graph) -> Result<Vec<NodeId>> {
        Ok(self.nodes(graph)?.into_iter().flat_map(|(_, nodes)| nodes).collect())
    }

    /// The nodes of every name.
    pub(crate) fn nodes(&self, graph: &Graph) -> Result<Vec<(&str, Vec<NodeId>)>> {
        self.names.iter().map(|name| Ok((name.as_str(), named(graph, name)?))).collect()
    }
}

fn named(graph: &Graph, name: &str) -> Result<Vec<NodeId>> {
    let below = |full: &str| full.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let scope = graph.find_scope(name);
    let nodes = graph.node_ids().filter(|id| {
        let full = graph.node(*id).name();
        full == name || below(full) || scope.is_some_and(|scope| scope.contains(*id))
    });
    let nodes: Vec<NodeId> = nodes.collect();
    if !nodes.is_empty() {
        return Ok(nodes);
    }
    let nodes = graph.nodes().iter().map(taper_graph::Node::name);
    let known = nodes.chain(graph.scopes().iter().map(taper_graph::Scope::name));
    let nearest = nearest(name, known).unwrap_or_default().to_owned();
    Err(Error::UnknownName { name: name.to_owned(), nearest })
}

/// Why channels stay. `Display` says it, with the node's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Protected {
    /// They are those of the image.
    Image,
    /// They are those of this output.
    Output(String),
    /// The user named them.
    ByName(String),
    /// They are normalized together.
    Normalized {
        /// Name of the norm.
        node: String,
    },
    /// Keys and values that all heads share.
    SharedKeys {
        /// Name of the attention.
        node: String,
    },
    /// How an operation's channels depend on its input's is not known.
    Opaque {
        /// Its name.
        node: String,
        /// The operation.
        op: &'static str,
    },
    /// The axis of a grouped convolution's weight that runs over the channels of one group.
    WithinGroups {
        /// Name of the convolution.
        node: String,
    },
    /// All go together, and nothing would be left.
    Indivisible,
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image => write!(f, "channels of the image"),
            Self::Output(name) => write!(f, "channels of output `{name}`"),
            Self::ByName(name) => write!(f, "`{name}` is protected by name"),
            Self::Normalized { node } => {
                write!(f, "`{node}` normalizes them together: silencing one is not removing it")
            }
            Self::SharedKeys { node } => {
                write!(f, "keys and values that all heads of `{node}` share")
            }
            Self::Opaque { node, op } => {
                write!(f, "no rule says how the channels of {op} `{node}` depend on its input's")
            }
            Self::WithinGroups { node } => {
                write!(f, "channels within a group of `{node}`: groups go as a whole")
            }
            Self::Indivisible => write!(f, "all of them go together, and nothing would be left"),
        }
    }
}
