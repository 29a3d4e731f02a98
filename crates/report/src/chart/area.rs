//! Amounts over steps, one upon the other, and the step where they are most: memory over time.
//!
//! Above: `chart`. Below: `axes`, `scale`, `classes`, `drawing`, `theme::SERIES`, `words`. Not here: what makes the peak (a `table` beside the chart).

use crate::axes::{Canvas, Rules, Sheet, Tick};
use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing, Path, Shape};
use crate::scale::{Axis, Scale, Zero};
use crate::squarify::Rect;
use crate::theme::SERIES;
use crate::unit::Unit;
use crate::words;

/// Layers upon each other, each with a value at each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Area {
    /// What the values are.
    pub title: String,
    /// Of the values.
    pub unit: Unit,
    /// What a step is: the name of the level axis.
    pub step: String,
    /// Names of the steps; some of them are beside the axis, all where they are pointed at.
    pub steps: Vec<String>,
    /// The lowest first.
    pub layers: Vec<Layer>,
}

/// One of the amounts.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The name in the legend, which is left out if there is only one.
    pub name: String,
    /// At each step; what is missing, negative or no number is zero.
    pub values: Vec<f64>,
}

/// Steps that can be pointed at; of more each would be a hair.
const MOST_PROBES: usize = 600;

impl Area {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let count = self.count();
        if count == 0 || self.layers.is_empty() {
            return canvas.nothing();
        }
        let names: Vec<String> = self.layers.iter().map(|layer| layer.name.clone()).collect();
        let classes = Classes::new(&names, std::iter::empty());
        if names.len() > 1 {
            canvas.legend(&classes, Sample::Box, |_| true);
        }
        let sums = self.sums(count);
        let (at, peak) = peak(&sums);
        let places = canvas.upright("");
        // Room over the peak for its words.
        let upward = Axis::around(
            Scale::Linear,
            [peak * 1.12].into_iter(),
            Zero::Always,
            places,
            sheet.rows,
        );
        let [left, right] = canvas.rows(&upward, self.unit);
        let width = (right - left) / count as f64;
        let steps = Steps { left, width };
        self.layers(&mut canvas.drawing, &upward, steps, count);
        self.probes(&mut canvas.drawing, &sums, steps, places);
        if let (true, Some(y)) = (peak > 0.0, upward.at(peak)) {
            let words = format!("peak {} at {}", self.unit.format(peak), self.name(at));
            mark(&mut canvas.drawing, [steps.middle(at), y], &words, [left, right]);
        }
        let ticks: Vec<Tick> = (0..count).map(|i| (steps.middle(i), self.label(i))).collect();
        canvas.columns([left, right], &ticks, Rules::None, &self.step);
        canvas.finished()
    }

    /// As many steps as the longest layer has.
    fn count(&self) -> usize {
        self.layers.iter().map(|layer| layer.values.len()).max().unwrap_or(0)
    }

    fn sums(&self, count: usize) -> Vec<f64> {
        (0..count).map(|i| self.layers.iter().map(|layer| layer.at(i)).sum()).collect()
    }

    fn name(&self, step: usize) -> String {
        self.steps.get(step).cloned().unwrap_or_else(|| step.to_string())
    }

    /// The name beside the axis.
    fn label(&self, step: usize) -> String {
        words::shortened(&self.name(step), 110.0).unwrap_or_default()
    }

    /// Each layer from the sum of those under it to that with it.
    fn layers(&self, drawing: &mut Drawing, upward: &Axis, steps: Steps, count: usize) {
        let mut below = vec![0.0; count];
        for (place, layer) in self.layers.iter().enumerate() {
            let above: Vec<f64> =
                below.iter().enumerate().map(|(i, sum)| sum + layer.at(i)).collect();
            let there = stairs(&above, upward, steps);
            let back = stairs(&below, upward, steps);
            let outline = there.into_iter().chain(back.into_iter().rev());
            let class = format!("area fill-{}", place.min(SERIES));
            drawing.path(&Path::through(outline).closed(), &class, &layer.name);
            below = above;
        }
    }

    /// Invisible columns that say their step when they are pointed at.
    fn probes(&self, drawing: &mut Drawing, sums: &[f64], steps: Steps, [bottom, top]: [f64; 2]) {
        if sums.len() > MOST_PROBES {
            return;
        }
        for (i, sum) in sums.iter().enumerate() {
            let rect = Rect {
                at: [steps.left + steps.width * i as f64, top],
                size: [steps.width, bottom - top],
            };
            let mut title = format!("{}: {}", self.name(i), self.unit.format(*sum));
            for layer in self.layers.iter().filter(|_| self.layers.len() > 1) {
                title += &format!("\n{}: {}", layer.name, self.unit.format(layer.at(i)));
            }
            drawing.rect(rect, "probe", &title);
        }
    }
}

