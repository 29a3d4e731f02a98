//! Curves and clouds of points over one number, each at places of its own: losses over steps, the predicted over the true.
//!
//! Above: `chart`. Below: `axes`, `scale`, `classes`, `drawing`. Not here: values of a sweep, which all curves share (`lines`).
//! A curve has a color and a pattern of dashes, and dots where there are few points, so that it can be told without its color.

use crate::axes::{Canvas, Rules, Sheet, ticks};
use crate::chart::Dimension;
use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing, Path, Shape};
use crate::scale::{Axis, Zero};
use crate::theme::SERIES;
use crate::unit::Unit;

/// Curves over a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    /// What is shown.
    pub title: String,
    /// The level axis.
    pub across: Dimension,
    /// The upright axis.
    pub upward: Dimension,
    /// The curves, those below first.
    pub curves: Vec<Curve>,
    /// Places along the level axis that have a name.
    pub marks: Vec<Mark>,
}

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the legend; curves of one name share a color and a pattern.
    pub name: String,
    /// `[across, upward]`, in the order in which they are joined; what is no number is a gap.
    pub points: Vec<[f64; 2]>,
    /// How it is drawn.
    pub look: Look,
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A line.
    Line,
    /// A thin line behind the others, which the legend does not name: single values of a noisy quantity.
    Faint,
    /// Points that nothing joins.
    Dots,
    /// A thin gray line that the legend does not name: where the values should be.
    Guide,
}

/// A place along the level axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub at: f64,
}

/// Points of a curve that are drawn; of more, the lowest and the highest of each stretch.
const MOST_POINTS: usize = 240;

/// Points that are drawn one by one where nothing joins them.
const MOST_DOTS: usize = 300;

/// Points of a line that have dots.
const MOST_MARKED: usize = 40;

impl Curves {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let is_shown = |[x, y]: &[f64; 2]| {
            self.across.scale.shown(*x).is_some() && self.upward.scale.shown(*y).is_some()
        };
        let shown: Vec<[f64; 2]> =
            self.curves.iter().flat_map(|curve| &curve.points).copied().filter(is_shown).collect();
        if shown.is_empty() {
            return canvas.nothing();
        }
        let named = || self.curves.iter().filter(|curve| curve.look != Look::Guide);
        let classes = Classes::new(&[], named().map(|curve| curve.name.as_str()));
        let has_lines = self.curves.iter().any(|curve| curve.look == Look::Line);
        if named().any(|curve| classes.of(&curve.name) > 0) {
            let sample = if has_lines { Sample::Dashes } else { Sample::Dot };
            canvas.legend(&classes, sample, |_| true);
        }
        let places = canvas.upright(&self.upward.name);
        let ys = shown.iter().map(|point| point[1]);
        let upward = Axis::around(self.upward.scale, ys, Zero::IfNear, places, sheet.rows);
        let [left, right] = canvas.rows(&upward, self.upward.unit);
        let xs = shown.iter().map(|point| point[0]);
        let ends = [left + 8.0, right - 8.0];
        let across = Axis::within(self.across.scale, xs, ends, sheet.columns);
        let mut words = ticks(&across, self.across.unit);
        if self.across.unit == Unit::Integer {
            // Half of a thing is none.
            let is_whole = |tick: &f64| (tick - tick.round()).abs() < 1e-9;
            let wholes = across.ticks().iter().map(is_whole).collect::<Vec<_>>();
            words = words.into_iter().zip(wholes).filter(|(_, it)| *it).map(|(it, _)| it).collect();
        }
        canvas.columns([left, right], &words, Rules::None, &self.across.name);
        self.marks(&mut canvas.drawing, &across, places);
        for curve in &self.curves {
            let place = classes.of(&curve.name);
            self.curve(&mut canvas.drawing, curve, place, [&across, &upward]);
        }
        canvas.finished()
    }

    fn marks(&self, drawing: &mut Drawing, across: &Axis, [bottom, top]: [f64; 2]) {
        let [left, right] = across.places();
        for mark in &self.marks {
            let Some(x) = across.at(mark.at) else { continue };
            drawing.line([x, top], [x, bottom], "front");
            let (anchor, dx) = match x > f64::midpoint(left, right) {
                true => (Anchor::End, -5.0),
                false => (Anchor::Start, 5.0),
            };
            drawing.text([x + dx, top + 11.0], anchor, "ink halo", &mark.name);
        }
    }

    fn curve(
        &self,
        drawing: &mut Drawing,
        curve: &Curve,
        place: usize,
        [across, upward]: [&Axis; 2],
    ) {
        let at = |[x, y]: [f64; 2]| Some([across.at(x)?, upward.at(y)?]);
        let class = match curve.look {
            Look::Line => format!("curve stroke-{place} dash-{place}"),
            Look::Faint => format!("faint-curve stroke-{place}"),
            Look::Guide => "front".to_owned(),
            Look::Dots => {
                let points = every(&curve.points, MOST_DOTS);
                points.for_each(|point| self.dot(drawing, curve, *point, place, at(*point)));
                return;
            }
        };
        let mut path = Path::default();
        let mut is_open = false;
        for point in thinned(&curve.points, MOST_POINTS) {
            match at(point) {
                Some(at) if is_open => path.go_on(at),
                Some(at) => path.begin(at),
                None => {}
            }
            is_open = at(point).is_some();
        }
        drawing.path(&path, &class, &curve.name);
        if curve.look == Look::Line && curve.points.len() <= MOST_MARKED {
            for point in &curve.points {
                self.dot(drawing, curve, *point, place, at(*point));
            }
        }
    }

    fn dot(
        &self,
        drawing: &mut Drawing,
        curve: &Curve,
        [x, y]: [f64; 2],
        place: usize,
        at: Option<[f64; 2]>,
    ) {
        let Some(at) = at else { return };
        let [x, y] = [(&self.across, x), (&self.upward, y)]
            .map(|(dimension, value)| dimension.unit.format(value));
        let title = format!("{}, {} {x}: {y}", curve.name, self.across.name);
        let cloud = if curve.look == Look::Dots { " cloud" } else { "" };
        let class = format!("dot{cloud} fill-{place}");
        drawing.dot(at, 3.5, Shape::of(place.min(SERIES)), &class, &title);
    }
}

