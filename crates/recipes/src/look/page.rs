//! What was seen, in words and pictures on one page.
//!
//! Above: `look`. Below: `taper_report`. Not here: the page's markup (`taper_report`), files (`look::files`).

use std::path::Path;

use taper_graph::Graph;
use taper_model::Model;
use taper_report::{Bar, Block, Figure, Page, Picture, Section};

use crate::look::inspector::{Channel, Inspection};
use crate::look::layers::{Layer, Stem};

/// The page, with the stem's filters before the pictures.
pub(crate) fn page(
    name: &str,
    model: &Model,
    filters: Option<Section>,
    seen: Vec<Section>,
) -> Page {
    let [h, w] = model.preprocess().input_size;
    let note = format!(
        "What the network makes of each picture, seen at {w} × {h} pixels: the classes it names, the places that speak for \
         one of them, and feature maps on the way. A feature map shows one channel, from its smallest value (dark) to its \
         largest (yellow). The channels of a layer that are strongest come first: the number beside a channel is the mean of its \
         absolute values."
    );
    let sections = filters.into_iter().chain(seen).collect();
    Page { title: format!("A look into {name}"), note, sections }
}

/// The stem's filters.
pub(crate) fn filters(stem: &Stem<'_>, pictures: &[Picture]) -> Section {
    let [out, kh, kw] = stem.shape;
    let figures = pictures
        .iter()
        .enumerate()
        .map(|(i, picture)| Figure { picture: picture.clone(), caption: format!("filter {i}") });
    let shown = if pictures.len() < out {
        format!("The first {} of {out} filters", pictures.len())
    } else {
        format!("{out} filters")
    };
    let note = format!(
        "{shown} of {kh} × {kw} taps over red, green and blue, each in the colors of the patch that it answers to most; gray \
         stands for zero."
    );
    let tiles = Block::Tiles { title: stem.name.to_owned(), note, figures: figures.collect() };
    let title = "The stem’s filters".to_owned();
    Section { title, note: "what the first layer looks for".to_owned(), blocks: vec![tiles] }
}

/// One picture.
pub(crate) fn picture(
    image: &str,
    graph: &Graph,
    layers: &[Layer],
    evidence: &Layer,
    seen: &Inspection,
) -> Section {
    let maps = layers.iter().zip(&seen.layers);
    let maps = maps.map(|(layer, channels)| tiles(graph, layer, channels));
    let blocks = std::iter::once(spread(evidence, seen)).chain(maps).collect();
    let name = Path::new(image).file_name().map(|name| name.to_string_lossy().into_owned());
    Section { title: name.unwrap_or_default(), note: image.to_owned(), blocks }
}

fn spread(evidence: &Layer, seen: &Inspection) -> Block {
    let class = &seen.class.class;
    let place = format!("Grad-CAM at {}, {}", evidence.name, sizes(evidence.shape));
    let heat = if seen.is_warm {
        format!(
            "What speaks for “{class}”: red the most, blue little, a line around what has half of the most. {place}."
        )
    } else {
        format!("Nothing in the picture speaks for “{class}”. {place}.")
    };
    let figure = |picture: &Picture, caption: String| Figure { picture: picture.clone(), caption };
    let input = figure(&seen.input, "The picture as the network sees it.".to_owned());
    let bars = seen.predictions.iter();
    let bars = bars.map(|found| Bar { label: found.class.clone(), share: found.probability });
    let numbers = seen.numbers.iter().map(|number| format!("{}: {:.3}", number.name, number.value));
    let numbers: Vec<String> = numbers.collect();
    let heading = match numbers.is_empty() {
        true => "What it shows".to_owned(),
        false => numbers.join(", "),
    };
    Block::Spread { figures: vec![input, figure(&seen.heat, heat)], heading, bars: bars.collect() }
}

fn tiles(graph: &Graph, layer: &Layer, channels: &[Channel]) -> Block {
    let node = graph.node(layer.node).name();
    let title =
        if layer.name == node { node.to_owned() } else { format!("{} · {node}", layer.name) };
    let note = format!("{}, {} shown", sizes(layer.shape), channels.len());
    let figures = channels.iter().map(|channel| Figure {
        picture: channel.picture.clone(),
        caption: format!("{} · {}", channel.index, short(channel.strength)),
    });
    Block::Tiles { title, note, figures: figures.collect() }
}

fn sizes([h, w, c]: [usize; 3]) -> String {
    format!("{h} × {w} × {c} channels")
}

/// Three digits that count.
fn short(number: f64) -> String {
    match number {
        large if large >= 100.0 => format!("{large:.0}"),
        medium if medium >= 10.0 => format!("{medium:.1}"),
        small if small >= 0.01 || small == 0.0 => format!("{small:.2}"),
        tiny => format!("{tiny:.0e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let words = [1234.5, 12.34, 1.234, 0.0, 0.000_12, f64::NAN].map(short);
        assert_eq!(words, ["1234", "12.3", "1.23", "0.00", "1e-4", "NaN"]);
    }
}
