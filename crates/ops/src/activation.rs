//! Activations, and the one with learned slopes.
//!
//! Above: users of candle, `layers`. Below: `operation`, `kernels::Activation`. Not here: the curves (`kernels`), gates (`affine`).
//! Derivatives at corners are PyTorch's: that of ReLU at 0 is 0.

use candle_core::{D, Tensor};
use taper_kernels::{Activation, Device, Mask, Sink, Source};

use crate::element::Element;
use crate::error::{Result, within};
use crate::input::check_channels;
use crate::map::shape;
use crate::operation::{InputGrads, Operation, apply, read, sink};

/// Values of a row, where they can be cut so: whole vectors on every machine.
const ROW: usize = 64;

/// Applies an activation to every value: ReLU, ReLU6, leaky ReLU, SiLU, hard-swish, hard-sigmoid, GELU (exact and by tanh), sigmoid,
/// tanh, Mish; [`Activation`] has their formulas.
///
/// # Shapes
/// - `xs`: any   - returns the same
///
/// # Errors
/// [`Error::DType`](crate::Error::DType), [`Error::Device`](crate::Error::Device).
///
/// # Source
/// `torch.nn.functional`, PyTorch 2.x.
///
/// # Examples
/// ```
/// use candle_core::{Device, Var};
/// use taper_ops::{Activation, activation};
/// let xs = Var::new(&[-4f32, 0.0, 3.0], &Device::Cpu)?;
/// let ys = activation(&xs, Activation::HardSwish)?;
/// assert_eq!(ys.to_vec1::<f32>()?, [0.0, 0.0, 3.0]);
/// let grads = ys.sum_all()?.backward()?;
/// assert_eq!(grads.get(&xs).unwrap().to_vec1::<f32>()?, [0.0, 0.5, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn activation(xs: &Tensor, activation: Activation) -> Result<Tensor> {
    let c = xs.dims().last().copied().unwrap_or(1);
    apply(Activate { activation, c }, xs, [None; 2], xs.shape())
}

/// Keeps what is positive and multiplies the rest by a learned slope: `y = x` where positive, `slope·x` elsewhere.
///
/// # Shapes
/// - `xs`: `(…, c)`   - `slope`: `(c)`, or `(1)` for all channels   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `slope` has another shape, [`Error::DType`](crate::Error::DType),
/// [`Error::Device`](crate::Error::Device).
///
/// # Source
/// He et al. 2015, <https://arxiv.org/abs/1502.01852>; `torch.nn.functional.prelu`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[-4f32, -4.0], [1.0, 2.0]], &Device::Cpu)?;
/// let slope = Tensor::new(&[0.25f32, 0.5], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::prelu(&xs, &slope)?.to_vec2::<f32>()?, [[-1.0, -2.0], [1.0, 2.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn prelu(xs: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let c = xs.dim(D::Minus1).map_err(within(Prelu::NAME))?;
    match *slope.dims() {
        [1] => {}
        [slopes] => check_channels(Prelu::NAME, xs, slopes, ("slope", slope))?,
        _ => return Err(shape(Prelu::NAME, "slope", slope, format!("({c}) or (1)"))),
    }
    apply(Prelu { c }, xs, [Some(slope), None], xs.shape())
}

struct Activate {
    activation: Activation,
    c: usize,
}

impl Activate {
    /// Values of a row; channels mean nothing here, so any number that divides will do.
    fn row(&self, len: usize) -> usize {
        if len.is_multiple_of(ROW) { ROW } else { self.c }
    }

    fn source<'a, T: Element>(&self, xs: &'a [T]) -> Source<'a, T> {
        Source { activation: self.activation, ..Source::plain(xs) }
    }
}

impl Operation for Activate {
    const NAME: &'static str = "activation";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        read(device, self.row(y.len()), self.source(inputs[0]), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            let mask = Some(Mask { source: self.source(inputs[0]) });
            device.pass(self.row(gradient.len()), gradient, Sink { mask, ..sink(out) });
        }
    }
}

struct Prelu {
    c: usize,
}

impl Operation for Prelu {
    const NAME: &'static str = "prelu";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        device.prelu(self.c, Source::plain(inputs[0]), inputs[1], y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, d_slope, _]: InputGrads<'_, T>,
    ) {
        let (xs, d_xs) = (Source::plain(inputs[0]), d_xs.map(sink));
        device.prelu_backward(self.c, gradient, xs, inputs[1], d_slope, d_xs);
    }
}
