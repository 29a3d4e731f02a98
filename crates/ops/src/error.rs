//! What can be wrong with the tensors and sizes an operation is given.
//!
//! Above: every file of this crate. Below: candle's errors. Not here: panics; nothing a caller passes causes one.
//! `op` is the name of the refused function. Formulas stand in the messages with their numbers.

use taper_graph::PadMode;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A refusal that names the operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An argument has another shape.
    #[error("`{op}`: {argument} has shape {got:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The argument.
        argument: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// What it should be.
        expected: String,
    },
    /// The input has another shape, or other channels than the parameters are made for.
    #[error("`{op}`: the input has shape {got:?}, expected {expected}")]
    Input {
        /// The operation.
        op: &'static str,
        /// Its shape, in the order of axes the caller uses; see [`AxisOrder`](crate::AxisOrder).
        got: Vec<usize>,
        /// What it should be, in the same order.
        expected: String,
    },
    /// Only floats of 32 and, for checking gradients, 64 bits; the input as the parameters.
    #[error("`{op}`: {argument} is {got}, expected {expected}; convert with `to_dtype`")]
    DType {
        /// The operation.
        op: &'static str,
        /// The argument: the input, or a parameter.
        argument: &'static str,
        /// The argument's element type.
        got: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// Operations run on the CPU only.
    #[error(
        "`{op}` runs on the CPU, got a tensor on {device}; call `to_device(&Device::Cpu)` on it"
    )]
    Device {
        /// The operation.
        op: &'static str,
        /// Where the argument is.
        device: String,
    },
    /// A size that must be positive is zero.
    #[error("`{op}`: {what} {got:?} has a zero; every size is at least 1")]
    Zero {
        /// The operation.
        op: &'static str,
        /// The sizes.
        what: &'static str,
        /// Their values.
        got: Vec<usize>,
    },
    /// Groups, or heads, that do not divide.
    #[error("`{op}`: {channels} {what} cannot be split into {groups} groups")]
    Groups {
        /// The operation.
        op: &'static str,
        /// What is split.
        what: &'static str,
        /// How many there are.
        channels: usize,
        /// Into how many parts.
        groups: usize,
    },
    /// The window is larger than the padded map.
    #[error(
        "`{op}`: the window does not fit into the {axis}: {before} + {size} + {after} (padding, map, padding) is less than \
         dilation·(kernel − 1) + 1 = {dilation}·({kernel} − 1) + 1"
    )]
    Window {
        /// The operation.
        op: &'static str,
        /// Height or width.
        axis: &'static str,
        /// Positions of the map.
        size: usize,
        /// Positions of padding before it.
        before: usize,
        /// Positions of padding after it.
        after: usize,
        /// Taps of the window.
        kernel: usize,
        /// Their distance.
        dilation: usize,
    },
    /// A pooling window with no element of the map in it.
    #[error(
        "`{op}`: a window of {kernel:?} taps, dilation {dilation:?}, has nothing but padding in it; pad {pads:?} by at most half \
         the window"
    )]
    PaddingOnly {
        /// The operation.
        op: &'static str,
        /// Taps of the window.
        kernel: [usize; 2],
        /// Their distance.
        dilation: [usize; 2],
        /// Top, left, bottom, right.
        pads: [usize; 4],
    },
    /// A padding that its mode cannot fill.
    #[error(
        "`{op}`: padding {pads:?} (top, left, bottom, right) of a map {size:?} in mode {mode:?} reaches too far: reflection needs \
         padding < size, repetition padding ≤ size"
    )]
    Reach {
        /// The operation.
        op: &'static str,
        /// Top, left, bottom, right.
        pads: [usize; 4],
        /// Height and width.
        size: [usize; 2],
        /// What lies outside.
        mode: PadMode,
    },
    /// A mode that this operation does not know.
    #[error("`{op}` pads with zeros only, got mode {mode:?}; call `pad` first")]
    PaddingMode {
        /// The operation.
        op: &'static str,
        /// What lies outside.
        mode: PadMode,
    },
    /// The output padding of a transposed convolution is too large.
    #[error(
        "`{op}`: output padding {got:?} must be smaller than the stride {stride:?} or the dilation {dilation:?}"
    )]
    OutputPadding {
        /// The operation.
        op: &'static str,
        /// Rows and columns.
        got: [usize; 2],
        /// Of the window.
        stride: [usize; 2],
        /// Of the window.
        dilation: [usize; 2],
    },
    /// A transposed convolution cuts its padding off; there is nothing to fill or to derive it from.
    #[error("`{op}`: the padding of a transposed convolution is explicit or valid, in mode zeros")]
    TransposedPadding {
        /// The operation.
        op: &'static str,
    },
    /// A transposed convolution with nothing left.
    #[error(
        "`{op}`: no {axis} is left: (size − 1)·stride + dilation·(kernel − 1) + 1 + output padding = {full}, padding cuts off {cut}"
    )]
    Empty {
        /// The operation.
        op: &'static str,
        /// Height or width.
        axis: &'static str,
        /// Positions before the cut.
        full: usize,
        /// Positions cut off.
        cut: usize,
    },
    /// Statistics of one value.
    #[error(
        "`{op}`: statistics of a batch need two values a channel or more, n·h·w is {count}; use the frozen form"
    )]
    Statistics {
        /// The operation.
        op: &'static str,
        /// Values a channel.
        count: usize,
    },
    /// A number outside of its range.
    #[error("`{op}`: {what} is {got}, expected {expected}")]
    Number {
        /// The operation.
        op: &'static str,
        /// The number.
        what: &'static str,
        /// Its value.
        got: f64,
        /// Its range.
        expected: &'static str,
    },
    /// The number of elements overflows.
    #[error("`{op}`: the shapes have more elements than can be counted")]
    TooLarge {
        /// The operation.
        op: &'static str,
    },
    /// candle refused an operation.
    #[error("`{op}`: a tensor operation failed")]
    Tensor {
        /// The operation.
        op: &'static str,
        /// candle's reason.
        #[source]
        source: candle_core::Error,
    },
}

/// Names the operation in which candle refused: the bridge from its errors to ours.
pub(crate) fn within(op: &'static str) -> impl Fn(candle_core::Error) -> Error {
    move |source| Error::Tensor { op, source }
}

/// The way back into candle, whose traits know no other errors: the whole chain as text.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor { op, source } => Self::msg(format!("`{op}`: {source}")),
            error => Self::msg(error.to_string()),
        }
    }
}
