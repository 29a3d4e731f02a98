//! What follows the last stage, up to the vector before the classifier.
//!
//! Above: `mobile`. Below: `taper_graph::blocks`. Not here: the classifier (`mobile`).
//! Each names the output `features`: the last map before the pool.

use taper_graph::blocks::{Names, conv_norm_act};
use taper_graph::{Bias, Conv, GraphBuilder, NodeId, PoolKind, Result};

use super::{Mobile, Width};

/// The head of a mobile network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Head {
    /// 1x1 convolution, norm, activation, which make `features`; then the pool.
    ConvPool(Width),
    /// The pool, then a 1x1 convolution with bias and activation: `MobileNetV3`'s efficient head.
    PoolConv { channels: usize, bias: Bias },
    /// The pool, then a 1x1 convolution, norm and activation: `MobileNetV4`'s.
    PoolConvNorm { channels: usize },
    /// The pool alone: `MobileNetV1`'s.
    Pool,
}

impl Mobile {
    pub(super) fn head(&self, b: &mut GraphBuilder, xs: NodeId) -> Result<NodeId> {
        if let Head::ConvPool(width) = self.head {
            let names = Names { conv: "conv_head", norm: "bn2", activation: Some("act2") };
            let conv = Conv::pointwise(self.width(width));
            let features = conv_norm_act(b, names, xs, conv, &self.style)?;
            b.output("features", features)?;
            return b.global_pool("global_pool", features, PoolKind::Avg, true);
        }
        b.output("features", xs)?;
        let is_last = self.head == Head::Pool;
        let xs = b.global_pool("global_pool", xs, PoolKind::Avg, is_last)?;
        let xs = match self.head {
            Head::ConvPool(_) | Head::Pool => return Ok(xs),
            Head::PoolConv { channels, bias } => {
                let xs = b.conv("conv_head", xs, Conv::pointwise(channels), bias)?;
                b.activation("act2", xs, self.style.activation)?
            }
            Head::PoolConvNorm { channels } => {
                let names =
                    Names { conv: "conv_head", norm: "norm_head", activation: Some("act2") };
                conv_norm_act(b, names, xs, Conv::pointwise(channels), &self.style)?
            }
        };
        b.flatten("flatten", xs)
    }
}
