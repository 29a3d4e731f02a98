//! A graph read as units: a convolution, the norm and the activation behind it are one.
//!
//! Above: `inference`, `training`, `taper-engine`. Below: `fused::lowering`, `taper-graph`. Not here: memory (`memory`), the order of a
//! backward pass (`training`).
//! A *value* is one stored tensor with what is still pending on it: a norm, an activation. A *unit* writes one value and reads
//! others. Only what the asked-for outputs depend on is read.

mod lowering;

use taper_graph::{
    Activation, Conv, Extent, Graph, NodeId, PadMode, ParamId, PoolKind, ResizeMode, Window,
};

use crate::Result;
pub(crate) use lowering::Lowering;

/// A batch norm pending on a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// The node of the norm.
    pub node: NodeId,
    /// Scale, shift, running mean, running variance.
    pub params: [ParamId; 4],
    /// How many batches it has seen, where that decides on the weight of the next.
    pub tracked: Option<ParamId>,
    /// Added to the variance, inside the root.
    pub eps: f64,
    /// Weight of the new statistic; `None`: the mean over all batches.
    pub momentum: Option<f64>,
}

/// A stored tensor, and what whoever reads it applies.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The last node of the unit: its extent is the tensor's.
    pub node: NodeId,
    /// The unit that writes it; a given value has none.
    pub writer: Option<usize>,
    /// The units that read it, in order.
    pub readers: Vec<usize>,
    /// A norm that readers apply.
    pub norm: Option<Norm>,
    /// What readers apply after the norm; never [`Activation::PRelu`], whose slope makes it a unit of its own.
    pub activation: Option<Activation>,
    /// The border around the node's map, where the tensor has one.
    pub border: Option<Window>,
}

/// What a unit does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum UnitOp {
    /// A convolution; so is a layer scale, a depthwise one of one tap.
    Conv {
        /// The convolution, without padding where a border was laid around its input.
        conv: Conv,
        /// Its weight.
        weight: ParamId,
        /// Its bias.
        bias: Option<ParamId>,
    },
    /// A linear layer.
    Linear {
        /// Size of the output.
        out: usize,
        /// Its weight.
        weight: ParamId,
        /// Its bias.
        bias: Option<ParamId>,
    },
    /// A transposed convolution.
    ConvTranspose {
        /// The convolution it undoes.
        conv: Conv,
        /// Its weight.
        weight: ParamId,
        /// Its bias.
        bias: Option<ParamId>,
    },
    /// A batch norm that follows no convolution of its own: what it normalizes is copied, and the norm is pending on the copy.
    BatchNorm,
    /// Sum of two values.
    Add,
    /// Product of two values, of which the second may be a gate.
    Mul,
    /// The mean over the whole map.
    GlobalMean,
    /// Maximum or mean over windows.
    Pool {
        /// What is taken of a window.
        kind: PoolKind,
        /// The window, without padding where a border was laid around its input.
        window: Window,
    },
    /// The norm `(Σ |x|ᵖ)^(1/p)` of windows.
    LpPool {
        /// The exponent.
        p: f64,
        /// As of a pool.
        window: Window,
    },
    /// Maximum or mean over a grid of windows that cover the map.
    AdaptivePool {
        /// What is taken of a window.
        kind: PoolKind,
    },
    /// What a window reads beyond the map, laid around it.
    Border {
        /// The window, with its padding.
        window: Window,
    },
    /// More rows and columns.
    Pad {
        /// How many on each side: top, left, bottom, right.
        sides: [usize; 4],
        /// What they hold.
        mode: PadMode,
    },
    /// Every element times one number.
    Scale {
        /// The number.
        factor: f64,
    },
    /// Anti-aliased subsampling.
    BlurPool {
        /// The window.
        window: Window,
    },
    /// Resampling to the size of the output.
    Resize {
        /// What positions follow from in the place of the two sizes.
        factor: Option<[f64; 2]>,
        /// How.
        mode: ResizeMode,
    },
    /// Channels of all inputs, one after the other.
    Concat,
    /// Channels `start .. start + len`.
    Slice {
        /// First channel.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Channel shuffle.
    Shuffle {
        /// Divides the channels.
        groups: usize,
    },
    /// Normalization over positions and groups of channels of one picture.
    GroupNorm {
        /// Divides the channels.
        groups: usize,
        /// Added to the variance, inside the root.
        eps: f64,
        /// Factors by channel.
        scale: ParamId,
        /// Terms by channel.
        shift: ParamId,
    },
    /// Normalization over the channels of one position.
    LayerNorm {
        /// Added to the variance, inside the root.
        eps: f64,
        /// Factors by channel.
        scale: ParamId,
        /// Terms by channel.
        shift: ParamId,
    },
    /// A leaky ReLU with a learned slope.
    PRelu {
        /// One a channel.
        slope: ParamId,
    },
    /// Queries, keys and values to their mixture.
    Attention {
        /// Heads of the queries.
        heads: usize,
        /// Heads of keys and values.
        kv_heads: usize,
        /// Factor of the scores.
        scale: f64,
    },
    /// Map to vector in PyTorch's order: channel by channel.
    Flatten,
    /// A copy, for an activation that cannot be left pending on what is there, or a reader that takes nothing pending.
    Copy,
    /// Elements zeroed in training; a copy in inference.
    Dropout {
        /// Probability of zeroing an element, more than 0.
        p: f64,
    },
    /// Whole pictures zeroed in training; a copy in inference.
    DropPath {
        /// Probability of zeroing a picture, more than 0.
        p: f64,
    },
}

