//! What a chart is drawn of: rectangles, paths, dots and words, and their text as SVG.
//!
//! Above: `axes`, `chart` and all charts. Below: `squarify::Rect`, `theme`, `words`, `minijinja`, which fills the template beside the page.
//! Not here: where things are. Places are `[x, y]` from the upper left corner. All words are escaped, and no number is infinite.

use std::fmt::Write as _;

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use crate::error::{Error, Result};
use crate::squarify::Rect;
use crate::{theme, words};

/// Everything on a sheet of paper, in the order in which it is drawn.
#[derive(Debug)]
pub(crate) struct Drawing {
    /// Said to who cannot see it.
    label: String,
    /// `[width, height]`.
    pub(crate) size: [f64; 2],
    marks: Vec<Value>,
}

/// Which end of words is at their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// The outline of a dot, so that classes can be told apart without their colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Circle,
    Square,
    Diamond,
    Triangle,
}

/// A line from point to point, with gaps.
#[derive(Debug, Default, Clone)]
pub(crate) struct Path {
    d: String,
}

impl Path {
    pub(crate) fn through(points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        let mut path = Self::default();
        for (i, point) in points.into_iter().enumerate() {
            if i == 0 { path.begin(point) } else { path.go_on(point) }
        }
        path
    }

    /// Continues at another place.
    pub(crate) fn begin(&mut self, [x, y]: [f64; 2]) {
        self.push('M', &[x, y]);
    }

    pub(crate) fn go_on(&mut self, [x, y]: [f64; 2]) {
        self.push('L', &[x, y]);
    }

    /// Back to where it began.
    pub(crate) fn closed(mut self) -> Self {
        self.d.push('Z');
        self
    }

    fn push(&mut self, command: char, numbers: &[f64]) {
        self.d.push(command);
        for (i, number) in numbers.iter().enumerate() {
            // A `String` takes all that is written to it.
            let _ = write!(self.d, "{}{}", if i > 0 { " " } else { "" }, short(*number));
        }
    }
}

impl Shape {
    /// The shape of a class.
    pub(crate) fn of(class: usize) -> Self {
        match class % 4 {
            0 => Self::Circle,
            1 => Self::Square,
            2 => Self::Diamond,
            _ => Self::Triangle,
        }
    }

    /// Corners of the shape with the area of a circle.
    fn corners(self, radius: f64) -> Vec<[f64; 2]> {
        match self {
            Self::Circle => Vec::new(),
            Self::Square => {
                let r = 0.886 * radius;
                vec![[-r, -r], [r, -r], [r, r], [-r, r]]
            }
            Self::Diamond => {
                let r = 1.253 * radius;
                vec![[0.0, -r], [r, 0.0], [0.0, r], [-r, 0.0]]
            }
            Self::Triangle => {
                let r = 1.555 * radius;
                vec![[0.0, -r], [0.866 * r, 0.5 * r], [-0.866 * r, 0.5 * r]]
            }
        }
    }
}

impl Drawing {
    pub(crate) fn new(label: &str, size: [f64; 2]) -> Self {
        Self { label: words::clean(label), size, marks: Vec::new() }
    }

    /// A rectangle; `title` is shown when it is pointed at.
    pub(crate) fn rect(&mut self, rect: Rect, class: &str, title: &str) {
        let ([x, y], [width, height]) = (rect.at.map(short), rect.size.map(short));
        let title = words::clean(title);
        self.marks.push(context! { kind => "rect", class, x, y, width, height, title });
    }

    pub(crate) fn path(&mut self, path: &Path, class: &str, title: &str) {
        if !path.d.is_empty() {
            let title = words::clean(title);
            self.marks.push(context! { kind => "path", class, d => &path.d, title });
        }
    }

    pub(crate) fn line(&mut self, from: [f64; 2], to: [f64; 2], class: &str) {
        self.path(&Path::through([from, to]), class, "");
    }

