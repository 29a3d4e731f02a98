//! The shape struct of attention over positions.
//!
//! Above: `device`, `engine`. Below: nothing. Not here: the convolutions that make queries, keys and values.
//! Source: Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>; shared keys and values: Shazeer 2019, <https://arxiv.org/abs/1911.02150>.

use crate::sizes::{checked_product, product};

/// Queries `(n, queries, heads · key_dim)`, keys `(n, keys, kv_heads · key_dim)`, values `(n, keys, kv_heads · value_dim)` to
/// `(n, queries, heads · value_dim)`: each head's `softmax(scale · q · kᵀ) · v`. Head `i` reads key head `i · kv_heads / heads`.
///
/// A device checks the sizes before it uses them; [`AttentionShape::lens`] says beforehand whether they are sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Pictures.
    pub n: usize,
    /// Positions of the queries.
    pub queries: usize,
    /// Positions of keys and values.
    pub keys: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Channels of a head of queries and keys.
    pub key_dim: usize,
    /// Channels of a head of values.
    pub value_dim: usize,
    /// Factor before the softmax.
    pub scale: f64,
}

impl AttentionShape {
    /// Elements of queries, keys, values and output; `None` if a size is zero, overflows, or heads do not divide.
    #[must_use]
    pub fn lens(&self) -> Option<[usize; 4]> {
        if self.kv_heads == 0 || !self.heads.is_multiple_of(self.kv_heads) {
            return None;
        }
        let len = |sizes: [usize; 4]| checked_product(sizes).filter(|&len| len > 0);
        Some([
            len([self.n, self.queries, self.heads, self.key_dim])?,
            len([self.n, self.keys, self.kv_heads, self.key_dim])?,
            len([self.n, self.keys, self.kv_heads, self.value_dim])?,
            len([self.n, self.queries, self.heads, self.value_dim])?,
        ])
    }

    /// Channels of queries, keys, values and output; `usize::MAX` where they overflow.
    #[must_use]
    pub fn channels(&self) -> [usize; 4] {
        let Self { heads, kv_heads, key_dim, value_dim, .. } = *self;
        [[heads, key_dim], [kv_heads, key_dim], [kv_heads, value_dim], [heads, value_dim]]
            .map(product)
    }
}
