//! Pointwise and dense convolution as matrix products over gathered rows, forward and backward.
//!
//! Above: `cpu`. Below: `matrix::{forward, backward, gate}`, `cpu::{gemm, pack}`. Not here: depthwise convolution (`cpu::depthwise`).
//! A part works through its rows a tile at a time: what the tile needs is normalized into scratch once, then used by every
//! product over it. Pointwise layers without a pending norm are read where they lie.

mod backward;
mod band;
mod forward;
mod gate;

pub(super) use backward::backward;
pub(super) use forward::forward;

use super::pack::Panels;
use super::pass::{PassRows, Share};
use super::team::{Fixed, Shared, part_of};
use super::views::SinkView;
use super::{Cpu, Part};
use crate::ConvShape;

/// Rows of a tile: two row blocks of the product, so that weight gradients are loaded and stored seldom.
const TILE: usize = 96;

/// Panels of the forward weight of each group, `k` by `oc / groups`.
pub(super) fn pack_forward(cpu: &Cpu, s: &ConvShape, weight: &[f32], into: &mut [f32]) -> Panels {
    let taps = s.kernel[0] * s.kernel[1];
    let (per_group, out) = (s.c / s.groups, s.oc / s.groups);
    let panels = Panels::new(cpu.isa, per_group * taps, out);
    for g in 0..s.groups {
        let weight = &weight[g * out * per_group * taps..][..out * per_group * taps];
        let into = &mut into[g * panels.len()..][..panels.len()];
        if taps == 1 {
            panels.pack(weight, [1, per_group], into);
        } else {
            panels.pack(&taps_first(weight, per_group, taps), [1, per_group * taps], into);
        }
    }
    panels
}

/// A weight `(o, i, taps)` as `(o, taps, i)`.
fn taps_first(weight: &[f32], per_group: usize, taps: usize) -> Vec<f32> {
    let k = per_group * taps;
    (0..weight.len())
        .map(|at| weight[at / k * k + at % per_group * taps + at % k / per_group])
        .collect()
}

/// Writes a finished gradient through a sink; see [`PassRows`].
pub(super) fn pass_rows(
    cpu: &mut Cpu,
    gradient: Fixed<f32>,
    share: Share,
    sink: SinkView,
    c: usize,
    rows: usize,
) {
    let (parts, isa) = (cpu.team.threads(), cpu.isa);
    cpu.clear_totals(2 * c, sink.tallies());
    let scratch = Shared(cpu.parts.as_mut_ptr());
    cpu.team.run(|p| {
        let range = part_of(rows, share.repeat, p, parts);
        // SAFETY: every part has its own scratch, `cpu.parts` being as long as the team.
        let part: &mut Part = unsafe { &mut *scratch.get().add(p) };
        let totals = Shared(part.totals.as_mut_ptr());
        let rows = [range.start, range.end];
        let job = PassRows { gradient, share, sink, c, rows, totals };
        // SAFETY: `isa` is one of this machine; parts have rows of their own.
        unsafe { isa.run(job) };
    });
}
