//! Padding, resampling, blur, shuffles, layouts, activations.

use candle_core::Tensor;
use proptest::prelude::*;
use taper_ops::{
    Activation, Error, PadMode, Resampling, activation,
    nhwc::{blur_pool2d, channel_shuffle, interpolate, pad, prelu},
    to_nchw, to_nhwc,
};

use crate::check::{Numbers, assert_differentiates, values};
use crate::conv::modes;

fn maps() -> impl Strategy<Value = Tensor> {
    ([1..3usize, 1..7, 1..7, 1..5], any::<u64>())
        .prop_map(|(shape, seed)| Numbers::new(seed).tensor(&shape))
}

fn curves() -> impl Strategy<Value = Activation> {
    use Activation::{
        Gelu, GeluTanh, HardSigmoid, HardSwish, Identity, LeakyRelu, Mish, Relu, Relu6, Sigmoid,
        Silu, Tanh,
    };
    let leaky = LeakyRelu { slope: 0.125 };
    prop::sample::select(vec![
        Identity,
        Relu,
        Relu6,
        HardSwish,
        HardSigmoid,
        Silu,
        Sigmoid,
        Tanh,
        Gelu,
        GeluTanh,
        Mish,
        leaky,
    ])
}

proptest! {
    #[test]
    fn padding_differentiates(xs in maps(), sides in [0..4usize, 0..4, 0..4, 0..4], mode in modes()) {
        prop_assume!(!matches!(pad(&xs, sides, mode), Err(Error::Reach { .. })));
        assert_differentiates(&[xs], &|a| pad(&a[0], sides, mode));
    }

    #[test]
    fn interpolation_differentiates(xs in maps(), out in [1..9usize, 1..9]) {
        use Resampling::{Bicubic, Bilinear, BilinearAligned, Nearest};
        for resampling in [Nearest, Bilinear, BilinearAligned, Bicubic] {
            let args = [xs.clone()];
            assert_differentiates(&args, &|a| interpolate(&a[0], out, resampling));
        }
    }

    #[test]
    fn blur_pooling_differentiates(xs in maps(), kernel_size in 1..6usize, stride in 1..4usize, mode in modes()) {
        let refusal = blur_pool2d(&xs, kernel_size, stride, mode).err();
        prop_assume!(!matches!(refusal, Some(Error::Reach { .. } | Error::Window { .. })));
        assert_differentiates(&[xs], &|a| blur_pool2d(&a[0], kernel_size, stride, mode));
    }

    #[test]
    fn shuffling_differentiates([n, h, w, per_group] in [1..3usize, 1..5, 1..5, 1..4], groups in 1..4usize, seed in any::<u64>()) {
        let args = [Numbers::new(seed).tensor(&[n, h, w, groups * per_group])];
        assert_differentiates(&args, &|a| channel_shuffle(&a[0], groups));
    }

    #[test]
    fn layouts_differentiate_and_are_each_others_way_back(shape in [1..3usize, 1..70, 1..40, 1..3], seed in any::<u64>()) {
        let xs = Numbers::new(seed).tensor(&shape);
        let last = to_nhwc(&xs).unwrap();
        prop_assert_eq!(values(&last), values(&xs.permute((0, 2, 3, 1)).unwrap()));
        prop_assert_eq!(values(&to_nchw(&last).unwrap()), values(&xs));
        assert_differentiates(std::slice::from_ref(&xs), &|a| to_nhwc(&a[0]));
        assert_differentiates(&[xs], &|a| to_nchw(&a[0]));
    }

    #[test]
    fn activations_differentiate(curve in curves(), shape in prop::collection::vec(1..6usize, 1..4), seed in any::<u64>()) {
        let args = [Numbers::new(seed).apart(&shape)];
        assert_differentiates(&args, &|a| activation(&a[0], curve));
    }

    #[test]
    fn learned_slopes_differentiate(shape in prop::collection::vec(1..6usize, 2..5), one in any::<bool>(), seed in any::<u64>()) {
        let (mut numbers, c) = (Numbers::new(seed), shape[shape.len() - 1]);
        let args = [numbers.apart(&shape), numbers.tensor(&[if one { 1 } else { c }])];
        assert_differentiates(&args, &|a| prelu(&a[0], &a[1]));
    }
}

#[test]
fn rows_of_sixty_four_values_are_activated_like_any_other() {
    let args = [Numbers::new(5).apart(&[4, 32])];
    assert_differentiates(&args, &|a| activation(&a[0], Activation::Mish));
}

#[test]
fn pictures_in_channels_last_memory_are_not_copied() {
    let xs = Numbers::new(1).tensor(&[1, 2, 3, 4]);
    let ys = to_nhwc(&xs.permute((0, 3, 1, 2)).unwrap()).unwrap();
    assert_eq!(ys.dims(), xs.dims());
    assert_eq!(ys.layout(), xs.layout());
    let padded = pad(&xs, [0; 4], PadMode::Zeros).unwrap();
    assert_eq!(values(&padded), values(&xs));
}
