//! One dense convolution in the place of expansion and depthwise convolution.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: the block with a depthwise convolution (`inverted_residual`).
//! Source: Gupta and Tan 2019 (EfficientNet-EdgeTPU); Tan and Le 2021, <https://arxiv.org/abs/2104.00298>; timm's
//! `EdgeResidual`.

use super::{Block, Style, Variation};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind};

/// Dense expanding convolution, linear projection (`FusedMBConv`, `EdgeResidual`).
///
/// # Examples
/// ```
/// use taper_graph::blocks::{FusedInvertedResidual, Style, Variation};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Silu, eps: 1e-3, momentum: 0.1, tf_padding: true };
/// let mut b = GraphBuilder::new(24)?;
/// let xs = b.input();
/// let block = FusedInvertedResidual { expanded: 96, out: 48, kernel_size: 3, stride: 2 };
/// let xs = block.build(&mut b, "blocks.1.0", xs, &style, &Variation::default())?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// assert_eq!(graph.params()[0].shape, [96, 24, 3, 3]);
/// assert_eq!(graph.node(xs).name(), "blocks.1.0.bn2"); // stride 2: nothing to add
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FusedInvertedResidual {
    /// Channels between the two convolutions.
    pub expanded: usize,
    /// Output channels.
    pub out: usize,
    /// Of the first convolution.
    pub kernel_size: usize,
    /// Of the first convolution.
    pub stride: usize,
}

impl FusedInvertedResidual {
    /// Adds the block as scope `name`, changed as `variation` says.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn build(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
        variation: &Variation,
    ) -> Result<NodeId> {
        let block = Block { name, style, variation, from };
        b.scope(ScopeKind::Block, name, |b| {
            let expansion = Conv::dense(self.expanded, self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv_exp", "bn1", "act1"], from, expansion)?;
            let xs = block.squeeze_excite(b, xs)?;
            let xs = block.projection(b, ["conv_pwl", "bn2", "act2"], xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}
