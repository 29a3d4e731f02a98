//! MobileNetV3: searched inverted residuals, squeeze-and-excite, hard swish, and a head that pools first.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Howard et al. 2019, Tables 1 and 2, <https://arxiv.org/abs/1905.02244>; expansions as ratios of the block's input,
//! as timm's `_gen_mobilenet_v3` has them, so that narrower variants round as timm's do.

use taper_graph::blocks::Style;
use taper_graph::{Activation, Bias};

use crate::architecture::{Architecture, Plan, row};
use crate::mobile::{
    Head, Mobile, Row, Squeeze, Width, conv, depthwise_separable, inverted_residual,
};
use crate::scaling::Scaling;

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::HardSwish;
/// Of the expanded channels.
const SE: f64 = 0.25;
const __: f64 = 0.0;

/// Table 1.
#[rustfmt::skip]
const LARGE: [&[Row]; 7] = [
    //      k     t    c  SE  NL  s  n
    &[bneck(3, 1.00,  16, __, RE, 1, 1)], // 112 -> 112
    &[bneck(3, 4.00,  24, __, RE, 2, 1),  // 112 -> 56
      bneck(3, 3.00,  24, __, RE, 1, 1)],
    &[bneck(5, 3.00,  40, SE, RE, 2, 3)], //  56 -> 28
    &[bneck(3, 6.00,  80, __, HS, 2, 1),  //  28 -> 14
      bneck(3, 2.50,  80, __, HS, 1, 1),
      bneck(3, 2.30,  80, __, HS, 1, 2)],
    &[bneck(3, 6.00, 112, SE, HS, 1, 2)],
    &[bneck(5, 6.00, 160, SE, HS, 2, 3)], //  14 -> 7
    &[conv(1, 960, 1, 1)],
];

/// Table 2.
#[rustfmt::skip]
const SMALL: [&[Row]; 6] = [
    //      k     t    c  SE  NL  s  n
    &[bneck(3, 1.00,  16, SE, RE, 2, 1)], // 112 -> 56
    &[bneck(3, 4.50,  24, __, RE, 2, 1),  //  56 -> 28
      bneck(3, 3.67,  24, __, RE, 1, 1)],
    &[bneck(5, 4.00,  40, SE, HS, 2, 1),  //  28 -> 14
      bneck(5, 6.00,  40, SE, HS, 1, 2)],
    &[bneck(5, 3.00,  48, SE, HS, 1, 2)],
    &[bneck(5, 6.00,  96, SE, HS, 2, 3)], //  14 -> 7
    &[conv(1, 576, 1, 1)],
];

const fn bneck(
    kernel_size: usize,
    expand_ratio: f64,
    out: usize,
    squeeze_ratio: f64,
    activation: Activation,
    stride: usize,
    repeats: usize,
) -> Row {
    let row = if expand_ratio > 1.0 {
        inverted_residual(kernel_size, expand_ratio, out, repeats, stride)
    } else {
        depthwise_separable(kernel_size, out, repeats, stride)
    };
    row.squeezed(squeeze_ratio).activated(activation)
}

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 2] = [
    //   name                    aliases                                         input              width     params         MACs
    row("mobilenetv3_small_100", &["mobilenet_v3_small", "mobilenetv3_small"],    224, plan(&SMALL, 1.00), 2_542_856,  56_510_400),
    row("mobilenetv3_large_100", &["mobilenet_v3_large", "mobilenetv3_large"],    224, plan(&LARGE, 1.00), 5_483_032, 216_589_760),
];

const fn plan(stages: &'static [&'static [Row]], width_mult: f64) -> Plan {
    Plan::Mobile(Mobile {
        stem: if width_mult < 0.75 { Width::Fixed(16) } else { Width::Scaled(16) },
        stages,
        scaling: Scaling::width(width_mult),
        keeps_ends: false,
        style: Style { activation: HS, eps: 1e-5, momentum: 0.1, tf_padding: false },
        squeeze: Squeeze {
            of_expanded: true,
            is_divisible: true,
            activation: Some(Activation::Relu),
            gate: Activation::HardSigmoid,
        },
        head: Head::PoolConv {
            channels: if stages.len() == SMALL.len() { 1024 } else { 1280 },
            bias: Bias::With,
        },
        dropout: 0.2,
    })
}
