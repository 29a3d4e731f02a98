//! MnasNet: B1 of plain inverted residuals, A1 with squeeze-and-excite (timm's `semnasnet`), and a small one.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Tan et al. 2019, Figure 7, <https://arxiv.org/abs/1807.11626>; timm's `_gen_mnasnet_a1`, `_b1` and `_small`.

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Mobile, Row, Width, mbconv};
use crate::scaling::Scaling;

#[rustfmt::skip]
const A1: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1).without_residual()], // 112 -> 112
    &[mbconv(3, 6.0,  24, 2, 2)],                    // 112 -> 56
    &[mbconv(5, 3.0,  40, 3, 2).squeezed(0.25)],     //  56 -> 28
    &[mbconv(3, 6.0,  80, 4, 2)],                    //  28 -> 14
    &[mbconv(3, 6.0, 112, 2, 1).squeezed(0.25)],
    &[mbconv(5, 6.0, 160, 3, 2).squeezed(0.25)],     //  14 -> 7
    &[mbconv(3, 6.0, 320, 1, 1)],
];

#[rustfmt::skip]
const B1: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1).without_residual()], // 112 -> 112
    &[mbconv(3, 3.0,  24, 3, 2)],                    // 112 -> 56
    &[mbconv(5, 3.0,  40, 3, 2)],                    //  56 -> 28
    &[mbconv(5, 6.0,  80, 3, 2)],                    //  28 -> 14
    &[mbconv(3, 6.0,  96, 2, 1)],
    &[mbconv(5, 6.0, 192, 4, 2)],                    //  14 -> 7
    &[mbconv(3, 6.0, 320, 1, 1).without_residual()],
];

#[rustfmt::skip]
const SMALL: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,   8, 1, 1)],                    // 112 -> 112
    &[mbconv(3, 3.0,  16, 1, 2)],                    // 112 -> 56
    &[mbconv(3, 6.0,  16, 2, 2)],                    //  56 -> 28
    &[mbconv(5, 6.0,  32, 4, 2).squeezed(0.25)],     //  28 -> 14
    &[mbconv(3, 6.0,  32, 3, 1).squeezed(0.25)],
    &[mbconv(5, 6.0,  88, 3, 2).squeezed(0.25)],     //  14 -> 7
    &[mbconv(3, 6.0, 144, 1, 1)],
];

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 9] = [
    //  name             aliases                        input config                      params         MACs
    row("mnasnet_050",   &["mnasnet0_5"],               224, config(&B1, 32, 0.50),   2_218_512, 104_455_968),
    row("mnasnet_075",   &[],                           224, config(&B1, 32, 0.75),   3_170_208, 215_493_104),
    row("mnasnet_100",   &["mnasnet1_0", "mnasnet_b1"], 224, config(&B1, 32, 1.00),   4_383_312, 314_415_872),
    row("mnasnet_140",   &[],                           224, config(&B1, 32, 1.40),   7_115_728, 588_799_408),
    row("semnasnet_050", &[],                           224, config(&A1, 32, 0.50),   2_082_006, 103_162_992),
    row("semnasnet_075", &[],                           224, config(&A1, 32, 0.75),   2_912_278, 223_448_480),
    row("semnasnet_100", &["mnasnet_a1"],               224, config(&A1, 32, 1.00),   3_887_038, 311_579_072),
    row("semnasnet_140", &[],                           224, config(&A1, 32, 1.40),   6_105_992, 586_317_952),
    row("mnasnet_small", &[],                           224, config(&SMALL, 8, 1.00), 2_030_264,  68_339_184),
];

const fn config(
    stages: &'static [&'static [Row]],
    stem: usize,
    width_mult: f64,
) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stem: Width::Scaled(stem),
        stages,
        scaling: Scaling::width(width_mult),
        dropout: 0.2,
        ..Mobile::BASE
    })
}
