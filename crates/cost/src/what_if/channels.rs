//! Which channels must agree: every node's channels as a row of parts, where parts that must be equally many are one.
//!
//! Above: `width`. Below: `taper_graph`. Not here: how many there shall be (`width`).
//! A sum makes the parts of its inputs one, slices cut parts in two, groups cut them into equal ones. So whatever numbers the parts get, the
//! network fits together.

use std::collections::HashMap;

use taper_graph::{Conv, Graph, Node, NodeId, Op, ParamId, ParamRole};

use super::mismatch;
use crate::{Error, Result};

/// Steps that no network needs: thousands of groups in thousands of layers are refused instead of counted.
const MAX_STEPS: usize = 1 << 22;

/// Neighboring channels that stay together.
pub(super) type Part = usize;

/// The parts of a network's channels.
pub(super) struct Channels {
    /// By node: its channels from the first to the last.
    pub(super) rows: Vec<Vec<Part>>,
    /// By part.
    pub(super) sizes: Vec<usize>,
}

impl Channels {
    /// # Errors
    /// [`Error::Groups`].
    pub(super) fn of(graph: &Graph) -> Result<Self> {
        let channels = graph.channels().map_err(mismatch)?;
        let mut parts = Parts::default();
        let mut rows: Vec<Vec<Part>> = Vec::with_capacity(graph.nodes().len());
        let mut owners: HashMap<ParamId, NodeId> = HashMap::new();
        for (id, node) in graph.node_ids().zip(graph.nodes()) {
            let inputs: Vec<&[Part]> = node.inputs().iter().map(|id| &*rows[id.index()]).collect();
            let refused = |Tangled| Error::Groups { node: node.name().to_owned() };
            let row = parts.output(node, &inputs, channels[id.index()]).map_err(refused)?;
            for param in node.params() {
                let owner = *owners.entry(*param).or_insert(id);
                if owner == id {
                    continue;
                }
                parts.tie(&rows[owner.index()], &row).map_err(refused)?;
                let first = graph.node(owner).inputs().first();
                if let (Some(first), Some(xs), ParamRole::Weight) =
                    (first, inputs.first(), graph.param(*param).role)
                {
                    parts.tie(&rows[first.index()], xs).map_err(refused)?;
                }
            }
            rows.push(row);
        }
        for (row, node) in rows.iter_mut().zip(graph.nodes()) {
            let whole = parts.whole(row);
            *row = whole.map_err(|Tangled| Error::Groups { node: node.name().to_owned() })?;
        }
        let sizes = (0..parts.states.len()).map(|part| parts.size(part)).collect();
        Ok(Self { rows, sizes })
    }

    /// How many channels a node has if the parts have these sizes.
    pub(super) fn count(&self, node: NodeId, sizes: &[usize]) -> usize {
        self.rows[node.index()].iter().fold(0, |sum, part| sum.saturating_add(sizes[*part]))
    }

    /// How many channels of a node stand before the one that is now at `start`, if the parts have these sizes.
    pub(super) fn before(&self, node: NodeId, start: usize, sizes: &[usize]) -> usize {
        let mut passed = 0;
        let row = self.rows[node.index()].iter().take_while(|part| {
            let is_before = passed < start;
            passed += self.sizes[**part];
            is_before
        });
        row.fold(0, |sum, part| sum.saturating_add(sizes[*part]))
    }
}

/// Too many steps.
struct Tangled;

type Steps<T> = std::result::Result<T, Tangled>;

/// Parts in the making.
#[derive(Default)]
struct Parts {
    states: Vec<State>,
    steps: usize,
}

/// What became of a part.
enum State {
    Whole(usize),
    /// Others, in its place.
    Cut([Part; 2]),
    /// One and the same as an older one.
    Is(Part),
}

impl Parts {
    fn output(&mut self, node: &Node, inputs: &[&[Part]], channels: usize) -> Steps<Vec<Part>> {
        let [first, second, third] = [0, 1, 2].map(|n| inputs.get(n).copied().unwrap_or_default());
        match node.op() {
            Op::Input { .. } | Op::Linear { .. } => Ok(vec![self.new_part(channels)]),
            Op::Conv(conv) | Op::ConvTranspose { conv, .. } => self.filters(conv, first),
            Op::Concat => {
                let row = inputs.concat();
                self.step(row.len())?;
                Ok(row)
            }
            Op::Slice { start, len } => {
                let mut open = stack(first);
                self.take(&mut open, *start)?;
                self.take(&mut open, *len)
            }
            Op::Shuffle { groups } => {
                let group = self.divide(first, *groups)?;
                self.each_repeated(&group, *groups)
            }
            Op::Flatten => {
                let before: usize = first.iter().map(|part| self.size_now(*part)).sum();
                self.each_repeated(first, channels / before.max(1))
            }
            Op::Attention { heads, kv_heads, .. } => {
                let queries = self.divide(first, *heads)?;
                let keys = self.divide(second, *kv_heads)?;
                self.tie(&queries, &keys)?;
                let values = self.divide(third, *kv_heads)?;
                self.step(values.len().saturating_mul(*heads))?;
                Ok(values.repeat(*heads))
            }
            Op::Add | Op::Mul => {
                self.tie(first, second)?;
                Ok(first.to_vec())
            }
            Op::GroupNorm { groups, .. } => {
                self.divide(first, *groups)?;
                Ok(first.to_vec())
            }
            Op::BatchNorm { .. }
            | Op::LayerNorm { .. }
            | Op::ChannelScale
            | Op::Activation(_)
            | Op::Pool { .. }
            | Op::LpPool { .. }
            | Op::BlurPool { .. }
            | Op::AdaptivePool { .. }
            | Op::GlobalPool { .. }
            | Op::Scale { .. }
            | Op::Pad { .. }
            | Op::Resize { .. }
            | Op::Dropout { .. }
            | Op::DropPath { .. } => {
                self.step(first.len())?;
                Ok(first.to_vec())
            }
        }
    }

