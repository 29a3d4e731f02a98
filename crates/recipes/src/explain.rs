//! Explaining a layer: what a convolution or a pool makes of given sizes, what it costs and what runs.
//!
//! Above: the binary, Rust users. Below: `explain::{field, sizes}`, `taper_graph`, `taper_cost`, `taper_engine`, `taper_kernels`.
//! Not here: whole networks, measured time (`bench`).
//! Every number is asked of the crate that owns it: shapes of `graph`, counts of `cost`, the choice of a kernel of `kernels`.

mod field;
mod sizes;

use serde::Serialize;
use taper_cost::{Bytes, Cost};
use taper_engine::{Isa, Reference, Trainer};
use taper_graph::{Bias, Conv, Extent, Graph, GraphBuilder, Op, PadMode, PoolKind};
use taper_kernels::{ConvShape, ForwardKernel, Input};

use crate::error::{Error, Result};
pub use field::ReceptiveField;
pub use sizes::AxisSize;

/// What is to be explained.
///
/// ```
/// use taper_recipes::{Conv, ExplainOptions, Op, explain};
///
/// // MobileNetV2's first layer.
/// let stem = Op::Conv(Conv::dense(32, 3, 2));
/// let told = explain(&ExplainOptions::new(stem, 3, [224, 224]))?;
/// assert_eq!(told.output, [1, 112, 112, 32]);
/// assert_eq!(told.sizes[0].numbers, "floor((224 + 1 + 1 − 1·(3 − 1) − 1) / 2) + 1 = 112");
/// assert_eq!((told.params, told.macs), (32 * 3 * 3 * 3 + 32, 112 * 112 * 32 * 27));
/// assert_eq!(told.kernel.as_deref(), Some("dense"));
/// # Ok::<(), taper_recipes::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ExplainOptions {
    /// A convolution, transposed or not, or a pool.
    pub op: Op,
    /// Channels of the map it reads.
    pub in_channels: usize,
    /// Height and width of the map it reads.
    pub input: [usize; 2],
    /// Images a batch, 1 or more.
    pub batch: usize,
    /// Whether a convolution has a bias.
    pub bias: Bias,
    /// What a position of that map sees of the picture: all layers before this one, taken together.
    pub before: ReceptiveField,
}

impl ExplainOptions {
    /// One image, a bias where there can be one, and nothing before.
    pub fn new(op: Op, in_channels: usize, input: [usize; 2]) -> Self {
        let before = ReceptiveField::PIXEL;
        ExplainOptions { op, in_channels, input, batch: 1, bias: Bias::With, before }
    }
}

/// A layer at given sizes. Maps are `(n, h, w, c)`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The operation, as in model files: `conv`, `pool`, ….
    pub op: &'static str,
    /// What it reads.
    pub input: [usize; 4],
    /// What it writes.
    pub output: [usize; 4],
    /// How height and width come about.
    pub sizes: [AxisSize; 2],
    /// Padding above, before, below and after the map.
    pub padding: [usize; 4],
    /// Shape of the weight, `(out, in / groups, k_h, k_w)`; empty without one.
    pub weight: Vec<usize>,
    /// Trained parameters.
    pub params: u64,
    /// Multiply-accumulates of the batch; a pool has none.
    pub macs: u64,
    /// Operations of the batch: two a multiply-accumulate, or one for each element that a pool's window covers.
    pub operations: u64,
    /// How `macs`, or a pool's `operations`, come about.
    pub work: String,
    /// The kernel that would run, as `cargo xtask bench layers` names it; absent when the engine has none.
    pub kernel: Option<String>,
    /// Why that kernel, or why none.
    pub why: String,
    /// The instruction set of this machine.
    pub isa: String,
    /// Floats in one of its vectors.
    pub lanes: usize,
    /// Bytes that a perfect cache would move: input, parameters and output once each, four a number.
    pub bytes: u64,
    /// Operations a byte.
    pub intensity: f64,
    /// What a position of the output sees of the input.
    pub window: ReceptiveField,
    /// What it sees of the picture, with the layers before; what `before` is for the next layer.
    pub field: ReceptiveField,
}

/// Explains a layer at given sizes.
///
/// # Errors
/// [`Error::Graph`] for a layer that cannot be, with the formula that failed; [`Error::Option`] for a batch of nothing.
pub fn explain(options: &ExplainOptions) -> Result<Explanation> {
    let ExplainOptions { op, in_channels, input: [h, w], batch, bias, before } = options;
    if !(1..=1 << 20).contains(batch) {
        return Err(Error::option("batch", batch, "from 1 to a million"));
    }
    let graph = graph(op, *in_channels, *bias).map_err(|source| Error::Graph { source })?;
    let extents = graph.extents(*h, *w).map_err(|source| Error::Graph { source })?;
    let costs = taper_cost::of(&graph, [*h, *w]).map_err(|source| Error::Cost { source })?;
    let (xs, ys) = (extents[0], extents[extents.len() - 1]);
    let sizes = sizes::of(op, [*h, *w], ys.size())?;
    let cost = costs.nodes[costs.nodes.len() - 1];
    let n = *batch as u64;
    let (operations, work) = work(op, n, xs, ys, &cost);
    let (kernel, why) = kernel(&graph, op, batched(*batch, xs), ys);
    let bytes = (Bytes::of_elements(xs.len() + ys.len()).times(*batch) + costs.weights).0;
    let window = ReceptiveField::of(op, [*h, *w], ys.size());
    let isa = Isa::best();
    Ok(Explanation {
        op: op.label(),
        input: batched(*batch, xs),
        output: batched(*batch, ys),
        sizes,
        padding: op.window().map_or([0; 4], |window| window.pads([*h, *w])),
        weight: graph.params().first().map_or_else(Vec::new, |weight| weight.shape.clone()),
        params: cost.params.0,
        macs: cost.forward.macs.0.saturating_mul(n),
        operations,
        work,
        kernel,
        why,
        isa: format!("{isa:?}"),
        lanes: isa.lanes(),
        bytes,
        intensity: operations as f64 / bytes as f64,
        window,
        field: before.then(window),
    })
}

