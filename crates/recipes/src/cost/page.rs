//! Costs as one HTML page: where they come from, memory over time, the roofline, what is swept, networks side by side.
//!
//! Above: `prune::page`, `ranks::page`, `run_report`, the binary. Below: `ranks`, `report`, `sweep`, `taper_report`, `taper_files`. Not here: drawing (`taper_report`).

use std::path::Path;

use taper_cost::UnitKind;
use taper_report::{
    Area, Bandwidth, Block, Cell, Chart, Dimension, Layer, Lines, Origin, Page, Point, Roofline,
    RooflinePoint, Scale, Scatter, Section, Series, Swept, Table, Tile, Treemap, Unit,
};

use super::ranks::RanksCost;
use super::report::{CostReport, MomentCost, ScopeRow};
use super::sweep::{CostSummary, Saving, SweepReport};
use crate::error::{Error, Result};

/// Kinds of units that have a color of their own; the others share one.
const CLASSES: [&str; 5] = ["pointwise", "depthwise", "dense", "linear", "other"];

/// Writes a page about one network.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn cost_page(
    path: &Path,
    report: &CostReport,
    sweeps: &[SweepReport],
    savings: &[Saving],
    ranks: Option<&RanksCost>,
) -> Result<()> {
    let [h, w] = report.image_size;
    let mut sections = vec![section("Where it goes", "by scope", vec![treemaps(report)])];
    sections.push(section("Memory over time", "", memory(report)));
    sections.extend(roofline(report).map(|chart| {
        let note = "predicted; a dot on the line would be as fast as the machine can be";
        section("Roofline", note, vec![charts("", vec![chart], None)])
    }));
    let swept = sweeps.iter().flat_map(|sweep| {
        let table = summaries(&sweep.factor, &rows(sweep));
        let table = Block::Table { title: String::new(), note: String::new(), table };
        [charts(&sweep.factor, lines(sweep), None), table]
    });
    let swept: Vec<Block> = swept.collect();
    if !swept.is_empty() {
        sections.push(section("What if", "one factor changed, all else as it is", swept));
    }
    sections.extend(ranks.map(super::ranks::section));
    if !savings.is_empty() {
        let rows: Vec<_> = savings.iter().map(|it| (it.name.as_str(), &it.saved)).collect();
        let table = summaries("without", &rows);
        let block = Block::Table { title: String::new(), note: String::new(), table };
        sections.push(section("What leaving it out would save", "", vec![block]));
    }
    sections.push(section("Layers", "", vec![layers(report)]));
    let page = Page {
        title: report.model.clone(),
        note: format!(
            "{h}x{w}, batch {}, threads {}: {} parameters, {} multiply-accumulates an image, {} of weights, {} at once between layers{}",
            report.batch,
            report.threads,
            Unit::Count.format(report.params as f64),
            Unit::Count.format(report.macs as f64),
            Unit::Bytes.format(report.memory.weights_bytes as f64),
            Unit::Bytes.format(report.peak_activation_bytes as f64),
            report.time.as_ref().map_or_else(String::new, |time| format!(
                ", {} a batch and {} a training step predicted on {}",
                Unit::Milliseconds.format(time.ms),
                Unit::Milliseconds.format(time.training_ms),
                time.on
            )),
        ),
        sections,
    };
    write(path, &page)
}

