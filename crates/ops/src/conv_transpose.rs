//! The transposed convolution in two dimensions and one, channels last: what a convolution's backward pass does to gradients, done to maps.
//!
//! Above: users of candle, `layers`. Below: `operation`, `map`, `kernels::ConvShape`. Not here: the convolution (`conv`).
//! Source: `torch.nn.functional.conv_transpose2d`, PyTorch 2.x.

use candle_core::Tensor;
use taper_graph::{PadMode, Padding, Window};
use taper_kernels::{ConvShape, Device};

use crate::conv::as_filters;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::input::check_channels;
use crate::map::{AXES, Map, as_lines, check_line, check_sequence, check_vector, mismatch, shape};
use crate::operation::{InputGrads, Operation, apply, sink};

/// Convolves maps the other way: every input adds its share to a window of the output.
///
/// `y[n, i·s + u·d − top, j·s + v·d − left, o] += x[n,i,j,k] · w[k,o,u,v]`, where `k` runs over the channels of the group of `o`, plus
/// `bias[o]`; `bias` may be left out.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - `weight`: `(c, out / groups, kh, kw)`   - `bias`: `(out)`   - returns `(n, oh, ow, out)`,
///   `oh = (h − 1)·stride + dilation·(kh − 1) + 1 + output_padding − top − bottom`, likewise `ow`
///
/// # Errors
/// [`Error::Shape`] if shapes and window do not agree, [`Error::Groups`], [`Error::TransposedPadding`] for [`Padding::Same`] and modes
/// other than zeros, [`Error::OutputPadding`] if it is neither smaller than the stride nor than the dilation, [`Error::Empty`] if
/// the padding cuts everything off, [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.conv_transpose2d`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Padding, Window, nhwc::conv_transpose2d};
/// let xs = Tensor::new(&[[[[1f32], [2.0]]]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[[[1f32, 10.0]]]], &Device::Cpu)?;
/// let window = Window { kernel: [1, 2], stride: [1, 2], padding: Padding::Valid, ..Window::square(1, 1) };
/// let ys = conv_transpose2d(&xs, &weight, None, &window, [0, 1], 1)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.0, 10.0, 2.0, 20.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conv_transpose2d(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    output_padding: [usize; 2],
    groups: usize,
) -> Result<Tensor> {
    let op = ConvTranspose::NAME;
    let map = Map::of(op, xs)?;
    let out = check_weight(xs, weight, window, groups)?;
    if let Some(bias) = bias {
        check_vector(op, "bias", bias, out)?;
    }
    let size = output_size(map, window, output_padding)?;
    let Window { kernel, stride, dilation, .. } = *window;
    let (sizes, pads) = ([map.n.max(1), size[0], size[1], out], window.pads(map.size()));
    let shape = ConvShape::new(sizes, map.c, kernel, stride, dilation, pads, groups);
    let shape = shape.and_then(|shape| shape.with_output(map.size()));
    let conv = ConvTranspose { shape: shape.ok_or(Error::TooLarge { op })? };
    apply(conv, xs, [Some(weight), bias], map.with(size, out))
}

/// Convolves sequences the other way: [`conv_transpose2d`] of maps of height 1.
///
/// # Shapes
/// - `xs`: `(n, l, c)`   - `weight`: `(c, out / groups, k)`   - `bias`: `(out)`   - returns `(n, ol, out)`
/// - `window`: of height 1, such as [`Window::line`]
///
/// # Errors
/// As [`conv_transpose2d`]; [`Error::Shape`] also if the window is higher than 1.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Window, nhwc::conv_transpose1d};
/// let xs = Tensor::new(&[[[1f32], [3.0]]], &Device::Cpu)?;
/// let weight = Tensor::new(&[[[0.5f32, 1.0, 0.5]]], &Device::Cpu)?; // between two values, their mean
/// let ys = conv_transpose1d(&xs, &weight, None, &Window::line(3, 2), 0, 1)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn conv_transpose1d(
    xs: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    output_padding: usize,
    groups: usize,
) -> Result<Tensor> {
    let op = "conv_transpose1d";
    check_sequence(op, xs)?;
    let filters = as_filters(op, weight)?;
    check_channels(op, xs, weight.dims()[0], ("weight", weight))?;
    as_lines(op, xs, |xs| {
        check_line(op, window, xs.dims()[2])?;
        // Along the height, a stride leaves a map of one row as it is.
        let window = Window { stride: [1, window.stride[1]], ..*window };
        conv_transpose2d(xs, &filters, bias, &window, [0, output_padding], groups)
    })
}

/// The output channels, if the weight is one for the window and the input for the weight.
fn check_weight(xs: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<usize> {
    let (op, [kh, kw]) = (ConvTranspose::NAME, window.kernel);
    let [channels, out] = match *weight.dims() {
        [i, out, u, v] if ![i, out].contains(&0) && [u, v] == [kh, kw] => [i, out],
        _ => {
            let expected = format!("(in, out / {groups}, {kh}, {kw}) with in, out at least 1");
            return Err(shape(op, "weight", weight, expected));
        }
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::Groups { op, what: "input channels", channels, groups });
    }
    check_channels(op, xs, channels, ("weight", weight))?;
    out.checked_mul(groups).ok_or(Error::TooLarge { op })
}

fn output_size(map: Map, window: &Window, output_padding: [usize; 2]) -> Result<[usize; 2]> {
    let op = ConvTranspose::NAME;
    let Window { kernel, stride, dilation, padding, mode } = *window;
    if padding == Padding::Same || mode != PadMode::Zeros {
        return Err(Error::TransposedPadding { op });
    }
    if [kernel, stride, dilation].as_flattened().contains(&0) {
        return Err(mismatch(op, window, map.size()));
    }
    let (size, pads, mut out) = (map.size(), window.pads(map.size()), [0; 2]);
    for axis in 0..2 {
        if output_padding[axis] >= stride[axis].max(dilation[axis]) {
            return Err(Error::OutputPadding { op, got: output_padding, stride, dilation });
        }
        let full = || {
            let steps = (size[axis] - 1).checked_mul(stride[axis])?;
            let reach = (kernel[axis] - 1).checked_mul(dilation[axis])?.checked_add(1)?;
            steps.checked_add(reach)?.checked_add(output_padding[axis])
        };
        let full = full().ok_or(Error::TooLarge { op })?;
        let cut = pads[axis].checked_add(pads[axis + 2]).ok_or(Error::TooLarge { op })?;
        let left = full.checked_sub(cut).filter(|left| *left > 0);
        out[axis] = left.ok_or(Error::Empty { op, axis: AXES[axis], full, cut })?;
    }
    Ok(out)
}

/// Its shape is that of the convolution from the output to the input.
struct ConvTranspose {
    shape: ConvShape,
}

impl Operation for ConvTranspose {
    const NAME: &'static str = "conv_transpose2d";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        device.conv_transpose(&self.shape, inputs[0], inputs[1], inputs.get(2).copied(), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        inputs: &[&[T]],
        gradient: &[T],
        [d_xs, d_weight, d_bias]: InputGrads<'_, T>,
    ) {
        let (xs, weight, d_xs) = (inputs[0], inputs[1], d_xs.map(sink));
        device.conv_transpose_backward(&self.shape, gradient, xs, weight, d_weight, d_bias, d_xs);
    }
}
