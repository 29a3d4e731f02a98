//! A gate for each channel, computed from the mean of all channels.
//!
//! Above: `blocks`, the zoo's tables. Below: `builder`. Not here: how many channels a family squeezes to (`taper-zoo`).
//! Source: Hu et al. 2018, <https://arxiv.org/abs/1709.01507>; timm's `SqueezeExcite`, whose layers are 1x1 convolutions.

use crate::{Activation, Bias, Conv, GraphBuilder, NodeId, PoolKind, Result};

/// Squeeze-and-excite: `y = x · gate(W₂ · activation(W₁ · mean(x) + b₁) + b₂)`, mean over positions.
///
/// # Examples
/// ```
/// use taper_graph::blocks::SqueezeExcite;
/// use taper_graph::{Activation, Extent, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let (activation, gate) = (Activation::Relu, Activation::HardSigmoid);
/// let mut b = GraphBuilder::new(72)?;
/// let xs = b.input();
/// let xs = SqueezeExcite { squeezed: 24, activation, gate }.build(&mut b, "se", xs)?;
/// b.output("gated", xs)?;
/// let graph = b.build()?;
/// let names: Vec<_> = graph.params().iter().map(|param| param.name.as_str()).collect();
/// assert_eq!(names[..2], ["se.conv_reduce.weight", "se.conv_reduce.bias"]);
/// assert_eq!(names[2..], ["se.conv_expand.weight", "se.conv_expand.bias"]);
/// assert_eq!(graph.extents(28, 28)?[xs.index()], Extent::Map { h: 28, w: 28, c: 72 });
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SqueezeExcite {
    /// Channels between the two convolutions.
    pub squeezed: usize,
    /// After the first convolution.
    pub activation: Activation,
    /// After the second: a sigmoid or a hard sigmoid.
    pub gate: Activation,
}

impl SqueezeExcite {
    /// Names of the two convolutions, each with its activation, in mobile networks.
    pub const CONV: [&'static str; 4] = ["conv_reduce", "act1", "conv_expand", "gate"];
    /// Names of the same in networks that count them as fully connected layers.
    pub const FC: [&'static str; 4] = ["fc1", "act", "fc2", "gate"];

    /// Adds nodes `name.pool`, `name.conv_reduce`, `name.act1`, `name.conv_expand`, `name.gate` and `name.mul`.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn build(&self, b: &mut GraphBuilder, name: &str, from: NodeId) -> Result<NodeId> {
        self.build_as(b, name, Self::CONV, from)
    }

    /// As [`SqueezeExcite::build`], with other names for the convolutions and activations.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn build_as(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        layers: [&str; 4],
        from: NodeId,
    ) -> Result<NodeId> {
        let at = |node: &str| format!("{name}.{node}");
        let [reduce, act, expand, gate] = layers.map(at);
        let (squeeze, excite) = (Conv::pointwise(self.squeezed), Conv::pointwise(b.channels(from)));
        let pooled = b.global_pool(&format!("{name}.pool"), from, PoolKind::Avg, false)?;
        let xs = b.conv(&reduce, pooled, squeeze, Bias::With)?;
        let xs = b.activation(&act, xs, self.activation)?;
        let xs = b.conv(&expand, xs, excite, Bias::With)?;
        let gate = b.activation(&gate, xs, self.gate)?;
        b.mul(&format!("{name}.mul"), from, gate)
    }
}
