//! Convolution in two dimensions and one, channels last: any kernel, stride, dilation, padding and groups.
//!
//! Above: users of candle, `layers`. Below: `operation`, `map`, `kernels::ConvShape`. Not here: the transposed convolution
//! (`conv_transpose`).
//! Source: `torch.nn.functional.conv2d`, PyTorch 2.x; `Padding::Same` is TensorFlow's.

use candle_core::Tensor;
use taper_graph::Window;
use taper_kernels::{ConvGradient, ConvShape, Device, Epilogue, Source};

use crate::element::Element;
use crate::error::{Error, Result, within};
use crate::input::check_channels;
use crate::map::{
    Map, as_lines, check_line, check_sequence, check_vector, filled, mismatch, shape,
};
use crate::operation::{InputGrads, Operation, apply, sink};

/// Convolves maps.
///
/// `y[n,i,j,o] = bias[o] + Σ_{u,v,k} x[n, i·s + u·d − top, j·s + v·d − left, k] · w[o,k,u,v]`, where `k` runs over the channels of
/// the group of `o`; `bias` may be left out.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - `weight`: `(out, c / groups, kh, kw)`   - `bias`: `(out)`
/// - returns `(n, oh, ow, out)` with [`Window::output_size`]
///
/// # Cost
/// `n·oh·ow·out·(c / groups)·kh·kw` MACs forward, as many for each gradient that is wanted; a mode other than zeros copies the map.
///
/// # Errors
/// [`Error::Shape`] if shapes and window do not agree, [`Error::Groups`], [`Error::Window`] if the window does not fit,
/// [`Error::Reach`] if the mode cannot fill the padding, [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.conv2d`; modes as in `torch.nn.Conv2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor, Var};
/// use taper_ops::{Window, nhwc::conv2d};
/// // Sums of 3x3 neighborhoods of each of two channels: depthwise, so as many groups as channels.
/// let xs = Var::ones((1, 4, 5, 2), candle_core::DType::F32, &Device::Cpu)?;
/// let weight = Tensor::ones((2, 1, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
/// let ys = conv2d(&xs, &weight, None, &Window::square(3, 1), 2)?;
/// assert_eq!(ys.dims(), [1, 4, 5, 2]);
/// assert_eq!(ys.get(0)?.get(0)?.get(0)?.to_vec1::<f32>()?, [4.0, 4.0]); // a corner has four neighbors
/// let grads = ys.sum_all()?.backward()?;
/// assert_eq!(grads.get(&xs).unwrap().dims(), xs.dims());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conv2d(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
) -> Result<Tensor> {
    let op = Conv::NAME;
    Map::of(op, xs)?;
    let out = check_weight(xs, weight, window, groups)?;
    if let Some(bias) = bias {
        check_vector(op, "bias", bias, out)?;
    }
    let (xs, window) = filled(op, xs, window)?;
    let map = Map::of(op, &xs)?;
    let Window { kernel, stride, dilation, .. } = window;
    let mismatch = || mismatch(op, &window, map.size());
    let size = window.output_size(map.size()).ok_or_else(mismatch)?;
    let pads = window.pads(map.size());
    let shape = ConvShape::new(map.sizes(), out, kernel, stride, dilation, pads, groups);
    let conv = Conv { shape: shape.ok_or_else(mismatch)? };
    apply(conv, &xs, [Some(weight), bias], map.with(size, out))
}

/// Convolves sequences: [`conv2d`] of maps of height 1.
///
/// # Shapes
/// - `xs`: `(n, l, c)`   - `weight`: `(out, c / groups, k)`   - `bias`: `(out)`   - returns `(n, ol, out)`
/// - `window`: of height 1, such as [`Window::line`]
///
/// # Errors
/// As [`conv2d`]; [`Error::Shape`] also if the window is higher than 1.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Window, nhwc::conv1d};
/// let xs = Tensor::new(&[[[1f32], [2.0], [4.0]]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[[-1f32, 1.0, 0.0]]], &Device::Cpu)?; // what came in since the last step
/// let ys = conv1d(&xs, &weight, None, &Window::line(3, 1), 1)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.0, 1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conv1d(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
) -> Result<Tensor> {
    let op = "conv1d";
    check_sequence(op, xs)?;
    let filters = as_filters(op, weight)?;
    check_channels(op, xs, weight.dims()[1].saturating_mul(groups), ("weight", weight))?;
    as_lines(op, xs, |xs| {
        check_line(op, window, xs.dims()[2])?;
        conv2d(xs, &filters, bias, window, groups)
    })
}

/// A weight of sequences as one of maps.
pub(crate) fn as_filters(op: &'static str, weight: &Tensor) -> Result<Tensor> {
    if weight.rank() != 3 {
        return Err(shape(op, "weight", weight, "three sizes, the last the kernel size"));
    }
    weight.unsqueeze(2).map_err(within(op))
}

/// The output channels, if the weight is one for the window and the input for the weight.
fn check_weight(xs: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<usize> {
    let (op, [kh, kw]) = (Conv::NAME, window.kernel);
    let [out, per_group] = match *weight.dims() {
        [out, i, u, v] if ![out, i].contains(&0) && [u, v] == [kh, kw] => [out, i],
        _ => {
            let expected = format!("(out, in / {groups}, {kh}, {kw}) with out, in at least 1");
            return Err(shape(op, "weight", weight, expected));
        }
    };
    if groups == 0 || !out.is_multiple_of(groups) {
        return Err(Error::Groups { op, what: "output channels", channels: out, groups });
    }
    let channels = per_group.checked_mul(groups).ok_or(Error::TooLarge { op })?;
    check_channels(op, xs, channels, ("weight", weight))?;
    Ok(out)
}

struct Conv {
    shape: ConvShape,
}

impl Operation for Conv {
    const NAME: &'static str = "conv2d";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        let epilogue = Epilogue { bias: inputs.get(2).copied(), ..Epilogue::default() };
        let xs = Source::plain(inputs[0]);
        device.conv_forward(&self.shape, xs, inputs[1], epilogue, y, None);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, d_weight, d_bias]: InputGrads<'_, T>,
    ) {
        let (xs, dz) = (Source::plain(inputs[0]), ConvGradient { dz: gradient, norm: None });
        let d_xs = d_xs.map(sink);
        device.conv_backward(&self.shape, dz, xs, inputs[1], d_weight, d_bias, d_xs);
    }
}
