//! How a set of tensors differs from what a network needs.
//!
//! Above: `model`. Below: `tensor`, `keymap`. Not here: renaming (`keymap`).

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use taper_graph::{Graph, nearest};

use crate::{KeyMap, Tensor};

/// Names of a kind that a message lists.
const SHOWN: usize = 10;
/// Surplus names that a missing one is compared with: as many as the largest networks have, however many a file has.
const COMPARED: usize = 2000;

/// Everything that is wrong at once, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateDictMismatch {
    /// Parameters of the network that no tensor is for.
    pub missing: Vec<String>,
    /// Tensors that are for no parameter.
    pub surplus: Vec<String>,
    /// Tensors of another shape than their parameter.
    pub misshapen: Vec<ShapeMismatch>,
    /// For a missing parameter, the tensor among the surplus whose name is nearest: it may have been renamed.
    pub renamed: BTreeMap<String, String>,
}

/// A tensor of the wrong shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeMismatch {
    /// Which.
    pub name: String,
    /// Its shape.
    pub got: Vec<usize>,
    /// The parameter's.
    pub expected: Vec<usize>,
}

impl StateDictMismatch {
    /// Compares a network with tensors under its own names; surplus ones are called what `keymap` says their file does.
    pub(crate) fn of(graph: &Graph, tensors: &BTreeMap<String, Tensor>, keymap: &KeyMap) -> Self {
        let mut mismatch = Self::default();
        for param in graph.params() {
            match tensors.get(&param.name) {
                None => mismatch.missing.push(param.name.clone()),
                Some(tensor) => mismatch.compare(&param.name, tensor, &param.shape),
            }
        }
        let known: HashSet<&str> = graph.params().iter().map(|spec| spec.name.as_str()).collect();
        let surplus = tensors.keys().filter(|name| !known.contains(name.as_str()));
        let surplus: Vec<&str> = surplus.map(String::as_str).collect();
        for name in mismatch.missing.iter().take(SHOWN) {
            let alike =
                surplus.iter().copied().take(COMPARED).filter(|other| are_alike(name, other));
            if let Some(nearest) = nearest(name, alike) {
                mismatch.renamed.insert(name.clone(), keymap.name_in_file(nearest));
            }
        }
        mismatch.surplus = surplus.into_iter().map(|name| keymap.name_in_file(name)).collect();
        mismatch
    }

    /// Notes a tensor of another shape, or of another number of elements than its shape says.
    pub(crate) fn compare(&mut self, name: &str, tensor: &Tensor, expected: &[usize]) {
        let count = expected.iter().product::<usize>();
        if tensor.shape != expected || tensor.data.len() != count {
            let same = tensor.shape == expected;
            let got = if same { vec![tensor.data.len()] } else { tensor.shape.clone() };
            let (name, expected) = (name.to_owned(), expected.to_vec());
            self.misshapen.push(ShapeMismatch { name, got, expected });
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.misshapen.is_empty()
    }
}

/// Whether one may be the other renamed: of the same module, or of the same kind.
fn are_alike(a: &str, b: &str) -> bool {
    match (a.rsplit_once('.'), b.rsplit_once('.')) {
        (Some((module, slot)), Some(b)) => module == b.0 || slot == b.1,
        _ => true,
    }
}

impl fmt::Display for StateDictMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misshapen = self.misshapen.iter().map(|ShapeMismatch { name, got, expected }| {
            format!("`{name}` has shape {got:?}, the network says {expected:?}")
        });
        let quoted = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect();
        let missing = self.missing.iter().map(|name| match self.renamed.get(name) {
            Some(nearest) => format!("`{name}` (nearest in the file: `{nearest}`)"),
            None => format!("`{name}`"),
        });
        let parts: [(&str, Vec<String>); 3] = [
            ("missing: ", missing.collect()),
            ("not in the network: ", quoted(&self.surplus)),
            ("", misshapen.collect()),
        ];
        let parts = parts.iter().filter(|(_, list)| !list.is_empty());
        let lines: Vec<String> =
            parts.map(|(what, list)| format!("{what}{}", short(list))).collect();
        f.write_str(&lines.join("; "))
    }
}

/// The first ten, and how many more.
fn short(list: &[String]) -> String {
    let shown = list.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
