//! Channels of groups interleaved, so that the next grouped convolution sees all of them.
//!
//! Above: users of candle, `layers`. Below: `operation`, `kernels::ChannelMap`. Not here: concatenation and slices, which are candle's.

use candle_core::{D, Tensor};
use taper_kernels::{ChannelMap, Device, Source};

use crate::element::Element;
use crate::error::{Error, Result, within};
use crate::operation::{InputGrads, Operation, apply, sink};

/// Interleaves groups of channels: output channel `i·groups + g` is input channel `g·c/groups + i`.
///
/// # Shapes
/// - `xs`: `(…, c)`   - returns the same
///
/// # Errors
/// [`Error::Groups`] if the groups do not divide the channels, [`Error::DType`], [`Error::Device`].
///
/// # Source
/// Zhang et al. 2017, <https://arxiv.org/abs/1707.01083>; `torch.nn.functional.channel_shuffle`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// let xs = Tensor::new(&[[0f32, 1.0, 2.0, 3.0]], &Device::Cpu)?;
/// assert_eq!(taper_ops::nhwc::channel_shuffle(&xs, 2)?.to_vec2::<f32>()?, [[0.0, 2.0, 1.0, 3.0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn channel_shuffle(xs: &Tensor, groups: usize) -> Result<Tensor> {
    let op = Shuffle::NAME;
    let channels = xs.dim(D::Minus1).map_err(within(op))?;
    let refusal = Error::Groups { op, what: "channels", channels, groups };
    let map = ChannelMap::shuffle(channels, groups).ok_or(refusal)?;
    apply(Shuffle { map, channels }, xs, [None; 2], xs.shape())
}

struct Shuffle {
    map: ChannelMap,
    channels: usize,
}

impl Operation for Shuffle {
    const NAME: &'static str = "channel_shuffle";

    fn forward<T: Element>(&self, device: &mut T::Device, inputs: &[&[T]], y: &mut [T]) {
        device.move_channels(y.len() / self.channels, &self.map, Source::plain(inputs[0]), y);
    }

    fn backward<T: Element>(
        &self,
        device: &mut T::Device,
        _inputs: &[&[T]],
        gradient: &[T],
        [d_xs, ..]: InputGrads<'_, T>,
    ) {
        if let Some(out) = d_xs {
            let rows = gradient.len() / self.channels;
            device.move_channels_backward(rows, &self.map, gradient, sink(out));
        }
    }
}
