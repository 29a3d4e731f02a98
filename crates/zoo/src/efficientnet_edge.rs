//! EfficientNet-EdgeTPU: dense convolutions where an accelerator prefers them, relu, no squeeze-and-excite.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Gupta and Tan 2019; stages, scaling and dropout of tensorflow/tpu `efficientnet/edgetpu`; timm's
//! `_gen_efficientnet_edge`.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, fused, mbconv};
use crate::scaling::Scaling;

/// Sizes at 224x224. The first block expands 24 channels, although 32 enter it.
#[rustfmt::skip]
const STAGES: [&[Row]; 6] = [
    //      k    t    c  n  s
    &[fused( 3, 4.0,  24, 1, 1).expanding(24).without_residual()], // 112 -> 112
    &[fused( 3, 8.0,  32, 2, 2)], // 112 -> 56
    &[fused( 3, 8.0,  48, 4, 2)], //  56 -> 28
    &[mbconv(5, 8.0,  96, 5, 2)], //  28 -> 14
    &[mbconv(5, 8.0, 144, 4, 1)], //  14 -> 14
    &[mbconv(5, 8.0, 192, 2, 2)], //  14 -> 7
];

const PT: Style =
    Style { activation: Activation::Relu, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// As trained by TensorFlow.
const TF: Style = Style { eps: 1e-3, tf_padding: true, ..PT };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 6] = [
    //  name                  aliases                      input config                         params           MACs
    row("efficientnet_es",    &["efficientnet_edgetpu_s"], 224, config(PT, 1.0, 1.0, 0.2),  5_438_392, 1_788_731_008),
    row("efficientnet_em",    &["efficientnet_edgetpu_m"], 240, config(PT, 1.0, 1.1, 0.2),  6_899_496, 3_013_321_088),
    row("efficientnet_el",    &["efficientnet_edgetpu_l"], 300, config(PT, 1.2, 1.4, 0.3), 10_589_712, 7_936_082_848),
    row("tf_efficientnet_es", &[],                         224, config(TF, 1.0, 1.0, 0.2),  5_438_392, 1_788_731_008),
    row("tf_efficientnet_em", &[],                         240, config(TF, 1.0, 1.1, 0.2),  6_899_496, 3_013_321_088),
    row("tf_efficientnet_el", &[],                         300, config(TF, 1.2, 1.4, 0.3), 10_589_712, 7_936_082_848),
];

const fn config(
    style: Style,
    width_mult: f64,
    depth_mult: f64,
    dropout: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stages: &STAGES,
        scaling: Scaling { width_mult, depth_mult },
        style,
        head: Head::ConvPool(Width::Scaled(1280)),
        dropout,
        ..Mobile::BASE
    })
}
