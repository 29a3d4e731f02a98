//! Networks made for timing: random sizes, widths and blocks of all that the engine runs.
//!
//! Above: `calibrate`. Below: `networks::draw`, `recalibrate`, `random`, `taper-graph`'s builder. Not here: networks that anybody trains (`taper-zoo`).
//! What they compute means nothing. What they contain is drawn so that sizes of published networks lie between those drawn.

mod draw;

use taper_graph::{
    Activation, Bias, Conv, Graph, GraphBuilder, NodeId, Op, PadMode, Padding, ParamRole, PoolKind,
    ResizeMode, ResizeTo, Window,
};

use crate::{Result, random, with_batch_statistics};
use draw::Draw;

/// Images whose statistics norms take.
const BATCH: usize = 2;

/// Stages of a network, each but the first with half the side of the one before, and up to one block more.
const STAGES: usize = 5;

/// Side at most of maps whose positions are attended to in any network: over a larger one it takes as long as all else.
const MOST_ATTENDED: usize = 16;

/// Channels at most where layers are dense.
const MOST_DENSE: f64 = 640.0;

/// Weights of a layer at most: more than caches hold, and drawn and packed in less than a second.
const MOST_WEIGHTS: usize = 1 << 26;

/// A network, and the size of its images.
pub(super) struct Network {
    pub(super) graph: Graph,
    pub(super) size: [usize; 2],
    pub(super) seed: u64,
}

impl Network {
    /// Parameters by id: small random weights, norms that pass what comes.
    pub(super) fn params(&self) -> Vec<Vec<f32>> {
        let fill = |(index, spec): (usize, &taper_graph::ParamSpec)| {
            let fan_in = spec.len() / spec.shape.first().copied().unwrap_or(1).max(1);
            let scale = (3.0 / fan_in.max(1) as f64).sqrt();
            match spec.role {
                ParamRole::NormScale | ParamRole::RunningVar => vec![1.0; spec.len()],
                ParamRole::Weight => table(self.seed, index as u64, scale, spec.len()),
                _ => vec![0.0; spec.len()],
            }
        };
        self.graph.params().iter().enumerate().map(fill).collect()
    }
}

impl Network {
    /// [`Network::params`] with norms that make every activation as large as in a trained network.
    pub(super) fn normalized_params(&self, threads: usize) -> Result<Vec<Vec<f32>>> {
        let (params, [h, w]) = (self.params(), self.size);
        let images = image(&self.graph, self.size, BATCH);
        with_batch_statistics(&self.graph, &params, &images, [BATCH, h, w], threads)
    }
}

/// `n` images `(n, h, w, c)` for a network.
pub(super) fn image(graph: &Graph, [h, w]: [usize; 2], n: usize) -> Vec<f32> {
    table(0, 0, 1.7, n * h * w * graph.input_channels())
}

/// Numbers between `-scale` and `scale` that repeat after some thousands.
fn table(seed: u64, stream: u64, scale: f64, len: usize) -> Vec<f32> {
    let one = |i| narrow((2.0 * random::uniform(seed, stream, i) - 1.0) * scale);
    let numbers: Vec<f32> = (0..4099).map(one).collect();
    numbers.into_iter().cycle().take(len).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is the point")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// A few layers for digits and icons.
    Tiny,
    /// As those for photographs.
    Usual,
    /// With layers at the end whose weights no cache holds.
    Large,
}

/// Network number `index` under a seed.
pub(super) fn random(seed: u64, index: u64, extent: Extent) -> Result<Network> {
    // Streams of parameters count from 0.
    let mut draw = Draw::new(seed, index.wrapping_add(1 << 32));
    let is_tiny = extent == Extent::Tiny;
    let side = if is_tiny {
        draw.of(&[28, 32, 32, 64])
    } else {
        draw.of(&[96, 128, 160, 192, 224, 224, 224, 224, 224, 224, 240, 256, 288, 320])
    };
    let colors = if is_tiny { draw.of(&[1, 3]) } else { 3 };
    let mut builder = GraphBuilder::new(colors)?;
    let is_large = extent == Extent::Large;
    let mut network = Growing { is_large, draw, names: 0, b: &mut builder };
    let xs = if is_tiny { network.tiny()? } else { network.network(side)? };
    builder.output("logits", xs)?;
    Ok(Network { graph: builder.build()?, size: [side; 2], seed: seed ^ index })
}

