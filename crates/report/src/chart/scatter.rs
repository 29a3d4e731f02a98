//! Points with names, and the front of those that no other beats: accuracy over latency.
//!
//! Above: `chart`. Below: `axes`, `scale`, `classes`, `drawing`, `words`. Not here: what is compared.

use crate::axes::{Canvas, Rules, Sheet, ticks};
use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing, Path, Shape};
use crate::scale::{Axis, Scale};
use crate::squarify::Rect;
use crate::unit::Unit;
use crate::words;

/// Points of which less across and more upward is better.
#[derive(Debug, Clone, PartialEq)]
pub struct Scatter {
    /// What is shown.
    pub title: String,
    /// What should be little.
    pub across: Dimension,
    /// What should be much.
    pub upward: Dimension,
    /// Classes in the order of their colors, so that several charts of a page agree; those that are not listed follow as they come.
    pub classes: Vec<String>,
    /// The points; those on the Pareto front have their names beside them, all where they are pointed at.
    pub points: Vec<Point>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// The name.
    pub name: String,
    /// Of the values.
    pub unit: Unit,
    /// How it is divided.
    pub scale: Scale,
}

/// A point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Its color in the legend; may be empty.
    pub class: String,
    /// Across.
    pub x: f64,
    /// Upward.
    pub y: f64,
}

/// Height of a name.
const LINE: f64 = 14.0;

/// Points that can be shown, with their places.
type Placed<'s> = Vec<(&'s Point, [f64; 2])>;

impl Scatter {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let is_shown = |point: &&Point| {
            self.across.scale.shown(point.x).is_some() && self.upward.scale.shown(point.y).is_some()
        };
        let points: Vec<&Point> = self.points.iter().filter(is_shown).collect();
        if points.is_empty() {
            return canvas.nothing();
        }
        let classes = Classes::new(&self.classes, points.iter().map(|point| point.class.as_str()));
        canvas.legend(&classes, Sample::Dot, |name| points.iter().any(|point| point.class == name));
        let places = canvas.upright(&self.upward.name);
        let ys = points.iter().map(|point| point.y);
        let upward = Axis::within(self.upward.scale, ys, places, sheet.rows);
        let [left, right] = canvas.rows(&upward, self.upward.unit);
        let xs = points.iter().map(|point| point.x);
        let across = Axis::within(self.across.scale, xs, [left, right], sheet.columns);
        let marks = ticks(&across, self.across.unit);
        canvas.columns([left, right], &marks, Rules::Across, &self.across.name);
        let placed: Placed<'_> = points
            .iter()
            .filter_map(|point| Some((*point, [across.at(point.x)?, upward.at(point.y)?])))
            .collect();
        let front = front(&placed);
        let drawing = &mut canvas.drawing;
        drawing.path(&Path::through(front.iter().map(|&i| placed[i].1)), "front", "Pareto front");
        self.dots(drawing, &placed, &front, &classes);
        let [bottom, top] = places;
        let room = Rect { at: [left, top], size: [right - left, bottom - top] };
        names(drawing, &placed, &front, room);
        canvas.finished()
    }

    /// Dots on the front last, and full.
    fn dots(&self, drawing: &mut Drawing, placed: &Placed<'_>, front: &[usize], classes: &Classes) {
        let mut order: Vec<(bool, usize)> =
            (0..placed.len()).map(|i| (front.contains(&i), i)).collect();
        order.sort_unstable();
        for (is_best, i) in order {
            let (point, at) = placed[i];
            let place = classes.of(&point.class);
            let (class, radius) = if is_best { ("dot", 5.5) } else { ("dot faint", 4.0) };
            let [x, y] = [(&self.across, point.x), (&self.upward, point.y)]
                .map(|(dimension, value)| dimension.unit.format(value));
            let title = format!("{}: {x}, {y}", point.name);
            drawing.dot(at, radius, Shape::of(place), &format!("{class} fill-{place}"), &title);
        }
    }
}

/// Points that no other beats, from the left: of those as far to the left none is as high.
fn front(placed: &Placed<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..placed.len()).collect();
    let point = |i: &usize| placed[*i].0;
    order.sort_by(|a, b| point(a).x.total_cmp(&point(b).x).then(point(b).y.total_cmp(&point(a).y)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|i| {
        let is_best = point(i).y > best;
        best = best.max(point(i).y);
        is_best
    });
    order
}

/// Other dots that a name may hide.
const MOST_HIDDEN: usize = 1;

