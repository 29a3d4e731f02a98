//! Where a forward pass is cut into segments, so that what lies within them need not be kept.
//!
//! Above: `training::memory`, which lays every choice out and takes the smallest. Below: `fused`, `training::schedule`. Not here: what
//! is dropped (`training::schedule`).
//! A cut is *narrow* where fewer elements pass than at the units beside it, as between two blocks. A segment ends at the first narrow cut
//! at which it would keep so many elements; how many is tried from half of all down, since the best (about their root, where all units
//! are alike) depends on how they are spread. Source: Chen et al. 2016, algorithm 3, <https://arxiv.org/abs/1604.06174>.

use super::routes::GradientRoutes;
use super::schedule::read_back;
use crate::FusedGraph;

/// Into how many segments of equal size all elements are cut, one try after the other.
const PARTS: [usize; 14] = [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64];

/// Where segments begin, besides the first: several choices, none twice. `lens` are elements by value.
pub(super) fn choices(
    fused: &FusedGraph,
    routes: &GradientRoutes,
    lens: &[usize],
) -> Vec<Vec<usize>> {
    let narrow = narrow_cuts(fused, lens);
    let mut kept = vec![0usize; fused.units.len()];
    let mut is_kept = vec![false; fused.values.len()];
    for u in (0..fused.units.len()).filter(|&u| routes.needs[fused.units[u].output]) {
        read_back(fused, routes, u).for_each(|v| is_kept[v] = true);
    }
    for (u, unit) in fused.units.iter().enumerate().filter(|(_, unit)| is_kept[unit.output]) {
        kept[u] = lens[unit.output];
    }
    let all = kept.iter().fold(0usize, |sum, &len| sum.saturating_add(len));
    let mut choices: Vec<Vec<usize>> = Vec::new();
    for most in PARTS.map(|parts| all / parts) {
        let (mut cuts, mut within) = (Vec::new(), 0usize);
        for (u, &len) in kept.iter().enumerate() {
            if within > 0 && within >= most && narrow[u] {
                cuts.push(u);
                within = 0;
            }
            within = within.saturating_add(len);
        }
        if !cuts.is_empty() && !choices.contains(&cuts) {
            choices.push(cuts);
        }
    }
    choices
}

/// By unit: whether no more elements pass before it than before the units beside it. Given values, which are there anyway, do not count.
fn narrow_cuts(fused: &FusedGraph, lens: &[usize]) -> Vec<bool> {
    let mut passing = vec![0usize; fused.units.len() + 1];
    for (value, &len) in fused.values.iter().zip(lens) {
        if let (Some(writer), Some(&reader)) = (value.writer, value.readers.iter().max()) {
            let cuts = passing.iter_mut().take(reader + 1).skip(writer + 1);
            cuts.for_each(|passing| *passing = passing.saturating_add(len));
        }
    }
    let is_narrow = |u: usize| {
        let beside = [u.checked_sub(1).filter(|&u| u > 0), Some(u + 1)];
        let beside = beside.into_iter().flatten().filter(|&u| u < fused.units.len());
        u > 0 && beside.into_iter().all(|other| passing[u] <= passing[other])
    };
    (0..fused.units.len()).map(is_narrow).collect()
}
