//! MobileNetV1: depthwise separable convolutions, at any width.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Howard et al. 2017, Table 1, <https://arxiv.org/abs/1704.04861>; timm's `_gen_mobilenet_v1`.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, separable};
use crate::scaling::Scaling;

/// Table 1 in pairs of depthwise and pointwise convolution, at 224x224; a stage begins where the map shrinks.
#[rustfmt::skip]
const STAGES: [&[Row]; 5] = [
    //         k     c  n  s
    &[separable(3,   64, 1, 1)], // 112 -> 112
    &[separable(3,  128, 2, 2)], // 112 -> 56
    &[separable(3,  256, 2, 2)], //  56 -> 28
    &[separable(3,  512, 6, 2)], //  28 -> 14
    &[separable(3, 1024, 2, 2)], //  14 -> 7
];

/// timm's `h`, a head like MobileNetV2's.
const CONV: Head = Head::ConvPool(Width::AtLeast(1024));

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 3] = [
    //  name                aliases            input config                       params         MACs
    row("mobilenetv1_100",  &["mobilenet_v1"], 224, config(1.00, Head::Pool), 4_231_976, 568_740_352),
    row("mobilenetv1_100h", &[],               224, config(1.00, CONV),       5_282_600, 620_120_576),
    row("mobilenetv1_125",  &[],               224, config(1.25, Head::Pool), 6_270_840, 879_516_800),
];

const fn config(width_mult: f64, head: Head) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stages: &STAGES,
        scaling: Scaling::width(width_mult),
        style: Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false },
        head,
        ..Mobile::BASE
    })
}
