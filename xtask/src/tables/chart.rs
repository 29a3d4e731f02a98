//! Top-1 against multiply-accumulates: a dot for each network with its best weights.
//!
//! Above: `tables`. Below: `svg`, the zoo's records. Not here: measured time (`bench`).
//! Across, multiply-accumulates on a logarithmic axis; upward, top-1. A network that no cheaper one reaches has its name
//! beside it.

use taper_zoo::{Record, families, records};

use crate::svg::{Axis, escaped, line, text};

/// Width and height of the paper, and the sides of the plot on it: left, top, right, bottom.
const PAPER: [f64; 2] = [900.0, 600.0];
const PLOT: [f64; 4] = [62.0, 50.0, 880.0, 550.0];

/// Families and their colors; the others are gray. Source: Okabe and Ito 2008, told apart without seeing red or green.
const COLORS: [(&str, &str); 8] = [
    ("MobileNetV2", "#56b4e9"),
    ("MobileNetV3", "#0072b2"),
    ("MobileNetV4", "#000000"),
    ("EfficientNet", "#d55e00"),
    ("EfficientNet-Lite", "#e69f00"),
    ("EfficientNetV2", "#009e73"),
    ("RepViT", "#cc79a7"),
    ("ResNet", "#f0e442"),
];
const OTHERS: &str = "#999999";

/// Per cent at the lower and the upper side.
const TOP1: [f64; 2] = [55.0, 90.0];
/// Names nearer to each other than so many points would overlap.
const APART: f64 = 13.0;

/// One network.
#[derive(Debug)]
pub(super) struct Dot {
    record: &'static Record,
    family: &'static str,
}

impl Dot {
    /// Millions.
    fn macs(&self) -> f64 {
        self.record.macs as f64 / 1e6
    }
}

/// The best weights of every network that has some, the cheapest first; networks for tests are none.
pub(super) fn dots() -> Vec<Dot> {
    let mut dots: Vec<Dot> = Vec::new();
    for family in families() {
        for architecture in family.architectures.iter().filter(|it| is_for_use(it.name)) {
            let of = records().iter().filter(|it| it.architecture_name() == architecture.name);
            let best = of.max_by(|a, b| a.top1.total_cmp(&b.top1));
            dots.extend(best.map(|record| Dot { record, family: family.name }));
        }
    }
    dots.sort_by_key(|dot| dot.record.macs);
    dots
}

fn is_for_use(name: &str) -> bool {
    !name.starts_with("test_")
}

/// The drawing.
pub(super) fn svg(dots: &[Dot]) -> String {
    let [left, top, right, bottom] = PLOT;
    let across = Axis::around(dots.iter().map(Dot::macs), [left, right]);
    let upward =
        |top1: f64| bottom + (top - bottom) * (100.0 * top1 - TOP1[0]) / (TOP1[1] - TOP1[0]);
    let [width, height] = PAPER;
    let mut svg = vec![
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\" role=\"img\">"
        ),
        "<title>ImageNet top-1 against multiply-accumulates of one image</title>".to_owned(),
        format!("<rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>"),
        text([left, 24.0], "start", 15.0, "ImageNet top-1, best published weights of each network"),
    ];
    grid(&mut svg, &across, &upward);
    for dot in dots {
        let (at, name) = ([across.at(dot.macs()), upward(dot.record.top1)], dot.record.name);
        svg.push(format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{}\" stroke=\"#333333\" stroke-width=\"0.7\">\
             <title>{}: {:.1} % of {:.0} M</title></circle>",
            at[0], at[1], color(dot.family), escaped(name), 100.0 * dot.record.top1, dot.macs()
        ));
    }
    names(&mut svg, dots, &across, &upward);
    legend(&mut svg);
    svg.push("</svg>\n".to_owned());
    svg.join("\n")
}

fn color(family: &str) -> &'static str {
    COLORS.iter().find(|(name, _)| *name == family).map_or(OTHERS, |(_, color)| color)
}

fn grid(svg: &mut Vec<String>, across: &Axis, upward: &impl Fn(f64) -> f64) {
    let [left, top, right, bottom] = PLOT;
    for macs in across.ticks() {
        let x = across.at(macs);
        svg.push(line([x, top], [x, bottom], "#dddddd", ""));
        let shown = match macs {
            macs if macs < 1000.0 => format!("{macs:.0} M"),
            macs => format!("{:.1} G", macs / 1000.0),
        };
        svg.push(text([x, bottom + 16.0], "middle", 11.0, &shown));
    }
    let mut percent = TOP1[0];
    while percent <= TOP1[1] {
        let y = upward(percent / 100.0);
        svg.push(line([left, y], [right, y], "#dddddd", ""));
        svg.push(text([left - 6.0, y + 4.0], "end", 11.0, &format!("{percent:.0} %")));
        percent += 5.0;
    }
    let middle = f64::midpoint(left, right);
    svg.push(text([middle, bottom + 36.0], "middle", 12.0, "multiply-accumulates of one image"));
}

/// Names of the networks that no cheaper one reaches, where there is room.
fn names(svg: &mut Vec<String>, dots: &[Dot], across: &Axis, upward: &impl Fn(f64) -> f64) {
    let (mut best, mut last) = (0.0, f64::INFINITY);
    for dot in dots.iter().filter(|dot| {
        let is_best = dot.record.top1 > best;
        best = dot.record.top1.max(best);
        is_best
    }) {
        let (x, y) = (across.at(dot.macs()), upward(dot.record.top1));
        if last - y < APART {
            continue;
        }
        last = y;
        let name = dot.record.architecture_name();
        // Left of its dot, where no other is; at the left side there is no room.
        svg.push(match x > PLOT[0] + 140.0 {
            true => text([x - 8.0, y - 2.0], "end", 10.0, name),
            false => text([x + 8.0, y + 12.0], "start", 10.0, name),
        });
    }
}

fn legend(svg: &mut Vec<String>) {
    let [_, _, right, bottom] = PLOT;
    let entries = COLORS.iter().copied().chain([("others", OTHERS)]);
    for (entry_idx, (name, color)) in entries.enumerate() {
        let y = bottom - 20.0 - 17.0 * (COLORS.len() - entry_idx) as f64;
        let x = right - 150.0;
        svg.push(format!(
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{color}\"/>",
            y - 4.0
        ));
        svg.push(text([x + 12.0, y], "start", 11.0, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_with_weights_has_one_dot_on_the_paper() {
        let dots = dots();
        let networks: std::collections::BTreeSet<_> =
            records().iter().map(Record::architecture_name).filter(|it| is_for_use(it)).collect();
        assert_eq!(dots.len(), networks.len());
        let svg = svg(&dots);
        assert_eq!(svg.matches("<circle").count(), dots.len() + COLORS.len() + 1);
        let in_range = |dot: &Dot| (TOP1[0]..TOP1[1]).contains(&(100.0 * dot.record.top1));
        assert!(dots.iter().all(in_range));
    }

    #[test]
    fn colors_are_of_families_that_there_are() {
        for (name, _) in COLORS {
            assert!(families().iter().any(|family| family.name == name), "{name}");
        }
    }
}
