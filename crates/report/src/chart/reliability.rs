//! How often answers are right against how sure they are: a reliability diagram.
//!
//! Above: `chart`. Below: `axes`, `scale`, `drawing`. Not here: how answers are put into bins (`recipes`).
//! Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", <https://arxiv.org/abs/1706.04599>, figure 1.

use crate::axes::{Canvas, Rules, Sheet, ticks};
use crate::drawing::{Anchor, Drawing, Path, Shape};
use crate::scale::{Axis, Scale};
use crate::squarify::Rect;
use crate::unit::Unit;
use crate::words;

/// Answers by how sure they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    /// What is shown.
    pub title: String,
    /// Stretches of confidence, the least sure first.
    pub bins: Vec<ReliabilityBin>,
}

/// Answers that are about as sure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// The least and the highest confidence, from 0 to 1.
    pub confidences: [f64; 2],
    /// The mean confidence of its answers, from 0 to 1.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
    /// How many they are.
    pub count: u64,
}

impl Reliability {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let has_answers = |bin: &&ReliabilityBin| {
            let shares = [bin.confidences[0], bin.confidences[1], bin.confidence, bin.accuracy];
            bin.count > 0 && shares.iter().all(|share| (0.0..=1.0).contains(share))
        };
        let bins: Vec<&ReliabilityBin> = self.bins.iter().filter(has_answers).collect();
        if bins.is_empty() {
            return canvas.nothing();
        }
        canvas.note("share that is right");
        let places = canvas.upright("");
        let quarters: Vec<f64> = [0.0, 25.0, 50.0, 75.0, 100.0].to_vec();
        let upward = Axis::through(Scale::Linear, quarters.clone(), places);
        let [left, right] = canvas.rows(&upward, Unit::Percent);
        let across = Axis::through(Scale::Linear, quarters, [left, right]);
        canvas.columns([left, right], &ticks(&across, Unit::Percent), Rules::None, "confidence");
        let drawing = &mut canvas.drawing;
        let at = |x: f64, y: f64| Some([across.at(100.0 * x)?, upward.at(100.0 * y)?]);
        for bin in &bins {
            if let (Some(low), Some(high)) =
                (at(bin.confidences[0], 0.0), at(bin.confidences[1], bin.accuracy))
            {
                let size = [(high[0] - low[0] - 2.0).max(1.0), low[1] - high[1]];
                let rect = Rect { at: [low[0] + 1.0, high[1]], size };
                drawing.rect(rect, "outlined fill-0 stroke-0", &bin.said());
            }
        }
        let ends = [at(0.0, 0.0), at(1.0, 1.0)];
        drawing.path(&Path::through(ends.into_iter().flatten()), "front", "as sure as right");
        for bin in &bins {
            if let Some(place) = at(bin.confidence, bin.confidence) {
                drawing.dot(place, 3.5, Shape::Diamond, "hollow stroke-1", &bin.said());
            }
            bin.count(drawing, at(bin.confidences[0], bin.accuracy), at(bin.confidences[1], 0.0));
        }
        canvas.finished()
    }
}

impl ReliabilityBin {
    fn said(&self) -> String {
        let percent = |share: f64| Unit::Percent.format(100.0 * share);
        let [sure, right] = [self.confidence, self.accuracy].map(percent);
        format!("{} answers, {sure} sure, {right} right", self.count)
    }

    /// How many answers, over the bar if they have room.
    fn count(&self, drawing: &mut Drawing, left: Option<[f64; 2]>, right: Option<[f64; 2]>) {
        let (Some([left, top]), Some([right, bottom])) = (left, right) else { return };
        let count = self.count.to_string();
        if words::width(&count) <= right - left + 4.0 {
            // Inside of a bar that ends at the upper edge, otherwise above it.
            let y = if bottom - top > 40.0 { top + 14.0 } else { top - 5.0 };
            drawing.text([f64::midpoint(left, right), y], Anchor::Middle, "ink halo", &count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    #[test]
    fn a_bar_says_how_many_answers_how_sure_and_how_right_they_are() {
        let bin = |low: f64, accuracy: f64, count| ReliabilityBin {
            confidences: [low, low + 0.1],
            confidence: low + 0.05,
            accuracy,
            count,
        };
        let bins = vec![bin(0.8, 0.5, 4), bin(0.9, f64::NAN, 3), bin(0.5, 0.25, 0)];
        let chart = Chart::from(Reliability { title: "Reliability".to_owned(), bins });
        let svg = chart.to_svg().unwrap();
        assert_eq!(svg.matches("class=\"outlined").count(), 1, "{svg}");
        assert!(svg.contains("4 answers, 85.0 % sure, 50.0 % right"), "{svg}");
        assert!(svg.contains(">4</text>"), "{svg}");
        let nothing = Chart::from(Reliability { title: String::new(), bins: Vec::new() });
        assert!(nothing.to_svg().unwrap().contains("nothing to show"));
    }
}
