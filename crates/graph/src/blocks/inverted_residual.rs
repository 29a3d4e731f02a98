//! Expansion, depthwise convolution, linear projection.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: the block without expansion (`depthwise_separable`).
//! Source: Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>; timm's `InvertedResidual`.

use super::{Block, Style, Variation};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind};

/// Expansion, depthwise convolution, linear projection (MBConv).
///
/// # Examples
/// ```
/// use taper_graph::blocks::{InvertedResidual, Style};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(24)?;
/// let block = InvertedResidual { expanded: 144, out: 24, kernel_size: 3, stride: 1 };
/// let xs = b.input();
/// let xs = block.build(&mut b, "blocks.1.1", xs, &style)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// assert_eq!(graph.node(xs).name(), "blocks.1.1.add"); // stride 1, 24 to 24
/// assert!(graph.param_id("blocks.1.1.conv_pwl.weight").is_some());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvertedResidual {
    /// Channels of the depthwise convolution.
    pub expanded: usize,
    /// Output channels.
    pub out: usize,
    /// Of the depthwise convolution.
    pub kernel_size: usize,
    /// Of the depthwise convolution.
    pub stride: usize,
}

impl InvertedResidual {
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
            let expansion = Conv::pointwise(self.expanded);
            let xs = block.layer(b, ["conv_pw", "bn1", "act1"], from, expansion)?;
            let depthwise = Conv::depthwise(self.expanded, self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv_dw", "bn2", "act2"], xs, depthwise)?;
            let xs = block.squeeze_excite(b, xs)?;
            let xs = block.projection(b, ["conv_pwl", "bn3", "act3"], xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}
