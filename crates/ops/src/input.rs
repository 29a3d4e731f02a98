//! What is said of an input that an operation cannot take: its shape and the expected one, in the order of axes its caller uses.
//!
//! Above: every operation, `layers`. Below: `error`. Not here: shapes of parameters (`map::check_vector`), sizes of windows (`map::mismatch`).
//! Operations see channels last. A layer that turned its caller's tensor says so by [`with_axis_order`], and refusals speak that order.

use std::cell::Cell;

use candle_core::Tensor;

use crate::error::{Error, Result};

thread_local! {
    static ORDER: Cell<AxisOrder> = const { Cell::new(AxisOrder::ChannelsLast) };
}

/// Where the channels of maps and sequences stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisOrder {
    /// `(n, h, w, c)` and `(n, l, c)`, as the functions of this crate take them.
    #[default]
    ChannelsLast,
    /// `(n, c, h, w)` and `(n, c, l)`, as candle and PyTorch have them.
    ChannelsFirst,
}

/// Runs `work`, whose refusals speak of inputs in this order: for a layer that turns its caller's tensor before it calls this crate.
///
/// # Examples
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use taper_ops::{AxisOrder, nhwc::global_avg_pool2d, to_nhwc, with_axis_order};
/// let xs = Tensor::zeros((3, 8, 8), DType::F32, &Device::Cpu)?; // the batch was forgotten
/// let refused = with_axis_order(AxisOrder::ChannelsFirst, || global_avg_pool2d(&to_nhwc(&xs)?));
/// let message = refused.unwrap_err().to_string();
/// assert!(message.contains("the input has shape [3, 8, 8], expected (n, c, h, w)"), "{message}");
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn with_axis_order<R>(order: AxisOrder, work: impl FnOnce() -> R) -> R {
    /// Puts the order back, also when `work` panics.
    struct Before(AxisOrder);
    impl Drop for Before {
        fn drop(&mut self) {
            ORDER.set(self.0);
        }
    }
    let _before = Before(ORDER.replace(order));
    work()
}

/// Axes that are channels last, in the caller's order; vectors and scalars have no other.
fn in_callers_order<T>(mut axes: Vec<T>) -> Vec<T> {
    if ORDER.get() == AxisOrder::ChannelsFirst && matches!(axes.len(), 3 | 4) {
        axes[1..].rotate_right(1);
    }
    axes
}

/// The axes of an input of that rank, as they are written.
fn written(rank: usize, channels: &str) -> String {
    let axes = match rank {
        2 => vec!["n", channels],
        3 => vec!["n", "l", channels],
        4 => vec!["n", "h", "w", channels],
        _ => vec!["…", channels],
    };
    format!("({})", in_callers_order(axes).join(", "))
}

/// An input with another number of axes than these, or with an axis of nothing.
pub(crate) fn misshapen(op: &'static str, xs: &Tensor, ranks: &[usize]) -> Error {
    let ranks: Vec<String> = ranks.iter().map(|&rank| written(rank, "c")).collect();
    let expected = format!("{} with no zero but n", ranks.join(" or "));
    Error::Input { op, got: in_callers_order(xs.dims().to_vec()), expected }
}

/// Refuses an input whose channels are not the `channels` that a parameter is made for.
pub(crate) fn check_channels(
    op: &'static str,
    xs: &Tensor,
    channels: usize,
    (name, parameter): (&'static str, &Tensor),
) -> Result<()> {
    if xs.dims().last() == Some(&channels) {
        return Ok(());
    }
    let shape = written(xs.rank(), &channels.to_string());
    let expected = format!("{shape} for the {name} {:?}", parameter.dims());
    Err(Error::Input { op, got: in_callers_order(xs.dims().to_vec()), expected })
}