/// Writes a page that lays networks side by side: accuracy over time, or over multiply-accumulates without a calibration.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn comparison_page(path: &Path, reports: &[CostReport]) -> Result<()> {
    let mut blocks = Vec::new();
    let has_time = reports.iter().all(|report| report.time.is_some());
    let (name, unit) = if has_time {
        ("predicted time of a batch", Unit::Milliseconds)
    } else {
        ("multiply-accumulates", Unit::Count)
    };
    let x = |report: &CostReport| match &report.time {
        Some(time) if has_time => time.ms,
        _ => report.macs as f64,
    };
    let points: Vec<Point> = reports
        .iter()
        .filter_map(|report| {
            let name = report.model.clone();
            let (x, y) = (x(report), 100.0 * report.top1?);
            Some(Point { class: family(&name), name, x, y })
        })
        .collect();
    if !points.is_empty() {
        let mut classes: Vec<String> = points.iter().map(|point| point.class.clone()).collect();
        classes.sort();
        classes.dedup();
        let scatter = Scatter {
            title: format!("Top-1 over {name}"),
            across: Dimension { name: name.to_owned(), unit, scale: Scale::Log10 },
            upward: Dimension {
                name: "top-1 on ImageNet".to_owned(),
                unit: Unit::Percent,
                scale: Scale::Linear,
            },
            classes,
            points,
        };
        blocks.push(charts("", vec![scatter.into()], None));
    }
    let costs: Vec<CostSummary> = reports.iter().map(CostSummary::of).collect();
    let names = reports.iter().map(|report| report.model.as_str());
    let table = summaries("network", &names.zip(&costs).collect::<Vec<_>>());
    blocks.push(Block::Table { title: String::new(), note: String::new(), table });
    let page = Page {
        title: "Networks side by side".to_owned(),
        note: reports
            .iter()
            .find_map(|report| report.time.as_ref())
            .map_or_else(String::new, |time| format!("times predicted on {}", time.on)),
        sections: vec![section("Accuracy and cost", "", blocks)],
    };
    write(path, &page)
}

pub(crate) fn write(path: &Path, page: &Page) -> Result<()> {
    let html = page.to_html().map_err(|source| Error::Draw { source })?;
    taper_files::replace(path, |file| file.write_all(html.as_bytes()))
        .map_err(|source| Error::File { action: "write", path: path.to_owned(), source })
}

pub(crate) fn section(title: &str, note: &str, blocks: Vec<Block>) -> Section {
    Section { title: title.to_owned(), note: note.to_owned(), blocks }
}

pub(crate) fn charts(title: &str, charts: Vec<Chart>, table: Option<Table>) -> Block {
    Block::Charts { title: title.to_owned(), note: String::new(), charts, table }
}

/// The letters that a name begins with: `mobilenetv2` of `mobilenetv2_100.tv_in1k`.
fn family(name: &str) -> String {
    let name = name.strip_prefix("tf_").unwrap_or(name);
    name.split(['_', '.']).next().unwrap_or_default().to_owned()
}

pub(crate) fn treemaps(report: &CostReport) -> Block {
    let kinds = Kinds::of(report);
    let treemap = |title: &str, unit: Unit, value: &dyn Fn(&ScopeRow) -> f64| Treemap {
        title: title.to_owned(),
        unit,
        classes: CLASSES.map(str::to_owned).to_vec(),
        tiles: report.tree.parts.iter().map(|part| tile(part, &kinds, value)).collect(),
    };
    let mut all: Vec<Chart> = vec![
        treemap("Multiply-accumulates", Unit::Count, &|row| row.macs as f64).into(),
        treemap("Parameters", Unit::Count, &|row| row.params as f64).into(),
    ];
    if report.time.is_some() {
        let ms = |row: &ScopeRow| row.ms.unwrap_or(0.0);
        all.push(treemap("Predicted time", Unit::Milliseconds, &ms).into());
    }
    charts("", all, None)
}

/// The class of every layer.
struct Kinds<'a> {
    report: &'a CostReport,
}

impl<'a> Kinds<'a> {
    fn of(report: &'a CostReport) -> Self {
        Self { report }
    }

    /// That of the unit that it begins; what a unit does beside its first layer has no color.
    fn class(&self, name: &str) -> &'static str {
        let unit = self.report.units.iter().find(|unit| unit.name == name);
        unit.map_or("other", |unit| class(unit.kind))
    }
}

fn class(kind: UnitKind) -> &'static str {
    match kind {
        UnitKind::Pointwise => "pointwise",
        UnitKind::Depthwise => "depthwise",
        UnitKind::Dense | UnitKind::Grouped | UnitKind::Transposed => "dense",
        UnitKind::Linear => "linear",
        _ => "other",
    }
}

fn tile(row: &ScopeRow, kinds: &Kinds<'_>, value: &dyn Fn(&ScopeRow) -> f64) -> Tile {
    let name = row.name.rsplit('.').next().unwrap_or_default();
    if row.parts.is_empty() {
        Tile::leaf(name, kinds.class(&row.name), value(row))
    } else {
        let parts = row.parts.iter().map(|part| tile(part, kinds, value)).collect();
        Tile::scope(if row.name.contains('.') { name } else { &row.name }, parts)
    }
}

