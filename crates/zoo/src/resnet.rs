//! ResNet: residual blocks, the yardstick of convolutional networks.
//!
//! Above: `architecture`. Below: `classifier`, `taper_graph::blocks`. Not here: what a block is (`taper_graph::blocks`).
//! Source: He et al. 2016, Table 1, <https://arxiv.org/abs/1512.03385>; timm's `resnet.py`, torchvision's `resnet.py`.

use taper_graph::blocks::{Names, Residual, ResidualKind, Style, conv_norm_act};
use taper_graph::{
    Activation, Conv, Graph, GraphBuilder, NodeId, PoolKind, Result, ScopeKind, Window,
};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::classifier::{classify, pool};
use crate::scaling::Scaling;

const STYLE: Style =
    Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };

/// What the variants differ in; the first stage keeps the size, the others halve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResNet {
    blocks: [ResidualKind; 4],
    widths: [usize; 4],
    depths: [usize; 4],
    stem: Stem,
    pools_shortcuts: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stem {
    /// One 7x7 convolution to 64 channels.
    Wide,
    /// Three 3x3 convolutions, the last to twice as many channels.
    Deep(usize),
}

const BASIC: ResidualKind = ResidualKind::Basic;
const BOTTLENECK: ResidualKind = ResidualKind::Bottleneck;

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 4] = [
    //  name           aliases input config                                params           MACs
    row("resnet18",    &[], 224, config(BASIC, [2, 2, 2, 2]),      11_689_512, 1_814_073_344),
    row("resnet34",    &[], 224, config(BASIC, [3, 4, 6, 3]),      21_797_672, 3_663_761_408),
    row("resnet50",    &[], 224, config(BOTTLENECK, [3, 4, 6, 3]), 25_557_032, 4_089_184_256),
    row("test_resnet", &[], 160, tiny(),                            469_688,   102_547_200),
];

const fn config(block: ResidualKind, depths: [usize; 4]) -> ArchitectureConfig {
    let widths = [64, 128, 256, 512];
    ArchitectureConfig::ResNet(ResNet {
        blocks: [block; 4],
        widths,
        depths,
        stem: Stem::Wide,
        pools_shortcuts: false,
    })
}

/// timm's network for tests: one of each block.
const fn tiny() -> ArchitectureConfig {
    let blocks = [BASIC, BASIC, BOTTLENECK, BASIC];
    let (widths, depths) = ([32, 48, 48, 96], [1; 4]);
    ArchitectureConfig::ResNet(ResNet {
        blocks,
        widths,
        depths,
        stem: Stem::Deep(16),
        pools_shortcuts: true,
    })
}

impl ResNet {
    pub(crate) fn lower(&self, options: &Options) -> Result<Graph> {
        let scaling = options.scaling;
        let mut b = GraphBuilder::new(options.in_channels)?;
        let mut xs = b.scope(ScopeKind::Stem, "stem", |b| self.stem(b, scaling))?;
        for stage_idx in 0..self.depths.len() {
            let stage = format!("layer{}", stage_idx + 1);
            xs = b.scope(ScopeKind::Stage, &stage, |b| {
                self.stage(b, &stage, stage_idx, xs, scaling)
            })?;
        }
        let pooled = pool(&mut b, "global_pool", xs)?;
        classify(&mut b, ["drop", "fc"], pooled, 0.0, options.classes)?;
        b.build()
    }

    fn stem(&self, b: &mut GraphBuilder, scaling: Scaling) -> Result<NodeId> {
        let image = b.input();
        let last = |conv| Names { conv, norm: "bn1", activation: Some("act1") };
        let xs = match self.stem {
            Stem::Wide => {
                let conv = Conv::dense(scaling.channels(64), 7, 2);
                conv_norm_act(b, last("conv1"), image, conv, &STYLE)?
            }
            Stem::Deep(c) => {
                let c = scaling.channels(c);
                let names = Names { conv: "conv1.0", norm: "conv1.1", activation: Some("conv1.2") };
                let xs = conv_norm_act(b, names, image, Conv::dense(c, 3, 2), &STYLE)?;
                let names = Names { conv: "conv1.3", norm: "conv1.4", activation: Some("conv1.5") };
                let xs = conv_norm_act(b, names, xs, Conv::dense(c, 3, 1), &STYLE)?;
                conv_norm_act(b, last("conv1.6"), xs, Conv::dense(2 * c, 3, 1), &STYLE)?
            }
        };
        b.pool("maxpool", xs, PoolKind::Max, Window::square(3, 2))
    }

    fn stage(
        &self,
        b: &mut GraphBuilder,
        stage: &str,
        stage_idx: usize,
        xs: NodeId,
        scaling: Scaling,
    ) -> Result<NodeId> {
        let width = scaling.channels(self.widths[stage_idx]);
        (0..scaling.repeats(self.depths[stage_idx])).try_fold(xs, |xs, block_idx| {
            let block = Residual {
                kind: self.blocks[stage_idx],
                width,
                stride: if stage_idx > 0 && block_idx == 0 { 2 } else { 1 },
                pools_shortcut: self.pools_shortcuts,
            };
            block.build(b, &format!("{stage}.{block_idx}"), xs, &STYLE)
        })
    }
}
