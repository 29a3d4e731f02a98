//! Parameters, operations and bytes, node by node and in all.
//!
//! Above: `scope`, `units`, `taper models`, reports. Below: `work`, `taper-graph`'s shapes. Not here: what a session fuses (`units`), memory,
//! time.
//! Multiply-accumulates are counted as in papers and by torchvision and fvcore: products of convolutions, linear layers and attention,
//! biases not counted. What norms, activations, pools and sums do is listed apart, in operations.

use taper_graph::{Conv, Extent, Graph, Node, NodeId, Op, ParamId, ResizeMode};

use crate::work::{Work, backward};
use crate::{Bytes, Elements, Error, Flops, Macs, Params, Result};

/// Operations of a normalization for each element, by its mean and spread: fvcore's count for an affine norm.
const NORM: usize = 5;

/// Operations of a batch norm for each element: a product and a sum, since its statistics are known.
const BATCH_NORM: usize = 2;

/// Operations of a softmax for each score: maximum, difference, exponential, sum and quotient.
const SOFTMAX: usize = 5;

/// What a node, a scope or a network costs for one image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Trained parameters; shared ones count at the first node that has them.
    pub params: Params,
    /// Elements of the outputs.
    pub activations: Elements,
    /// What inference does.
    pub forward: Work,
    /// What a training step does on the way back.
    pub backward: Work,
}

impl Cost {
    /// Multiply-accumulates of inference.
    #[must_use]
    pub fn macs(&self) -> Macs {
        self.forward.macs
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            params: sum.params + cost.params,
            activations: sum.activations + cost.activations,
            forward: sum.forward + cost.forward,
            backward: sum.backward + cost.backward,
        })
    }
}

/// What a network costs at one size of image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkCost {
    /// Height and width of the image.
    pub size: [usize; 2],
    /// By node index, for one image.
    pub nodes: Vec<Cost>,
    /// By node index: the extent of its output.
    pub extents: Vec<Extent>,
    /// Parameters and buffers, as a model holds them.
    pub weights: Bytes,
}

impl NetworkCost {
    /// Of all nodes.
    #[must_use]
    pub fn total(&self) -> Cost {
        self.nodes.iter().copied().sum()
    }

    /// Of one node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Cost {
        self.nodes[id.index()]
    }
}

/// What a network costs for one image of `[h, w]`, if all its parameters are trained.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// let cost = taper_cost::of(&b.build()?, [32, 32])?.total();
/// assert_eq!(cost.params.0, 8 * 3 * 3 * 3);
/// assert_eq!(cost.forward.macs.0, 16 * 16 * cost.params.0);
/// assert_eq!(cost.activations.0, 16 * 16 * 8);
/// // Its weights have a gradient, and the image has none.
/// assert_eq!(cost.backward.macs, cost.forward.macs);
/// # Ok(()) }
/// ```
pub fn of(graph: &Graph, size: [usize; 2]) -> Result<NetworkCost> {
    of_trained(graph, size, |_| true)
}

/// [`of`] for a network of which only the parameters are trained that `trained` says: the others have no gradient, and no gradient
/// passes where nothing below is trained.
///
/// # Errors
/// As [`of`].
pub fn of_trained(
    graph: &Graph,
    size @ [h, w]: [usize; 2],
    trained: impl Fn(ParamId) -> bool,
) -> Result<NetworkCost> {
    let refused = |source| Error::Size { h, w, source: Box::new(source) };
    let extents = graph.extents(h, w).map_err(refused)?;
    let is_trained = |id: &ParamId| graph.param(*id).role.is_trained() && trained(*id);
    let mut next_param = 0;
    let mut needs = vec![false; extents.len()];
    let mut nodes = Vec::with_capacity(extents.len());
    for id in graph.node_ids() {
        let node = graph.node(id);
        // Parameters are numbered in the order of the nodes that first list them.
        let new = node.params().iter().copied().filter(|param| param.index() >= next_param);
        let params = new.clone().map(|param| params_of(graph, param)).sum();
        next_param += new.count();
        let inputs: Vec<Extent> = node.inputs().iter().map(|id| extents[id.index()]).collect();
        let output = extents[id.index()];
        let forward = forward(graph, node, &inputs, output);
        let weight = node.params().iter().any(is_trained);
        let below: Vec<bool> = node.inputs().iter().map(|input| needs[input.index()]).collect();
        needs[id.index()] = weight || below.iter().any(|&needs| needs);
        let is_input = matches!(node.op(), Op::Input { .. });
        nodes.push(Cost {
            params,
            activations: Elements(if is_input { 0 } else { output.len() as u64 }),
            backward: backward(node.op(), forward, &inputs, output, weight, &below),
            forward,
        });
    }
    let weights = graph.params().iter().map(|spec| Bytes::of_elements(spec.len())).sum();
    Ok(NetworkCost { size, nodes, extents, weights })
}

