//! What every device checks before it touches memory: that lengths are what the shape says.
//!
//! Above: `device`, `reference`, `cpu`. Below: shape structs, `sizes`. Not here: whether a shape is sound (its constructor).
//! A check costs a few comparisons a call. Products saturate: no slice has `usize::MAX` elements, so sizes that overflow fit none.

use super::{Affine, Attended, ConvGradient, Epilogue, Moments, Sink, Source};
use crate::sizes::product;
use crate::{AttentionShape, ChannelMap, ConvShape, NormShape, PoolShape, Real, SpatialMap};

/// # Panics
/// If a slice has another length than it must have.
fn length(what: &str, got: usize, expected: usize) {
    assert!(got == expected, "{what}: {got} elements, expected {expected}");
}

fn some_length<T>(what: &str, got: Option<&[T]>, expected: usize) {
    if let Some(got) = got {
        length(what, got.len(), expected);
    }
}

/// A tensor of whole positions of `c` channels.
fn positions(what: &str, len: usize, c: usize) {
    assert!(c > 0, "{what}: no channels");
    assert!(
        len.is_multiple_of(c),
        "{what}: {len} elements are not whole positions of {c} channels"
    );
}

fn source<T: Real>(what: &str, xs: &Source<'_, T>, len: usize, c: usize) {
    length(what, xs.data.len(), len);
    if let Some(Affine { scale, shift }) = xs.affine {
        length("scale of a norm", scale.len(), c);
        length("shift of a norm", shift.len(), c);
    }
}

fn sink<T: Real>(sink: &Sink<'_, T>, len: usize, c: usize) {
    length("gradient of an input", sink.out.len(), len);
    if let Some(mask) = sink.mask {
        source("mask", &mask.source, len, c);
    }
    if let Some(tally) = &sink.tally {
        length("output of a tally", tally.y.len(), len);
        length("means of a tally", tally.mean.len(), c);
        length("sums of a tally", tally.sum.len(), c);
        length("products of a tally", tally.dot.len(), c);
    }
}

fn some_sink<T: Real>(to: Option<&Sink<'_, T>>, len: usize, c: usize) {
    if let Some(to) = to {
        sink(to, len, c);
    }
}

/// A weight `(oc, c / groups, kh, kw)`.
pub(crate) fn weight<T>(shape: &ConvShape, weight: &[T]) {
    length("weight", weight.len(), shape.weight_len());
}

/// A convolution but for its weight.
pub(crate) fn conv<T: Real>(
    shape: &ConvShape,
    xs: &Source<'_, T>,
    epilogue: &Epilogue<'_, T>,
    y: &[T],
    moments: Option<&Moments<'_, T>>,
) {
    source("input", xs, shape.input_len(), shape.c);
    length("output", y.len(), shape.output_len());
    some_length("bias", epilogue.bias, shape.oc);
    some_length("residual", epilogue.residual, shape.output_len());
    if let Some(moments) = moments {
        assert!(
            epilogue.is_empty(),
            "moments are those of the bare sums: the epilogue must be empty"
        );
        length("means", moments.mean.len(), shape.oc);
        length("variances", moments.var.len(), shape.oc);
    }
}

/// A gate `(n, c)` before a convolution.
pub(crate) fn gate<T>(shape: &ConvShape, gate: &[T]) {
    length("gate", gate.len(), product([shape.n, shape.c]));
}

/// What only the weight's gradient reads, the input, need not be there without it.
pub(crate) fn conv_backward<T: Real>(
    shape: &ConvShape,
    gradient: &ConvGradient<'_, T>,
    xs: &Source<'_, T>,
    weights: &[T],
    d_weight: Option<&[T]>,
    d_bias: Option<&[T]>,
    dx: Option<&Sink<'_, T>>,
) {
    if d_weight.is_some() {
        source("input", xs, shape.input_len(), shape.c);
    }
    weight(shape, weights);
    length("gradient", gradient.dz.len(), shape.output_len());
    if let Some(norm) = &gradient.norm {
        length("output of a norm gradient", norm.y.len(), shape.output_len());
        for factors in [norm.a, norm.b, norm.c] {
            length("factors of a norm gradient", factors.len(), shape.oc);
        }
    }
    some_length("gradient of the weight", d_weight, shape.weight_len());
    some_length("gradient of the bias", d_bias, shape.oc);
    some_sink(dx, shape.input_len(), shape.c);
}

