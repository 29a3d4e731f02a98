//! What an executor asks of a machine: the operations.
//!
//! Above: `engine`; `reference` and `cpu` implement it. Below: `device::{checks, views}`. Not here: who runs what when (`taper-plan`).
//! Activations are `(n, h, w, c)` and contiguous; weights are `(oc, c / groups, kh, kw)`.
//! Slices of wrong lengths are bugs of the caller: every operation panics before it does anything.

pub(crate) mod checks;
mod views;

use crate::{
    Activation, AttentionShape, ChannelMap, ConvShape, NormShape, PoolShape, Real, SpatialMap,
};
pub use views::{Affine, ConvGradient, Epilogue, Mask, Moments, NormGradient, Sink, Source, Tally};

/// What becomes of the values in a pooling window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pooling {
    /// The largest; its gradient goes to the first of equals, in row-major order. A NaN is larger than any number, and of several the
    /// last gets the gradient, as in PyTorch.
    /// See [`PoolShape::largest`].
    Max,
    /// The mean.
    Mean,
    /// The norm `(Σ |x|ᵖ)^(1/p)`; its gradient where all are zero is zero.
    Lp {
        /// The exponent, positive.
        p: f64,
    },
}

/// Sources of an attention: queries, keys, values.
pub type Attended<'a, T> = [Source<'a, T>; 3];

/// The operations of an executor.
///
/// Every method may use scratch memory of the device, so it takes `&mut self`; results do not depend on it.
///
/// # Panics
/// Every method of the devices here, if a slice has another length than the shape says, before anything is written.
pub trait Device<T: Real> {
    /// Convolves: `y = epilogue(w * x)`, and gathers the moments of `y` if asked (then the epilogue must be empty).
    fn conv_forward(
        &mut self,
        shape: &ConvShape,
        xs: Source<'_, T>,
        weight: &[T],
        epilogue: Epilogue<'_, T>,
        y: &mut [T],
        moments: Option<Moments<'_, T>>,
    );

    /// The backward pass of a convolution: adds nothing, overwrites `d_weight` and `d_bias`, and writes the input's gradient
    /// into `dx` when there is one.
    fn conv_backward(
        &mut self,
        shape: &ConvShape,
        gradient: ConvGradient<'_, T>,
        xs: Source<'_, T>,
        weight: &[T],
        d_weight: Option<&mut [T]>,
        d_bias: Option<&mut [T]>,
        dx: Option<Sink<'_, T>>,
    );

    /// `out = activation(a + b)`, channels `c`.
    fn add(
        &mut self,
        c: usize,
        a: Source<'_, T>,
        b: Source<'_, T>,
        activation: Activation,
        out: &mut [T],
    );

    /// `out = x`, channels `c`, with what is pending on `x` applied.
    fn copy(&mut self, c: usize, xs: Source<'_, T>, out: &mut [T]);

    /// Writes a gradient through to a sink unchanged: the backward pass of a copy, and of an addition's operand.
    fn pass(&mut self, c: usize, gradient: &[T], sink: Sink<'_, T>);

    /// `out = x·gate`: `x` is `(n, positions, c)`, `gate` `(n, c)`.
    fn mul(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, T>,
        gate: Source<'_, T>,
        out: &mut [T],
    );

    /// The backward pass of [`Device::mul`] with `factors` `x` and `gate`: the first sink receives `gradient·gate`, the second the
    /// sum over positions of `gradient·x`.
    fn mul_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        factors: [Source<'_, T>; 2],
        sinks: [Option<Sink<'_, T>>; 2],
    );

    /// Mean over positions: `(n, positions, c)` to `(n, c)`.
    fn pool_forward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        xs: Source<'_, T>,
        y: &mut [T],
    );

    /// The backward pass of [`Device::pool_forward`]: every position receives its share of `gradient` `(n, c)`.
    fn pool_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        sink: Sink<'_, T>,
    );

    /// Pools windows: `(n, h, w, c)` to `(n, oh, ow, c)`.
    fn windows_forward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        xs: Source<'_, T>,
        y: &mut [T],
    );

    /// The backward pass of [`Device::windows_forward`] of `xs`.
    fn windows_backward(
        &mut self,
        shape: &PoolShape,
        pooling: Pooling,
        gradient: &[T],
        xs: Source<'_, T>,
        sink: Sink<'_, T>,
    );

