//! What an executor asks of a machine: the operations, and the views they work on.
//!
//! Above: `engine`. Below: `reference`, `cpu` implement it. Not here: who runs what when (`engine::plan`).
//! Activations are `(n, h, w, c)` and contiguous; per-channel slices have `c` elements; weights are `(oc, c / groups, kh, kw)`.
//! Slices of wrong lengths are bugs of the caller and panic at the door of each operation.

use crate::{Activation, ConvShape, PoolShape, Real};

/// A per-channel `scale·y + shift`.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a, T> {
    /// One factor a channel.
    pub scale: &'a [T],
    /// One summand a channel.
    pub shift: &'a [T],
}

/// A tensor that is normalized and activated when it is read: `activation(scale·data + shift)`.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// The stored values, `(n, h, w, c)`.
    pub data: &'a [T],
    /// The norm, if one is pending.
    pub affine: Option<Affine<'a, T>>,
    /// The activation, if one is pending.
    pub activation: Activation,
}

impl<'a, T: Real> Source<'a, T> {
    /// A tensor that is what it says.
    #[must_use]
    pub fn plain(data: &'a [T]) -> Self {
        Self { data, affine: None, activation: Activation::Identity }
    }

    /// Whether reading changes nothing.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.affine.is_none() && self.activation == Activation::Identity
    }

    /// The value at a flat index, whose channel is `c`.
    pub(crate) fn at(&self, index: usize, c: usize) -> T {
        let z = match self.affine {
            Some(affine) => affine.scale[c] * self.data[index] + affine.shift[c],
            None => self.data[index],
        };
        self.activation.apply(z)
    }
}

/// What a convolution does to a sum before writing it: `activation(sum + bias + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// One summand a channel.
    pub bias: Option<&'a [T]>,
    /// A tensor of the output's shape.
    pub residual: Option<&'a [T]>,
    /// Applied last.
    pub activation: Activation,
}

impl<T> Epilogue<'_, T> {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bias.is_none() && self.residual.is_none() && self.activation == Activation::Identity
    }
}

impl<T> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Self { bias: None, residual: None, activation: Activation::Identity }
    }
}

/// Receives the first two moments of a convolution's output, per channel over `n·oh·ow` positions.
#[derive(Debug)]
pub struct Moments<'a, T> {
    /// The mean.
    pub mean: &'a mut [T],
    /// The biased variance, never negative.
    pub var: &'a mut [T],
}

/// The way from the gradient of a normalized value back to the convolution's output `y`: `dy = a·dz + b·y + c`, per channel.
#[derive(Clone, Copy, Debug)]
pub struct NormGradient<'a, T> {
    /// The convolution's stored output.
    pub y: &'a [T],
    /// Factors of the gradient.
    pub a: &'a [T],
    /// Factors of the output.
    pub b: &'a [T],
    /// Constants.
    pub c: &'a [T],
}

/// The gradient that enters a convolution's backward pass.
#[derive(Clone, Copy, Debug)]
pub struct ConvGradient<'a, T> {
    /// Gradient of the normalized output, or of the output itself when there is no norm.
    pub dz: &'a [T],
    /// The norm in between, if any.
    pub norm: Option<NormGradient<'a, T>>,
}

impl<T: Real> ConvGradient<'_, T> {
    pub(crate) fn at(&self, index: usize, channel: usize) -> T {
        match self.norm {
            Some(n) => n.a[channel] * self.dz[index] + n.b[channel] * n.y[index] + n.c[channel],
            None => self.dz[index],
        }
    }
}

/// The derivative to multiply a finished gradient by: that of `activation(scale·data + shift)`.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'a, T> {
    /// The value whose activation it was.
    pub source: Source<'a, T>,
}

/// The two sums batch norm's backward pass needs: `Σ dz` and `Σ dz·(y − mean)`, per channel.
#[derive(Debug)]
pub struct Tally<'a, T> {
    /// The stored output of the convolution under the norm.
    pub y: &'a [T],
    /// Its mean.
    pub mean: &'a [T],
    /// Receives `Σ dz`, in double precision.
    pub sum: &'a mut [f64],
    /// Receives `Σ dz·(y − mean)`, in double precision.
    pub dot: &'a mut [f64],
}

/// Where a gradient is written.
///
/// `out = (out if accumulate else 0) + g`, times the mask's derivative; the tally counts what was written.
#[derive(Debug)]
pub struct Sink<'a, T> {
    /// The gradient, `(n, h, w, c)`.
    pub out: &'a mut [T],
    /// Whether `out` already holds another consumer's share.
    pub accumulate: bool,
    /// Given by the last consumer alone.
    pub mask: Option<Mask<'a, T>>,
    /// Given by the last consumer alone.
    pub tally: Option<Tally<'a, T>>,
}

/// What becomes of the values in a pooling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The largest; its gradient goes to the first of equals, in row-major order. A NaN is larger than any number.
    Max,
    /// The mean.
    Mean,
}

/// The operations of an executor.
///
/// Every method may use scratch memory of the device, so it takes `&mut self`; results do not depend on it.
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

    /// Writes a gradient through to a sink unchanged: the backward pass of an addition's operand.
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
}
