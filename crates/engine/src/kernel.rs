//! The kernel of every unit once sizes are known, and the forward pass of all that a session and a trainer run alike.
//!
//! Above: `session::runner`, `train::{prepared, forward, backward}`. Below: `taper-plan`, `taper-graph`, `taper-kernels`. Not here:
//! convolutions, sums and products, which a session and a trainer run differently.

use taper_graph::{
    Activation as GraphActivation, Conv, Extent, Graph, PadMode, PoolKind, ResizeMode, Window,
};
use taper_kernels::{
    Activation, Affine, AttentionShape, ChannelMap, ConvShape, Device, Edge, NormShape, PoolShape,
    PoolWindow, Pooling, Real, Resampling, Source, SpatialMap,
};
use taper_plan::{FusedGraph, Unit, UnitOp, Value};

use crate::{Error, Result};

/// What runs a unit, with its shape for one batch.
#[derive(Clone, Debug)]
pub(crate) enum Kernel {
    /// A convolution or a linear layer.
    Conv(ConvShape),
    /// A batch norm alone, as a depthwise convolution of one tap.
    BatchNorm(ConvShape),
    /// The convolution that a transposed one undoes.
    ConvTranspose(ConvShape),
    Add,
    Mul,
    GlobalMean,
    Pool(PoolShape, Pooling),
    Resample(SpatialMap),
    /// By input.
    MoveChannels(Vec<ChannelMap>),
    GroupNorm {
        shape: NormShape,
        eps: f64,
    },
    PRelu,
    Attention(AttentionShape),
    Flatten,
    Copy,
    /// In training, runs of so many elements are zeroed with probability `p`; in inference a copy.
    Drop {
        p: f64,
        run: usize,
    },
}

/// The kernels of all units for a batch of `n`; `extents` are those of the values.
pub(crate) fn kernels(
    graph: &Graph,
    fused: &FusedGraph,
    extents: &[Extent],
    n: usize,
) -> Result<Vec<Kernel>> {
    fused.units.iter().map(|unit| Kernel::new(graph, unit, extents, n)).collect()
}

/// What the readers of each value apply to it.
///
/// # Errors
/// [`Error::Internal`] for an activation that has parameters.
pub(crate) fn activations(graph: &Graph, fused: &FusedGraph) -> Result<Vec<Activation>> {
    let of = |value: &Value| activation(graph, value.node, value.activation);
    fused.values.iter().map(of).collect()
}

/// An activation behind a unit as kernels know it.
pub(crate) fn activation(
    graph: &Graph,
    node: taper_graph::NodeId,
    activation: Option<GraphActivation>,
) -> Result<Activation> {
    Ok(match activation {
        None => Activation::Identity,
        Some(GraphActivation::Relu) => Activation::Relu,
        Some(GraphActivation::Relu6) => Activation::Relu6,
        Some(GraphActivation::HardSwish) => Activation::HardSwish,
        Some(GraphActivation::HardSigmoid) => Activation::HardSigmoid,
        Some(GraphActivation::Silu) => Activation::Silu,
        Some(GraphActivation::Sigmoid) => Activation::Sigmoid,
        Some(GraphActivation::Tanh) => Activation::Tanh,
        Some(GraphActivation::Gelu) => Activation::Gelu,
        Some(GraphActivation::GeluTanh) => Activation::GeluTanh,
        Some(GraphActivation::Mish) => Activation::Mish,
        Some(GraphActivation::LeakyRelu { slope }) => {
            #[expect(clippy::cast_possible_truncation, reason = "f32 is what kernels compute in")]
            let slope = slope as f32;
            Activation::LeakyRelu { slope }
        }
        Some(GraphActivation::PRelu) => {
            let node = graph.node(node).name().to_owned();
            return Err(Error::Internal { node, what: "has a PReLU pending on it" });
        }
    })
}

