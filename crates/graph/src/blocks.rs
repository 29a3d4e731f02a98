//! The blocks that mobile networks are made of, one definition each.
//!
//! Above: the zoo's tables. Below: `builder`. Not here: which blocks a network has (`taper-zoo`), squeeze-and-excite.
//! Nodes get timm's module names, so that parameters get timm's parameter names.
//! Source: timm `_efficientnet_blocks.py` (aa4b585); Sandler et al. 2018, <https://arxiv.org/abs/1801.04381>.

use crate::{Activation, Bias, Conv, GraphBuilder, NodeId, Padding, Result, ScopeKind};

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

/// Depthwise convolution, then a linear projection: MobileNetV1's block with MobileNetV2's linear bottleneck.
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
        let block = Block { name, style, from };
        b.scope(ScopeKind::Block, name, |b| {
            let in_channels = b.channels(from);
            let depthwise = Conv::depthwise(in_channels, self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv_dw", "bn1", "act1"], from, depthwise)?;
            let xs = block.projection(b, ["conv_pw", "bn2"], xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}

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
        let block = Block { name, style, from };
        b.scope(ScopeKind::Block, name, |b| {
            let expansion = Conv::pointwise(self.expanded);
            let xs = block.layer(b, ["conv_pw", "bn1", "act1"], from, expansion)?;
            let depthwise = Conv::depthwise(self.expanded, self.kernel_size, self.stride);
            let xs = block.layer(b, ["conv_dw", "bn2", "act2"], xs, depthwise)?;
            let xs = block.projection(b, ["conv_pwl", "bn3"], xs, self.out)?;
            block.residual(b, xs, self.stride)
        })
    }
}

/// A block while it is built.
struct Block<'a> {
    name: &'a str,
    style: &'a Style,
    from: NodeId,
}

impl Block<'_> {
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

    fn projection(
        &self,
        b: &mut GraphBuilder,
        names: [&str; 2],
        xs: NodeId,
        out: usize,
    ) -> Result<NodeId> {
        let [conv, norm] = names.map(|name| format!("{}.{name}", self.name));
        let names = Names { conv: &conv, norm: &norm, activation: None };
        conv_norm_act(b, names, xs, Conv::pointwise(out), self.style)
    }

    /// Adds the block's input, as torchvision and timm do: at stride 1 and equal channels.
    fn residual(&self, b: &mut GraphBuilder, xs: NodeId, stride: usize) -> Result<NodeId> {
        if stride != 1 || b.channels(xs) != b.channels(self.from) {
            return Ok(xs);
        }
        b.add(&format!("{}.add", self.name), xs, self.from)
    }
}