/// Number of trained parameters; running statistics are none.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// let xs = b.batch_norm("bn", xs, 1e-5, 0.1)?;
/// b.output("features", xs)?;
/// assert_eq!(taper_cost::params(&b.build()?).0, 8 * 3 * 3 * 3 + 2 * 8);
/// # Ok(()) }
/// ```
#[must_use]
pub fn params(graph: &Graph) -> Params {
    graph.param_ids().map(|id| params_of(graph, id)).sum()
}

/// Multiply-accumulates for one image of `h` rows and `w` columns.
///
/// # Errors
/// [`Error::Size`] if the network does not take such an image.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("conv", b.input(), Conv::dense(8, 3, 2), Bias::Without)?;
/// b.output("features", xs)?;
/// assert_eq!(taper_cost::macs(&b.build()?, 32, 32)?.0, 16 * 16 * 8 * 3 * 3 * 3);
/// # Ok(()) }
/// ```
pub fn macs(graph: &Graph, h: usize, w: usize) -> Result<Macs> {
    Ok(of(graph, [h, w])?.total().forward.macs)
}

fn params_of(graph: &Graph, id: ParamId) -> Params {
    let spec = graph.param(id);
    Params(if spec.role.is_trained() { spec.len() as u64 } else { 0 })
}

/// What a node does for one image, if it ran alone.
fn forward(graph: &Graph, node: &Node, inputs: &[Extent], output: Extent) -> Work {
    if matches!(node.op(), Op::Input { .. }) {
        return Work::default();
    }
    let weights: usize = node.params().iter().map(|id| graph.param(*id).len()).sum();
    let read: usize = inputs.iter().map(Extent::len).sum();
    let (norms, elementwise) = op_flops(node.op(), inputs, output);
    Work {
        macs: op_macs(node.op(), inputs, output),
        norms,
        elementwise,
        read: Bytes::of_elements(read) + Bytes::of_elements(weights),
        written: Bytes::of_elements(output.len()),
    }
}

/// Multiply-accumulates of one operation for one image, given the extents of what it reads and puts out.
///
/// # Examples
/// ```
/// use taper_graph::{Conv, Extent, Op};
/// let map = |c| Extent::Map { h: 7, w: 7, c };
/// let macs = taper_cost::op_macs(&Op::Conv(Conv::depthwise(8, 3, 1)), &[map(8)], map(8));
/// assert_eq!(macs.0, 7 * 7 * 8 * 9);
/// ```
#[must_use]
pub fn op_macs(op: &Op, inputs: &[Extent], ys: Extent) -> Macs {
    let Some(&xs) = inputs.first() else { return Macs(0) };
    let count = match op {
        Op::Conv(conv) => product(&[positions(ys), conv.out, filter(conv, xs.channels())]),
        Op::ConvTranspose { conv, .. } => {
            product(&[positions(xs), conv.out, filter(conv, xs.channels())])
        }
        Op::Linear { out } => product(&[*out, xs.channels()]),
        // Scores and mixing: each query with each key, over the channels of q and then of the output.
        Op::Attention { .. } => {
            let keys = inputs.get(1).copied().map_or(0, positions);
            product(&[positions(xs), keys, xs.channels() + ys.channels()])
        }
        Op::Input { .. }
        | Op::BatchNorm { .. }
        | Op::GroupNorm { .. }
        | Op::LayerNorm { .. }
        | Op::ChannelScale
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
        | Op::Dropout { .. }
        | Op::DropPath { .. } => 0,
    };
    Macs(count)
}