impl Kernel {
    /// The kernel of a unit for a batch of `n`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for sizes that the kernel does not take.
    pub(crate) fn new(graph: &Graph, unit: &Unit, extents: &[Extent], n: usize) -> Result<Self> {
        let (xs, ys) = (extents[unit.inputs[0]], extents[unit.output]);
        let shape = [n, xs.size()[0], xs.size()[1], xs.channels()];
        let kernel = match unit.op {
            UnitOp::Conv { conv, .. } => {
                conv_shape(&conv.window, shape, conv.out, conv.groups).map(Self::Conv)
            }
            UnitOp::Linear { out, .. } => ConvShape::linear(n, xs.channels(), out).map(Self::Conv),
            UnitOp::BatchNorm => {
                conv_shape(&Window::point(), shape, shape[3], shape[3]).map(Self::BatchNorm)
            }
            UnitOp::ConvTranspose { conv, .. } => transposed_shape(&conv, shape, ys),
            UnitOp::Add => Some(Self::Add),
            UnitOp::Mul => Some(Self::Mul),
            UnitOp::GlobalMean => Some(Self::GlobalMean),
            UnitOp::Pool { kind, window } => {
                let shape = sliding(&window, shape, kind == PoolKind::Avg, ys.size());
                shape.map(|shape| Self::Pool(shape, pooling(kind)))
            }
            UnitOp::LpPool { p, window } => {
                let shape = sliding(&window, shape, false, ys.size());
                shape.map(|shape| Self::Pool(shape, Pooling::Lp { p }))
            }
            UnitOp::AdaptivePool { kind } => {
                let shape = PoolShape::adaptive(shape, ys.size());
                shape.map(|shape| Self::Pool(shape, pooling(kind)))
            }
            UnitOp::Border { .. }
            | UnitOp::Pad { .. }
            | UnitOp::Scale { .. }
            | UnitOp::BlurPool { .. }
            | UnitOp::Resize { .. } => positions(&unit.op, shape, ys.size()).map(Self::Resample),
            UnitOp::Concat => concat(unit, extents, ys.channels()).map(Self::MoveChannels),
            UnitOp::Slice { start, len } => {
                let map = ChannelMap::part(xs.channels(), start, len, len, 0);
                map.map(|map| Self::MoveChannels(vec![map]))
            }
            UnitOp::Shuffle { groups } => {
                let map = ChannelMap::shuffle(xs.channels(), groups);
                map.map(|map| Self::MoveChannels(vec![map]))
            }
            UnitOp::GroupNorm { groups, eps, .. } => {
                let positions = shape[1].checked_mul(shape[2]);
                let shape = positions.and_then(|all| NormShape::new(n, all, shape[3], groups));
                shape.map(|shape| Self::GroupNorm { shape, eps })
            }
            // Every position is a picture of its own.
            UnitOp::LayerNorm { eps, .. } => {
                let all = shape[..3].iter().try_fold(1usize, |all, &size| all.checked_mul(size));
                let shape = all.and_then(|all| NormShape::new(all, 1, shape[3], 1));
                shape.map(|shape| Self::GroupNorm { shape, eps })
            }
            UnitOp::PRelu { .. } => Some(Self::PRelu),
            UnitOp::Attention { heads, kv_heads, scale } => {
                let qkv = [0, 1, 2].map(|i| extents[unit.inputs[i]]);
                attention(n, qkv, [heads, kv_heads], scale).map(Self::Attention)
            }
            UnitOp::Flatten => Some(Self::Flatten),
            UnitOp::Copy => Some(Self::Copy),
            UnitOp::Dropout { p } => Some(Self::Drop { p, run: 1 }),
            UnitOp::DropPath { p } => Some(Self::Drop { p, run: ys.len() }),
        };
        kernel.ok_or_else(|| {
            let node = graph.node(unit.node);
            let what = format!("{} of this size", node.op().label());
            Error::Unsupported { node: node.name().to_owned(), what }
        })
    }

    /// Runs a unit that is no convolution, sum or product on inputs `(n, positions, c)`; nothing is dropped.
    ///
    /// Returns whether this is such a unit.
    pub(crate) fn try_run<'a, T: Real, D: Device<T>>(
        &self,
        device: &mut D,
        [n, positions, c]: [usize; 3],
        source: &dyn Fn(usize) -> Source<'a, T>,
        params: &[&[T]],
        y: &mut [T],
    ) -> bool {
        let xs = source(0);
        match (self, params) {
            (Self::ConvTranspose(shape), [weight, bias @ ..]) => {
                device.conv_transpose(shape, xs.data, weight, bias.first().copied(), y);
            }
            (Self::GlobalMean, _) => device.pool_forward(n, positions, c, xs, y),
            (Self::Pool(shape, pooling), _) => device.windows_forward(shape, *pooling, xs, y),
            (Self::Resample(map), _) => device.resample(map, xs, y),
            (Self::MoveChannels(maps), _) => {
                for (i, map) in maps.iter().enumerate() {
                    device.move_channels(n * positions, map, source(i), y);
                }
            }
            (Self::GroupNorm { shape, eps }, [scale, shift]) => {
                device.group_norm(shape, *eps, xs, Affine { scale, shift }, y);
            }
            (Self::Attention(shape), _) => {
                device.attention(shape, [xs, source(1), source(2)], y);
            }
            (Self::PRelu, [slope]) => device.prelu(c, xs, slope, y),
            (Self::Flatten, _) => device.flatten(n, positions, c, xs, y),
            (Self::Copy | Self::Drop { .. }, _) => device.copy(c, xs, y),
            (Self::Conv(_) | Self::BatchNorm(_) | Self::Add | Self::Mul, _)
            | (Self::ConvTranspose(_) | Self::GroupNorm { .. } | Self::PRelu, _) => return false,
        }
        true
    }
}

