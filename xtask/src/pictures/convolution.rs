//! Drawings of convolutions: the sliding window and its sum, stride and padding, dilation, and who reads whom.
//!
//! Above: `pictures`. Below: `paper`, `taper_kernels`, `taper_graph`. Not here: receptive fields (`windows`).

use anyhow::{Context, Result};
use taper_graph::{Padding, Window};
use taper_kernels::{ConvShape, Device, Epilogue, Reference, Source};

use super::paper::{BLUE, COLORS, GRAY, GREEN, Grid, ORANGE, Paper, number};
use crate::svg::line;

/// Five rows of five pixels.
const IMAGE: [f64; 25] = [
    1.0, 2.0, 0.0, 1.0, 3.0, //
    0.0, 1.0, 2.0, 3.0, 1.0, //
    2.0, 1.0, 0.0, 1.0, 0.0, //
    1.0, 3.0, 2.0, 0.0, 1.0, //
    0.0, 1.0, 1.0, 2.0, 2.0,
];

/// Large where it is brighter on the left than on the right: Sobel's filter.
pub(super) const LEFT: [f64; 9] = [1.0, 0.0, -1.0, 2.0, 0.0, -2.0, 1.0, 0.0, -1.0];

/// What our own reference makes of one channel and one filter.
pub(super) fn convolved(
    xs: &[f64],
    size: [usize; 2],
    filter: &[f64],
    window: &Window,
) -> Result<Vec<f64>> {
    let shape = ConvShape::new(
        [1, size[0], size[1], 1],
        1,
        window.kernel,
        window.stride,
        window.dilation,
        window.pads(size),
        1,
    );
    let shape = shape.context("the window fits")?;
    let mut ys = vec![0.0; shape.output_len()];
    Reference.conv_forward(&shape, Source::plain(xs), filter, Epilogue::default(), &mut ys, None);
    Ok(ys)
}

fn valid(kernel: usize, stride: usize) -> Window {
    Window { padding: Padding::Valid, ..Window::square(kernel, stride) }
}

/// A 3x3 filter over 5x5 pixels, with two of the nine sums written out.
pub(super) fn sliding() -> Result<String> {
    let ys = convolved(&IMAGE, [5, 5], &LEFT, &valid(3, 1))?;
    let mut paper = Paper::new([720.0, 350.0], "A 3x3 filter slides over a 5x5 image");
    let image = Grid::new([40.0, 50.0], [5, 5], 40.0);
    let filter = Grid::new([310.0, 90.0], [3, 3], 40.0);
    let output = Grid::new([540.0, 90.0], [3, 3], 40.0);
    image.draw(&mut paper, |[row, col]| number(IMAGE[row * 5 + col]));
    filter.draw(&mut paper, |[row, col]| number(LEFT[row * 3 + col]));
    output.draw(&mut paper, |[row, col]| number(ys[row * 3 + col]));
    image.title(&mut paper, "image 5x5");
    filter.title(&mut paper, "filter 3x3");
    output.title(&mut paper, "output 3x3");
    paper.words([275.0, 158.0], 26.0, "∗");
    paper.words([480.0, 158.0], 26.0, "=");
    for (i, (at, color)) in [([0, 0], BLUE), ([1, 2], ORANGE)].into_iter().enumerate() {
        image.frame(&mut paper, at, [3, 3], color, 2.0);
        output.frame(&mut paper, at, [1, 1], color, 2.0);
        let terms: Vec<String> = (0..9)
            .map(|tap| {
                let pixel = IMAGE[(at[0] + tap / 3) * 5 + at[1] + tap % 3];
                let factor = LEFT[tap];
                let factor =
                    if factor < 0.0 { format!("({})", number(factor)) } else { number(factor) };
                format!("{}·{factor}", number(pixel))
            })
            .collect();
        let sum = number(ys[at[0] * 3 + at[1]]);
        let words = format!("{} = {sum}", terms.join(" + "));
        paper.colored([40.0, 296.0 + 26.0 * i as f64], 15.0, color, &words);
    }
    Ok(paper.end())
}

/// Stride 2 and a ring of zeros.
pub(super) fn stride() -> Result<String> {
    let window = Window::square(3, 2);
    let mut paper = Paper::new([720.0, 320.0], "Stride 2 and padding 1");
    let padded = Grid::new([40.0, 40.0], [7, 7], 32.0);
    for cell in cells([7, 7]) {
        let inside = cell.iter().all(|place| (1..6).contains(place));
        if inside {
            padded.fill(&mut paper, cell, "white", 1.0);
        } else {
            padded.pad(&mut paper, cell);
        }
    }
    let [h, _] = window.formulas([5, 5]);
    let out = h.output().context("it fits")?;
    let output = Grid::new([400.0, 104.0], [out, out], 32.0);
    output.draw(&mut paper, |_| String::new());
    for (i, (at, color)) in
        [([0, 0], BLUE), ([0, 1], ORANGE), ([1, 0], GREEN)].into_iter().enumerate()
    {
        let from = at.map(|place| place * 2);
        padded.frame(&mut paper, from, [3, 3], color, 2.0 + 1.5 * i as f64);
        output.fill(&mut paper, at, color, 0.35);
        output.frame(&mut paper, at, [1, 1], color, 2.0);
    }
    padded.title(&mut paper, "image 5x5, padding 1 on every side");
    output.title(&mut paper, "output 3x3");
    paper.arrow([284.0, 152.0], [380.0, 152.0]);
    paper.words([332.0, 142.0], 13.0, "stride 2");
    paper.note([40.0, 294.0], 14.0, &format!("h = {h}"));
    Ok(paper.end())
}

