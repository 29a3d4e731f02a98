//! LeNet-5: the first convolutional network in use; small enough to compute by hand.
//!
//! Above: `architecture`. Below: `classifier`. Not here: the paper's sparse connections and radial basis functions.
//! Source: `LeCun` et al. 1998, Figure 2, <https://doi.org/10.1109/5.726791>, with every map connected to every map, plain mean
//! pools, and a linear classifier. With 1 channel and 10 classes it has 61,706 parameters.

use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, Init, NodeId, Padding, PoolKind, Result,
    ScopeKind, Window,
};

use crate::Options;
use crate::architecture::{Architecture, ArchitectureConfig, row};
use crate::classifier::classify;
use crate::scaling::Scaling;

#[rustfmt::skip]
pub(crate) const ARCHITECTURES: [Architecture; 1] = [
    //  name      aliases input config          params     MACs
    row("lenet5", &[], 32, ArchitectureConfig::LeNet, 146_156, 734_880),
];

pub(crate) fn lower(options: &Options) -> Result<Graph> {
    let scaling = options.scaling;
    let mut b = GraphBuilder::new(options.in_channels)?;
    let input = b.input();
    let xs = b.scope(ScopeKind::Stage, "stage1", |b| {
        let xs = conv(b, 1, input, scaling.channels(6))?; // 32 -> 28
        b.pool("pool1", xs, PoolKind::Avg, Window::square(2, 2)) // 28 -> 14
    })?;
    let xs = b.scope(ScopeKind::Stage, "stage2", |b| {
        let xs = conv(b, 2, xs, scaling.channels(16))?; // 14 -> 10
        b.pool("pool2", xs, PoolKind::Avg, Window::square(2, 2)) // 10 -> 5
    })?;
    b.output("features", xs)?;
    let pre_logits = b.scope(ScopeKind::Head, "head", |b| head(b, xs, scaling))?;
    b.output("pre_logits", pre_logits)?;
    classify(&mut b, ["drop", "fc2"], pre_logits, 0.0, options.classes)?;
    uniform(&mut b, "fc2", scaling.channels(84))?;
    b.build()
}

/// The paper's `C5`, which sees the whole map of a 32x32 image, and `F6`.
fn head(b: &mut GraphBuilder, xs: NodeId, scaling: Scaling) -> Result<NodeId> {
    let xs = conv(b, 3, xs, scaling.channels(120))?; // 5 -> 1
    let xs = b.global_pool("global_pool", xs, PoolKind::Avg, true)?;
    let in_channels = b.channels(xs);
    let xs = b.linear("fc1", xs, scaling.channels(84), Bias::With)?;
    uniform(b, "fc1", in_channels)?;
    b.activation("act4", xs, Activation::Tanh)
}

/// The n-th 5x5 convolution and its activation.
fn conv(b: &mut GraphBuilder, n: usize, xs: NodeId, out: usize) -> Result<NodeId> {
    let (name, fan_in) = (format!("conv{n}"), 25 * b.channels(xs));
    let window = Window { padding: Padding::Valid, ..Window::square(5, 1) };
    let xs = b.conv(&name, xs, Conv { out, window, groups: 1 }, Bias::With)?;
    uniform(b, &name, fan_in)?;
    b.activation(&format!("act{n}"), xs, Activation::Tanh)
}

/// PyTorch's default beginning: without norms, signals would die of smaller weights.
fn uniform(b: &mut GraphBuilder, layer: &str, fan_in: usize) -> Result<()> {
    let bound = 1.0 / (fan_in as f64).sqrt();
    ["weight", "bias"]
        .iter()
        .try_for_each(|slot| b.init(&format!("{layer}.{slot}"), Init::Uniform { bound }))
}
