//! Which kernel a convolution runs on, and why: one decision, which the dispatch matches on and reports print.
//!
//! Above: `cpu`, `cpu::{matrix, depthwise}`; `engine` and reports. Below: `shape`, `cpu::matrix`. Not here: the kernels.
//! A choice follows from the shape, the instruction set, the threads and what is fused into reading the input, never from values.

use super::matrix::{self, Merged, flipped_shape};
use crate::{ConvShape, Isa, Source};

/// What happens to the values of a convolution's input while they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// They are used as they are stored.
    Stored,
    /// A norm or an activation is applied to them; see [`Source`].
    Pending,
    /// They are multiplied by a gate, one factor an image and channel; see [`Cpu::conv_gated`](crate::Cpu::conv_gated).
    Gated,
}

impl Input {
    /// What a source asks for.
    pub(super) fn of(xs: &Source<'_, f32>) -> Self {
        if xs.is_plain() { Self::Stored } else { Self::Pending }
    }
}

/// Where a kernel finds the input that it multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Where it lies in memory.
    InPlace,
    /// In a copy in cache, a few rows at a time, made ready on the way in.
    Copied,
    /// In a copy in cache, a few rows at a time, multiplied by the gate.
    Scaled,
    /// Where it lies in memory: a copy of the weights is multiplied by the gate instead, once an image.
    WeightsScaled,
}

/// What the threads of a product share out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Positions of the output; every thread reads all weights.
    Rows,
    /// Output channels, by panels of packed weights; every thread reads the whole input.
    Panels,
}

/// How a row of a depthwise convolution's output is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepthwiseRow {
    /// Several neighboring outputs at once, for windows of 3 columns and stride 1.
    Blocked3,
    /// Likewise, stride 2.
    Blocked3Stride2,
    /// Likewise, 5 columns and stride 1.
    Blocked5,
    /// Likewise, stride 2.
    Blocked5Stride2,
    /// One output after the other, for any window, stride and dilation.
    Single,
}

impl DepthwiseRow {
    fn of(s: &ConvShape) -> Self {
        match (s.kernel[1], s.stride[1], s.dilation[1]) {
            (3, 1, 1) => Self::Blocked3,
            (3, 2, 1) => Self::Blocked3Stride2,
            (5, 1, 1) => Self::Blocked5,
            (5, 2, 1) => Self::Blocked5Stride2,
            _ => Self::Single,
        }
    }
}

/// The kernel of a convolution's forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardKernel {
    /// Every channel has a filter of its own; vectors run along the channels.
    Depthwise {
        /// How a row is computed.
        row: DepthwiseRow,
        /// Where the input is read.
        operand: Operand,
        /// Bands of output rows an image is cut into, so that every thread has work.
        bands: usize,
    },
    /// One matrix product, a row a position.
    Pointwise {
        /// Where the input is read.
        operand: Operand,
        /// What threads share out.
        split: Split,
    },
    /// A matrix product a group whose rows are windows, read where they lie in bands of padded input rows (implicit im2col).
    Dense {
        /// Groups computed as one, so that their outputs fill a vector.
        merged: usize,
        /// Bands that share a panel of weights while it is in cache.
        bands: usize,
        /// What threads share out.
        split: Split,
    },
}

impl ForwardKernel {
    /// The kernel on which [`Cpu`](crate::Cpu) runs a convolution with so many threads.
    ///
    /// A gate is one of a pointwise convolution.
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::{ConvShape, ForwardKernel, Input, Isa};
    /// let shape = ConvShape::new([1, 56, 56, 24], 144, [1, 1], [1, 1], [1, 1], [0; 4], 1).unwrap();
    /// let kernel = ForwardKernel::of(&shape, Isa::best(), 1, Input::Stored);
    /// assert_eq!(kernel.name(), "pointwise");
    /// assert_eq!(
    ///     kernel.reason(&shape),
    ///     "the kernel is 1x1, the stride 1x1, there is one group and no padding: \
    ///      one product of a 3136x24 and a 24x144 matrix, the first read where it lies"
    /// );
    /// ```
    #[must_use]
    pub fn of(shape: &ConvShape, isa: Isa, threads: usize, input: Input) -> Self {
        if shape.is_depthwise() {
            let operand = if input == Input::Stored { Operand::InPlace } else { Operand::Copied };
            let bands = super::depthwise::bands(shape, isa.lanes(), threads);
            return Self::Depthwise { row: DepthwiseRow::of(shape), operand, bands };
        }
        let merged = Merged::new(shape, isa.lanes());
        let split = matrix::split(isa, &merged.shape, threads);
        if shape.is_pointwise() {
            let operand = match input {
                Input::Stored => Operand::InPlace,
                Input::Pending => Operand::Copied,
                // The factor with less to multiply takes the gate: the positions of an image against the output channels, each as many
                // times as the gate is long. By the shape alone: how many threads share an image must not change what is rounded.
                Input::Gated if shape.oc <= shape.oh * shape.ow => Operand::WeightsScaled,
                Input::Gated => Operand::Scaled,
            };
            return Self::Pointwise { operand, split };
        }
        let bands = matrix::bands_at_once(isa, &merged.shape);
        Self::Dense { merged: merged.count(), bands, split }
    }

