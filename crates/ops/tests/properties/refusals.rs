//! Configurations that make no sense are errors, with their numbers in the message.

use candle_core::{DType, Device, Tensor, Var};
use taper_ops::{
    Error, PadMode, Padding, Rounding, Window,
    nhwc::{
        adaptive_avg_pool2d, attention, batch_norm, channel_gate, conv_transpose2d, conv1d, conv2d,
        group_norm, lp_pool2d, max_pool2d, pad,
    },
};

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn message<T>(result: Result<T, Error>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_window_that_does_not_fit_shows_the_formula() {
    let window = Window { dilation: [2, 1], padding: Padding::Valid, ..Window::square(3, 1) };
    let refusal = conv2d(&zeros(&[1, 4, 4, 1]), &zeros(&[1, 1, 3, 3]), None, &window, 1);
    assert_eq!(
        message(refusal),
        "`conv2d`: the window does not fit into the height: 0 + 4 + 0 (padding, map, padding) is less than \
         dilation·(kernel − 1) + 1 = 2·(3 − 1) + 1"
    );
}

#[test]
fn groups_that_do_not_divide_are_refused() {
    let (window, xs) = (Window::point(), zeros(&[1, 2, 2, 3]));
    let refusal = conv2d(&xs, &zeros(&[4, 1, 1, 1]), None, &window, 2);
    assert_eq!(
        message(refusal),
        "`conv2d`: the input has shape [1, 2, 2, 3], expected (n, h, w, 2) for the weight [4, 1, 1, 1]"
    );
    let refusal = conv2d(&xs, &zeros(&[4, 1, 1, 1]), None, &window, 3);
    assert_eq!(message(refusal), "`conv2d`: 4 output channels cannot be split into 3 groups");
    let vector = zeros(&[3]);
    assert!(matches!(group_norm(&xs, 2, &vector, &vector, 1e-5), Err(Error::Groups { .. })));
    assert!(matches!(attention(&xs, &xs, &xs, [2, 1], 1.0), Err(Error::Groups { .. })));
}

#[test]
fn shapes_that_do_not_agree_are_refused() {
    let (window, xs) = (Window::square(3, 1), zeros(&[1, 5, 5, 2]));
    let refusal = conv2d(&xs, &zeros(&[4, 2, 3, 1]), None, &window, 1);
    assert_eq!(
        message(refusal),
        "`conv2d`: weight has shape [4, 2, 3, 1], expected (out, in / 1, 3, 3) with out, in at least 1"
    );
    let refusal = conv2d(&xs, &zeros(&[4, 2, 3, 3]), Some(&zeros(&[3])), &window, 1);
    assert_eq!(message(refusal), "`conv2d`: bias has shape [3], expected (4)");
    let refusal = conv1d(&zeros(&[1, 5, 2]), &zeros(&[4, 2, 3]), None, &window, 1);
    assert!(matches!(refusal, Err(Error::Shape { argument: "window", .. })));
    let refusal = channel_gate(&xs, &zeros(&[1, 2]));
    assert!(matches!(refusal, Err(Error::Shape { argument: "gate", .. })));
}

#[test]
fn paddings_that_cannot_be_are_refused() {
    let xs = zeros(&[1, 2, 2, 1]);
    assert!(matches!(pad(&xs, [2, 0, 0, 0], PadMode::Reflect), Err(Error::Reach { .. })));
    assert!(matches!(pad(&xs, [0, 0, 3, 0], PadMode::Circular), Err(Error::Reach { .. })));
    let window = Window { padding: Padding::symmetric(2), ..Window::square(2, 1) };
    let refusal = max_pool2d(&xs, &window, Rounding::Down);
    assert!(matches!(refusal, Err(Error::PaddingOnly { .. })));
    let transposed =
        |window: &Window, more| conv_transpose2d(&xs, &zeros(&[1, 1, 1, 1]), None, window, more, 1);
    let same = Window { padding: Padding::Same, ..Window::point() };
    assert!(matches!(transposed(&same, [0; 2]), Err(Error::TransposedPadding { .. })));
    assert!(matches!(transposed(&Window::point(), [1, 0]), Err(Error::OutputPadding { .. })));
    let cut = Window { padding: Padding::symmetric(1), ..Window::point() };
    assert!(matches!(transposed(&cut, [0; 2]), Err(Error::Empty { full: 2, cut: 2, .. })));
}

#[test]
fn sizes_of_zero_and_numbers_out_of_range_are_refused() {
    let xs = zeros(&[1, 2, 2, 1]);
    assert!(matches!(adaptive_avg_pool2d(&xs, [0, 1]), Err(Error::Zero { .. })));
    for window in [Window { stride: [0, 1], ..Window::point() }, Window::square(0, 1)] {
        assert!(matches!(max_pool2d(&xs, &window, Rounding::Down), Err(Error::Zero { .. })));
    }
    let refusal = lp_pool2d(&xs, 0.0, &Window::point(), Rounding::Down);
    assert!(matches!(refusal, Err(Error::Number { .. })));
    let vector = zeros(&[4]);
    let refusal = batch_norm(&zeros(&[1, 4]), &vector, &vector, 1e-5);
    assert!(matches!(refusal, Err(Error::Statistics { count: 1, .. })));
}

#[test]
fn other_element_types_are_refused_with_the_cure() {
    let (xs, weight) = (zeros(&[1, 2, 2, 1]), zeros(&[1, 1, 1, 1]));
    let half = xs.to_dtype(DType::F16).unwrap();
    let refusal = conv2d(&half, &weight, None, &Window::point(), 1);
    assert_eq!(
        message(refusal),
        "`conv2d`: the input is f16, expected f32 or f64; convert with `to_dtype`"
    );
    let refusal = conv2d(&xs.to_dtype(DType::F64).unwrap(), &weight, None, &Window::point(), 1);
    assert_eq!(
        message(refusal),
        "`conv2d`: the input is f64, expected f32; convert with `to_dtype`"
    );
    let error: candle_core::Error = adaptive_avg_pool2d(&half, [1, 1]).unwrap_err().into();
    assert!(error.to_string().contains("adaptive_avg_pool2d"));
}

#[test]
fn an_argument_without_a_tape_gets_no_gradient() {
    let xs = zeros(&[1, 2, 2, 1]);
    let weight = Var::from_tensor(&zeros(&[1, 1, 1, 1])).unwrap();
    let ys = conv2d(&xs, &weight, None, &Window::point(), 1).unwrap();
    let grads = ys.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&xs).is_none());
    assert!(grads.get(&weight).is_some());
}
