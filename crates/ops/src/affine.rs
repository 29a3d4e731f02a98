//! A factor and a summand a channel, and a factor a channel of each picture: frozen batch norm, layer scale, squeeze-excite's gate.
//!
//! Above: `batch_norm`, users of candle, `layers`. Below: `operation`, `map`. Not here: factors that follow from the batch
//! (`batch_norm`), from the picture (`norm`), or from a sign (`activation::prelu`).

use candle_core::{D, Tensor};
use taper_kernels::{Affine, Device, Real, Sink, Source, Tally};

use crate::element::Element;
use crate::error::{Result, within};
use crate::input::check_channels;
use crate::map::{Map, check_vector, shape};
use crate::operation::{InputGrads, Operation, apply, read, sink};

/// Scales and shifts channels: `y = scale·x + shift`.
///
/// # Shapes
/// - `xs`: `(…, c)`   - `scale`, `shift`: `(c)`   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape), [`Error::DType`](crate::Error::DType), [`Error::Device`](crate::Error::Device).
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?;
/// let (scale, shift) = (Tensor::new(&[2f32, 3.0], &Device::Cpu)?, Tensor::new(&[0f32, 1.0], &Device::Cpu)?);
/// assert_eq!(taper_ops::nhwc::channel_affine(&xs, &scale, &shift)?.to_vec2::<f32>()?, [[2.0, 7.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel_affine(xs: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let op = ChannelAffine::NAME;
    let c = xs.dim(D::Minus1).map_err(within(op))?;
    check_affine(op, xs, [("scale", scale), ("shift", shift)])?;
    apply(ChannelAffine { c }, xs, [Some(scale), Some(shift)], xs.shape())
}

/// Multiplies the channels of each picture by a gate, as squeeze-excite does: `y[n,i,j,c] = x[n,i,j,c] · gate[n,0,0,c]`.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - `gate`: `(n, 1, 1, c)`   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape), [`Error::DType`](crate::Error::DType), [`Error::Device`](crate::Error::Device).
///
/// # Source
/// Hu et al. 2017, <https://arxiv.org/abs/1709.01507>.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Activation, activation, nhwc::{channel_gate, global_avg_pool2d}};
/// let xs = Tensor::new(&[[[[1f32, -8.0]], [[3.0, -8.0]]]], &Device::Cpu)?;
/// let gate = activation(&global_avg_pool2d(&xs)?, Activation::HardSigmoid)?;
/// let ys = channel_gate(&xs, &gate)?; // the first channel is multiplied by 2/6 + 1/2, the second by 0
/// assert_eq!(ys.get(0)?.get(0)?.get(0)?.to_vec1::<f32>()?[1], 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel_gate(xs: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let op = ChannelGate::NAME;
    let map = Map::of(op, xs)?;
    if gate.dims() != [map.n, 1, 1, map.c] {
        return Err(shape(op, "gate", gate, format!("({}, 1, 1, {})", map.n, map.c)));
    }
    apply(ChannelGate(map), xs, [Some(gate), None], xs.shape())
}

/// Refuses factors and summands that are no vectors of one length, and an input of other channels than theirs.
pub(crate) fn check_affine(
    op: &'static str,
    xs: &Tensor,
    [scale, shift]: [(&'static str, &Tensor); 2],
) -> Result<()> {
    let c = scale.1.elem_count();
    check_vector(op, scale.0, scale.1, c)?;
    check_vector(op, shift.0, shift.1, c)?;
    check_channels(op, xs, c, scale)
}

/// `Σ dy` and `Σ dy·(x − center)` by channel, in double precision. `room` is as long as `dy` and overwritten.
pub(crate) fn tally<T: Element>(
    device: &mut T::Device,
    [dy, xs, center]: [&[T]; 3],
    room: Option<&mut [T]>,
) -> [Vec<f64>; 2] {
    let c = center.len();
    let [mut sum, mut dot] = [vec![0.0; c], vec![0.0; c]];
    let mut own = vec![T::default(); if room.is_some() { 0 } else { dy.len() }];
    let out = room.unwrap_or(&mut own);
    let tally = Some(Tally { y: xs, mean: center, sum: &mut sum, dot: &mut dot });
    device.pass(c, dy, Sink { tally, ..sink(out) });
    [sum, dot]
}

/// Rounds sums into a gradient that is wanted.
pub(crate) fn write<T: Real>(sums: &[f64], to: Option<&mut [T]>) {
    for (to, &sum) in to.into_iter().flatten().zip(sums) {
        *to = T::from_f64(sum);
    }
}

struct ChannelAffine {
    c: usize,
}

impl Operation for ChannelAffine {
    const NAME: &'static str = "channel_affine";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let affine = Some(Affine { scale: inputs[1], shift: inputs[2] });
        read(device, self.c, Source { affine, ..Source::plain(inputs[0]) }, y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [mut d_xs, d_scale, d_shift]: InputGrads<'_, T>,
    ) {
        if d_scale.is_some() || d_shift.is_some() {
            let zeros = vec![T::default(); self.c];
            let [sum, dot] = tally(device, [gradient, inputs[0], &zeros], d_xs.as_deref_mut());
            write(&dot, d_scale);
            write(&sum, d_shift);
        }
        if let Some(out) = d_xs {
            let (dy, scale) = (Source::plain(gradient), Source::plain(inputs[1]));
            device.mul(1, gradient.len() / self.c, self.c, dy, scale, out);
        }
    }
}

struct ChannelGate(Map);

impl Operation for ChannelGate {
    const NAME: &'static str = "channel_gate";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let Map { n, c, .. } = self.0;
        let [xs, gate] = [inputs[0], inputs[1]].map(Source::plain);
        device.mul(n, self.0.positions(), c, xs, gate, y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, d_gate, _]: InputGrads<'_, T>,
    ) {
        let Map { n, c, .. } = self.0;
        let factors = [inputs[0], inputs[1]].map(Source::plain);
        let sinks = [d_xs.map(sink), d_gate.map(sink)];
        device.mul_backward(n, self.0.positions(), c, gradient, factors, sinks);
    }
}
