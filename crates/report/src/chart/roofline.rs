//! The roofline: how fast work is done, by how much of it there is for each byte, under what the machine can do.
//!
//! Above: `chart`. Below: `axes`, `scale`, `classes`, `drawing`, `words`. Not here: measuring the machine.
//! Source: Williams, Waterman and Patterson 2009, "Roofline", <https://doi.org/10.1145/1498765.1498785>.

use crate::axes::{Canvas, Rules, Sheet, ticks};
use crate::classes::{Classes, Sample};
use crate::drawing::{Anchor, Drawing, Shape};
use crate::scale::{Axis, Scale};
use crate::unit::Unit;
use crate::words;

/// Points under a roof, both axes logarithmic.
#[derive(Debug, Clone, PartialEq)]
pub struct Roofline {
    /// Whose.
    pub title: String,
    /// What arithmetic can reach, in GFLOP/s.
    pub peak: f64,
    /// What memory can feed; the fastest makes the roof.
    pub bandwidths: Vec<Bandwidth>,
    /// Classes in the order of their colors, so that several charts of a page agree; those that are not listed follow as they come.
    pub classes: Vec<String>,
    /// What is done.
    pub points: Vec<RooflinePoint>,
}

/// How fast a level of memory is.
#[derive(Debug, Clone, PartialEq)]
pub struct Bandwidth {
    /// Of the level.
    pub name: String,
    /// In GB/s.
    pub gigabytes_per_second: f64,
}

/// A piece of work.
#[derive(Debug, Clone, PartialEq)]
pub struct RooflinePoint {
    /// Its name.
    pub name: String,
    /// Its color in the legend; may be empty.
    pub class: String,
    /// Floating-point operations for each byte moved.
    pub intensity: f64,
    /// In GFLOP/s.
    pub speed: f64,
    /// Of the time of all points, from 0 to 1: the area of the dot.
    pub share: f64,
    /// Measured points are filled, predicted ones hollow.
    pub origin: Origin,
}

/// Where a number is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was measured.
    Measured,
    /// It was computed.
    Predicted,
}

/// Where things are on the paper.
struct Paper<'r> {
    roofline: &'r Roofline,
    across: Axis,
    upward: Axis,
}

const SCALE: Scale = Scale::Log10;

impl Roofline {
    pub(crate) fn draw(&self, sheet: Sheet) -> Drawing {
        let mut canvas = Canvas::new(&self.title, sheet);
        let points: Vec<&RooflinePoint> =
            self.points.iter().filter(|point| point.is_shown()).collect();
        let has_roof = SCALE.shown(self.peak).is_some();
        if points.is_empty() && !has_roof {
            return canvas.nothing();
        }
        let classes =
            Classes::new(&self.classes, self.points.iter().map(|point| point.class.as_str()));
        canvas.legend(&classes, Sample::Dot, |name| points.iter().any(|point| point.class == name));
        let places = canvas.upright("GFLOP/s");
        // Over the roof is room for its words, and its edge is on the paper.
        let roof = has_roof.then_some(1.4 * self.peak);
        let speeds = points.iter().flat_map(|point| around(point.speed)).chain(roof);
        let upward = Axis::within(SCALE, speeds, places, sheet.rows);
        let [left, right] = canvas.rows(&upward, Unit::Number);
        let edges = self.bandwidths().map(|(_, bandwidth)| 2.0 * self.peak / bandwidth);
        let intensities = points.iter().flat_map(|point| around(point.intensity)).chain(edges);
        let across = Axis::within(SCALE, intensities, [left, right], sheet.columns);
        let paper = Paper { roofline: self, across, upward };
        let marks = ticks(&paper.across, Unit::Number);
        let is_predicted = points.iter().any(|point| point.origin == Origin::Predicted);
        let hollow = if is_predicted { " (hollow: predicted)" } else { "" };
        let name = format!("FLOP for each byte moved{hollow}");
        canvas.columns([left, right], &marks, Rules::Across, &name);
        paper.slants(&mut canvas.drawing);
        paper.level(&mut canvas.drawing);
        paper.points(&mut canvas.drawing, points, &classes, (sheet.width / 40.0).clamp(11.0, 20.0));
        canvas.finished()
    }

    /// Those that can be drawn, the fastest first.
    fn bandwidths(&self) -> impl Iterator<Item = (&str, f64)> {
        let mut all: Vec<(&str, f64)> = self
            .bandwidths
            .iter()
            .map(|one| (one.name.as_str(), one.gigabytes_per_second))
            .filter(|(_, speed)| SCALE.shown(*speed).is_some())
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.into_iter()
    }
}

/// Room for a large dot.
fn around(value: f64) -> [f64; 2] {
    [0.75 * value, 1.1 * value]
}

impl RooflinePoint {
    fn is_shown(&self) -> bool {
        SCALE.shown(self.intensity).is_some() && SCALE.shown(self.speed).is_some()
    }

    fn said(&self) -> String {
        let share = Unit::Percent.format(100.0 * self.share);
        let speed = Unit::GflopPerSecond.format(self.speed);
        let intensity = Unit::FlopPerByte.format(self.intensity);
        format!("{}: {speed}, {intensity}, {share} of the time", self.name)
    }
}

