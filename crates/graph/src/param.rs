//! Parameters: what each tensor of a network is, and how it begins.
//!
//! Above: `graph`, `builder`, and everyone who walks the parameter list. Below: `op`. Not here: their values (`taper-model`).
//! Names and shapes are PyTorch's: OIHW for convolutions, `(out, in)` for linear layers.

use serde::{Deserialize, Serialize};

use crate::shape::Known;
use crate::{Activation, Conv, Op};

/// A tensor of the network: parameter (trained) or buffer (running statistics).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Name of the node, a dot, and the name of the slot: `blocks.0.0.conv_dw.weight`.
    pub name: String,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// Element type while training.
    pub dtype: DType,
    /// What it is for.
    pub role: ParamRole,
    /// What an index of each axis means.
    pub axes: Vec<AxisRole>,
    /// How it begins.
    pub init: Init,
}

impl ParamSpec {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements; never, in a graph that was built.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Element type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of single precision.
    BF16,
}

/// What a parameter is for; decides whether it is trained and decayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamRole {
    /// Weight of a convolution or linear layer.
    Weight,
    /// Its bias.
    Bias,
    /// Factor of a normalization (γ, PyTorch's `weight`).
    NormScale,
    /// Summand of a normalization (β, PyTorch's `bias`).
    NormShift,
    /// Factor of a layer scale.
    LayerScale,
    /// Slope of a `PReLU`.
    Slope,
    /// Buffer: mean over batches.
    RunningMean,
    /// Buffer: unbiased variance over batches.
    RunningVar,
    /// Buffer: number of batches seen.
    BatchesTracked,
    /// Buffer that never changes.
    Constant,
}

impl ParamRole {
    /// Whether gradients train it; otherwise it is a buffer.
    #[must_use]
    pub fn is_trained(self) -> bool {
        match self {
            Self::Weight
            | Self::Bias
            | Self::NormScale
            | Self::NormShift
            | Self::LayerScale
            | Self::Slope => true,
            Self::RunningMean | Self::RunningVar | Self::BatchesTracked | Self::Constant => false,
        }
    }

    /// Whether weight decay applies to it by default: weights of convolutions and linear layers only.
    #[must_use]
    pub fn is_decayed(self) -> bool {
        self == Self::Weight
    }
}

/// What index `i` of an axis of length `len` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AxisRole {
    /// Output channel `i` of the node (norms and depthwise convolutions: also input channel `i`).
    Out,
    /// Channel `g · len / block + i / block` of that input, for every `g < groups`.
    In {
        /// Which input of the node.
        input: u8,
        /// Indices a channel takes.
        block: usize,
        /// How many groups share the axis.
        groups: usize,
    },
    /// Taps and scalars.
    Fixed,
}

/// How a parameter begins; a seed does the rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Init {
    /// 0.
    Zeros,
    /// 1.
    Ones,
    /// One number.
    Constant {
        /// The number.
        value: f64,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in `[−bound, bound)`.
    Uniform {
        /// Half of the width.
        bound: f64,
    },
    /// Normal with mean 0 and variance `2 / fan_out`, where `fan_out = shape[0] · taps`: PyTorch's `kaiming_normal_` with
    /// `mode="fan_out"`, which does not divide by groups. timm does: for its depthwise convolutions, write `Normal`.
    KaimingFanOut,
}

/// Whether a convolution or linear layer has a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bias {
    /// It has one, which begins at 0.
    With,
    /// It has none (a norm follows).
    Without,
}

/// A parameter as an operation wants it; the node adds its name.
pub(crate) struct Slot {
    pub(crate) suffix: &'static str,
    pub(crate) shape: Vec<usize>,
    pub(crate) role: ParamRole,
    pub(crate) axes: Vec<AxisRole>,
    pub(crate) init: Init,
}

impl Slot {
    fn channels(suffix: &'static str, c: usize, role: ParamRole, init: Init) -> Self {
        Self { suffix, shape: vec![c], role, axes: vec![AxisRole::Out], init }
    }
}

const INPUT: AxisRole = AxisRole::In { input: 0, block: 1, groups: 1 };

