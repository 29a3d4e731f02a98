//! The networks of the four tasks: a small one with vectors at its end, and a U-Net with one or two heads.
//!
//! Above: `tasks`. Below: `taper-graph`, `taper-model`. Not here: training (`tasks`).

use taper_graph::{
    Activation, Bias, Conv, GraphBuilder, NodeId, Op, Padding, PoolKind, ResizeMode, ResizeTo,
    Window,
};
use taper_model::{Model, Preprocess};

use super::Task;
use super::shapes::{CLASSES, SHAPES};

/// A network with random weights for pictures of `side` by `side`, a multiple of four.
pub(crate) fn model(
    task: Task,
    side: usize,
    seed: u64,
) -> Result<Model, Box<dyn std::error::Error>> {
    let mut b = GraphBuilder::new(3)?;
    match task {
        Task::Labels => encoder(&mut b, "labels", SHAPES)?,
        Task::Numbers => encoder(&mut b, "disk", 3)?,
        Task::Mask => {
            u_net(&mut b)?;
        }
        Task::MaskAndCount => {
            let deepest = u_net(&mut b)?;
            let pooled = b.global_pool("pool", deepest, PoolKind::Avg, true)?;
            let count = b.linear("count", pooled, 1, Bias::With)?;
            b.output("count", count)?;
        }
    }
    let mut preprocess = Preprocess::imagenet();
    preprocess.input_size = [side, side];
    Ok(Model::random(b.build()?, seed, preprocess, Vec::new())?)
}

/// Convolution, norm, activation.
fn block(b: &mut GraphBuilder, name: &str, xs: NodeId, conv: Conv) -> taper_graph::Result<NodeId> {
    let xs = b.conv(&format!("{name}.conv"), xs, conv, Bias::Without)?;
    let xs = b.batch_norm(&format!("{name}.bn"), xs, 1e-5, 0.1)?;
    b.activation(&format!("{name}.act"), xs, Activation::Relu)
}

/// Two strided blocks, and a linear layer on a flattened map that still knows where things are: an output `(n, out)`.
fn encoder(b: &mut GraphBuilder, name: &str, out: usize) -> taper_graph::Result<()> {
    let mut xs = b.input();
    for (i, channels) in [12, 16].into_iter().enumerate() {
        xs = block(b, &format!("blocks.{i}"), xs, Conv::dense(channels, 3, 2))?;
    }
    // Four by four places, whatever the size of the picture.
    let places = Op::AdaptivePool { kind: PoolKind::Avg, out: [4, 4], at_least: false };
    let xs = b.push("places", places, &[xs], Bias::Without)?;
    let xs = b.flatten("flatten", xs)?;
    let xs = b.linear(name, xs, out, Bias::With)?;
    b.output(name, xs)
}

/// Two levels down and up again, each way up joined by what the way down had at that size: an output `mask` `(n, CLASSES, h, w)`.
/// One way up is a transposed convolution, the other resizes. Returns the deepest map.
fn u_net(b: &mut GraphBuilder) -> taper_graph::Result<NodeId> {
    let input = b.input();
    let large = block(b, "down.0", input, Conv::dense(8, 3, 1))?;
    let middle = block(b, "down.1", large, Conv::dense(16, 3, 2))?;
    let deepest = block(b, "down.2", middle, Conv::dense(24, 3, 2))?;

    let window = Window { padding: Padding::Valid, ..Window::square(2, 2) };
    let doubled =
        Op::ConvTranspose { conv: Conv { out: 16, window, groups: 1 }, output_padding: [0, 0] };
    let up = b.push("up.0.conv_transpose", doubled, &[deepest], Bias::With)?;
    let joined = b.concat("up.0.skip", &[up, middle])?;
    let up = block(b, "up.0", joined, Conv::dense(16, 3, 1))?;

    let resized = Op::Resize { out: ResizeTo::Like, mode: ResizeMode::Bilinear };
    let up = b.push("up.1.resize", resized, &[up, large], Bias::Without)?;
    let joined = b.concat("up.1.skip", &[up, large])?;
    let up = block(b, "up.1", joined, Conv::dense(8, 3, 1))?;
    let mask = b.conv("mask", up, Conv::pointwise(CLASSES), Bias::With)?;
    b.output("mask", mask)?;
    Ok(deepest)
}
