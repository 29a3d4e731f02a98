//! MobileOne: MobileNetV1 trained with parallel convolutions that add up to one.
//!
//! Above: `architecture`. Below: `classifier`, `taper_graph::blocks`. Not here: adding them up, which needs weights.
//! Source: Vasu et al. 2023, Tables 2 and 8, <https://arxiv.org/abs/2206.04040>; timm's `_mobileone_bcfg`.

use taper_graph::blocks::{MobileOneBlock, SqueezeExcite, Style};
use taper_graph::scaling::make_divisible;
use taper_graph::{Activation, Conv, Graph, GraphBuilder, NodeId, Result, ScopeKind};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::classifier::{classify, pool};
use crate::scaling::Scaling;

/// Channels of the stages at width 1, and how many pairs of depthwise and pointwise block they have, at 224x224.
#[rustfmt::skip]
const STAGES: [(usize, usize); 4] = [
    //  c   n
    ( 64,  2), // 112 -> 56
    (128,  8), //  56 -> 28
    (256, 10), //  28 -> 14
    (512,  1), //  14 -> 7
];

const STYLE: Style =
    Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// What the variants differ in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct MobileOne {
    /// Widths of the stages.
    widths: [f64; 4],
    stem: usize,
    /// Parallel convolutions of a block; the stem has one.
    branches: usize,
    /// How many pairs at the end of each stage have squeeze-and-excites.
    squeezed: [usize; 4],
}

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 5] = [
    //  name            aliases input config                                                  params           MACs
    row("mobileone_s0", &[], 224, config([0.75, 1.0, 1.0, 2.0], 48, 4, [0, 0, 0, 0]),  5_293_272, 1_051_935_232),
    row("mobileone_s1", &[], 224, config([1.50, 1.5, 2.0, 2.5], 64, 1, [0, 0, 0, 0]),  4_825_192,   830_062_080),
    row("mobileone_s2", &[], 224, config([1.50, 2.0, 2.5, 4.0], 64, 1, [0, 0, 0, 0]),  7_884_648, 1_304_027_392),
    row("mobileone_s3", &[], 224, config([2.00, 2.5, 3.0, 4.0], 64, 1, [0, 0, 0, 0]), 10_170_600, 1_902_112_768),
    row("mobileone_s4", &[], 224, config([3.00, 3.5, 3.5, 4.0], 64, 1, [0, 0, 5, 1]), 14_951_248, 2_986_802_432),
];

const fn config(
    widths: [f64; 4],
    stem: usize,
    branches: usize,
    squeezed: [usize; 4],
) -> ArchitectureConfig {
    ArchitectureConfig::MobileOne(MobileOne { widths, stem, branches, squeezed })
}

impl MobileOne {
    pub(crate) fn lower(&self, options: &Options) -> Result<Graph> {
        let scaling = options.scaling;
        let mut b = GraphBuilder::new(options.in_channels)?;
        let input = b.input();
        let mut xs = b.scope(ScopeKind::Stem, "stem", |b| {
            let conv = Conv::dense(scaling.channels(self.stem), 3, 2);
            MobileOneBlock { conv, branches: 1, squeeze_excite: None }
                .layers(b, "stem", input, &STYLE)
        })?;
        for stage_idx in 0..STAGES.len() {
            xs = self.stage(&mut b, stage_idx, xs, scaling)?;
        }
        let pooled = pool(&mut b, "head.global_pool", xs)?;
        classify(&mut b, ["head.drop", "head.fc"], pooled, 0.0, options.classes)?;
        b.build()
    }

    fn stage(
        &self,
        b: &mut GraphBuilder,
        stage_idx: usize,
        mut xs: NodeId,
        scaling: Scaling,
    ) -> Result<NodeId> {
        let (c, n) = STAGES[stage_idx];
        let (out, n) = (self.channels(stage_idx, c, scaling), scaling.repeats(n));
        let stage = format!("stages.{stage_idx}");
        b.scope(ScopeKind::Stage, &stage, |b| {
            for pair_idx in 0..n {
                let is_squeezed = pair_idx + self.squeezed[stage_idx] >= n;
                let stride = if pair_idx == 0 { 2 } else { 1 };
                let depthwise = Conv::depthwise(b.channels(xs), 3, stride);
                for (half, conv) in [depthwise, Conv::pointwise(out)].into_iter().enumerate() {
                    let squeeze_excite = is_squeezed.then(|| squeeze_excite(conv.out));
                    let block = MobileOneBlock { conv, branches: self.branches, squeeze_excite };
                    xs = block.build(b, &format!("{stage}.{}", 2 * pair_idx + half), xs, &STYLE)?;
                }
            }
            Ok(xs)
        })
    }

    fn channels(&self, stage_idx: usize, c: usize, scaling: Scaling) -> usize {
        make_divisible(c as f64 * self.widths[stage_idx] * scaling.width_mult, 8, 0.9)
    }
}

/// To a sixteenth of the channels.
fn squeeze_excite(channels: usize) -> SqueezeExcite {
    let squeezed = make_divisible(channels as f64 / 16.0, 8, 0.0);
    SqueezeExcite { squeezed, activation: Activation::Relu, gate: Activation::Sigmoid }
}
