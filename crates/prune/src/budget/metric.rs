//! What can be counted for a target, and as which sums of products of widths.
//!
//! Above: `budget`. Below: `terms`, `taper-graph`. Not here: memory and time, which are no such sums (`truth`).
//! Agrees with `taper_cost` on the cut graph to the last unit (`budget::tests`).

use std::collections::BTreeSet;
use std::fmt;

use taper_graph::{Extent, NodeId, Op, ParamRole};
use taper_model::{Model, Precision};

use super::terms::{Axes, Terms};
use super::{Amount, Problem, Target};
use crate::{Error, Result};

/// What a target counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Multiply-accumulates of one image.
    Macs,
    /// Trained parameters.
    Params,
    /// Bytes of the model file.
    Size(FileSize),
    /// Bytes of activations that a session keeps for one image on one thread.
    Memory,
    /// Seconds, by the price that is passed in.
    Latency,
}

/// How parameters become the bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSize {
    /// Of the weights of convolutions and linear layers; all else is `f32`.
    pub precision: Precision,
    /// Bytes beside parameters: the description of the graph, names, classes. They are taken to stay as they are; shorter numbers save some
    /// dozens.
    pub overhead: u64,
}

impl FileSize {
    /// As a model's file has it now.
    ///
    /// # Errors
    /// As [`Model::to_bytes`].
    ///
    /// # Examples
    /// ```
    /// # use taper_graph::{Bias, GraphBuilder, PoolKind};
    /// # use taper_model::{Model, Precision, Preprocess};
    /// use taper_prune::FileSize;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut b = GraphBuilder::new(3)?;
    /// # let xs = b.global_pool("pool", b.input(), PoolKind::Avg, true)?;
    /// # let xs = b.linear("classifier", xs, 2, Bias::With)?;
    /// # b.output("logits", xs)?;
    /// # let model = Model::random(b.build()?, 0, Preprocess::imagenet(), vec![])?;
    /// let size = FileSize::of(&model, Precision::F32)?;
    /// assert_eq!(model.to_bytes(Precision::F32)?.len() as u64, size.overhead + 4 * (2 * 3 + 2));
    /// # Ok(()) }
    /// ```
    pub fn of(model: &Model, precision: Precision) -> Result<Self> {
        let file = model.to_bytes(precision)?.len() as u64;
        let params = model.graph().params().iter();
        let data: u64 = params.map(|spec| bytes(spec.role, precision) * spec.len() as u64).sum();
        Ok(Self { precision, overhead: file.saturating_sub(data) })
    }
}

fn bytes(role: ParamRole, precision: Precision) -> u64 {
    if role == ParamRole::Weight && precision == Precision::F16 { 2 } else { 4 }
}

impl Metric {
    /// A value with its unit.
    #[must_use]
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::Macs | Self::Params => Amount::Absolute(value.round()).to_string(),
            Self::Size(_) | Self::Memory => format!("{}B", Amount::Absolute(value.round())),
            Self::Latency => format!("{:.3} ms", 1e3 * value),
        }
    }

    /// As a sum of products of widths; `None` for what is none.
    pub(super) fn terms(self, problem: &Problem<'_>) -> Result<Option<Terms>> {
        match self {
            Self::Macs => Ok(Some(macs(problem)?)),
            Self::Params => {
                let weight = |role: ParamRole| if role.is_trained() { 1.0 } else { 0.0 };
                Ok(Some(params(problem, weight, 0.0)))
            }
            Self::Size(FileSize { precision, overhead }) => {
                let weight = |role| bytes(role, precision) as f64;
                Ok(Some(params(problem, weight, overhead as f64)))
            }
            Self::Memory | Self::Latency => Ok(None),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Macs => "multiply-accumulates",
            Self::Params => "parameters",
            Self::Size(_) => "size of the file",
            Self::Memory => "memory of activations",
            Self::Latency => "latency",
        })
    }
}

fn params(problem: &Problem<'_>, weight: impl Fn(ParamRole) -> f64, constant: f64) -> Terms {
    let (groups, graph) = (problem.groups, problem.groups.graph());
    let (axes, mut terms) = (Axes::of(groups), Terms::new(groups));
    for id in graph.param_ids() {
        let spec = graph.param(id);
        terms.push_param(&axes, spec, id, weight(spec.role));
    }
    terms.push_constant(constant);
    terms
}

/// Every element of a convolution's weight is one multiply-accumulate at each position.
pub(super) fn macs(problem: &Problem<'_>) -> Result<Terms> {
    let (groups, graph) = (problem.groups, problem.groups.graph());
    let [h, w] = problem.size;
    let extents = graph.extents(h, w)?;
    let positions = |id: NodeId| -> f64 {
        let extent: &Extent = &extents[id.index()];
        extent.size().iter().product::<usize>() as f64
    };
    let (axes, mut terms) = (Axes::of(groups), Terms::new(groups));
    for id in graph.node_ids() {
        let node = graph.node(id);
        let weight = match node.op() {
            Op::Conv(_) => positions(id),
            Op::ConvTranspose { .. } => positions(node.inputs()[0]),
            Op::Linear { .. } => 1.0,
            Op::Attention { .. } => {
                let (q, k) = (node.inputs()[0], node.inputs()[1]);
                let products = positions(q) * positions(k);
                terms.push_node(groups, q, products);
                terms.push_node(groups, id, products);
                continue;
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
            | Op::DropPath { .. } => continue,
        };
        if let Some(param) = node.params().first() {
            terms.push_param(&axes, graph.param(*param), *param, weight);
        }
    }
    Ok(terms)
}

/// Targets that say something, and each another thing: what can be refused before there is a network.
///
/// # Errors
/// [`Error::Targets`].
///
/// # Examples
/// ```
/// use taper_prune::{Amount, Metric, Target, check_targets};
/// let target = |share| Target { metric: Metric::Macs, amount: Amount::Share(share) };
/// assert!(check_targets(&[target(0.5)]).is_ok());
/// assert!(check_targets(&[target(1.5)]).is_err());
/// assert!(check_targets(&[target(0.5), target(0.4)]).is_err());
/// ```
pub fn check_targets(targets: &[Target]) -> Result<()> {
    let wrong = |what: String| Err(Error::Targets { what });
    if targets.is_empty() {
        return wrong(
            "no target is given; name one, such as half of the multiply-accumulates".to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for Target { metric, amount } in targets {
        if !seen.insert(metric.to_string()) {
            return wrong(format!("two targets for the {metric} contradict one another; give one"));
        }
        let (value, usable) = match *amount {
            Amount::Share(share) => (share, share > 0.0 && share < 1.0),
            Amount::Absolute(amount) => (amount, amount > 0.0 && amount.is_finite()),
        };
        if !usable {
            let expected = "a share is above 0 and below 1, a number above 0";
            return wrong(format!("the target for the {metric} is {value}; {expected}"));
        }
    }
    Ok(())
}
