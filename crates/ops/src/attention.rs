//! Attention of positions over positions, with as many heads of keys and values as one likes.
//!
//! Above: users of candle, `layers`. Below: `operation`, `kernels::AttentionShape`. Not here: what makes queries, keys and values
//! (`conv`), masks and caches of language models.
//! Source: Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>; shared keys and values: Shazeer 2019,
//! <https://arxiv.org/abs/1911.02150>.

use candle_core::Tensor;
use taper_kernels::{AttentionShape, Device, Source};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::map::{Map, shape};
use crate::operation::{InputGrads, Operation, apply, sink};

/// Lets every position of `queries` look at all positions of `keys`: each head's `softmax(scale · q · kᵀ) · v`.
///
/// Head `i` of the queries reads head `i · kv_heads / heads` of keys and values.
///
/// # Shapes
/// - `queries`: `(n, h, w, heads·key_dim)` or `(n, l, heads·key_dim)`
/// - `keys`: the same with its own positions and `kv_heads·key_dim` channels; `values`: those positions, `kv_heads·value_dim` channels
/// - returns the positions of `queries`, `heads·value_dim` channels
///
/// # Errors
/// [`Error::Groups`] if heads do not divide channels or heads, [`Error::Shape`], [`Error::Number`] if `scale` is not finite,
/// [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.scaled_dot_product_attention`, whose `scale` is `1/√key_dim` unless given.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// // One query as near to either key: the mean of the values.
/// let queries = Tensor::new(&[[[1f32, 1.0]]], &Device::Cpu)?;
/// let keys = Tensor::new(&[[[1f32, 0.0], [0.0, 1.0]]], &Device::Cpu)?;
/// let values = Tensor::new(&[[[2f32], [4.0]]], &Device::Cpu)?;
/// let ys = taper_ops::nhwc::attention(&queries, &keys, &values, [1, 1], 0.5)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    [heads, kv_heads]: [usize; 2],
    scale: f64,
) -> Result<Tensor> {
    let op = Attention::NAME;
    if !scale.is_finite() {
        return Err(Error::Number { op, what: "scale", got: scale, expected: "finite" });
    }
    let [q, k, v] = [queries, keys, values].map(|map| Map::of_any(op, map));
    let (q, k, v) = (q?, k?, v?);
    let key_dim = split("channels of queries", q.c, heads)?;
    split("query heads", heads, kv_heads)?;
    if (k.n, k.c) != (q.n, kv_heads * key_dim) {
        let expected = format!("batch {}, {kv_heads}·{key_dim} channels", q.n);
        return Err(shape(op, "keys", keys, expected));
    }
    if (v.n, v.size()) != (k.n, k.size()) {
        return Err(shape(op, "values", values, "batch and positions of keys"));
    }
    let value_dim = split("channels of values", v.c, kv_heads)?;
    let (n, queries_len, keys_len) = (q.n.max(1), q.positions(), k.positions());
    let sizes = AttentionShape {
        n,
        queries: queries_len,
        keys: keys_len,
        heads,
        kv_heads,
        key_dim,
        value_dim,
        scale,
    };
    sizes.lens().ok_or(Error::TooLarge { op })?;
    let mut out = queries.dims().to_vec();
    out.pop();
    out.push(heads * value_dim);
    apply(Attention(sizes), queries, [Some(keys), Some(values)], out)
}

fn split(what: &'static str, channels: usize, groups: usize) -> Result<usize> {
    if groups > 0 && channels.is_multiple_of(groups) {
        return Ok(channels / groups);
    }
    Err(Error::Groups { op: Attention::NAME, what, channels, groups })
}

struct Attention(AttentionShape);

impl Operation for Attention {
    const NAME: &'static str = "attention";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let qkv = [inputs[0], inputs[1], inputs[2]].map(Source::plain);
        device.attention(&self.0, qkv, y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        wanted: InputGrads<'_, T>,
    ) {
        let qkv = [inputs[0], inputs[1], inputs[2]].map(Source::plain);
        device.attention_backward(&self.0, gradient, qkv, wanted.map(|room| room.map(sink)));
    }
}
