//! Pointwise and dense convolution as matrix products over gathered rows, forward and backward.
//!
//! Above: `cpu`. Below: `matrix::{forward, backward, flipped, scatter, narrow, gate}`, `cpu::pack`. Not here: depthwise convolution
//! (`cpu::depthwise`).
//! A part works through its rows a tile at a time: what the tile needs is normalized into scratch once, then used by every
//! product over it. Pointwise layers without a pending norm are read where they lie.

mod backward;
mod band;
mod flipped;
mod forward;
mod gate;
mod narrow;
mod scatter;

pub(super) use backward::backward;
pub(super) use flipped::flipped_shape;
pub(super) use forward::{Product, Reads, bands_at_once, forward, split};
pub(super) use narrow::is_narrow;
pub(super) use scatter::transpose;

use std::borrow::Cow;
use std::ops::Range;

use super::pack::Panels;
use super::pass::{PassRows, Share};
use super::team::{SendMutPtr, SendPtr, part_of};
use super::views::SinkView;
use super::{Cpu, Packed, Part};
use crate::{ConvShape, Isa, MatmulPrecision};

/// Rows of a tile: two row blocks of the product, so that weight gradients are loaded and stored seldom.
const TILE: usize = 96;

/// Groups too narrow to fill a vector, computed several at a time as one, with zeros where they do not meet.
///
/// A vector of outputs costs the same with one channel in it or with all: 32 groups of 4 channels become
/// 8 of 16. A number that is not finite then spoils the outputs of all groups it is merged with.
pub(super) struct Merged {
    pub(super) shape: ConvShape,
    /// Groups of the convolution in one of `shape`.
    count: usize,
}

impl Merged {
    pub(super) fn new(s: &ConvShape, lanes: usize) -> Self {
        let out = s.oc / s.groups;
        let fits = |count: &usize| s.groups.is_multiple_of(*count);
        let count = (1..=(lanes / out).max(1)).rev().find(fits).unwrap_or(1);
        Self::of(s, count)
    }

    /// As many groups in one as were chosen before.
    fn of(s: &ConvShape, count: usize) -> Self {
        Self { shape: ConvShape { groups: s.groups / count, ..*s }, count }
    }

    /// Groups of the convolution in one of the merged one.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The weights of the merged groups; as they are where nothing is merged.
    fn spread<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        if self.count == 1 {
            return Cow::Borrowed(weight);
        }
        let mut all = vec![0.0; weight.len() * self.count];
        self.for_rows(weight.len(), |from, to| all[to].copy_from_slice(&weight[from]));
        Cow::Owned(all)
    }

    /// What of the gradient of merged weights is that of the weights.
    fn gather(&self, all: &[f32], weight: &mut [f32]) {
        self.for_rows(weight.len(), |to, from| weight[to].copy_from_slice(&all[from]));
    }

    /// Calls `f(place in the weights, place in the merged weights)` for the filters of all outputs.
    fn for_rows(&self, len: usize, mut f: impl FnMut(Range<usize>, Range<usize>)) {
        let (row, out) = (len / self.shape.oc, self.shape.oc / self.shape.groups / self.count);
        for o in 0..self.shape.oc {
            let to = (o * self.count + o / out % self.count) * row;
            f(o * row..(o + 1) * row, to..to + row);
        }
    }
}

/// Packs the forward weight of each group, `k` by `oc / groups`. `run(count, work)` calls `work` with all numbers below `count`.
pub(super) fn pack_forward(
    (isa, precision): (Isa, MatmulPrecision),
    s: &ConvShape,
    weight: &[f32],
    packed: &mut Packed,
    run: impl FnOnce(usize, &(dyn Fn(usize) + Sync)),
) {
    let merged = Merged::new(s, isa.lanes());
    let (weight, s) = (merged.spread(weight), &merged.shape);
    let (taps, out) = (s.kernel[0] * s.kernel[1], s.oc / s.groups);
    let panels = Panels::new(isa, weight.len() / s.oc, out).in_precision(precision);
    packed.panels = panels;
    packed.data.reserve(s.groups * panels.len());
    let to = SendMutPtr(packed.data.as_mut_ptr());
    run(s.groups * panels.count(), &|task| {
        let (group, i) = (task / panels.count(), task % panels.count());
        let weight = &weight[group * out * panels.k..][..out * panels.k];
        // SAFETY: panels do not overlap, and every task has one of its own.
        let panel = unsafe { panel_of(to, &panels, group, i) };
        panels.pack_forward(isa, weight, taps, i, panel);
    });
}

/// # Safety
/// `to` has room for the panels of all groups, and nobody else holds this one.
unsafe fn panel_of<'a>(
    to: SendMutPtr<f32>,
    panels: &Panels,
    group: usize,
    i: usize,
) -> &'a mut [f32] {
    let place = panels.place(i);
    // SAFETY: the caller's promise.
    unsafe {
        let start = to.get().add(group * panels.len() + place.start);
        std::slice::from_raw_parts_mut(start, place.len())
    }
}

/// Writes a finished gradient through a sink; see [`PassRows`].
pub(super) fn pass_rows(
    cpu: &mut Cpu,
    gradient: SendPtr<f32>,
    share: Share,
    sink: SinkView,
    c: usize,
    rows: usize,
) {
    let (parts, isa) = (cpu.team.threads(), cpu.isa);
    // Without rows and sums there may be more channels than any slice has.
    cpu.clear_totals(c.saturating_mul(2), sink.tallies());
    let scratch = SendMutPtr(cpu.parts.as_mut_ptr());
    cpu.team.run(|p| {
        let range = part_of(rows, share.repeat, p, parts);
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        let totals = SendMutPtr(part.totals.as_mut_ptr());
        let rows = [range.start, range.end];
        let job = PassRows { gradient, share, sink, c, rows, totals };
        // SAFETY: `isa` is one of this machine; parts have rows of their own.
        unsafe { isa.run(job) };
    });
}
