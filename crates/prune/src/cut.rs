//! A network without units: the smaller graph, and its weights.
//!
//! Above: budgets, recovery, `taper-recipes`. Below: `groups`, `Graph::map_ops`. Not here: which units go; units made zero (`mask`); whole
//! blocks (`depth`).
//! Operations lose channels, heads and groups; names, order and element types of parameters stay, so a cut model is a model like any other.

#[cfg(test)]
pub(crate) mod networks;
#[cfg(test)]
mod properties;

use taper_graph::{Conv, Graph, NodeId, Op, ParamId};
use taper_model::{Model, ModelParts, Tensor};

use crate::{Error, Groups, Result, UnitId};

/// Units to be removed, checked: none of them is protected, and something is left of every group.
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_prune::{Cut, Groups, Protect};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("first", b.input(), Conv::dense(4, 3, 1), Bias::With)?;
/// let xs = b.conv("last", xs, Conv::pointwise(2), Bias::With)?;
/// b.output("features", xs)?;
/// let groups = Groups::of(&b.build()?, &Protect::default())?;
/// let first = &groups.groups()[1];
/// assert_eq!(Cut::of(&groups, first.unit_ids().take(3))?.n_removed(), 3);
/// let error = Cut::of(&groups, first.unit_ids()).unwrap_err();
/// assert!(error.to_string().starts_with("all 4 units of the group of `first` would be removed"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    removed: Vec<bool>,
}

impl Cut {
    /// These units, in any order.
    ///
    /// # Errors
    /// [`Error::UnknownUnit`], [`Error::Protected`], [`Error::Emptied`].
    pub fn of(groups: &Groups, units: impl IntoIterator<Item = UnitId>) -> Result<Self> {
        let known = groups.n_units();
        let mut removed = vec![false; known];
        for unit in units {
            let removed = removed.get_mut(unit.index());
            *removed.ok_or(Error::UnknownUnit { unit, known })? = true;
        }
        let cut = Self { removed };
        cut.check(groups)?;
        Ok(cut)
    }

    /// Nothing.
    #[must_use]
    pub fn nothing(groups: &Groups) -> Self {
        Self { removed: vec![false; groups.n_units()] }
    }

    /// Whether a unit goes.
    #[must_use]
    pub fn removes(&self, unit: UnitId) -> bool {
        self.removed.get(unit.index()).copied().unwrap_or(false)
    }

    /// How many units go.
    #[must_use]
    pub fn n_removed(&self) -> usize {
        self.removed.iter().filter(|removed| **removed).count()
    }

    /// Whether it may be made of these groups.
    pub(crate) fn check(&self, groups: &Groups) -> Result<()> {
        if self.removed.len() != groups.n_units() {
            return Err(Error::OtherGraph);
        }
        for group in groups.groups() {
            let node = || groups.label(group).to_owned();
            let removed = self.removed[group.units.clone()].iter().filter(|removed| **removed);
            match (removed.count(), &group.protected) {
                (0, _) => {}
                (_, Some(reason)) => {
                    let reason = Box::new(reason.clone());
                    return Err(Error::Protected { node: node(), reason });
                }
                (count, None) if count == group.n_units() => {
                    return Err(Error::Emptied { node: node(), units: count });
                }
                (_, None) => {}
            }
        }
        Ok(())
    }

    fn kept(&self, units: &[UnitId]) -> usize {
        units.iter().filter(|unit| !self.removes(**unit)).count()
    }
}

/// The graph without these units. Its nodes and parameters are those of the graph, in the same order.
///
/// # Errors
/// [`Error::OtherGraph`] if groups or cut are of another graph; otherwise as [`Cut::of`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_prune::{Cut, Groups, Protect, cut_graph};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("first", b.input(), Conv::dense(4, 3, 1), Bias::With)?;
/// let xs = b.conv("last", xs, Conv::pointwise(2), Bias::With)?;
/// b.output("features", xs)?;
/// let graph = b.build()?;
/// let groups = Groups::of(&graph, &Protect::default())?;
/// let half = Cut::of(&groups, groups.groups()[1].unit_ids().step_by(2))?;
/// assert_eq!(cut_graph(&graph, &groups, &half)?.params()[0].shape, [2, 3, 3, 3]);
/// # Ok(()) }
/// ```
pub fn cut_graph(graph: &Graph, groups: &Groups, cut: &Cut) -> Result<Graph> {
    if graph != groups.graph() {
        return Err(Error::OtherGraph);
    }
    cut.check(groups)?;
    let mut nodes = graph.node_ids();
    let smaller = graph.map_ops(|node| match nodes.next() {
        Some(id) => Smaller { groups, cut, id, inputs: node.inputs() }.op(node.op()),
        None => node.op().clone(),
    });
    Ok(smaller?)
}

