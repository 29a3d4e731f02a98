//! How height and width of a layer's output come about, in words.
//!
//! Above: `explain`. Below: `taper_cost`, `taper_graph`. Not here: computing them (`taper_graph::SizeFormula`).

use serde::Serialize;
use taper_cost::adaptive_window;
use taper_graph::Op;

use crate::error::{Error, Result};

/// Windows of an adaptive pool that are written out.
const SHOWN: usize = 8;

/// One axis of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AxisSize {
    /// `h` or `w`.
    pub axis: &'static str,
    /// The formula.
    pub formula: String,
    /// The formula with the numbers in, and what comes out.
    pub numbers: String,
}

/// Both axes of the output of `op`.
pub(super) fn of(op: &Op, size: [usize; 2], out: [usize; 2]) -> Result<[AxisSize; 2]> {
    if let Some(formulas) = op.size_formulas(size) {
        return Ok(formulas.map(|formula| AxisSize {
            axis: formula.axis(),
            formula: formula.symbols(),
            numbers: formula.to_string(),
        }));
    }
    let words: fn(&'static str, usize, usize) -> AxisSize = match op {
        Op::AdaptivePool { .. } => |axis, size, out| AxisSize {
            axis,
            formula: format!(
                "out; window i is floor(i·{axis} / out) .. ceil((i + 1)·{axis} / out)"
            ),
            numbers: format!("{out}; windows {}", windows(size, out)),
        },
        Op::GlobalPool { .. } => |axis, size, _| AxisSize {
            axis,
            formula: format!("1; the window is all of {axis}"),
            numbers: format!("1; the window is 0..{size}"),
        },
        other => {
            let (got, expected) =
                (other.label().to_owned(), "conv, conv_transpose, pool".to_owned());
            return Err(Error::Choice { got, expected });
        }
    };
    Ok([words("h", size[0], out[0]), words("w", size[1], out[1])])
}

fn windows(size: usize, out: usize) -> String {
    let shown = (0..out.min(SHOWN))
        .map(|i| adaptive_window(i, size, out))
        .map(|[a, b]| format!("{a}..{b}"));
    let mut words = shown.collect::<Vec<_>>().join(" ");
    if out > SHOWN {
        words.push_str(" …");
    }
    words
}
