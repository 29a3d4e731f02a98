//! Scores of parameters summed along an axis, and from them those of units.
//!
//! Above: `criterion`. Below: `evidence`, `taper-model`'s tensors. Not here: distances of filters (`median`).
//! Sums are in `f64`, in the order of the elements.

use std::collections::BTreeMap;

use taper_graph::{AxisRole, NodeId, ParamId, ParamRole};
use taper_model::Model;

use super::{Criterion, Evidence};
use crate::{Error, Group, Groups, Member, Result, UnitId};

/// Sums by parameter and axis, each made once.
pub(super) struct AxisSums<'a> {
    model: &'a Model,
    criterion: Criterion,
    evidence: &'a Evidence<'a>,
    done: BTreeMap<(ParamId, usize), Vec<f64>>,
}

impl<'a> AxisSums<'a> {
    pub(super) fn new(model: &'a Model, criterion: Criterion, evidence: &'a Evidence<'a>) -> Self {
        Self { model, criterion, evidence, done: BTreeMap::new() }
    }

    /// A member's score of each of `n` units.
    pub(super) fn of_units(&mut self, member: &Member, n: usize) -> Result<Vec<f64>> {
        let sums = self.of_axis(member.param, member.axis)?;
        Ok((0..n).map(|unit| of_unit(member, unit).map(|at| sums[at]).sum()).collect())
    }

    /// For every index of an axis, the sum of its elements' scores.
    fn of_axis(&mut self, param: ParamId, axis: usize) -> Result<&[f64]> {
        if !self.done.contains_key(&(param, axis)) {
            let sums = self.sum(param, axis)?;
            self.done.insert((param, axis), sums);
        }
        Ok(self.done.get(&(param, axis)).map_or(&[], Vec::as_slice))
    }

    fn sum(&self, param: ParamId, axis: usize) -> Result<Vec<f64>> {
        let spec = self.model.graph().param(param);
        let weights = finite(self.model, param)?;
        let data = match self.criterion {
            Criterion::Taylor | Criterion::TaylorJoint => self.evidence.gradient(param),
            Criterion::Fisher => self.evidence.squared_gradient(param),
            _ => weights,
        };
        if data.len() != weights.len() {
            let (criterion, name) = (self.criterion.to_string(), spec.name.clone());
            return Err(Error::NoGradient { criterion, name });
        }
        let score = |w: f32, d: f32| {
            let (w, d) = (f64::from(w), f64::from(d));
            match self.criterion {
                Criterion::L1 | Criterion::BatchNormScale => w.abs(),
                Criterion::Taylor => (w * d).abs(),
                Criterion::TaylorJoint => w * d,
                Criterion::Fisher => w * w * d,
                _ => w * w,
            }
        };
        let inner: usize = spec.shape[axis + 1..].iter().product();
        let mut sums = vec![0.0; spec.shape[axis]];
        let rows = weights.chunks_exact(inner).zip(data.chunks_exact(inner)).enumerate();
        for (row, (weights, data)) in rows {
            let sum = weights.iter().zip(data).map(|(&w, &d)| score(w, d)).sum::<f64>();
            sums[row % spec.shape[axis]] += sum;
        }
        Ok(sums)
    }

    /// Squared first-order changes: of each norm with its shift, or where there is none, of each filter with its bias.
    pub(super) fn joint(&mut self, group: &Group) -> Result<Vec<Vec<f64>>> {
        let role = |model: &Model, member: &Member| model.graph().param(member.param).role;
        let is_norm = |it: &Member| role(self.model, it) == ParamRole::NormScale;
        let (scale, shift) = if group.members.iter().any(is_norm) {
            (ParamRole::NormScale, ParamRole::NormShift)
        } else {
            (ParamRole::Weight, ParamRole::Bias)
        };
        let n = group.units.len();
        let mut scores = Vec::new();
        for member in group.members.iter().filter(|it| !matches!(it.role, AxisRole::In { .. })) {
            if role(self.model, member) != scale {
                continue;
            }
            let mut changes = self.of_units(member, n)?;
            for partner in group.members.iter().filter(|it| {
                role(self.model, it) == shift && is_sibling(self.model, member.param, it.param)
            }) {
                let with = self.of_units(partner, n)?;
                changes.iter_mut().zip(with).for_each(|(change, more)| *change += more);
            }
            scores.push(changes.into_iter().map(|change| change * change).collect());
        }
        Ok(scores)
    }

    /// Mean absolute activations where the channels are read, each such place one member; everywhere, if nothing with weights reads them.
    pub(super) fn activations(&self, groups: &Groups, group: &Group) -> Result<Vec<Vec<f64>>> {
        let graph = self.model.graph();
        let reads = |node: &NodeId| {
            group.members.iter().any(|member| {
                let AxisRole::In { input, .. } = member.role else { return false };
                let readers = graph.nodes().iter();
                let mut readers = readers.filter(|it| it.params().contains(&member.param));
                readers.any(|reader| reader.inputs().get(usize::from(input)) == Some(node))
            })
        };
        let watched = |node: &&NodeId| !self.evidence.activation(**node).is_empty();
        let read: Vec<NodeId> = group.nodes.iter().copied().filter(reads).collect();
        let nodes = if read.is_empty() { &group.nodes } else { &read };
        let nodes: Vec<NodeId> = nodes.iter().filter(watched).copied().collect();
        if nodes.is_empty() {
            let name = group.nodes.first().map(|node| graph.node(*node).name().to_owned());
            return Err(Error::NotWatched { name: name.unwrap_or_default() });
        }
        let of_node = |node: NodeId| {
            let mut sums = vec![0.0; group.units.len()];
            for (&UnitId(unit), &mean) in
                groups.of_node(node).iter().zip(self.evidence.activation(node))
            {
                let at = (unit as usize).checked_sub(group.units.start);
                if let Some(sum) = at.and_then(|at| sums.get_mut(at)) {
                    *sum += f64::from(mean).abs();
                }
            }
            sums
        };
        Ok(nodes.into_iter().map(of_node).collect())
    }
}

/// The indices that a unit has of a member's axis.
pub(super) fn of_unit(member: &Member, unit: usize) -> impl Iterator<Item = usize> + use<'_> {
    let indices = member.indices.iter().skip(unit * member.per_unit).take(member.per_unit);
    indices.map(|&index| index as usize)
}

/// A parameter's weights, all of them numbers.
pub(crate) fn finite(model: &Model, param: ParamId) -> Result<&[f32]> {
    let weights = &model.tensors()[param.index()].data;
    if weights.iter().all(|weight| weight.is_finite()) {
        return Ok(weights);
    }
    let name = model.graph().param(param).name.clone();
    Err(Error::NotFinite { what: "weights", name })
}

/// Whether one node has both parameters.
fn is_sibling(model: &Model, a: ParamId, b: ParamId) -> bool {
    let mut nodes = model.graph().nodes().iter();
    nodes.any(|node| node.params().contains(&a) && node.params().contains(&b))
}
