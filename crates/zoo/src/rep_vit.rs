//! RepViT: a mobile network laid out as a vision transformer is, with convolutions for both mixers.
//!
//! Above: `architecture`. Below: `classifier`, `taper_graph::blocks`. Not here: adding up its parallel ways, which needs weights.
//! Source: Wang et al. 2024, Table 8, <https://arxiv.org/abs/2307.09283>; timm's `repvit.py`. Its two classifiers, one of which
//! was distilled, are averaged.

use taper_graph::blocks::{
    Names, RepVitBlock, RepVitDownsample, SqueezeExcite, Style, conv_norm_act,
};
use taper_graph::scaling::make_divisible;
use taper_graph::{Activation, Bias, Conv, Graph, GraphBuilder, Init, NodeId, Result, ScopeKind};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::classifier::pool;

const STYLE: Style =
    Style { activation: Activation::Gelu, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// What the variants differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RepVit {
    /// Of the first stage; each of the others has twice as many.
    channels: usize,
    depths: [usize; 4],
    /// See [`RepVitBlock::norms_each_way`].
    norms_each_way: bool,
}

const NEW: bool = false;
/// The first published code.
const OLD: bool = true;

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 8] = [
    //  name           aliases input config                              params           MACs
    row("repvit_m1",   &[], 224, config(48, [2, 2, 14, 2], OLD),  5_485_248,   817_280_832),
    row("repvit_m2",   &[], 224, config(64, [2, 2, 12, 2], OLD),  8_797_984, 1_339_242_240),
    row("repvit_m3",   &[], 224, config(64, [4, 4, 18, 2], OLD), 10_682_832, 1_862_184_704),
    row("repvit_m0_9", &[], 224, config(48, [2, 2, 14, 2], NEW),  5_489_328,   817_280_832),
    row("repvit_m1_0", &[], 224, config(56, [2, 2, 14, 2], NEW),  7_302_796, 1_108_077_600),
    row("repvit_m1_1", &[], 224, config(64, [2, 2, 12, 2], NEW),  8_802_912, 1_339_242_240),
    row("repvit_m1_5", &[], 224, config(64, [4, 4, 24, 4], NEW), 14_644_432, 2_276_968_192),
    row("repvit_m2_3", &[], 224, config(80, [6, 6, 34, 2], NEW), 23_688_792, 4_521_490_880),
];

const fn config(channels: usize, depths: [usize; 4], norms_each_way: bool) -> ArchitectureConfig {
    ArchitectureConfig::RepVit(RepVit { channels, depths, norms_each_way })
}

impl RepVit {
    pub(crate) fn lower(&self, options: &Options) -> Result<Graph> {
        let scaling = options.scaling;
        let mut b = GraphBuilder::new(options.in_channels)?;
        let c = scaling.channels(self.channels);
        let input = b.input();
        let mut xs = b.scope(ScopeKind::Stem, "stem", |b| stem(b, input, c))?;
        for (stage_idx, depth) in self.depths.into_iter().enumerate() {
            let out = scaling.channels(self.channels << stage_idx);
            xs = self.stage(&mut b, stage_idx, xs, [out, scaling.repeats(depth)])?;
        }
        let pooled = pool(&mut b, "head.global_pool", xs)?;
        let logits = b.scope(ScopeKind::Classifier, "classifier", |b| {
            let ways = ["head.head", "head.head_dist"];
            let [first, second] = ways.map(|way| classify(b, way, pooled, options.classes));
            let sum = b.add("head.add", first?, second?)?;
            b.scale("head.mean", sum, 0.5)
        })?;
        b.output("logits", logits)?;
        b.build()
    }

    fn stage(
        &self,
        b: &mut GraphBuilder,
        stage_idx: usize,
        mut xs: NodeId,
        [out, depth]: [usize; 2],
    ) -> Result<NodeId> {
        let stage = format!("stages.{stage_idx}");
        b.scope(ScopeKind::Stage, &stage, |b| {
            if stage_idx > 0 {
                let downsample = RepVitDownsample { block: self.block(None), out };
                xs = downsample.build(b, &format!("{stage}.downsample"), xs, &STYLE)?;
            }
            for block_idx in 0..depth {
                // Every other block has one, beginning with the first.
                let squeeze_excite = (block_idx % 2 == 0).then(|| squeeze_excite(out));
                let name = format!("{stage}.blocks.{block_idx}");
                xs = self.block(squeeze_excite).build(b, &name, xs, &STYLE)?;
            }
            Ok(xs)
        })
    }

    fn block(&self, squeeze_excite: Option<SqueezeExcite>) -> RepVitBlock {
        let norms_each_way = self.norms_each_way;
        RepVitBlock { kernel_size: 3, expand_ratio: 2, squeeze_excite, norms_each_way }
    }
}

/// Two convolutions of stride 2.
fn stem(b: &mut GraphBuilder, image: NodeId, c: usize) -> Result<NodeId> {
    let names =
        Names { conv: "stem.conv1.c", norm: "stem.conv1.bn", activation: Some("stem.act1") };
    let xs = conv_norm_act(b, names, image, Conv::dense(c / 2, 3, 2), &STYLE)?;
    let names = Names { conv: "stem.conv2.c", norm: "stem.conv2.bn", activation: None };
    conv_norm_act(b, names, xs, Conv::dense(c, 3, 2), &STYLE)
}

/// To a quarter of the channels.
fn squeeze_excite(channels: usize) -> SqueezeExcite {
    let squeezed = make_divisible(channels as f64 / 4.0, 8, 0.0);
    SqueezeExcite { squeezed, activation: Activation::Relu, gate: Activation::Sigmoid }
}

/// A norm of the vector and a linear layer.
fn classify(b: &mut GraphBuilder, name: &str, xs: NodeId, classes: usize) -> Result<NodeId> {
    let xs = b.batch_norm(&format!("{name}.bn"), xs, STYLE.eps, STYLE.momentum)?;
    let logits = b.linear(&format!("{name}.l"), xs, classes, Bias::With)?;
    b.init(&format!("{name}.l.weight"), Init::Normal { std: 0.02 })?;
    Ok(logits)
}
