//! A shaped array of `f32`: what all weights are in memory.
//!
//! Above: everything in this crate. Below: nothing. Not here: arithmetic (`taper-kernels`), candle's tensors.
//! Row-major: the last axis is contiguous.

/// Weights of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Elements in row-major order, as many as the shape says.
    pub data: Vec<f32>,
}
