//! The widths a group may have, and what of the score is lost at each.
//!
//! Above: `search`. Below: `limits`, `Groups`. Not here: which width is chosen.

use taper_graph::{AxisRole, ParamRole};

use super::limits::Limits;
use crate::{Group, Groups};

/// A group's widths in units, all of them first, and the score lost at each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels {
    /// Falling.
    pub(super) kept: Vec<usize>,
    /// Rising; by level.
    pub(super) lost: Vec<f64>,
    /// Units from the first to go to the last.
    pub(super) order: Vec<usize>,
    /// Score lost with the first so many of `order`.
    sums: Vec<f64>,
}

impl Levels {
    /// Those of a group; `step` divides the multiples: 1 as the limits say, 2 half of it, until single units.
    pub(super) fn of(
        groups: &Groups,
        group_idx: usize,
        scores: &[f64],
        limits: &Limits,
        step: usize,
    ) -> Self {
        let group = &groups.groups()[group_idx];
        let n = group.units.len();
        let removable = group.units.clone().filter(|&unit| scores[unit].is_finite());
        let mut order: Vec<usize> = match group.protected {
            Some(_) => Vec::new(),
            None => removable.collect(),
        };
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
        let mut sums = vec![0.0];
        for unit in &order {
            sums.push(sums.last().copied().unwrap_or(0.0) + scores[*unit]);
        }
        let channels = channels_per_unit(groups, group);
        let least = limits.least_units(n, channels).max(n - order.len());
        let allowed = |kept: &usize| match limits.widths.get(&group_idx) {
            Some(table) if step == 1 => table.contains(&(kept * channels)),
            _ => kept.is_multiple_of(multiple(limits.multiple, channels, n, step)),
        };
        let mut kept = vec![n];
        kept.extend((least..n).rev().filter(allowed));
        let lost = kept.iter().map(|kept| sums[n - kept]).collect();
        Self { kept, lost, order, sums }
    }

    /// Units in all.
    pub(super) fn n(&self) -> usize {
        self.kept.first().copied().unwrap_or(0)
    }

    /// Score that is lost where so many are kept.
    pub(super) fn lost_at(&self, kept: usize) -> f64 {
        self.sums.get(self.n().saturating_sub(kept)).copied().unwrap_or(f64::INFINITY)
    }
}

/// The multiple in units: a layer with less than twice as many channels gets half of it, and so on, so that no layer is bound to its width.
fn multiple(multiple: usize, channels: usize, n: usize, step: usize) -> usize {
    let mut units = multiple.max(1) / gcd(multiple.max(1), channels);
    while units > 1 && n < 2 * units {
        units /= 2;
    }
    (units / step).max(1)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Channels of the layer that makes them, for each unit.
pub(super) fn channels_per_unit(groups: &Groups, group: &Group) -> usize {
    let made = group.members.iter().filter(|member| {
        let role = groups.graph().param(member.param).role;
        role == ParamRole::Weight && member.role == AxisRole::Out
    });
    made.map(|member| member.per_unit).min().unwrap_or(1).max(1)
}
