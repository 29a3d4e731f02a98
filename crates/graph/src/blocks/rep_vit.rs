//! The blocks of RepViT: a depthwise token mixer of parallel ways, then a channel mixer of two 1x1 convolutions.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: making one convolution of the parallel ways, which needs weights
//! (`taper-model`).
//! Source: Wang et al. 2024, Figure 4, <https://arxiv.org/abs/2307.09283>; timm's `RepViTBlock` and `RepVitDownsample`.

use super::{Names, SqueezeExcite, Style, conv_norm_act};
use crate::{Bias, Conv, GraphBuilder, Init, NodeId, Result, ScopeKind};

/// A block of RepViT that keeps size and channels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepVitBlock {
    /// Of the depthwise convolution.
    pub kernel_size: usize,
    /// Channels of the channel mixer, over those of the block.
    pub expand_ratio: usize,
    /// Between the mixers.
    pub squeeze_excite: Option<SqueezeExcite>,
    /// Whether the 1x1 way of the token mixer has a norm of its own, and their sum has none (timm's `legacy`).
    pub norms_each_way: bool,
}

/// Halves height and width: a block, then a depthwise and a 1x1 convolution, then a channel mixer.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{RepVitBlock, RepVitDownsample, Style};
/// use taper_graph::{Activation, Extent, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Gelu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let block =
///     RepVitBlock { kernel_size: 3, expand_ratio: 2, squeeze_excite: None, norms_each_way: false };
/// let mut b = GraphBuilder::new(48)?;
/// let xs = b.input();
/// let xs = RepVitDownsample { block, out: 96 }.build(&mut b, "stages.1.downsample", xs, &style)?;
/// b.output("features", xs)?;
/// assert_eq!(b.build()?.extents(56, 56)?[xs.index()], Extent::Map { h: 28, w: 28, c: 96 });
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RepVitDownsample {
    /// Before, at the old size; of its numbers the others use kernel size and expansion.
    pub block: RepVitBlock,
    /// Output channels.
    pub out: usize,
}

impl RepVitBlock {
    /// Adds the block as scope `name`.
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
        b.scope(ScopeKind::Block, name, |b| self.layers(b, name, from, style))
    }

    fn layers(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        let mut xs = self.token_mixer(b, &format!("{name}.token_mixer"), from, style)?;
        if let Some(squeeze_excite) = &self.squeeze_excite {
            xs = squeeze_excite.build_as(b, &format!("{name}.se"), SqueezeExcite::FC, xs)?;
        }
        self.channel_mixer(b, &format!("{name}.channel_mixer"), xs, style)
    }

    /// Depthwise convolution, depthwise 1x1 convolution and input, added.
    fn token_mixer(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        let at = |node: &str| format!("{name}.{node}");
        let c = b.channels(from);
        let wide = Conv::depthwise(c, self.kernel_size, 1);
        let wide = conv_norm(b, &at("conv"), from, wide, style)?;
        let point = Conv::depthwise(c, 1, 1);
        let point = if self.norms_each_way {
            conv_norm(b, &at("conv1"), from, point, style)?
        } else {
            b.conv(&at("conv1"), from, point, Bias::With)?
        };
        let xs = b.add(&at("add.0"), wide, point)?;
        let xs = b.add(&at("add.1"), xs, from)?;
        if self.norms_each_way {
            return Ok(xs);
        }
        b.batch_norm(&at("bn"), xs, style.eps, style.momentum)
    }

    /// Expansion, activation and projection, added to the input; the last norm begins at 0.
    fn channel_mixer(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        let at = |node: &str| format!("{name}.{node}");
        let c = b.channels(from);
        let expansion = Conv::pointwise(c * self.expand_ratio);
        let xs = conv_norm(b, &at("conv1"), from, expansion, style)?;
        let xs = b.activation(&at("act"), xs, style.activation)?;
        let xs = conv_norm(b, &at("conv2"), xs, Conv::pointwise(c), style)?;
        b.init(&at("conv2.bn.weight"), Init::Zeros)?;
        b.add(&at("add"), xs, from)
    }
}

impl RepVitDownsample {
    /// Adds the block as scope `name`.
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
        let at = |node: &str| format!("{name}.{node}");
        b.scope(ScopeKind::Block, name, |b| {
            let xs = self.block.layers(b, &at("pre_block"), from, style)?;
            let depthwise = Conv::depthwise(b.channels(xs), self.block.kernel_size, 2);
            let xs = conv_norm(b, &at("spatial_downsample"), xs, depthwise, style)?;
            let pointwise = Conv::pointwise(self.out);
            let xs = conv_norm(b, &at("channel_downsample"), xs, pointwise, style)?;
            self.block.channel_mixer(b, &at("ffn"), xs, style)
        })
    }
}

/// Convolution `c` and norm `bn`: timm's `ConvNorm`.
fn conv_norm(
    b: &mut GraphBuilder,
    name: &str,
    from: NodeId,
    conv: Conv,
    style: &Style,
) -> Result<NodeId> {
    let [conv_name, norm] = ["c", "bn"].map(|node| format!("{name}.{node}"));
    let names = Names { conv: &conv_name, norm: &norm, activation: None };
    conv_norm_act(b, names, from, conv, style)
}
