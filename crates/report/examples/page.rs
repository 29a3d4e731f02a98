//! A page with every kind of chart, and each chart as a picture: `cargo run -p taper-report --example page -- FOLDER`.
//!
//! The network is shaped like MobileNetV2; its times, and the networks it is compared with, are made up.

use std::error::Error;
use std::path::PathBuf;

use taper_report::{
    Area, Bandwidth, Block, Cell, Chart, Dimension, Layer, Lines, Origin, Page, Point, Roofline,
    RooflinePoint, Scale, Scatter, Section, Series, Swept, Table, Tile, Treemap, Unit,
};

/// Kernels, in the order of their colors on the whole page.
const KERNELS: [&str; 4] = ["pointwise", "depthwise", "dense", "linear"];

/// What a machine can do: GFLOP/s, and GB/s of its memory.
const PEAK: f64 = 230.0;
const MEMORY: f64 = 24.0;

/// A convolution or a fully connected layer.
struct Operation {
    scope: String,
    block: String,
    name: &'static str,
    kernel: &'static str,
    macs: f64,
    params: f64,
    /// Of what it reads and writes.
    input: f64,
    output: f64,
}

impl Operation {
    fn intensity(&self) -> f64 {
        2.0 * self.macs / (self.input + self.output + 4.0 * self.params)
    }