fn memory(report: &CostReport) -> Vec<Block> {
    let area = |title: &str, moments: &[MomentCost]| Area {
        title: title.to_owned(),
        unit: Unit::Bytes,
        step: "unit".to_owned(),
        steps: moments.iter().map(|moment| moment.name.clone()).collect(),
        layers: vec![Layer {
            name: "live tensors".to_owned(),
            values: moments.iter().map(|moment| moment.bytes as f64).collect(),
        }],
    };
    let peak = |tensors: &[super::LiveTensorCost]| Table {
        head: vec!["at the peak".to_owned(), "size".to_owned()],
        rows: tensors
            .iter()
            .map(|tensor| {
                let of = if tensor.is_gradient { "gradient of " } else { "" };
                let name = Cell::Words(format!("{of}{}", tensor.name));
                vec![name, Cell::Number(tensor.bytes as f64, Unit::Bytes)]
            })
            .collect(),
    };
    let (inference, training) = (&report.memory, &report.training_memory);
    vec![
        charts(
            "Inference of an image",
            vec![area("Live tensors, unit by unit", &inference.timeline).into()],
            Some(peak(&inference.at_peak)),
        ),
        charts(
            "A training step",
            vec![area("Live tensors, forward and back", &training.timeline).into()],
            Some(peak(&training.at_peak)),
        ),
    ]
}

fn roofline(report: &CostReport) -> Option<Chart> {
    let roof = report.roof.as_ref()?;
    let total: f64 = report.units.iter().filter_map(|unit| unit.ms).sum();
    let named = |(size, per_second): &(u64, f64)| Bandwidth {
        name: format!("copy of {}", Unit::Bytes.format(*size as f64)),
        gigabytes_per_second: per_second / 1e9,
    };
    // The nearest cache and memory.
    let ends = [roof.copies.first(), roof.copies.last()];
    let bandwidths: Vec<Bandwidth> = ends.into_iter().flatten().map(named).collect();
    let point = |unit: &super::UnitRow| {
        let ms = unit.ms.filter(|&ms| unit.flops > 0 && unit.bytes > 0 && ms > 0.0)?;
        Some(RooflinePoint {
            name: unit.name.clone(),
            class: class(unit.kind).to_owned(),
            intensity: unit.flops as f64 / unit.bytes as f64,
            speed: unit.flops as f64 / ms / 1e6,
            share: if total > 0.0 { ms / total } else { 0.0 },
            origin: Origin::Predicted,
        })
    };
    let points = report.units.iter().filter_map(point);
    let roofline = Roofline {
        title: format!("Units under the roof of {} threads", roof.threads),
        peak: roof.flops_per_second / 1e9,
        bandwidths,
        classes: CLASSES.map(str::to_owned).to_vec(),
        points: points.collect(),
    };
    Some(roofline.into())
}

/// One chart a quantity.
fn lines(sweep: &SweepReport) -> Vec<Chart> {
    let numbers: Option<Vec<f64>> =
        sweep.rows.iter().map(|row| row.value.parse::<f64>().ok()).collect();
    let swept = || match &numbers {
        Some(values) => Swept::Numbers {
            name: sweep.factor.clone(),
            unit: Unit::Number,
            scale: Scale::Linear,
            values: values.clone(),
        },
        None => Swept::Categories {
            name: sweep.factor.clone(),
            values: sweep.rows.iter().map(|row| row.value.clone()).collect(),
        },
    };
    let chart = |title: &str, unit: Unit, of: &dyn Fn(&CostSummary) -> Option<f64>| {
        let values: Option<Vec<f64>> = sweep.rows.iter().map(|row| of(&row.cost)).collect();
        let series = vec![Series { name: title.to_owned(), values: values? }];
        let lines =
            Lines { title: title.to_owned(), unit, scale: Scale::Linear, swept: swept(), series };
        Some(Chart::from(lines))
    };
    let all = [
        chart("Parameters", Unit::Count, &|cost| Some(cost.params as f64)),
        chart("Multiply-accumulates", Unit::Count, &|cost| Some(cost.macs as f64)),
        chart("Live tensors at the peak", Unit::Bytes, &|cost| {
            Some(cost.peak_activation_bytes as f64)
        }),
        chart("Memory of a training step", Unit::Bytes, &|cost| Some(cost.training_bytes as f64)),
        chart("Predicted time", Unit::Milliseconds, &|cost| cost.ms),
        chart("Predicted time of a training step", Unit::Milliseconds, &|cost| cost.training_ms),
    ];
    all.into_iter().flatten().collect()
}

