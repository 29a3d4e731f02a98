//! Convolutional networks as data: operations, shapes, parameters, scopes and block builders.
//!
//! Above: every crate that runs, counts, prunes or writes networks. Below: nothing. Not here: weights (`taper-model`), which
//! networks there are (`taper-zoo`), running one (`taper-engine`).
//!
//! A [`Graph`] is a list of named [`Node`]s, each an [`Op`] that reads earlier nodes; a list of parameters
//! ([`ParamSpec`]); [`Scope`]s that name ranges of nodes; and named outputs. A [`GraphBuilder`] makes one and refuses
//! impossible networks; [`Graph::from_json`] puts a description through the same checks. Sizes of maps depend on the image
//! and are inferred by [`Graph::extents`].
//!
//! Maps are `(h, w, c)` with the batch implicit; weights have PyTorch's names and shapes.
//!
//! ```
//! use taper_graph::{Activation, Bias, Conv, Extent, Graph, GraphBuilder, PoolKind};
//! # fn main() -> taper_graph::Result<()> {
//! let mut b = GraphBuilder::new(3)?;
//! let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
//! let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
//! let xs = b.activation("act", xs, Activation::Relu6)?;
//! let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
//! let logits = b.linear("classifier", xs, 2, Bias::With)?;
//! b.output("logits", logits)?;
//! let graph = b.build()?;
//!
//! assert_eq!(graph.extents(32, 32)?[logits.index()], Extent::Vector { c: 2 });
//! assert_eq!(Graph::from_json(&graph.to_json())?, graph);
//! # Ok(()) }
//! ```

mod activation;
pub mod blocks;
mod builder;
mod edit;
mod error;
mod flow;
mod fusion;
mod graph;
mod id;
mod json;
mod nearest;
mod op;
mod param;
mod repeat;
mod rewriting;
pub mod scaling;
mod scope;
mod shape;
mod window;

pub use activation::Activation;
pub use builder::GraphBuilder;
pub use error::{Error, Result};
pub use flow::Flow;
pub use fusion::Fusion;
pub use graph::{FORMAT, Graph, Node};
pub use id::{NodeId, ParamId};
pub use nearest::nearest;
pub use op::{Conv, Op, PoolKind, ResizeMode, ResizeTo};
pub use param::{AxisRole, Bias, DType, Init, ParamRole, ParamSpec};
pub use scope::{Scope, ScopeKind};
pub use shape::Extent;
pub use window::{PadMode, Padding, SizeFormula, Window};

#[cfg(test)]
mod tests;
