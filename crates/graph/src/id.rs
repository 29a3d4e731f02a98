//! Names of nodes and parameters as small numbers.
//!
//! Above: every file of this crate and everyone who walks a graph. Below: nothing. Not here: names as text
//! (`Graph::find_node`, `Graph::param_id`).
//! An id is an index into its own graph and means nothing in another one.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u32);

        impl $name {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the builder refuses more than MAX_NODES of either"
            )]
            pub(crate) fn new(index: usize) -> Self {
                Self(index as u32)
            }

            /// Index into the slice of its graph.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A node of a graph: index into [`Graph::nodes`](crate::Graph::nodes).
    NodeId
);
id!(
    /// A parameter of a graph: index into [`Graph::params`](crate::Graph::params).
    ParamId
);
