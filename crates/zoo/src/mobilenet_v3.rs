//! MobileNetV3: searched inverted residuals, squeeze-and-excite, hard swish, and a head that pools first.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Howard et al. 2019, Tables 1 and 2, <https://arxiv.org/abs/1905.02244>; expansions as ratios of the block's input,
//! as timm's `_gen_mobilenet_v3` has them, so that narrower variants round as timm's do. torchvision's weights for
//! `mobilenetv3_*_100` want norms with eps 1e-3 and momentum 0.01.

use taper_graph::blocks::Style;
use taper_graph::{Activation, Bias};

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Squeeze, Width, conv, mbconv};
use crate::scaling::Scaling;

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::HardSwish;
/// Of the expanded channels.
const SE: f64 = 0.25;
const __: f64 = 0.0;

/// Table 1.
#[rustfmt::skip]
const LARGE: [&[Row]; 7] = [
    //      k     t    c  SE  NL  n  s
    &[bneck(3, 1.00,  16, __, RE, 1, 1)], // 112 -> 112
    &[bneck(3, 4.00,  24, __, RE, 1, 2),  // 112 -> 56
      bneck(3, 3.00,  24, __, RE, 1, 1)],
    &[bneck(5, 3.00,  40, SE, RE, 3, 2)], //  56 -> 28
    &[bneck(3, 6.00,  80, __, HS, 1, 2),  //  28 -> 14
      bneck(3, 2.50,  80, __, HS, 1, 1),
      bneck(3, 2.30,  80, __, HS, 2, 1)],
    &[bneck(3, 6.00, 112, SE, HS, 2, 1)],
    &[bneck(5, 6.00, 160, SE, HS, 3, 2)], //  14 -> 7
    &[conv(1, 960, 1, 1)],
];

/// Table 2.
#[rustfmt::skip]
const SMALL: [&[Row]; 6] = [
    //      k     t    c  SE  NL  n  s
    &[bneck(3, 1.00,  16, SE, RE, 1, 2)], // 112 -> 56
    &[bneck(3, 4.50,  24, __, RE, 1, 2),  //  56 -> 28
      bneck(3, 3.67,  24, __, RE, 1, 1)],
    &[bneck(5, 4.00,  40, SE, HS, 1, 2),  //  28 -> 14
      bneck(5, 6.00,  40, SE, HS, 2, 1)],
    &[bneck(5, 3.00,  48, SE, HS, 2, 1)],
    &[bneck(5, 6.00,  96, SE, HS, 3, 2)], //  14 -> 7
    &[conv(1, 576, 1, 1)],
];

/// Table 1 with what every accelerator can do: kernels of 3, relu, no squeeze-and-excite.
#[rustfmt::skip]
const LARGE_MINIMAL: [&[Row]; 7] = [
    //       k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1)],
    &[mbconv(3, 4.0,  24, 1, 2),
      mbconv(3, 3.0,  24, 1, 1)],
    &[mbconv(3, 3.0,  40, 3, 2)],
    &[mbconv(3, 6.0,  80, 1, 2),
      mbconv(3, 2.5,  80, 1, 1),
      mbconv(3, 2.3,  80, 2, 1)],
    &[mbconv(3, 6.0, 112, 2, 1)],
    &[mbconv(3, 6.0, 160, 3, 2)],
    &[conv(1, 960, 1, 1)],
];

/// Table 2 likewise.
#[rustfmt::skip]
const SMALL_MINIMAL: [&[Row]; 6] = [
    //       k     t    c  n  s
    &[mbconv(3, 1.00,  16, 1, 2)],
    &[mbconv(3, 4.50,  24, 1, 2),
      mbconv(3, 3.67,  24, 1, 1)],
    &[mbconv(3, 4.00,  40, 1, 2),
      mbconv(3, 6.00,  40, 2, 1)],
    &[mbconv(3, 3.00,  48, 2, 1)],
    &[mbconv(3, 6.00,  96, 3, 2)],
    &[conv(1, 576, 1, 1)],
];

/// timm's first reading of Table 1.
#[rustfmt::skip]
const LARGE_RW: [&[Row]; 7] = [
    &[LARGE[0][0].without_residual()],
    LARGE[1], LARGE[2], LARGE[3], LARGE[4], LARGE[5], LARGE[6],
];

