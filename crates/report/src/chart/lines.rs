//! Curves over a factor that is swept.
//!
//! Above: `chart`. Below: `axes`, `scale`, `classes`, `drawing`, `theme::SERIES`, `words`. Not here: which factors there are.

use crate::axes::{Canvas, Rules, Sheet, Tick, ticks};
use crate::classes::{Classes, Sample};
use crate::drawing::{Drawing, Path, Shape};
use crate::scale::{Axis, Scale, Zero};
use crate::theme::SERIES;
use crate::unit::Unit;
use crate::words;

/// One or several curves over the same values of a factor.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// What the values are.
    pub title: String,
    /// Of the values.
    pub unit: Unit,
    /// Of the values; a linear axis begins at zero, so that heights can be compared.
    pub scale: Scale,
    /// The factor.
    pub swept: Swept,
    /// The curves.
    pub series: Vec<Series>,
}

/// What is swept: the level axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Swept {
    /// A number.
    Numbers {
        /// The name.
        name: String,
        /// Of the numbers.
        unit: Unit,
        /// How far the numbers are from each other.
        scale: Scale,
        /// The numbers, one for each value of a series.
        values: Vec<f64>,
    },
    /// Choices, evenly apart.
    Categories {
        /// The name.
        name: String,
        /// Their names, one for each value of a series.
        values: Vec<String>,
    },
}

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name in the legend, which is left out if there is only one.
    pub name: String,
    /// One for each value of the factor; what is no number is a gap.
    pub values: Vec<f64>,
}

/// So many values of a sweep are ticks themselves.
const MOST_TICKS: usize = 12;

/// Lines of the name of a category.
const MOST_LINES: usize = 3;

impl Lines {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let values = || self.series.iter().flat_map(|series| series.values.iter().copied());
        if self.swept.len() == 0 || !values().any(|value| self.scale.shown(value).is_some()) {
            return canvas.nothing();
        }
        let names: Vec<String> = self.series.iter().map(|series| series.name.clone()).collect();
        let classes = Classes::new(&names, std::iter::empty());
        if names.len() > 1 {
            canvas.legend(&classes, Sample::Line, |_| true);
        }
        let places = canvas.upright("");
        let upward = Axis::around(self.scale, values(), Zero::Always, places, sheet.rows);
        let [left, right] = canvas.rows(&upward, self.unit);
        // The first and the last dot do not touch the sides.
        let across = self.swept.axis([left + 8.0, right - 8.0], sheet.columns);
        let places = self.swept.places(&across);
        for (place, series) in self.series.iter().enumerate() {
            let place = place.min(SERIES);
            self.curve(&mut canvas.drawing, series, place, &places, &upward);
        }
        canvas.columns([left, right], &self.swept.ticks(&across), Rules::None, self.swept.name());
        canvas.finished()
    }

    fn curve(
        &self,
        drawing: &mut Drawing,
        series: &Series,
        place: usize,
        across: &[Option<f64>],
        upward: &Axis,
    ) {
        let points: Vec<Option<[f64; 2]>> = across
            .iter()
            .zip(&series.values)
            .map(|(x, value)| Some([(*x)?, upward.at(*value)?]))
            .collect();
        let mut path = Path::default();
        let mut last = None;
        for point in &points {
            match (last, *point) {
                (Some(_), Some(point)) => path.go_on(point),
                (None, Some(point)) => path.begin(point),
                _ => {}
            }
            last = *point;
        }
        drawing.path(&path, &format!("curve stroke-{place}"), &series.name);
        for (i, point) in points.iter().enumerate() {
            let (Some(point), Some(value)) = (point, series.values.get(i)) else { continue };
            let name =
                if self.series.len() > 1 { format!("{}, ", series.name) } else { String::new() };
            let title = format!("{name}{}: {}", self.swept.said(i), self.unit.format(*value));
            drawing.dot(*point, 3.5, Shape::of(place), &format!("dot fill-{place}"), &title);
        }
    }
}

