//! EfficientNetV2: fused blocks early, depthwise ones late, faster to train.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`), progressive image sizes.
//! Source: Tan and Le 2021, Table 4, <https://arxiv.org/abs/2104.00298>; the other tables, scaling and dropout of google/automl
//! `efficientnetv2`; timm's `_gen_efficientnetv2_*`, of whose own variants (`rw`) no dropout is known.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, fused, mbconv, residual_conv};
use crate::scaling::Scaling;

/// Of the block's input.
const SE: f64 = 0.25;

/// Stages of a table, channels of stem and head.
#[derive(Clone, Copy)]
struct Table {
    stages: &'static [&'static [Row]],
    stem: usize,
    head: Width,
    round_limit: f64,
}

#[rustfmt::skip]
const BASE: Table = Table {
    stages: &[
        &[residual_conv(3, 16, 1, 1)], // 112 -> 112
        //      k    t    c   n  s
        &[fused( 3, 4.0,  32,  2, 2)], // 112 -> 56
        &[fused( 3, 4.0,  48,  2, 2)], //  56 -> 28
        &[mbconv(3, 4.0,  96,  3, 2).squeezed(SE)], // 28 -> 14
        &[mbconv(3, 6.0, 112,  5, 1).squeezed(SE)],
        &[mbconv(3, 6.0, 192,  8, 2).squeezed(SE)], // 14 -> 7
    ],
    stem: 32,
    head: Width::Scaled(1280),
    round_limit: 0.0,
};

/// Table 4.
#[rustfmt::skip]
const SMALL: Table = Table {
    stages: &[
        &[residual_conv(3, 24, 2, 1)], // 192 -> 192
        //      k    t    c   n  s
        &[fused( 3, 4.0,  48,  4, 2)], // 192 -> 96
        &[fused( 3, 4.0,  64,  4, 2)], //  96 -> 48
        &[mbconv(3, 4.0, 128,  6, 2).squeezed(SE)], // 48 -> 24
        &[mbconv(3, 6.0, 160,  9, 1).squeezed(SE)],
        &[mbconv(3, 6.0, 256, 15, 2).squeezed(SE)], // 24 -> 12
    ],
    stem: 24,
    head: Width::Scaled(1280),
    round_limit: 0.9,
};

/// timm's, from a figure of the paper before its code.
#[rustfmt::skip]
const SMALL_RW: Table = Table {
    stages: &[
        //      k    t    c   n  s
        &[fused( 3, 1.0,  24,  2, 1)],
        &[fused( 3, 4.0,  48,  4, 2)],
        &[fused( 3, 4.0,  64,  4, 2)],
        &[mbconv(3, 4.0, 128,  6, 2).squeezed(SE)],
        &[mbconv(3, 6.0, 160,  9, 1).squeezed(SE)],
        &[mbconv(3, 6.0, 272, 15, 2).squeezed(SE)],
    ],
    head: Width::Scaled(1792),
    ..SMALL
};

#[rustfmt::skip]
const MEDIUM: Table = Table {
    stages: &[
        &[residual_conv(3, 24, 3, 1)],
        //      k    t    c   n  s
        &[fused( 3, 4.0,  48,  5, 2)],
        &[fused( 3, 4.0,  80,  5, 2)],
        &[mbconv(3, 4.0, 160,  7, 2).squeezed(SE)],
        &[mbconv(3, 6.0, 176, 14, 1).squeezed(SE)],
        &[mbconv(3, 6.0, 304, 18, 2).squeezed(SE)],
        &[mbconv(3, 6.0, 512,  5, 1).squeezed(SE)],
    ],
    stem: 24,
    head: Width::Fixed(1280),
    round_limit: 0.9,
};

#[rustfmt::skip]
const LARGE: Table = Table {
    stages: &[
        &[residual_conv(3, 32, 4, 1)],
        //      k    t    c   n  s
        &[fused( 3, 4.0,  64,  7, 2)],
        &[fused( 3, 4.0,  96,  7, 2)],
        &[mbconv(3, 4.0, 192, 10, 2).squeezed(SE)],
        &[mbconv(3, 6.0, 224, 19, 1).squeezed(SE)],
        &[mbconv(3, 6.0, 384, 25, 2).squeezed(SE)],
        &[mbconv(3, 6.0, 640,  7, 1).squeezed(SE)],
    ],
    stem: 32,
    ..MEDIUM
};

const PT: Style =
    Style { activation: Activation::Silu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// As trained by TensorFlow.
const TF: Style = Style { eps: 1e-3, tf_padding: true, ..PT };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 12] = [
    //  name                    aliases input config                                      params            MACs
    row("efficientnetv2_s",     &[], 288, config(SMALL, PT, [1.0, 1.0], 0.2),     21_458_488,  4_707_823_040),
    row("efficientnetv2_m",     &[], 320, config(MEDIUM, PT, [1.0, 1.0], 0.3),    54_139_356, 10_931_712_384),
    row("efficientnetv2_l",     &[], 384, config(LARGE, PT, [1.0, 1.0], 0.4),    118_515_272, 35_899_418_624),
    row("efficientnetv2_rw_t",  &[], 224, config(SMALL, PT, [0.8, 0.9], 0.0),     13_649_388,  1_912_879_840),
    row("efficientnetv2_rw_s",  &[], 288, config(SMALL_RW, PT, [1.0, 1.0], 0.0),  23_941_296,  4_862_701_312),
    row("tf_efficientnetv2_b0", &[], 192, config(BASE, TF, [1.0, 1.0], 0.2),       7_139_704,    528_186_752),
    row("tf_efficientnetv2_b1", &[], 192, config(BASE, TF, [1.0, 1.1], 0.2),       8_141_052,    747_003_008),
    row("tf_efficientnetv2_b2", &[], 208, config(BASE, TF, [1.1, 1.2], 0.3),      10_096_086,  1_043_476_528),
    row("tf_efficientnetv2_b3", &[], 240, config(BASE, TF, [1.2, 1.4], 0.3),      14_358_406,  1_908_036_640),
    row("tf_efficientnetv2_s",  &[], 300, config(SMALL, TF, [1.0, 1.0], 0.2),     21_458_488,  5_307_561_248),
    row("tf_efficientnetv2_m",  &[], 384, config(MEDIUM, TF, [1.0, 1.0], 0.3),    54_139_356, 15_736_775_680),
    row("tf_efficientnetv2_l",  &[], 384, config(LARGE, TF, [1.0, 1.0], 0.4),    118_515_272, 35_899_418_624),
];

const fn config(table: Table, style: Style, scale: [f64; 2], dropout: f64) -> ArchitectureConfig {
    let [width_mult, depth_mult] = scale;
    ArchitectureConfig::Mobile(Mobile {
        stem: Width::Scaled(table.stem),
        stages: table.stages,
        scaling: Scaling { width_mult, depth_mult },
        round_limit: table.round_limit,
        style,
        head: Head::ConvPool(table.head),
        dropout,
        ..Mobile::BASE
    })
}
