//! The receptive field: how many pixels a position of a map sees, and how far its neighbor is.
//!
//! Above: `explain`. Below: `taper_cost`, `taper_graph`. Not here: the output's size (`sizes`).
//! A layer whose window spans r positions and moves by s makes of field f and jump j: `f + (r − 1)·j` and `j·s`.
//! Source: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks",
//! <https://doi.org/10.23915/distill.00021>.

use serde::Serialize;
use taper_cost::adaptive_window;
use taper_graph::Op;

/// What one position of a map sees along `(h, w)`, in pixels.
///
/// # Examples
/// ```
/// use taper_recipes::ReceptiveField;
/// // Two 3x3 convolutions see 5x5, the second of them with stride 2.
/// let first = ReceptiveField { field: [3.0, 3.0], jump: [1.0, 1.0] };
/// let second = ReceptiveField { field: [3.0, 3.0], jump: [2.0, 2.0] };
/// assert_eq!(first.then(second), ReceptiveField { field: [5.0, 5.0], jump: [2.0, 2.0] });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ReceptiveField {
    /// Pixels seen.
    pub field: [f64; 2],
    /// Pixels from the middle of this field to that of the next; a fraction after a transposed convolution.
    pub jump: [f64; 2],
}

impl ReceptiveField {
    /// A pixel of the picture: it sees itself.
    pub const PIXEL: ReceptiveField = ReceptiveField { field: [1.0; 2], jump: [1.0; 2] };

    /// What a layer with `window` sees, through these layers.
    pub fn then(self, window: ReceptiveField) -> ReceptiveField {
        ReceptiveField {
            field: [0, 1]
                .map(|axis| self.field[axis] + (window.field[axis] - 1.0) * self.jump[axis]),
            jump: [0, 1].map(|axis| self.jump[axis] * window.jump[axis]),
        }
    }

    /// What one layer sees of its input. Of windows of several sizes, the largest; of their steps, the mean.
    pub(super) fn of(op: &Op, size: [usize; 2], out: [usize; 2]) -> ReceptiveField {
        let axis = |axis: usize| match (op, op.window()) {
            (Op::ConvTranspose { .. }, Some(window)) => {
                // An output meets every stride-th tap.
                let span = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
                let stride = window.stride[axis];
                [span.div_ceil(stride) as f64, 1.0 / stride as f64]
            }
            (_, Some(window)) => {
                let span = window.dilation[axis] * (window.kernel[axis] - 1) + 1;
                [span as f64, window.stride[axis] as f64]
            }
            (_, None) => {
                let (size, out) = (size[axis], out[axis].max(1));
                let spans = (0..out).map(|i| adaptive_window(i, size, out)).map(|[a, b]| b - a);
                [spans.max().unwrap_or(0) as f64, size as f64 / out as f64]
            }
        };
        let [[field_h, jump_h], [field_w, jump_w]] = [axis(0), axis(1)];
        ReceptiveField { field: [field_h, field_w], jump: [jump_h, jump_w] }
    }
}