impl UnitOp {
    /// Weight and bias, or what stands in their places.
    #[must_use]
    pub fn params(&self) -> [Option<ParamId>; 2] {
        match *self {
            Self::Conv { weight, bias, .. }
            | Self::Linear { weight, bias, .. }
            | Self::ConvTranspose { weight, bias, .. } => [Some(weight), bias],
            Self::GroupNorm { scale, shift, .. } | Self::LayerNorm { scale, shift, .. } => {
                [Some(scale), Some(shift)]
            }
            Self::PRelu { slope } => [Some(slope), None],
            Self::BatchNorm
            | Self::Add
            | Self::Mul
            | Self::GlobalMean
            | Self::Pool { .. }
            | Self::LpPool { .. }
            | Self::AdaptivePool { .. }
            | Self::Border { .. }
            | Self::Pad { .. }
            | Self::Scale { .. }
            | Self::BlurPool { .. }
            | Self::Resize { .. }
            | Self::Concat
            | Self::Slice { .. }
            | Self::Shuffle { .. }
            | Self::Attention { .. }
            | Self::Flatten
            | Self::Copy
            | Self::Dropout { .. }
            | Self::DropPath { .. } => [None, None],
        }
    }

    /// Whether its output gets its norm and activation while it is written: a convolution, a linear layer, a norm.
    #[must_use]
    pub fn is_conv(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Linear { .. } | Self::BatchNorm)
    }

    /// Whether it drops something in training.
    #[must_use]
    pub fn drops(&self) -> bool {
        matches!(self, Self::Dropout { .. } | Self::DropPath { .. })
    }
}

/// Nodes that run as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// The first of the nodes, whose operation this is.
    pub node: NodeId,
    /// What it does.
    pub op: UnitOp,
    /// Values that it reads.
    pub inputs: Vec<usize>,
    /// The value that it writes.
    pub output: usize,
}

/// All units that some outputs depend on, in an order in which they can run.
#[derive(Clone, Debug, PartialEq)]
pub struct FusedGraph {
    /// In the order they run.
    pub units: Vec<Unit>,
    /// The first ones are given: value 0, the image, or what a [`FusedGraph::above`] starts from.
    pub values: Vec<Value>,
    /// How many values are given.
    pub given: usize,
    /// Values, in the order they were asked for; at least one.
    pub outputs: Vec<usize>,
    /// The given value whose gradient is asked for, if any.
    pub watched: Option<usize>,
}

impl FusedGraph {
    /// All that some nodes of a graph depend on, and the nodes as outputs.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error::Internal) for a node without what its operation needs.
    pub fn new(graph: &Graph, outputs: &[NodeId]) -> Result<Self> {
        let mut lowering = Lowering::new(graph, outputs);
        for id in graph.node_ids() {
            if lowering.wanted[id.index()] {
                lowering.lower(id)?;
            }
        }
        let outputs = outputs.iter().map(|&output| lowering.value_of(output));
        let outputs = outputs.collect::<Result<_>>()?;
        let Lowering { units, values, .. } = lowering;
        Ok(Self { units, values, given: 1, outputs, watched: None })
    }

