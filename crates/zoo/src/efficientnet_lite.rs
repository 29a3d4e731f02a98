//! EfficientNet-Lite: EfficientNet without squeeze-and-excite, with relu6, for devices that compute in integers.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`), EfficientNet itself.
//! Source: Tan and Le 2019, Table 1, <https://arxiv.org/abs/1905.11946>; scaling and dropout of tensorflow/tpu
//! `efficientnet/lite`; timm's `_gen_efficientnet_lite`.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Mobile, Row, Width, mbconv};
use crate::scaling::Scaling;

/// Table 1, sizes at 224x224.
#[rustfmt::skip]
const STAGES: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1)], // 112 -> 112
    &[mbconv(3, 6.0,  24, 2, 2)], // 112 -> 56
    &[mbconv(5, 6.0,  40, 2, 2)], //  56 -> 28
    &[mbconv(3, 6.0,  80, 3, 2)], //  28 -> 14
    &[mbconv(5, 6.0, 112, 3, 1)], //  14 -> 14
    &[mbconv(5, 6.0, 192, 4, 2)], //  14 -> 7
    &[mbconv(3, 6.0, 320, 1, 1)], //   7 -> 7
];

const PT: Style =
    Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// As trained by TensorFlow.
const TF: Style = Style { eps: 1e-3, tf_padding: true, ..PT };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 10] = [
    //  name                     aliases input config                         params           MACs
    row("efficientnet_lite0",    &[], 224, config(PT, 1.0, 1.0, 0.2),  4_652_008,   385_187_552),
    row("efficientnet_lite1",    &[], 240, config(PT, 1.0, 1.1, 0.2),  5_416_680,   600_185_232),
    row("efficientnet_lite2",    &[], 260, config(PT, 1.1, 1.2, 0.3),  6_092_072,   859_736_272),
    row("efficientnet_lite3",    &[], 300, config(PT, 1.2, 1.4, 0.3),  8_197_096, 1_607_554_544),
    row("efficientnet_lite4",    &[], 380, config(PT, 1.4, 1.8, 0.3), 13_006_568, 3_943_564_112),
    row("tf_efficientnet_lite0", &[], 224, config(TF, 1.0, 1.0, 0.2),  4_652_008,   385_187_552),
    row("tf_efficientnet_lite1", &[], 240, config(TF, 1.0, 1.1, 0.2),  5_416_680,   600_185_232),
    row("tf_efficientnet_lite2", &[], 260, config(TF, 1.1, 1.2, 0.3),  6_092_072,   859_736_272),
    row("tf_efficientnet_lite3", &[], 300, config(TF, 1.2, 1.4, 0.3),  8_197_096, 1_607_554_544),
    row("tf_efficientnet_lite4", &[], 380, config(TF, 1.4, 1.8, 0.3), 13_006_568, 3_943_564_112),
];

/// Stem and head keep their width, the first and the last stage their depth.
const fn config(
    style: Style,
    width_mult: f64,
    depth_mult: f64,
    dropout: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stem: Width::Fixed(32),
        stages: &STAGES,
        scaling: Scaling { width_mult, depth_mult },
        keeps_ends: true,
        style,
        dropout,
        ..Mobile::BASE
    })
}
