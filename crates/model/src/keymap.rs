//! Names of other projects' weights, translated by table.
//!
//! Above: `Model::from_tensors`. Below: `naming`, `trained`. Not here: reading files (`tensors`).
//! A table maps a module of the file to a node of the graph; the last part of a name (`weight`, `running_var`) stays.
//! timm's names need no table.

mod naming;
mod trained;

use std::collections::{BTreeMap, BTreeSet};

use taper_graph::Graph;

use crate::{Error, Result, Tensor};

pub use naming::Naming;
use trained::Trained;

/// A table of modules and nodes.
///
/// # Examples
/// ```
/// use taper_model::KeyMap;
/// let map = KeyMap::from_pairs([("features.0.0", "conv_stem")]);
/// assert_eq!(map.rename("features.0.0.weight"), "conv_stem.weight");
/// assert_eq!(map.rename("classifier.weight"), "classifier.weight");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyMap {
    nodes: BTreeMap<String, String>,
    /// Nodes that are convolutions here and linear layers in the file.
    linear: BTreeSet<String>,
    trained: Trained,
}

impl KeyMap {
    /// For files that use the graph's own names, as timm's do.
    #[must_use]
    pub fn identity() -> Self {
        Self::default()
    }

    /// From pairs of a module in the file and a node of the graph.
    #[must_use]
    pub fn from_pairs<A: Into<String>, B: Into<String>>(
        pairs: impl IntoIterator<Item = (A, B)>,
    ) -> Self {
        let nodes = pairs.into_iter().map(|(module, node)| (module.into(), node.into()));
        Self { nodes: nodes.collect(), ..Self::default() }
    }

    /// The same table for a file in which these nodes are linear layers: their weights of `(out, in)` become convolutions of
    /// `(out, c, k_h, k_w)` with `c · k_h · k_w = in`, the elements in the same order.
    #[must_use]
    pub fn with_linear<A: Into<String>>(mut self, nodes: impl IntoIterator<Item = A>) -> Self {
        self.linear.extend(nodes.into_iter().map(Into::into));
        self
    }

    /// The same table for weights that were trained so.
    fn with_trained(self, trained: Trained) -> Self {
        Self { trained, ..self }
    }

    /// The graph's name for a tensor of the file; modules that are not in the table keep theirs.
    #[must_use]
    pub fn rename(&self, name: &str) -> String {
        match name.rsplit_once('.') {
            Some((module, slot)) => match self.nodes.get(module) {
                Some(node) => format!("{node}.{slot}"),
                None => name.to_owned(),
            },
            None => name.to_owned(),
        }
    }

    /// The file's name for a parameter of the graph, which [`KeyMap::rename`] brings back.
    #[must_use]
    pub fn name_in_file(&self, name: &str) -> String {
        let Some((node, slot)) = name.rsplit_once('.') else { return name.to_owned() };
        let found = self.nodes.iter().find(|(_, ours)| *ours == node);
        found.map_or_else(|| name.to_owned(), |(module, _)| format!("{module}.{slot}"))
    }

    /// Renames all tensors, gives linear layers the shape of convolutions, and drops PyTorch's `num_batches_tracked`, which only a
    /// cumulative mean would need. A network with other norms or paddings than the weights were trained with is refused.
    pub(crate) fn apply(
        &self,
        tensors: BTreeMap<String, Tensor>,
        graph: &Graph,
    ) -> Result<BTreeMap<String, Tensor>> {
        self.trained.check(graph)?;
        let mut renamed = BTreeMap::new();
        for (name, mut tensor) in tensors {
            if name.ends_with(".num_batches_tracked") {
                continue;
            }
            let new_name = self.rename(&name);
            self.reshape(&new_name, &mut tensor, graph);
            if renamed.insert(new_name.clone(), tensor).is_some() {
                let reason = format!("two tensors of the file are `{new_name}`");
                return Err(Error::Tensor { name, reason });
            }
        }
        Ok(renamed)
    }
    /// Unless the elements are too few or too many: then the shape stays, and is refused with all that does not fit.
    fn reshape(&self, name: &str, tensor: &mut Tensor, graph: &Graph) {
        let node = name.strip_suffix(".weight");
        if !node.is_some_and(|node| self.linear.contains(node)) {
            return;
        }
        let Some(id) = graph.param_id(name) else { return };
        let expected = &graph.param(id).shape;
        let is_flat = |expected: &[usize]| {
            tensor.shape.len() == 2
                && tensor.shape.first() == expected.first()
                && tensor.shape[1] == expected.iter().skip(1).product::<usize>()
        };
        if is_flat(expected) {
            tensor.shape.clone_from(expected);
        }
    }
}