    /// The extents of all values for an image of `h` rows and `w` columns.
    ///
    /// # Errors
    /// If the graph does not take such an image.
    pub fn extents(&self, graph: &Graph, [h, w]: [usize; 2]) -> Result<Vec<Extent>> {
        let nodes = graph.extents(h, w)?;
        let extent = |value: &Value| match (nodes[value.node.index()], &value.border) {
            (Extent::Map { h, w, c }, Some(window)) => {
                let [top, left, bottom, right] = window.pads([h, w]);
                Extent::Map { h: h + top + bottom, w: w + left + right, c }
            }
            (extent @ Extent::Map { .. }, None) | (extent @ Extent::Vector { .. }, _) => extent,
        };
        Ok(self.values.iter().map(extent).collect())
    }

    /// The shapes of the outputs for `n` images: `(n, c)` of vectors, `(n, h, w, c)` of maps.
    ///
    /// # Errors
    /// If the graph does not take such an image.
    pub fn output_shapes(&self, graph: &Graph, [n, h, w]: [usize; 3]) -> Result<Vec<Vec<usize>>> {
        let extents = self.extents(graph, [h, w])?;
        let shape = |&v: &usize| match extents[v] {
            Extent::Map { h, w, c } => vec![n, h, w, c],
            Extent::Vector { c } => vec![n, c],
        };
        Ok(self.outputs.iter().map(shape).collect())
    }

    /// The parameters and buffers that the units read.
    pub fn params(&self) -> impl Iterator<Item = ParamId> + '_ {
        let weights = self.units.iter().flat_map(|unit| unit.op.params());
        let norms = self.values.iter().filter_map(|value| value.norm);
        weights.flatten().chain(norms.flat_map(|norm| norm.params))
    }

    /// The graph without the units that `is_fixed` says give the same for the same image in every step, given what they write; and
    /// which nodes that is. A unit is only left out if all its inputs are given.
    #[must_use]
    pub fn above(self, is_fixed: impl Fn(&Unit) -> bool) -> (Self, Vec<NodeId>) {
        let mut is_known: Vec<bool> = (0..self.values.len()).map(|v| v < self.given).collect();
        let (mut left, mut wanted) = (Vec::new(), vec![false; self.values.len()]);
        self.outputs.iter().for_each(|&v| wanted[v] = true);
        for unit in self.units {
            // A border is no node's: who needs it given computes it anew.
            let is_border = matches!(unit.op, UnitOp::Border { .. });
            if is_fixed(&unit) && !is_border && unit.inputs.iter().all(|&v| is_known[v]) {
                is_known[unit.output] = true;
            } else {
                unit.inputs.iter().for_each(|&v| wanted[v] = true);
                left.push(unit);
            }
        }
        let (given, rest): (Vec<usize>, Vec<usize>) =
            (0..wanted.len()).filter(|&v| wanted[v] || !is_known[v]).partition(|&v| is_known[v]);
        let mut place = vec![0; wanted.len()];
        for (new, &old) in given.iter().chain(&rest).enumerate() {
            place[old] = new;
        }
        let nodes = given.iter().map(|&v| self.values[v].node).collect();
        let mut slots: Vec<Option<Value>> = self.values.into_iter().map(Some).collect();
        let moved = given.iter().chain(&rest).filter_map(|&v| slots[v].take());
        let bare = |value: Value| Value { writer: None, norm: None, activation: None, ..value };
        let values = moved
            .enumerate()
            .map(|(new, value)| if new < given.len() { bare(value) } else { value });
        let mut above = Self {
            values: values.map(|value| Value { readers: Vec::new(), ..value }).collect(),
            given: given.len(),
            outputs: self.outputs.iter().map(|&v| place[v]).collect(),
            units: left,
            watched: None,
        };
        for (u, unit) in above.units.iter_mut().enumerate() {
            unit.output = place[unit.output];
            above.values[unit.output].writer = Some(u);
            for v in &mut unit.inputs {
                *v = place[*v];
                above.values[*v].readers.push(u);
            }
        }
        (above, nodes)
    }
}
