//! Named ranges of nodes: stem, stages, blocks, head.
//!
//! Above: `graph`; freezing, learning rates, cost totals and taps go by scope. Below: nothing. Not here: making one (`builder`).
//! Scopes nest or are disjoint.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::NodeId;

/// A named part of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub(crate) name: String,
    pub(crate) kind: ScopeKind,
    pub(crate) nodes: Range<usize>,
    pub(crate) reduction: u32,
}

impl Scope {
    /// Name in timm's spelling: `blocks.3`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which part it is.
    #[must_use]
    pub fn kind(&self) -> ScopeKind {
        self.kind
    }

    /// Its nodes.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        self.nodes.clone().map(NodeId::new)
    }

    /// Whether the node lies in it.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.nodes.contains(&node.index())
    }

    /// The node that the rest of the network reads: the last.
    #[must_use]
    pub fn last(&self) -> NodeId {
        NodeId::new(self.nodes.end - 1)
    }

    /// Total stride from the image to [`Scope::last`]: 32 says that one position stands for 32x32 pixels. Pools over all
    /// positions do not count.
    #[must_use]
    pub fn reduction(&self) -> u32 {
        self.reduction
    }
}

/// The parts of a classification network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeKind {
    /// The first layers, up to the first block.
    Stem,
    /// Blocks of one resolution.
    Stage,
    /// The unit of repetition.
    Block,
    /// One way through a block.
    Branch,
    /// What follows the last stage, up to `pre_logits`.
    Head,
    /// The layers that make logits.
    Classifier,
}
