//! The roofline: units of a session as dots under what the machine can do, drawn as SVG.
//!
//! Above: `layers`, `document`. Below: `roof`, `svg`. Not here: measuring.
//! Both axes are logarithmic: across, operations for each byte that a perfect cache would move; upward, operations a nanosecond. A unit is
//! limited by arithmetic, a level line, or by memory, a slanted one: of those, that of a copy as large as what the unit moves.
//! Source: Williams, Waterman and Patterson 2009, "Roofline", <https://doi.org/10.1145/1498765.1498785>.

use serde_json::Value;

use super::roof::Roof;
use super::table::number;
use crate::svg::{Axis, escaped, line, text};

/// Width and height of the paper, and the sides of the plot on it: left, top, right, bottom.
const PAPER: [f64; 2] = [860.0, 540.0];
const PLOT: [f64; 4] = [62.0, 62.0, 840.0, 490.0];

/// Kernels and their colors; what is not named is gray. Source: Okabe and Ito 2008, told apart without seeing red or green.
const COLORS: [(&str, &str); 4] = [
    ("pointwise", "#0072b2"),
    ("depthwise", "#d55e00"),
    ("dense", "#009e73"),
    ("linear", "#cc79a7"),
];

/// Memory lines nearer to each other than this factor would only hide each other's words.
const APART: f64 = 1.25;

/// One session, unit by unit.
#[derive(Debug)]
pub(super) struct Roofline {
    caption: String,
    roof: Roof,
    dots: Vec<Dot>,
    /// Share of the time of units that multiply nothing, and so have no place on such paper.
    rest: f64,
}

#[derive(Debug)]
struct Dot {
    /// Name and shape.
    name: String,
    kernel: String,
    /// Operations a byte.
    intensity: f64,
    /// Operations a nanosecond: GFLOP/s.
    speed: f64,
    /// Of the time of all units.
    share: f64,
}

impl Roofline {
    /// From what a contestant of `layers` says.
    pub(super) fn new(caption: &str, roof: &Roof, units: &Value) -> Option<Self> {
        let units = units.as_array()?;
        let total = units.iter().map(|unit| unit["ms"].as_f64()).sum::<Option<f64>>()?;
        let (mut dots, mut rest) = (Vec::new(), 0.0);
        for unit in units {
            let (ms, macs) = (unit["ms"].as_f64()?, unit["macs"].as_f64()?);
            if macs == 0.0 {
                rest += ms / total;
                continue;
            }
            dots.push(Dot {
                name: format!("{}, {}", unit["name"].as_str()?, unit["shape"].as_str()?),
                kernel: unit["kernel"].as_str()?.to_owned(),
                intensity: 2.0 * macs / unit["bytes"].as_f64()?,
                speed: 2.0 * macs / ms / 1e6,
                share: ms / total,
            });
        }
        let caption = caption.to_owned();
        (!dots.is_empty()).then(|| Self { caption, roof: roof.clone(), dots, rest })
    }

    pub(super) fn caption(&self) -> &str {
        &self.caption
    }

    /// Name of the file: `roofline-mobilenetv2_100-batch-1-threads-2.svg`.
    pub(super) fn file(&self) -> String {
        format!("roofline-{}.svg", self.caption.replace(", ", "-").replace(' ', "-"))
    }