/// `shape` goes from `y` to `x`.
pub(crate) fn conv_transpose<T>(
    shape: &ConvShape,
    xs: &[T],
    weights: &[T],
    bias: Option<&[T]>,
    y: &[T],
) {
    length("input", xs.len(), shape.output_len());
    weight(shape, weights);
    some_length("bias", bias, shape.c);
    length("output", y.len(), shape.input_len());
}

pub(crate) fn conv_transpose_backward<T: Real>(
    shape: &ConvShape,
    gradient: &[T],
    xs: &[T],
    weights: &[T],
    d_weight: Option<&[T]>,
    d_bias: Option<&[T]>,
    dx: Option<&Sink<'_, T>>,
) {
    conv_transpose(shape, xs, weights, d_bias, gradient);
    some_length("gradient of the weight", d_weight, shape.weight_len());
    some_sink(dx, shape.output_len(), shape.oc);
}

/// Two maps of one length, and what becomes of them.
pub(crate) fn copy<T: Real>(c: usize, xs: &Source<'_, T>, out: &[T]) {
    positions("output", out.len(), c);
    source("input", xs, out.len(), c);
}

pub(crate) fn add<T: Real>(c: usize, a: &Source<'_, T>, b: &Source<'_, T>, out: &[T]) {
    positions("output", out.len(), c);
    source("first input", a, out.len(), c);
    source("second input", b, out.len(), c);
}

pub(crate) fn pass<T: Real>(c: usize, gradient: &[T], to: &Sink<'_, T>) {
    positions("gradient", gradient.len(), c);
    sink(to, gradient.len(), c);
}

/// A map `(n, positions, c)` of `len` elements and a gate `(n, c)`.
pub(crate) fn mul<T: Real>(
    [n, position_count, c]: [usize; 3],
    xs: &Source<'_, T>,
    gate: &Source<'_, T>,
    len: usize,
) {
    let all = product([n, position_count, c]);
    positions("gate", gate.data.len(), c);
    length("output", len, all);
    source("input", xs, all, c);
    source("gate", gate, product([n, c]), c);
}

