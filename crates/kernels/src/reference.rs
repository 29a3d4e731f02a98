//! The scalar twin of every kernel: plain loops that read like the formulas, in `f32` or `f64`.
//!
//! Above: property suites, `engine` when asked for truth. Below: `device`, `device::checks`. Not here: anything fast.
//! Sums run in row-major order of the weight's taps.

mod around;
mod attention;
mod conv;
mod windows;

use crate::device::{Attended, checks};
use crate::{
    Activation, Affine, AttentionShape, ChannelMap, ConvGradient, ConvShape, Device, Epilogue,
    Moments, NormShape, PoolShape, Pooling, Real, Sink, Source, SpatialMap,
};

/// The machine on paper: one thread, no SIMD, any [`Real`].
///
/// ```
/// use taper_kernels::{Activation, Device, Reference, Source};
/// let mut sum = [0.0f64; 2];
/// let (a, b) = (Source::plain(&[1.0, -5.0]), Source::plain(&[2.0, 3.0]));
/// Reference.add(1, a, b, Activation::Relu, &mut sum);
/// assert_eq!(sum, [3.0, 0.0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl<T: Real> Device<T> for Reference {
    fn conv_forward(
        &mut self,
        shape: &ConvShape,
        xs: Source<'_, T>,
        weight: &[T],
        epilogue: Epilogue<'_, T>,
        y: &mut [T],
        moments: Option<Moments<'_, T>>,
    ) {
        checks::weight(shape, weight);
        checks::conv(shape, &xs, &epilogue, y, moments.as_ref());
        conv::forward(shape, xs, weight, epilogue, y);
        if let Some(moments) = moments {
            conv::moments(shape.oc, y, moments);
        }
    }

    fn conv_backward(
        &mut self,
        shape: &ConvShape,
        gradient: ConvGradient<'_, T>,
        xs: Source<'_, T>,
        weight: &[T],
        d_weight: Option<&mut [T]>,
        d_bias: Option<&mut [T]>,
        dx: Option<Sink<'_, T>>,
    ) {
        let (some_weight, some_bias) = (d_weight.as_deref(), d_bias.as_deref());
        checks::conv_backward(shape, &gradient, &xs, weight, some_weight, some_bias, dx.as_ref());
        if let Some(d_weight) = d_weight {
            conv::weight_gradient(shape, gradient, xs, d_weight);
        }
        if let Some(d_bias) = d_bias {
            d_bias.fill(T::default());
            for index in 0..shape.output_len() {
                d_bias[index % shape.oc] += gradient.at(index, index % shape.oc);
            }
        }
        if let Some(sink) = dx {
            let g = conv::input_gradient(shape, gradient, weight);
            self.pass(shape.c, &g, sink);
        }
    }

    fn add(
        &mut self,
        c: usize,
        a: Source<'_, T>,
        b: Source<'_, T>,
        activation: Activation,
        out: &mut [T],
    ) {
        checks::add(c, &a, &b, out);
        for (i, out) in out.iter_mut().enumerate() {
            *out = activation.apply(a.at(i, i % c) + b.at(i, i % c));
        }
    }

    fn copy(&mut self, c: usize, xs: Source<'_, T>, out: &mut [T]) {
        checks::copy(c, &xs, out);
        for (i, out) in out.iter_mut().enumerate() {
            *out = xs.at(i, i % c);
        }
    }

    fn pass(&mut self, c: usize, gradient: &[T], sink: Sink<'_, T>) {
        checks::pass(c, gradient, &sink);
        let Sink { out, accumulate, mask, tally } = sink;
        for (i, (out, &g)) in out.iter_mut().zip(gradient).enumerate() {
            let total = if accumulate { *out + g } else { g };
            *out = mask.map_or(total, |mask| {
                let s = Source { activation: Activation::Identity, ..mask.source };
                total * mask.source.activation.derivative(s.at(i, i % c))
            });
        }
        if let Some(tally) = tally {
            tally.sum.fill(0.0);
            tally.dot.fill(0.0);
            for (i, dz) in out.iter().enumerate() {
                let channel = i % c;
                tally.sum[channel] += dz.to_f64();
                tally.dot[channel] += dz.to_f64() * (tally.y[i] - tally.mean[channel]).to_f64();
            }
        }
    }

    fn mul(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, T>,
        gate: Source<'_, T>,
        out: &mut [T],
    ) {
        checks::mul([n, positions, c], &xs, &gate, out.len());
        for (i, out) in out.iter_mut().enumerate() {
            *out = xs.at(i, i % c) * gate.at(i / (positions * c) * c + i % c, i % c);
        }
    }

    fn mul_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        factors: [Source<'_, T>; 2],
        sinks: [Option<Sink<'_, T>>; 2],
    ) {
        checks::mul_backward([n, positions, c], gradient, &factors, &sinks);
        let ([xs, gate], [dx, dgate]) = (factors, sinks);
        let at = |i: usize| i / (positions * c) * c + i % c;
        if let Some(sink) = dgate {
            let mut g = vec![T::default(); n * c];
            for (i, d) in gradient.iter().enumerate() {
                g[at(i)] += *d * xs.at(i, i % c);
            }
            self.pass(c, &g, sink);
        }
        if let Some(sink) = dx {
            let share = |(i, d): (usize, &T)| *d * gate.at(at(i), i % c);
            let g: Vec<T> = gradient.iter().enumerate().map(share).collect();
            self.pass(c, &g, sink);
        }
    }

    fn pool_forward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, T>,
        y: &mut [T],
    ) {
        checks::pool([n, positions, c], &xs, y);
        for image in 0..n {
            for channel in 0..c {
                let at = |p| (image * positions + p) * c + channel;
                let sum = (0..positions).fold(T::default(), |sum, p| sum + xs.at(at(p), channel));
                y[image * c + channel] = sum / T::from_f64(positions as f64);
            }
        }
    }

    fn pool_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        sink: Sink<'_, T>,
    ) {
        checks::pool_backward([n, positions, c], gradient, &sink);
        let share = |i: usize| gradient[i / (positions * c) * c + i % c];
        let scale = T::from_f64(positions as f64);
        let g: Vec<T> = (0..n * positions * c).map(|i| share(i) / scale).collect();
        self.pass(c, &g, sink);
    }

    fn windows_forward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        xs: Source<'_, T>,
        y: &mut [T],
    ) {
        checks::windows(shape, &xs, y);
        windows::forward(shape, pooling, xs, y);
    }

    fn windows_backward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        gradient: &[T],
        xs: Source<'_, T>,
        sink: Sink<'_, T>,
    ) {
        checks::windows_backward(shape, gradient, &xs, &sink);
        let g = windows::input_gradient(shape, pooling, gradient, xs);
        self.pass(shape.c, &g, sink);
    }

    fn flatten(&mut self, n: usize, positions: usize, c: usize, xs: Source<'_, T>, y: &mut [T]) {
        checks::flatten([n, positions, c], &xs, y);
        for from in 0..y.len() {
            y[flat_index(from, positions, c)] = xs.at(from, from % c);
        }
    }

    fn flatten_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        sink: Sink<'_, T>,
    ) {
        checks::flatten_backward([n, positions, c], gradient, &sink);
        let at = |i: usize| gradient[flat_index(i, positions, c)];
        let g: Vec<T> = (0..gradient.len()).map(at).collect();
        self.pass(c, &g, sink);
    }

    fn resample(&mut self, map: &SpatialMap, xs: Source<'_, T>, y: &mut [T]) {
        checks::resample(map, &xs, y);
        around::resample(map, xs, y);
    }

    fn resample_backward(&mut self, map: &SpatialMap, gradient: &[T], sink: Sink<'_, T>) {
        checks::resample_backward(map, gradient, &sink);
        self.pass(map.c, &around::resample_gradient(map, gradient), sink);
    }

    fn move_channels(&mut self, rows: usize, map: &ChannelMap, xs: Source<'_, T>, y: &mut [T]) {
        checks::move_channels(rows, map, &xs, y);
        around::move_channels(rows, map, xs, y);
    }

    fn move_channels_backward(
        &mut self,
        rows: usize,
        map: &ChannelMap,
        gradient: &[T],
        sink: Sink<'_, T>,
    ) {
        checks::move_channels_backward(rows, map, gradient, &sink);
        let mut g = vec![T::default(); rows * map.in_channels];
        around::move_channels(rows, &map.reversed(), Source::plain(gradient), &mut g);
        self.pass(map.in_channels, &g, sink);
    }

    fn group_norm(
        &mut self,
        shape: &NormShape,
        eps: f64,
        xs: Source<'_, T>,
        affine: Affine<'_, T>,
        y: &mut [T],
    ) {
        checks::group_norm(shape, &xs, &affine, y);
        around::group_norm(shape, eps, xs, affine, y);
    }

    fn group_norm_backward(
        &mut self,
        shape: &NormShape,
        eps: f64,
        gradient: &[T],
        xs: Source<'_, T>,
        scale: &[T],
        d_affine: [Option<&mut [T]>; 2],
        sink: Option<Sink<'_, T>>,
    ) {
        checks::group_norm_backward(shape, gradient, &xs, scale, &d_affine, sink.as_ref());
        let g = around::group_norm_gradient(shape, eps, gradient, xs, scale, d_affine);
        if let Some(sink) = sink {
            self.pass(shape.c, &g, sink);
        }
    }

    fn prelu(&mut self, c: usize, xs: Source<'_, T>, slope: &[T], y: &mut [T]) {
        checks::prelu(c, &xs, slope, y.len());
        around::prelu(c, xs, slope, y);
    }

    fn prelu_backward(
        &mut self,
        c: usize,
        gradient: &[T],
        xs: Source<'_, T>,
        slope: &[T],
        d_slope: Option<&mut [T]>,
        sink: Option<Sink<'_, T>>,
    ) {
        checks::prelu_backward(c, gradient, &xs, slope, d_slope.as_deref(), sink.as_ref());
        let g = around::prelu_gradient(c, gradient, xs, slope, d_slope);
        if let Some(sink) = sink {
            self.pass(c, &g, sink);
        }
    }

    fn attention(&mut self, shape: &AttentionShape, qkv: Attended<'_, T>, y: &mut [T]) {
        checks::attention(shape, &qkv, y.len());
        attention::forward(shape, qkv, y);
    }

    fn attention_backward(
        &mut self,
        shape: &AttentionShape,
        gradient: &[T],
        qkv: Attended<'_, T>,
        sinks: [Option<Sink<'_, T>>; 3],
    ) {
        checks::attention_backward(shape, gradient, &qkv, &sinks);
        let gradients = attention::gradients(shape, gradient, qkv);
        for ((g, sink), c) in gradients.iter().zip(sinks).zip(shape.channels()) {
            if let Some(sink) = sink {
                self.pass(c, g, sink);
            }
        }
    }
}

/// Where element `i` of `(n, positions, c)` lies in `(n, c, positions)`.
fn flat_index(i: usize, positions: usize, c: usize) -> usize {
    let (image, position, channel) = (i / (positions * c), i / c % positions, i % c);
    (image * c + channel) * positions + position
}
