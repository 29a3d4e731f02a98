//! A convolution as a block.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: stem and head, which are no blocks (`conv_norm_act`).
//! Source: timm's `ConvBnAct`.

use super::{Block, Style, Variation};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind};

/// Dense convolution, norm and activation.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{ConvBlock, Style, Variation};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Silu, eps: 1e-3, momentum: 0.1, tf_padding: true };
/// let mut b = GraphBuilder::new(16)?;
/// let xs = b.input();
/// let block = ConvBlock { out: 16, kernel_size: 3, stride: 1 };
/// let xs = block.build(&mut b, "blocks.0.0", xs, &style, &Variation::default())?;
/// b.output("features", xs)?;
/// assert_eq!(b.build()?.node(xs).name(), "blocks.0.0.add");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvBlock {
    /// Output channels.
    pub out: usize,
    /// Of the convolution.
    pub kernel_size: usize,
    /// Of the convolution.
    pub stride: usize,
}

impl ConvBlock {
    /// Adds the block as scope `name`; of `variation`, the residual counts.
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
            let conv = Conv::dense(self.out, self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv", "bn1", "act1"], from, conv)?;
            block.residual(b, xs, self.stride)
        })
    }
}
