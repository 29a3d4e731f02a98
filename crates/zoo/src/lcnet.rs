//! PP-LCNet: MobileNetV1's blocks with hard swish, late squeeze-and-excites and MobileNetV3's head, for CPUs.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Cui et al. 2021, Table 1, <https://arxiv.org/abs/2109.15099>; timm's `_gen_lcnet`.

use taper_graph::blocks::Style;
use taper_graph::{Activation, Bias};

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Squeeze, Width, separable};
use crate::scaling::Scaling;

/// Table 1, sizes at 224x224.
#[rustfmt::skip]
const STAGES: [&[Row]; 6] = [
    //         k    c  n  s
    &[separable(3,  32, 1, 1)],                // 112 -> 112
    &[separable(3,  64, 2, 2)],                // 112 -> 56
    &[separable(3, 128, 2, 2)],                //  56 -> 28
    &[separable(3, 256, 1, 2),                 //  28 -> 14
      separable(5, 256, 1, 1)],
    &[separable(5, 256, 4, 1)],
    &[separable(5, 512, 2, 2).squeezed(0.25)], //  14 -> 7
];

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 5] = [
    //  name         aliases input config           params         MACs
    row("lcnet_035", &[], 224, config(0.35), 1_644_370,  27_357_832),
    row("lcnet_050", &[], 224, config(0.50), 1_880_856,  44_731_008),
    row("lcnet_075", &[], 224, config(0.75), 2_358_288,  94_786_496),
    row("lcnet_100", &[], 224, config(1.00), 2_953_800, 155_700_480),
    row("lcnet_150", &[], 224, config(1.50), 4_501_112, 334_188_416),
];

const fn config(width_mult: f64) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stem: Width::Scaled(16),
        stages: &STAGES,
        scaling: Scaling::width(width_mult),
        style: Style { activation: Activation::HardSwish, ..Mobile::BASE.style },
        squeeze: Squeeze {
            of_expanded: true,
            is_divisible: false,
            activation: Some(Activation::Relu),
            gate: Activation::HardSigmoid,
        },
        head: Head::PoolConv { channels: 1280, bias: Bias::With },
        ..Mobile::BASE
    })
}
