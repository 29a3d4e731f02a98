//! Every layer once, in an unlike shape, with what PyTorch calls its parameters.

use candle_core::{ModuleT, Result};
use candle_nn::VarBuilder;
use taper_layers::*;

/// A layer in candle's eyes and in ours.
pub(crate) trait Layer: ModuleT + ModuleNhwc {}

impl<T: ModuleT + ModuleNhwc> Layer for T {}

type Built = Result<Box<dyn Layer>>;

/// A layer with what is expected of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Input and output in candle's order.
    pub(crate) shapes: [&'static [usize]; 2],
    /// Parameters, as PyTorch or timm has them.
    pub(crate) parameters: &'static [(&'static str, &'static [usize])],
    pub(crate) build: fn(VarBuilder<'_>) -> Built,
    /// Whether training and evaluation differ.
    pub(crate) has_modes: bool,
}

const fn plain(
    name: &'static str,
    shapes: [&'static [usize]; 2],
    parameters: &'static [(&'static str, &'static [usize])],
    build: fn(VarBuilder<'_>) -> Built,
) -> Case {
    Case { name, shapes, parameters, build, has_modes: false }
}

const fn modal(
    name: &'static str,
    shapes: [&'static [usize]; 2],
    parameters: &'static [(&'static str, &'static [usize])],
    build: fn(VarBuilder<'_>) -> Built,
) -> Case {
    Case { name, shapes, parameters, build, has_modes: true }
}

fn boxed(layer: impl Layer + 'static) -> Built {
    Ok(Box::new(layer))
}

/// A window with unlike height and width.
fn unlike() -> Window {
    Window {
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        padding: Padding::Explicit { top: 1, left: 0, bottom: 2, right: 1 },
        mode: PadMode::Zeros,
    }
}

fn pool() -> PoolConfig {
    PoolConfig { window: Window::square(3, 2), rounding: Rounding::Up }
}

const BATCH_NORM: [(&str, &[usize]); 4] =
    [("bias", &[4]), ("running_mean", &[4]), ("running_var", &[4]), ("weight", &[4])];

const CUMULATIVE_BATCH_NORM: [(&str, &[usize]); 5] = [
    ("bias", &[4]),
    ("num_batches_tracked", &[]),
    ("running_mean", &[4]),
    ("running_var", &[4]),
    ("weight", &[4]),
];

const MAP: &[usize] = &[2, 4, 5, 6];
const LINE: &[usize] = &[2, 4, 7];

pub(crate) const CASES: &[Case] = &[
    plain("conv2d", [MAP, &[2, 6, 3, 5]], &[("bias", &[6]), ("weight", &[6, 2, 3, 2])], |vb| {
        boxed(Conv2d::new(ConvConfig { groups: 2, ..ConvConfig::new(4, 6, unlike()) }, vb)?)
    }),
    plain("conv2d, reflected", [MAP, MAP], &[("weight", &[4, 1, 3, 3])], |vb| {
        let window = Window { mode: PadMode::Reflect, ..Window::square(3, 1) };
        let config = ConvConfig { bias: Bias::Without, ..ConvConfig::depthwise(4, window) };
        boxed(Conv2d::new(config, vb)?)
    }),
    plain("conv1d", [LINE, &[2, 8, 4]], &[("bias", &[8]), ("weight", &[8, 1, 3])], |vb| {
        let config = ConvConfig::depthwise(4, Window::line(3, 2));
        boxed(Conv1d::new(ConvConfig { out_channels: 8, ..config }, vb)?)
    }),
    plain(
        "conv_transpose2d",
        [MAP, &[2, 6, 9, 7]],
        &[("bias", &[6]), ("weight", &[4, 3, 3, 2])],
        |vb| {
            let config = ConvTransposeConfig::new(4, 6, unlike());
            let config = ConvTransposeConfig { groups: 2, output_padding: [1, 0], ..config };
            boxed(ConvTranspose2d::new(config, vb)?)
        },
    ),
    plain(
        "conv_transpose1d",
        [LINE, &[2, 3, 14]],
        &[("bias", &[3]), ("weight", &[4, 3, 3])],
        |vb| {
            let config = ConvTransposeConfig::new(4, 3, Window::line(3, 2));
            boxed(ConvTranspose1d::new(
                ConvTransposeConfig { output_padding: [0, 1], ..config },
                vb,
            )?)
        },
    ),
    plain("linear", [&[3, 4], &[3, 5]], &[("bias", &[5]), ("weight", &[5, 4])], |vb| {
        boxed(Linear::new(LinearConfig::new(4, 5), vb)?)
    }),
    plain("flatten", [MAP, &[2, 120]], &[], |_| boxed(Flatten)),
    plain("max_pool2d", [MAP, &[2, 4, 3, 4]], &[], |_| boxed(MaxPool2d::new(pool())?)),
    plain("max_pool1d", [LINE, &[2, 4, 3]], &[], |_| {
        boxed(MaxPool1d::new(PoolConfig::line(2, 2))?)
    }),
    plain("avg_pool2d", [MAP, &[2, 4, 3, 4]], &[], |_| {
        boxed(AvgPool2d::new(AvgPoolConfig { border: Border::Excluded, ..pool().into() })?)
    }),
    plain("avg_pool1d", [LINE, &[2, 4, 3]], &[], |_| {
        boxed(AvgPool1d::new(PoolConfig::line(2, 2).into())?)
    }),
    plain("lp_pool2d", [MAP, &[2, 4, 2, 3]], &[], |_| {
        boxed(LpPool2d::new(LpPoolConfig { p: 3.0, pool: PoolConfig::square(2, 2) })?)
    }),
    plain("lp_pool1d", [LINE, &[2, 4, 3]], &[], |_| {
        boxed(LpPool1d::new(LpPoolConfig { p: 2.0, pool: PoolConfig::line(3, 2) })?)
    }),
    plain("adaptive_avg_pool2d", [MAP, &[2, 4, 3, 4]], &[], |_| {
        boxed(AdaptiveAvgPool2d::new([3, 4])?)
    }),
    plain("adaptive_max_pool2d", [MAP, &[2, 4, 3, 4]], &[], |_| {
        boxed(AdaptiveMaxPool2d::new([3, 4])?)
    }),
    plain("adaptive_avg_pool1d", [LINE, &[2, 4, 3]], &[], |_| boxed(AdaptiveAvgPool1d::new(3)?)),
    plain("adaptive_max_pool1d", [LINE, &[2, 4, 3]], &[], |_| boxed(AdaptiveMaxPool1d::new(3)?)),
    plain("global_avg_pool2d", [MAP, &[2, 4, 1, 1]], &[], |_| boxed(GlobalAvgPool2d)),
    plain("global_max_pool2d", [MAP, &[2, 4, 1, 1]], &[], |_| boxed(GlobalMaxPool2d)),
    plain("upsample", [MAP, &[2, 4, 10, 18]], &[], |_| {
        boxed(Upsample::new(Target::Times([2, 3]), Resampling::Bicubic)?)
    }),
    plain("upsample to a size", [MAP, &[2, 4, 7, 3]], &[], |_| {
        boxed(Upsample::new(Target::Size([7, 3]), Resampling::BilinearAligned)?)
    }),
    plain("pad2d", [MAP, &[2, 4, 9, 7]], &[], |_| {
        boxed(Pad2d { sides: [1, 0, 3, 1], mode: PadMode::Replicate })
    }),
    plain("blur_pool2d", [MAP, &[2, 4, 3, 3]], &[], |_| {
        boxed(BlurPool2d::new(BlurPoolConfig::default())?)
    }),
    plain("activate", [MAP, MAP], &[], |_| boxed(Activate(Activation::Mish))),
    plain("prelu", [MAP, MAP], &[("weight", &[4])], |vb| {
        boxed(PRelu::new(PReluConfig { slopes: 4, ..PReluConfig::default() }, vb)?)
    }),
    plain("group_norm", [MAP, MAP], &[("bias", &[4]), ("weight", &[4])], |vb| {
        boxed(GroupNorm::new(GroupNormConfig::new(2, 4), vb)?)
    }),
    plain("layer_norm", [MAP, MAP], &[("bias", &[4]), ("weight", &[4])], |vb| {
        boxed(LayerNorm::new(LayerNormConfig::new(4), vb)?)
    }),
    plain(
        "squeeze_excite",
        [MAP, MAP],
        &[
            ("conv_expand.bias", &[4]),
            ("conv_expand.weight", &[4, 3, 1, 1]),
            ("conv_reduce.bias", &[3]),
            ("conv_reduce.weight", &[3, 4, 1, 1]),
        ],
        |vb| {
            let silu = Activation::Silu;
            let config = SqueezeExciteConfig { activation: silu, ..SqueezeExciteConfig::new(4, 3) };
            boxed(SqueezeExcite::new(config, vb)?)
        },
    ),
    modal("batch_norm", [MAP, MAP], &BATCH_NORM, |vb| {
        boxed(BatchNorm::new(BatchNormConfig::new(4), vb)?)
    }),
    modal("batch_norm of sequences", [LINE, LINE], &CUMULATIVE_BATCH_NORM, |vb| {
        boxed(BatchNorm::new(BatchNormConfig { momentum: None, ..BatchNormConfig::new(4) }, vb)?)
    }),
    plain("batch_norm, frozen", [MAP, MAP], &BATCH_NORM, |vb| {
        let config = BatchNormConfig::new(4);
        boxed(BatchNorm::new(BatchNormConfig { statistics: Statistics::Frozen, ..config }, vb)?)
    }),
    modal("dropout", [MAP, MAP], &[], |_| boxed(Dropout::new(0.4, 9)?)),
    modal("drop_path", [&[6, 4, 2, 3], &[6, 4, 2, 3]], &[], |_| boxed(DropPath::new(0.4, 9)?)),
    modal(
        "conv_norm_act",
        [MAP, &[2, 3, 3, 3]],
        &[
            ("bn.bias", &[3]),
            ("bn.running_mean", &[3]),
            ("bn.running_var", &[3]),
            ("bn.weight", &[3]),
            ("conv.weight", &[3, 4, 3, 3]),
        ],
        |vb| {
            let conv = ConvConfig::new(4, 3, Window::square(3, 2));
            boxed(ConvNormAct::new(conv, NormAct::new(Activation::Silu), vb)?)
        },
    ),
    modal(
        "depthwise_separable",
        [MAP, &[2, 3, 3, 3]],
        &[
            ("bn1.bias", &[4]),
            ("bn1.running_mean", &[4]),
            ("bn1.running_var", &[4]),
            ("bn1.weight", &[4]),
            ("bn2.bias", &[3]),
            ("bn2.running_mean", &[3]),
            ("bn2.running_var", &[3]),
            ("bn2.weight", &[3]),
            ("conv_dw.weight", &[4, 1, 3, 3]),
            ("conv_pw.weight", &[3, 4, 1, 1]),
        ],
        |vb| {
            let config = DepthwiseSeparableConfig {
                in_channels: 4,
                out_channels: 3,
                window: Window::square(3, 2),
                squeeze_excite: None,
                norm_act: NormAct::new(Activation::HardSwish),
            };
            boxed(DepthwiseSeparable::new(config, vb)?)
        },
    ),
    modal(
        "inverted_residual",
        [MAP, MAP],
        &[
            ("bn1.bias", &[6]),
            ("bn1.running_mean", &[6]),
            ("bn1.running_var", &[6]),
            ("bn1.weight", &[6]),
            ("bn2.bias", &[6]),
            ("bn2.running_mean", &[6]),
            ("bn2.running_var", &[6]),
            ("bn2.weight", &[6]),
            ("bn3.bias", &[4]),
            ("bn3.running_mean", &[4]),
            ("bn3.running_var", &[4]),
            ("bn3.weight", &[4]),
            ("conv_dw.weight", &[6, 1, 3, 3]),
            ("conv_pw.weight", &[6, 4, 1, 1]),
            ("conv_pwl.weight", &[4, 6, 1, 1]),
            ("se.conv_expand.bias", &[6]),
            ("se.conv_expand.weight", &[6, 2, 1, 1]),
            ("se.conv_reduce.bias", &[2]),
            ("se.conv_reduce.weight", &[2, 6, 1, 1]),
        ],
        |vb| {
            let (activation, gate) = (Activation::Silu, Activation::Sigmoid);
            let config = InvertedResidualConfig {
                in_channels: 4,
                expanded: 6,
                out_channels: 4,
                window: Window::square(3, 1),
                squeeze_excite: Some(BlockGate { squeezed: 2, activation, gate }),
                norm_act: NormAct::new(activation),
            };
            boxed(InvertedResidual::new(config, vb)?.with_drop_path(DropPath::new(0.3, 2)?))
        },
    ),
    modal(
        "sequential",
        [MAP, &[2, 5]],
        &[
            ("0.weight", &[4, 4, 3, 3]),
            ("1.bias", &[4]),
            ("1.running_mean", &[4]),
            ("1.running_var", &[4]),
            ("1.weight", &[4]),
            ("4.bias", &[5]),
            ("4.weight", &[5, 4]),
        ],
        |vb| {
            let conv = ConvConfig::new(4, 4, Window::square(3, 1));
            let conv = ConvConfig { bias: Bias::Without, ..conv };
            let layers = Sequential::default()
                .add(Conv2d::new(conv, vb.pp("0"))?)
                .add(BatchNorm::new(BatchNormConfig::new(4), vb.pp("1"))?)
                .add(GlobalAvgPool2d)
                .add(Flatten)
                .add(Linear::new(LinearConfig::new(4, 5), vb.pp("4"))?);
            boxed(layers)
        },
    ),
];
