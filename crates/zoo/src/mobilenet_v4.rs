//! MobileNetV4: universal inverted bottlenecks, for many kinds of hardware; of convolutions, or with attention (hybrid).
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Qin et al. 2024, Tables 10 to 14, <https://arxiv.org/abs/2404.10518>; timm's `_gen_mobilenet_v4`.

use taper_graph::Activation;
use taper_graph::blocks::Style;

use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, attention, conv, fused, universal};
use crate::scaling::Scaling;

const RE: Activation = Activation::Relu;

/// Stages, channels of the stem and activation; hybrids have layer scales.
struct Table {
    stages: &'static [&'static [Row]],
    stem: usize,
    activation: Activation,
    is_hybrid: bool,
}

/// `dw` are the kernel sizes of the depthwise convolutions before and after the expansion; 0: none.
#[rustfmt::skip]
const SMALL: Table = Table { activation: RE, is_hybrid: false, stem: 32, stages: &[
    //     k   c  n  s
    &[conv(3, 32, 1, 2),  // 112 -> 56
      conv(1, 32, 1, 1)],
    &[conv(3, 96, 1, 2),  //  56 -> 28
      conv(1, 64, 1, 1)],
    //          dw      t    c  n  s
    &[universal([5, 5], 3.0,  96, 1, 2),  //  28 -> 14
      universal([0, 3], 2.0,  96, 4, 1),
      universal([3, 0], 4.0,  96, 1, 1)],
    &[universal([3, 3], 6.0, 128, 1, 2),  //  14 -> 7
      universal([5, 5], 4.0, 128, 1, 1),
      universal([0, 5], 4.0, 128, 1, 1),
      universal([0, 5], 3.0, 128, 1, 1),
      universal([0, 3], 4.0, 128, 2, 1)],
    &[conv(1, 960, 1, 1)],
] };

#[rustfmt::skip]
const MEDIUM: Table = Table { activation: RE, is_hybrid: false, stem: 32, stages: &[
    &[fused(3, 4.0, 48, 1, 2)],           // 112 -> 56
    //          dw      t    c  n  s
    &[universal([3, 5], 4.0,  80, 1, 2),  //  56 -> 28
      universal([3, 3], 2.0,  80, 1, 1)],
    &[universal([3, 5], 6.0, 160, 1, 2),  //  28 -> 14
      universal([3, 3], 4.0, 160, 2, 1),
      universal([3, 5], 4.0, 160, 1, 1),
      universal([3, 3], 4.0, 160, 1, 1),
      universal([3, 0], 4.0, 160, 1, 1),
      universal([0, 0], 2.0, 160, 1, 1),
      universal([3, 0], 4.0, 160, 1, 1)],
    &[universal([5, 5], 6.0, 256, 1, 2),  //  14 -> 7
      universal([5, 5], 4.0, 256, 1, 1),
      universal([3, 5], 4.0, 256, 2, 1),
      universal([0, 0], 4.0, 256, 1, 1),
      universal([3, 0], 4.0, 256, 1, 1),
      universal([3, 5], 2.0, 256, 1, 1),
      universal([5, 5], 4.0, 256, 1, 1),
      universal([0, 0], 4.0, 256, 2, 1),
      universal([5, 0], 2.0, 256, 1, 1)],
    &[conv(1, 960, 1, 1)],
] };

#[rustfmt::skip]
const LARGE: Table = Table { activation: RE, is_hybrid: false, stem: 24, stages: &[
    &[fused(3, 4.0, 48, 1, 2)],           // 112 -> 56
    //          dw      t    c  n  s
    &[universal([3, 5], 4.0,  96, 1, 2),  //  56 -> 28
      universal([3, 3], 4.0,  96, 1, 1)],
    &[universal([3, 5], 4.0, 192, 1, 2),  //  28 -> 14
      universal([3, 3], 4.0, 192, 3, 1),
      universal([3, 5], 4.0, 192, 1, 1),
      universal([5, 3], 4.0, 192, 5, 1),
      universal([3, 0], 4.0, 192, 1, 1)],
    &[universal([5, 5], 4.0, 512, 4, 2),  //  14 -> 7
      universal([5, 0], 4.0, 512, 1, 1),
      universal([5, 3], 4.0, 512, 1, 1),
      universal([5, 0], 4.0, 512, 2, 1),
      universal([5, 3], 4.0, 512, 1, 1),
      universal([5, 5], 4.0, 512, 1, 1),
      universal([5, 0], 4.0, 512, 3, 1)],
    &[conv(1, 960, 1, 1)],
] };

