//! Convolutions, and transposed ones.

use candle_core::Tensor;
use proptest::prelude::*;
use taper_ops::{
    Error, PadMode, Padding, Window,
    nhwc::{conv_transpose1d, conv_transpose2d, conv1d, conv2d},
};

use crate::check::{Numbers, assert_differentiates};

/// A convolution that may or may not exist.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) n: usize,
    pub(crate) size: [usize; 2],
    groups: usize,
    per_group: [usize; 2],
    pub(crate) window: Window,
    output_padding: [usize; 2],
    has_bias: bool,
    pub(crate) seed: u64,
}

fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

fn padding() -> impl Strategy<Value = Padding> {
    let explicit =
        |[top, left, bottom, right]: [usize; 4]| Padding::Explicit { top, left, bottom, right };
    prop_oneof![
        Just(Padding::Same),
        Just(Padding::Valid),
        [0..3usize, 0..3, 0..3, 0..3].prop_map(explicit),
    ]
}

pub(crate) fn modes() -> impl Strategy<Value = PadMode> {
    use PadMode::{Circular, Reflect, Replicate, Zeros};
    prop::sample::select(vec![Zeros, Zeros, Reflect, Replicate, Circular])
}

pub(crate) fn windows() -> impl Strategy<Value = Window> {
    (pair(1..4), pair(1..4), pair(1..3), padding(), modes()).prop_map(
        |(kernel, stride, dilation, padding, mode)| Window {
            kernel,
            stride,
            dilation,
            padding,
            mode,
        },
    )
}

pub(crate) fn problems() -> impl Strategy<Value = Problem> {
    let sizes = (1..3usize, pair(1..8), 1..4usize, pair(1..4));
    (sizes, windows(), pair(0..2), any::<bool>(), any::<u64>()).prop_map(
        |((n, size, groups, per_group), window, output_padding, has_bias, seed)| Problem {
            n,
            size,
            groups,
            per_group,
            window,
            output_padding,
            has_bias,
            seed,
        },
    )
}

impl Problem {
    fn args(&self, xs: &[usize], weight: &[usize], out: usize) -> Vec<Tensor> {
        let mut numbers = Numbers::new(self.seed);
        let mut args = vec![numbers.tensor(xs), numbers.tensor(weight)];
        args.extend(self.has_bias.then(|| numbers.tensor(&[out])));
        args
    }

    /// Whether the window fits and its padding can be filled.
    pub(crate) fn fits(&self) -> bool {
        let pads = self.window.pads(self.size);
        let reach = [self.size[0], self.size[1], self.size[0], self.size[1]];
        let fills = pads.iter().zip(reach).all(|(&pad, size)| match self.window.mode {
            PadMode::Reflect => pad < size,
            PadMode::Circular => pad <= size,
            _ => true,
        });
        fills && self.window.output_size(self.size).is_some()
    }

    /// The same along one axis.
    fn flattened(&self) -> Self {
        let [_, left, _, right] = self.window.pads(self.size);
        let Window { kernel, stride, dilation, mode, .. } = self.window;
        let padding = Padding::Explicit { top: 0, left, bottom: 0, right };
        let window =
            Window { kernel: [1, kernel[1]], stride: [1, stride[1]], dilation, padding, mode };
        Self { size: [1, self.size[1]], window, ..self.clone() }
    }
}

proptest! {
    #[test]
    fn a_convolution_differentiates(problem in problems()) {
        prop_assume!(problem.fits());
        let Problem { n, size: [h, w], groups, per_group: [i, o], window, .. } = problem;
        let [kh, kw] = window.kernel;
        let args = problem.args(&[n, h, w, groups * i], &[groups * o, i, kh, kw], groups * o);
        assert_differentiates(&args, &|a| conv2d(&a[0], &a[1], a.get(2), &window, groups));
    }

    #[test]
    fn a_convolution_of_sequences_differentiates(problem in problems()) {
        let problem = problem.flattened();
        prop_assume!(problem.fits());
        let Problem { n, size: [_, l], groups, per_group: [i, o], window, .. } = problem;
        let args = problem.args(&[n, l, groups * i], &[groups * o, i, window.kernel[1]], groups * o);
        assert_differentiates(&args, &|a| conv1d(&a[0], &a[1], a.get(2), &window, groups));
    }

    #[test]
    fn a_transposed_convolution_differentiates(problem in problems()) {
        let Problem { n, size: [h, w], groups, per_group: [i, o], output_padding, .. } = problem;
        let mode = PadMode::Zeros;
        let padding = match problem.window.padding {
            Padding::Same => Padding::Valid,
            padding => padding,
        };
        let window = Window { padding, mode, ..problem.window };
        let [kh, kw] = window.kernel;
        let args = problem.args(&[n, h, w, groups * i], &[groups * i, o, kh, kw], groups * o);
        let op = |a: &[Tensor]| {
            conv_transpose2d(&a[0], &a[1], a.get(2), &window, output_padding, groups)
        };
        let refusal = op(&args).err();
        prop_assume!(!matches!(refusal, Some(Error::OutputPadding { .. } | Error::Empty { .. })));
        assert_differentiates(&args, &op);
    }

    #[test]
    fn a_transposed_convolution_of_sequences_differentiates(problem in problems()) {
        let problem = problem.flattened();
        let Problem { n, size: [_, l], groups, per_group: [i, o], .. } = problem;
        let window = Window { mode: PadMode::Zeros, ..problem.window };
        let args = problem.args(&[n, l, groups * i], &[groups * i, o, window.kernel[1]], groups * o);
        let output_padding = problem.output_padding[1];
        let op = |a: &[Tensor]| {
            conv_transpose1d(&a[0], &a[1], a.get(2), &window, output_padding, groups)
        };
        let refusal = op(&args).err();
        prop_assume!(!matches!(refusal, Some(Error::OutputPadding { .. } | Error::Empty { .. })));
        assert_differentiates(&args, &op);
    }
}
