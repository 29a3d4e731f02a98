//! Norms, affine maps of channels, gates, attention.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use taper_ops::nhwc::{
    attention, batch_norm, batch_norm_frozen, channel_affine, channel_gate, group_norm, layer_norm,
};

use crate::check::{Numbers, assert_differentiates, assert_near, values};

/// Keeps variances away from zero, where differences of a step would say nothing.
const EPS: f64 = 0.1;

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        [1..4usize, 1..6, 1..6, 1..6].prop_map(Vec::from),
        [1..4usize, 1..6, 1..6].prop_map(Vec::from),
        [1..6usize, 1..6].prop_map(Vec::from),
    ]
}

/// A tensor and two vectors for its channels.
fn with_vectors(shape: &[usize], seed: u64) -> [Tensor; 3] {
    let (mut numbers, c) = (Numbers::new(seed), shape[shape.len() - 1]);
    [numbers.tensor(shape), numbers.tensor(&[c]), numbers.tensor(&[c])]
}

/// The first `n` pictures; none, when the first argument has none.
fn first(tensor: &Tensor, n: usize) -> Tensor {
    tensor.narrow(0, 0, n).unwrap()
}

proptest! {
    #[test]
    fn batch_norm_differentiates_through_its_statistics(shape in shapes(), seed in any::<u64>()) {
        prop_assume!(shape[..shape.len() - 1].iter().product::<usize>() > 1);
        let args = with_vectors(&shape, seed);
        assert_differentiates(&args, &|a| Ok(batch_norm(&a[0], &a[1], &a[2], EPS)?.0));
    }

    #[test]
    fn statistics_of_a_batch_are_those_of_its_values(shape in shapes(), seed in any::<u64>()) {
        let count: usize = shape[..shape.len() - 1].iter().product();
        prop_assume!(count > 1);
        let [xs, weight, bias] = with_vectors(&shape, seed);
        for dtype in [DType::F32, DType::F64] {
            let [xs, weight, bias] = [&xs, &weight, &bias].map(|t| t.to_dtype(dtype).unwrap());
            let (_, batch) = batch_norm(&xs, &weight, &bias, EPS).unwrap();
            let rows = xs.reshape((count, ())).unwrap().to_dtype(DType::F64).unwrap();
            let mean = rows.mean_keepdim(0).unwrap();
            let var = rows.broadcast_sub(&mean).unwrap().sqr().unwrap().mean(0).unwrap();
            assert_near(&batch.mean, &mean.squeeze(0).unwrap(), "mean");
            assert_near(&batch.var, &var, "variance");
            prop_assert_eq!(batch.count, count);
        }
    }

    #[test]
    fn frozen_batch_norm_differentiates(shape in shapes(), seed in any::<u64>()) {
        let args = with_vectors(&shape, seed);
        let mut numbers = Numbers::new(seed ^ 1);
        let mean = numbers.tensor(args[1].dims());
        let var = numbers.tensor(args[1].dims()).sqr().unwrap();
        assert_differentiates(&args, &|a| {
            let given = [&mean, &var].map(|t| t.to_dtype(a[0].dtype()).unwrap());
            batch_norm_frozen(&a[0], [&a[1], &a[2]], given.each_ref(), EPS)
        });
    }

    #[test]
    fn an_affine_map_of_channels_differentiates(shape in shapes(), seed in any::<u64>()) {
        let args = with_vectors(&shape, seed);
        assert_differentiates(&args, &|a| channel_affine(&a[0], &a[1], &a[2]));
    }

    #[test]
    fn group_and_layer_norm_differentiate(mut shape in shapes(), groups in 1..4usize, seed in any::<u64>()) {
        let args = with_vectors(&shape, seed);
        assert_differentiates(&args, &|a| layer_norm(&a[0], &a[1], &a[2], EPS));
        let last = shape.len() - 1;
        shape[last] *= groups;
        let args = with_vectors(&shape, seed);
        assert_differentiates(&args, &|a| group_norm(&a[0], groups, &a[1], &a[2], EPS));
    }

    #[test]
    fn a_gate_differentiates([n, h, w, c] in [1..4usize, 1..6, 1..6, 1..6], seed in any::<u64>()) {
        let mut numbers = Numbers::new(seed);
        let args = [numbers.tensor(&[n, h, w, c]), numbers.tensor(&[n, 1, 1, c])];
        assert_differentiates(&args, &|a| {
            let n = a[0].dims()[0];
            channel_gate(&a[0], &first(&a[1], n))
        });
    }

    #[test]
    fn attention_differentiates(
        (n, h, w, keys) in (1..3usize, 1..4usize, 1..4usize, 1..6usize),
        (kv_heads, shared, key_dim, value_dim) in (1..3usize, 1..3usize, 1..5usize, 1..5usize),
        seed in any::<u64>(),
    ) {
        let (heads, mut numbers) = (kv_heads * shared, Numbers::new(seed));
        let args = [
            numbers.tensor(&[n, h, w, heads * key_dim]),
            numbers.tensor(&[n, 1, keys, kv_heads * key_dim]),
            numbers.tensor(&[n, 1, keys, kv_heads * value_dim]),
        ];
        assert_differentiates(&args, &|a| {
            let n = a[0].dims()[0];
            let (keys, values) = (first(&a[1], n), first(&a[2], n));
            attention(&a[0], &keys, &values, [heads, kv_heads], 0.7)
        });
    }
}

#[test]
fn an_empty_batch_leaves_running_statistics_alone() {
    let xs = Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap();
    let vector = Numbers::new(0).tensor(&[3]).to_dtype(DType::F32).unwrap();
    let (ys, batch) = batch_norm(&xs, &vector, &vector, EPS).unwrap();
    assert_eq!((ys.dims(), batch.count), (&[0, 3][..], 0));
    let (mean, var) = batch.running(&vector, &vector, 0.1).unwrap();
    assert_eq!((values(&mean), values(&var)), (values(&vector), values(&vector)));
}
