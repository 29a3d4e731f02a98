//! What an operation reads and writes besides plain slices: pending norms and activations, epilogues, masks, sums.
//!
//! Above: `device` and everything that implements or calls it. Below: `activation`. Not here: the operations (`device`).
//! Per-channel slices have `c` elements.

use crate::{Activation, Real};

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