    pub(crate) fn dot(
        &mut self,
        at: [f64; 2],
        radius: f64,
        shape: Shape,
        class: &str,
        title: &str,
    ) {
        let corners = shape.corners(radius);
        if corners.is_empty() {
            let ([x, y], radius) = (at.map(short), short(radius));
            let title = words::clean(title);
            self.marks.push(context! { kind => "circle", class, x, y, radius, title });
        } else {
            let corners = corners.iter().map(|[x, y]| [at[0] + x, at[1] + y]);
            self.path(&Path::through(corners).closed(), class, title);
        }
    }

    pub(crate) fn text(&mut self, at: [f64; 2], anchor: Anchor, class: &str, words: &str) {
        self.turned(at, anchor, class, words, 0.0);
    }

    /// Words turned around their place, by degrees.
    pub(crate) fn turned(
        &mut self,
        at: [f64; 2],
        anchor: Anchor,
        class: &str,
        words: &str,
        degrees: f64,
    ) {
        let [x, y] = at.map(short);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let turn = if degrees == 0.0 { String::new() } else { short(degrees) };
        let words = words::clean(words);
        self.marks.push(context! { kind => "text", class, x, y, anchor, turn, words });
    }

    /// A part of a page, whose style sheet it uses; `size` is the class that says when it is shown.
    pub(crate) fn to_inline(&self, size: &str) -> Result<String> {
        self.render(size, "")
    }

    /// A picture of its own.
    pub(crate) fn to_svg(&self) -> Result<String> {
        self.render("", &theme::drawing())
    }

    fn render(&self, size: &str, style: &str) -> Result<String> {
        let failed = |source| Error::Page { source };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_template("drawing", include_str!("page/drawing.svg")).map_err(failed)?;
        let [width, height] = self.size.map(short);
        let (label, marks) = (&self.label, self.marks.as_slice());
        let values = context! { label, width, height, size, style, marks };
        environment.get_template("drawing").map_err(failed)?.render(values).map_err(failed)
    }
}

/// A number with at most one digit behind the point; what is not finite is nothing, as no document can say it.
fn short(number: f64) -> String {
    let number = if number.is_finite() { number } else { 0.0 };
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_written_with_their_words_escaped() {
        let mut drawing = Drawing::new("a <b>", [100.0, 50.25]);
        drawing.rect(Rect { at: [1.0, 2.04], size: [3.0, f64::NAN] }, "tile", "<script>");
        drawing.dot([5.0, 5.0], 2.0, Shape::Circle, "dot", "");
        drawing.dot([5.0, 5.0], 2.0, Shape::Diamond, "dot", "d");
        drawing.text([9.0, 9.0], Anchor::End, "ink", "a & b\0");
        let svg = drawing.to_inline("wide").unwrap();
        for part in [
            "class=\"drawing wide\" viewBox=\"0 0 100 50.2\" role=\"img\" aria-label=\"a &lt;b&gt;\"",
            "<rect class=\"tile\" x=\"1\" y=\"2\" width=\"3\" height=\"0\"><title>&lt;script&gt;</title></rect>",
            "<circle class=\"dot\" cx=\"5\" cy=\"5\" r=\"2\"/>",
            "<path class=\"dot\" d=\"M5 2.5L7.5 5L5 7.5L2.5 5Z\"><title>d</title></path>",
            "<text class=\"ink\" x=\"9\" y=\"9\" text-anchor=\"end\">a &amp; b\u{fffd}</text>",
        ] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
        assert!(!svg.contains("<style>"));
        assert!(drawing.to_svg().unwrap().contains("<style>"));
    }

    #[test]
    fn numbers_are_short_and_finite() {
        let written = [(1.0, "1"), (-0.01, "0"), (2.25, "2.2"), (f64::INFINITY, "0")];
        written.iter().for_each(|(number, text)| assert_eq!(short(*number), *text));
    }
}