    fn milliseconds(&self) -> f64 {
        let share = if self.kernel == "depthwise" { 0.45 } else { 0.8 };
        let speed = share * PEAK.min(MEMORY * self.intensity());
        2.0 * self.macs / (1e6 * speed)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    std::fs::create_dir_all(&folder)?;
    let page = page();
    std::fs::write(folder.join("page.html"), page.to_html()?)?;
    for (i, chart) in charts(&page).into_iter().enumerate() {
        std::fs::write(folder.join(format!("chart-{i:02}.svg")), chart.to_svg()?)?;
    }
    Ok(())
}

/// All charts of a page.
pub(crate) fn charts(page: &Page) -> Vec<&Chart> {
    let blocks = page.sections.iter().flat_map(|section| &section.blocks);
    let charts = blocks.filter_map(|block| match block {
        Block::Charts { charts, .. } => Some(charts),
        _ => None,
    });
    charts.flatten().collect()
}

/// The page.
pub(crate) fn page() -> Page {
    let units = units();
    let section = |title: &str, note: &str, blocks: Vec<Block>| Section {
        title: title.to_owned(),
        note: note.to_owned(),
        blocks,
    };
    Page {
        title: "What mobilenetv2_100 costs".to_owned(),
        note: "One picture of 224 × 224 pixels, one thread. Times are made up.".to_owned(),
        sections: vec![
            section(
                "By layer",
                "300 M MACs, 3,504,872 parameters",
                vec![treemaps(&units), layers(&units)],
            ),
            section("Memory", "at inference", vec![memory(&units)]),
            section("Speed", "beside what the machine can do", vec![roofline(&units)]),
            section(
                "What if",
                "the picture were smaller, or the network narrower",
                vec![sweeps(), choices()],
            ),
            section("Among others", "111 networks", vec![zoo()]),
        ],
    }
}

/// MobileNetV2's convolutions. Source: Sandler et al. 2018, table 2.
fn units() -> Vec<Operation> {
    let mut units = Vec::new();
    let mut side = 112.0;
    let mut conv = |scope: &str,
                    block: &str,
                    name,
                    kernel,
                    [from, to]: [f64; 2],
                    [taps, groups]: [f64; 2],
                    [side, out]: [f64; 2]| {
        let weights = taps * taps * from / groups * to;
        let (scope, block) = (scope.to_owned(), block.to_owned());
        let [input, output] = [4.0 * from * side * side, 4.0 * to * out * out];
        units.push(Operation {
            scope,
            block,
            name,
            kernel,
            macs: weights * out * out,
            params: weights + to,
            input,
            output,
        });
    };
    conv("conv_stem", "", "conv_stem", "dense", [3.0, 32.0], [3.0, 1.0], [224.0, 112.0]);
    let stages = [
        (1.0, 16.0, 1, 1.0),
        (6.0, 24.0, 2, 2.0),
        (6.0, 32.0, 3, 2.0),
        (6.0, 64.0, 4, 2.0),
        (6.0, 96.0, 3, 1.0),
        (6.0, 160.0, 3, 2.0),
        (6.0, 320.0, 1, 1.0),
    ];
    let mut channels = 32.0;
    for (i, (expand, out, repeats, stride)) in stages.into_iter().enumerate() {
        for j in 0..repeats {
            let scope = format!("blocks.{i}");
            let block = format!("{scope}.{j}");
            let wide = channels * expand;
            let next = if j == 0 { side / stride } else { side };
            if expand > 1.0 {
                conv(
                    &scope,
                    &block,
                    "conv_pw",
                    "pointwise",
                    [channels, wide],
                    [1.0, 1.0],
                    [side, side],
                );
            }
            conv(&scope, &block, "conv_dw", "depthwise", [wide, wide], [3.0, wide], [side, next]);
            conv(&scope, &block, "conv_pwl", "pointwise", [wide, out], [1.0, 1.0], [next, next]);
            (channels, side) = (out, next);
        }
    }
    conv("conv_head", "", "conv_head", "pointwise", [320.0, 1280.0], [1.0, 1.0], [7.0, 7.0]);
    conv("classifier", "", "classifier", "linear", [1280.0, 1000.0], [1.0, 1.0], [1.0, 1.0]);
    units
}

/// Scopes of blocks of layers, by a measure.
fn tiles(units: &[Operation], measure: impl Fn(&Operation) -> f64) -> Vec<Tile> {
    let mut scopes: Vec<Tile> = Vec::new();
    for unit in units {
        let leaf = Tile::leaf(unit.name, unit.kernel, measure(unit));
        if unit.block.is_empty() {
            scopes.push(leaf);
            continue;
        }
        if scopes.last().is_none_or(|scope| scope.name != unit.scope) {
            scopes.push(Tile::scope(&unit.scope, Vec::new()));
        }
        let Some(scope) = scopes.last_mut() else { continue };
        if scope.children.last().is_none_or(|block| block.name != unit.block) {
            scope.children.push(Tile::scope(&unit.block, Vec::new()));
        }
        if let Some(block) = scope.children.last_mut() {
            block.children.push(leaf);
        }
    }
    scopes
}

fn kernels() -> Vec<String> {
    KERNELS.map(str::to_owned).to_vec()
}

fn treemaps(units: &[Operation]) -> Block {
    let treemap = |title: &str, unit, tiles| {
        Chart::from(Treemap { title: title.to_owned(), unit, classes: kernels(), tiles })
    };
    Block::Charts {
        title: "Where it goes".to_owned(),
        note: "Each rectangle is a layer in its block; point at one for its numbers.".to_owned(),
        charts: vec![
            treemap("Multiply-accumulates", Unit::Count, tiles(units, |unit| unit.macs)),
            treemap("Parameters", Unit::Count, tiles(units, |unit| unit.params)),
            treemap("Time", Unit::Milliseconds, tiles(units, Operation::milliseconds)),
        ],
        table: None,
    }
}

fn layers(units: &[Operation]) -> Block {
    let time: f64 = units.iter().map(Operation::milliseconds).sum();
    let row = |unit: &Operation| {
        let name = if unit.block.is_empty() {
            unit.name.to_owned()
        } else {
            format!("{}.{}", unit.block, unit.name)
        };
        vec![
            Cell::Words(name),
            Cell::Words(unit.kernel.to_owned()),
            Cell::Number(unit.macs, Unit::Count),
            Cell::Number(unit.params, Unit::Integer),
            Cell::Number(unit.output, Unit::Bytes),
            Cell::Number(unit.intensity(), Unit::FlopPerByte),
            Cell::Number(unit.milliseconds(), Unit::Milliseconds),
            Cell::Share(unit.milliseconds() / time),
        ]
    };
    let head =
        ["layer", "kernel", "MACs", "parameters", "output", "intensity", "time", "share of time"];
    let table = Table {
        head: head.map(str::to_owned).to_vec(),
        rows: units.iter().take(12).map(row).collect(),
    };
    Block::Table { title: "Layer by layer".to_owned(), note: "The first twelve.".to_owned(), table }
}

fn memory(units: &[Operation]) -> Block {
    let layer = |name: &str, values: Vec<f64>| Layer { name: name.to_owned(), values };
    let weights: f64 = 4.0 * units.iter().map(|unit| unit.params).sum::<f64>();
    let steps = units.iter().map(|unit| {
        if unit.block.is_empty() {
            unit.name.to_owned()
        } else {
            format!("{}.{}", unit.block, unit.name)
        }
    });
    let area = Area {
        title: "Bytes held while each unit runs".to_owned(),
        unit: Unit::Bytes,
        step: "unit".to_owned(),
        steps: steps.collect(),
        layers: vec![
            layer("weights", vec![weights; units.len()]),
            layer("input", units.iter().map(|unit| unit.input).collect()),
            layer("output", units.iter().map(|unit| unit.output).collect()),
        ],
    };
    let row = |name: &str, bytes: f64| {
        vec![Cell::Words(name.to_owned()), Cell::Number(bytes, Unit::Bytes)]
    };
    let table = Table {
        head: vec!["what makes the peak".to_owned(), "bytes".to_owned()],
        rows: vec![
            row("weights", weights),
            row("blocks.1.0.conv_pw, output", 4_816_896.0),
            row("blocks.1.0.conv_dw, output", 1_204_224.0),
            row("blocks.0.0, output", 802_816.0),
        ],
    };
    Block::Charts {
        title: "Memory over time".to_owned(),
        note: String::new(),
        charts: vec![area.into()],
        table: Some(table),
    }
}

fn roofline(units: &[Operation]) -> Block {
    let time: f64 = units.iter().map(Operation::milliseconds).sum();
    let point = |unit: &Operation, origin, factor: f64| {
        let speed = factor * 2.0 * unit.macs / (1e6 * unit.milliseconds());
        let name = format!("{} {}", unit.block, unit.name);
        let share = unit.milliseconds() / time;
        RooflinePoint {
            name,
            class: unit.kernel.to_owned(),
            intensity: unit.intensity(),
            speed,
            share,
            origin,
        }
    };
    let roofline = |title: &str, origin, factor: f64| Roofline {
        title: title.to_owned(),
        peak: PEAK,
        bandwidths: vec![
            Bandwidth { name: "copy of 512 MiB".to_owned(), gigabytes_per_second: MEMORY },
            Bandwidth { name: "copy of 256 KiB".to_owned(), gigabytes_per_second: 88.0 },
        ],
        classes: kernels(),
        points: units.iter().map(|unit| point(unit, origin, factor)).collect(),
    };
    Block::Charts {
        title: "Roofline".to_owned(),
        note: "The area of a dot is its share of the time.".to_owned(),
        charts: vec![
            roofline("Measured", Origin::Measured, 1.0).into(),
            roofline("Predicted", Origin::Predicted, 0.9).into(),
        ],
        table: None,
    }
}

fn sweeps() -> Block {
    let sizes: Vec<f64> = (0..9).map(|i| 96.0 + 20.0 * f64::from(i)).collect();
    let lines = |title: &str, unit, measure: &dyn Fn(f64, f64) -> f64| {
        let series = [0.5, 1.0, 1.4].map(|width| Series {
            name: format!("width {width}"),
            values: sizes.iter().map(|size| measure(*size / 224.0, width)).collect(),
        });
        let swept = Swept::Numbers {
            name: "image size".to_owned(),
            unit: Unit::Number,
            scale: Scale::Linear,
            values: sizes.clone(),
        };
        Chart::from(Lines {
            title: title.to_owned(),
            unit,
            scale: Scale::Linear,
            swept,
            series: series.to_vec(),
        })
    };
    Block::Charts {
        title: "Image size and width".to_owned(),
        note: String::new(),
        charts: vec![
            lines("Parameters", Unit::Count, &|_, width| 1.3e6 + 2.2e6 * width * width),
            lines("MACs", Unit::Count, &|size, width| 3e8 * size * size * width * width),
            lines("Peak of memory", Unit::Bytes, &|size, width| {
                6.7e6 * size * size * width + 1.4e7
            }),
            lines("Time", Unit::Milliseconds, &|size, width| 0.4 + 4.1 * size * size * width),
        ],
        table: None,
    }
}

fn choices() -> Block {
    let values = ["stride at once", "stride in pairs", "max pool", "mean pool", "blur pool"]
        .map(str::to_owned)
        .to_vec();
    let series = vec![Series { name: "time".to_owned(), values: vec![4.2, 5.1, 6.4, 6.1, 7.9] }];
    let swept = Swept::Categories { name: "how it shrinks".to_owned(), values };
    let lines = Lines {
        title: "Time".to_owned(),
        unit: Unit::Milliseconds,
        scale: Scale::Linear,
        swept,
        series,
    };
    let batches: Vec<f64> = (0..8).map(|i| f64::from(1 << i)).collect();
    let series = vec![Series {
        name: "pictures".to_owned(),
        values: batches.iter().map(|n| 240.0 * n / (n + 1.5)).collect(),
    }];
    let swept = Swept::Numbers {
        name: "batch".to_owned(),
        unit: Unit::Number,
        scale: Scale::Log2,
        values: batches,
    };
    let batch = Lines {
        title: "Pictures a second".to_owned(),
        unit: Unit::Number,
        scale: Scale::Linear,
        swept,
        series,
    };
    Block::Charts {
        title: "Choices".to_owned(),
        note: String::new(),
        charts: vec![lines.into(), batch.into()],
        table: None,
    }
}

fn zoo() -> Block {
    let families = [
        "MobileNetV2",
        "MobileNetV3",
        "MobileNetV4",
        "EfficientNet",
        "RepViT",
        "ResNet",
        "VGG",
        "LCNet",
    ];
    let point = |i: usize| {
        let (family, step) = (i % families.len(), (i / families.len()) as f64);
        let noise = |seed: usize| ((i * 7919 + seed * 104_729) % 997) as f64 / 997.0;
        let x = (0.7 + 0.25 * family as f64) * (1.0 + noise(1)) * 1.32f64.powf(step);
        let y = 56.0
            + 8.5 * (x * (0.6 + 0.9 * noise(2))).ln().max(0.0)
            + if family == 6 { -6.0 } else { 0.0 };
        let name = format!("{}_{:03}.ra_in1k", families[family].to_lowercase(), 10 * i);
        Point { name, class: families[family].to_owned(), x, y: y.min(86.0) }
    };
    let scatter = Scatter {
        title: "Accuracy over latency".to_owned(),
        across: Dimension {
            name: "milliseconds a picture, batch 1, one thread".to_owned(),
            unit: Unit::Milliseconds,
            scale: Scale::Log10,
        },
        upward: Dimension {
            name: "top-1 on ImageNet".to_owned(),
            unit: Unit::Percent,
            scale: Scale::Linear,
        },
        classes: families.map(str::to_owned).to_vec(),
        points: (0..111).map(point).collect(),
    };
    Block::Charts {
        title: "Accuracy and latency".to_owned(),
        note: "Up and to the left is better.".to_owned(),
        charts: vec![scatter.into()],
        table: None,
    }
}