pub(crate) fn mul_backward<T: Real>(
    sizes @ [n, position_count, c]: [usize; 3],
    gradient: &[T],
    [xs, gate]: &[Source<'_, T>; 2],
    [dx, d_gate]: &[Option<Sink<'_, T>>; 2],
) {
    mul(sizes, xs, gate, gradient.len());
    some_sink(dx.as_ref(), product([n, position_count, c]), c);
    some_sink(d_gate.as_ref(), product([n, c]), c);
}

/// A mean over positions: `(n, positions, c)` to `(n, c)`.
pub(crate) fn pool<T: Real>([n, position_count, c]: [usize; 3], xs: &Source<'_, T>, y: &[T]) {
    assert!(position_count > 0, "a mean over no positions");
    positions("output", y.len(), c);
    length("output", y.len(), product([n, c]));
    source("input", xs, product([n, position_count, c]), c);
}

pub(crate) fn pool_backward<T: Real>(
    [n, position_count, c]: [usize; 3],
    gradient: &[T],
    to: &Sink<'_, T>,
) {
    assert!(position_count > 0, "a mean over no positions");
    positions("gradient", gradient.len(), c);
    length("gradient", gradient.len(), product([n, c]));
    sink(to, product([n, position_count, c]), c);
}

pub(crate) fn windows<T: Real>(shape: &PoolShape, xs: &Source<'_, T>, y: &[T]) {
    source("input", xs, shape.input_len(), shape.c);
    length("output", y.len(), shape.output_len());
}

pub(crate) fn windows_backward<T: Real>(
    shape: &PoolShape,
    gradient: &[T],
    xs: &Source<'_, T>,
    to: &Sink<'_, T>,
) {
    windows(shape, xs, gradient);
    sink(to, shape.input_len(), shape.c);
}

/// `(n, positions, c)` to `(n, c, positions)`.
pub(crate) fn flatten<T: Real>(sizes: [usize; 3], xs: &Source<'_, T>, y: &[T]) {
    positions("output", y.len(), sizes[2]);
    length("output", y.len(), product(sizes));
    source("input", xs, product(sizes), sizes[2]);
}

pub(crate) fn flatten_backward<T: Real>(sizes: [usize; 3], gradient: &[T], to: &Sink<'_, T>) {
    positions("gradient", gradient.len(), sizes[2]);
    length("gradient", gradient.len(), product(sizes));
    sink(to, product(sizes), sizes[2]);
}

pub(crate) fn resample<T: Real>(map: &SpatialMap, xs: &Source<'_, T>, y: &[T]) {
    source("input", xs, map.input_len(), map.c);
    length("output", y.len(), map.output_len());
}

pub(crate) fn resample_backward<T: Real>(map: &SpatialMap, gradient: &[T], to: &Sink<'_, T>) {
    length("gradient", gradient.len(), map.output_len());
    sink(to, map.input_len(), map.c);
}

pub(crate) fn move_channels<T: Real>(rows: usize, map: &ChannelMap, xs: &Source<'_, T>, y: &[T]) {
    source("input", xs, product([rows, map.in_channels]), map.in_channels);
    length("output", y.len(), product([rows, map.out_channels]));
}

pub(crate) fn move_channels_backward<T: Real>(
    rows: usize,
    map: &ChannelMap,
    gradient: &[T],
    to: &Sink<'_, T>,
) {
    length("gradient", gradient.len(), product([rows, map.out_channels]));
    sink(to, product([rows, map.in_channels]), map.in_channels);
}

pub(crate) fn group_norm<T: Real>(
    shape: &NormShape,
    xs: &Source<'_, T>,
    affine: &Affine<'_, T>,
    y: &[T],
) {
    source("input", xs, shape.len(), shape.c);
    length("output", y.len(), shape.len());
    length("scale", affine.scale.len(), shape.c);
    length("shift", affine.shift.len(), shape.c);
}

pub(crate) fn group_norm_backward<T: Real>(
    shape: &NormShape,
    gradient: &[T],
    xs: &Source<'_, T>,
    scale: &[T],
    d_affine: &[Option<&mut [T]>; 2],
    to: Option<&Sink<'_, T>>,
) {
    source("input", xs, shape.len(), shape.c);
    length("gradient", gradient.len(), shape.len());
    length("scale", scale.len(), shape.c);
    for (what, d) in ["gradient of the scale", "gradient of the shift"].into_iter().zip(d_affine) {
        some_length(what, d.as_deref(), shape.c);
    }
    some_sink(to, shape.len(), shape.c);
}

/// One slope, or one a channel.
pub(crate) fn prelu<T: Real>(c: usize, xs: &Source<'_, T>, slope: &[T], len: usize) {
    positions("output", len, c);
    source("input", xs, len, c);
    let slopes = slope.len();
    assert!([1, c].contains(&slopes), "slopes: {slopes} elements, expected 1 or {c}");
}

pub(crate) fn prelu_backward<T: Real>(
    c: usize,
    gradient: &[T],
    xs: &Source<'_, T>,
    slope: &[T],
    d_slope: Option<&[T]>,
    to: Option<&Sink<'_, T>>,
) {
    prelu(c, xs, slope, gradient.len());
    some_length("gradient of the slopes", d_slope, slope.len());
    some_sink(to, gradient.len(), c);
}

/// `len` is that of the output or of its gradient.
pub(crate) fn attention<T: Real>(shape: &AttentionShape, qkv: &Attended<'_, T>, len: usize) {
    let lens = shape.lens();
    assert!(lens.is_some(), "{shape:?}: a size is zero or overflows, or heads do not divide");
    let lens = lens.unwrap_or_default();
    let channels = shape.channels();
    for (i, what) in ["queries", "keys", "values"].into_iter().enumerate() {
        source(what, &qkv[i], lens[i], channels[i]);
    }
    length("output", len, lens[3]);
}

pub(crate) fn attention_backward<T: Real>(
    shape: &AttentionShape,
    gradient: &[T],
    qkv: &Attended<'_, T>,
    sinks: &[Option<Sink<'_, T>>; 3],
) {
    attention(shape, qkv, gradient.len());
    for ((to, source), c) in sinks.iter().zip(qkv).zip(shape.channels()) {
        some_sink(to.as_ref(), source.data.len(), c);
    }
}
