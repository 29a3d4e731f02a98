//! Convolution kernels on slices, forward and backward, in channels-last layout.
//!
//! Above: `engine`. Below: nothing. Not here: tensors, graphs, memory planning.
//!
//! The one interface is [`Device`]: what a training or inference executor asks of a machine. Two things implement it:
//! [`Reference`], plain loops generic over `f32` and `f64` that read like the formulas, and [`Cpu`], the same operations for
//! `f32` with SIMD on all cores. One property suite holds the second to the first on every instruction set the machine has.
//!
//! Three ideas make training fast, and shape every signature here:
//! - **A tensor is normalized when it is read.** A [`Source`] is a stored convolution output with the scale and shift of its
//!   batch norm and its activation; whoever reads it applies them on the way into cache. Nothing normalized is ever stored.
//! - **A gradient is finished when it is written.** A [`Sink`] multiplies by the activation's derivative and gathers the two
//!   sums that batch norm's backward pass needs, while the values are still in registers.
//! - **Statistics are gathered while a convolution writes** ([`Moments`]).
//!
//! ```
//! use taper_kernels::{Activation, ConvShape, Cpu, Device, Epilogue, Source};
//!
//! // A pointwise convolution of one 2x2 image, 1 channel to 2, with ReLU.
//! let shape = ConvShape::new([1, 2, 2, 1], 2, [1, 1], [1, 1], [1, 1], [0; 4], 1).unwrap();
//! let mut y = [0.0; 8];
//! let epilogue = Epilogue { bias: None, residual: None, activation: Activation::Relu };
//! let xs = Source::plain(&[1.0, -2.0, 3.0, 4.0]);
//! Cpu::new(1).conv_forward(&shape, xs, &[1.0, -1.0], epilogue, &mut y, None);
//! assert_eq!(y, [1.0, 0.0, 0.0, 2.0, 3.0, 0.0, 4.0, 0.0]);
//! ```
#![expect(unsafe_code, reason = "the one home of SIMD; every block argues over its shape")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    clippy::too_many_arguments,
    clippy::needless_range_loop,
    clippy::cast_possible_truncation,
    reason = "one SAFETY argument per kernel; index arithmetic is the subject"
)]

mod activation;
mod attention_shape;
mod buffer;
mod channel_map;
mod cpu;
mod device;
mod matmul_precision;
mod norm_shape;
mod pool_shape;
mod real;
mod reference;
mod shape;
mod simd;
mod sizes;
mod spatial_map;

pub use activation::Activation;
pub use attention_shape::AttentionShape;
pub use buffer::AlignedBuf;
pub use channel_map::ChannelMap;
pub use cpu::{
    BackwardKernel, Cpu, DepthwiseRow, ForwardKernel, Input, InputGradient, Operand, Packed, Split,
    Team, WeightGradient,
};
pub use device::{
    Affine, Attended, ConvGradient, Device, Epilogue, Mask, Moments, NormGradient, Pooling, Sink,
    Source, Tally,
};
pub use matmul_precision::MatmulPrecision;
pub use norm_shape::NormShape;
pub use pool_shape::{PoolShape, PoolWindow};
pub use real::Real;
pub use reference::Reference;
pub use shape::ConvShape;
pub use simd::{Isa, Loops, vectorized};
pub use spatial_map::{Edge, Resampling, SpatialMap};