/// Taps two pixels apart.
pub(super) fn dilation() -> Result<String> {
    let window = Window { dilation: [2, 2], ..valid(3, 1) };
    let mut paper = Paper::new([720.0, 320.0], "Dilation 2");
    let image = Grid::new([40.0, 40.0], [7, 7], 32.0);
    image.draw(&mut paper, |_| String::new());
    let [h, _] = window.formulas([7, 7]);
    let out = h.output().context("it fits")?;
    let output = Grid::new([400.0, 104.0], [out, out], 32.0);
    output.draw(&mut paper, |_| String::new());
    for (at, color) in [([0, 0], BLUE), ([1, 1], ORANGE)] {
        for [u, v] in cells([3, 3]) {
            image.fill(&mut paper, [at[0] + 2 * u, at[1] + 2 * v], color, 0.5);
        }
        image.frame(&mut paper, at, [5, 5], color, 2.0);
        output.fill(&mut paper, at, color, 0.5);
    }
    image.title(&mut paper, "image 7x7: nine taps span 5x5");
    output.title(&mut paper, "output 3x3");
    paper.arrow([284.0, 152.0], [380.0, 152.0]);
    paper.words([332.0, 142.0], 13.0, "dilation 2");
    paper.note([40.0, 294.0], 14.0, &format!("h = {h}"));
    Ok(paper.end())
}

/// Which channels a filter reads: dense, in two groups, depthwise, pointwise.
pub(super) fn kinds() -> Result<String> {
    let mut paper =
        Paper::new([860.0, 330.0], "Dense, grouped, depthwise and pointwise convolution");
    for (i, (name, kernel, groups)) in [
        ("dense 3x3", 3, 1),
        ("3x3 in 2 groups", 3, 2),
        ("depthwise 3x3", 3, 4),
        ("pointwise 1x1", 1, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let kind = Kind { left: 30.0 + 208.0 * i as f64, kernel, groups };
        paper.words([kind.left + 88.0, 30.0], 15.0, name);
        kind.draw(&mut paper);
        paper.words([kind.left + 88.0, 302.0], 13.0, &kind.weights()?);
    }
    Ok(paper.end())
}

/// A convolution of [`CHANNELS`] to as many, drawn from `left` on.
struct Kind {
    left: f64,
    kernel: usize,
    groups: usize,
}

const CHANNELS: usize = 4;

impl Kind {
    /// Channels on both sides, and a line from each to those that read it.
    fn draw(&self, paper: &mut Paper) {
        for [out, channel] in cells([CHANNELS, CHANNELS]) {
            if self.group(out) == self.group(channel) {
                let [x, y] = self.reads(channel).corner([1, 3]);
                let [x2, y2] = self.writes(out).corner([1, 0]);
                let half = self.reads(channel).cell / 2.0;
                let (from, to) = ([x, y + half], [x2, y2 + half]);
                paper.put(line(from, to, self.color(out), " stroke-width=\"1.5\""));
            }
        }
        for channel in 0..CHANNELS {
            for cell in cells([3, 3]) {
                let is_center = cell == [1, 1];
                let mark = |marked: bool, opacity: f64| {
                    if marked { (self.color(channel), opacity) } else { ("white", 1.0) }
                };
                let (color, opacity) = mark(self.kernel == 3 || is_center, 0.45);
                self.reads(channel).fill(paper, cell, color, opacity);
                let (color, opacity) = mark(is_center, 0.8);
                self.writes(channel).fill(paper, cell, color, opacity);
            }
        }
    }

    fn weights(&self) -> Result<String> {
        let (kernel, groups) = (self.kernel, self.groups);
        let image = [1, 9, 9, CHANNELS];
        let shape =
            ConvShape::new(image, CHANNELS, [kernel; 2], [1; 2], [1; 2], [kernel / 2; 4], groups);
        let count = shape.context("it fits")?.weight_len();
        let per_filter =
            if groups == 1 { CHANNELS.to_string() } else { format!("{CHANNELS}/{groups}") };
        Ok(format!("{CHANNELS} · {per_filter} · {kernel}·{kernel} = {count} weights"))
    }

    fn group(&self, channel: usize) -> usize {
        channel * self.groups / CHANNELS
    }

    fn color(&self, channel: usize) -> &'static str {
        if self.groups == 1 { GRAY } else { COLORS[self.group(channel)] }
    }

    fn reads(&self, channel: usize) -> Grid {
        Grid::new([self.left + 8.0, 50.0 + 56.0 * channel as f64], [3, 3], 14.0)
    }

    fn writes(&self, channel: usize) -> Grid {
        Grid::new([self.left + 126.0, 50.0 + 56.0 * channel as f64], [3, 3], 14.0)
    }
}

/// All cells of so many rows and columns.
pub(super) fn cells([rows, cols]: [usize; 2]) -> impl Iterator<Item = [usize; 2]> {
    (0..rows).flat_map(move |row| (0..cols).map(move |col| [row, col]))
}
