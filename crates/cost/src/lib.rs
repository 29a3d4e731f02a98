//! What a network costs: parameters, operations, memory and predicted time of a graph at an input size.
//!
//! Above: `taper-engine`, `taper-recipes`, pruning. Below: `taper-graph`, `taper-plan`. Not here: weights (`taper-model`), measuring
//! (`taper-engine`).
//!
//! [`of`] counts node by node, [`NetworkCost::tree`] gathers by scope, [`inference_memory`] and [`training_memory`] ask the plan that the
//! engine obeys. Counts are types of their own, so that multiply-accumulates are never added to operations or bytes.
//!
//! ```
//! use taper_graph::{Bias, Conv, GraphBuilder, PoolKind};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut b = GraphBuilder::new(3)?;
//! let xs = b.conv("stem.conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
//! let xs = b.conv("stem.dw", xs, Conv::depthwise(8, 3, 1), Bias::Without)?;
//! let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
//! let xs = b.linear("classifier", xs, 10, Bias::With)?;
//! b.output("logits", xs)?;
//! let graph = b.build()?;
//!
//! let cost = taper_cost::of(&graph, [32, 32])?;
//! assert_eq!(cost.total().params.to_string(), "378");
//! assert_eq!(cost.total().macs().to_string(), "73.8 k");
//! for part in cost.tree(&graph).parts {
//!     println!("{:12} {:>8} MACs {:>8}", part.name, part.cost.macs().to_string(), part.cost.params);
//! }
//! let memory = taper_cost::inference_memory(&graph, &["logits"], [1, 32, 32], 1)?;
//! assert_eq!(memory.timeline.at_peak[0].name, "stem.conv");
//! # Ok(()) }
//! ```

mod count;
mod error;
pub mod latency;
mod memory;
mod scope;
mod timeline;
mod unit;
mod units;
pub mod what_if;
mod work;

pub use count::{
    Cost, NetworkCost, adaptive_window, covered, macs, of, of_trained, op_flops, op_macs, params,
};
pub use error::{Error, Result};
pub use latency::{Calibration, GradientTimes, LatencyModel, Prediction, Roof};
pub use memory::{
    InferenceMemory, TrainingMemory, inference_memory, training_memory, training_memory_above,
    training_memory_of,
};
pub use scope::ScopeCost;
pub use timeline::{LiveTensor, Moment, Pass, Timeline};
pub use unit::{Bytes, Elements, Flops, Macs, Params, Seconds};
pub use units::{UnitCost, UnitKind, UnitShape, inference_units, training_units, units};
pub use work::Work;

#[cfg(test)]
mod tests;