/// What a block is made of.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    InvertedResidual,
    Separable,
    Fused,
    Basic,
    Bottleneck,
    Plain,
    Branches,
    Shuffled,
    Attention,
    Rare,
}

/// Where a block stands.
struct Step {
    /// Channels, about.
    width: f64,
    stride: usize,
    activation: Activation,
    /// Rows and columns of what it reads.
    side: usize,
}

/// A network while it grows.
struct Growing<'a> {
    b: &'a mut GraphBuilder,
    draw: Draw,
    names: usize,
    is_large: bool,
}

impl Growing<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn network(&mut self, mut side: usize) -> taper_graph::Result<NodeId> {
        let family = self.draw.of(&[
            Block::InvertedResidual,
            Block::InvertedResidual,
            Block::InvertedResidual,
            Block::Separable,
            Block::Fused,
            Block::Basic,
            Block::Bottleneck,
            Block::Plain,
            Block::Branches,
            Block::Shuffled,
            Block::Rare,
        ]);
        let activation = self.draw.of(&[
            Activation::Relu,
            Activation::Relu,
            Activation::Relu6,
            Activation::HardSwish,
            Activation::Silu,
            Activation::Gelu,
        ]);
        let input = self.b.input();
        let stem = self.draw.of(&[8, 16, 16, 24, 32, 32, 40, 48, 64, 64]);
        let kernel = self.draw.of(&[3, 3, 3, 3, 7]);
        let mut xs = self.conv(input, Conv::dense(stem, kernel, 2), Some(activation))?;
        side = side.div_ceil(2);
        if matches!(family, Block::Basic | Block::Bottleneck | Block::Plain) {
            let pool = Op::Pool { kind: PoolKind::Max, window: Window::square(3, 2), ceil: false };
            let name = self.name();
            xs = self.b.push(&name, pool, &[xs], Bias::Without)?;
            side = side.div_ceil(2);
        }
        // Networks that multiply more at each position have a smaller map first, and more channels behind it.
        let is_dense =
            matches!(family, Block::Basic | Block::Bottleneck | Block::Plain | Block::Branches);
        let mut width = self.draw.log_between(if is_dense { [24.0, 80.0] } else { [10.0, 36.0] });
        for stage in 0..STAGES {
            if stage > 0 {
                // Published ones double their channels where they halve the side, more or less.
                width *= self.draw.log_between([1.5, 2.4]);
                width = if is_dense { width.min(MOST_DENSE) } else { width };
            }
            let blocks = 1 + self.draw.below(1 + stage);
            for block in 0..blocks {
                let (other, attends) = (self.draw.unit() < 0.12, self.draw.unit() < 0.08);
                let kind = match family {
                    _ if attends && side <= MOST_ATTENDED => Block::Attention,
                    _ if other => self.other(side),
                    family => family,
                };
                let can_halve = !matches!(kind, Block::Attention | Block::Rare);
                let halves = block == 0 && side > 7 && (stage > 0 || self.draw.unit() < 0.2);
                // A stage begins with a block that halves the map, whatever was drawn.
                let kind = if halves && !can_halve { Block::InvertedResidual } else { kind };
                let stride = if halves { 2 } else { 1 };
                xs = self.block(kind, xs, &Step { width, stride, activation, side })?;
                side = side.div_ceil(stride);
            }
        }
        self.head(xs, activation, side)
    }

    /// Convolutions with biases, pools and two linear layers.
    fn tiny(&mut self) -> taper_graph::Result<NodeId> {
        let activation = self.draw.of(&[Activation::Relu, Activation::Tanh]);
        let mut xs = self.b.input();
        let mut out = self.draw.of(&[4, 6, 8, 16]);
        for _ in 0..2 + self.draw.below(2) {
            for _ in 0..1 + self.draw.below(2) {
                let conv = Conv::dense(out, self.draw.of(&[3, 5]), 1);
                let name = self.name();
                xs = self.b.conv(&name, xs, conv, Bias::With)?;
                xs = self.b.activation(&format!("{name}.act"), xs, activation)?;
            }
            let kind = self.draw.of(&[PoolKind::Max, PoolKind::Avg]);
            let name = self.name();
            xs = self.b.pool(&name, xs, kind, Window::square(2, 2))?;
            out *= self.draw.of(&[2, 3]);
        }
        let name = self.name();
        xs = self.b.global_pool(&name, xs, PoolKind::Avg, true)?;
        for out in [self.draw.of(&[64, 84, 128]), 10] {
            let name = self.name();
            xs = self.b.linear(&name, xs, out, Bias::With)?;
        }
        Ok(xs)
    }

    fn other(&mut self, side: usize) -> Block {
        let block = self.draw.of(&[
            Block::InvertedResidual,
            Block::Fused,
            Block::Basic,
            Block::Branches,
            Block::Shuffled,
            Block::Attention,
            Block::Rare,
        ]);
        if block == Block::Attention && side > MOST_ATTENDED { Block::Rare } else { block }
    }

    fn head(
        &mut self,
        mut xs: NodeId,
        activation: Activation,
        side: usize,
    ) -> taper_graph::Result<NodeId> {
        if self.draw.unit() < 0.6 {
            let out = self.draw.of(&[576, 960, 1024, 1280, 1280, 1536]);
            xs = self.conv(xs, Conv::pointwise(out), Some(activation))?;
        }
        // A layer over the whole map, and a wide one behind it.
        let large = self.is_large && side <= 12;
        if large {
            let window = Window { padding: Padding::Valid, ..Window::square(side, 1) };
            let mut out = self.draw.of(&[1024, 2048]);
            let weights = side * side * self.b.channels(xs);
            while out * weights > MOST_WEIGHTS {
                out /= 2;
            }
            xs = self.conv(xs, Conv { out, window, groups: 1 }, Some(activation))?;
        }
        let name = self.name();
        xs = self.b.global_pool(&name, xs, PoolKind::Avg, true)?;
        if large {
            let name = self.name();
            xs = self.b.linear(&name, xs, 8192, Bias::With)?;
        }
        if self.draw.unit() < 0.3 {
            let (name, out) = (self.name(), self.draw.of(&[512, 1024, 1280, 2048, 4096]));
            xs = self.b.linear(&name, xs, out, Bias::With)?;
            let name = self.name();
            xs = self.b.activation(&name, xs, activation)?;
        }
        let (name, classes) = (self.name(), self.draw.of(&[1000, 1000, 1000, 100, 10]));
        self.b.linear(&name, xs, classes, Bias::With)
    }

    /// A convolution with its norm, and an activation.
    fn conv(
        &mut self,
        xs: NodeId,
        conv: Conv,
        activation: Option<Activation>,
    ) -> taper_graph::Result<NodeId> {
        let name = self.name();
        let mut xs = self.b.conv(&name, xs, conv, Bias::Without)?;
        xs = self.b.batch_norm(&format!("{name}.bn"), xs, 1e-5, 0.1)?;
        match activation {
            Some(activation) => self.b.activation(&format!("{name}.act"), xs, activation),
            None => Ok(xs),
        }
    }

    /// The gate of a squeeze-and-excite.
    fn gate(&mut self, xs: NodeId) -> taper_graph::Result<NodeId> {
        let channels = self.b.channels(xs);
        let reduced = (channels / self.draw.of(&[4, 4, 16, 24])).max(8);
        let name = self.name();
        let mut gate = self.b.global_pool(&format!("{name}.pool"), xs, PoolKind::Avg, false)?;
        for (part, out, activation) in
            [("reduce", reduced, Activation::Relu), ("expand", channels, Activation::HardSigmoid)]
        {
            gate =
                self.b.conv(&format!("{name}.{part}"), gate, Conv::pointwise(out), Bias::With)?;
            gate = self.b.activation(&format!("{name}.{part}.act"), gate, activation)?;
        }
        self.b.mul(&name, xs, gate)
    }

    fn add(&mut self, xs: NodeId, ys: NodeId) -> taper_graph::Result<NodeId> {
        let name = self.name();
        self.b.add(&name, ys, xs)
    }

    fn block(&mut self, block: Block, xs: NodeId, step: &Step) -> taper_graph::Result<NodeId> {
        let Step { width, stride, activation, side } = *step;
        let channels = self.b.channels(xs);
        let stays = stride == 1 && self.draw.unit() < 0.7;
        let out = if stays { channels } else { self.draw.channels(width) };
        let act = Some(activation);
        let kernel = self.draw.of(&[3, 3, 3, 3, 5, 5, 5, 7]);
        let ys = match block {
            Block::InvertedResidual => {
                let expansion = self.draw.of(&[2, 3, 4, 4, 6, 6, 6]);
                let mid = channels * expansion;
                let mut ys = self.conv(xs, Conv::pointwise(mid), act)?;
                ys = self.conv(ys, Conv::depthwise(mid, kernel, stride), act)?;
                if self.draw.unit() < 0.4 {
                    ys = self.gate(ys)?;
                }
                self.conv(ys, Conv::pointwise(out), None)?
            }
            Block::Separable => {
                let ys = self.conv(xs, Conv::depthwise(channels, kernel, stride), act)?;
                self.conv(ys, Conv::pointwise(out), act)?
            }
            Block::Fused => {
                let mid = channels * self.draw.of(&[1, 2, 4, 4]);
                let ys = self.conv(xs, Conv::dense(mid, 3, stride), act)?;
                self.conv(ys, Conv::pointwise(out), None)?
            }
            Block::Basic => {
                let ys = self.conv(xs, Conv::dense(out, 3, stride), act)?;
                self.conv(ys, Conv::dense(out, 3, 1), None)?
            }
            Block::Bottleneck => {
                let mid = (out / 2).next_multiple_of(8);
                let ys = self.conv(xs, Conv::pointwise(mid), act)?;
                let groups = if self.draw.unit() < 0.3 { mid / 8 } else { 1 };
                let conv = Conv { groups, ..Conv::dense(mid, 3, stride) };
                let ys = self.conv(ys, conv, act)?;
                self.conv(ys, Conv::pointwise(out), None)?
            }
            Block::Plain => self.conv(xs, Conv::dense(out, 3, stride), act)?,
            Block::Branches => return self.branches(xs, out, step),
            Block::Shuffled => self.shuffled(xs, stride, activation)?,
            Block::Attention => self.attention(xs, side)?,
            Block::Rare => self.rare(xs, side)?,
        };
        // A gate that no pointwise convolution swallows.
        let is_gated = matches!(block, Block::Basic | Block::Fused | Block::Separable)
            && self.draw.unit() < 0.2;
        let ys = if is_gated { self.gate(ys)? } else { ys };
        let same = self.b.channels(ys) == channels && stride == 1;
        if !same {
            return Ok(ys);
        }
        let ys = self.add(xs, ys)?;
        match block {
            Block::Basic | Block::Bottleneck => {
                let name = self.name();
                self.b.activation(&name, ys, activation)
            }
            _ => Ok(ys),
        }
    }

    /// Parallel convolutions that are added: a network before its branches become one.
    fn branches(&mut self, xs: NodeId, out: usize, step: &Step) -> taper_graph::Result<NodeId> {
        let Step { stride, activation, .. } = *step;
        let channels = self.b.channels(xs);
        let depthwise = self.draw.unit() < 0.5;
        let out = if depthwise { channels } else { out };
        let of = |kernel| {
            if depthwise {
                Conv::depthwise(channels, kernel, stride)
            } else {
                Conv::dense(out, kernel, stride)
            }
        };
        let three = self.conv(xs, of(3), None)?;
        let one = self.conv(xs, of(1), None)?;
        let mut ys = self.add(three, one)?;
        if out == channels && stride == 1 {
            let name = self.name();
            let norm = self.b.batch_norm(&name, xs, 1e-5, 0.1)?;
            ys = self.add(ys, norm)?;
        }
        let name = self.name();
        self.b.activation(&name, ys, activation)
    }

    /// Half of the channels pass; the other half are convolved.
    fn shuffled(
        &mut self,
        xs: NodeId,
        stride: usize,
        activation: Activation,
    ) -> taper_graph::Result<NodeId> {
        let channels = self.b.channels(xs);
        let (half, act) = (channels / 2, Some(activation));
        let mut parts = Vec::new();
        for start in [0, half] {
            let (name, slice) = (self.name(), Op::Slice { start, len: half });
            parts.push(self.b.push(&name, slice, &[xs], Bias::Without)?);
        }
        let mut ys = self.conv(parts[1], Conv::pointwise(half), act)?;
        ys = self.conv(ys, Conv::depthwise(half, 3, stride), None)?;
        ys = self.conv(ys, Conv::pointwise(half), act)?;
        let passed = match stride {
            1 => parts[0],
            _ => self.conv(parts[0], Conv::depthwise(half, 3, stride), None)?,
        };
        let name = self.name();
        let ys = self.b.concat(&name, &[passed, ys])?;
        let name = self.name();
        self.b.push(&name, Op::Shuffle { groups: 2 }, &[ys], Bias::Without)
    }

    /// Of all heads or with the same keys for all, which on large maps are those of a map of half the side.
    fn attention(&mut self, xs: NodeId, side: usize) -> taper_graph::Result<NodeId> {
        let channels = self.b.channels(xs);
        let heads = self.draw.of(&[2, 4, 4, 8]);
        let kv_heads = self.draw.of(&[1, heads]);
        let dim = self.draw.of(&[16, 32, 64, 64]);
        let mut three = vec![self.conv(xs, Conv::pointwise(heads * dim), None)?];
        for _ in 0..2 {
            let xs = match side {
                0..=10 => xs,
                _ => self.conv(xs, Conv::depthwise(channels, 3, 2), None)?,
            };
            three.push(self.conv(xs, Conv::pointwise(kv_heads * dim), None)?);
        }
        let attention = Op::Attention { heads, kv_heads, scale: 0.125 };
        let name = self.name();
        let ys = self.b.push(&name, attention, &three, Bias::Without)?;
        self.conv(ys, Conv::pointwise(channels), None)
    }

    /// Operations that few networks have, so that none is unknown.
    fn rare(&mut self, xs: NodeId, side: usize) -> taper_graph::Result<NodeId> {
        let channels = self.b.channels(xs);
        let (h, w) = (side, side);
        let op = match self.draw.below(9) {
            0 => Op::GroupNorm { groups: 1, eps: 1e-5 },
            1 => Op::LayerNorm { eps: 1e-5 },
            2 => Op::Pool { kind: PoolKind::Avg, window: Window::square(3, 1), ceil: false },
            3 => Op::Pool { kind: PoolKind::Max, window: Window::square(5, 1), ceil: false },
            4 => Op::BlurPool { window: Window::square(3, 1) },
            5 => Op::Resize { out: ResizeTo::Size([h, w]), mode: ResizeMode::Bilinear },
            6 => Op::AdaptivePool { kind: PoolKind::Avg, out: [h, w], at_least: false },
            7 => Op::Pad { sides: [1, 1, 1, 1], mode: PadMode::Zeros },
            _ => Op::Scale { factor: 0.5 },
        };
        let pads = matches!(op, Op::Pad { .. });
        let name = self.name();
        let mut ys = self.b.push(&name, op, &[xs], Bias::Without)?;
        if pads {
            let window = Window { padding: Padding::Valid, ..Window::square(3, 1) };
            let conv = Conv { out: channels, window, groups: channels };
            ys = self.conv(ys, conv, None)?;
        }
        if self.draw.unit() < 0.3 {
            let conv = Conv { out: channels, window: Window::square(1, 1), groups: 1 };
            let (name, op) = (self.name(), Op::ConvTranspose { conv, output_padding: [0; 2] });
            ys = self.b.push(&name, op, &[ys], Bias::With)?;
        }
        Ok(ys)
    }
}

#[cfg(test)]
mod tests;
