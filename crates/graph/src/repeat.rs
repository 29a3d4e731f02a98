//! Copies of a scope in a row behind it: a deeper network.
//!
//! Above: what-if questions (`taper-cost`). Below: `rewriting`. Not here: leaving scopes out (`Graph::bypass`), which scope to repeat.

use std::collections::{HashMap, HashSet};

use crate::rewriting::{Rewriting, new_ids};
use crate::{Error, Graph, Node, NodeId, ParamSpec, Result, Scope};

impl Graph {
    /// A graph with `copies` more of a scope behind it: each reads the one before, and whoever read the scope's last node, outputs too, reads
    /// that of the last copy. Copies have parameters of their own, which begin as the scope's do, and count on from the scope's name:
    /// behind `blocks.2.1` comes `blocks.2.2`, or the next number that no name has.
    ///
    /// # Errors
    /// [`Error::UnknownScope`]; [`Error::Repeat`] if the scope does not read exactly one node outside, or does not have as many channels in
    /// the end as in the beginning; and as the builder.
    ///
    /// # Examples
    /// ```
    /// use taper_graph::blocks::{InvertedResidual, Style};
    /// use taper_graph::{Activation, GraphBuilder};
    /// # fn main() -> taper_graph::Result<()> {
    /// let style = Style { activation: Activation::Relu6, eps: 1e-5, momentum: 0.1, tf_padding: false };
    /// let mut b = GraphBuilder::new(24)?;
    /// let block = InvertedResidual { expanded: 144, out: 24, kernel_size: 3, stride: 1 };
    /// let image = b.input();
    /// let xs = block.build(&mut b, "blocks.0", image, &style)?;
    /// b.output("features", xs)?;
    /// let deep = b.build()?.repeat("blocks.0", 2)?;
    /// let scopes: Vec<_> = deep.scopes().iter().map(|scope| scope.name()).collect();
    /// assert_eq!(scopes, ["blocks.0", "blocks.1", "blocks.2"]);
    /// assert!(deep.param_id("blocks.2.conv_dw.weight").is_some());
    /// # Ok(()) }
    /// ```
    pub fn repeat(&self, scope: &str, copies: usize) -> Result<Self> {
        let at = self.scopes.iter().position(|known| known.name == scope);
        let at = at.ok_or_else(|| Error::UnknownScope { scope: scope.to_owned() })?;
        let repeated = &self.scopes[at];
        let refused = |reason: String| Error::Repeat { scope: scope.to_owned(), reason };
        let nodes: Vec<NodeId> = repeated.nodes().collect();
        let reads = self.read_by(&nodes);
        let &[from] = reads.as_slice() else {
            return Err(refused(format!("it reads {} nodes outside", reads.len())));
        };
        let names: Vec<String> = self.free_names(scope).take(copies.min(MAX_COPIES)).collect();
        let rewriting = Rewriting::new(self).walk(|rewriting, id| {
            rewriting.copy(id)?;
            if id != repeated.last() {
                return Ok(());
            }
            let before = rewriting.builder.channels(rewriting.place(from, scope)?);
            let after = rewriting.builder.channels(rewriting.place(id, scope)?);
            if before != after {
                return Err(refused(format!("it makes {after} channels of {before}")));
            }
            names.iter().try_for_each(|name| copy_again(rewriting, repeated, from, name))
        })?;
        let scopes = with_copies(rewriting.scopes(), at, repeated, &names);
        rewriting.finish_with(scopes)
    }

    /// Names for further scopes like this one: the numbers after its own that nothing has.
    fn free_names(&self, scope: &str) -> impl Iterator<Item = String> + use<> {
        let (stem, number) = scope.rsplit_once('.').unwrap_or(("", scope));
        let (stem, first) = match number.parse::<u32>() {
            Ok(number) => (stem, u64::from(number) + 1),
            Err(_) => (scope, 1),
        };
        let prefix = if stem.is_empty() { String::new() } else { format!("{stem}.") };
        let nodes = self.nodes.iter().map(|node| &node.name);
        let names = nodes.chain(self.params.iter().map(|param| &param.name));
        let names = names.chain(self.scopes.iter().map(|scope| &scope.name));
        let taken = names.filter_map(|name| {
            let rest = name.strip_prefix(&prefix)?;
            rest.split('.').next()?.parse::<u64>().ok()
        });
        let taken: HashSet<u64> = taken.collect();
        (first..).filter(move |n| !taken.contains(n)).map(move |n| format!("{prefix}{n}"))
    }
}

/// More than the builder takes nodes.
const MAX_COPIES: usize = 1 << 18;

/// Adds a copy named `name` that reads the last node of the scope, or of its last copy, and is read in its place.
fn copy_again(
    rewriting: &mut Rewriting<'_>,
    scope: &Scope,
    from: NodeId,
    name: &str,
) -> Result<()> {
    let old = rewriting.old;
    let mut places = HashMap::from([(from, rewriting.place(scope.last(), name)?)]);
    let mut params = HashMap::new();
    for id in scope.nodes() {
        let node = old.node(id);
        let place = |id: &NodeId| {
            places.get(id).copied().ok_or_else(|| Error::Fused {
                node: old.node(*id).name.clone(),
                reader: name.to_owned(),
            })
        };
        let copy = Node {
            name: renamed(&node.name, &scope.name, name),
            op: node.op.clone(),
            inputs: node.inputs.iter().map(place).collect::<Result<_>>()?,
            params: new_ids(&node.params, rewriting.builder.n_params(), &mut params),
        };
        let spec = |spec: &ParamSpec| {
            let name = renamed(&spec.name, &scope.name, name);
            ParamSpec { name, ..spec.clone() }
        };
        let specs: Vec<ParamSpec> = node.params.iter().map(|id| spec(old.param(*id))).collect();
        let specs: Vec<&ParamSpec> = specs.iter().collect();
        places.insert(id, rewriting.builder.replay(copy, &specs)?);
    }
    if let Some(last) = places.get(&scope.last()) {
        rewriting.put(scope.last(), *last);
    }
    Ok(())
}

/// The scopes with those of the copies, each with the scopes inside of it. Scopes around the repeated one hold the copies, it and those
/// inside of it do not.
fn with_copies(
    mut scopes: Vec<Scope>,
    at: usize,
    repeated: &Scope,
    names: &[String],
) -> Vec<Scope> {
    let (start, len) = (scopes[at].nodes.start, repeated.nodes.len());
    let behind = scopes[at..].iter().position(|scope| scope.nodes.start >= start + len);
    let behind = behind.map_or(scopes.len(), |n| at + n);
    for scope in &mut scopes[at..behind] {
        scope.nodes.end = scope.nodes.end.min(start + len);
    }
    let inside = scopes[at..behind].to_vec();
    let copies = names.iter().enumerate().flat_map(|(copy, name)| {
        let moved = (copy + 1) * len;
        inside.iter().map(move |scope| Scope {
            name: renamed(&scope.name, &repeated.name, name),
            nodes: scope.nodes.start + moved..scope.nodes.end + moved,
            ..scope.clone()
        })
    });
    let copies: Vec<Scope> = copies.collect();
    scopes.splice(behind..behind, copies);
    scopes
}

/// A name of something in `old` as one in `new`.
fn renamed(name: &str, old: &str, new: &str) -> String {
    match name.strip_prefix(old) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("{new}{rest}"),
        _ => format!("{new}.{name}"),
    }
}
