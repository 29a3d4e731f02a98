//! What a network costs: parameters, multiply-accumulates and memory of a graph at an input size.
//!
//! Above: `taper-engine`, `taper-recipes`, pruning. Below: `taper-graph`, `taper-plan`. Not here: weights (`taper-model`), measured time (`taper bench`).

mod count;
mod error;
mod memory;
mod unit;
mod what_if;

pub use count::{NodeCost, macs, nodes, op_macs, params, units};
pub use error::{Error, Result};
pub use memory::{Memory, inference_memory, training_memory};
pub use unit::{Bytes, Macs, Params};
pub use what_if::{Change, Factor, Removable, RemovablePart, Sweep, apply, removable};

#[cfg(test)]
mod tests;