#[rustfmt::skip]
const HYBRID_MEDIUM: Table = Table { activation: RE, is_hybrid: true, stem: 32, stages: &[
    &[fused(3, 4.0, 48, 1, 2)],           // 112 -> 56
    //          dw      t    c  n  s
    &[universal([3, 5], 4.0,  80, 1, 2),  //  56 -> 28
      universal([3, 3], 2.0,  80, 1, 1)],
    &[universal([3, 5], 6.0, 160, 1, 2),  //  28 -> 14
      universal([0, 0], 2.0, 160, 1, 1),
      universal([3, 3], 4.0, 160, 1, 1),
      universal([3, 5], 4.0, 160, 1, 1),
      attention(4, 64, 2),
      universal([3, 3], 4.0, 160, 1, 1),
      attention(4, 64, 2),
      universal([3, 0], 4.0, 160, 1, 1),
      attention(4, 64, 2),
      universal([3, 3], 4.0, 160, 1, 1),
      attention(4, 64, 2),
      universal([3, 0], 4.0, 160, 1, 1)],
    &[universal([5, 5], 6.0, 256, 1, 2),  //  14 -> 7
      universal([5, 5], 4.0, 256, 1, 1),
      universal([3, 5], 4.0, 256, 2, 1),
      universal([0, 0], 2.0, 256, 1, 1),
      universal([3, 5], 2.0, 256, 1, 1),
      universal([0, 0], 2.0, 256, 1, 1),
      universal([0, 0], 4.0, 256, 1, 1),
      attention(4, 64, 1),
      universal([3, 0], 4.0, 256, 1, 1),
      attention(4, 64, 1),
      universal([5, 5], 4.0, 256, 1, 1),
      attention(4, 64, 1),
      universal([5, 0], 4.0, 256, 1, 1),
      attention(4, 64, 1),
      universal([5, 0], 4.0, 256, 1, 1)],
    &[conv(1, 960, 1, 1)],
] };

#[rustfmt::skip]
const HYBRID_LARGE: Table = Table { activation: Activation::Gelu, is_hybrid: true, stem: 24, stages: &[
    &[fused(3, 4.0, 48, 1, 2)],           // 112 -> 56
    //          dw      t    c  n  s
    &[universal([3, 5], 4.0,  96, 1, 2),  //  56 -> 28
      universal([3, 3], 4.0,  96, 1, 1)],
    &[universal([3, 5], 4.0, 192, 1, 2),  //  28 -> 14
      universal([3, 3], 4.0, 192, 3, 1),
      universal([3, 5], 4.0, 192, 1, 1),
      universal([5, 3], 4.0, 192, 2, 1),
      attention(8, 48, 2),
      universal([5, 3], 4.0, 192, 1, 1),
      attention(8, 48, 2),
      universal([5, 3], 4.0, 192, 1, 1),
      attention(8, 48, 2),
      universal([5, 3], 4.0, 192, 1, 1),
      attention(8, 48, 2),
      universal([3, 0], 4.0, 192, 1, 1)],
    &[universal([5, 5], 4.0, 512, 4, 2),  //  14 -> 7
      universal([5, 0], 4.0, 512, 1, 1),
      universal([5, 3], 4.0, 512, 1, 1),
      universal([5, 0], 4.0, 512, 2, 1),
      universal([5, 3], 4.0, 512, 1, 1),
      universal([5, 5], 4.0, 512, 1, 1),
      attention(8, 64, 1),
      universal([5, 0], 4.0, 512, 1, 1),
      attention(8, 64, 1),
      universal([5, 0], 4.0, 512, 1, 1),
      attention(8, 64, 1),
      universal([5, 0], 4.0, 512, 1, 1),
      attention(8, 64, 1),
      universal([5, 0], 4.0, 512, 1, 1)],
    &[conv(1, 960, 1, 1)],
] };

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 9] = [
    //  name                             aliases input config                            params           MACs
    row("mobilenetv4_conv_small_035",    &[], 224, config(&SMALL, 0.35),          1_905_384,    47_723_040),
    row("mobilenetv4_conv_small_050",    &[], 224, config(&SMALL, 0.50),          2_238_952,    64_741_408),
    row("mobilenetv4_conv_small",        &[], 224, config(&SMALL, 1.00),          3_774_024,   186_005_568),
    row("mobilenetv4_conv_medium",       &[], 256, config(&MEDIUM, 1.00),         9_715_512, 1_080_244_224),
    row("mobilenetv4_conv_large",        &[], 384, config(&LARGE, 1.00),         32_590_864, 6_376_220_672),
    row("mobilenetv4_hybrid_medium_075", &[], 224, config(&HYBRID_MEDIUM, 0.75),  7_313_528,   649_844_400),
    row("mobilenetv4_hybrid_medium",     &[], 256, config(&HYBRID_MEDIUM, 1.00), 11_074_648, 1_271_183_360),
    row("mobilenetv4_hybrid_large_075",  &[], 256, config(&HYBRID_LARGE, 0.75),  22_754_984, 2_036_234_240),
    row("mobilenetv4_hybrid_large",      &[], 384, config(&HYBRID_LARGE, 1.00),  37_764_624, 7_711_877_120),
];

/// Narrow variants keep the width of the stem.
const fn config(table: &'static Table, width_mult: f64) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(Mobile {
        stem: if width_mult < 1.0 { Width::Fixed(table.stem) } else { Width::Scaled(table.stem) },
        stages: table.stages,
        scaling: Scaling::width(width_mult),
        style: Style { activation: table.activation, ..Mobile::BASE.style },
        head: Head::PoolConvNorm { channels: 1280 },
        has_layer_scale: table.is_hybrid,
        ..Mobile::BASE
    })
}
