//! Positions and channels rearranged, normalization within a picture, and PReLU, by their definitions.
//!
//! Above: `reference`. Below: shape structs, `Source`. Not here: convolution and pooling.
//! Source: `torch.nn.functional.{interpolate, pad, channel_shuffle, group_norm, layer_norm, prelu}`.

use crate::{Affine, ChannelMap, NormShape, Real, Source, SpatialMap};

/// Calls `f(output index, channel, input index, factor)` for every term.
fn terms(map: &SpatialMap, mut f: impl FnMut(usize, usize, usize, f64)) {
    let ([h, w], [oh, ow], c) = (map.size, map.out(), map.c);
    for out in 0..map.output_len() {
        let (channel, position) = (out % c, out / c);
        let (n, i, j) = (position / (oh * ow), position / ow % oh, position % ow);
        for &(row, a) in map.axes[0].taps(i) {
            for &(col, b) in map.axes[1].taps(j) {
                f(out, channel, ((n * h + row) * w + col) * c + channel, a * b);
            }
        }
    }
}

pub(super) fn resample<T: Real>(map: &SpatialMap, xs: Source<'_, T>, y: &mut [T]) {
    y.fill(T::default());
    terms(map, |out, c, from, factor| y[out] += xs.at(from, c) * T::from_f64(factor));
}

pub(super) fn resample_gradient<T: Real>(map: &SpatialMap, gradient: &[T]) -> Vec<T> {
    let mut dx = vec![T::default(); map.input_len()];
    terms(map, |out, _, from, factor| dx[from] += gradient[out] * T::from_f64(factor));
    dx
}

pub(super) fn move_channels<T: Real>(
    rows: usize,
    map: &ChannelMap,
    xs: Source<'_, T>,
    y: &mut [T],
) {
    for row in 0..rows {
        for m in &map.moves {
            for i in 0..m.count {
                let from = m.from + i;
                y[row * map.out_channels + m.to + i] = xs.at(row * map.in_channels + from, from);
            }
        }
    }
}

/// The indices of one group of one picture, with their channels.
fn group(
    s: &NormShape,
    image: usize,
    group: usize,
) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (c, width, positions) = (s.c, s.c / s.groups, s.positions);
    (0..positions).flat_map(move |p| {
        let channels = group * width..(group + 1) * width;
        channels.map(move |channel| ((image * positions + p) * c + channel, channel))
    })
}

fn groups(s: &NormShape) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (n, groups) = (s.n, s.groups);
    (0..n).flat_map(move |image| (0..groups).map(move |group| (image, group)))
}

/// Mean and `1 / √(variance + eps)`, in two passes.
fn statistics<T: Real>(s: &NormShape, eps: f64, xs: Source<'_, T>, at: (usize, usize)) -> [T; 2] {
    let values = || group(s, at.0, at.1).map(|(i, c)| xs.at(i, c).to_f64());
    let count = s.count() as f64;
    let mean = values().sum::<f64>() / count;
    let var = values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
    [T::from_f64(mean), T::from_f64(1.0 / (var + eps).sqrt())]
}

pub(super) fn group_norm<T: Real>(
    s: &NormShape,
    eps: f64,
    xs: Source<'_, T>,
    affine: Affine<'_, T>,
    y: &mut [T],
) {
    for at in groups(s) {
        let [mean, inverse] = statistics(s, eps, xs, at);
        for (i, c) in group(s, at.0, at.1) {
            y[i] = (xs.at(i, c) - mean) * inverse * affine.scale[c] + affine.shift[c];
        }
    }
}

/// `dx = 1/σ · (dx̂ − mean(dx̂) − x̂ · mean(dx̂ · x̂))` with `dx̂ = scale · dy` and `x̂ = (x − mean)/σ`.
pub(super) fn group_norm_gradient<T: Real>(
    s: &NormShape,
    eps: f64,
    gradient: &[T],
    xs: Source<'_, T>,
    scale: &[T],
    [mut d_scale, mut d_shift]: [Option<&mut [T]>; 2],
) -> Vec<T> {
    let mut dx = vec![T::default(); s.len()];
    d_scale.iter_mut().for_each(|d| d.fill(T::default()));
    d_shift.iter_mut().for_each(|d| d.fill(T::default()));
    for at in groups(s) {
        let [mean, inverse] = statistics(s, eps, xs, at);
        let normed = |i: usize, c: usize| (xs.at(i, c) - mean) * inverse;
        let (mut sum, mut dot) = (0.0, 0.0);
        for (i, c) in group(s, at.0, at.1) {
            let d = gradient[i] * scale[c];
            sum += d.to_f64();
            dot += (d * normed(i, c)).to_f64();
            if let Some(d_scale) = d_scale.as_deref_mut() {
                d_scale[c] += gradient[i] * normed(i, c);
            }
            if let Some(d_shift) = d_shift.as_deref_mut() {
                d_shift[c] += gradient[i];
            }
        }
        let count = s.count() as f64;
        let (sum, dot) = (T::from_f64(sum / count), T::from_f64(dot / count));
        for (i, c) in group(s, at.0, at.1) {
            dx[i] = (gradient[i] * scale[c] - sum - normed(i, c) * dot) * inverse;
        }
    }
    dx
}

/// `slope` holds one value, or one a channel.
fn slope_of<T: Real>(slope: &[T], c: usize) -> (usize, T) {
    let at = if slope.len() == 1 { 0 } else { c };
    (at, slope[at])
}

pub(super) fn prelu<T: Real>(c: usize, xs: Source<'_, T>, slope: &[T], y: &mut [T]) {
    for (i, y) in y.iter_mut().enumerate() {
        let x = xs.at(i, i % c);
        *y = if x > T::default() { x } else { x * slope_of(slope, i % c).1 };
    }
}

pub(super) fn prelu_gradient<T: Real>(
    c: usize,
    gradient: &[T],
    xs: Source<'_, T>,
    slope: &[T],
    d_slope: Option<&mut [T]>,
) -> Vec<T> {
    let mut sums = vec![0.0; slope.len()];
    let share = |(i, &g): (usize, &T)| {
        let (x, (at, slope)) = (xs.at(i, i % c), slope_of(slope, i % c));
        if x > T::default() {
            return g;
        }
        sums[at] += g.to_f64() * x.to_f64();
        g * slope
    };
    let dx = gradient.iter().enumerate().map(share).collect();
    if let Some(d_slope) = d_slope {
        d_slope.iter_mut().zip(&sums).for_each(|(d, &sum)| *d = T::from_f64(sum));
    }
    dx
}
