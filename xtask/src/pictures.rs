//! `cargo xtask pictures`: the drawings of `docs/convolution.md`, `docs/pooling.md`, `docs/efficient-architectures.md`, `docs/cost.md`, `docs/pruning.md` and `docs/augmentation.md`, as SVG in `docs/images`.
//!
//! Above: `main`. Below: `pictures::{augmentation, blocks, convolution, cost, edges, pooling, prune, windows}`. Not here: charts of measurements (`bench::roofline`).
//! Numbers in a drawing are computed by `taper_kernels::Reference`, sizes by `taper_graph`, costs by `taper_cost` and groups by `taper_prune`, so that no drawing
//! can contradict the code; a test draws all of them again and compares.

mod augmentation;
mod blocks;
mod convolution;
mod cost;
mod edges;
mod paper;
mod png;
mod pooling;
mod prune;
mod windows;

use anyhow::{Context, Result};

use crate::shell;

/// A drawing.
type Draw = fn() -> Result<String>;

/// Names of files, and what is in them.
const PICTURES: [(&str, Draw); 17] = [
    ("augmentation-samples.svg", augmentation::samples),
    ("convolution-sliding.svg", convolution::sliding),
    ("convolution-stride.svg", convolution::stride),
    ("convolution-dilation.svg", convolution::dilation),
    ("convolution-kinds.svg", convolution::kinds),
    ("convolution-field.svg", windows::field),
    ("convolution-edges.svg", edges::edges),
    ("pooling-values.svg", pooling::values),
    ("pooling-gradients.svg", pooling::gradients),
    ("pooling-windows.svg", windows::windows),
    ("architectures-blocks.svg", blocks::blocks),
    ("cost-factors.svg", cost::factors),
    ("cost-memory.svg", cost::memory),
    ("cost-parts.svg", cost::parts),
    ("cost-separable.svg", cost::separable),
    ("pruning-groups.svg", prune::bands),
    ("pruning-sum.svg", prune::sum),
];

/// Draws all of them.
pub(crate) fn write() -> Result<()> {
    for (name, draw) in PICTURES {
        let path = shell::root().join("docs/images").join(name);
        let svg = draw().with_context(|| format!("drawing {name}"))?;
        taper_files::replace(&path, |file| file.write_all(svg.as_bytes()))
            .with_context(|| format!("writing {}", path.display()))?;
        println!("docs/images/{name}");
    }
    // Schedules are of a crate with candle, which this program has not.
    let args = ["run", "--quiet", "--package", "taper-tests", "--example", "schedules", "--"];
    shell::cargo(&[&args[..], &["docs/images/training-schedules.svg"]].concat(), &[])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_drawings_in_docs_are_what_the_code_draws() {
        for (name, draw) in PICTURES {
            let path = shell::root().join("docs/images").join(name);
            let stored = fs::read_to_string(&path).unwrap_or_default();
            assert!(stored == draw().unwrap(), "{name} is stale: cargo xtask pictures");
        }
    }

    #[test]
    fn every_drawing_is_shown_with_a_description() {
        let root = shell::root();
        let pages = [
            "convolution",
            "pooling",
            "efficient-architectures",
            "cost",
            "pruning",
            "augmentation",
        ];
        let pages = pages.map(|page| {
            fs::read_to_string(root.join(format!("docs/{page}.md"))).unwrap_or_default()
        });
        for (name, _) in PICTURES {
            let shown = format!("](images/{name})");
            let line =
                pages.iter().flat_map(|page| page.lines()).find(|line| line.contains(&shown));
            let described =
                line.is_some_and(|line| line.starts_with("![") && line.len() > shown.len() + 20);
            assert!(described, "{name} is on no page, or without words");
        }
    }
}
