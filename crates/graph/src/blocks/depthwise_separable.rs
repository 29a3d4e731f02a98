//! Depthwise convolution and projection.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: the same with an expansion before it (`inverted_residual`).
//! Source: Howard et al. 2017, <https://arxiv.org/abs/1704.04861>; timm's `DepthwiseSeparableConv`.

use super::{Block, Style, Variation};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind};

/// Depthwise convolution, then a linear projection: MobileNetV1's block with MobileNetV2's linear bottleneck.
///
/// MobileNetV1's own block is the [`Variation`] without residual that is not linear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseSeparable {
    /// Output channels.
    pub out: usize,
    /// Of the depthwise convolution.
    pub kernel_size: usize,
    /// Of the depthwise convolution.
    pub stride: usize,
}

impl DepthwiseSeparable {
    /// Adds the block as scope `name`; input and output are added where stride and channels allow.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn build(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        self.build_with(b, name, from, style, &Variation::default())
    }

    /// Adds the block as scope `name`, changed as `variation` says.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn build_with(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
        variation: &Variation,
    ) -> Result<NodeId> {
        let block = Block { name, style, variation, from };
        b.scope(ScopeKind::Block, name, |b| {
            let depthwise = Conv::depthwise(b.channels(from), self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv_dw", "bn1", "act1"], from, depthwise)?;
            let xs = block.squeeze_excite(b, xs)?;
            let xs = block.projection(b, ["conv_pw", "bn2", "act2"], xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}
