//! Attention as a mobile block: one head of keys and values for all heads of queries.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: where a network attends (`taper-zoo`).
//! Source: Shazeer 2019, <https://arxiv.org/abs/1911.02150>; Qin et al. 2024, Section 4.2, <https://arxiv.org/abs/2404.10518>;
//! timm's `MobileAttention` and `MultiQueryAttention2d`.

use super::{Block, Names, Style, Variation, conv_norm_act};
use crate::{Bias, Conv, GraphBuilder, NodeId, Op, Result, ScopeKind};

/// Norm, multi-query attention, projection; size and channels stay.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{MobileAttention, Style, Variation};
/// use taper_graph::{Activation, Extent, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(160)?;
/// let xs = b.input();
/// let block = MobileAttention { heads: 4, head_channels: 64, kernel_size: 3, kv_stride: 2 };
/// let xs = block.build(&mut b, "blocks.2.4", xs, &style, &Variation::default())?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let at = |name: &str| graph.find_node(&format!("blocks.2.4.attn.{name}")).map(|id| id.index());
/// let extents = graph.extents(14, 14)?;
/// assert_eq!(at("query.proj").map(|at| extents[at]), Some(Extent::Map { h: 14, w: 14, c: 256 }));
/// assert_eq!(at("key.proj").map(|at| extents[at]), Some(Extent::Map { h: 7, w: 7, c: 64 }));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobileAttention {
    /// Heads of the queries.
    pub heads: usize,
    /// Channels of each head, and of the one head of keys and values.
    pub head_channels: usize,
    /// Of the depthwise convolution before keys and values, which is there if they are moved.
    pub kernel_size: usize,
    /// Of that convolution.
    pub kv_stride: usize,
}

impl MobileAttention {
    /// Adds the block as scope `name`, changed as `variation` says; it has no squeeze-and-excite.
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
        let at = |node: &str| format!("{name}.attn.{node}");
        b.scope(ScopeKind::Block, name, |b| {
            let c = b.channels(from);
            let xs = b.batch_norm(&format!("{name}.norm"), from, style.eps, style.momentum)?;
            let queries = Conv::pointwise(self.heads * self.head_channels);
            let queries = b.conv(&at("query.proj"), xs, queries, Bias::Without)?;
            let keys = self.keys_or_values(b, &at("key"), xs, style)?;
            let values = self.keys_or_values(b, &at("value"), xs, style)?;
            let scale = 1.0 / (self.head_channels as f64).sqrt();
            let attention = Op::Attention { heads: self.heads, kv_heads: 1, scale };
            let inputs = [queries, keys, values];
            let xs = b.push(&at("attention"), attention, &inputs, Bias::Without)?;
            let xs = b.conv(&at("output.proj"), xs, Conv::pointwise(c), Bias::Without)?;
            block.residual(b, xs, 1)
        })
    }

    fn keys_or_values(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        mut xs: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        let at = |node: &str| format!("{name}.{node}");
        if self.kv_stride > 1 {
            let conv = Conv::depthwise(b.channels(xs), self.kernel_size, self.kv_stride);
            let [conv_name, norm] = [at("down_conv"), at("norm")];
            let names = Names { conv: &conv_name, norm: &norm, activation: None };
            xs = conv_norm_act(b, names, xs, conv, style)?;
        }
        b.conv(&at("proj"), xs, Conv::pointwise(self.head_channels), Bias::Without)
    }
}