/// At most `most` of the points, evenly.
fn every(points: &[[f64; 2]], most: usize) -> impl Iterator<Item = &[f64; 2]> {
    points.iter().step_by(points.len().div_ceil(most).max(1))
}

/// The lowest and the highest point of each stretch, in their order, of more than `most` points; the first and the last stay.
fn thinned(points: &[[f64; 2]], most: usize) -> Vec<[f64; 2]> {
    if points.len() <= most {
        return points.to_vec();
    }
    let stretch = (2 * points.len()).div_ceil(most);
    let mut kept = Vec::with_capacity(most + 2);
    kept.extend(points.first());
    for stretch in points.chunks(stretch) {
        let by_height = |a: &&[f64; 2], b: &&[f64; 2]| a[1].total_cmp(&b[1]);
        let (low, high) = (stretch.iter().min_by(by_height), stretch.iter().max_by(by_height));
        let (Some(low), Some(high)) = (low, high) else { continue };
        kept.extend(if low[0] <= high[0] { [*low, *high] } else { [*high, *low] });
    }
    kept.extend(points.last());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;
    use crate::scale::Scale;

    fn dimension(name: &str) -> Dimension {
        Dimension { name: name.to_owned(), unit: Unit::Number, scale: Scale::Linear }
    }

    fn curves(curves: Vec<Curve>) -> Chart {
        let marks = vec![Mark { name: "best".to_owned(), at: 2.0 }];
        let (across, upward) = (dimension("epoch"), dimension("loss"));
        Curves { title: "Loss".to_owned(), across, upward, curves, marks }.into()
    }

    fn curve(name: &str, look: Look, points: &[[f64; 2]]) -> Curve {
        Curve { name: name.to_owned(), points: points.to_vec(), look }
    }

    #[test]
    fn each_curve_has_a_color_dashes_and_a_place_in_the_legend() {
        let points = [[1.0, 0.5], [2.0, 0.25], [3.0, 0.5]];
        let svg = curves(vec![
            curve("train", Look::Faint, &points),
            curve("train", Look::Line, &points),
            curve("val", Look::Line, &points),
        ]);
        let svg = svg.to_svg().unwrap();
        for words in ["faint-curve stroke-0", "curve stroke-1 dash-1", ">train<", ">val<", ">best<"]
        {
            assert!(svg.contains(words), "{words}\n{svg}");
        }
        assert!(svg.contains("val, epoch 2.00: 0.250"), "{svg}");
    }

    #[test]
    fn things_have_no_ticks_between_them() {
        let points = vec![[1.0, 0.5], [2.0, 0.25], [3.0, 0.5]];
        let drawn = vec![Curve { name: "val".to_owned(), points, look: Look::Line }];
        let across = Dimension { unit: Unit::Integer, ..dimension("epoch") };
        let (title, upward) = (String::new(), dimension(""));
        let svg = Chart::from(Curves { title, across, upward, curves: drawn, marks: vec![] });
        let svg = svg.to_svg().unwrap();
        assert_eq!(svg.matches(">2</text>").count(), 1, "{svg}");
        assert!(!svg.contains(">1.5<") && svg.contains("epoch 2: 0.250"), "{svg}");
    }

    #[test]
    fn a_gap_is_where_there_is_no_number() {
        let points = [[1.0, 0.5], [2.0, f64::NAN], [3.0, 0.5], [4.0, 0.25]];
        let svg = curves(vec![curve("val", Look::Line, &points)]).to_svg().unwrap();
        let path = svg.lines().find(|line| line.contains("curve stroke-0")).unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn thousands_of_points_keep_their_peaks_and_their_ends() {
        let points: Vec<[f64; 2]> = (0..10_000)
            .map(|i| [f64::from(i), if i == 7777 { 9.0 } else { f64::from(i % 3) }])
            .collect();
        let kept = thinned(&points, 200);
        assert!(kept.len() <= 202 + 2, "{}", kept.len());
        assert!(kept.contains(&[7777.0, 9.0]));
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[9_999]));
        assert!(kept.windows(2).all(|pair| pair[0][0] <= pair[1][0]));
    }
}
