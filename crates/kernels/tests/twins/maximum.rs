//! Where a maximum's gradient goes: PyTorch's rule, to the bit, on every device and in both precisions.
//!
//! Above: `main`. Below: `taper_kernels`. Not here: means and norms (`main`).
//! Source: `max_pool2d` and `adaptive_max_pool2d` of PyTorch 2.x walk a window in row-major order and take `val > maxval || isnan(val)`.

use proptest::prelude::{any, prop_assert, proptest};
use taper_kernels::{
    Cpu, Device, Isa, PoolShape, PoolWindow, Pooling, Real, Reference, Sink, Source,
};

/// The values and the gradient of a pooling.
fn run<T: Real>(
    device: &mut dyn Device<T>,
    shape: &PoolShape,
    xs: &[f64],
    gradient: &[f64],
) -> [Vec<f64>; 2] {
    let narrow = |values: &[f64]| values.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let (xs, gradient) = (narrow(xs), narrow(gradient));
    let [mut y, mut dx] =
        [shape.output_len(), shape.input_len()].map(|len| vec![T::default(); len]);
    device.windows_forward(shape, Pooling::Max, Source::plain(&xs), &mut y);
    let sink = Sink { out: &mut dx, accumulate: false, mask: None, tally: None };
    device.windows_backward(shape, Pooling::Max, &gradient, Source::plain(&xs), sink);
    [y, dx].map(|values| values.iter().map(|v| v.to_f64()).collect())
}

/// The same on all devices, in both precisions.
fn everywhere(shape: &PoolShape, xs: &[f64], gradient: &[f64]) -> Vec<(String, [Vec<f64>; 2])> {
    let mut all = vec![
        ("f64".to_owned(), run::<f64>(&mut Reference, shape, xs, gradient)),
        ("f32".to_owned(), run::<f32>(&mut Reference, shape, xs, gradient)),
    ];
    for isa in Isa::here() {
        let mut cpu = Cpu::with_isa(2, isa).expect("an instruction set of this machine");
        all.push((format!("{isa:?}"), run::<f32>(&mut cpu, shape, xs, gradient)));
    }
    all
}

#[expect(
    clippy::float_cmp,
    reason = "a maximum is one of the values, and its gradient arrives as it is"
)]
fn same(a: &[f64], b: &[f64]) -> bool {
    let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[test]
fn the_last_nan_of_a_window_takes_the_gradient_and_without_one_the_first_of_equals() {
    const NAN: f64 = f64::NAN;
    let (all, low) = ([1.0, 7.0, 7.0, 2.0], f64::NEG_INFINITY);
    for (xs, y, at) in [
        (all, 7.0, 1),
        ([NAN, 7.0, 3.0, 2.0], NAN, 0),
        ([1.0, NAN, 9.0, 2.0], NAN, 1),
        ([NAN, 9.0, NAN, 9.0], NAN, 2),
        ([NAN; 4], NAN, 3),
        ([low; 4], low, 0),
        ([f64::INFINITY, 1.0, f64::INFINITY, 1.0], f64::INFINITY, 0),
    ] {
        let line = PoolShape::adaptive([1, 1, 4, 1], [1, 1]).expect("a legal shape");
        let square = PoolShape::adaptive([1, 2, 2, 1], [1, 1]).expect("a legal shape");
        for (shape, gradient) in
            [(&line, 3.0), (&square, 3.0), (&line, f64::INFINITY), (&line, NAN)]
        {
            let mut dx = [0.0; 4];
            dx[at] = gradient;
            for (device, got) in everywhere(shape, &xs, &[gradient]) {
                assert!(same(&got[0], &[y]), "{device}: {xs:?} gave {:?}", got[0]);
                assert!(same(&got[1], &dx), "{device}: {xs:?} sent {gradient} to {:?}", got[1]);
            }
        }
    }
}

proptest! {
    /// Windows that overlap, strides, dilations and padding, many channels and images; a third of all values are NaN or infinite.
    #[test]
    fn windows_choose_as_pytorch_does(
        [n, h, w, c] in [1..3usize, 1..8, 1..8, 1..40],
        (kernel, stride, dilation, pads) in super::windows(),
        is_adaptive in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let sizes = [n, h, w, c];
        let mut pads = pads;
        (0..4).for_each(|side| pads[side] = pads[side].min(kernel[side % 2] / 2));
        let reach = |axis: usize| (kernel[axis] - 1) * dilation[axis] + 1;
        let outs = [h + pads[0] + pads[2], w + pads[1] + pads[3]];
        let out = [0, 1].map(|axis| outs[axis].checked_sub(reach(axis)).map_or(0, |r| r / stride[axis] + 1));
        let window = PoolWindow { kernel, stride, dilation, pads, counts_padding: false };
        let shape = if is_adaptive { PoolShape::adaptive(sizes, kernel) } else { PoolShape::sliding(sizes, &window, out) };
        let Some(shape) = shape else { return Ok(()) };

        let mut stream = super::Stream(seed);
        let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        let mut values = |len: usize| -> Vec<f64> {
            let value = |v: f64| if v > 0.33 { special[(v * 1e6) as usize % 3] } else { (v * 6.0).round() };
            (0..len).map(|_| value(stream.next())).collect()
        };
        let (xs, mut gradient) = (values(shape.input_len()), values(shape.output_len()));
        // Sums of infinities of both signs depend on nothing but are hard to tell apart: one kind of them.
        gradient.iter_mut().for_each(|g| *g = g.max(-9.0));

        let [oh, ow] = shape.out();
        let [mut y, mut dx] = [gradient.len(), xs.len()].map(|len| vec![0.0; len]);
        for at in 0..gradient.len() {
            let (image, position, channel) = (at / (oh * ow * c), at / c % (oh * ow), at % c);
            let (mut best, mut max) = (usize::MAX, f64::NEG_INFINITY);
            for pixel in shape.pixels(position / ow, position % ow) {
                let place = (image * h * w + pixel) * c + channel;
                if best == usize::MAX || xs[place] > max || xs[place].is_nan() {
                    (best, max) = (place, xs[place]);
                }
            }
            y[at] = max;
            dx[best] += gradient[at];
        }
        for (device, got) in everywhere(&shape, &xs, &gradient) {
            prop_assert!(same(&got[0], &y), "{}: {:?} instead of {:?}", device, got[0], y);
            prop_assert!(same(&got[1], &dx), "{}: {:?} instead of {:?}", device, got[1], dx);
        }
    }
}
