//! What a session or a trainer will do, before it does it: fused units, live ranges and the one arena they share.
//!
//! Above: `taper-engine`, which obeys a plan; `taper-cost`, which counts over it. Below: `taper-graph`. Not here: kernels, numbers,
//! the memory itself (`taper-engine`).
//!
//! A [`FusedGraph`] is a graph read as [`Unit`]s: a convolution, the norm and the activation behind it are one, with one stored
//! [`Value`]. An [`InferencePlan`] decides what a session fuses further, and in which bands of rows it runs; a [`TrainingPlan`]
//! where gradients go. Both end in a [`MemoryPlan`]: every tensor has a [`LiveRange`], and tensors that do not live at the same
//! moment share elements of the arena. All of it is arithmetic on sizes: the same arguments give the same plan.
//!
//! ```
//! use taper_graph::{Activation, Bias, Conv, GraphBuilder};
//! use taper_plan::inference::ExecutionOrder;
//! use taper_plan::{InferencePlan, TrainingPlan};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut b = GraphBuilder::new(3)?;
//! let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
//! let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
//! let xs = b.activation("act", xs, Activation::Relu6)?;
//! b.output("features", xs)?;
//! let graph = b.build()?;
//!
//! let inference = InferencePlan::new(&graph, &[xs], [32, 32])?;
//! assert_eq!(inference.fused.units.len(), 1);
//! // The map of 16x16x8, and in training the image and the map's gradient too.
//! let map = 16 * 16 * 8;
//! assert_eq!(inference.memory(&graph, [32, 32], ExecutionOrder::Units)?.arena.total, map);
//! let training = TrainingPlan::new(&graph, &["features"], &[true; 5])?;
//! assert_eq!(training.memory(&graph, [1, 32, 32])?.total, 32 * 32 * 3 + 2 * map);
//! # Ok(()) }
//! ```

mod error;
pub mod fused;
pub mod inference;
mod memory;
pub mod training;

pub use error::{Error, Result};
pub use fused::{FusedGraph, Unit, UnitOp, Value};
pub use inference::{InferenceMemory, InferencePlan};
pub use memory::{ALIGNMENT, LiveRange, MemoryPlan, peak};
pub use training::{Recompute, TrainingMemory, TrainingPlan};

#[cfg(test)]
mod tests;
