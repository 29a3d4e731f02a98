//! Names of other projects' weights, translated by table.
//!
//! Above: `Model::from_tensors`. Below: `taper_graph`'s scopes. Not here: reading files (`tensors`).
//! A table maps a module of the file to a node of the graph; the last part of a name (`weight`, `running_var`) stays.
//! timm's names need no table.

use std::collections::BTreeMap;

use taper_graph::{Graph, Scope, ScopeKind};

use crate::{Error, Result, Tensor};

/// A table of modules and nodes.
///
/// # Examples
/// ```
/// use taper_model::KeyMap;
/// let map = KeyMap::from_pairs([("features.0.0", "conv_stem")]);
/// assert_eq!(map.rename("features.0.0.weight"), "conv_stem.weight");
/// assert_eq!(map.rename("classifier.weight"), "classifier.weight");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyMap {
    nodes: BTreeMap<String, String>,
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
        Self { nodes: nodes.collect() }
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

    /// Renames all tensors and drops PyTorch's `num_batches_tracked`, which only a cumulative mean would need.
    pub(crate) fn apply(
        &self,
        tensors: BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        let mut renamed = BTreeMap::new();
        for (name, tensor) in tensors {
            if name.ends_with(".num_batches_tracked") {
                continue;
            }
            let new_name = self.rename(&name);
            if renamed.insert(new_name.clone(), tensor).is_some() {
                let reason = format!("two tensors of the file are `{new_name}`");
                return Err(Error::Tensor { name, reason });
            }
        }
        Ok(renamed)
    }
}

/// Modules of a torchvision `InvertedResidual` and of its first, unexpanded one, as timm calls them.
const EXPANDED: [(&str, &str); 6] = [
    ("conv.0.0", "conv_pw"),
    ("conv.0.1", "bn1"),
    ("conv.1.0", "conv_dw"),
    ("conv.1.1", "bn2"),
    ("conv.2", "conv_pwl"),
    ("conv.3", "bn3"),
];
const UNEXPANDED: [(&str, &str); 4] =
    [("conv.0.0", "conv_dw"), ("conv.0.1", "bn1"), ("conv.1", "conv_pw"), ("conv.2", "bn2")];

/// torchvision's `mobilenet_v2`, for a graph of any depth: `features.N` is the N-th block, between stem and head.
#[must_use]
pub fn torchvision_mobilenet_v2(graph: &Graph) -> KeyMap {
    let blocks: Vec<&str> = graph
        .scopes()
        .iter()
        .filter(|scope| scope.kind() == ScopeKind::Block)
        .map(Scope::name)
        .collect();
    let last = blocks.len() + 1;
    let mut pairs = vec![
        ("features.0.0".to_owned(), "conv_stem".to_owned()),
        ("features.0.1".to_owned(), "bn1".to_owned()),
        (format!("features.{last}.0"), "conv_head".to_owned()),
        (format!("features.{last}.1"), "bn2".to_owned()),
        ("classifier.1".to_owned(), "classifier".to_owned()),
    ];
    for (block_idx, block) in blocks.into_iter().enumerate() {
        let expanded = graph.find_node(&format!("{block}.conv_pwl")).is_some();
        let table: &[_] = if expanded { &EXPANDED } else { &UNEXPANDED };
        pairs.extend(table.iter().map(|(module, node)| {
            (format!("features.{}.{module}", block_idx + 1), format!("{block}.{node}"))
        }));
    }
    KeyMap::from_pairs(pairs)
}
