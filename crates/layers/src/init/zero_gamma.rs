//! Zero gamma: residual branches that begin at 0, so that a block begins as its shortcut.
//!
//! Above: `init`. Below: `taper_graph::Graph`, `Network`. Not here: the initializers of a graph's blocks
//! (`taper_graph::blocks`), which do the same for ResNet and RepViT.
//! Source: Goyal et al. 2017, section 5.1, <https://arxiv.org/abs/1706.02677>; timm's and torchvision's `zero_init_last`.

use std::collections::BTreeSet;

use candle_core::Var;
use taper_graph::{Graph, NodeId, Op, ParamId};

use crate::Network;
use crate::error::{Result, at};

/// The scales (γ) of the last norms of all residual branches, in graph order.
///
/// Of the two sides of an addition, the branch is the one with more convolutions and linear layers since the sides parted; it
/// counts if it ends in a norm, dropout and layer scale aside. Sides with equally many are parallel branches: neither counts.
///
/// # Examples
/// ```
/// use taper_graph::blocks::{InvertedResidual, Style};
/// use taper_graph::{Activation, GraphBuilder};
/// # fn main() -> taper_graph::Result<()> {
/// let style = Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(16)?;
/// let block = InvertedResidual { expanded: 64, out: 16, kernel_size: 3, stride: 1 };
/// let input = b.input();
/// let xs = block.build(&mut b, "block", input, &style)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let names: Vec<&str> =
///     taper_layers::init::last_norms(&graph).iter().map(|id| graph.param(*id).name.as_str()).collect();
/// assert_eq!(names, ["block.bn3.weight"]);
/// # Ok(()) }
/// ```
#[must_use]
pub fn last_norms(graph: &Graph) -> Vec<ParamId> {
    let sums = graph.nodes().iter().filter(|node| matches!(node.op(), Op::Add));
    let scales: BTreeSet<ParamId> = sums
        .filter_map(|sum| match sum.inputs() {
            &[a, b] => last_norm(graph, branch(graph, a, b)?),
            _ => None,
        })
        .collect();
    scales.into_iter().collect()
}

/// Sets the scales of the last norms of all residual branches to 0, and returns their names.
///
/// # Errors
/// [`Error::Tensor`](crate::Error::Tensor) if candle refuses to write a variable.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use taper_graph::blocks::{InvertedResidual, Style};
/// use taper_graph::{Activation, Bias, GraphBuilder, PoolKind};
/// use taper_layers::{Network, init::zero_gamma};
/// use taper_model::{Model, Preprocess};
/// let style = Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
/// let mut b = GraphBuilder::new(3)?;
/// let block = InvertedResidual { expanded: 6, out: 3, kernel_size: 3, stride: 1 };
/// let input = b.input();
/// let xs = block.build(&mut b, "block", input, &style)?;
/// let xs = b.global_pool("pool", xs, PoolKind::Avg, true)?;
/// b.output("logits", xs)?;
/// let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
/// let network = Network::new(&Model::random(b.build()?, 0, Preprocess::imagenet(), classes)?, &Device::Cpu)?;
/// assert_eq!(zero_gamma(&network)?, ["block.bn3.weight"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn zero_gamma(network: &Network) -> Result<Vec<String>> {
    let (graph, params) = (network.graph(), network.params());
    let scales: BTreeSet<&str> =
        last_norms(graph).into_iter().map(|id| graph.param(id).name.as_str()).collect();
    zero_named(params.iter().map(|param| (&*param.name, &param.var)), |name| scales.contains(name))
}

/// Sets the variables whose name satisfies `is_last_norm` to 0, and returns their names: zero gamma for a model of candle's.
///
/// # Errors
/// [`Error::Tensor`](crate::Error::Tensor) if candle refuses to write a variable.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Var};
/// let vars = [("block.bn1.weight", Var::ones(4, DType::F32, &Device::Cpu)?),
///     ("block.bn2.weight", Var::ones(4, DType::F32, &Device::Cpu)?)];
/// let named = vars.iter().map(|(name, var)| (*name, var));
/// assert_eq!(taper_layers::init::zero_named(named, |name| name.ends_with("bn2.weight"))?, ["block.bn2.weight"]);
/// assert_eq!(vars[1].1.to_vec1::<f32>()?, [0.0; 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn zero_named<'a>(
    vars: impl IntoIterator<Item = (&'a str, &'a Var)>,
    is_last_norm: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, var) in vars.into_iter().filter(|(name, _)| is_last_norm(name)) {
        var.zeros_like().and_then(|zeros| var.set(&zeros)).map_err(at(name))?;
        names.push(name.to_owned());
    }
    Ok(names)
}

/// The side of a sum with more layers of its own.
fn branch(graph: &Graph, a: NodeId, b: NodeId) -> Option<NodeId> {
    let (before_a, before_b) = (before(graph, a), before(graph, b));
    let layers = |side: &BTreeSet<NodeId>, other: &BTreeSet<NodeId>| {
        let is_layer = |id: &&NodeId| {
            matches!(
                graph.node(**id).op(),
                Op::Conv(_) | Op::ConvTranspose { .. } | Op::Linear { .. }
            )
        };
        side.difference(other).filter(is_layer).count()
    };
    match layers(&before_a, &before_b).cmp(&layers(&before_b, &before_a)) {
        std::cmp::Ordering::Less => Some(b),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(a),
    }
}

/// A node and all that it depends on.
fn before(graph: &Graph, id: NodeId) -> BTreeSet<NodeId> {
    let mut seen = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(graph.node(id).inputs());
        }
    }
    seen
}

/// The scale of the norm that a branch ends in.
fn last_norm(graph: &Graph, mut id: NodeId) -> Option<ParamId> {
    loop {
        let node = graph.node(id);
        match node.op() {
            Op::BatchNorm { .. } | Op::GroupNorm { .. } | Op::LayerNorm { .. } => {
                return node.params().first().copied();
            }
            Op::Dropout { .. } | Op::DropPath { .. } | Op::ChannelScale => {
                id = *node.inputs().first()?;
            }
            _ => return None,
        }
    }
}