fn conv_shape(window: &Window, shape: [usize; 4], out: usize, groups: usize) -> Option<ConvShape> {
    let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
    ConvShape::new(shape, out, kernel, stride, dilation, zeros(window, shape)?, groups)
}

fn transposed_shape(conv: &Conv, [n, h, w, c]: [usize; 4], ys: Extent) -> Option<Kernel> {
    let ([oh, ow], window) = (ys.size(), &conv.window);
    let (pads, groups) = (window.pads([h, w]), conv.groups);
    let outer = [n, oh, ow, ys.channels()];
    let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
    let shape = ConvShape::new(outer, c, kernel, stride, dilation, pads, groups)?;
    shape.with_output([h, w]).map(Kernel::ConvTranspose)
}

/// The padding of a window that reads zeros beyond the map; a border of anything else has been laid before.
fn zeros(window: &Window, [_, h, w, _]: [usize; 4]) -> Option<[usize; 4]> {
    (window.mode == PadMode::Zeros).then(|| window.pads([h, w]))
}

fn sliding(
    window: &Window,
    shape: [usize; 4],
    counts_padding: bool,
    out: [usize; 2],
) -> Option<PoolShape> {
    let pads = zeros(window, shape)?;
    let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
    PoolShape::sliding(shape, &PoolWindow { kernel, stride, dilation, pads, counts_padding }, out)
}

/// Weighted sums of positions; `None` also for any other operation.
fn positions(op: &UnitOp, shape @ [_, h, w, _]: [usize; 4], out: [usize; 2]) -> Option<SpatialMap> {
    match *op {
        UnitOp::Border { window } => SpatialMap::pad(shape, window.pads([h, w]), edge(window.mode)),
        UnitOp::Pad { sides, mode } => SpatialMap::pad(shape, sides, edge(mode)),
        UnitOp::Scale { factor } => SpatialMap::scale(shape, factor),
        UnitOp::BlurPool { window } => {
            let [top, left, ..] = window.pads([h, w]);
            let (kernel, stride, mode) = (window.kernel, window.stride, edge(window.mode));
            SpatialMap::blur(shape, out, kernel, stride, [top, left], mode)
        }
        UnitOp::Resize { factor: Some(factor), mode } => {
            SpatialMap::resize_by(shape, out, factor, resampling(mode))
        }
        UnitOp::Resize { factor: None, mode } => SpatialMap::resize(shape, out, resampling(mode)),
        _ => None,
    }
}

fn attention(
    n: usize,
    [q, k, v]: [Extent; 3],
    [heads, kv_heads]: [usize; 2],
    scale: f64,
) -> Option<AttentionShape> {
    let positions = |xs: Extent| xs.size().iter().product();
    let (queries, keys) = (positions(q), positions(k));
    let (key_dim, value_dim) = (q.channels() / heads, v.channels() / kv_heads);
    let shape = AttentionShape { n, queries, keys, heads, kv_heads, key_dim, value_dim, scale };
    shape.lens().map(|_| shape)
}

fn pooling(kind: PoolKind) -> Pooling {
    match kind {
        PoolKind::Max => Pooling::Max,
        PoolKind::Avg | PoolKind::AvgWithoutPadding => Pooling::Mean,
    }
}

fn edge(mode: PadMode) -> Edge {
    match mode {
        PadMode::Zeros => Edge::Zeros,
        PadMode::Reflect => Edge::Reflect,
        PadMode::Replicate => Edge::Replicate,
        PadMode::Circular => Edge::Circular,
    }
}

fn resampling(mode: ResizeMode) -> Resampling {
    match mode {
        ResizeMode::Nearest => Resampling::Nearest,
        ResizeMode::Bilinear => Resampling::Bilinear,
        ResizeMode::BilinearAligned => Resampling::BilinearAligned,
        ResizeMode::Bicubic => Resampling::Bicubic,
    }
}

fn concat(unit: &Unit, extents: &[Extent], out: usize) -> Option<Vec<ChannelMap>> {
    let mut before = 0;
    let part = |&input: &usize| {
        let channels = extents[input].channels();
        before += channels;
        ChannelMap::part(channels, 0, channels, out, before - channels)
    };
    unit.inputs.iter().map(part).collect()
}