    /// One word for reports: `depthwise`, `pointwise` or `dense`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Depthwise { .. } => "depthwise",
            Self::Pointwise { .. } => "pointwise",
            Self::Dense { .. } => "dense",
        }
    }

    /// Why it is this kernel for the shape it was chosen for: the condition that holds, with its numbers, and what the kernel does.
    #[must_use]
    pub fn reason(self, shape: &ConvShape) -> String {
        let ConvShape { h, w, c, oh, ow, oc, groups, kernel: [kh, kw], stride: [sh, sw], .. } =
            *shape;
        let positions = shape.output_positions();
        match self {
            Self::Depthwise { .. } => format!(
                "groups {groups} = channels in {c} = channels out {oc}: every channel has one filter of its own, \
                 and vectors run along the channels"
            ),
            Self::Pointwise { operand, split } => {
                let read = match operand {
                    Operand::InPlace => "read where it lies",
                    Operand::Copied => "made ready a few rows at a time",
                    Operand::Scaled => "multiplied by the gate a few rows at a time",
                    Operand::WeightsScaled => {
                        "read where it lies, the second multiplied by the gate"
                    }
                };
                format!(
                    "the kernel is 1x1, the stride 1x1, there is one group and no padding: \
                     one product of a {positions}x{c} and a {c}x{oc} matrix, the first {read}{}",
                    shared(split)
                )
            }
            Self::Dense { merged, split, .. } => {
                let (products, out) = (groups / merged, oc / groups * merged);
                let terms = shape.weight_len() / oc * merged;
                let products = match products {
                    1 => "one product".to_owned(),
                    many => format!("{many} products"),
                };
                let merging = match merged {
                    1 => String::new(),
                    _ => format!(", {merged} groups merged into one so that they fill a vector"),
                };
                format!(
                    "neither depthwise (groups {groups}, channels in {c}, out {oc}) nor pointwise (kernel {kh}x{kw}, stride {sh}x{sw}, \
                     {h}x{w} to {oh}x{ow}): {products} of a {positions}x{terms} and a {terms}x{out} matrix, the first read tap by tap from \
                     bands of input rows{merging}{}",
                    shared(split)
                )
            }
        }
    }
}

fn shared(split: Split) -> &'static str {
    match split {
        Split::Rows => "",
        Split::Panels => ", output channels shared out among the threads",
    }
}

/// How the gradient of a convolution's input is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InputGradient {
    /// A row at a time from the rows of gradients that touch it.
    Depthwise,
    /// One matrix product, a row a position.
    Product,
    /// The forward pass of a convolution with the filters flipped, from the gradient: strides are 1.
    Flipped(ForwardKernel),
    /// A matrix product a group whose rows are added back to the windows they belong to (col2im).
    Scattered,
}

/// How the gradient of a convolution's weight is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightGradient {
    /// Dot products of rows of the input with rows of gradients.
    Depthwise,
    /// A product of the transposed gradient with the input where it lies.
    InPlace,
    /// A product of the transposed gradient with rows of the input, or windows of it, that are copied first (im2col).
    Copied,
    /// Products of the transposed gradient with bands of padded input rows, a row of taps each (implicit im2col).
    Bands,
}

/// The kernels of a convolution's backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackwardKernel {
    /// Of the input's gradient, when it is asked for.
    pub input: InputGradient,
    /// Of the weight's gradient, when it is asked for.
    pub weight: WeightGradient,
}

impl BackwardKernel {
    /// The kernels on which [`Cpu`](crate::Cpu) runs the backward pass of a convolution with so many threads.
    ///
    /// # Examples
    /// ```
    /// use taper_kernels::{BackwardKernel, ConvShape, Input, InputGradient, Isa, WeightGradient};
    /// let shape = ConvShape::new([1, 56, 56, 24], 48, [3, 3], [2, 2], [1, 1], [1; 4], 1).unwrap();
    /// let kernel = BackwardKernel::of(&shape, Isa::best(), 1, Input::Stored);
    /// assert_eq!((kernel.input, kernel.weight), (InputGradient::Scattered, WeightGradient::Bands));
    /// ```
    #[must_use]
    pub fn of(shape: &ConvShape, isa: Isa, threads: usize, input: Input) -> Self {
        if shape.is_depthwise() {
            return Self { input: InputGradient::Depthwise, weight: WeightGradient::Depthwise };
        }
        if shape.is_pointwise() {
            let in_place = input == Input::Stored && shape.c.is_multiple_of(isa.lanes());
            let weight = if in_place { WeightGradient::InPlace } else { WeightGradient::Copied };
            return Self { input: InputGradient::Product, weight };
        }
        let input = match flipped_shape(shape) {
            Some(flipped) => {
                InputGradient::Flipped(ForwardKernel::of(&flipped, isa, threads, Input::Stored))
            }
            None => InputGradient::Scattered,
        };
        let merged = Merged::new(shape, isa.lanes());
        let weight = if matrix::is_narrow(&merged.shape) {
            WeightGradient::Bands
        } else {
            WeightGradient::Copied
        };
        Self { input, weight }
    }
}

#[cfg(test)]
mod tests;
