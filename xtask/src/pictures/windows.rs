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
    let mut paper = Paper::new([860.0, 520.0], "Windows of pools along one axis");
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
        ("window 3, stride 2, padding 1: the first window has one zero", 7, pool(3, 1, false)),
    ] {
        let formulas = op.size_formulas([1, size]).context("a pool has a window")?;
        let (window, out) =
            (op.window().context("likewise")?, formulas[1].output().context("it fits")?);
        let pad = window.pads([1, size])[1];
        let begin = |i: usize| i * window.stride[1];
        let spans: Vec<[usize; 2]> =
            (0..out).map(|i| [begin(i), begin(i) + window.kernel[1]]).collect();
        strip(&mut paper, top, size, pad, &spans);
        paper.note([430.0, top + 24.0], 14.0, name);
        paper.note([430.0, top + 46.0], 12.0, &formulas[1].to_string());
        top += 96.0;
    }
    let (size, out) = (7, 3);
    let spans: Vec<[usize; 2]> =
        (0..out).map(|i| [i * size / out, ((i + 1) * size).div_ceil(out)]).collect();
    strip(&mut paper, top, size, 0, &spans);
    paper.note([430.0, top + 24.0], 14.0, "adaptive to 3: parts of nearly equal size");
    paper.note([430.0, top + 46.0], 12.0, "part i is floor(i·7 / 3) .. ceil((i + 1)·7 / 3)");
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
    pyramid(&mut paper, 30.0, "three 3x3 layers", 1, BLUE);
    pyramid(&mut paper, 460.0, "the first of them with stride 2", 2, ORANGE);
    Ok(paper.end())
}

/// Four rows of positions, the picture at the bottom, and what the middle of the top row sees in each.
fn pyramid(paper: &mut Paper, left: f64, title: &str, stride: usize, color: &str) {
    const PIXEL: f64 = 22.0;
    const PIXELS: usize = 15;
    paper.note([left, 30.0], 15.0, title);
    // From the picture up: field, jump, and of the positions of each layer the distance in pixels.
    let mut layers = vec![[1, 1]];
    for stride in [stride, 1, 1] {
        let [field, jump] = layers[layers.len() - 1];
        layers.push([field + 2 * jump, jump * stride]);
    }
    let top = layers[layers.len() - 1];
    let middle = left + PIXELS as f64 * PIXEL / 2.0;
    for (level, &[field, jump]) in layers.iter().enumerate() {
        let y = 260.0 - 66.0 * level as f64;
        let side = PIXEL * jump as f64;
        // What the top sees of this layer: its field, less what a position here sees, in steps of this layer.
        let seen = (top[0] - field) / jump + 1;
        let count = if jump == 1 { PIXELS } else { PIXELS / jump };
        let count = if count % 2 == seen % 2 { count } else { count - 1 };
        for i in 0..count {
            let x = middle + (i as f64 - count as f64 / 2.0) * side;
            let inside = i >= (count - seen) / 2 && i < (count + seen) / 2;
            let (fill, opacity) = if inside { (color, 0.45) } else { ("white", 1.0) };
            paper.put(format!(
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{PIXEL:.1}\" fill=\"{fill}\" \
                 fill-opacity=\"{opacity}\" stroke=\"#aaaaaa\"/>"
            ));
        }
        let name = if level == 0 { "picture".to_owned() } else { format!("layer {level}") };
        paper.note([left + PIXELS as f64 * PIXEL + 6.0, y + 11.0], 12.0, &name);
        if level > 0 {
            let words = format!("sees {field}");
            paper.note([left + PIXELS as f64 * PIXEL + 6.0, y + 26.0], 12.0, &words);
            let [below_field, below_jump] = layers[level - 1];
            let below_seen = (top[0] - below_field) / below_jump + 1;
            let half =
                [seen * jump, below_seen * below_jump].map(|pixels| pixels as f64 * PIXEL / 2.0);
            let (from, to) = (y + PIXEL, y + 66.0);
            paper.put(format!(
                "<path d=\"M{:.1} {from:.1}L{:.1} {from:.1}L{:.1} {to:.1}L{:.1} {to:.1}Z\" fill=\"{color}\" fill-opacity=\"0.12\"/>",
                middle - half[0], middle + half[0], middle + half[1], middle - half[1]
            ));
        }
    }
    let [field, jump] = top;
    paper.note(
        [left, 312.0],
        13.0,
        &format!("one position of layer 3 sees {field} pixels; its neighbor is {jump} further"),
    );
}
