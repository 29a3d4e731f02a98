//! Targets of mixed pictures: weighted sums of what either should give.
//!
//! Above: `mix`. Below: `targets`, `array`. Not here: label smoothing, which is the loss's (on a weighted sum it is the same).

use super::partner;
use crate::array::Array;
use crate::error::{Error, Result};
use crate::targets::Targets;

/// `weight` times each row's and `1 - weight` times its partner's.
#[expect(clippy::cast_possible_truncation, reason = "targets are `f32`")]
pub(super) fn mixed(targets: &Targets, weight: f64, classes: usize) -> Result<Targets> {
    let weights = [weight as f32, (1.0 - weight) as f32];
    Ok(match targets {
        Targets::Classes(of) => Targets::Probabilities(one_hot(of, weights, classes)?),
        Targets::Probabilities(values) => Targets::Probabilities(sums(values, weights)?),
        Targets::Labels(values) => Targets::Labels(sums(values, weights)?),
        Targets::Numbers(values) => Targets::Numbers(sums(values, weights)?),
        Targets::ClassMaps(_) => return Err(Error::NotMixed { got: targets.describe() }),
        Targets::Named(all) => {
            let each = all.iter().map(|(name, of)| Ok((name.clone(), mixed(of, weight, classes)?)));
            Targets::Named(each.collect::<Result<_>>()?)
        }
    })
}

fn one_hot(of: &[u32], [own, other]: [f32; 2], classes: usize) -> Result<Array<f32>> {
    let mut values = vec![0.0; of.len() * classes];
    for (i, row) in values.chunks_exact_mut(classes.max(1)).enumerate() {
        for (class, weight) in [(of[i] as usize, own), (of[partner(i, of.len())] as usize, other)] {
            *row.get_mut(class).ok_or(Error::Label { got: class, labels: classes })? += weight;
        }
    }
    Array::new(values, vec![of.len(), classes])
}

fn sums(of: &Array<f32>, [own, other]: [f32; 2]) -> Result<Array<f32>> {
    let n = of.len();
    let each = of.values().len() / n.max(1);
    let row = |i: usize| &of.values()[i * each..(i + 1) * each];
    let mixed = (0..n).flat_map(|i| {
        let pairs = row(i).iter().zip(row(partner(i, n)));
        pairs.map(move |(x, partner)| x * own + partner * other)
    });
    Array::new(mixed.collect(), of.shape().to_vec())
}