/// Names beside dots of the front: each where it covers no dot of the front and no other name, and hardly another dot, or not at all.
fn names(drawing: &mut Drawing, placed: &Placed<'_>, front: &[usize], room: Rect) {
    let around =
        |[x, y]: [f64; 2], half: f64| Rect { at: [x - half, y - half], size: [2.0 * half; 2] };
    let mut taken: Vec<Rect> = front.iter().map(|&i| around(placed[i].1, 6.0)).collect();
    let others: Vec<Rect> = placed.iter().map(|(_, at)| around(*at, 3.0)).collect();
    // Those at the ends say most, then the others from both sides.
    let mut order: Vec<usize> = (0..front.len()).collect();
    order.sort_by_key(|&i| i.min(front.len() - 1 - i));
    for i in order {
        let (point, at) = placed[front[i]];
        let label = words::shortened(&point.name, (0.6 * room.size[0]).min(200.0));
        let Some(label) = label else { continue };
        let hidden = |rect: Rect| others.iter().filter(|other| overlap(rect, **other)).count();
        let free = sides(at, words::width(&label))
            .into_iter()
            .filter(|(rect, _, _)| lies_in(*rect, room))
            .filter(|(rect, _, _)| !taken.iter().any(|other| overlap(*rect, *other)))
            .map(|side| (hidden(side.0), side))
            .filter(|(hidden, _)| *hidden <= MOST_HIDDEN)
            .min_by_key(|(hidden, _)| *hidden);
        if let Some((_, (rect, at, anchor))) = free {
            taken.push(rect);
            drawing.text(at, anchor, "ink halo", &label);
        }
    }
}

/// Where a name may be: its rectangle, its place, its anchor. Up and to the left is where no better point is.
fn sides([x, y]: [f64; 2], width: f64) -> [(Rect, [f64; 2], Anchor); 8] {
    let side = |dx: f64, dy: f64, anchor: Anchor| {
        let at = [x + dx, y + dy + 4.0];
        let left = match anchor {
            Anchor::Start => at[0],
            Anchor::Middle => at[0] - width / 2.0,
            Anchor::End => at[0] - width,
        };
        (Rect { at: [left, at[1] - 11.0], size: [width, LINE] }, at, anchor)
    };
    [
        side(-9.0, -6.0, Anchor::End),
        side(-9.0, 0.0, Anchor::End),
        side(0.0, -16.0, Anchor::Middle),
        side(-5.0, -19.0, Anchor::Start),
        side(9.0, 6.0, Anchor::Start),
        side(9.0, 0.0, Anchor::Start),
        side(-5.0, 18.0, Anchor::Start),
        side(0.0, 18.0, Anchor::Middle),
    ]
}

fn overlap(a: Rect, b: Rect) -> bool {
    [0, 1].iter().all(|&i| a.at[i] < b.at[i] + b.size[i] && b.at[i] < a.at[i] + a.size[i])
}

fn lies_in(a: Rect, b: Rect) -> bool {
    [0, 1].iter().all(|&i| a.at[i] >= b.at[i] && a.at[i] + a.size[i] <= b.at[i] + b.size[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn point(name: &str, x: f64, y: f64) -> Point {
        Point { name: name.to_owned(), class: "family".to_owned(), x, y }
    }

    fn scatter(points: Vec<Point>) -> Scatter {
        let across =
            Dimension { name: "latency".to_owned(), unit: Unit::Milliseconds, scale: Scale::Log10 };
        let upward =
            Dimension { name: "top-1".to_owned(), unit: Unit::Percent, scale: Scale::Linear };
        Scatter { title: "zoo".to_owned(), across, upward, classes: Vec::new(), points }
    }

    #[test]
    fn the_front_is_what_no_other_beats() {
        let points = [
            point("slow", 9.0, 71.0),
            point("best", 8.0, 75.0),
            point("quick", 1.0, 60.0),
            point("twin", 1.0, 60.0),
            point("beaten", 2.0, 59.0),
        ];
        let placed: Placed<'_> = points.iter().map(|point| (point, [0.0; 2])).collect();
        assert_eq!(front(&placed), [2, 1]);
    }

    #[test]
    fn only_the_front_has_names_and_every_point_a_title() {
        let points =
            vec![point("quick", 1.0, 60.0), point("bad", 5.0, 59.0), point("best", 9.0, 75.0)];
        let svg = Chart::from(scatter(points)).to_svg().unwrap();
        for words in [">quick</text>", ">best</text>", "<title>bad: 5.00 ms, 59.0 %</title>"] {
            assert!(svg.contains(words), "{words}\n{svg}");
        }
        assert!(!svg.contains(">bad</text>"));
    }

    #[test]
    fn names_never_lie_over_each_other() {
        let points: Vec<Point> = (0..200)
            .map(|i| point(&format!("network_{i}"), 1.0 + f64::from(i) * 0.01, f64::from(i)))
            .collect();
        let placed: Placed<'_> =
            points.iter().map(|point| (point, [100.0 * point.x, 300.0 - point.y])).collect();
        let mut drawing = Drawing::new("", [400.0, 300.0]);
        let room = Rect { at: [0.0; 2], size: [400.0, 300.0] };
        names(&mut drawing, &placed, &front(&placed), room);
        let shown = drawing.to_inline("").unwrap().matches("<text").count();
        assert!((2..60).contains(&shown), "{shown}");
    }
}
