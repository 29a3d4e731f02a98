//! How far filters are from one another: those nearest to the geometric median can be stood for by others.
//!
//! Above: `criterion`. Below: `axis_sums`, `taper-model`'s tensors. Not here: magnitude.
//! Source: He et al. 2019, <https://arxiv.org/abs/1811.00250>, equation 5: the filter whose summed distance to the others is least.

use taper_model::Model;

use super::axis_sums::{finite, of_unit};
use crate::{Member, Result};

/// Differences that may be taken for a member. Beyond, filters are compared with some of the others, evenly spaced: 4 G are some seconds,
/// and only the linear layers of VGG need more.
const MOST_DIFFERENCES: usize = 1 << 32;

/// The least number of others that a filter is compared with.
const FEWEST_OTHERS: usize = 16;

/// For each of `n` units the sum of the Euclidean distances of its elements to those of the others.
pub(super) fn distances(model: &Model, member: &Member, n: usize) -> Result<Vec<f64>> {
    let filters = filters(model, member, n)?;
    let len = filters.first().map_or(0, Vec::len);
    let others = (MOST_DIFFERENCES / (n * len).max(1)).max(FEWEST_OTHERS).min(n);
    if others == n {
        return Ok(all_pairs(&filters));
    }
    let compared: Vec<usize> = (0..others).map(|i| i * n / others).collect();
    let of = |filter: &Vec<f32>| {
        let sum: f64 = compared.iter().map(|&other| distance(filter, &filters[other])).sum();
        sum * n as f64 / others as f64
    };
    Ok(filters.iter().map(of).collect())
}

fn all_pairs(filters: &[Vec<f32>]) -> Vec<f64> {
    let mut sums = vec![0.0; filters.len()];
    for a in 0..filters.len() {
        for b in 0..a {
            let distance = distance(&filters[a], &filters[b]);
            sums[a] += distance;
            sums[b] += distance;
        }
    }
    sums
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    squares.sum::<f64>().sqrt()
}

/// Each unit's elements, one list a unit.
fn filters(model: &Model, member: &Member, n: usize) -> Result<Vec<Vec<f32>>> {
    let weights = finite(model, member.param)?;
    let shape = &model.graph().param(member.param).shape;
    let inner: usize = shape[member.axis + 1..].iter().product();
    let outer: usize = shape[..member.axis].iter().product();
    let filter = |unit| {
        let indices = of_unit(member, unit);
        let rows = indices.flat_map(|at| (0..outer).map(move |row| row * shape[member.axis] + at));
        rows.flat_map(|row| weights[row * inner..][..inner].iter().copied()).collect()
    };
    Ok((0..n).map(filter).collect())
}
