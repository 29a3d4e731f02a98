//! EfficientNet: one searched network, scaled in width, depth and image together.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`), Lite, EdgeTPU and V2.
//! Source: Tan and Le 2019, Table 1, <https://arxiv.org/abs/1905.11946>; scaling and dropout of tensorflow/tpu `efficientnet`;
//! timm's `_gen_efficientnet`.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, fused, mbconv, residual_conv};
use crate::scaling::Scaling;

/// Of the block's input.
const SE: f64 = 0.25;

/// Table 1, sizes at 224x224.
#[rustfmt::skip]
const STAGES: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1).squeezed(SE)], // 112 -> 112
    &[mbconv(3, 6.0,  24, 2, 2).squeezed(SE)], // 112 -> 56
    &[mbconv(5, 6.0,  40, 2, 2).squeezed(SE)], //  56 -> 28
    &[mbconv(3, 6.0,  80, 3, 2).squeezed(SE)], //  28 -> 14
    &[mbconv(5, 6.0, 112, 3, 1).squeezed(SE)], //  14 -> 14
    &[mbconv(5, 6.0, 192, 4, 2).squeezed(SE)], //  14 -> 7
    &[mbconv(3, 6.0, 320, 1, 1).squeezed(SE)], //   7 -> 7
];

/// timm's network for tests: one of each block.
#[rustfmt::skip]
const TINY: [&[Row]; 5] = [
    &[residual_conv(3, 16, 1, 1)],
    //      k    t    c  n  s
    &[fused( 3, 4.0,  24, 1, 2)],
    &[fused( 3, 4.0,  32, 1, 2)],
    &[mbconv(3, 4.0,  48, 1, 2).squeezed(SE)],
    &[mbconv(3, 4.0,  64, 1, 2).squeezed(SE)],
];

const PT: Style =
    Style { activation: Activation::Silu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// As trained by TensorFlow.
const TF: Style = Style { eps: 1e-3, tf_padding: true, ..PT };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 17] = [
    //  name                  aliases input config                         params            MACs
    row("efficientnet_b0",    &[], 224, config(PT, 1.0, 1.0, 0.2),  5_288_548,    385_814_752),
    row("efficientnet_b1",    &[], 240, config(PT, 1.0, 1.1, 0.2),  7_794_184,    686_802_832),
    row("efficientnet_b2",    &[], 256, config(PT, 1.1, 1.2, 0.3),  9_109_994,    859_853_760),
    row("efficientnet_b3",    &[], 288, config(PT, 1.2, 1.4, 0.3), 12_233_232,  1_589_198_096),
    row("efficientnet_b4",    &[], 320, config(PT, 1.4, 1.8, 0.4), 19_341_616,  3_063_687_008),
    row("efficientnet_b5",    &[], 448, config(PT, 1.6, 2.2, 0.4), 30_389_784,  9_404_374_080),
    row("efficientnet_b6",    &[], 528, config(PT, 1.8, 2.6, 0.5), 43_040_704, 19_067_593_536),
    row("efficientnet_b7",    &[], 600, config(PT, 2.0, 3.1, 0.5), 66_347_960, 37_745_884_192),
    row("tf_efficientnet_b0", &[], 224, config(TF, 1.0, 1.0, 0.2),  5_288_548,    385_814_752),
    row("tf_efficientnet_b1", &[], 240, config(TF, 1.0, 1.1, 0.2),  7_794_184,    686_802_832),
    row("tf_efficientnet_b2", &[], 260, config(TF, 1.1, 1.2, 0.3),  9_109_994,    993_561_872),
    row("tf_efficientnet_b3", &[], 300, config(TF, 1.2, 1.4, 0.3), 12_233_232,  1_827_141_392),
    row("tf_efficientnet_b4", &[], 380, config(TF, 1.4, 1.8, 0.4), 19_341_616,  4_393_771_024),
    row("tf_efficientnet_b5", &[], 456, config(TF, 1.6, 2.2, 0.4), 30_389_784, 10_266_384_752),
    row("tf_efficientnet_b6", &[], 528, config(TF, 1.8, 2.6, 0.5), 43_040_704, 19_067_593_536),
    row("tf_efficientnet_b7", &[], 600, config(TF, 2.0, 3.1, 0.5), 66_347_960, 37_745_884_192),
    row("test_efficientnet",  &[], 160, tiny(),                     356_196,     57_304_256),
];

const fn network(style: Style, scaling: Scaling, dropout: f64) -> Mobile {
    Mobile {
        stages: &STAGES,
        scaling,
        style,
        head: Head::ConvPool(Width::Scaled(1280)),
        dropout,
        ..Mobile::BASE
    }
}

const fn config(
    style: Style,
    width_mult: f64,
    depth_mult: f64,
    dropout: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(network(style, Scaling { width_mult, depth_mult }, dropout))
}

const fn tiny() -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stem: Width::Scaled(24),
        stages: &TINY,
        round_limit: 0.0,
        head: Head::ConvPool(Width::Scaled(256)),
        ..network(PT, Scaling::ONE, 0.0)
    })
}
