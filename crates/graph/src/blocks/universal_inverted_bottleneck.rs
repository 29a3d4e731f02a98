//! An inverted residual with depthwise convolutions where one wants them.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: which places a network fills (`taper-zoo`).
//! Source: Qin et al. 2024, Figure 4, <https://arxiv.org/abs/2404.10518>; timm's `UniversalInvertedResidual`.

use super::{Block, Style, Variation};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind};

/// Depthwise convolution, expansion, depthwise convolution, linear projection; a convolution of kernel size 0 is left out.
///
/// | start | middle | name in the paper |
/// |---|---|---|
/// | – | k | inverted bottleneck |
/// | k | – | `ConvNext`-like |
/// | k | k | extra depthwise |
/// | – | – | feed-forward network |
///
/// # Examples
/// ```
/// use taper_graph::blocks::{Style, UniversalInvertedBottleneck, Variation};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(96)?;
/// let xs = b.input();
/// let block = UniversalInvertedBottleneck { start: 3, middle: 0, expanded: 384, out: 96, stride: 1 };
/// let xs = block.build(&mut b, "blocks.2.5", xs, &style, &Variation::default())?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let convs = ["dw_start", "pw_exp", "dw_mid", "pw_proj"];
/// let there = convs.map(|name| graph.find_node(&format!("blocks.2.5.{name}.conv")).is_some());
/// assert_eq!(there, [true, true, false, true]);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniversalInvertedBottleneck {
    /// Kernel size of the depthwise convolution before the expansion, which has no activation; 0: none.
    pub start: usize,
    /// Kernel size of the depthwise convolution after the expansion; 0: none.
    pub middle: usize,
    /// Channels after the expansion.
    pub expanded: usize,
    /// Output channels.
    pub out: usize,
    /// Of the middle convolution, or of the first one if there is no middle one.
    pub stride: usize,
}

impl UniversalInvertedBottleneck {
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
            let mut xs = from;
            if self.start > 0 {
                let stride = if self.middle > 0 { 1 } else { self.stride };
                let depthwise = Conv::depthwise(b.channels(from), self.start, stride);
                xs = block.linear(b, ["dw_start.conv", "dw_start.bn"], xs, depthwise)?;
            }
            let expansion = Conv::pointwise(self.expanded);
            xs = block.layer(b, ["pw_exp.conv", "pw_exp.bn", "pw_exp.act"], xs, expansion)?;
            if self.middle > 0 {
                let depthwise = Conv::depthwise(self.expanded, self.middle, self.stride);
                xs = block.layer(b, ["dw_mid.conv", "dw_mid.bn", "dw_mid.act"], xs, depthwise)?;
            }
            xs = block.squeeze_excite(b, xs)?;
            let names = ["pw_proj.conv", "pw_proj.bn", "pw_proj.act"];
            xs = block.projection(b, names, xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}
