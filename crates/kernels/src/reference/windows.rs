//! Pooling by its definition.
//!
//! Above: `reference`. Below: `pool_shape`, `device`. Not here: which windows there are (`pool_shape`).
//! Source: `torch.nn.functional.max_pool2d` and `avg_pool2d`.

use crate::{PoolShape, Pooling, Real, Source};

/// Calls `f(output index, channel, oh, ow, index of channel 0 of pixel 0 of the image)`.
fn outputs(s: &PoolShape, mut f: impl FnMut(usize, usize, usize, usize, usize)) {
    let (rows, cols) = (s.rows.len(), s.cols.len());
    for out in 0..s.output_len() {
        let (channel, position) = (out % s.c, out / s.c);
        let (image, oh, ow) = (position / (rows * cols), position / cols % rows, position % cols);
        f(out, channel, oh, ow, image * s.h * s.w * s.c);
    }
}

pub(super) fn forward<T: Real>(s: &PoolShape, pooling: Pooling, xs: Source<'_, T>, y: &mut [T]) {
    outputs(s, |out, c, oh, ow, image| {
        let values = s.pixels(oh, ow).map(|pixel| xs.at(image + pixel * s.c + c, c));
        y[out] = match pooling {
            Pooling::Max => {
                let at = |pixel| xs.at(image + pixel * s.c + c, c);
                at(s.largest(oh, ow, at))
            }
            Pooling::Mean => {
                values.fold(T::default(), |sum, x| sum + x) * T::from_f64(s.share(oh, ow))
            }
            Pooling::Lp { p } => {
                let sum =
                    values.fold(T::default(), |sum, x| sum + magnitude(x).powf(T::from_f64(p)));
                sum.powf(T::from_f64(1.0 / p))
            }
        };
    });
}

fn magnitude<T: Real>(x: T) -> T {
    if x < T::default() { T::default() - x } else { x }
}

/// `∂ (Σ |x|ᵖ)^(1/p) / ∂x = sign(x) · (|x| / norm)^(p − 1)`.
fn lp_slope<T: Real>(x: T, norm: T, p: f64) -> T {
    if x == T::default() || norm == T::default() {
        return T::default();
    }
    let slope = (magnitude(x) / norm).powf(T::from_f64(p - 1.0));
    if x < T::default() { T::default() - slope } else { slope }
}

pub(super) fn input_gradient<T: Real>(
    s: &PoolShape,
    pooling: Pooling,
    gradient: &[T],
    xs: Source<'_, T>,
) -> Vec<T> {
    let mut dx = vec![T::default(); s.input_len()];
    outputs(s, |out, c, oh, ow, image| {
        let places = s.pixels(oh, ow).map(|pixel| image + pixel * s.c + c);
        match pooling {
            Pooling::Max => {
                let place = |pixel| image + pixel * s.c + c;
                dx[place(s.largest(oh, ow, |pixel| xs.at(place(pixel), c)))] += gradient[out];
            }
            Pooling::Mean => {
                let share = gradient[out] * T::from_f64(s.share(oh, ow));
                places.for_each(|at| dx[at] += share);
            }
            Pooling::Lp { p } => {
                let powers = places.clone().map(|at| magnitude(xs.at(at, c)).powf(T::from_f64(p)));
                let sum = powers.fold(T::default(), |sum, power| sum + power);
                let norm = sum.powf(T::from_f64(1.0 / p));
                places.for_each(|at| dx[at] += gradient[out] * lp_slope(xs.at(at, c), norm, p));
            }
        }
    });
    dx
}
