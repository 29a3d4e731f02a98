//! Maps with other positions: padding, interpolation, blur pooling.
//!
//! Above: users of candle, `layers`, `map`. Below: `operation`, `kernels::SpatialMap`. Not here: pools (`pool`), learned filters (`conv`).
//! Each output position is a weighted sum of input positions; the backward pass is the transposed sum.

use candle_core::Tensor;
use taper_graph::{PadMode, Padding, Window};
use taper_kernels::{Device, Edge, Resampling, Source, SpatialMap};

use crate::element::Element;
use crate::error::{Error, Result};
use crate::map::{Map, mismatch};
use crate::operation::{InputGrads, Operation, apply, sink};

/// Puts rows and columns around maps: `sides` of them at top, left, bottom, right.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, top + h + bottom, left + w + right, c)`
///
/// # Errors
/// [`Error::Reach`] if `mode` cannot fill that much: reflection less than the size of the map, circular at most its size;
/// [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.pad`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{PadMode, nhwc::pad};
/// let xs = Tensor::new(&[[[[1f32], [2.0], [3.0]]]], &Device::Cpu)?;
/// let ys = pad(&xs, [0, 2, 0, 1], PadMode::Reflect)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pad(xs: &Tensor, sides: [usize; 4], mode: PadMode) -> Result<Tensor> {
    let op = "pad";
    let map = Map::of(op, xs)?;
    let reach = Error::Reach { op, pads: sides, size: map.size(), mode };
    let edge = edge(mode);
    let sum = |axis: usize| map.size()[axis].checked_add(sides[axis])?.checked_add(sides[axis + 2]);
    let (Some(h), Some(w)) = (sum(0), sum(1)) else { return Err(Error::TooLarge { op }) };
    let taps = SpatialMap::pad(map.sizes(), sides, edge).ok_or(reach)?;
    apply(Resample { name: op, map: taps }, xs, [None; 2], map.with([h, w], map.c))
}

/// Resamples maps to `out` rows and columns: nearest, bilinear with and without aligned corners, bicubic.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, out[0], out[1], c)`
///
/// # Errors
/// [`Error::Zero`] if `out` has a zero, [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Source
/// `torch.nn.functional.interpolate` with `size` given and no antialiasing; bicubic without aligned corners.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{Resampling, nhwc::interpolate};
/// let xs = Tensor::new(&[[[[0f32], [4.0]]]], &Device::Cpu)?;
/// let ys = interpolate(&xs, [1, 4], Resampling::Bilinear)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 3.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn interpolate(xs: &Tensor, out: [usize; 2], resampling: Resampling) -> Result<Tensor> {
    let op = "interpolate";
    let map = Map::of(op, xs)?;
    if out.contains(&0) {
        return Err(Error::Zero { op, what: "output size", got: out.to_vec() });
    }
    let taps = SpatialMap::resize(map.sizes(), out, resampling).ok_or(Error::TooLarge { op })?;
    apply(Resample { name: op, map: taps }, xs, [None; 2], map.with(out, map.c))
}

/// Blurs maps with the binomial filter of `kernel_size` taps an axis and keeps every `stride`-th position, so that a small shift of
/// the picture stays a small shift.
///
/// The padding is `(stride − 1 + kernel_size − 1) / 2`, rounded down, on every side.
///
/// # Shapes
/// - `xs`: `(n, h, w, c)`   - returns `(n, oh, ow, c)` with `oh = (h + 2·padding − kernel_size) / stride + 1`, likewise `ow`
///
/// # Errors
/// [`Error::Reach`] if `mode` cannot fill the padding, [`Error::Window`] if the filter does not fit, [`Error::Zero`],
/// [`Error::Shape`], [`Error::DType`], [`Error::Device`].
///
/// # Source
/// Zhang 2019, <https://arxiv.org/abs/1904.11486>; timm's `BlurPool2d`, which has three taps, stride 2 and reflection.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use taper_ops::{PadMode, nhwc::blur_pool2d};
/// let xs = Tensor::new(&[[[[0f32], [4.0], [8.0], [8.0]]; 2]], &Device::Cpu)?;
/// let ys = blur_pool2d(&xs, 3, 2, PadMode::Reflect)?;
/// assert_eq!(ys.flatten_all()?.to_vec1::<f32>()?, [2.0, 7.0]); // (4 + 2·0 + 4) / 4, (4 + 2·8 + 8) / 4
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn blur_pool2d(
    xs: &Tensor,
    kernel_size: usize,
    stride: usize,
    mode: PadMode,
) -> Result<Tensor> {
    let op = "blur_pool2d";
    let map = Map::of(op, xs)?;
    let pad = (stride.saturating_sub(1) + kernel_size.saturating_sub(1)) / 2;
    let padding = Padding::symmetric(pad);
    let window = Window { padding, mode, ..Window::square(kernel_size, stride) };
    let out = window.output_size(map.size()).ok_or_else(|| mismatch(op, &window, map.size()))?;
    let reach = Error::Reach { op, pads: [pad; 4], size: map.size(), mode };
    let edge = edge(mode);
    let taps = SpatialMap::blur(map.sizes(), out, window.kernel, window.stride, [pad; 2], edge);
    apply(Resample { name: op, map: taps.ok_or(reach)? }, xs, [None; 2], map.with(out, map.c))
}

fn edge(mode: PadMode) -> Edge {
    match mode {
        PadMode::Zeros => Edge::Zeros,
        PadMode::Reflect => Edge::Reflect,
        PadMode::Replicate => Edge::Replicate,
        PadMode::Circular => Edge::Circular,
    }
}

struct Resample {
    name: &'static str,
    map: SpatialMap,
}

impl Operation for Resample {
    const NAME: &'static str = "resample";

    fn name(&self) -> &'static str {
        self.name
    }

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        device.resample(&self.map, Source::plain(inputs[0]), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        _inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            device.resample_backward(&self.map, gradient, sink(out));
        }
    }
}