    /// The drawing; `machine` says where, when and of which commit it was measured.
    pub(super) fn svg(&self, machine: &str) -> String {
        let [left, top, right, bottom] = PLOT;
        let across = Axis::around(self.dots.iter().map(|dot| dot.intensity), [left, right]);
        let speeds = self.dots.iter().map(|dot| dot.speed).chain([self.peak()]);
        let upward = Axis::around(speeds, [bottom, top]);
        let [width, height] = PAPER;
        let mut svg = vec![
            format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
                 font-family=\"sans-serif\" font-size=\"12\" role=\"img\">"
            ),
            format!("<title>Roofline of {}</title>", escaped(&self.caption)),
            format!("<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>"),
            text([left, 22.0], "start", 15.0, &self.caption),
            text([left, 42.0], "start", 11.0, machine),
        ];
        grid(&mut svg, &across, &upward);
        self.roofs(&mut svg, &across, &upward);
        for dot in &self.dots {
            let at = [across.at(dot.intensity), upward.at(dot.speed)];
            svg.push(dot.circle(at));
        }
        self.legend(&mut svg);
        svg.push("</svg>\n".to_owned());
        svg.join("\n")
    }

    fn peak(&self) -> f64 {
        2.0 * self.roof.macs_per_ms / 1e6
    }

    /// The limits: arithmetic level, memory slanted, each with its number.
    fn roofs(&self, svg: &mut Vec<String>, across: &Axis, upward: &Axis) {
        let (peak, product) = (self.peak(), 2.0 * self.roof.product / 1e6);
        let [low, high] = across.ends();
        let (mut best, mut last) = (0.0_f64, f64::INFINITY);
        for &(size, bytes_per_ms) in &self.roof.copy {
            let bandwidth = bytes_per_ms / 1e6;
            best = best.max(bandwidth);
            if bandwidth * APART > last {
                continue;
            }
            last = bandwidth;
            let start = low.max(upward.ends()[0] / bandwidth);
            let end = high.min(peak / bandwidth);
            if start >= end {
                continue;
            }
            let place = |x: f64| [across.at(x), upward.at(x * bandwidth)];
            svg.push(line(place(start), place(end), "#555555", ""));
            let ([x, y], [x2, y2]) = (place(start), place(end));
            let angle = (y2 - y).atan2(x2 - x).to_degrees();
            let words = format!("copy of {}: {} GB/s", binary(size), number(bandwidth));
            let words = text([8.0, -4.0], "start", 10.0, &words);
            svg.push(format!(
                "<g transform=\"translate({x:.1} {y:.1}) rotate({angle:.1})\" fill=\"#555555\">{words}</g>"
            ));
        }
        let levels = [
            (peak, "", -6.0, "multiply-adds on registers"),
            (product, " stroke-dasharray=\"6 4\"", 14.0, "our matrix product"),
        ];
        for (level, dashes, above, what) in levels {
            let start = low.max(level / best).min(high);
            let y = upward.at(level);
            svg.push(line([across.at(start), y], [across.at(high), y], "black", dashes));
            let words = format!("{what}: {} GFLOP/s", number(level));
            svg.push(text([across.at(high), y + above], "end", 11.0, &words));
        }
    }

    /// Kernels, in the order of [`COLORS`], with how many units and how much of the time they are.
    fn legend(&self, svg: &mut Vec<String>) {
        let mut kernels: Vec<&str> = self.dots.iter().map(|dot| dot.kernel.as_str()).collect();
        let rank = |kernel: &&str| COLORS.iter().position(|(name, _)| name == kernel);
        kernels.sort_by_key(|kernel| (rank(kernel).unwrap_or(COLORS.len()), *kernel));
        kernels.dedup();
        let mut lines: Vec<(Option<&str>, String)> = Vec::new();
        for kernel in kernels {
            let units = || self.dots.iter().filter(|dot| dot.kernel == kernel);
            let share: f64 = 100.0 * units().map(|dot| dot.share).sum::<f64>();
            let words = format!("{kernel}: {} units, {share:.0} % of the time", units().count());
            lines.push((Some(kernel), words));
        }
        let rest = 100.0 * self.rest;
        lines.push((None, format!("the rest, no multiply-adds: {rest:.0} %")));
        lines.push((None, "area of a dot: its share of the time".to_owned()));
        let [_, _, right, bottom] = PLOT;
        let top = bottom - 12.0 - 17.0 * lines.len() as f64;
        for (i, (kernel, words)) in lines.iter().enumerate() {
            let y = top + 17.0 * (i + 1) as f64;
            if let Some(kernel) = kernel {
                let (x, y, color) = (right - 232.0, y - 4.0, color(kernel));
                svg.push(format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{color}\"/>"));
            }
            svg.push(text([right - 220.0, y], "start", 12.0, words));
        }
    }
}

