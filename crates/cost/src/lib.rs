//! What a network costs: parameters and multiply-accumulates of a graph at an input size.
//!
//! Above: `taper-recipes`, pruning. Below: `taper-graph`. Not here: weights (`taper-model`), measured time (`taper bench`).

mod count;
mod error;
mod unit;

pub use count::{NodeCost, macs, nodes, params};
pub use error::{Error, Result};
pub use unit::{Macs, Params};

#[cfg(test)]
mod tests;
