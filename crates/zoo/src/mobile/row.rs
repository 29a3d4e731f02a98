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
}

/// Which block a row repeats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Conv,
    DepthwiseSeparable,
    InvertedResidual { expand_ratio: f64 },
}

impl Kind {
    pub(crate) fn expand_ratio(self) -> f64 {
        match self {
            Self::Conv | Self::DepthwiseSeparable => 1.0,
            Self::InvertedResidual { expand_ratio } => expand_ratio,
        }
    }

    /// Channels inside a block that `in_channels` enter.
    pub(crate) fn expanded(self, in_channels: usize) -> usize {
        match self {
            Self::Conv | Self::DepthwiseSeparable => in_channels,
            Self::InvertedResidual { expand_ratio } => {
                make_divisible(in_channels as f64 * expand_ratio, 8, 0.9)
            }
        }
    }
}

/// A convolution as a block, without residual.
pub(crate) const fn conv(kernel_size: usize, out: usize, repeats: usize, stride: usize) -> Row {
    let row = depthwise_separable(kernel_size, out, repeats, stride);
    Row { kind: Kind::Conv, has_residual: false, ..row }
}

/// Depthwise convolution and projection.
pub(crate) const fn depthwise_separable(
    kernel_size: usize,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    Row {
        kind: Kind::DepthwiseSeparable,
        kernel_size,
        out,
        repeats,
        stride,
        squeeze_ratio: 0.0,
        activation: None,
        has_residual: true,
    }
}

/// Expansion by `expand_ratio`, depthwise convolution and projection.
pub(crate) const fn inverted_residual(
    kernel_size: usize,
    expand_ratio: f64,
    out: usize,
    repeats: usize,
    stride: usize,
) -> Row {
    let row = depthwise_separable(kernel_size, out, repeats, stride);
    Row { kind: Kind::InvertedResidual { expand_ratio }, ..row }
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
}
