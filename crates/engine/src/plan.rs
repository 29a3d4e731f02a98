//! A graph read as units: a convolution, the norm and the activation behind it are one.
//!
//! Above: `session`, `train`. Below: `graph`. Not here: memory (`arena`), the order of a backward pass (`train`).
//! A *value* is one stored tensor with what is still pending on it: a norm, an activation. A *unit* writes one value and reads
//! others. Only what the asked-for output depends on is read.

mod form;
mod reading;

use taper_graph::{Conv, Extent, Graph, NodeId, ParamId, Window};
use taper_kernels::Activation;

use crate::Result;
pub(crate) use form::{Form, forms};
use reading::Planner;

/// A batch norm pending on a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) node: NodeId,
    /// Scale, shift, running mean, running variance.
    pub(crate) params: [ParamId; 4],
    /// How many batches it has seen, where that decides on the weight of the next.
    pub(crate) tracked: Option<ParamId>,
    pub(crate) eps: f64,
    /// `None`: the mean over all batches.
    pub(crate) momentum: Option<f64>,
}

/// A stored tensor, and what whoever reads it applies.
#[derive(Debug)]
pub(crate) struct Value {
    /// The last node of the unit: its extent is the tensor's.
    pub(crate) node: NodeId,
    /// The unit that writes it; the image has none.
    pub(crate) writer: Option<usize>,
    /// The units that read it, in order.
    pub(crate) readers: Vec<usize>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Activation,
    /// The border around the node's map, where the tensor has one.
    pub(crate) border: Option<Window>,
}

/// What a unit does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    Conv {
        conv: Conv,
        weight: ParamId,
        bias: Option<ParamId>,
    },
    Linear {
        out: usize,
        weight: ParamId,
        bias: Option<ParamId>,
    },
    /// The node says which.
    ConvTranspose {
        weight: ParamId,
        bias: Option<ParamId>,
    },
    /// A batch norm that follows no convolution of its own: a depthwise one of one tap, whose weights are ones.
    Norm,
    Add,
    /// The second input is the gate.
    Mul,
    /// The mean over the whole map.
    Pool,
    /// Any other pooling.
    Windows,
    /// What a window reads beyond the map, laid around it.
    Border {
        window: Window,
    },
    /// Any other weighted sum of positions: padding, resizing, blurring, scaling.
    Spatial,
    /// Concatenation, slices, shuffles.
    Channels,
    /// Group norm and layer norm.
    GroupNorm {
        eps: f64,
        scale: ParamId,
        shift: ParamId,
    },
    Prelu {
        slope: ParamId,
    },
    Attention,
    /// PyTorch's order: channel by channel.
    Flatten,
    /// With `p` 0 a copy, for an activation that cannot be left pending on what is there.
    Dropout {
        p: f64,
    },
    /// As `Dropout`, a whole picture at once.
    DropPath {
        p: f64,
    },
}

impl Work {
    /// Weight and bias, or what stands in their places.
    pub(crate) fn params(&self) -> [Option<ParamId>; 2] {
        match *self {
            Self::Conv { weight, bias, .. }
            | Self::Linear { weight, bias, .. }
            | Self::ConvTranspose { weight, bias } => [Some(weight), bias],
            Self::GroupNorm { scale, shift, .. } => [Some(scale), Some(shift)],
            Self::Prelu { slope } => [Some(slope), None],
            _ => [None, None],
        }
    }

    /// Whether a convolution's kernel runs it.
    pub(crate) fn is_conv(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Linear { .. } | Self::Norm)
    }
}

#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) node: NodeId,
    pub(crate) work: Work,
    /// Values.
    pub(crate) inputs: Vec<usize>,
    /// A value.
    pub(crate) output: usize,
}

/// All units an output depends on, in an order in which they can run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) units: Vec<Unit>,
    /// The first ones are given: value 0, the image, or what a [`Plan::above`] starts from.
    pub(crate) values: Vec<Value>,
    /// How many values are given.
    pub(crate) given: usize,
    /// Values, in the order they were asked for; at least one.
    pub(crate) outputs: Vec<usize>,
    /// The given value whose gradient is asked for, if any ([`crate::Trainer::watching`]).
    pub(crate) watched: Option<usize>,
}

impl Plan {
    /// All that some nodes of a graph depend on, and the nodes as outputs.
    pub(crate) fn of_nodes(graph: &Graph, outputs: &[NodeId]) -> Result<Self> {
        let mut planner = Planner::new(graph, outputs);
        for id in graph.node_ids() {
            if planner.wanted[id.index()] {
                planner.read(id)?;
            }
        }
        let outputs = outputs.iter().map(|&output| planner.value_of(output)).collect();
        let Planner { units, values, .. } = planner;
        Ok(Self { units, values, given: 1, outputs, watched: None })
    }

    /// The extents of all values for an image of `h` rows and `w` columns.
    pub(crate) fn extents(&self, graph: &Graph, [h, w]: [usize; 2]) -> Result<Vec<Extent>> {
        let nodes = graph.extents(h, w)?;
        let extent = |value: &Value| match (nodes[value.node.index()], &value.border) {
            (Extent::Map { h, w, c }, Some(window)) => {
                let [top, left, bottom, right] = window.pads([h, w]);
                Extent::Map { h: h + top + bottom, w: w + left + right, c }
            }
            (extent, _) => extent,
        };
        Ok(self.values.iter().map(extent).collect())
    }

    /// The shapes of the outputs for `n` images: `(n, c)` of vectors, `(n, h, w, c)` of maps.
    pub(crate) fn output_shapes(
        &self,
        graph: &Graph,
        [n, h, w]: [usize; 3],
    ) -> Result<Vec<Vec<usize>>> {
        let extents = self.extents(graph, [h, w])?;
        let shape = |&v: &usize| match extents[v] {
            Extent::Map { h, w, c } => vec![n, h, w, c],
            Extent::Vector { c } => vec![n, c],
        };
        Ok(self.outputs.iter().map(shape).collect())
    }

    /// The plan without the units that `is_fixed` says give the same for the same image in every step, given what they write; and
    /// which nodes that is. A unit is only left out if all its inputs are given.
    pub(crate) fn above(self, is_fixed: impl Fn(&Unit) -> bool) -> (Self, Vec<NodeId>) {
        let mut is_known: Vec<bool> = (0..self.values.len()).map(|v| v < self.given).collect();
        let (mut left, mut wanted) = (Vec::new(), vec![false; self.values.len()]);
        self.outputs.iter().for_each(|&v| wanted[v] = true);
        for unit in self.units {
            // A border is no node's: who needs it given computes it anew.
            let is_border = matches!(unit.work, Work::Border { .. });
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
        let bare = |value: Value| Value {
            writer: None,
            norm: None,
            activation: Activation::Identity,
            ..value
        };
        let values = moved
            .enumerate()
            .map(|(new, value)| if new < given.len() { bare(value) } else { value });
        let mut plan = Self {
            values: values.map(|value| Value { readers: Vec::new(), ..value }).collect(),
            given: given.len(),
            outputs: self.outputs.iter().map(|&v| place[v]).collect(),
            units: left,
            watched: None,
        };
        for (u, unit) in plan.units.iter_mut().enumerate() {
            unit.output = place[unit.output];
            plan.values[unit.output].writer = Some(u);
            for v in &mut unit.inputs {
                *v = place[*v];
                plan.values[*v].readers.push(u);
            }
        }
        (plan, nodes)
    }
}
