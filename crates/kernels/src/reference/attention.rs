//! Attention by its definition, forward and backward.
//!
//! Above: `reference`. Below: `attention_shape`, `device`. Not here: anything fast.

use crate::device::Attended;
use crate::{AttentionShape, Real};

/// Flat indices of channel 0 of a head at a position, with its channel.
struct Places {
    shape: AttentionShape,
    image: usize,
    head: usize,
}

impl Places {
    fn kv_head(&self) -> usize {
        self.head * self.shape.kv_heads / self.shape.heads
    }
    fn q(&self, i: usize) -> (usize, usize) {
        let c = self.head * self.shape.key_dim;
        ((self.image * self.shape.queries + i) * self.shape.channels()[0] + c, c)
    }
    fn k(&self, j: usize) -> (usize, usize) {
        let c = self.kv_head() * self.shape.key_dim;
        ((self.image * self.shape.keys + j) * self.shape.channels()[1] + c, c)
    }
    fn v(&self, j: usize) -> (usize, usize) {
        let c = self.kv_head() * self.shape.value_dim;
        ((self.image * self.shape.keys + j) * self.shape.channels()[2] + c, c)
    }
    fn y(&self, i: usize) -> usize {
        let c = self.head * self.shape.value_dim;
        (self.image * self.shape.queries + i) * self.shape.channels()[3] + c
    }

    /// The softmax over keys of query `i`.
    fn weights<T: Real>(&self, [q, k, _]: Attended<'_, T>, i: usize) -> Vec<T> {
        let (s, (from, c)) = (&self.shape, self.q(i));
        let score = |j: usize| {
            let (key, key_channel) = self.k(j);
            let terms =
                (0..s.key_dim).map(|d| q.at(from + d, c + d) * k.at(key + d, key_channel + d));
            terms.fold(T::default(), |sum, term| sum + term) * T::from_f64(s.scale)
        };
        let scores: Vec<T> = (0..s.keys).map(score).collect();
        let largest = scores.iter().copied().fold(scores[0], |m, v| if v > m { v } else { m });
        let powers: Vec<T> = scores.iter().map(|&v| (v - largest).exp()).collect();
        let sum = powers.iter().fold(T::default(), |sum, &p| sum + p);
        powers.into_iter().map(|p| p / sum).collect()
    }
}

fn heads(shape: &AttentionShape) -> impl Iterator<Item = Places> + use<> {
    let shape = *shape;
    (0..shape.n)
        .flat_map(move |image| (0..shape.heads).map(move |head| Places { shape, image, head }))
}

pub(super) fn forward<T: Real>(shape: &AttentionShape, qkv: Attended<'_, T>, y: &mut [T]) {
    y.fill(T::default());
    for places in heads(shape) {
        for i in 0..shape.queries {
            for (j, p) in places.weights(qkv, i).into_iter().enumerate() {
                let ((from, c), to) = (places.v(j), places.y(i));
                (0..shape.value_dim).for_each(|d| y[to + d] += p * qkv[2].at(from + d, c + d));
            }
        }
    }
}

/// Gradients of queries, keys and values: with the weights `p`, `dp = dy·vᵀ` and `ds = p·(dp − Σ p·dp)`.
pub(super) fn gradients<T: Real>(
    shape: &AttentionShape,
    gradient: &[T],
    qkv: Attended<'_, T>,
) -> [Vec<T>; 3] {
    let [mut dq, mut dk, mut dv] = qkv.map(|source| vec![T::default(); source.data.len()]);
    for places in heads(shape) {
        for i in 0..shape.queries {
            let (p, dy) = (places.weights(qkv, i), places.y(i));
            let mut dp = vec![T::default(); shape.keys];
            for (j, (dp, &p)) in dp.iter_mut().zip(&p).enumerate() {
                let (at, c) = places.v(j);
                for d in 0..shape.value_dim {
                    *dp += gradient[dy + d] * qkv[2].at(at + d, c + d);
                    dv[at + d] += p * gradient[dy + d];
                }
            }
            let mean = p.iter().zip(&dp).fold(T::default(), |sum, (&p, &dp)| sum + p * dp);
            let (q, qc) = places.q(i);
            for j in 0..shape.keys {
                let ds = p[j] * (dp[j] - mean) * T::from_f64(shape.scale);
                let (k, kc) = places.k(j);
                for d in 0..shape.key_dim {
                    dq[q + d] += ds * qkv[1].at(k + d, kc + d);
                    dk[k + d] += ds * qkv[0].at(q + d, qc + d);
                }
            }
        }
    }
    [dq, dk, dv]
}
