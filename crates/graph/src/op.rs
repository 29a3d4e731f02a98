//! The operations a node can be, and their parameters of form.
//!
//! Above: `node`s of a `graph`. Below: `activation`, `window`. Not here: shapes (`shape`), how channels pass (`flow`),
//! parameters (`param`).
//! Maps are `(h, w, c)`, vectors `(c)`, the batch is implicit. Concrete numbers only: ratios stay in the zoo's tables.

use serde::{Deserialize, Serialize};

use crate::{Activation, PadMode, Window};

/// An operation. What it does to shapes is written at each variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The image: a map of `channels`. Always node 0, and only there.
    Input {
        /// Channels of the image.
        channels: usize,
    },
    /// Cross-correlation, PyTorch's `Conv2d`. Parameters: `weight` `(out, in / groups, k_h, k_w)`, then `bias` `(out)` if any.
    Conv(Conv),
    /// PyTorch's `ConvTranspose2d`. Parameters: `weight` `(in, out / groups, k_h, k_w)`, `bias`.
    ConvTranspose {
        /// The convolution whose gradient this is; padding is what it removes.
        conv: Conv,
        /// Extra rows and columns at the end, fewer than the stride or the dilation.
        output_padding: [usize; 2],
    },
    /// `y = x · Wᵀ + b` on a vector. Parameters: `weight` `(out, in)`, then `bias` `(out)` if any.
    Linear {
        /// Size of the output.
        out: usize,
    },
    /// Normalization over batch and positions. Parameters: `weight`, `bias`, `running_mean`, `running_var`, each `(c)`, and with a
    /// cumulative mean `num_batches_tracked`, `(1)`.
    BatchNorm {
        /// Added to the variance, inside the root.
        eps: f64,
        /// Weight of the **new** statistic (PyTorch's convention, 0.1); `None`: cumulative mean.
        momentum: Option<f64>,
    },
    /// Normalization over positions and groups of channels of one picture. Parameters: `weight`, `bias`, each `(c)`.
    GroupNorm {
        /// Divides the channels.
        groups: usize,
        /// Added to the variance, inside the root.
        eps: f64,
    },
    /// Normalization over the channels of one position. Parameters: `weight`, `bias`, each `(c)`.
    LayerNorm {
        /// Added to the variance, inside the root.
        eps: f64,
    },
    /// Layer scale: a factor a channel. Parameter: `gamma` `(c)`.
    ChannelScale,
    /// A function of each element.
    Activation(Activation),
    /// Maximum or mean over windows.
    Pool {
        /// What is taken of a window.
        kind: PoolKind,
        /// The window; padding is at most half of it, as in PyTorch.
        window: Window,
        /// Round the output size up.
        ceil: bool,
    },
    /// The norm `(Σ |x|ᵖ)^(1/p)` of windows; elements outside the map are zeros.
    LpPool {
        /// The exponent, at least 1.
        p: f64,
        /// The window; padding is at most half of it.
        window: Window,
        /// Round the output size up.
        ceil: bool,
    },
    /// Anti-aliased subsampling: the binomial filter of the window's kernel size, the same for all channels; no dilation. Source:
    /// Zhang 2019, <https://arxiv.org/abs/1904.11486>.
    BlurPool {
        /// The window; its mode says what lies outside the map.
        window: Window,
    },
    /// Maximum or mean over a grid of `out` windows that cover the map: `floor(i · h / out) .. ceil((i + 1) · h / out)`.
    AdaptivePool {
        /// What is taken of a window.
        kind: PoolKind,
        /// Output size.
        out: [usize; 2],
        /// Whether an axis that is longer than `out` stays as it is: the map is only made larger.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        at_least: bool,
    },
    /// Maximum or mean over all positions: a vector, or a map of one position.
    GlobalPool {
        /// What is taken.
        kind: PoolKind,
        /// Whether the output is a vector `(c)` and not a map `(1, 1, c)`.
        squeeze: bool,
    },
    /// Sum of two equal extents.
    Add,
    /// Product of two equal extents, or of a map `(h, w, c)` and then a gate `(1, 1, c)`.
    Mul,
    /// Every element times one number.
    Scale {
        /// The number.
        factor: f64,
    },
    /// Channels of two or more inputs, one after the other.
    Concat,
    /// Channels `start .. start + len`.
    Slice {
        /// First channel.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Channel shuffle: output channel `i · groups + g` is input channel `g · c / groups + i`.
    Shuffle {
        /// Divides the channels.
        groups: usize,
    },
    /// Map to vector in PyTorch's order `c, h, w`; needs a map whose size the network fixes (after an adaptive pool, say).
    Flatten,
    /// More rows and columns: top, left, bottom, right.
    Pad {
        /// How many on each side.
        sides: [usize; 4],
        /// What they hold.
        mode: PadMode,
    },
    /// Resampling of a map. With [`ResizeTo::Like`] a second input is a map whose size is taken; its values are not read.
    Resize {
        /// Output size.
        out: ResizeTo,
        /// How.
        mode: ResizeMode,
    },
    /// Inputs q, k, v as maps; softmax of `scale · q · k` over k's positions; no parameters.
    Attention {
        /// Heads of q; divides q's channels.
        heads: usize,
        /// Heads of k and v; divides `heads`.
        kv_heads: usize,
        /// Factor before the softmax.
        scale: f64,
    },
    /// In training, zeros an element with probability `p` and divides the others by `1 − p`; identity in evaluation.
    Dropout {
        /// Probability of **dropping**, in `[0, 1)`.
        p: f64,
    },
    /// As `Dropout`, but a whole picture's branch at once (stochastic depth).
    DropPath {
        /// Probability of **dropping**, in `[0, 1)`.
        p: f64,
    },
}

