//! Pools, of windows that slide and of those that follow from their output.

use candle_core::Tensor;
use proptest::prelude::*;
use taper_ops::{
    Border, Error, PadMode, Padding, Result, Rounding, Window,
    nhwc::{
        adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_max_pool1d, adaptive_max_pool2d,
        avg_pool1d, avg_pool2d, global_avg_pool2d, global_max_pool2d, lp_pool1d, lp_pool2d,
        max_pool1d, max_pool2d, max_pool2d_with_indices,
    },
};

use crate::check::{Numbers, assert_differentiates, values};
use crate::conv::windows;

fn roundings() -> impl Strategy<Value = Rounding> {
    prop_oneof![Just(Rounding::Down), Just(Rounding::Up)]
}

fn borders() -> impl Strategy<Value = Border> {
    prop_oneof![Just(Border::Counted), Just(Border::Excluded)]
}

fn maps() -> impl Strategy<Value = Tensor> {
    ([1..3usize, 1..8, 1..8, 1..5], any::<u64>())
        .prop_map(|(shape, seed)| Numbers::new(seed).apart(&shape))
}

fn lines() -> impl Strategy<Value = Tensor> {
    ([1..3usize, 1..9, 1..5], any::<u64>())
        .prop_map(|(shape, seed)| Numbers::new(seed).apart(&shape))
}

/// Whether this configuration is none: what is asked of the others.
fn is_refused(result: &Result<Tensor>) -> bool {
    matches!(result, Err(Error::Window { .. } | Error::PaddingOnly { .. } | Error::Reach { .. }))
}

proptest! {
    #[test]
    fn pools_of_windows_differentiate(
        xs in maps(),
        window in windows(),
        rounding in roundings(),
        border in borders(),
        p in prop::sample::select(vec![1.0, 2.0, 3.5]),
    ) {
        prop_assume!(!is_refused(&max_pool2d(&xs, &window, rounding)));
        let args = [xs];
        assert_differentiates(&args, &|a| max_pool2d(&a[0], &window, rounding));
        assert_differentiates(&args, &|a| avg_pool2d(&a[0], &window, rounding, border));
        assert_differentiates(&args, &|a| lp_pool2d(&a[0], p, &window, rounding));
    }

    #[test]
    fn pools_of_sequences_differentiate(
        xs in lines(),
        (kernel_size, stride) in (1..4usize, 1..4usize),
        rounding in roundings(),
        border in borders(),
    ) {
        let window = Window::line(kernel_size, stride);
        prop_assume!(!is_refused(&max_pool1d(&xs, &window, rounding)));
        let args = [xs];
        assert_differentiates(&args, &|a| max_pool1d(&a[0], &window, rounding));
        assert_differentiates(&args, &|a| avg_pool1d(&a[0], &window, rounding, border));
        assert_differentiates(&args, &|a| lp_pool1d(&a[0], 2.0, &window, rounding));
    }

    #[test]
    fn adaptive_pools_differentiate(xs in maps(), out in [1..6usize, 1..6]) {
        let args = [xs];
        assert_differentiates(&args, &|a| adaptive_avg_pool2d(&a[0], out));
        assert_differentiates(&args, &|a| adaptive_max_pool2d(&a[0], out));
        assert_differentiates(&args, &|a| global_avg_pool2d(&a[0]));
        assert_differentiates(&args, &|a| global_max_pool2d(&a[0]));
    }

    #[test]
    fn adaptive_pools_of_sequences_differentiate(xs in lines(), out in 1..6usize) {
        let args = [xs];
        assert_differentiates(&args, &|a| adaptive_avg_pool1d(&a[0], out));
        assert_differentiates(&args, &|a| adaptive_max_pool1d(&a[0], out));
    }

    #[test]
    fn indices_point_at_the_largest_values(xs in maps(), window in windows(), rounding in roundings()) {
        let window = Window { mode: PadMode::Zeros, ..window };
        prop_assume!(!is_refused(&max_pool2d(&xs, &window, rounding)));
        let (ys, indices) = max_pool2d_with_indices(&xs, &window, rounding).unwrap();
        let &[n, h, w, c] = xs.dims() else { panic!("a map has four axes") };
        let per_image = ys.elem_count() / n;
        let (all, indices) = (values(&xs), indices.flatten_all().unwrap().to_vec1::<u32>().unwrap());
        for (i, (y, at)) in values(&ys).into_iter().zip(indices).enumerate() {
            prop_assert_eq!(y, all[(i / per_image * h * w + at as usize) * c + i % c]);
        }
    }
}

#[test]
fn the_first_of_equals_has_the_index_and_the_gradient() {
    let xs =
        candle_core::Var::ones((1, 2, 2, 1), candle_core::DType::F32, &candle_core::Device::Cpu);
    let xs = xs.unwrap();
    let window = Window { padding: Padding::Valid, ..Window::square(2, 2) };
    let (ys, indices) = max_pool2d_with_indices(&xs, &window, Rounding::Down).unwrap();
    assert_eq!(indices.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [0]);
    let grads = ys.backward().unwrap();
    assert_eq!(values(grads.get(&xs).unwrap()), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_nan_is_larger_than_any_number() {
    let xs = Tensor::new(&[[[[1f32], [f32::NAN], [2.0]]]], &candle_core::Device::Cpu).unwrap();
    let window = Window { kernel: [1, 3], padding: Padding::Valid, ..Window::square(1, 1) };
    let (ys, indices) = max_pool2d_with_indices(&xs, &window, Rounding::Down).unwrap();
    assert!(values(&ys)[0].is_nan());
    assert_eq!(indices.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [1]);
}