#[expect(clippy::too_many_arguments, reason = "the columns of the paper's tables")]
const fn bneck(
    kernel_size: usize,
    expand_ratio: f64,
    out: usize,
    squeeze_ratio: f64,
    activation: Activation,
    repeats: usize,
    stride: usize,
) -> Row {
    let row = mbconv(kernel_size, expand_ratio, out, repeats, stride);
    row.squeezed(squeeze_ratio).activated(activation)
}

const PT: Style = Style { activation: HS, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// As trained by TensorFlow.
const TF: Style = Style { eps: 1e-3, tf_padding: true, ..PT };
const TF_MINIMAL: Style = Style { activation: RE, ..TF };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 13] = [
    //  name                                aliases                  input config                                         params           MACs
    row("mobilenetv3_small_050",            &[],                     224, small(&SMALL, PT, 0.50),                  1_593_224,    24_188_688),
    row("mobilenetv3_small_075",            &[],                     224, small(&SMALL, PT, 0.75),                  2_041_872,    43_399_344),
    row("mobilenetv3_small_100",            &["mobilenet_v3_small"], 224, small(&SMALL, PT, 1.00),                  2_542_856,    56_510_400),
    row("mobilenetv3_large_075",            &[],                     224, large(&LARGE, PT, 0.75),                  3_993_528,   154_560_624),
    row("mobilenetv3_large_100",            &["mobilenet_v3_large"], 224, large(&LARGE, PT, 1.00),                  5_483_032,   216_589_760),
    row("mobilenetv3_large_150d",           &[],                     256, deep(),                                  14_622_320, 1_010_021_120),
    row("mobilenetv3_rw",                   &[],                     224, rw(),                                     5_479_918,   216_587_936),
    row("tf_mobilenetv3_small_075",         &[],                     224, small(&SMALL, TF, 0.75),                  2_041_872,    43_399_344),
    row("tf_mobilenetv3_small_100",         &[],                     224, small(&SMALL, TF, 1.00),                  2_542_856,    56_510_400),
    row("tf_mobilenetv3_small_minimal_100", &[],                     224, small(&SMALL_MINIMAL, TF_MINIMAL, 1.00),  2_044_736,    52_288_448),
    row("tf_mobilenetv3_large_075",         &[],                     224, large(&LARGE, TF, 0.75),                  3_993_528,   154_560_624),
    row("tf_mobilenetv3_large_100",         &[],                     224, large(&LARGE, TF, 1.00),                  5_483_032,   216_589_760),
    row("tf_mobilenetv3_large_minimal_100", &[],                     224, large(&LARGE_MINIMAL, TF_MINIMAL, 1.00),  3_924_288,   209_136_704),
];

const fn small(
    stages: &'static [&'static [Row]],
    style: Style,
    width_mult: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(network(stages, style, Scaling::width(width_mult), 1024))
}

const fn large(
    stages: &'static [&'static [Row]],
    style: Style,
    width_mult: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(network(stages, style, Scaling::width(width_mult), 1280))
}

const fn deep() -> ArchitectureConfig {
    ArchitectureConfig::Mobile(network(
        &LARGE,
        PT,
        Scaling { width_mult: 1.5, depth_mult: 1.2 },
        1280,
    ))
}

const fn rw() -> ArchitectureConfig {
    let style = Style { eps: 1e-3, ..PT };
    let large = network(&LARGE_RW, style, Scaling::ONE, 1280);
    ArchitectureConfig::Mobile(Mobile {
        squeeze: Squeeze { is_divisible: false, activation: None, ..large.squeeze },
        head: Head::PoolConv { channels: 1280, bias: Bias::Without },
        ..large
    })
}

/// The narrowest variants keep the width of the stem; all keep that of the head.
const fn network(
    stages: &'static [&'static [Row]],
    style: Style,
    scaling: Scaling,
    head: usize,
) -> Mobile {
    Mobile {
        stem: if scaling.width_mult < 0.75 { Width::Fixed(16) } else { Width::Scaled(16) },
        stages,
        scaling,
        style,
        squeeze: Squeeze {
            of_expanded: true,
            is_divisible: true,
            activation: Some(RE),
            gate: Activation::HardSigmoid,
        },
        head: Head::PoolConv { channels: head, bias: Bias::With },
        dropout: 0.2,
        ..Mobile::BASE
    }
}
