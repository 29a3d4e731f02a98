//! The sizes of a channels-last tensor, and a window over them.
//!
//! Above: every operation. Below: `graph::Window`, `resample`. Not here: shape structs of kernels, which each operation makes.
//! A 1-D map `(n, l, c)` is a map of height 1.

use candle_core::Tensor;
use taper_graph::{PadMode, Padding, Window};

use crate::error::{Error, Result, within};
use crate::input::misshapen;
use crate::resample::pad;

/// The names of the two axes.
pub(crate) const AXES: [&str; 2] = ["height", "width"];

/// The sizes of `(n, h, w, c)`; all but the batch are positive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) c: usize,
}

impl Map {
    pub(crate) fn of(op: &'static str, xs: &Tensor) -> Result<Self> {
        match *xs.dims() {
            [n, h, w, c] if ![h, w, c].contains(&0) => Ok(Self { n, h, w, c }),
            _ => Err(misshapen(op, xs, &[4])),
        }
    }

    /// A map, or vectors `(n, c)` as a map of one position; `(n, l, c)` as one of height 1.
    pub(crate) fn of_any(op: &'static str, xs: &Tensor) -> Result<Self> {
        let (n, h, w, c) = match *xs.dims() {
            [n, c] => (n, 1, 1, c),
            [n, l, c] => (n, 1, l, c),
            [n, h, w, c] => (n, h, w, c),
            _ => (0, 0, 0, 0),
        };
        if [h, w, c].contains(&0) {
            return Err(misshapen(op, xs, &[2, 3, 4]));
        }
        Ok(Self { n, h, w, c })
    }

    /// What kernels are asked for: they know no empty batch, and none reaches them.
    pub(crate) fn sizes(self) -> [usize; 4] {
        [self.n.max(1), self.h, self.w, self.c]
    }

    pub(crate) fn size(self) -> [usize; 2] {
        [self.h, self.w]
    }

    pub(crate) fn positions(self) -> usize {
        self.h * self.w
    }

    /// The shape of an output with other sizes.
    pub(crate) fn with(self, [h, w]: [usize; 2], c: usize) -> (usize, usize, usize, usize) {
        (self.n, h, w, c)
    }
}

/// An argument of a wrong shape.
pub(crate) fn shape(
    op: &'static str,
    argument: &'static str,
    got: &Tensor,
    expected: impl Into<String>,
) -> Error {
    Error::Shape { op, argument, got: got.dims().to_vec(), expected: expected.into() }
}

/// Refuses an argument that is not a vector of `len`.
pub(crate) fn check_vector(
    op: &'static str,
    argument: &'static str,
    got: &Tensor,
    len: usize,
) -> Result<()> {
    if got.dims() == [len] { Ok(()) } else { Err(shape(op, argument, got, format!("({len})"))) }
}

/// Refuses what is no sequence `(n, l, c)`.
pub(crate) fn check_sequence(op: &'static str, xs: &Tensor) -> Result<()> {
    match *xs.dims() {
        [_, l, c] if ![l, c].contains(&0) => Ok(()),
        _ => Err(misshapen(op, xs, &[3])),
    }
}

/// Runs a 2-D operation on 1-D maps.
pub(crate) fn as_lines(
    op: &'static str,
    xs: &Tensor,
    run: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    check_sequence(op, xs)?;
    run(&xs.unsqueeze(1).map_err(within(op))?)?.squeeze(1).map_err(within(op))
}

/// Refuses a window that is more than a line.
pub(crate) fn check_line(op: &'static str, window: &Window, size: usize) -> Result<()> {
    let [top, _, bottom, _] = window.pads([1, size]);
    if window.kernel[0] == 1 && top + bottom == 0 {
        return Ok(());
    }
    let got = vec![window.kernel[0], top, bottom];
    let expected = "[1, 0, 0] (kernel height, padding above and below); see `Window::line`".into();
    Err(Error::Shape { op, argument: "window", got, expected })
}

/// The map with what its window's mode puts outside of it, and the window over the result, whose padding is explicit and zeros.
pub(crate) fn filled(op: &'static str, xs: &Tensor, window: &Window) -> Result<(Tensor, Window)> {
    let pads = window.pads(Map::of(op, xs)?.size());
    if window.mode == PadMode::Zeros {
        let [top, left, bottom, right] = pads;
        let padding = Padding::Explicit { top, left, bottom, right };
        return Ok((xs.clone(), Window { padding, ..*window }));
    }
    let inside = Window { padding: Padding::Valid, mode: PadMode::Zeros, ..*window };
    Ok((pad(xs, pads, window.mode)?, inside))
}

/// Why a window has no output; to be asked when it has none.
pub(crate) fn mismatch(op: &'static str, window: &Window, size: [usize; 2]) -> Error {
    for (what, got) in
        [("kernel", window.kernel), ("stride", window.stride), ("dilation", window.dilation)]
    {
        if got.contains(&0) {
            return Error::Zero { op, what, got: got.to_vec() };
        }
    }
    let pads = window.pads(size);
    for axis in 0..2 {
        let (kernel, dilation) = (window.kernel[axis], window.dilation[axis]);
        let (size, before, after) = (size[axis], pads[axis], pads[axis + 2]);
        let reach = dilation.saturating_mul(kernel - 1).saturating_add(1);
        if size.saturating_add(before).saturating_add(after) < reach {
            return Error::Window { op, axis: AXES[axis], size, before, after, kernel, dilation };
        }
    }
    Error::TooLarge { op }
}
