//! MobileNetV2: inverted residuals with linear bottlenecks, at any width and depth.
//!
//! Above: `architecture`. Below: `mobile`. Not here: weights and their preprocessing (`record`).
//! Source: Sandler et al. 2018, Table 2, <https://arxiv.org/abs/1801.04381>; scaling as torchvision's `mobilenet_v2` and
//! timm's `_gen_mobilenet_v2`.

use taper_graph::blocks::Style;
use taper_graph::{Activation, Graph, Result};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::mobile::{Head, Mobile, Row, Width, mbconv};
pub use crate::scaling::Scaling;

/// The bottlenecks of Table 2, at 224x224.
#[rustfmt::skip]
const BOTTLENECKS: [&[Row]; 7] = [
    //      k    t    c  n  s
    &[mbconv(3, 1.0,  16, 1, 1)], // 112 -> 112
    &[mbconv(3, 6.0,  24, 2, 2)], // 112 -> 56
    &[mbconv(3, 6.0,  32, 3, 2)], //  56 -> 28
    &[mbconv(3, 6.0,  64, 4, 2)], //  28 -> 14
    &[mbconv(3, 6.0,  96, 3, 1)], //  14 -> 14
    &[mbconv(3, 6.0, 160, 3, 2)], //  14 -> 7
    &[mbconv(3, 6.0, 320, 1, 1)], //   7 -> 7
];

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 7] = [
    //  name                aliases            input config                params         MACs
    row("mobilenetv2_035",  &[],               224, config(0.35, 1.0), 1_677_128,  59_285_808),
    row("mobilenetv2_050",  &[],               224, config(0.50, 1.0), 1_968_680,  97_131_840),
    row("mobilenetv2_075",  &[],               224, config(0.75, 1.0), 2_636_424, 209_069_792),
    row("mobilenetv2_100",  &["mobilenet_v2"], 224, config(1.00, 1.0), 3_504_872, 300_774_272),
    row("mobilenetv2_110d", &[],               224, config(1.10, 1.2), 4_516_520, 430_516_080),
    row("mobilenetv2_120d", &[],               224, config(1.20, 1.4), 5_831_144, 668_857_568),
    row("mobilenetv2_140",  &[],               224, config(1.40, 1.0), 6_108_776, 582_195_824),
];

const fn config(width_mult: f64, depth_mult: f64) -> ArchitectureConfig {
    ArchitectureConfig::Mobile(network(Scaling { width_mult, depth_mult }))
}

/// Deeper variants (timm's `d`) keep the width of stem and head and the depth of the first and the last stage.
const fn network(scaling: Scaling) -> Mobile {
    let keeps_ends = scaling.depth_mult > 1.0;
    Mobile {
        stem: if keeps_ends { Width::Fixed(32) } else { Width::Scaled(32) },
        stages: &BOTTLENECKS,
        scaling,
        keeps_ends,
        style: Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false },
        head: Head::ConvPool(if keeps_ends { Width::Fixed(1280) } else { Width::AtLeast(1280) }),
        dropout: 0.2,
        ..Mobile::BASE
    }
}

/// MobileNetV2 for `classes`, with outputs `features` (the last map), `pre_logits` (pooled) and `logits`. The head is never
/// narrower than 1280.
///
/// # Errors
/// For no classes, or a scaling beyond any network.
///
/// # Examples
/// ```
/// use taper_zoo::mobilenet_v2::{Scaling, mobilenet_v2};
/// # fn main() -> taper_graph::Result<()> {
/// let graph = mobilenet_v2(Scaling::width(1.0), 1000)?;
/// let trained = graph.params().iter().filter(|p| p.role.is_trained());
/// assert_eq!(trained.map(|p| p.len()).sum::<usize>(), 3_504_872); // torchvision's count
/// # Ok(()) }
/// ```
pub fn mobilenet_v2(scaling: Scaling, classes: usize) -> Result<Graph> {
    network(scaling).lower(&Options::classes(classes))
}
