//! MobileNetV2: inverted residuals with linear bottlenecks, at any width and depth.
//!
//! Above: `registry`. Below: `taper_graph::blocks`. Not here: weights and their preprocessing (`record`).
//! Source: Sandler et al. 2018, Table 2, <https://arxiv.org/abs/1801.04381>; scaling as torchvision's `mobilenet_v2` and
//! timm's `_gen_mobilenet_v2`; node names are timm's.

use taper_graph::blocks::{DepthwiseSeparable, InvertedResidual, Names, Style, conv_norm_act};
use taper_graph::scaling::{make_divisible, scale_depth};
use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, PoolKind, Result, ScopeKind,
};

/// One line of the paper's table: expansion factor, output channels, repeats, stride of the first.
struct Row {
    expand_ratio: usize,
    out: usize,
    repeats: usize,
    stride: usize,
}

const fn row(expand_ratio: usize, out: usize, repeats: usize, stride: usize) -> Row {
    Row { expand_ratio, out, repeats, stride }
}

/// The bottlenecks of Table 2, columns as printed, at 224x224.
#[rustfmt::skip]
const BOTTLENECKS: [Row; 7] = [
    //  t    c  n  s
    row(1,  16, 1, 1), // 112 -> 112
    row(6,  24, 2, 2), // 112 -> 56
    row(6,  32, 3, 2), //  56 -> 28
    row(6,  64, 4, 2), //  28 -> 14
    row(6,  96, 3, 1), //  14 -> 14
    row(6, 160, 3, 2), //  14 -> 7
    row(6, 320, 1, 1), //   7 -> 7
];
/// First and last convolution of Table 2.
const STEM: usize = 32;
const HEAD: usize = 1280;

const STYLE: Style =
    Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// How wide and how deep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// Factor of all channel counts, which are then rounded to multiples of 8. The head is never narrower than 1280.
    pub width_mult: f64,
    /// Factor of the repeats of a stage, rounded up. Other than 1: timm's `d` variants, whose stem and head keep their
    /// width and whose first and last stage keep their one block.
    pub depth_mult: f64,
}

impl Scaling {
    /// Only wider or narrower.
    #[must_use]
    pub fn width(width_mult: f64) -> Self {
        Self { width_mult, depth_mult: 1.0 }
    }

    fn channels(self, c: usize) -> usize {
        make_divisible(c as f64 * self.width_mult, 8, 0.9)
    }

    /// timm's `fix_stem_head`.
    fn keeps_ends(self) -> bool {
        self.depth_mult > 1.0
    }

    fn repeats(self, stage_idx: usize) -> usize {
        let n = BOTTLENECKS[stage_idx].repeats;
        if stage_idx == 0 || stage_idx + 1 == BOTTLENECKS.len() {
            return n;
        }
        scale_depth(n, self.depth_mult)
    }

    fn stem(self) -> usize {
        if self.keeps_ends() { STEM } else { self.channels(STEM) }
    }

    fn head(self) -> usize {
        if self.keeps_ends() { HEAD } else { self.channels(HEAD).max(HEAD) }
    }
}

/// MobileNetV2 for `classes`, with outputs `features` (the last map), `pre_logits` (pooled) and `logits`.
///
/// # Errors
/// For no classes, or a scaling beyond any network.
///
/// # Examples
/// ```
/// use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};
/// # fn main() -> taper_graph::Result<()> {
/// let graph = mobilenet_v2(Scaling::width(1.0), 1000)?;
/// let trained = graph.params().iter().filter(|p| p.role.is_trained());
/// assert_eq!(trained.map(|p| p.len()).sum::<usize>(), 3_504_872); // torchvision's count
/// # Ok(()) }
/// ```
pub fn mobilenet_v2(scaling: Scaling, classes: usize) -> Result<Graph> {
    let mut b = GraphBuilder::new(3)?;
    let input = b.input();
    let mut xs = b.scope(ScopeKind::Stem, "stem", |b| {
        let names = Names { conv: "conv_stem", norm: "bn1", activation: Some("act1") };
        conv_norm_act(b, names, input, Conv::dense(scaling.stem(), 3, 2), &STYLE)
    })?;
    for stage_idx in 0..BOTTLENECKS.len() {
        xs = stage(&mut b, stage_idx, xs, scaling)?;
    }
    let pooled = b.scope(ScopeKind::Head, "head", |b| {
        let names = Names { conv: "conv_head", norm: "bn2", activation: Some("act2") };
        let features = conv_norm_act(b, names, xs, Conv::pointwise(scaling.head()), &STYLE)?;
        b.output("features", features)?;
        b.global_pool("global_pool", features, PoolKind::Avg, true)
    })?;
    b.output("pre_logits", pooled)?;
    let logits = b.scope(ScopeKind::Classifier, "classifier", |b| {
        let xs = b.dropout("drop", pooled, 0.2)?;
        b.linear("classifier", xs, classes, Bias::With)
    })?;
    b.output("logits", logits)?;
    b.build()
}

fn stage(b: &mut GraphBuilder, stage_idx: usize, xs: NodeId, scaling: Scaling) -> Result<NodeId> {
    let row = &BOTTLENECKS[stage_idx];
    let stage = format!("blocks.{stage_idx}");
    b.scope(ScopeKind::Stage, &stage, |b| {
        (0..scaling.repeats(stage_idx)).try_fold(xs, |xs, block_idx| {
            let name = format!("{stage}.{block_idx}");
            let stride = if block_idx == 0 { row.stride } else { 1 };
            bottleneck(b, &name, xs, &Row { stride, out: scaling.channels(row.out), ..*row })
        })
    })
}

fn bottleneck(b: &mut GraphBuilder, name: &str, xs: NodeId, row: &Row) -> Result<NodeId> {
    let Row { expand_ratio, out, stride, .. } = *row;
    if expand_ratio == 1 {
        return DepthwiseSeparable { out, kernel_size: 3, stride }.build(b, name, xs, &STYLE);
    }
    let expanded = b.channels(xs) * expand_ratio;
    InvertedResidual { expanded, out, kernel_size: 3, stride }.build(b, name, xs, &STYLE)
}