/// The parameters of an operation whose inputs are of these extents, in order. A bias comes last, so that leaving it out
/// leaves the others where they are.
pub(crate) fn slots(op: &Op, inputs: &[Known], bias: Bias) -> Vec<Slot> {
    let channels = inputs.first().map_or(0, |input| input.channels);
    match op {
        Op::Conv(conv) => with_bias(conv_weight(conv, channels), conv.out, bias),
        Op::ConvTranspose { conv, .. } => {
            with_bias(conv_transpose_weight(conv, channels), conv.out, bias)
        }
        Op::Linear { out } => {
            let shape = vec![*out, channels];
            let init = Init::Normal { std: 0.01 };
            let axes = vec![AxisRole::Out, INPUT];
            let weight = Slot { suffix: "weight", shape, role: ParamRole::Weight, axes, init };
            with_bias(weight, *out, bias)
        }
        Op::BatchNorm { momentum, .. } => {
            let mut slots = norm(channels);
            let (mean, var) = (ParamRole::RunningMean, ParamRole::RunningVar);
            slots.push(Slot::channels("running_mean", channels, mean, Init::Zeros));
            slots.push(Slot::channels("running_var", channels, var, Init::Ones));
            if momentum.is_none() {
                let (shape, axes) = (vec![1], vec![AxisRole::Fixed]);
                let (role, init) = (ParamRole::BatchesTracked, Init::Zeros);
                slots.push(Slot { suffix: "num_batches_tracked", shape, role, axes, init });
            }
            slots
        }
        Op::GroupNorm { .. } | Op::LayerNorm { .. } => norm(channels),
        Op::ChannelScale => {
            let init = Init::Constant { value: 1e-5 };
            vec![Slot::channels("gamma", channels, ParamRole::LayerScale, init)]
        }
        Op::Activation(Activation::PRelu) => {
            let init = Init::Constant { value: 0.25 };
            vec![Slot::channels("weight", channels, ParamRole::Slope, init)]
        }
        Op::Input { .. }
        | Op::Activation(_)
        | Op::Pool { .. }
        | Op::LpPool { .. }
        | Op::BlurPool { .. }
        | Op::AdaptivePool { .. }
        | Op::GlobalPool { .. }
        | Op::Add
        | Op::Mul
        | Op::Scale { .. }
        | Op::Concat
        | Op::Slice { .. }
        | Op::Shuffle { .. }
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Resize { .. }
        | Op::Attention { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. } => Vec::new(),
    }
}

fn with_bias(weight: Slot, out: usize, bias: Bias) -> Vec<Slot> {
    match bias {
        Bias::Without => vec![weight],
        Bias::With => {
            vec![weight, Slot::channels("bias", out, ParamRole::Bias, Init::Zeros)]
        }
    }
}

fn norm(channels: usize) -> Vec<Slot> {
    vec![
        Slot::channels("weight", channels, ParamRole::NormScale, Init::Ones),
        Slot::channels("bias", channels, ParamRole::NormShift, Init::Zeros),
    ]
}

fn conv_weight(conv: &Conv, channels: usize) -> Slot {
    let [k_h, k_w] = conv.window.kernel;
    let shape = vec![conv.out, channels / conv.groups, k_h, k_w];
    let input = if conv.groups == channels {
        AxisRole::Fixed
    } else {
        AxisRole::In { input: 0, block: 1, groups: conv.groups }
    };
    let axes = vec![AxisRole::Out, input, AxisRole::Fixed, AxisRole::Fixed];
    let (role, init) = (ParamRole::Weight, Init::KaimingFanOut);
    Slot { suffix: "weight", shape, role, axes, init }
}

fn conv_transpose_weight(conv: &Conv, channels: usize) -> Slot {
    let [k_h, k_w] = conv.window.kernel;
    let shape = vec![channels, conv.out / conv.groups, k_h, k_w];
    let (first, second) = match conv.groups {
        1 => (INPUT, AxisRole::Out),
        _ if conv.is_depthwise(channels) => (AxisRole::Out, AxisRole::Fixed),
        _ => (INPUT, AxisRole::Fixed),
    };
    let axes = vec![first, second, AxisRole::Fixed, AxisRole::Fixed];
    let (role, init) = (ParamRole::Weight, Init::KaimingFanOut);
    Slot { suffix: "weight", shape, role, axes, init }
}