impl Swept {
    fn len(&self) -> usize {
        match self {
            Self::Numbers { values, .. } => values.len(),
            Self::Categories { values, .. } => values.len(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Numbers { name, .. } | Self::Categories { name, .. } => name,
        }
    }

    /// One of the values, in words.
    fn said(&self, i: usize) -> String {
        match self {
            Self::Numbers { unit, values, .. } => values.get(i).map(|value| unit.tick(*value)),
            Self::Categories { values, .. } => values.get(i).cloned(),
        }
        .unwrap_or_default()
    }

    fn axis(&self, places: [f64; 2], most: usize) -> Axis {
        match self {
            Self::Numbers { scale, values, .. } => {
                let mut shown: Vec<f64> =
                    values.iter().filter_map(|value| scale.shown(*value)).collect();
                shown.sort_by(f64::total_cmp);
                shown.dedup();
                if shown.len() <= MOST_TICKS {
                    Axis::through(*scale, shown, places)
                } else {
                    Axis::within(*scale, shown.into_iter(), places, most)
                }
            }
            Self::Categories { values, .. } => {
                let last = values.len().saturating_sub(1) as f64;
                Axis::through(Scale::Linear, vec![-0.5, last + 0.5], places)
            }
        }
    }

    fn places(&self, axis: &Axis) -> Vec<Option<f64>> {
        match self {
            Self::Numbers { values, .. } => values.iter().map(|value| axis.at(*value)).collect(),
            Self::Categories { values, .. } => {
                (0..values.len()).map(|i| axis.at(i as f64)).collect()
            }
        }
    }

    fn ticks(&self, axis: &Axis) -> Vec<Tick> {
        match self {
            Self::Numbers { unit, .. } => ticks(axis, *unit),
            Self::Categories { values, .. } => {
                let [left, right] = axis.places();
                let room = ((right - left) / values.len().max(1) as f64 - 10.0).clamp(36.0, 160.0);
                let tick = |(i, name): (usize, &String)| {
                    Some((axis.at(i as f64)?, words::lines(name, room, MOST_LINES).join("\n")))
                };
                values.iter().enumerate().filter_map(tick).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn lines(swept: Swept, values: &[&[f64]]) -> Lines {
        let series = values.iter().enumerate().map(|(i, values)| {
            let name = format!("net {i}");
            Series { name, values: values.to_vec() }
        });
        let title = "MACs".to_owned();
        Lines { title, unit: Unit::Count, scale: Scale::Linear, swept, series: series.collect() }
    }

    fn sizes() -> Swept {
        let (name, values) = ("image size".to_owned(), vec![96.0, 160.0, 224.0]);
        Swept::Numbers { name, unit: Unit::Number, scale: Scale::Linear, values }
    }

    #[test]
    fn every_value_is_a_dot_at_its_place_and_the_sweep_is_the_axis() {
        let svg = Chart::from(lines(sizes(), &[&[1e6, 2e6, 4e6]])).to_svg().unwrap();
        for words in [">96</text>", ">160</text>", ">224</text>", "160: 2.00 M", ">4 M</text>"] {
            assert!(svg.contains(words), "{words}\n{svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 3);
    }

    #[test]
    fn what_is_no_number_is_a_gap() {
        let values: [&[f64]; 2] = [&[1.0, f64::NAN, 3.0], &[1.0]];
        let svg = Chart::from(lines(sizes(), &values)).to_svg().unwrap();
        let curve =
            svg.lines().find(|line| line.contains("curve stroke-0") && line.contains("title"));
        let curve = curve.unwrap();
        assert_eq!((curve.matches('M').count(), curve.matches('L').count()), (2, 0), "{curve}");
        assert!(svg.contains("net 1, 96: 1"));
    }

    #[test]
    fn categories_stand_evenly_apart() {
        let names = ["none", "max", "mean"].map(str::to_owned).to_vec();
        let swept = Swept::Categories { name: "pool".to_owned(), values: names };
        let axis = swept.axis([0.0, 300.0], 4);
        assert_eq!(swept.places(&axis), [Some(50.0), Some(150.0), Some(250.0)]);
        assert!(
            Chart::from(lines(swept, &[&[1.0, 2.0, 3.0]])).to_svg().unwrap().contains(">mean<")
        );
    }
}
