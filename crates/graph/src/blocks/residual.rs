//! The blocks of ResNet: two or three convolutions beside a shortcut.
//!
//! Above: the zoo's tables. Below: `blocks`. Not here: how many of them (`taper-zoo`).
//! Source: He et al. 2016, Figures 2 and 5, <https://arxiv.org/abs/1512.03385>, with the stride in the 3x3 convolution; the
//! shortcut that pools: He et al. 2019, Figure 2, <https://arxiv.org/abs/1812.01187>; timm's `BasicBlock` and `Bottleneck`.

use super::{Names, Style, conv_norm_act};
use crate::{Conv, GraphBuilder, Init, NodeId, Op, PoolKind, Result, ScopeKind, Window};

/// A block of ResNet, whose last norm begins at 0.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{Residual, ResidualKind, Style};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(64)?;
/// let xs = b.input();
/// let block = Residual { kind: ResidualKind::Bottleneck, width: 64, stride: 1, pools_shortcut: false };
/// let xs = block.build(&mut b, "layer1.0", xs, &style)?;
/// b.output("features", xs)?;
/// assert_eq!(b.channels(xs), 256);
/// assert!(b.build()?.param_id("layer1.0.downsample.0.weight").is_some()); // 64 to 256
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Residual {
    /// Two or three convolutions.
    pub kind: ResidualKind,
    /// Channels of the 3x3 convolutions.
    pub width: usize,
    /// Of the first 3x3 convolution.
    pub stride: usize,
    /// Whether the shortcut moves by a mean pool, and not by the stride of its convolution.
    pub pools_shortcut: bool,
}

/// How many convolutions a block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResidualKind {
    /// 3x3 and 3x3.
    Basic,
    /// 1x1, 3x3 and 1x1, which has four times the channels.
    Bottleneck,
}

impl Residual {
    /// Output channels.
    #[must_use]
    pub fn out(&self) -> usize {
        match self.kind {
            ResidualKind::Basic => self.width,
            ResidualKind::Bottleneck => 4 * self.width,
        }
    }

    /// Adds the block as scope `name`; the shortcut has a convolution where stride or channels need one.
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
        let (width, stride) = (self.width, self.stride);
        let (basic, bottleneck);
        let convs: &[Conv] = match self.kind {
            ResidualKind::Basic => {
                basic = [Conv::dense(width, 3, stride), Conv::dense(width, 3, 1)];
                &basic
            }
            ResidualKind::Bottleneck => {
                let narrow = [Conv::pointwise(width), Conv::dense(width, 3, stride)];
                bottleneck = [narrow[0], narrow[1], Conv::pointwise(self.out())];
                &bottleneck
            }
        };
        b.scope(ScopeKind::Block, name, |b| {
            let mut xs = from;
            for (n, conv) in (1..).zip(convs) {
                let [conv_name, norm, act] =
                    ["conv", "bn", "act"].map(|it| format!("{name}.{it}{n}"));
                let activation = (n < convs.len()).then_some(act.as_str());
                let names = Names { conv: &conv_name, norm: &norm, activation };
                xs = conv_norm_act(b, names, xs, *conv, style)?;
            }
            b.init(&format!("{name}.bn{}.weight", convs.len()), Init::Zeros)?;
            let shortcut = self.shortcut(b, name, from, style)?;
            let xs = b.add(&format!("{name}.add"), xs, shortcut)?;
            b.activation(&format!("{name}.act{}", convs.len()), xs, style.activation)
        })
    }

    fn shortcut(
        &self,
        b: &mut GraphBuilder,
        name: &str,
        mut xs: NodeId,
        style: &Style,
    ) -> Result<NodeId> {
        if self.stride == 1 && b.channels(xs) == self.out() {
            return Ok(xs);
        }
        let at = |place: usize| format!("{name}.downsample.{place}");
        let mut stride = self.stride;
        // timm's pooling shortcut has the pool's place even where nothing moves.
        let first = usize::from(self.pools_shortcut);
        if self.pools_shortcut && stride > 1 {
            let (kind, window) = (PoolKind::AvgWithoutPadding, Window::square(2, stride));
            let pool = Op::Pool { kind, window, ceil: true };
            xs = b.push(&at(0), pool, &[xs], crate::Bias::Without)?;
            stride = 1;
        }
        let [conv, norm] = [at(first), at(first + 1)];
        let names = Names { conv: &conv, norm: &norm, activation: None };
        conv_norm_act(b, names, xs, Conv::dense(self.out(), 1, stride), style)
    }
}
