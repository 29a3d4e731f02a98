//! What charts have around them: a heading, a legend, a grid with words at its ticks.
//!
//! Above: all charts. Below: `drawing`, `scale`, `classes`, `words`. Not here: what is in the middle.

use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing};
use crate::scale::Axis;
use crate::squarify::Rect;
use crate::unit::Unit;
use crate::words;

/// Room right of a plot, so that its last tick's words are not cut.
const RIGHT: f64 = 14.0;

/// Between words and what they belong to.
const GAP: f64 = 8.0;

/// Paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sheet {
    pub(crate) width: f64,
    /// Of the plot alone.
    pub(crate) height: f64,
    /// Ticks of the upright axis, about.
    pub(crate) rows: usize,
    /// Ticks of the level axis, about.
    pub(crate) columns: usize,
    pub(crate) heading: Heading,
}

/// Where a chart's title is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    /// On the drawing.
    Inside,
    /// On the page.
    Outside,
}

/// Between lines of words.
const LINE: f64 = 15.0;

/// A drawing that grows downward: heading, legend, plot, words under it.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) drawing: Drawing,
    pub(crate) sheet: Sheet,
    /// Down to where it is drawn on.
    pub(crate) top: f64,
    /// Beside the drawing; a picture of its own has a margin, a page has its own.
    margin: f64,
}

/// Words at a place along an axis, in one or several lines.
pub(crate) type Tick = (f64, String);

impl Canvas {
    pub(crate) fn new(title: &str, sheet: Sheet) -> Self {
        let margin = if sheet.heading == Heading::Inside { 16.0 } else { 0.0 };
        let mut drawing = Drawing::new(title, [sheet.width, 0.0]);
        let mut top = margin;
        if sheet.heading == Heading::Inside {
            let words =
                words::shortened(title, 0.85 * (sheet.width - 2.0 * margin)).unwrap_or_default();
            drawing.text([margin, top + 12.0], Anchor::Start, "heading", &words);
            top += 28.0;
        }
        Self { drawing, sheet, top, margin }
    }

    /// The left and the right end.
    pub(crate) fn sides(&self) -> [f64; 2] {
        [self.margin, self.sheet.width - self.margin]
    }

    pub(crate) fn legend(
        &mut self,
        classes: &Classes,
        sample: Sample,
        is_used: impl Fn(&str) -> bool,
    ) {
        let [left, right] = self.sides();
        let height =
            classes.legend(&mut self.drawing, [left, self.top], right - left, sample, is_used);
        self.top += if height > 0.0 { height + GAP } else { 0.0 };
    }

    /// Room for a plot, under the name of its upright axis: `[bottom, top]`.
    pub(crate) fn upright(&mut self, name: &str) -> [f64; 2] {
        if !name.is_empty() {
            self.note(name);
        }
        let top = self.top + GAP;
        self.top = top + self.sheet.height;
        [self.top, top]
    }

    /// Words on a line of their own, over what follows.
    pub(crate) fn note(&mut self, words: &str) {
        let [left, right] = self.sides();
        let words = words::shortened(words, right - left).unwrap_or_default();
        self.drawing.text([left, self.top + 11.0], Anchor::Start, "", &words);
        self.top += 18.0;
    }

    /// The upright axis' lines and words; `[left, right]` of what is right of the words.
    pub(crate) fn rows(&mut self, axis: &Axis, unit: Unit) -> [f64; 2] {
        let ticks: Vec<Tick> = axis
            .ticks()
            .iter()
            .filter_map(|&tick| Some((axis.at(tick)?, unit.tick(tick))))
            .collect();
        let widest = ticks.iter().map(|(_, label)| words::width(label)).fold(0.0, f64::max);
        let [left, right] = self.sides();
        let ends = [left + widest + GAP, right - RIGHT];
        for (y, label) in ticks {
            self.drawing.line([ends[0], y], [ends[1], y], "grid");
            self.drawing.text([ends[0] - GAP, y + 4.0], Anchor::End, "", &label);
        }
        ends
    }