    /// Channel by channel: `(n, positions, c)` to `(n, c, positions)`, which is PyTorch's order.
    fn flatten(&mut self, n: usize, positions: usize, c: usize, xs: Source<'_, T>, y: &mut [T]);

    /// The backward pass of [`Device::flatten`]: the sink's tensor is `(n, positions, c)`.
    fn flatten_backward(
        &mut self,
        n: usize,
        positions: usize,
        c: usize,
        gradient: &[T],
        sink: Sink<'_, T>,
    );

    /// Weighted sums of positions: padding, resizing, blurring, scaling.
    fn resample(&mut self, map: &SpatialMap, xs: Source<'_, T>, y: &mut [T]);

    /// The backward pass of [`Device::resample`], given the same map.
    fn resample_backward(&mut self, map: &SpatialMap, gradient: &[T], sink: Sink<'_, T>);

    /// Moves channels of `rows` positions; output channels that the map does not name stay as they are.
    fn move_channels(&mut self, rows: usize, map: &ChannelMap, xs: Source<'_, T>, y: &mut [T]);

    /// The backward pass of [`Device::move_channels`], given the same map; input channels that it does not name get zero.
    fn move_channels_backward(
        &mut self,
        rows: usize,
        map: &ChannelMap,
        gradient: &[T],
        sink: Sink<'_, T>,
    );

    /// Normalizes groups of channels within each picture: `y = scale·(x − mean) / √(variance + eps) + shift`.
    fn group_norm(
        &mut self,
        shape: &NormShape,
        eps: f64,
        xs: Source<'_, T>,
        affine: Affine<'_, T>,
        y: &mut [T],
    );

    /// The backward pass of [`Device::group_norm`] with the scales `scale`; gradients of scale and shift are overwritten.
    fn group_norm_backward(
        &mut self,
        shape: &NormShape,
        eps: f64,
        gradient: &[T],
        xs: Source<'_, T>,
        scale: &[T],
        d_affine: [Option<&mut [T]>; 2],
        sink: Option<Sink<'_, T>>,
    );

    /// `y = x` where positive, `slope·x` elsewhere; one slope for all channels, or one each.
    fn prelu(&mut self, c: usize, xs: Source<'_, T>, slope: &[T], y: &mut [T]);

    /// The backward pass of [`Device::prelu`]; the gradient of the slopes is overwritten.
    fn prelu_backward(
        &mut self,
        c: usize,
        gradient: &[T],
        xs: Source<'_, T>,
        slope: &[T],
        d_slope: Option<&mut [T]>,
        sink: Option<Sink<'_, T>>,
    );

    /// Attention of queries over keys and values.
    fn attention(&mut self, shape: &AttentionShape, qkv: Attended<'_, T>, y: &mut [T]);

    /// The backward pass of [`Device::attention`], one sink for each of queries, keys and values.
    fn attention_backward(
        &mut self,
        shape: &AttentionShape,
        gradient: &[T],
        qkv: Attended<'_, T>,
        sinks: [Option<Sink<'_, T>>; 3],
    );

    /// The transposed convolution: `y` is what [`Device::conv_backward`] of `shape` makes of the gradient `x`, plus a bias. `shape` goes
    /// the other way, from `y` to `x`, and so does `weight`: `(channels of x, channels of y / groups, kh, kw)`.
    fn conv_transpose(
        &mut self,
        shape: &ConvShape,
        xs: &[T],
        weight: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
    ) {
        checks::conv_transpose(shape, xs, weight, bias, y);
        if let Some(bias) = bias {
            y.chunks_exact_mut(bias.len()).for_each(|y| y.copy_from_slice(bias));
        }
        let sink = Sink { out: y, accumulate: bias.is_some(), mask: None, tally: None };
        let gradient = ConvGradient { dz: xs, norm: None };
        self.conv_backward(shape, gradient, Source::plain(&[]), weight, None, None, Some(sink));
    }

    /// The backward pass of [`Device::conv_transpose`], whose `x` is `xs`: overwrites `d_weight` and `d_bias`, writes the gradient of `x`.
    fn conv_transpose_backward(
        &mut self,
        shape: &ConvShape,
        gradient: &[T],
        xs: &[T],
        weight: &[T],
        d_weight: Option<&mut [T]>,
        d_bias: Option<&mut [T]>,
        dx: Option<Sink<'_, T>>,
    ) {
        let (some_weight, some_bias) = (d_weight.as_deref(), d_bias.as_deref());
        checks::conv_transpose_backward(
            shape,
            gradient,
            xs,
            weight,
            some_weight,
            some_bias,
            dx.as_ref(),
        );
        let dy = Source::plain(gradient);
        if d_weight.is_some() {
            let xs = ConvGradient { dz: xs, norm: None };
            self.conv_backward(shape, xs, dy, weight, d_weight, None, None);
        }
        if let Some(d_bias) = d_bias {
            let positions = gradient.len() / d_bias.len();
            self.pool_forward(1, positions, d_bias.len(), dy, d_bias);
            d_bias.iter_mut().for_each(|d| *d = *d * T::from_f64(positions as f64));
        }
        if let Some(sink) = dx {
            let mut g = vec![T::default(); xs.len()];
            self.conv_forward(shape, dy, weight, Epilogue::default(), &mut g, None);
            self.pass(shape.oc, &g, sink);
        }
    }
}