impl Layer {
    fn at(&self, step: usize) -> f64 {
        let value = self.values.get(step).copied().unwrap_or(0.0);
        Scale::Linear.shown(value).unwrap_or(0.0).max(0.0)
    }
}

/// Where the steps are.
#[derive(Debug, Clone, Copy)]
struct Steps {
    left: f64,
    width: f64,
}

impl Steps {
    fn middle(self, step: usize) -> f64 {
        self.left + self.width * (step as f64 + 0.5)
    }
}

/// The first of the largest values.
fn peak(sums: &[f64]) -> (usize, f64) {
    sums.iter()
        .enumerate()
        .fold((0, 0.0), |best, (i, sum)| if *sum > best.1 { (i, *sum) } else { best })
}

/// Two points for each step: its beginning and its end.
fn stairs(values: &[f64], upward: &Axis, steps: Steps) -> Vec<[f64; 2]> {
    let ends = |(i, value): (usize, &f64)| {
        let y = upward.at(*value).unwrap_or(upward.places()[0]);
        let x = steps.left + steps.width * i as f64;
        [[x, y], [x + steps.width, y]]
    };
    values.iter().enumerate().flat_map(ends).collect()
}

/// A dot with words above, which stay between the sides.
fn mark(drawing: &mut Drawing, [x, y]: [f64; 2], label: &str, [left, right]: [f64; 2]) {
    drawing.dot([x, y], 5.0, Shape::Circle, "peak", label);
    let Some(label) = words::shortened(label, (right - left) / 1.12) else { return };
    let half = words::bold_width(&label) / 2.0;
    let middle = x.clamp(left + half, (right - half).max(left + half));
    drawing.text([middle, y - 10.0], Anchor::Middle, "strong halo", &label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn layer(name: &str, values: &[f64]) -> Layer {
        Layer { name: name.to_owned(), values: values.to_vec() }
    }

    fn area(layers: Vec<Layer>) -> Area {
        let steps = vec!["stem".to_owned(), "blocks.0".to_owned(), "head".to_owned()];
        let word = || "memory".to_owned();
        Area { title: word(), unit: Unit::Bytes, step: "unit".to_owned(), steps, layers }
    }

    #[test]
    fn the_peak_is_where_the_sum_is_most() {
        let layers = vec![layer("a", &[1e6, 2e6, 3e6]), layer("b", &[0.0, 4e6, 1e6])];
        let svg = Chart::from(area(layers)).to_svg().unwrap();
        assert!(svg.contains(">peak 6.00 MB at blocks.0</text>"), "{svg}");
        assert!(svg.contains("<title>blocks.0: 6.00 MB\na: 2.00 MB\nb: 4.00 MB</title>"), "{svg}");
    }

    #[test]
    fn layers_may_be_short_negative_or_no_numbers() {
        let layers = vec![layer("a", &[f64::NAN, -2.0]), layer("b", &[1.0, f64::INFINITY, 3.0])];
        let area = area(layers);
        assert_eq!(area.sums(area.count()), [1.0, 0.0, 3.0]);
        assert!(Chart::from(area).to_svg().unwrap().contains("peak 3 B at head"));
    }
}
