//! The blocks that mobile networks are made of, one definition each.
//!
//! Above: the zoo's tables. Below: `builder`. Not here: which blocks a network has (`taper-zoo`).
//! Nodes get timm's module names, so that parameters get timm's parameter names.
//! Source: timm 1.0.31 `_efficientnet_blocks.py`; each block names its paper.

mod conv_block;
mod depthwise_separable;
mod fused_inverted_residual;
mod inverted_residual;
mod mobile_attention;
mod mobile_one;
mod rep_vit;
mod residual;
mod squeeze_excite;
mod universal_inverted_bottleneck;

pub use conv_block::ConvBlock;
pub use depthwise_separable::DepthwiseSeparable;
pub use fused_inverted_residual::FusedInvertedResidual;
pub use inverted_residual::InvertedResidual;
pub use mobile_attention::MobileAttention;
pub use mobile_one::MobileOneBlock;
pub use rep_vit::{RepVitBlock, RepVitDownsample};
pub use residual::{Residual, ResidualKind};
pub use squeeze_excite::SqueezeExcite;
pub use universal_inverted_bottleneck::UniversalInvertedBottleneck;

use crate::{Activation, Bias, Conv, GraphBuilder, NodeId, Op, Padding, Result};

/// What all convolutions of a network have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Style {
    /// After each norm but the last of a block.
    pub activation: Activation,
    /// Batch norm: added to the variance. PyTorch 1e-5, TensorFlow 1e-3.
    pub eps: f64,
    /// Batch norm: weight of the **new** statistic. PyTorch 0.1, TensorFlow 1 − decay.
    pub momentum: f64,
    /// Whether windows are padded as TensorFlow does ([`Padding::Same`]) or by `(k − 1) / 2` on all sides.
    pub tf_padding: bool,
}

impl Style {
    fn padded(&self, mut conv: Conv) -> Conv {
        if self.tf_padding {
            conv.window.padding = Padding::Same;
        }
        conv
    }
}

/// What a family changes in a block; `default()` is the plain block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Variation {
    /// After the depthwise (or fused) convolution.
    pub squeeze_excite: Option<SqueezeExcite>,
    /// Whether input and output are added where stride and channels allow; `false`: nowhere.
    pub has_residual: bool,
    /// Whether the last norm has no activation.
    pub is_linear: bool,
    /// Whether each channel is multiplied by a parameter before the input is added.
    pub has_layer_scale: bool,
}

impl Default for Variation {
    fn default() -> Self {
        Self { squeeze_excite: None, has_residual: true, is_linear: true, has_layer_scale: false }
    }
}

/// Names of the nodes of a convolution, its norm, and its activation if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The convolution.
    pub conv: &'a str,
    /// The batch norm.
    pub norm: &'a str,
    /// The activation; `None`: linear.
    pub activation: Option<&'a str>,
}

/// Convolution without bias, batch norm, and activation.
///
/// # Errors
/// Those of the builder.
pub fn conv_norm_act(
    b: &mut GraphBuilder,
    names: Names<'_>,
    from: NodeId,
    conv: Conv,
    style: &Style,
) -> Result<NodeId> {
    let xs = b.conv(names.conv, from, style.padded(conv), Bias::Without)?;
    let xs = b.batch_norm(names.norm, xs, style.eps, style.momentum)?;
    match names.activation {
        Some(name) => b.activation(name, xs, style.activation),
        None => Ok(xs),
    }
}

/// A block while it is built.
struct Block<'a> {
    name: &'a str,
    style: &'a Style,
    variation: &'a Variation,
    from: NodeId,
}

impl Block<'_> {
    /// Convolution, norm and activation; `names` in that order.
    fn layer(
        &self,
        b: &mut GraphBuilder,
        names: [&str; 3],
        xs: NodeId,
        conv: Conv,
    ) -> Result<NodeId> {
        let [conv_name, norm, activation] = names.map(|name| format!("{}.{name}", self.name));
        let names = Names { conv: &conv_name, norm: &norm, activation: Some(&activation) };
        conv_norm_act(b, names, xs, conv, self.style)
    }

    /// The block's squeeze-and-excite, if it has one.
    fn squeeze_excite(&self, b: &mut GraphBuilder, xs: NodeId) -> Result<NodeId> {
        match &self.variation.squeeze_excite {
            Some(squeeze_excite) => squeeze_excite.build(b, &format!("{}.se", self.name), xs),
            None => Ok(xs),
        }
    }

    /// Convolution and norm; `names` in that order.
    fn linear(
        &self,
        b: &mut GraphBuilder,
        names: [&str; 2],
        xs: NodeId,
        conv: Conv,
    ) -> Result<NodeId> {
        let [conv_name, norm] = names.map(|name| format!("{}.{name}", self.name));
        let names = Names { conv: &conv_name, norm: &norm, activation: None };
        conv_norm_act(b, names, xs, conv, self.style)
    }

    /// The last 1x1 convolution; the third name is used only if the block is not linear.
    fn projection(
        &self,
        b: &mut GraphBuilder,
        names: [&str; 3],
        xs: NodeId,
        out: usize,
    ) -> Result<NodeId> {
        let conv = Conv::pointwise(out);
        if self.variation.is_linear {
            return self.linear(b, [names[0], names[1]], xs, conv);
        }
        self.layer(b, names, xs, conv)
    }

    /// The layer scale if there is one; then adds the block's input, as torchvision and timm do: at stride 1 and equal channels.
    fn residual(&self, b: &mut GraphBuilder, mut xs: NodeId, stride: usize) -> Result<NodeId> {
        if self.variation.has_layer_scale {
            let name = format!("{}.layer_scale", self.name);
            xs = b.push(&name, Op::ChannelScale, &[xs], Bias::Without)?;
        }
        let fits = stride == 1 && b.channels(xs) == b.channels(self.from);
        if !(fits && self.variation.has_residual) {
            return Ok(xs);
        }
        b.add(&format!("{}.add", self.name), xs, self.from)
    }
}
