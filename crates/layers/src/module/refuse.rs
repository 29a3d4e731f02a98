//! What a layer refuses before it has seen a tensor.
//!
//! Above: the constructors of layers. Below: `ops::Error`, whose formulas these are. Not here: what depends on a tensor; `ops` refuses that.

use taper_graph::{PadMode, Padding, Window};
use taper_ops::Error;

use crate::error;

type Checked = Result<(), Error>;

/// Names the layer that refused: the bridge from the errors of `ops` to ours.
pub(super) fn within(path: String) -> impl FnOnce(Error) -> error::Error {
    move |source| error::Error::Layer { path, source: Box::new(source) }
}

/// Sizes are positive.
pub(super) fn positive(op: &'static str, what: &'static str, got: &[usize]) -> Checked {
    if got.contains(&0) {
        return Err(Error::Zero { op, what, got: got.to_vec() });
    }
    Ok(())
}

/// Groups divide channels.
pub(super) fn groups(
    op: &'static str,
    what: &'static str,
    channels: usize,
    groups: usize,
) -> Checked {
    positive(op, what, &[channels])?;
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::Groups { op, what, channels, groups });
    }
    Ok(())
}

/// A window has taps and moves.
pub(super) fn window(op: &'static str, window: &Window) -> Checked {
    positive(op, "kernel", &window.kernel)?;
    positive(op, "stride", &window.stride)?;
    positive(op, "dilation", &window.dilation)
}

/// The same for sequences, which are maps of height 1.
pub(super) fn line(op: &'static str, it: &Window) -> Checked {
    window(op, it)?;
    let [top, _, bottom, _] = it.pads([1, 1]);
    if it.kernel[0] == 1 && top == 0 && bottom == 0 {
        return Ok(());
    }
    let got = vec![it.kernel[0], top, bottom];
    let expected = "[1, 0, 0] (kernel height, padding above and below); see `Window::line`".into();
    Err(Error::Shape { op, argument: "window", got, expected })
}

/// The first window of a pool has an element of any map in it; whether the last one has depends on the map.
pub(super) fn pool(op: &'static str, it: &Window) -> Checked {
    window(op, it)?;
    let Padding::Explicit { top, left, bottom, right } = it.padding else { return Ok(()) };
    let pads = [top, left, bottom, right];
    let reach = |axis: usize| it.dilation[axis].saturating_mul(it.kernel[axis] - 1);
    if (top > reach(0) || left > reach(1)) && it.mode == PadMode::Zeros {
        return Err(Error::PaddingOnly { op, kernel: it.kernel, dilation: it.dilation, pads });
    }
    Ok(())
}

/// A number is above 0 and finite.
pub(super) fn above_zero(op: &'static str, what: &'static str, got: f64) -> Checked {
    if got > 0.0 && got.is_finite() {
        return Ok(());
    }
    Err(Error::Number { op, what, got, expected: "positive and finite" })
}

/// A number is a share of a whole.
pub(super) fn share(op: &'static str, what: &'static str, got: f64) -> Checked {
    if (0.0..=1.0).contains(&got) {
        return Ok(());
    }
    Err(Error::Number { op, what, got, expected: "from 0 to 1" })
}
