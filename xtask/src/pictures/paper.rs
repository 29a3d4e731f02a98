//! Paper to draw on, and the grid of cells that most drawings are made of.
//!
//! Above: `augmentation`, `blocks`, `convolution`, `cost`, `edges`, `pooling`, `prune`, `windows`. Below: `svg`. Not here: what is drawn.
//! Places are `[x, y]` from the upper left corner, cells `[row, column]`.

use crate::svg::{escaped, line, text};

/// Colors that are told apart without seeing red or green. Source: Okabe and Ito 2008.
pub(super) const BLUE: &str = "#0072b2";
pub(super) const ORANGE: &str = "#d55e00";
pub(super) const GREEN: &str = "#009e73";
pub(super) const PURPLE: &str = "#aa4499";
pub(super) const GRAY: &str = "#777777";

/// Windows and channels in the order they are named.
pub(super) const COLORS: [&str; 4] = [BLUE, ORANGE, GREEN, PURPLE];

/// A drawing in the making.
pub(super) struct Paper {
    lines: Vec<String>,
}

impl Paper {
    pub(super) fn new([width, height]: [f64; 2], title: &str) -> Self {
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\">"
        );
        let title = format!("<title>{}</title>", escaped(title));
        let sheet =
            format!("<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"white\"/>");
        Self { lines: vec![head, title, sheet] }
    }

    pub(super) fn put(&mut self, mark: String) {
        self.lines.push(mark);
    }

    /// Words whose middle is at `at`.
    pub(super) fn words(&mut self, at: [f64; 2], size: f64, words: &str) {
        self.put(text(at, "middle", size, words));
    }

    /// Words that begin at `at`.
    pub(super) fn note(&mut self, at: [f64; 2], size: f64, words: &str) {
        self.put(text(at, "start", size, words));
    }

    /// Words in a color.
    pub(super) fn colored(&mut self, at: [f64; 2], size: f64, color: &str, words: &str) {
        let words = text(at, "start", size, words);
        self.put(format!("<g fill=\"{color}\">{words}</g>"));
    }

    /// An arrow from left to right, or down.
    pub(super) fn arrow(&mut self, from: [f64; 2], to: [f64; 2]) {
        let [x, y] = to;
        let [dx, dy] = if from[0] < x { [6.0, 0.0] } else { [0.0, 6.0] };
        self.put(line(from, [x - dx, y - dy], GRAY, " stroke-width=\"1.5\""));
        let (left, right) =
            ([x - dx - dy * 0.7, y - dy - dx * 0.7], [x - dx + dy * 0.7, y - dy + dx * 0.7]);
        self.put(format!(
            "<path d=\"M{:.1} {:.1}L{:.1} {:.1}L{x:.1} {y:.1}Z\" fill=\"{GRAY}\"/>",
            left[0], left[1], right[0], right[1]
        ));
    }

    pub(super) fn end(mut self) -> String {
        self.lines.push("</svg>\n".to_owned());
        self.lines.join("\n")
    }
}

/// Square cells in rows and columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// The upper left corner.
    pub(super) at: [f64; 2],
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Side of a cell.
    pub(super) cell: f64,
}

impl Grid {
    pub(super) fn new(at: [f64; 2], [rows, cols]: [usize; 2], cell: f64) -> Self {
        Self { at, rows, cols, cell }
    }

    /// The upper left corner of a cell, which may lie outside.
    pub(super) fn corner(&self, [row, col]: [usize; 2]) -> [f64; 2] {
        [self.at[0] + col as f64 * self.cell, self.at[1] + row as f64 * self.cell]
    }

    pub(super) fn middle(&self, cell: [usize; 2]) -> [f64; 2] {
        self.corner(cell).map(|place| place + self.cell / 2.0)
    }

    /// All cells in white, and what stands in them.
    pub(super) fn draw(&self, paper: &mut Paper, value: impl Fn([usize; 2]) -> String) {
        for row in 0..self.rows {
            for col in 0..self.cols {
                self.fill(paper, [row, col], "white", 1.0);
                let [x, y] = self.middle([row, col]);
                let words = value([row, col]);
                if !words.is_empty() {
                    paper.words([x, y + self.cell * 0.14], (self.cell * 0.4).round(), &words);
                }
            }
        }
    }

    /// One cell in a color, behind what stands in it when drawn before that.
    pub(super) fn fill(&self, paper: &mut Paper, cell: [usize; 2], color: &str, opacity: f64) {
        let ([x, y], side) = (self.corner(cell), self.cell);
        paper.put(format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" fill=\"{color}\" \
             fill-opacity=\"{opacity}\" stroke=\"#aaaaaa\"/>"
        ));
    }

    /// A cell of padding.
    pub(super) fn pad(&self, paper: &mut Paper, cell: [usize; 2]) {
        let ([x, y], side) = (self.corner(cell), self.cell);
        paper.put(format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{side:.1}\" height=\"{side:.1}\" fill=\"#f2f2f2\" \
             stroke=\"#bbbbbb\" stroke-dasharray=\"3 3\"/>"
        ));
        let [x, y] = self.middle(cell);
        paper.put(format!(
            "<g fill=\"#999999\">{}</g>",
            text([x, y + side * 0.14], "middle", (side * 0.36).round(), "0")
        ));
    }

    /// The outline of a window, `inset` inside of its cells.
    pub(super) fn frame(
        &self,
        paper: &mut Paper,
        from: [usize; 2],
        [rows, cols]: [usize; 2],
        color: &str,
        inset: f64,
    ) {
        let [x, y] = self.corner(from).map(|place| place + inset);
        let [width, height] = [cols, rows].map(|cells| cells as f64 * self.cell - 2.0 * inset);
        paper.put(format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"3\" \
             fill=\"none\" stroke=\"{color}\" stroke-width=\"3\"/>"
        ));
    }

    /// Words above the grid.
    pub(super) fn title(&self, paper: &mut Paper, words: &str) {
        let x = self.at[0] + self.cols as f64 * self.cell / 2.0;
        paper.words([x, self.at[1] - 10.0], 13.0, words);
    }
}

/// A number as short as it is, with a minus as long as a plus.
pub(super) fn number(value: f64) -> String {
    value.to_string().replace('-', "−")
}