impl Op {
    /// Whether the values of input number `input` are read; otherwise its size alone is.
    #[must_use]
    pub fn reads_values(&self, input: usize) -> bool {
        !matches!((self, input), (Self::Resize { out: ResizeTo::Like, .. }, 1))
    }

    /// The operation's name as JSON writes it, for messages and tables.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Input { .. } => "input",
            Self::Conv(_) => "conv",
            Self::ConvTranspose { .. } => "conv_transpose",
            Self::Linear { .. } => "linear",
            Self::BatchNorm { .. } => "batch_norm",
            Self::GroupNorm { .. } => "group_norm",
            Self::LayerNorm { .. } => "layer_norm",
            Self::ChannelScale => "channel_scale",
            Self::Activation(_) => "activation",
            Self::Pool { .. } => "pool",
            Self::LpPool { .. } => "lp_pool",
            Self::BlurPool { .. } => "blur_pool",
            Self::AdaptivePool { .. } => "adaptive_pool",
            Self::GlobalPool { .. } => "global_pool",
            Self::Add => "add",
            Self::Mul => "mul",
            Self::Scale { .. } => "scale",
            Self::Concat => "concat",
            Self::Slice { .. } => "slice",
            Self::Shuffle { .. } => "shuffle",
            Self::Flatten => "flatten",
            Self::Pad { .. } => "pad",
            Self::Resize { .. } => "resize",
            Self::Attention { .. } => "attention",
            Self::Dropout { .. } => "dropout",
            Self::DropPath { .. } => "drop_path",
        }
    }
}

/// Output channels, window and groups of a convolution; weights are OIHW. It has a bias if its node lists one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// The sliding window.
    pub window: Window,
    /// Divides input and output channels; 1 is dense.
    pub groups: usize,
}

impl Conv {
    /// A dense convolution with a square kernel, padded by `(kernel_size − 1) / 2`.
    #[must_use]
    pub fn dense(out: usize, kernel_size: usize, stride: usize) -> Self {
        Self { out, window: Window::square(kernel_size, stride), groups: 1 }
    }

    /// A 1x1 convolution.
    #[must_use]
    pub fn pointwise(out: usize) -> Self {
        Self::dense(out, 1, 1)
    }

    /// One filter for each of `channels`, padded by `(kernel_size − 1) / 2`.
    #[must_use]
    pub fn depthwise(channels: usize, kernel_size: usize, stride: usize) -> Self {
        Self { groups: channels, ..Self::dense(channels, kernel_size, stride) }
    }

    /// Whether each of `in_channels` has one filter of its own.
    #[must_use]
    pub fn is_depthwise(&self, in_channels: usize) -> bool {
        self.groups == in_channels && self.out == in_channels
    }
}

/// What a pool takes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest element.
    Max,
    /// The mean, padding counted as zeros (PyTorch's `count_include_pad=True`).
    Avg,
    /// The mean of the elements that are not padding (TensorFlow's).
    AvgWithoutPadding,
}

/// How large a map becomes. JSON writes a size as `[7, 7]`, a factor as `{"factor": [2.0, 2.0]}`, and `"like"`.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Extent, GraphBuilder, Op, ResizeMode, ResizeTo};
/// # fn main() -> taper_graph::Result<()> {
/// let mut b = GraphBuilder::new(3)?;
/// let op = |out| Op::Resize { out, mode: ResizeMode::Bilinear };
/// let twice = b.push("twice", op(ResizeTo::Factor([2.0, 1.5])), &[b.input()], Bias::Without)?;
/// let back = b.push("back", op(ResizeTo::Like), &[twice, b.input()], Bias::Without)?;
/// b.output("ys", back)?;
/// let extents = b.build()?.extents(5, 5)?;
/// assert_eq!(extents[twice.index()], Extent::Map { h: 10, w: 7, c: 3 }); // 1.5 · 5, rounded down
/// assert_eq!(extents[back.index()], Extent::Map { h: 5, w: 5, c: 3 });
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenTo", into = "WrittenTo")]
pub enum ResizeTo {
    /// So many rows and columns.
    Size([usize; 2]),
    /// So many times as many, rounded down. Positions follow from the factor, not from the two sizes, as in PyTorch's `interpolate` with a
    /// `scale_factor` (unless it is told `recompute_scale_factor=True`): at 1.5 times a row of 5, of which 7 are made, a step is 1 / 1.5
    /// and not 5 / 7. With aligned corners both are the same.
    Factor([f64; 2]),
    /// As many as the second input has.
    Like,
}

/// [`ResizeTo`] as JSON has it: the first was alone once, and files hold it.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum WrittenTo {
    Size([usize; 2]),
    Factor { factor: [f64; 2] },
    Word(WrittenWord),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenWord {
    Like,
}

impl From<WrittenTo> for ResizeTo {
    fn from(written: WrittenTo) -> Self {
        match written {
            WrittenTo::Size(size) => Self::Size(size),
            WrittenTo::Factor { factor } => Self::Factor(factor),
            WrittenTo::Word(WrittenWord::Like) => Self::Like,
        }
    }
}

impl From<ResizeTo> for WrittenTo {
    fn from(to: ResizeTo) -> Self {
        match to {
            ResizeTo::Size(size) => Self::Size(size),
            ResizeTo::Factor(factor) => Self::Factor { factor },
            ResizeTo::Like => Self::Word(WrittenWord::Like),
        }
    }
}

/// How a map is resampled; half-pixel centers (PyTorch's `align_corners=False`) where not said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// The nearest element, rounded down.
    Nearest,
    /// Linear along both axes.
    Bilinear,
    /// Linear along both axes, the corners stay where they are (PyTorch's `align_corners=True`).
    BilinearAligned,
    /// Cubic along both axes, a = −0.75.
    Bicubic,
}