    /// The level axis' line, and words at as many ticks as have room, evenly; then the axis' name.
    pub(crate) fn columns(&mut self, ends: [f64; 2], ticks: &[Tick], rules: Rules, name: &str) {
        let [bottom, top] = [self.top, self.top - self.sheet.height];
        let [least, most] = [self.margin, self.sheet.width - self.margin / 2.0];
        // The middle of words, so that they stay on the paper, and half of their width.
        let place = |(x, label): &Tick| {
            let half = label.lines().map(words::width).fold(0.0, f64::max) / 2.0;
            (x.max(least + half).min(most - half), half)
        };
        let places: Vec<(f64, f64)> = ticks.iter().map(place).collect();
        let stride = stride(&places);
        let mut lowest = bottom + 18.0;
        for ((x, label), (middle, _)) in ticks.iter().zip(places).step_by(stride) {
            if rules == Rules::Across {
                self.drawing.line([*x, top], [*x, bottom], "grid");
            }
            self.drawing.line([*x, bottom], [*x, bottom + 4.0], "axis");
            let mut y = bottom + 18.0;
            for line in label.lines() {
                self.drawing.text([middle, y], Anchor::Middle, "", line);
                lowest = lowest.max(y);
                y += LINE;
            }
        }
        self.drawing.line([ends[0], bottom], [ends[1], bottom], "axis");
        self.top = lowest + 6.0;
        if !name.is_empty() {
            let words = words::shortened(name, ends[1] - ends[0]).unwrap_or_default();
            let middle = f64::midpoint(ends[0], ends[1]);
            self.drawing.text([middle, self.top + 12.0], Anchor::Middle, "", &words);
            self.top += 18.0;
        }
    }

    /// In the place of a plot: there is nothing to draw.
    pub(crate) fn nothing(mut self) -> Drawing {
        let [left, right] = self.sides();
        let rect = Rect { at: [left, self.top], size: [right - left, 64.0] };
        self.drawing.rect(rect, "scope", "");
        let middle = [f64::midpoint(left, right), self.top + 36.0];
        self.drawing.text(middle, Anchor::Middle, "", "nothing to show");
        self.top += 64.0;
        self.finished()
    }

    /// The drawing, as high as what is on it.
    pub(crate) fn finished(mut self) -> Drawing {
        self.drawing.size[1] = self.top + self.margin.max(2.0);
        self.drawing
    }
}

/// The least stride at which words, by their middle and half of their width, do not touch each other.
fn stride(places: &[(f64, f64)]) -> usize {
    let fits = |stride: &usize| {
        let kept: Vec<&(f64, f64)> = places.iter().step_by(*stride).collect();
        kept.windows(2).all(|pair| pair[0].0 + pair[0].1 + GAP <= pair[1].0 - pair[1].1)
    };
    (1..places.len()).find(fits).unwrap_or(places.len().max(1))
}

/// Whether ticks have lines over the plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rules {
    Across,
    None,
}

/// The ticks of an axis with their words.
pub(crate) fn ticks(axis: &Axis, unit: Unit) -> Vec<Tick> {
    axis.ticks().iter().filter_map(|&tick| Some((axis.at(tick)?, unit.tick(tick)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Scale, Zero};

    #[test]
    fn labels_without_room_are_left_out_and_none_leaves_the_paper() {
        let sheet =
            Sheet { width: 200.0, height: 100.0, rows: 3, columns: 3, heading: Heading::Outside };
        let mut canvas = Canvas::new("", sheet);
        let places = canvas.upright("bytes");
        let axis = Axis::around(Scale::Linear, [0.0, 5e6].into_iter(), Zero::Always, places, 4);
        let ends = canvas.rows(&axis, Unit::Bytes);
        let many: Vec<Tick> = (0..100)
            .map(|i| (ends[0] + (ends[1] - ends[0]) * f64::from(i) / 99.0, format!("blocks.{i}")))
            .collect();
        canvas.columns(ends, &many, Rules::None, "unit");
        let svg = canvas.finished().to_inline("").unwrap();
        let shown = svg.matches("blocks.").count();
        assert!((1..=4).contains(&shown), "{shown}");
        for words in ["4 MB", "0 B", ">bytes<", ">unit<"] {
            assert!(svg.contains(words), "{words}");
        }
    }
}