/// The model without these units: smaller graph and weights; classes and preprocessing stay, the provenance says what was done.
///
/// # Errors
/// As [`cut_graph`].
///
/// # Examples
/// ```
/// use taper_graph::{Bias, Conv, GraphBuilder};
/// use taper_model::{Model, Preprocess};
/// use taper_prune::{Cut, Groups, Protect, cut};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut b = GraphBuilder::new(3)?;
/// let xs = b.conv("first", b.input(), Conv::dense(4, 3, 1), Bias::With)?;
/// let xs = b.conv("last", xs, Conv::pointwise(2), Bias::With)?;
/// b.output("features", xs)?;
/// let model = Model::random(b.build()?, 0, Preprocess::imagenet(), Vec::new())?;
/// let groups = Groups::of(model.graph(), &Protect::default())?;
/// let half = Cut::of(&groups, groups.groups()[1].unit_ids().step_by(2))?;
/// let smaller = cut(&model, &groups, &half)?;
/// // The filters that stay are the second and the fourth.
/// assert_eq!(smaller.tensors()[0].data[..27], model.tensors()[0].data[27..54]);
/// assert_eq!(smaller.provenance().training.as_deref(), Some("pruned from 122 to 62 parameters"));
/// # Ok(()) }
/// ```
pub fn cut(model: &Model, groups: &Groups, cut: &Cut) -> Result<Model> {
    let graph = cut_graph(model.graph(), groups, cut)?;
    let tensors = model.graph().param_ids().zip(model.tensors());
    let tensors = tensors.map(|(param, tensor)| without(groups, cut, param, tensor)).collect();
    let [before, after] = [model.graph(), &graph].map(|graph| taper_cost::params(graph).0);
    let done = format!("pruned from {before} to {after} parameters");
    let ModelParts { preprocess, classes, provenance, .. } = model.clone().into_parts();
    let smaller = Model::new(graph, tensors, preprocess, classes, provenance.and(done))?;
    Ok(smaller.with_task(model.task()))
}

/// A tensor without the indices of removed units.
fn without(groups: &Groups, cut: &Cut, param: ParamId, tensor: &Tensor) -> Tensor {
    let mut tensor = tensor.clone();
    for axis in 0..tensor.shape.len() {
        let Some(units) = groups.of_axis(param, axis) else { continue };
        if cut.kept(units) == units.len() {
            continue;
        }
        let inner: usize = tensor.shape[axis + 1..].iter().product();
        let rows = tensor.data.chunks_exact(inner.max(1)).zip(units.iter().cycle());
        let stay = rows.filter(|(_, unit)| !cut.removes(**unit));
        tensor.data = stay.flat_map(|(row, _)| row).copied().collect();
        tensor.shape[axis] = cut.kept(units);
    }
    tensor
}

/// A node that becomes smaller.
struct Smaller<'a> {
    groups: &'a Groups,
    cut: &'a Cut,
    id: NodeId,
    inputs: &'a [NodeId],
}

impl Smaller<'_> {
    fn outputs(&self) -> usize {
        self.cut.kept(self.groups.of_node(self.id))
    }

    fn input(&self, input: usize) -> &[UnitId] {
        self.inputs.get(input).map_or(&[], |id| self.groups.of_node(*id))
    }

    /// Of `parts` equal parts of an input's channels, those of which something is left: they go whole.
    fn parts(&self, input: usize, parts: usize) -> usize {
        let units = self.input(input);
        let each = (units.len() / parts).max(1);
        self.cut.kept(units) / each
    }

    fn conv(&self, conv: &Conv) -> Conv {
        let groups = if conv.groups == 1 { 1 } else { self.parts(0, conv.groups) };
        Conv { out: self.outputs(), groups, ..*conv }
    }

    fn op(&self, op: &Op) -> Op {
        match op {
            Op::Conv(conv) => Op::Conv(self.conv(conv)),
            Op::ConvTranspose { conv, output_padding } => {
                let (conv, output_padding) = (self.conv(conv), *output_padding);
                Op::ConvTranspose { conv, output_padding }
            }
            Op::Linear { .. } => Op::Linear { out: self.outputs() },
            Op::Slice { start, .. } => {
                let before = self.input(0).get(..*start).unwrap_or_default();
                Op::Slice { start: self.cut.kept(before), len: self.outputs() }
            }
            Op::Attention { heads, kv_heads, scale } => {
                let kv_heads = if *kv_heads == 1 { 1 } else { self.parts(1, *kv_heads) };
                Op::Attention { heads: self.parts(0, *heads), kv_heads, scale: *scale }
            }
            // Groups of a shuffle keep their number and lose channels; those of a norm are protected.
            Op::Shuffle { .. } | Op::GroupNorm { .. } => op.clone(),
            Op::Input { .. }
            | Op::BatchNorm { .. }
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
            | Op::Flatten
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Dropout { .. }
            | Op::DropPath { .. } => op.clone(),
        }
    }
}
