//! Drawings of pools: what comes out of four windows, and what their gradient does.
//!
//! Above: `pictures`. Below: `paper`, `taper_kernels`. Not here: where windows lie (`windows`).

use anyhow::{Context, Result};
use taper_kernels::{Device, PoolShape, PoolWindow, Pooling, Reference, Sink, Source};

use super::convolution::cells;
use super::paper::{COLORS, Grid, Paper, number};

/// Four rows of four pixels.
const IMAGE: [f64; 16] = [
    1.0, 3.0, 2.0, 1.0, //
    4.0, 6.0, 5.0, 0.0, //
    7.0, 2.0, 9.0, 8.0, //
    1.0, 0.0, 3.0, 4.0,
];

/// The gradient that comes back.
const GRADIENT: [f64; 4] = [1.0, 2.0, 4.0, 8.0];

fn halves() -> Result<PoolShape> {
    let window = PoolWindow {
        kernel: [2, 2],
        stride: [2, 2],
        dilation: [1, 1],
        pads: [0; 4],
        counts_padding: true,
    };
    PoolShape::sliding([1, 4, 4, 1], &window, [2, 2]).context("the windows fit")
}

/// Of a 4x4 grid the window, of a 2x2 grid the output, by color.
fn window_of([row, col]: [usize; 2], side: usize) -> &'static str {
    COLORS[row / side * 2 + col / side]
}

/// A grid whose cells are colored by window and filled with `values`.
fn colored(paper: &mut Paper, grid: Grid, side: usize, values: &[f64]) {
    grid.draw(paper, |_| String::new());
    for cell in cells([grid.rows, grid.cols]) {
        grid.fill(paper, cell, window_of(cell, side), 0.28);
    }
    for cell @ [row, col] in cells([grid.rows, grid.cols]) {
        let [x, y] = grid.middle(cell);
        paper.words(
            [x, y + grid.cell * 0.14],
            (grid.cell * 0.4).round(),
            &number(values[row * grid.cols + col]),
        );
    }
}

/// The largest and the mean of four 2x2 windows.
pub(super) fn values() -> Result<String> {
    let shape = halves()?;
    let mut paper = Paper::new([720.0, 270.0], "Max and average pooling of 4x4 pixels");
    let image = Grid::new([40.0, 60.0], [4, 4], 44.0);
    colored(&mut paper, image, 2, &IMAGE);
    image.title(&mut paper, "image 4x4; windows 2x2, stride 2");
    for (i, (pooling, name)) in
        [(Pooling::Max, "max"), (Pooling::Mean, "average")].into_iter().enumerate()
    {
        let mut ys = [0.0; 4];
        Reference.windows_forward(&shape, pooling, Source::plain(&IMAGE), &mut ys);
        let output = Grid::new([340.0 + 210.0 * i as f64, 104.0], [2, 2], 44.0);
        colored(&mut paper, output, 1, &ys);
        output.title(&mut paper, name);
    }
    paper.arrow([236.0, 148.0], [320.0, 148.0]);
    Ok(paper.end())
}

/// Where the gradient of four outputs goes.
pub(super) fn gradients() -> Result<String> {
    let shape = halves()?;
    let mut paper = Paper::new([720.0, 270.0], "Gradients of max and average pooling");
    let arriving = Grid::new([40.0, 104.0], [2, 2], 44.0);
    colored(&mut paper, arriving, 1, &GRADIENT);
    arriving.title(&mut paper, "gradient of the output");
    paper.arrow([146.0, 148.0], [210.0, 148.0]);
    let kinds =
        [(Pooling::Max, "max: to the largest"), (Pooling::Mean, "average: in equal shares")];
    for (i, (pooling, name)) in kinds.into_iter().enumerate() {
        let mut dx = [0.0; 16];
        let sink = Sink { out: &mut dx, accumulate: false, mask: None, tally: None };
        Reference.windows_backward(&shape, pooling, &GRADIENT, Source::plain(&IMAGE), sink);
        let grid = Grid::new([236.0 + 250.0 * i as f64, 60.0], [4, 4], 44.0);
        grid.draw(&mut paper, |_| String::new());
        for cell @ [row, col] in cells([4, 4]) {
            if dx[row * 4 + col] != 0.0 {
                grid.fill(&mut paper, cell, window_of(cell, 2), 0.28);
            }
            let [x, y] = grid.middle(cell);
            paper.words([x, y + 6.0], 16.0, &number(dx[row * 4 + col]));
        }
        grid.title(&mut paper, name);
    }
    Ok(paper.end())
}