/// The layer as a network of its own.
fn graph(op: &Op, in_channels: usize, bias: Bias) -> taper_graph::Result<Graph> {
    let mut builder = GraphBuilder::new(in_channels)?;
    let ys = builder.push(op.label(), op.clone(), &[builder.input()], bias)?;
    builder.output("y", ys)?;
    builder.build()
}

fn batched(n: usize, extent: Extent) -> [usize; 4] {
    let [h, w] = extent.size();
    [n, h, w, extent.channels()]
}

/// Operations of the batch, and how multiply-accumulates or a pool's operations come about.
fn work(op: &Op, n: u64, xs: Extent, ys: Extent, cost: &Cost) -> (u64, String) {
    let times = if n == 1 { String::new() } else { format!(" · {n} images") };
    let at = |extent: Extent| {
        let [h, w] = extent.size();
        format!("{h}·{w} positions")
    };
    let conv = |conv: &Conv, positions: Extent| {
        let ([k_h, k_w], c, groups) = (conv.window.kernel, xs.channels(), conv.groups);
        let channels = if groups == 1 { format!("{c}") } else { format!("{c} / {groups}") };
        let filters = format!("{} filters · {channels} channels · {k_h}·{k_w} taps", conv.out);
        (cost.forward.macs.0.saturating_mul(2 * n), format!("{} · {filters}{times}", at(positions)))
    };
    match op {
        Op::Conv(c) => conv(c, ys),
        Op::ConvTranspose { conv: c, .. } => conv(c, xs),
        _ => {
            let covered = taper_cost::covered(op, xs.size(), ys.size());
            let factors = [covered[0], covered[1], xs.channels() as u64];
            let count = factors.iter().fold(n, |count, &factor| count.saturating_mul(factor));
            let [rows, cols] = covered;
            (
                count,
                format!("{rows}·{cols} elements of windows · {} channels{times}", xs.channels()),
            )
        }
    }
}

/// The kernel that would run, and why; if none, what the engine says.
fn kernel(graph: &Graph, op: &Op, input: [usize; 4], ys: Extent) -> (Option<String>, String) {
    let trained = vec![true; graph.params().len()];
    if let Err(refusal) = Trainer::<f32, _>::new(graph, "y", &trained, Reference) {
        return (None, refusal.to_string());
    }
    let [out_h, out_w] = ys.size();
    let (name, why) = match op {
        Op::Conv(conv) => match shape(conv, input) {
            Some(shape) => {
                let kernel = ForwardKernel::of(&shape, Isa::best(), 1, Input::Stored);
                (kernel.name(), kernel.reason(&shape))
            }
            None => return (None, "the batch is too large for this machine's addresses".to_owned()),
        },
        Op::ConvTranspose { .. } => (
            "transposed",
            "a transposed convolution is the backward pass of the convolution that goes back, and runs on its kernel".to_owned(),
        ),
        Op::GlobalPool { kind: PoolKind::Avg | PoolKind::AvgWithoutPadding, .. } => (
            "pool",
            "a mean over the whole map: positions are added one after the other, vectors run along the channels".to_owned(),
        ),
        Op::BlurPool { .. } => (
            "positions",
            "all channels have the same taps: a weighted sum of positions, vectors run along the channels".to_owned(),
        ),
        _ => (
            "pool",
            format!("{out_h}x{out_w} windows, each read where it lies; vectors run along the channels, whatever kernel, stride and dilation"),
        ),
    };
    let border = match op.window().map(|window| window.mode) {
        None | Some(PadMode::Zeros) => "",
        Some(_) if name == "positions" => "",
        Some(_) => "; before it, the map is copied with its padding",
    };
    (Some(name.to_owned()), format!("{why}{border}"))
}

/// What the kernel is given: padding that is not zeros is part of the map by then.
fn shape(conv: &Conv, [n, h, w, c]: [usize; 4]) -> Option<ConvShape> {
    let window = conv.window;
    let pads @ [top, left, bottom, right] = window.pads([h, w]);
    let (map, pads) = match window.mode {
        PadMode::Zeros => ([n, h, w, c], pads),
        _ => ([n, h + top + bottom, w + left + right, c], [0; 4]),
    };
    ConvShape::new(map, conv.out, window.kernel, window.stride, window.dilation, pads, conv.groups)
}

#[cfg(test)]
mod tests;