impl Paper<'_> {
    fn place(&self, intensity: f64, speed: f64) -> Option<[f64; 2]> {
        Some([self.across.at(intensity)?, self.upward.at(speed)?])
    }

    /// What memory can feed, each with its words along the line, where there is room for them.
    fn slants(&self, drawing: &mut Drawing) {
        let ([low, high], [slow, fast]) = (self.across.ends(), self.upward.ends());
        let peak = SCALE.shown(self.roofline.peak).unwrap_or(fast);
        let mut last = f64::NEG_INFINITY;
        for (name, bandwidth) in self.roofline.bandwidths() {
            let ends = [low.max(slow / bandwidth), high.min(peak / bandwidth)];
            let [Some(start), Some(end)] = ends.map(|x| self.place(x, x * bandwidth)) else {
                continue;
            };
            if start[0] >= end[0] {
                continue;
            }
            drawing.line(start, end, "slant");
            let [dx, dy] = [end[0] - start[0], end[1] - start[1]];
            let angle = dy.atan2(dx);
            // How far the line is below the last one that has words.
            let depth = start[1] * angle.cos() - start[0] * angle.sin();
            let words = format!("{} {name}", Unit::GigabytePerSecond.format(bandwidth));
            let words = words::shortened(&words, dx.hypot(dy) - 24.0);
            if let Some(words) = words.filter(|_| depth - last > 16.0) {
                last = depth;
                let (sin, cos) = angle.sin_cos();
                let at = [start[0] + 10.0 * cos + 5.0 * sin, start[1] + 10.0 * sin - 5.0 * cos];
                drawing.turned(at, Anchor::Start, "halo", &words, angle.to_degrees());
            }
        }
    }

    /// What arithmetic can reach.
    fn level(&self, drawing: &mut Drawing) {
        let peak = self.roofline.peak;
        let [low, high] = self.across.ends();
        let edge = self.roofline.bandwidths().next().map_or(low, |(_, fastest)| peak / fastest);
        let [Some(start), Some(end)] = [edge.clamp(low, high), high].map(|x| self.place(x, peak))
        else {
            return;
        };
        drawing.line(start, end, "roof");
        let words = format!("peak {}", Unit::GflopPerSecond.format(peak));
        drawing.text([end[0], end[1] - 7.0], Anchor::End, "strong halo", &words);
    }

    /// The largest first, so that none is hidden.
    fn points(
        &self,
        drawing: &mut Drawing,
        mut points: Vec<&RooflinePoint>,
        classes: &Classes,
        largest: f64,
    ) {
        let size = |point: &RooflinePoint| {
            if point.share.is_nan() { 0.0 } else { point.share.clamp(0.0, 1.0) }
        };
        points.sort_by(|a, b| size(b).total_cmp(&size(a)));
        let most = points.first().map_or(1.0, |point| size(point).max(1e-9));
        for point in points {
            let Some(at) = self.place(point.intensity, point.speed) else { continue };
            let radius = 3.0 + (largest - 3.0) * (size(point) / most).sqrt();
            let place = classes.of(&point.class);
            let class = match point.origin {
                Origin::Measured => format!("dot faint fill-{place}"),
                Origin::Predicted => format!("hollow stroke-{place}"),
            };
            drawing.dot(at, radius, Shape::of(place), &class, &point.said());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::Chart;

    fn point(name: &str, intensity: f64, speed: f64, share: f64) -> RooflinePoint {
        let (name, class) = (name.to_owned(), "pointwise".to_owned());
        RooflinePoint { name, class, intensity, speed, share, origin: Origin::Measured }
    }

    fn roofline(points: Vec<RooflinePoint>) -> Roofline {
        let bandwidth = |name: &str, gigabytes_per_second: f64| {
            let name = name.to_owned();
            Bandwidth { name, gigabytes_per_second }
        };
        let bandwidths = vec![bandwidth("memory", 10.0), bandwidth("cache", 80.0)];
        Roofline { title: "net".to_owned(), peak: 200.0, bandwidths, classes: Vec::new(), points }
    }

    #[test]
    fn points_and_roofs_are_there_with_their_numbers() {
        let points = vec![point("a", 30.0, 150.0, 0.75), point("b", 1.0, 8.0, 0.25)];
        let svg = Chart::from(roofline(points)).to_svg().unwrap().replace("&#x2f;", "/");
        for words in [
            "peak 200 GFLOP/s",
            ">10.0 GB/s memory</text>",
            ">80.0 GB/s cache</text>",
            "a: 150 GFLOP/s, 30.0 FLOP/B, 75.0 % of the time",
        ] {
            assert!(svg.contains(words), "{words}\n{svg}");
        }
        assert_eq!(svg.matches("class=\"slant\"").count(), 2);
    }

    #[test]
    fn a_point_on_the_roof_is_on_the_line() {
        let roofline = roofline(Vec::new());
        let axis = |places| Axis::within(SCALE, [1.0, 100.0, 1000.0].into_iter(), places, 5);
        let paper =
            Paper { roofline: &roofline, across: axis([0.0, 100.0]), upward: axis([100.0, 0.0]) };
        // Both axes have one scale here, so that a line of constant bandwidth rises by 45 degrees.
        let [[x, y], [x2, y2]] = [1.0, 10.0].map(|x| paper.place(x, 10.0 * x).unwrap());
        assert!(((x2 - x) + (y2 - y)).abs() < 1e-9);
    }

    #[test]
    fn points_without_work_or_time_are_left_out() {
        let points = vec![point("a", 0.0, 5.0, 0.5), point("b", 1.0, f64::NAN, f64::NAN)];
        let svg = Chart::from(roofline(points)).to_svg().unwrap();
        assert!(!svg.contains("<circle") && svg.contains("class=\"roof\""));
        let mut dots = point("hollow", 1.0, 5.0, f64::NAN);
        dots.origin = Origin::Predicted;
        let svg = Chart::from(roofline(vec![dots])).to_svg().unwrap();
        assert!(svg.contains("class=\"hollow stroke-0\"") && svg.contains("hollow: predicted"));
    }
}