/// What one operation does beside multiply-accumulates, for one image: operations of norms, and of what works element by element or
/// window by window. An activation is one operation an element, a pool one for each element under a window.
///
/// # Examples
/// ```
/// use taper_cost::Flops;
/// use taper_graph::{Activation, Extent, Op};
/// let map = Extent::Map { h: 7, w: 7, c: 8 };
/// let relu = taper_cost::op_flops(&Op::Activation(Activation::Relu), &[map], map);
/// assert_eq!(relu, (Flops(0), Flops(7 * 7 * 8)));
/// ```
#[must_use]
pub fn op_flops(op: &Op, inputs: &[Extent], ys: Extent) -> (Flops, Flops) {
    let under_windows = || {
        let [rows, cols] = covered(op, inputs.first().map_or([0; 2], Extent::size), ys.size());
        rows.saturating_mul(cols).saturating_mul(ys.channels() as u64)
    };
    let (norms, elementwise) = match op {
        Op::BatchNorm { .. } => (product(&[ys.len(), BATCH_NORM]), 0),
        Op::GroupNorm { .. } | Op::LayerNorm { .. } => (product(&[ys.len(), NORM]), 0),
        Op::ChannelScale | Op::Activation(_) | Op::Mul | Op::Scale { .. } | Op::Add => {
            (0, ys.len() as u64)
        }
        // A power or a product before the sum.
        Op::LpPool { .. } | Op::BlurPool { .. } => (0, under_windows().saturating_mul(2)),
        Op::Pool { .. } | Op::AdaptivePool { .. } | Op::GlobalPool { .. } => (0, under_windows()),
        Op::Resize { mode, .. } => (0, product(&[ys.len(), neighbors(*mode)])),
        Op::Attention { heads, .. } => {
            let queries = inputs.first().copied().map_or(0, positions);
            let keys = inputs.get(1).copied().map_or(0, positions);
            (0, product(&[*heads, queries, keys, SOFTMAX]))
        }
        Op::Input { .. }
        | Op::Conv(_)
        | Op::ConvTranspose { .. }
        | Op::Linear { .. }
        | Op::Concat
        | Op::Slice { .. }
        | Op::Shuffle { .. }
        | Op::Flatten
        | Op::Pad { .. }
        | Op::Dropout { .. }
        | Op::DropPath { .. } => (0, 0),
    };
    (Flops(norms), Flops(elementwise))
}

/// Positions that windows cover along each axis, all windows of `op` together, padding included: `size` and `out` are height and width of
/// what it reads and puts out.
///
/// # Examples
/// ```
/// use taper_graph::{Op, PoolKind, Window};
/// let pool = Op::Pool { kind: PoolKind::Max, window: Window::square(3, 2), ceil: false };
/// assert_eq!(taper_cost::covered(&pool, [8, 8], [4, 4]), [12, 12]);
/// ```
#[must_use]
pub fn covered(op: &Op, size: [usize; 2], out: [usize; 2]) -> [u64; 2] {
    [0, 1].map(|axis| match (op, op.window()) {
        (_, Some(window)) => (out[axis] as u64).saturating_mul(window.kernel[axis] as u64),
        (Op::AdaptivePool { .. }, None) => {
            let windows = (0..out[axis]).map(|i| adaptive_window(i, size[axis], out[axis]));
            windows.map(|[begin, end]| (end - begin) as u64).sum()
        }
        _ => size[axis] as u64,
    })
}

/// Begin and end of window `i` of `out` that cut an axis of `size`, as PyTorch's adaptive pools do.
#[must_use]
pub fn adaptive_window(i: usize, size: usize, out: usize) -> [usize; 2] {
    [i * size / out, ((i + 1) * size).div_ceil(out)]
}

/// Elements that resampling weighs for each of its output; a copy weighs none.
fn neighbors(mode: ResizeMode) -> usize {
    match mode {
        ResizeMode::Nearest => 0,
        ResizeMode::Bilinear | ResizeMode::BilinearAligned => 4,
        ResizeMode::Bicubic => 16,
    }
}

/// Elements of one filter.
fn filter(conv: &Conv, in_channels: usize) -> usize {
    let [k_h, k_w] = conv.window.kernel;
    in_channels / conv.groups * k_h * k_w
}

fn positions(extent: Extent) -> usize {
    let [h, w] = extent.size();
    h * w
}

fn product(factors: &[usize]) -> u64 {
    factors.iter().fold(1, |product, &factor| product.saturating_mul(factor as u64))
}
