//! What networks cost, drawn: what size, width and depth do, where costs lie, memory over time, what separating convolutions saves.
//!
//! Above: `pictures`. Below: `paper`, `svg`, `taper_cost`, the zoo. Not here: times, which are a machine's (`bench`).
//! All of it is counted, so every machine draws the same.

use anyhow::{Context, Result};
use taper_cost::what_if::{Change, apply};
use taper_cost::{Pass, Timeline, inference_memory, training_memory};
use taper_graph::{Bias, Conv, Graph, GraphBuilder};

use super::paper::{BLUE, COLORS, GRAY, GREEN, ORANGE, PURPLE, Paper};
use crate::svg::{Axis, line, text};

const NETWORK: &str = "mobilenetv2_100";
const SIDE: usize = 224;
/// Images of a training step, and numbers that momentum keeps for each parameter.
const TRAINED: usize = 32;
const SLOTS: usize = 1;

/// What is drawn of a network, in the order of `COLORS`.
const COSTS: [&str; 4] =
    ["parameters", "MACs", "activations at once, inference", "memory of a training step, batch 32"];

fn network(name: &str) -> Result<Graph> {
    Ok(taper_zoo::architecture(name)?.graph(1000)?)
}

/// Parameters, multiply-accumulates, peak of inference, bytes of training.
fn costs(graph: &Graph, side: usize) -> Result<[f64; 4]> {
    let total = taper_cost::of(graph, [side, side])?.total();
    let inference = inference_memory(graph, &["logits"], [1, side, side], 1)?;
    let trained = vec![true; graph.params().len()];
    let shape = [TRAINED, side, side];
    let training = training_memory(graph, &["logits"], &trained, shape, SLOTS)?;
    let peak = inference.timeline.peak_bytes();
    Ok([total.params.0, total.macs().0, peak.0, training.total().0].map(|count| count as f64))
}

/// One factor a panel: costs as multiples of the network's own.
pub(super) fn factors() -> Result<String> {
    let graph = network(NETWORK)?;
    let own = costs(&graph, SIDE)?;
    let sizes = [112, 160, 224, 320, 448];
    let sides = sizes.map(|side| (side as f64 / SIDE as f64, Change::ImageSize([side; 2])));
    let widths = [0.5, 0.75, 1.0, 1.4, 2.0].map(|factor| (factor, Change::Width(factor)));
    let depths = [0.5, 0.75, 1.0, 1.5, 2.0].map(|factor| (factor, Change::Depth(factor)));
    let mut paper = Paper::new([860.0, 360.0], "Costs of MobileNetV2 by image size, width, depth");
    let legend = COSTS.iter().zip(COLORS).zip([60.0, 160.0, 230.0, 450.0]);
    legend.for_each(|((words, color), x)| paper.colored([x, 28.0], 13.0, color, words));
    let panels = [("image size", sides), ("width", widths), ("depth", depths)];
    for (i, (name, changes)) in panels.into_iter().enumerate() {
        let left = 60.0 + 270.0 * i as f64;
        let xs = Axis::around([0.5, 2.0].into_iter(), [left, left + 230.0]);
        let ys = Axis::around([0.25, 4.0].into_iter(), [310.0, 56.0]);
        frame(&mut paper, [&xs, &ys], ["×", "×"]);
        paper.words([left + 115.0, 348.0], 13.0, &format!("{name}, times {NETWORK}'s"));
        let mut lines = [const { Vec::new() }; 4];
        for (factor, change) in changes {
            let side = if let Change::ImageSize([side, _]) = change { side } else { SIDE };
            let new = costs(&apply(&graph, &change)?, side)?;
            for (line, (new, own)) in lines.iter_mut().zip(new.iter().zip(own)) {
                line.push([xs.at(factor), ys.at(new / own)]);
            }
        }
        for (points, color) in lines.iter().zip(COLORS) {
            curve(&mut paper, points, color, "");
            points.iter().for_each(|&at| dot(&mut paper, at, color));
        }
    }
    Ok(paper.end())
}

