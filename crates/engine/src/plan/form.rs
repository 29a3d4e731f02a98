//! What a unit's kernel wants to know once sizes are known, and the forward pass of all that has no packed weights.
//!
//! Above: `session::runner`, `train::{layout, forward}`. Below: `plan`, `graph`, `kernels`. Not here: convolutions, sums and products,
//! which a session and a trainer run differently.

use taper_graph::{Extent, Graph, Op, PadMode, Padding, PoolKind, ResizeMode, Window};
use taper_kernels::{
    Affine, AttentionShape, ChannelMap, ConvShape, Device, Edge, NormShape, PoolShape, PoolWindow,
    Pooling, Real, Resampling, Source, SpatialMap,
};

use super::{Plan, Unit, Work};
use crate::{Error, Result};

/// A kernel's shape for one batch.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Lengths say it all.
    Plain,
    /// Of a transposed convolution: the one it undoes.
    Conv(ConvShape),
    Pool(PoolShape, Pooling),
    Spatial(SpatialMap),
    /// By input.
    Channels(Vec<ChannelMap>),
    Norm(NormShape),
    Attention(AttentionShape),
}

/// The forms of all units for a batch of `n`; `extents` are those of the values.
pub(crate) fn forms(graph: &Graph, plan: &Plan, extents: &[Extent], n: usize) -> Result<Vec<Form>> {
    plan.units.iter().map(|unit| Form::new(graph, unit, extents, n)).collect()
}

impl Form {
    /// The form of a unit for a batch of `n`.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for sizes that the kernel does not take.
    pub(crate) fn new(graph: &Graph, unit: &Unit, extents: &[Extent], n: usize) -> Result<Self> {
        let (xs, ys) = (extents[unit.inputs[0]], extents[unit.output]);
        let input = |i: usize| extents[unit.inputs[i]];
        let shape = [n, xs.size()[0], xs.size()[1], xs.channels()];
        let op = graph.node(unit.node).op();
        let form = match unit.work {
            Work::Conv { conv, .. } => conv_shape(&conv.window, shape, conv.out, conv.groups),
            Work::Linear { out, .. } => ConvShape::linear(n, xs.channels(), out).map(Self::Conv),
            Work::Norm => conv_shape(&Window::point(), shape, shape[3], shape[3]),
            Work::ConvTranspose { .. } => transposed_shape(op, shape, ys),
            Work::Windows => pool_shape(op, shape, ys.size()),
            Work::Border { window } => {
                let sides = window.pads(xs.size());
                SpatialMap::pad(shape, sides, edge(window.mode)).map(Self::Spatial)
            }
            Work::Spatial => spatial_map(op, shape, ys.size()).map(Self::Spatial),
            Work::Channels => {
                let inputs: Vec<usize> =
                    (0..unit.inputs.len()).map(|i| input(i).channels()).collect();
                channel_maps(op, &inputs, ys.channels()).map(Self::Channels)
            }
            Work::GroupNorm { .. } => norm_shape(op, shape).map(Self::Norm),
            Work::Attention => attention_shape(op, n, [input(0), input(1), input(2)]),
            Work::Add
            | Work::Mul
            | Work::Pool
            | Work::Flatten
            | Work::Prelu { .. }
            | Work::Dropout { .. }
            | Work::DropPath { .. } => Some(Self::Plain),
        };
        form.ok_or_else(|| Error::Unsupported {
            node: graph.node(unit.node).name().to_owned(),
            what: format!("{} of this size", op.label()),
        })
    }

    /// The convolution, if it is one.
    pub(crate) fn conv(&self) -> Option<&ConvShape> {
        if let Self::Conv(shape) = self { Some(shape) } else { None }
    }

    /// Runs a unit that is no convolution, sum or product on inputs `(n, positions, c)`; nothing is dropped.
    #[expect(clippy::too_many_arguments, reason = "what a kernel needs, passed on")]
    pub(crate) fn run<'a, T: Real, D: Device<T>>(
        &self,
        device: &mut D,
        work: &Work,
        [n, positions, c]: [usize; 3],
        source: &dyn Fn(usize) -> Source<'a, T>,
        params: &[&[T]],
        y: &mut [T],
    ) {
        let xs = source(0);
        match (self, work) {
            (Self::Conv(shape), Work::ConvTranspose { .. }) => {
                let bias = params.get(1).copied();
                device.conv_transpose(shape, xs.data, params[0], bias, y);
            }
            (Self::Pool(shape, pooling), _) => device.windows_forward(shape, *pooling, xs, y),
            (Self::Spatial(map), _) => device.resample(map, xs, y),
            (Self::Channels(maps), _) => {
                for (i, map) in maps.iter().enumerate() {
                    device.move_channels(n * positions, map, source(i), y);
                }
            }
            (Self::Norm(shape), &Work::GroupNorm { eps, .. }) => {
                let affine = Affine { scale: params[0], shift: params[1] };
                device.group_norm(shape, eps, xs, affine, y);
            }
            (Self::Attention(shape), _) => {
                device.attention(shape, [xs, source(1), source(2)], y);
            }
            (_, Work::Prelu { .. }) => device.prelu(c, xs, params[0], y),
            (_, Work::Flatten) => device.flatten(n, positions, c, xs, y),
            (_, Work::Pool) => device.pool_forward(n, positions, c, xs, y),
            // The mean over one position is the position.
            _ => device.pool_forward(n * positions, 1, c, xs, y),
        }
    }
}

