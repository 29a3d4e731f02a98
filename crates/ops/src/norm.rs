//! Norms within one picture: group norm, and layer norm over channels.
//!
//! Above: users of candle, `layers`. Below: `operation`, `kernels::NormShape`. Not here: norms over the batch (`batch_norm`).
//! Source: `torch.nn.functional.{group_norm, layer_norm}`, PyTorch 2.x.

use candle_core::{D, Tensor};
use taper_kernels::{Affine, Device, NormShape, Source};

use crate::affine::check_affine;
use crate::batch_norm::check_eps;
use crate::element::Element;
use crate::error::{Error, Result, within};
use crate::map::Map;
use crate::operation::{InputGrads, Operation, apply, sink};

/// Normalizes groups of channels over all positions of each picture: `y = weight·(x − mean) / √(var + eps) + bias`.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`, `(n, l, c)` or `(n, c)`   - `weight`, `bias`: `(c)`   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Groups`], [`Error::Shape`], [`Error::Number`] if `eps` is not positive and finite, [`Error::DType`], [`Error::Device`].
///
/// # Source
/// Wu and He 2018, <https://arxiv.org/abs/1803.08494>; `torch.nn.functional.group_norm`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[1f32, 3.0, 10.0, 30.0]], &Device::Cpu)?;
/// let (ones, zeros) = (Tensor::ones(4, xs.dtype(), xs.device())?, Tensor::zeros(4, xs.dtype(), xs.device())?);
/// let ys = taper_ops::nhwc::group_norm(&xs, 2, &ones, &zeros, 1e-12)?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[-1.0, 1.0, -1.0, 1.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn group_norm(
    xs: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let op = "group_norm";
    let map = Map::of_any(op, xs)?;
    if groups == 0 || !map.c.is_multiple_of(groups) {
        return Err(Error::Groups { op, what: "channels", channels: map.c, groups });
    }
    let shape = NormShape::new(map.n.max(1), map.positions(), map.c, groups);
    normed(op, xs, shape, [weight, bias], eps)
}

/// Normalizes the channels of every position: `y = weight·(x − mean) / √(var + eps) + bias`.
///
/// # Shapes
/// - `xs`: `(…, c)`   - `weight`, `bias`: `(c)`   - returns the shape of `xs`
///
/// # Errors
/// [`Error::Shape`], [`Error::Number`] if `eps` is not positive and finite, [`Error::DType`], [`Error::Device`].
///
/// # Source
/// Ba et al. 2016, <https://arxiv.org/abs/1607.06450>; `torch.nn.functional.layer_norm` over the last axis, timm's `LayerNorm2d` in
/// this layout.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[1f32, 3.0], [10.0, 30.0]], &Device::Cpu)?;
/// let (ones, zeros) = (Tensor::ones(2, xs.dtype(), xs.device())?, Tensor::zeros(2, xs.dtype(), xs.device())?);
/// let ys = taper_ops::nhwc::layer_norm(&xs, &ones, &zeros, 1e-12)?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[-1.0, 1.0], [-1.0, 1.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn layer_norm(xs: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let op = "layer_norm";
    let c = xs.dim(D::Minus1).map_err(within(op))?;
    let rows = xs.elem_count().checked_div(c).unwrap_or(0);
    normed(op, xs, NormShape::new(rows.max(1), 1, c, 1), [weight, bias], eps)
}

fn normed(
    name: &'static str,
    xs: &Tensor,
    shape: Option<NormShape>,
    [weight, bias]: [&Tensor; 2],
    eps: f64,
) -> Result<Tensor> {
    check_eps(name, eps)?;
    check_affine(name, xs, [("weight", weight), ("bias", bias)])?;
    let zero = || Error::Zero { op: name, what: "shape of xs", got: xs.dims().to_vec() };
    let norm = Norm { name, shape: shape.ok_or_else(zero)?, eps };
    apply(norm, xs, [Some(weight), Some(bias)], xs.shape())
}

struct Norm {
    name: &'static str,
    shape: NormShape,
    eps: f64,
}

impl Operation for Norm {
    const NAME: &'static str = "norm";

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let affine = Affine { scale: inputs[1], shift: inputs[2] };
        device.group_norm(&self.shape, self.eps, Source::plain(inputs[0]), affine, y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, d_weight, d_bias]: InputGrads<'_, T>,
    ) {
        let (xs, d_affine, d_xs) = (Source::plain(inputs[0]), [d_weight, d_bias], d_xs.map(sink));
        device.group_norm_backward(&self.shape, self.eps, gradient, xs, inputs[1], d_affine, d_xs);
    }
}
