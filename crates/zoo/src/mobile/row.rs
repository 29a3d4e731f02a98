//! One line of a family's table.
//!
//! Above: the families' tables. Below: `taper_graph::scaling`. Not here: what a line becomes (`mobile`).
//! Channels are those of width 1; ratios are of the channels that enter the block.

use taper_graph::Activation;
use taper_graph::scaling::make_divisible;

/// Blocks of one kind, one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// Of the depthwise or fused convolution.
    pub(crate) kernel_size: usize,
    pub(crate) out: usize,
    pub(crate) repeats: usize,
    /// Of the first block of a stage; the others have 1.
    pub(crate) stride: usize,
    /// 0: no squeeze-and-excite.
    pub(crate) squeeze_ratio: f64,
    /// `None`: the network's.
    pub(crate) activation: Option<Activation>,
    pub(crate) has_residual: bool,
    pub(crate) is_linear: bool,
}

/// Which block a row repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Conv,
    DepthwiseSeparable,
    InvertedResidual {
        expand_ratio: f64,
    },
    /// The ratio is of `base` channels (then scaled), or of the block's input.
    FusedInvertedResidual {
        expand_ratio: f64,
        base: Option<usize>,
    },
    /// Multi-query attention; keys and values move by `kv_stride`.
    Attention {
        heads: usize,
        head_channels: usize,
        kv_stride: usize,
    },
    /// With a depthwise convolution of kernel size `start` before the expansion.
    Universal {
        start: usize,
        expand_ratio: f64,
    },
}

impl Kind {
    pub(crate) fn expand_ratio(self) -> f64 {
        match self {
            Self::Conv | Self::DepthwiseSeparable | Self::Attention { .. } => 1.0,
            Self::InvertedResidual { expand_ratio }
            | Self::FusedInvertedResidual { expand_ratio, .. }
            | Self::Universal { expand_ratio, .. } => expand_ratio,
        }
    }

    pub(crate) fn can_scale_layers(self) -> bool {
        matches!(self, Self::Universal { .. } | Self::Attention { .. })
    }

    /// Channels inside a block that `in_channels` enter.
    pub(crate) fn expanded(self, in_channels: usize) -> usize {
        match self {
            Self::Conv | Self::DepthwiseSeparable | Self::Attention { .. } => in_channels,
            Self::InvertedResidual { .. }
            | Self::FusedInvertedResidual { .. }
            | Self::Universal { .. } => {
                make_divisible(in_channels as f64 * self.expand_ratio(), 8, 0.9)
            }
        }
    }
}

/// A convolution as a block, without residual.
pub(crate) const fn conv(kernel_size: usize, out: usize, repeats: usize, stride: usize) -> Row {
    Row {
        kind: Kind::Conv,
        kernel_size,
        out,
        repeats,
        stride,
        squeeze_ratio: 0.0,
        activation: None,
        has_residual: false,
        is_linear: true,
    }
}

/// A convolution as a block, which adds its input.
pub(crate) const fn residual_conv(
    kernel_size: usize,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    Row { has_residual: true, ..conv(kernel_size, out, repeats, stride) }
}

/// Depthwise convolution, projection and activation, without residual: `MobileNetV1`'s block.
pub(crate) const fn separable(
    kernel_size: usize,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    let row = conv(kernel_size, out, repeats, stride);
    Row { kind: Kind::DepthwiseSeparable, is_linear: false, ..row }
}

/// Expansion by `expand_ratio`, which 1 leaves out, depthwise convolution and projection.
pub(crate) const fn mbconv(
    kernel_size: usize,
    expand_ratio: f64,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    let kind = if expand_ratio > 1.0 {
        Kind::InvertedResidual { expand_ratio }
    } else {
        Kind::DepthwiseSeparable
    };
    Row { kind, ..residual_conv(kernel_size, out, repeats, stride) }
}

/// Expansion by `expand_ratio` in a dense convolution, and projection.
pub(crate) const fn fused(
    kernel_size: usize,
    expand_ratio: f64,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    let kind = Kind::FusedInvertedResidual { expand_ratio, base: None };
    Row { kind, ..residual_conv(kernel_size, out, repeats, stride) }
}

/// Depthwise convolutions of kernel sizes `start` and `middle` (0: none) before and after the expansion.
pub(crate) const fn universal(
    [start, middle]: [usize; 2],
    expand_ratio: f64,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    let kind = Kind::Universal { start, expand_ratio };
    Row { kind, ..residual_conv(middle, out, repeats, stride) }
}

/// Multi-query attention with a depthwise 3x3 convolution before keys and values that move.
pub(crate) const fn attention(heads: usize, head_channels: usize, kv_stride: usize) -> Row {
    let kind = Kind::Attention { heads, head_channels, kv_stride };
    Row { kind, ..residual_conv(3, 0, 1, 1) }
}

impl Row {
    /// With squeeze-and-excite to `squeeze_ratio` of the channels; 0: without.
    pub(crate) const fn squeezed(self, squeeze_ratio: f64) -> Self {
        Self { squeeze_ratio, ..self }
    }

    /// With an activation that is not the network's.
    pub(crate) const fn activated(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }

    /// Without adding the input.
    pub(crate) const fn without_residual(self) -> Self {
        Self { has_residual: false, ..self }
    }

    /// A fused block that expands as if `base` channels entered it.
    pub(crate) const fn expanding(self, base: usize) -> Self {
        let kind = match self.kind {
            Kind::FusedInvertedResidual { expand_ratio, .. } => {
                Kind::FusedInvertedResidual { expand_ratio, base: Some(base) }
            }
            kind => kind,
        };
        Self { kind, ..self }
    }
}