fn conv_shape(window: &Window, shape: [usize; 4], out: usize, groups: usize) -> Option<Form> {
    let pads = match window.mode {
        PadMode::Zeros => window.pads([shape[1], shape[2]]),
        // The border is there already.
        _ => [0; 4],
    };
    let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
    ConvShape::new(shape, out, kernel, stride, dilation, pads, groups).map(Form::Conv)
}

fn transposed_shape(op: &Op, [n, h, w, c]: [usize; 4], ys: Extent) -> Option<Form> {
    let Op::ConvTranspose { conv, .. } = op else { return None };
    let ([oh, ow], window) = (ys.size(), &conv.window);
    let (pads, groups) = (window.pads([h, w]), conv.groups);
    let outer = [n, oh, ow, ys.channels()];
    let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
    let shape = ConvShape::new(outer, c, kernel, stride, dilation, pads, groups)?;
    shape.with_output([h, w]).map(Form::Conv)
}

fn pool_shape(op: &Op, shape @ [_, h, w, _]: [usize; 4], out: [usize; 2]) -> Option<Form> {
    let sliding = |window: &Window, counts_padding: bool| {
        let pads = if window.mode == PadMode::Zeros { window.pads([h, w]) } else { [0; 4] };
        let (kernel, stride, dilation) = (window.kernel, window.stride, window.dilation);
        let window = PoolWindow { kernel, stride, dilation, pads, counts_padding };
        PoolShape::sliding(shape, &window, out)
    };
    let pooling = |kind: PoolKind| if kind == PoolKind::Max { Pooling::Max } else { Pooling::Mean };
    match op {
        Op::Pool { kind, window, .. } => {
            Some(Form::Pool(sliding(window, *kind == PoolKind::Avg)?, pooling(*kind)))
        }
        Op::LpPool { p, window, .. } => {
            Some(Form::Pool(sliding(window, false)?, Pooling::Lp { p: *p }))
        }
        Op::AdaptivePool { kind, .. } | Op::GlobalPool { kind, .. } => {
            Some(Form::Pool(PoolShape::adaptive(shape, out)?, pooling(*kind)))
        }
        _ => None,
    }
}

fn edge(mode: PadMode) -> Edge {
    match mode {
        PadMode::Reflect => Edge::Reflect,
        PadMode::Replicate => Edge::Replicate,
        PadMode::Circular => Edge::Circular,
        _ => Edge::Zeros,
    }
}

fn spatial_map(op: &Op, shape @ [_, h, w, _]: [usize; 4], out: [usize; 2]) -> Option<SpatialMap> {
    match op {
        Op::Pad { sides, mode } => SpatialMap::pad(shape, *sides, edge(*mode)),
        Op::Scale { factor } => SpatialMap::scale(shape, *factor),
        Op::BlurPool { window } => {
            let [top, left, ..] = window.pads([h, w]);
            let (kernel, stride) = (window.kernel, window.stride);
            SpatialMap::blur(shape, out, kernel, stride, [top, left], edge(window.mode))
        }
        Op::Resize { mode, .. } => {
            let resampling = match mode {
                ResizeMode::Nearest => Resampling::Nearest,
                ResizeMode::Bilinear => Resampling::Bilinear,
                ResizeMode::BilinearAligned => Resampling::BilinearAligned,
                ResizeMode::Bicubic => Resampling::Bicubic,
                _ => return None,
            };
            SpatialMap::resize(shape, out, resampling)
        }
        _ => None,
    }
}

fn channel_maps(op: &Op, inputs: &[usize], out: usize) -> Option<Vec<ChannelMap>> {
    match op {
        Op::Concat => {
            let mut before = 0;
            let part = |&channels: &usize| {
                before += channels;
                ChannelMap::part(channels, 0, channels, out, before - channels)
            };
            inputs.iter().map(part).collect()
        }
        Op::Slice { start, len } => {
            Some(vec![ChannelMap::part(*inputs.first()?, *start, *len, out, 0)?])
        }
        Op::Shuffle { groups } => Some(vec![ChannelMap::shuffle(out, *groups)?]),
        _ => None,
    }
}

fn norm_shape(op: &Op, [n, h, w, c]: [usize; 4]) -> Option<NormShape> {
    match op {
        Op::GroupNorm { groups, .. } => NormShape::new(n, h.checked_mul(w)?, c, *groups),
        Op::LayerNorm { .. } => NormShape::new(n.checked_mul(h)?.checked_mul(w)?, 1, c, 1),
        _ => None,
    }
}

fn attention_shape(op: &Op, n: usize, [q, k, v]: [Extent; 3]) -> Option<Form> {
    let &Op::Attention { heads, kv_heads, scale } = op else { return None };
    let positions = |xs: Extent| xs.size().iter().product();
    let shape = AttentionShape {
        n,
        queries: positions(q),
        keys: positions(k),
        heads,
        kv_heads,
        key_dim: q.channels() / heads,
        value_dim: v.channels() / kv_heads,
        scale,
    };
    shape.lens().map(|_| Form::Attention(shape))
}

/// A convolution whose border has been laid around its input.
pub(super) fn without_padding(window: Window) -> Window {
    Window { padding: Padding::Valid, mode: PadMode::Zeros, ..window }
}
