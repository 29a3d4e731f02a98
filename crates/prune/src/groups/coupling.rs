//! Union-find over channels and indices of parameters: what the rules of flow and of axis roles make one.
//!
//! Above: `groups`. Below: `sites`, `taper_graph::{Flow, AxisRole}`. Not here: groups of what was found.

use std::ops::Range;

use taper_graph::{AxisRole, Extent, Flow, Graph, Node, NodeId, Op, ParamId};

use super::sites::Sites;
use crate::{Protect, Protected, Result};

pub(super) struct Coupling<'a> {
    graph: &'a Graph,
    sites: &'a Sites,
    parent: Vec<u32>,
    /// Why the component of an element is protected: what was said first counts.
    reasons: Vec<(Protected, Vec<Range<usize>>)>,
}

impl<'a> Coupling<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "sites have fewer elements than 2³²")]
    pub(super) fn new(graph: &'a Graph, sites: &'a Sites) -> Self {
        let parent = (0..sites.n_elements() as u32).collect();
        Self { graph, sites, parent, reasons: Vec::new() }
    }

    /// Unites what the graph couples.
    pub(super) fn couple(&mut self) {
        for id in self.graph.node_ids() {
            let node = self.graph.node(id);
            let inputs = self.extents(id, node);
            for (input, from) in node.inputs().iter().enumerate() {
                self.couple_input(id, (input, *from), node.op().flow(input, &inputs));
            }
            for param in node.params() {
                for axis in 0..self.graph.param(*param).axes.len() {
                    self.couple_axis(id, node, *param, axis);
                }
            }
        }
    }

    /// Marks what stays, the plainest reason first.
    pub(super) fn protect(&mut self, protect: &Protect) -> Result<()> {
        let graph = self.graph;
        let mut first = Vec::new();
        first.push((Protected::Image, vec![self.node(graph.input())]));
        for name in graph.main_outputs() {
            if let Some(node) = graph.outputs().get(name) {
                first.push((Protected::Output(name.to_owned()), vec![self.node(*node)]));
            }
        }
        for (name, nodes) in protect.nodes(graph)? {
            let nodes = nodes.into_iter().map(|node| self.node(node)).collect();
            first.push((Protected::ByName(name.to_owned()), nodes));
        }
        first.append(&mut self.reasons);
        self.reasons = first;
        Ok(())
    }

    fn node(&self, node: NodeId) -> Range<usize> {
        self.sites.of_node(node).unwrap_or_default()
    }

    /// Extents of a node's inputs as far as flow needs them: channels, and of a map that is flattened the number of its positions.
    fn extents(&self, id: NodeId, node: &Node) -> Vec<Extent> {
        let of = |input: &NodeId| {
            let c = self.node(*input).len();
            let h = if *node.op() == Op::Flatten { self.node(id).len() / c.max(1) } else { 1 };
            Extent::Map { h, w: 1, c }
        };
        node.inputs().iter().map(of).collect()
    }

    fn couple_input(&mut self, id: NodeId, (input, from): (usize, NodeId), flow: Flow) {
        let (xs, ys) = (self.node(from), self.node(id));
        let name = || self.graph.node(id).name().to_owned();
        match flow {
            Flow::Same => self.unite_each(xs, ys, 1),
            Flow::Repeated { block } => self.unite_each(xs, ys, block),
            Flow::Mixes { groups: 1 } | Flow::Nothing => {}
            Flow::Mixes { groups } => self.unite_parts(&xs, &ys, groups),
            Flow::Shifted { by } => {
                let len = ys.len();
                for (i, x) in xs.enumerate() {
                    if let Some(at) = i.checked_add_signed(by).filter(|at| *at < len) {
                        self.unite(x, ys.start + at);
                    }
                }
            }
            Flow::Shuffled { groups } => {
                let each = xs.len() / groups;
                for (i, y) in ys.clone().enumerate() {
                    let (channel, part) = (i / groups, i % groups);
                    self.unite(y, xs.start + part * each + channel);
                    // It must stay a shuffle: every part loses the same of its channels.
                    self.unite(y, xs.start + channel);
                }
            }
            Flow::Heads { heads, kv_heads: 1 } if input == 0 => {
                self.unite_parts(&xs, &ys, heads);
            }
            Flow::Heads { kv_heads: 1, .. } => {
                self.reasons.push((Protected::SharedKeys { node: name() }, vec![xs]));
            }
            Flow::Heads { kv_heads, .. } => self.unite_parts(&xs, &ys, kv_heads),
            Flow::Normalizes { .. } => {
                let reason = Protected::Normalized { node: name() };
                self.reasons.push((reason, vec![xs.clone()]));
                self.unite_each(xs, ys, 1);
            }
            Flow::Opaque => {
                let op = self.graph.node(id).op().label();
                self.reasons.push((Protected::Opaque { node: name(), op }, vec![xs, ys]));
            }
        }
    }

    fn couple_axis(&mut self, id: NodeId, node: &Node, param: ParamId, axis: usize) {
        let Some(indices) = self.sites.of_axis(param, axis) else { return };
        match self.graph.param(param).axes[axis] {
            AxisRole::Out => self.unite_each(self.node(id), indices, 1),
            AxisRole::In { input, block, groups: 1 } => {
                if let Some(from) = node.inputs().get(usize::from(input)) {
                    self.unite_each(self.node(*from), indices, block);
                }
            }
            AxisRole::In { .. } => {
                let reason = Protected::WithinGroups { node: node.name().to_owned() };
                self.reasons.push((reason, vec![indices]));
            }
            AxisRole::Fixed => {}
        }
    }

    /// Element `i` of the first with elements `i · block .. (i + 1) · block` of the second.
    fn unite_each(&mut self, xs: Range<usize>, ys: Range<usize>, block: usize) {
        let wide = xs.flat_map(|x| std::iter::repeat_n(x, block));
        for (x, y) in wide.zip(ys) {
            self.unite(x, y);
        }
    }

    /// Both are split into as many equal parts; each part of one with that of the other, whole.
    fn unite_parts(&mut self, xs: &Range<usize>, ys: &Range<usize>, parts: usize) {
        let first = |part: usize| xs.start + part * (xs.len() / parts);
        for all in [xs, ys] {
            let len = (all.len() / parts).max(1);
            for (i, element) in all.clone().enumerate() {
                self.unite(element, first(i / len));
            }
        }
    }

    fn find(&mut self, element: usize) -> usize {
        let mut at = element;
        while self.parent[at] as usize != at {
            // Halves the way for whoever comes next.
            self.parent[at] = self.parent[self.parent[at] as usize];
            at = self.parent[at] as usize;
        }
        at
    }

    /// The earlier root stays, so that a component's root is its first element.
    #[expect(clippy::cast_possible_truncation, reason = "sites have fewer elements than 2³²")]
    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent[a.max(b)] = a.min(b) as u32;
    }

    /// What was found.
    pub(super) fn finish(mut self) -> Components {
        let mut of: Vec<u32> = Vec::with_capacity(self.parent.len());
        let mut n = 0;
        for element in 0..self.parent.len() {
            let root = self.find(element);
            if root == element {
                of.push(n);
                n += 1;
            } else {
                of.push(of[root]);
            }
        }
        let mut reason_of = vec![None; n as usize];
        for (reason, (_, elements)) in (0..).zip(&self.reasons) {
            for component in elements.iter().flat_map(|range| &of[range.clone()]) {
                reason_of[*component as usize].get_or_insert(reason);
            }
        }
        let reasons = self.reasons.into_iter().map(|(reason, _)| reason).collect();
        Components { of, reason_of, reasons }
    }
}

/// The connected components, numbered in order of their first elements.
pub(super) struct Components {
    /// That of every element.
    pub(super) of: Vec<u32>,
    /// Why each stays: an index of `reasons`.
    pub(super) reason_of: Vec<Option<u32>>,
    pub(super) reasons: Vec<Protected>,
}
