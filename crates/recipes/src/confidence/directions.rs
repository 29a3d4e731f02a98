//! The directions in which vectors vary most.
//!
//! Above: `confidence`. Below: candle's tensors. Not here: what is done with them (`taper_model::Familiarity`).
//! Subspace iteration (Golub and Van Loan, "Matrix Computations", section 8.2.4), which begins with some of the vectors themselves and so
//! draws nothing.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};

/// Steps; the subspace has settled to what half precision keeps long before.
const STEPS: usize = 15;

/// Vectors that are looked at, at most; of more, evenly chosen ones.
const MOST: usize = 4096;

/// At most `most` orthogonal directions of length 1, `(directions, width)`, the largest variance first, of vectors `(n, width)` with mean 0.
pub(super) fn of_most_variance(vectors: &[f32], width: usize, most: usize) -> Result<Vec<f32>> {
    let failed = |source| {
        let source = taper_train::Error::Tensor { what: "features", source };
        Error::Train { source }
    };
    let n = vectors.len() / width.max(1);
    if most == 0 || n == 0 {
        return Ok(Vec::new());
    }
    let row = |i: usize| &vectors[i * width..(i + 1) * width];
    let chosen = n.min(MOST);
    let xs: Vec<f32> = (0..chosen).flat_map(|i| row(i * n / chosen)).copied().collect();
    let xs = Tensor::from_vec(xs, (chosen, width), &Device::Cpu).map_err(failed)?;
    // Evenly chosen ones first; where some of them are alike, others take their places.
    let first = (0..most.min(n)).map(|i| i * n / most.min(n)).chain(0..n);
    let mut directions = orthogonal(first.map(row), most);
    for _ in 0..STEPS {
        let count = directions.len() / width;
        if count == 0 {
            break;
        }
        let step = || {
            let from = Tensor::from_slice(&directions, (count, width), &Device::Cpu)?;
            let along = xs.matmul(&from.t()?)?;
            along.t()?.matmul(&xs)?.flatten_all()?.to_vec1::<f32>()
        };
        directions = orthogonal(step().map_err(failed)?.chunks_exact(width), most);
    }
    Ok(directions)
}

/// Rows made orthogonal to those before and of length 1, by Gram and Schmidt, twice for the sake of rounding, until there are `most`; what is
/// left of a row that depends on others is dropped.
fn orthogonal<'r>(rows: impl Iterator<Item = &'r [f32]>, most: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let mut done: Vec<Vec<f32>> = Vec::new();
    for row in rows {
        if done.len() == most {
            break;
        }
        let mut row = row.to_vec();
        let before = dot(&row, &row).sqrt();
        for _ in 0..2 {
            for other in &done {
                let along = dot(other, &row);
                row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
            }
        }
        let length = dot(&row, &row).sqrt();
        if length > 1e-4 * before && length.is_finite() {
            done.push(row.iter().map(|x| x / length).collect());
        }
    }
    done.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directions_of_most_variance_come_first_and_are_orthogonal() {
        // Along the first axis by 3, the third by 1, the second by 0.1.
        let vectors: Vec<f32> = (0..40_u8)
            .flat_map(|i| {
                let wave = |step: f32| (f32::from(i) * step).sin();
                [3.0 * wave(0.7), 0.1 * wave(1.3), wave(2.1), 0.0]
            })
            .collect();
        let found = of_most_variance(&vectors, 4, 2).unwrap();
        assert_eq!(found.len(), 8);
        assert!(found[0].abs() > 0.99 && found[6].abs() > 0.99, "{found:?}");
        let all = of_most_variance(&vectors, 4, 4).unwrap();
        assert!(all.len() <= 12, "three directions: {all:?}");
        assert!(of_most_variance(&[0.0; 8], 4, 2).unwrap().is_empty());
        assert!(of_most_variance(&vectors, 4, 0).unwrap().is_empty());
    }
}