    /// The output of a convolution: of a depthwise one its input's channels, otherwise new ones, as many in each group.
    fn filters(&mut self, conv: &Conv, xs: &[Part]) -> Steps<Vec<Part>> {
        if conv.groups == 1 {
            return Ok(vec![self.new_part(conv.out)]);
        }
        let in_channels: usize = xs.iter().map(|part| self.size_now(*part)).sum();
        if conv.groups == in_channels {
            return self.each_repeated(xs, conv.out / conv.groups);
        }
        self.divide(xs, conv.groups)?;
        self.step(conv.groups)?;
        Ok(vec![self.new_part(conv.out / conv.groups); conv.groups])
    }

    fn new_part(&mut self, size: usize) -> Part {
        self.states.push(State::Whole(size));
        self.states.len() - 1
    }

    fn step(&mut self, n: usize) -> Steps<()> {
        self.steps = self.steps.saturating_add(n);
        if self.steps > MAX_STEPS { Err(Tangled) } else { Ok(()) }
    }

    /// Of a whole part; none of another.
    fn size(&self, part: Part) -> usize {
        if let State::Whole(size) = self.states[part] { size } else { 0 }
    }

    /// Channels of any part.
    fn size_now(&self, part: Part) -> usize {
        let (mut open, mut size) = (vec![part], 0);
        while let Some(part) = open.pop() {
            match &self.states[part] {
                State::Whole(n) => size += n,
                State::Cut(parts) => open.extend(parts),
                State::Is(other) => open.push(*other),
            }
        }
        size
    }

    /// The next whole part.
    fn next(&mut self, open: &mut Vec<Part>) -> Steps<Option<Part>> {
        while let Some(part) = open.pop() {
            self.step(1)?;
            match &self.states[part] {
                State::Whole(_) => return Ok(Some(part)),
                State::Cut([first, rest]) => open.extend([*rest, *first]),
                State::Is(other) => open.push(*other),
            }
        }
        Ok(None)
    }

    fn whole(&mut self, row: &[Part]) -> Steps<Vec<Part>> {
        let (mut open, mut whole) = (stack(row), Vec::new());
        while let Some(part) = self.next(&mut open)? {
            whole.push(part);
        }
        Ok(whole)
    }

    /// Cuts a whole part in two.
    fn cut(&mut self, part: Part, size: usize) -> [Part; 2] {
        let rest = self.size(part) - size;
        let parts = [self.new_part(size), self.new_part(rest)];
        self.states[part] = State::Cut(parts);
        parts
    }

    /// The next `n` channels.
    fn take(&mut self, open: &mut Vec<Part>, mut n: usize) -> Steps<Vec<Part>> {
        let mut taken = Vec::new();
        while n > 0 {
            let Some(mut part) = self.next(open)? else { break };
            if self.size(part) > n {
                let [first, rest] = self.cut(part, n);
                open.push(rest);
                part = first;
            }
            n -= self.size(part);
            taken.push(part);
        }
        Ok(taken)
    }

    /// Makes two rows of as many channels one.
    fn tie(&mut self, left: &[Part], right: &[Part]) -> Steps<()> {
        let (mut left, mut right) = (stack(left), stack(right));
        loop {
            let (Some(a), Some(b)) = (self.next(&mut left)?, self.next(&mut right)?) else {
                return Ok(());
            };
            // Newer parts become older ones, so that few steps lead to those that stay.
            let (size_a, size_b) = (self.size(a), self.size(b));
            if size_a > size_b {
                let [first, rest] = self.cut(a, size_b);
                self.states[first] = State::Is(b);
                left.push(rest);
            } else if size_b > size_a {
                let [first, rest] = self.cut(b, size_a);
                self.states[first] = State::Is(a);
                right.push(rest);
            } else if a != b {
                self.states[a.max(b)] = State::Is(a.min(b));
            }
        }
    }

    /// Makes all groups of a row one, which it returns.
    fn divide(&mut self, row: &[Part], groups: usize) -> Steps<Vec<Part>> {
        let channels: usize = row.iter().map(|part| self.size_now(*part)).sum();
        let mut open = stack(row);
        let first = self.take(&mut open, channels / groups.max(1))?;
        for _ in 1..groups {
            let group = self.take(&mut open, channels / groups)?;
            self.tie(&first, &group)?;
        }
        self.whole(&first)
    }

    /// Each channel `n` times.
    fn each_repeated(&mut self, row: &[Part], n: usize) -> Steps<Vec<Part>> {
        let row = self.whole(row)?;
        self.step(row.len().saturating_mul(n))?;
        Ok(row.into_iter().flat_map(|part| std::iter::repeat_n(part, n)).collect())
    }
}

/// A row as a stack, its first part on top.
fn stack(row: &[Part]) -> Vec<Part> {
    row.iter().rev().copied().collect()
}
