//! Drawings of windows along one axis: how they overlap, end and adapt, and how much of the picture layers see.
//!
//! Above: `pictures`. Below: `paper`, `taper_graph`. Not here: values (`convolution`, `pooling`).

use anyhow::{Context, Result};
use taper_graph::{Op, Padding, PoolKind, Window};

use super::paper::{BLUE, COLORS, Grid, ORANGE, Paper};

/// Side of a pixel in [`windows`].
const CELL: f64 = 34.0;

/// Sliding windows that overlap, that are cut by the end, and those of an adaptive pool.
pub(super) fn windows() -> Result<String> {
    let mut paper = Paper::new([860.0, 510.0], "Windows of pools along one axis");
    let pool = |kernel: usize, padding: usize, ceil: bool| {
        let padding = Padding::symmetric(padding);
        let window = Window { padding, ..Window::square(kernel, 2) };
        Op::Pool { kind: PoolKind::Avg, window, ceil }
    };
    let mut top = 34.0;
    for (name, size, op) in [
        ("window 3, stride 2: neighbors share a pixel", 7, pool(3, 0, false)),
        ("window 2, stride 2: what is left over at the end is not read", 7, pool(2, 0, false)),
        ("the same with ceil mode: a last window, cut at the end", 7, pool(2, 0, true)),
        ("window 3, stride 2, padding 1: one zero at each end", 7, pool(3, 1, false)),
    ] {
        let formulas = op.size_formulas([1, size]).context("a pool has a window")?;
        let (window, out) =
            (op.window().context("likewise")?, formulas[1].output().context("it fits")?);
        let pad = window.pads([1, size])[1];
        let begin = |i: usize| i * window.stride[1];
        let spans: Vec<[usize; 2]> =
            (0..out).map(|i| [begin(i), begin(i) + window.kernel[1]]).collect();
        strip(&mut paper, top, size, pad, &spans);
        paper.note([400.0, top + 24.0], 14.0, name);
        paper.note([400.0, top + 46.0], 12.0, &formulas[1].to_string());
        top += 96.0;
    }
    let (size, out) = (7_usize, 3);
    let spans: Vec<[usize; 2]> =
        (0..out).map(|i| [i * size / out, ((i + 1) * size).div_ceil(out)]).collect();
    strip(&mut paper, top, size, 0, &spans);
    paper.note([400.0, top + 24.0], 14.0, "adaptive to 3: parts of nearly equal size");
    paper.note([400.0, top + 46.0], 12.0, "part i is floor(i·7 / 3) .. ceil((i + 1)·7 / 3)");
    Ok(paper.end())
}

/// Pixels in a row, padding around them, and a bar for every window, `spans` counted from the padding.
fn strip(paper: &mut Paper, top: f64, size: usize, pad: usize, spans: &[[usize; 2]]) {
    let left = 40.0 + (1.0 - pad as f64) * CELL;
    let cells = Grid::new([left, top], [1, size + 2 * pad], CELL);
    for col in 0..cells.cols {
        if (pad..pad + size).contains(&col) {
            cells.fill(paper, [0, col], "white", 1.0);
            let [x, y] = cells.middle([0, col]);
            paper.words([x, y + 5.0], 13.0, &(col - pad).to_string());
        } else {
            cells.pad(paper, [0, col]);
        }
    }
    for (i, &[begin, end]) in spans.iter().enumerate() {
        let [x, y] = cells.corner([1, begin]);
        let width = (end - begin) as f64 * CELL;
        let y = y + 6.0 + 12.0 * (i % 2) as f64;
        let color = COLORS[i % COLORS.len()];
        paper.put(format!(
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"9\" rx=\"4\" fill=\"{color}\" fill-opacity=\"0.75\"/>",
            x + 2.0,
            width - 4.0
        ));
    }
}

/// What one position sees through three 3x3 layers, without and with a stride.
pub(super) fn field() -> Result<String> {
    let mut paper = Paper::new([860.0, 330.0], "The receptive field grows from layer to layer");
    for (left, title, stride, color) in
        [(30.0, "three 3x3 layers", 1, BLUE), (460.0, "the first of them with stride 2", 2, ORANGE)]
    {
        paper.note([left, 30.0], 15.0, title);
        pyramid(&mut paper, left, &levels([stride, 1, 1]), color);
    }
    Ok(paper.end())
}

/// A row of positions: pixels that each sees, and pixels from one to the next.
#[derive(Clone, Copy)]
struct Level {
    field: usize,
    jump: usize,
}

impl Level {
    /// How many of these positions a position of `top` sees.
    fn seen_from(self, top: Level) -> usize {
        (top.field - self.field) / self.jump + 1
    }
}

/// The picture, and 3x3 layers with these strides over it.
fn levels<const N: usize>(strides: [usize; N]) -> Vec<Level> {
    let mut last = Level { field: 1, jump: 1 };
    let mut levels = vec![last];
    for stride in strides {
        last = Level { field: last.field + 2 * last.jump, jump: last.jump * stride };
        levels.push(last);
    }
    levels
}

/// Side of a pixel in [`field`], pixels of its picture, and from one level to the next.
const PIXEL: f64 = 22.0;
const PIXELS: usize = 15;
const RISE: f64 = 66.0;

/// The picture at the bottom, layers above it, and what the middle of the top sees in each.
fn pyramid(paper: &mut Paper, left: f64, levels: &[Level], color: &str) {
    let width = PIXELS as f64 * PIXEL;
    let (middle, top) = (left + width / 2.0, levels[levels.len() - 1]);
    // Half of what is seen one level further down.
    let mut below: Option<f64> = None;
    for (number, &level) in levels.iter().enumerate() {
        let y = 260.0 - RISE * number as f64;
        let seen = level.seen_from(top);
        positions(paper, [middle, y], level, seen, color);
        let half = (seen * level.jump) as f64 * PIXEL / 2.0;
        if let Some(wide) = below {
            paper.put(format!(
                "<path d=\"M{:.1} {:.1}H{:.1}L{:.1} {:.1}H{:.1}Z\" fill=\"{color}\" fill-opacity=\"0.12\"/>",
                middle - half,
                y + PIXEL,
                middle + half,
                middle + wide,
                y + RISE,
                middle - wide
            ));
        }
        below = Some(half);
        let name = if number == 0 { "picture".to_owned() } else { format!("layer {number}") };
        paper.note([left + width + 6.0, y + 15.0], 12.0, &name);
    }
    let Level { field, jump } = top;
    let words =
        format!("a position of layer 3 sees {field} pixels, the next begins {jump} further");
    paper.note([left, 312.0], 12.0, &words);
}

/// As many positions around `middle` as the picture has room for; the `seen` in their middle are colored.
fn positions(paper: &mut Paper, [middle, y]: [f64; 2], level: Level, seen: usize, color: &str) {
    let side = PIXEL * level.jump as f64;
    let room = PIXELS / level.jump;
    let count = if room % 2 == seen % 2 { room } else { room - 1 };
    for i in 0..count {
        let x = middle + (i as f64 - count as f64 / 2.0) * side;
        let is_seen = i >= (count - seen) / 2 && i < (count + seen) / 2;
        let (fill, opacity) = if is_seen { (color, 0.45) } else { ("white", 1.0) };
        paper.put(format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{PIXEL:.1}\" fill=\"{fill}\" \
             fill-opacity=\"{opacity}\" stroke=\"#aaaaaa\"/>"
        ));
    }
}
