//! What pictures said about a network: gradients and activations, made elsewhere.
//!
//! Above: `criterion`. Below: `taper-graph`. Not here: making it (a training crate does).

use taper_graph::{Graph, NodeId, ParamId};

use super::Criterion;
use crate::{Error, Result};

/// Gradients and activations of a network on some pictures. An empty slice is evidence that was not gathered; an entry that is an empty
/// list is a parameter without a gradient, or a node that was not watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// By parameter: the gradient of the mean loss, in the parameter's shape.
    pub gradients: &'a [Vec<f32>],
    /// By parameter: the mean of squared gradients, in the parameter's shape.
    pub squared_gradients: &'a [Vec<f32>],
    /// By node: the mean of `|a|` for each channel of its output.
    pub activations: &'a [Vec<f32>],
}

impl<'a> Evidence<'a> {
    /// Whether what a criterion needs is there, and of this network.
    pub(super) fn check(&self, graph: &Graph, criterion: Criterion) -> Result<()> {
        let (given, what, kind) = match criterion {
            Criterion::Taylor | Criterion::TaylorJoint => {
                (self.gradients, "gradients", Kind::Param)
            }
            Criterion::Fisher => (self.squared_gradients, "squared gradients", Kind::Param),
            Criterion::Activation => (self.activations, "activations", Kind::Node),
            Criterion::L1
            | Criterion::L2
            | Criterion::BatchNormScale
            | Criterion::Fpgm
            | Criterion::Lamp
            | Criterion::Random { .. } => return Ok(()),
        };
        if given.is_empty() {
            return Err(Error::NoEvidence { criterion: criterion.to_string(), what });
        }
        let shape = |name: &str, got, expected| {
            Err(Error::EvidenceShape { what, name: name.to_owned(), got, expected })
        };
        let (names, lens): (Vec<&str>, Vec<usize>) = match kind {
            Kind::Param => graph.params().iter().map(|it| (it.name.as_str(), it.len())).unzip(),
            Kind::Node => {
                let names = graph.nodes().iter().map(taper_graph::Node::name);
                (names.collect(), graph.channels()?)
            }
        };
        if given.len() != lens.len() {
            return shape("the network", given.len(), lens.len());
        }
        for ((entry, name), len) in given.iter().zip(names).zip(lens) {
            if !entry.is_empty() && entry.len() != len {
                return shape(name, entry.len(), len);
            }
            if entry.iter().any(|value| !value.is_finite()) {
                return Err(Error::NotFinite { what, name: name.to_owned() });
            }
        }
        Ok(())
    }

    pub(super) fn gradient(&self, param: ParamId) -> &'a [f32] {
        self.gradients.get(param.index()).map_or(&[], Vec::as_slice)
    }

    pub(super) fn squared_gradient(&self, param: ParamId) -> &'a [f32] {
        self.squared_gradients.get(param.index()).map_or(&[], Vec::as_slice)
    }

    pub(super) fn activation(&self, node: NodeId) -> &'a [f32] {
        self.activations.get(node.index()).map_or(&[], Vec::as_slice)
    }
}

enum Kind {
    Param,
    Node,
}