fn rows(sweep: &SweepReport) -> Vec<(&str, &CostSummary)> {
    sweep.rows.iter().map(|row| (row.value.as_str(), &row.cost)).collect()
}

fn summaries(head: &str, rows: &[(&str, &CostSummary)]) -> Table {
    let names = [
        head,
        "parameters",
        "MACs",
        "activations",
        "weights",
        "peak",
        "training",
        "ms",
        "step, ms",
    ];
    let ms = |ms: Option<f64>| ms.map_or(Cell::Empty, |ms| Cell::Number(ms, Unit::Number));
    let row = |(name, cost): &(&str, &CostSummary)| {
        vec![
            Cell::Words((*name).to_owned()),
            Cell::Number(cost.params as f64, Unit::Count),
            Cell::Number(cost.macs as f64, Unit::Count),
            Cell::Number(cost.activations as f64, Unit::Count),
            Cell::Number(cost.weights_bytes as f64, Unit::Bytes),
            Cell::Number(cost.peak_activation_bytes as f64, Unit::Bytes),
            Cell::Number(cost.training_bytes as f64, Unit::Bytes),
            ms(cost.ms),
            ms(cost.training_ms),
        ]
    };
    Table { head: names.map(str::to_owned).to_vec(), rows: rows.iter().map(row).collect() }
}

fn layers(report: &CostReport) -> Block {
    let names = [
        "layer",
        "operation",
        "output",
        "parameters",
        "MACs",
        "of MACs",
        "operations a byte",
        "ms",
    ];
    let row = |layer: &super::LayerCost| {
        let output: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
        let share = layer.macs as f64 / report.macs.max(1) as f64;
        vec![
            Cell::Words(layer.name.clone()),
            Cell::Words(layer.op.to_owned()),
            Cell::Words(output.join("x")),
            Cell::Number(layer.params as f64, Unit::Integer),
            Cell::Number(layer.macs as f64, Unit::Count),
            Cell::Share(share),
            Cell::Number(layer.intensity, Unit::Number),
            layer.ms.map_or(Cell::Empty, |ms| Cell::Number(ms, Unit::Number)),
        ]
    };
    // What only passes its input on is no row.
    let rows = report.layers.iter().filter(|layer| layer.flops > 0).map(row).collect();
    let table = Table { head: names.map(str::to_owned).to_vec(), rows };
    Block::Table { title: String::new(), note: String::new(), table }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CostNetwork, CostOptions, cost, parse_sweep, savings, sweep_costs};

    #[test]
    fn a_page_has_everything_about_a_network() {
        let options =
            CostOptions { image_size: Some([64, 64]), ..CostOptions::new("mobilenetv2_035") };
        let report = cost(&options).unwrap();
        let network = CostNetwork::open("mobilenetv2_035").unwrap();
        let sweep = parse_sweep("width=0.5,1").unwrap();
        let sweep = sweep_costs(&network, &options, None, &sweep).unwrap();
        let savings = savings(&network, &options, None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cost.html");
        cost_page(&path, &report, &[sweep], &savings, None).unwrap();
        let html = std::fs::read_to_string(&path).unwrap();
        for word in ["mobilenetv2_035", "Where it goes", "Memory over time", "What if", "blocks"] {
            assert!(html.contains(word), "{word}");
        }
        // This machine may be calibrated, or not.
        assert_eq!(html.contains("Roofline"), report.time.is_some());
        assert!(html.len() < 3 << 20, "{} bytes", html.len());
    }

    #[test]
    fn networks_stand_side_by_side_by_family() {
        assert_eq!(family("tf_efficientnet_lite0.in1k"), "efficientnet");
        assert_eq!(family("mobilenetv2_100"), "mobilenetv2");
        let report = |name: &str| cost(&CostOptions::new(name)).unwrap();
        let reports = [report("mobilenetv2_100.tv_in1k"), report("resnet18.tv_in1k")];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.html");
        comparison_page(&path, &reports).unwrap();
        let html = std::fs::read_to_string(&path).unwrap();
        assert!(html.contains("resnet18.tv_in1k") && html.contains("<svg"));
    }
}