/// The share of a dense convolution's products that remains: the formula as lines, counted layers as dots.
pub(super) fn separable() -> Result<String> {
    let filters: Vec<usize> = (3..=10).map(|power| 1 << power).collect();
    let mut paper = Paper::new([720.0, 360.0], "What separable convolutions cost of dense ones");
    let ends = [filters[0], filters[filters.len() - 1]].map(|n| n as f64);
    let xs = Axis::around(ends.into_iter(), [70.0, 560.0]);
    let ys = Axis::around([1.0 / 64.0, 0.25].into_iter(), [310.0, 30.0]);
    frame(&mut paper, [&xs, &ys], ["", ""]);
    paper.words([315.0, 348.0], 13.0, "filters N");
    paper.note([230.0, 52.0], 13.0, "MACs, depthwise and pointwise, over dense");
    for (taps, color) in [(3, BLUE), (5, ORANGE), (7, GREEN)] {
        let share = |n: f64| 1.0 / n + 1.0 / (taps * taps) as f64;
        let points = (0..=56).map(|i| ((f64::from(i) / 8.0) + 3.0).exp2());
        let points: Vec<[f64; 2]> = points.map(|n| [xs.at(n), ys.at(share(n))]).collect();
        curve(&mut paper, &points, color, "");
        let limit = ys.at(share(f64::INFINITY));
        curve(&mut paper, &[[70.0, limit], [560.0, limit]], color, " stroke-dasharray=\"3 4\"");
        for &n in &filters {
            let [dense, pair] = [layer(n, taps, false)?, layer(n, taps, true)?];
            dot(&mut paper, [xs.at(n as f64), ys.at(pair / dense)], color);
        }
        let words = format!("{taps}x{taps}: 1/N + 1/{}", taps * taps);
        paper.colored([568.0, limit - 2.0], 13.0, color, &words);
    }
    Ok(paper.end())
}

/// Multiply-accumulates of a convolution of 32 channels, dense or separated.
fn layer(filters: usize, taps: usize, separated: bool) -> Result<f64> {
    let mut b = GraphBuilder::new(32)?;
    let image = b.input();
    let xs = if separated {
        let xs = b.conv("dw", image, Conv::depthwise(32, taps, 1), Bias::Without)?;
        b.conv("pw", xs, Conv::pointwise(filters), Bias::Without)?
    } else {
        b.conv("conv", image, Conv::dense(filters, taps, 1), Bias::Without)?
    };
    b.output("features", xs)?;
    Ok(taper_cost::macs(&b.build()?, 56, 56)?.0 as f64)
}

/// Bytes that live, unit by unit: inference, and a training step.
pub(super) fn memory() -> Result<String> {
    let graph = network(NETWORK)?;
    let shape = [1, SIDE, SIDE];
    let trained = vec![true; graph.params().len()];
    let inference = inference_memory(&graph, &["logits"], shape, 1)?.timeline;
    let training = training_memory(&graph, &["logits"], &trained, shape, SLOTS)?.timeline;
    let mut paper = Paper::new([860.0, 300.0], "Memory of MobileNetV2 over time, one image");
    over_time(&mut paper, [70.0, 320.0], "inference, unit by unit", &inference);
    over_time(&mut paper, [450.0, 380.0], "training step: forward, then back", &training);
    Ok(paper.end())
}

fn over_time(paper: &mut Paper, [left, width]: [f64; 2], title: &str, timeline: &Timeline) {
    let (top, bottom) = (70.0, 250.0);
    let (count, peak) = (timeline.moments.len(), timeline.peak_bytes());
    let column = width / count as f64;
    paper.note([left, 30.0], 14.0, title);
    for (i, moment) in timeline.moments.iter().enumerate() {
        let height = (bottom - top) * moment.live.0 as f64 / peak.0 as f64;
        let color = match (i == timeline.peak, moment.pass) {
            (true, _) => ORANGE,
            (false, Pass::Forward | Pass::Again) => BLUE,
            (false, Pass::Backward) => PURPLE,
        };
        rect(paper, [left + column * i as f64, bottom - height], [column, height], color, 0.75);
    }
    paper.put(line([left, bottom], [left + width, bottom], GRAY, ""));
    let at = left + column * timeline.peak as f64;
    let anchor = if at > left + width / 3.0 { "middle" } else { "start" };
    let name = timeline.moments.get(timeline.peak).map_or("", |moment| &moment.name);
    let words = text([at, top - 8.0], anchor, 12.0, &format!("{peak} at {name}"));
    paper.put(format!("<g fill=\"{ORANGE}\">{words}</g>"));
    let tensors = timeline.at_peak.iter().take(2).map(|tensor| tensor.name.as_str());
    let tensors = tensors.collect::<Vec<_>>().join(", ");
    paper.note([left, bottom + 20.0], 12.0, &format!("largest at the peak: {tensors}"));
}

