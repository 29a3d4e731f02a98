//! Where a window lies first and second, in characters.
//!
//! Above: `explain`. Below: `taper_recipes`. Not here: drawings (docs/images).
//! The marks are in [`LEGEND`].

use taper_recipes::{Op, Window};

/// What the marks mean.
pub(super) const LEGEND: &str = "■ read, □ not read; ▪ and · the same of padding";

/// Rows and columns that fit beside each other; larger windows have no picture.
const ROOM: usize = 16;

/// The upper left corner of the map under the first two windows of a row, if it is small enough to be seen.
pub(super) fn of(op: &Op, input: [usize; 2], padding: [usize; 4]) -> Option<String> {
    if matches!(op, Op::ConvTranspose { .. }) {
        return None;
    }
    let window = op.window()?;
    let span = [0, 1].map(|axis| window.dilation[axis].saturating_mul(window.kernel[axis] - 1) + 1);
    let [top, left, bottom, right] = padding;
    let rows = (span[0].saturating_add(1)).min(top + input[0] + bottom);
    let cols = span[1].saturating_add(window.stride[1]).saturating_add(1);
    let cols = cols.min(left + input[1] + right);
    if rows > ROOM || cols > ROOM || span[1].saturating_add(window.stride[1]) > cols {
        return None;
    }
    let titles = ["first window", "second window"];
    let gap = 4 + (2 * cols).max(titles[0].len());
    let mut lines = vec![format!("{:gap$}{}", titles[0], titles[1])];
    for row in 0..rows {
        let [first, second] = [0, window.stride[1]].map(|begin| {
            line(window, row, cols, begin, |col| {
                (top..top + input[0]).contains(&row) && (left..left + input[1]).contains(&col)
            })
        });
        lines.push(format!("{first:gap$}{second}"));
    }
    Some(lines.join("\n"))
}

/// A row of the picture, with a window that begins at column `begin`.
fn line(
    window: &Window,
    row: usize,
    cols: usize,
    begin: usize,
    on_map: impl Fn(usize) -> bool,
) -> String {
    let tap = |at: usize, axis: usize| {
        at.is_multiple_of(window.dilation[axis]) && at / window.dilation[axis] < window.kernel[axis]
    };
    let marks = (0..cols).map(|col| {
        let read = tap(row, 0) && col.checked_sub(begin).is_some_and(|at| tap(at, 1));
        match (on_map(col), read) {
            (true, true) => "■",
            (true, false) => "□",
            (false, true) => "▪",
            (false, false) => "·",
        }
    });
    marks.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use taper_recipes::{Conv, Padding};

    use super::*;

    #[test]
    fn the_second_window_is_a_stride_further() {
        let op = Op::Conv(Conv::dense(1, 3, 2));
        let lines = [
            "first window    second window",
            "▪ ▪ ▪ · · ·     · · ▪ ▪ ▪ ·",
            "▪ ■ ■ □ □ □     · □ ■ ■ ■ □",
            "▪ ■ ■ □ □ □     · □ ■ ■ ■ □",
            "· □ □ □ □ □     · □ □ □ □ □",
        ];
        assert_eq!(of(&op, [7, 7], [1; 4]).unwrap(), lines.join("\n"));
    }

    #[test]
    fn dilated_taps_have_gaps_and_what_is_too_large_has_no_picture() {
        let valid = Window { padding: Padding::Valid, ..Window::square(2, 1) };
        let dilated = Window { dilation: [2, 2], ..valid };
        let op = |window| Op::Conv(Conv { out: 1, window, groups: 1 });
        let picture = of(&op(dilated), [5, 5], [0; 4]).unwrap();
        assert!(picture.contains("■ □ ■ □ □"), "{picture}");
        assert!(picture.contains("□ ■ □ ■ □"), "{picture}");
        assert!(of(&op(Window::square(15, 2)), [64, 64], [7; 4]).is_none());
        assert!(of(&op(valid), [2, 2], [0; 4]).is_none(), "there is no second window");
    }
}