impl Dot {
    fn circle(&self, [x, y]: [f64; 2]) -> String {
        let radius = 1.5 + 20.0 * self.share.sqrt();
        let words = format!(
            "{}: {} GFLOP/s, {} operations a byte, {:.1} % of the time",
            self.name,
            number(self.speed),
            number(self.intensity),
            100.0 * self.share
        );
        format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{}\" fill-opacity=\"0.6\" \
             stroke=\"white\" stroke-width=\"0.5\"><title>{}</title></circle>",
            color(&self.kernel),
            escaped(&words)
        )
    }
}

fn grid(svg: &mut Vec<String>, across: &Axis, upward: &Axis) {
    let [left, top, right, bottom] = PLOT;
    for tick in across.ticks() {
        let x = across.at(tick);
        svg.push(line([x, top], [x, bottom], "#e5e5e5", ""));
        svg.push(text([x, bottom + 16.0], "middle", 11.0, &tick.to_string()));
    }
    for tick in upward.ticks() {
        let y = upward.at(tick);
        svg.push(line([left, y], [right, y], "#e5e5e5", ""));
        svg.push(text([left - 6.0, y + 4.0], "end", 11.0, &tick.to_string()));
    }
    let middle = f64::midpoint(left, right);
    svg.push(text([middle, bottom + 36.0], "middle", 12.0, "operations a byte"));
    svg.push(text([left - 44.0, top - 6.0], "start", 12.0, "GFLOP/s"));
}

fn color(kernel: &str) -> &'static str {
    COLORS.iter().find(|(name, _)| *name == kernel).map_or("#777777", |(_, color)| color)
}

/// `256 KiB`, `4 MiB`.
fn binary(bytes: usize) -> String {
    if bytes < 1 << 20 { format!("{} KiB", bytes >> 10) } else { format!("{} MiB", bytes >> 20) }
}

#[cfg(test)]
impl Roofline {
    /// A small one, for tests.
    pub(super) fn example() -> Self {
        let copy = vec![(1 << 18, 64e6), (1 << 22, 60e6), (1 << 29, 8e6)];
        let roof = Roof { macs_per_ms: 128e6, product: 120e6, copy, read: 8e6 };
        let shape = "8x8x4 -> 8x8x4";
        let unit = |name: &str, kernel: &str, macs: u64, bytes: u64| {
            serde_json::json!({
                "name": name, "kernel": kernel, "shape": shape, "macs": macs, "bytes": bytes, "ms": 1.0,
            })
        };
        let units = serde_json::json!([
            unit("a", "pointwise", 128_000_000, 8_000_000),
            unit("b", "depthwise", 4_000_000, 4_000_000),
            unit("pool", "pool", 0, 1000),
        ]);
        Self::new("net, batch 1, threads 2", &roof, &units).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dots_stand_at_their_work_and_speed_and_pools_nowhere() {
        let roofline = Roofline::example();
        let dots: Vec<_> = roofline.dots.iter().map(|dot| [dot.intensity, dot.speed]).collect();
        assert_eq!(dots, [[32.0, 256.0], [2.0, 8.0]]);
        assert!((roofline.rest - 1.0 / 3.0).abs() < 1e-12);
        assert!(Roofline::new("", &roofline.roof, &json!([])).is_none());
    }

    #[test]
    fn the_drawing_has_every_unit_and_every_roof_that_can_be_told_apart() {
        let svg = Roofline::example().svg("a machine & a day");
        // A unit as fast as the machine stands at the top right corner of the plot.
        assert!(svg.contains("<circle cx=\"840.0\" cy=\"62.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2 + 2, "dots, and colors of the legend");
        for words in ["copy of 256 KiB: 64.0 GB/s", "copy of 512 MiB: 8.00 GB/s", "256 GFLOP/s"] {
            assert!(svg.contains(words), "{words}");
        }
        assert!(!svg.contains("copy of 4 MiB"));
        assert!(svg.contains("b, 8x8x4 -&gt; 8x8x4: 8.00 GFLOP/s"));
        assert!(svg.contains("a machine &amp; a day"));
        assert_eq!(Roofline::example().file(), "roofline-net-batch-1-threads-2.svg");
    }
}
