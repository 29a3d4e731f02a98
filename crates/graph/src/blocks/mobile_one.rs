//! Parallel convolutions that add up to one.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: making one convolution of them, which needs weights (`taper-model`).
//! Source: Vasu et al. 2023, Figure 3, <https://arxiv.org/abs/2206.04040>; timm's `MobileOneBlock`.

use super::{Names, SqueezeExcite, Style, conv_norm_act};
use crate::{Conv, GraphBuilder, NodeId, Result, ScopeKind, Window};

/// Convolutions with norm, a 1x1 convolution with norm, and a norm of the input, all added, then an activation.
///
/// The 1x1 convolution is there for kernels larger than 1, the norm of the input where stride and channels allow.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{MobileOneBlock, Style};
/// use taper_graph::{Activation, Conv, GraphBuilder, Op};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(48)?;
/// let xs = b.input();
/// let block = MobileOneBlock { conv: Conv::depthwise(48, 3, 1), branches: 4, squeeze_excite: None };
/// let xs = block.build(&mut b, "stages.0.0", xs, &style)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// assert!(graph.param_id("stages.0.0.conv_kxk.3.conv.weight").is_some());
/// assert!(graph.param_id("stages.0.0.identity.running_mean").is_some());
/// let sums = graph.nodes().iter().filter(|node| *node.op() == Op::Add).count();
/// assert_eq!(sums, 5); // of 4 convolutions, the 1x1 convolution and the input
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MobileOneBlock {
    /// Each of the parallel convolutions.
    pub conv: Conv,
    /// How many there are, at least 1.
    pub branches: usize,
    /// Before the activation.
    pub squeeze_excite: Option<SqueezeExcite>,
}

impl MobileOneBlock {
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

    /// Adds the nodes of the block, without a scope: it may be the stem.
    ///
    /// # Errors
    /// Those of the builder.
    pub fn layers(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        let mut xs = from;
        for (branch_idx, branch) in self.branches(b, name, from, style)?.into_iter().enumerate() {
            xs = match branch_idx {
                0 => branch,
                _ => b.add(&format!("{name}.add.{}", branch_idx - 1), xs, branch)?,
            };
        }
        if let Some(squeeze_excite) = &self.squeeze_excite {
            xs = squeeze_excite.build_as(b, &format!("{name}.attn"), SqueezeExcite::FC, xs)?;
        }
        b.activation(&format!("{name}.act"), xs, style.activation)
    }

    /// What is added: the 1x1 convolution, the convolutions, the input.
    fn branches(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        from: NodeId,
        style: &Style,
    ) -> Result<Vec<NodeId>> {
        let [stride, kernel] = [self.conv.window.stride, self.conv.window.kernel];
        let mut branches = Vec::new();
        if kernel != [1, 1] {
            let scale = Conv { window: Window { stride, ..Window::point() }, ..self.conv };
            branches.push(conv_norm(b, name, "conv_scale", from, scale, style)?);
        }
        for branch_idx in 0..self.branches {
            let branch = format!("conv_kxk.{branch_idx}");
            branches.push(conv_norm(b, name, &branch, from, self.conv, style)?);
        }
        if stride == [1, 1] && self.conv.out == b.channels(from) {
            let (identity, eps) = (format!("{name}.identity"), style.eps);
            branches.push(b.batch_norm(&identity, from, eps, style.momentum)?);
        }
        Ok(branches)
    }
}

fn conv_norm(
    b: &mut GraphBuilder,
    block: &str,
    branch: &str,
    from: NodeId,
    conv: Conv,
    style: &Style,
) -> Result<NodeId> {
    let [conv_name, norm] = ["conv", "bn"].map(|node| format!("{block}.{branch}.{node}"));
    let names = Names { conv: &conv_name, norm: &norm, activation: None };
    conv_norm_act(b, names, from, conv, style)
}