/// Shares of parameters, multiply-accumulates and activations by the size of the map they make.
pub(super) fn parts() -> Result<String> {
    let sides = [224, 112, 56, 28, 14, 7, 1];
    let mut paper = Paper::new([860.0, 350.0], "Where costs lie, by the size of maps");
    paper.note([24.0, 28.0], 13.0, "shares by height and width of what a layer puts out");
    for (row, name) in ["mobilenetv2_100", "resnet50", "vgg16"].into_iter().enumerate() {
        let graph = network(name)?;
        let cost = taper_cost::of(&graph, [SIDE, SIDE])?;
        let mut sums = [[0; 7]; 3];
        for id in graph.node_ids().skip(1) {
            let side = cost.extents[id.index()].size()[0];
            let part = sides.iter().position(|it| *it == side).context("a size of its own")?;
            let node = cost.node(id);
            let counts = [node.params.0, node.macs().0, node.activations.0];
            sums.iter_mut().zip(counts).for_each(|(sums, count)| sums[part] += count);
        }
        let top = 50.0 + 98.0 * row as f64;
        paper.note([24.0, top + 45.0], 13.0, name);
        let kinds = ["parameters", "MACs", "activations"];
        for (i, (sums, kind)) in sums.iter().zip(kinds).enumerate() {
            let y = top + 28.0 * i as f64;
            paper.put(text([232.0, y + 16.0], "end", 12.0, kind));
            let (all, mut x) = (sums.iter().sum::<u64>() as f64, 240.0);
            for (part, &sum) in sums.iter().enumerate() {
                let width = 600.0 * sum as f64 / all;
                rect(&mut paper, [x, y], [width, 22.0], BLUE, 0.08 + 0.1 * part as f64);
                if width > 28.0 {
                    paper.words([x + width / 2.0, y + 15.0], 11.0, &sides[part].to_string());
                }
                x += width;
            }
        }
    }
    Ok(paper.end())
}

/// Both axes with a line for every power of two, and what follows its number.
fn frame(paper: &mut Paper, [xs, ys]: [&Axis; 2], units: [&str; 2]) {
    let ([left, right], [bottom, top]) = (xs.ends().map(|x| xs.at(x)), ys.ends().map(|y| ys.at(y)));
    for x in xs.ticks() {
        paper.put(line([xs.at(x), bottom], [xs.at(x), top], "#dddddd", ""));
        paper.words([xs.at(x), bottom + 18.0], 12.0, &format!("{}{}", units[0], written(x)));
    }
    for y in ys.ticks() {
        paper.put(line([left, ys.at(y)], [right, ys.at(y)], "#dddddd", ""));
        let words = format!("{}{}", units[1], written(y));
        paper.put(text([left - 6.0, ys.at(y) + 4.0], "end", 12.0, &words));
    }
}

/// A power of two.
fn written(power: f64) -> String {
    if power < 1.0 { format!("1/{}", 1.0 / power) } else { power.to_string() }
}

fn curve(paper: &mut Paper, points: &[[f64; 2]], color: &str, more: &str) {
    let path: Vec<String> = points.iter().map(|[x, y]| format!("{x:.1} {y:.1}")).collect();
    let path = path.join("L");
    paper.put(format!(
        "<path d=\"M{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"{more}/>"
    ));
}

fn dot(paper: &mut Paper, [x, y]: [f64; 2], color: &str) {
    paper.put(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>"));
}

fn rect(paper: &mut Paper, [x, y]: [f64; 2], [w, h]: [f64; 2], color: &str, opacity: f64) {
    paper.put(format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{color}\" \
         fill-opacity=\"{opacity:.2}\"/>"
    ));
}
