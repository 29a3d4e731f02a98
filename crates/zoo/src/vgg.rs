//! VGG: 3x3 convolutions with bias and without norms, and a heavy head; a yardstick for cost.
//!
//! Above: `architecture`. Below: `classifier`. Not here: variants with norms.
//! Source: Simonyan and Zisserman 2015, Table 1, columns A and D, <https://arxiv.org/abs/1409.1556>; timm's `vgg.py`, whose
//! fully connected layers are convolutions, so that images of other sizes than 224x224 work; dropout as torchvision's `vgg.py`.

use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, Padding, PoolKind, Result, ScopeKind,
    Window,
};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::classifier::classify;
use crate::scaling::Scaling;

/// Channels and convolutions of each stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vgg {
    depths: [usize; 5],
}

const CHANNELS: [usize; 5] = [64, 128, 256, 512, 512];
/// Of the fully connected layers.
const HIDDEN: usize = 4096;
const DROPOUT: f64 = 0.5;

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 2] = [
    //  name     aliases input config                                             params            MACs
    row("vgg11", &[], 224, ArchitectureConfig::Vgg(Vgg { depths: [1, 1, 2, 2, 2] }), 132_863_336,  7_609_090_048),
    row("vgg16", &[], 224, ArchitectureConfig::Vgg(Vgg { depths: [2, 2, 3, 3, 3] }), 138_357_544, 15_470_264_320),
];

impl Vgg {
    pub(crate) fn lower(&self, options: &Options) -> Result<Graph> {
        let scaling = options.scaling;
        let mut b = GraphBuilder::new(options.in_channels)?;
        let (mut xs, mut place) = (b.input(), 0);
        for (stage_idx, (c, n)) in CHANNELS.into_iter().zip(self.depths).enumerate() {
            let [c, n] = [scaling.channels(c), scaling.repeats(n)];
            xs = b.scope(ScopeKind::Stage, &format!("features.stage{stage_idx}"), |b| {
                stage(b, &mut place, xs, c, n)
            })?;
        }
        b.output("features", xs)?;
        let pre_logits = b.scope(ScopeKind::Head, "head", |b| head(b, xs, scaling))?;
        b.output("pre_logits", pre_logits)?;
        classify(&mut b, ["head.drop", "head.fc"], pre_logits, DROPOUT, options.classes)?;
        b.build()
    }
}

/// `n` convolutions and a pool; `place` counts timm's layers, of which the names are made.
fn stage(
    b: &mut GraphBuilder,
    place: &mut usize,
    mut xs: NodeId,
    c: usize,
    n: usize,
) -> Result<NodeId> {
    let mut next = || {
        *place += 1;
        format!("features.{}", *place - 1)
    };
    for _ in 0..n {
        xs = b.conv(&next(), xs, Conv::dense(c, 3, 1), Bias::With)?;
        xs = b.activation(&next(), xs, Activation::Relu)?;
    }
    b.pool(&next(), xs, PoolKind::Max, Window::square(2, 2))
}

/// Two fully connected layers as convolutions, then the pool. A map of less than 7x7, from an image below 224x224, is averaged up to
/// that: torchvision's adaptive pool, which is none at 224, and timm's.
fn head(b: &mut GraphBuilder, xs: NodeId, scaling: Scaling) -> Result<NodeId> {
    let hidden = scaling.channels(HIDDEN);
    let window = Window { padding: Padding::Valid, ..Window::square(7, 1) };
    let up = Op::AdaptivePool { kind: PoolKind::Avg, out: [7, 7], at_least: true };
    let xs = b.push("pre_logits.pool", up, &[xs], Bias::Without)?;
    let xs = b.conv("pre_logits.fc1", xs, Conv { out: hidden, window, groups: 1 }, Bias::With)?;
    let xs = b.activation("pre_logits.act1", xs, Activation::Relu)?;
    let xs = b.dropout("pre_logits.drop", xs, DROPOUT)?;
    let xs = b.conv("pre_logits.fc2", xs, Conv::pointwise(hidden), Bias::With)?;
    let xs = b.activation("pre_logits.act2", xs, Activation::Relu)?;
    b.global_pool("head.global_pool", xs, PoolKind::Avg, true)
}
