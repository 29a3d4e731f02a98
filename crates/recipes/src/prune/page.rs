//! Pruning as one HTML page: accuracy against cost, how much each group matters, channels before and after.
//!
//! Above: the binary. Below: `prune::{sweep, sensitivity}`, `cost::page`, `taper_report`. Not here: drawing (`taper_report`).

use std::path::Path;

use taper_graph::{Graph, NodeId, Op};
use taper_model::Model;
use taper_prune::{Groups, Protect};
use taper_report::{
    BandColumn, BandPiece, Bands, Block, Cell, Chart, Dimension, Lines, Page, Point, Scale,
    Scatter, Section, Series, Swept, Table, Unit,
};

use super::sensitivity::{GroupCut, SensitivityReport};
use super::sweep::{PointKind, SweepPoint, SweepReport};
use super::{PruneOptions, PruneReport};
use crate::cost::page::{charts, section, write};
use crate::error::Result;
use crate::setup;
use crate::source::ModelSource;

/// Writes a page about a network that was pruned: what it costs now, and what was cut where.
///
/// # Errors
/// [`Error::File`](crate::Error::File) if it cannot be written; as loading the models.
pub fn prune_page(path: &Path, options: &PruneOptions, report: &PruneReport) -> Result<()> {
    let (graph, _) = ModelSource::resolve(&options.tune.model)?.graph()?;
    let mut sections = vec![section("Before and after", "", won(report))];
    if let Some(model) = &report.model {
        let model = Model::load(model).map_err(setup::model)?;
        let bands = bands("Channels left", &graph, model.graph(), &options.protect)?;
        let blocks = vec![charts("", vec![bands], None), layers(report)];
        sections.push(section("What was cut where", "empty: removed; gray: may not go", blocks));
    }
    let page = Page {
        title: format!("{} pruned", options.tune.model),
        note: format!("chosen by {}", report.chosen_by),
        sections,
    };
    write(path, &page)
}

/// Writes a page about a sweep, a sensitivity, or both.
///
/// # Errors
/// [`Error::File`](crate::Error::File) if it cannot be written; as loading the models.
pub fn sweep_page(
    path: &Path,
    options: &PruneOptions,
    sweep: Option<&SweepReport>,
    sensitivity: Option<&SensitivityReport>,
) -> Result<()> {
    let mut sections = Vec::new();
    if let Some(report) = sweep {
        let note = format!("of {} held-out pictures", report.images);
        sections.push(section("Accuracy against cost", &note, pareto(report)));
    }
    if let Some(report) = sensitivity {
        let note = format!(
            "a part of each group cut alone by {}, statistics of norms averaged again, nothing trained",
            report.criterion
        );
        sections.push(section("Sensitivity", &note, sensitivities(report)));
    }
    if let Some(report) = sweep {
        sections.push(channels(options, report)?);
    }
    let note = match (sweep, sensitivity) {
        (Some(SweepReport { stopped: true, .. }), _)
        | (_, Some(SensitivityReport { stopped: true, .. })) => "stopped before its end".to_owned(),
        _ => String::new(),
    };
    let title = format!("{} pruned", options.tune.model);
    write(path, &Page { title, note, sections })
}

fn table(title: &str, head: &[&str], rows: Vec<Vec<Cell>>) -> Block {
    let head = head.iter().map(|&name| name.to_owned()).collect();
    Block::Table { title: title.to_owned(), note: String::new(), table: Table { head, rows } }
}

fn words(words: &str) -> Cell {
    Cell::Words(words.to_owned())
}

fn percent(share: Option<f64>) -> Cell {
    share.map_or(Cell::Empty, |share| Cell::Number(100.0 * share, Unit::Percent))
}

/// What a pruned network has of everything, beside what it had.
fn won(report: &PruneReport) -> Vec<Block> {
    let row = |name: &str, before: f64, after: f64, unit: Unit| {
        let share = Cell::Number(100.0 * after / before, Unit::Percent);
        vec![words(name), Cell::Number(before, unit), Cell::Number(after, unit), share]
    };
    let mut rows = vec![
        row("multiply-accumulates", report.macs_before as f64, report.macs as f64, Unit::Count),
        row("parameters", report.params_before as f64, report.params as f64, Unit::Count),
    ];
    rows.extend(report.latencies.iter().map(|pair| {
        let name = format!("a batch of {}", pair.batch);
        row(&name, pair.before_ms, pair.after_ms, Unit::Milliseconds)
    }));
    let slower = if report.is_faster == Some(false) { "not faster on this machine" } else { "" };
    let cost = table(slower, &["", "before", "after", "left"], rows);
    let mut blocks = vec![cost];
    let targets = report.targets.iter().map(|target| {
        let numbers = [target.before, target.target, target.after];
        let mut row = vec![words(&target.metric)];
        row.extend(numbers.map(|number| Cell::Number(number, Unit::Number)));
        row.push(Cell::Number(100.0 * target.after / target.before, Unit::Percent));
        row
    });
    let targets: Vec<Vec<Cell>> = targets.collect();
    if !targets.is_empty() {
        let head = ["target", "before", "asked for", "reached", "of before"];
        blocks.push(table("Targets", &head, targets));
    }
    if let Some(images) = report.images {
        let head = ["held-out pictures", "before", "right after the cut", "recovered"];
        let row = [report.top1_before, report.top1_cut, report.top1_after].map(percent);
        let row = [vec![Cell::Number(images as f64, Unit::Integer)], row.to_vec()].concat();
        blocks.push(table("Top-1", &head, vec![row]));
    }
    blocks
}

fn layers(report: &PruneReport) -> Block {
    let rows = report.layers.iter().map(|layer| {
        vec![
            words(&layer.name),
            Cell::Number(layer.before as f64, Unit::Integer),
            Cell::Number(layer.after as f64, Unit::Integer),
            Cell::Share(layer.after as f64 / layer.before.max(1) as f64),
        ]
    });
    table("", &["first layer of the group", "before", "after", "left"], rows.collect())
}

/// Classes of points, in the order of their colors.
fn class(point: &SweepPoint, pruned: &str) -> String {
    match point.kind {
        PointKind::Unpruned => "unpruned".to_owned(),
        PointKind::Pruned => pruned.to_owned(),
        PointKind::Random => "channels at random".to_owned(),
        PointKind::Network => "smaller network".to_owned(),
    }
}

/// Scatters of accuracy against each cost, and the table of all points.
fn pareto(report: &SweepReport) -> Vec<Block> {
    let pruned = report.points.iter().find(|point| point.kind == PointKind::Pruned);
    let pruned = pruned.and_then(|point| point.name.split(' ').next());
    let pruned = format!("channels by {}", pruned.unwrap_or("criterion"));
    let scatter = |name: &str, unit: Unit, x: &dyn Fn(&SweepPoint) -> Option<f64>| {
        let points = report.points.iter().filter_map(|point| {
            let (name, class) = (point.name.clone(), class(point, &pruned));
            Some(Point { name, class, x: x(point)?, y: 100.0 * point.top1 })
        });
        Chart::from(Scatter {
            title: format!("Top-1 against {name}"),
            across: Dimension { name: name.to_owned(), unit, scale: Scale::Linear },
            upward: Dimension {
                name: "top-1".to_owned(),
                unit: Unit::Percent,
                scale: Scale::Linear,
            },
            classes: classes(&pruned),
            points: points.collect(),
        })
    };
    let macs = |point: &SweepPoint| Some(point.macs as f64);
    let mut all = vec![scatter("multiply-accumulates", Unit::Count, &macs)];
    for batch in batches(report) {
        let ms = |point: &SweepPoint| ms(point, batch);
        all.push(scatter(&format!("time of a batch of {batch}"), Unit::Milliseconds, &ms));
    }
    vec![charts("", all, None), points(report)]
}

fn classes(pruned: &str) -> Vec<String> {
    [pruned, "channels at random", "smaller network", "unpruned"].map(str::to_owned).to_vec()
}

fn batches(report: &SweepReport) -> Vec<usize> {
    let first = report.points.first();
    first.iter().flat_map(|point| &point.latencies).map(|latency| latency.batch).collect()
}

fn ms(point: &SweepPoint, batch: usize) -> Option<f64> {
    let latency = point.latencies.iter().find(|latency| latency.batch == batch);
    latency.map(|latency| latency.ms)
}

fn points(report: &SweepReport) -> Block {
    let batches = batches(report);
    let mut head: Vec<String> =
        ["network", "MACs", "of MACs", "parameters", "right after the cut", "top-1"]
            .map(str::to_owned)
            .to_vec();
    head.extend(batches.iter().map(|batch| format!("batch {batch}")));
    let whole = report.points.first().map_or(1, |point| point.macs.max(1));
    let rows = report.points.iter().map(|point| {
        let mut row = vec![
            words(&point.name),
            Cell::Number(point.macs as f64, Unit::Count),
            percent(Some(point.macs as f64 / whole as f64)),
            Cell::Number(point.params as f64, Unit::Count),
            percent(point.top1_cut),
            percent(Some(point.top1)),
        ];
        let time = |batch: &usize| ms(point, *batch);
        let cell =
            |ms: Option<f64>| ms.map_or(Cell::Empty, |ms| Cell::Number(ms, Unit::Milliseconds));
        row.extend(batches.iter().map(time).map(cell));
        row
    });
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table("", &head, rows.collect())
}

/// Curves over the groups, one for each share, and the table.
fn sensitivities(report: &SensitivityReport) -> Vec<Block> {
    // Names of dozens of layers have no room under a chart.
    let numbers: Vec<String> = report.groups.iter().map(|group| group.id.to_string()).collect();
    let chart = |title: &str, unit: Unit, of: &dyn Fn(&GroupCut) -> f64| {
        let series = report.shares.iter().enumerate().map(|(i, share)| {
            let cuts = report.groups.iter().map(|group| group.cuts.get(i));
            Series {
                name: format!("{} cut", Unit::Percent.format(100.0 * share)),
                values: cuts.map(|cut| cut.map_or(f64::NAN, of)).collect(),
            }
        });
        let swept = Swept::Categories {
            name: "group, from the picture to the classes, by its number in the table".to_owned(),
            values: numbers.clone(),
        };
        let (title, scale) = (title.to_owned(), Scale::Linear);
        Chart::from(Lines { title, unit, scale, swept, series: series.collect() })
    };
    let saved = |cut: &GroupCut| 100.0 * cut.macs_saved as f64 / report.macs.max(1) as f64;
    let all = [
        chart("Top-1", Unit::Percent, &|cut| 100.0 * cut.top1),
        chart("Mean cross-entropy", Unit::Number, &|cut| cut.loss),
        chart("Multiply-accumulates saved", Unit::Percent, &saved),
    ];
    let mut head = ["number", "group", "channels"].map(str::to_owned).to_vec();
    for share in &report.shares {
        let share = Unit::Percent.format(100.0 * share);
        head.extend([format!("top-1, {share} cut"), "loss".to_owned(), "MACs saved".to_owned()]);
    }
    let whole = [
        Cell::Empty,
        words("nothing cut"),
        Cell::Empty,
        percent(Some(report.top1)),
        Cell::Number(report.loss, Unit::Number),
    ];
    let mut rows = vec![whole.to_vec()];
    rows.extend(report.groups.iter().map(|group| {
        let [id, units] =
            [group.id, group.units].map(|number| Cell::Number(number as f64, Unit::Integer));
        let mut row = vec![id, words(&group.name), units];
        for cut in &group.cuts {
            let loss = Cell::Number(cut.loss, Unit::Number);
            row.extend([percent(Some(cut.top1)), loss, Cell::Share(saved(cut) / 100.0)]);
        }
        row
    }));
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let charts = all.into_iter().map(|chart| charts("", vec![chart], None));
    charts.chain([table("", &head, rows)]).collect()
}

/// The channels that each share left.
fn channels(options: &PruneOptions, report: &SweepReport) -> Result<Section> {
    let (graph, _) = ModelSource::resolve(&options.tune.model)?.graph()?;
    let mut blocks = Vec::new();
    for point in report.points.iter().filter(|point| point.kind == PointKind::Pruned) {
        let Some(path) = &point.model else { continue };
        let model = Model::load(path).map_err(setup::model)?;
        let chart = bands(&point.name, &graph, model.graph(), &options.protect)?;
        blocks.push(charts("", vec![chart], None));
    }
    let note = "a column for each convolution and linear layer; empty: removed; gray: may not go";
    Ok(section("Channels left", note, blocks))
}

/// The outputs of convolutions and linear layers as they are after, and above them what was removed; a layer that is gone has lost all.
fn bands(title: &str, before: &Graph, after: &Graph, protect: &[String]) -> Result<Chart> {
    let groups = Groups::of(before, &Protect::names(protect)).map_err(setup::prune)?;
    let left = Groups::of(after, &Protect::default()).map_err(setup::prune)?;
    let mut columns = Vec::new();
    for id in before.node_ids() {
        let node = before.node(id);
        if !matches!(node.op(), Op::Conv(_) | Op::ConvTranspose { .. } | Op::Linear { .. }) {
            continue;
        }
        let now = after.find_node(node.name()).map_or_else(Vec::new, |id| runs(&left, id));
        let now: Vec<usize> = now.iter().map(|(_, channels)| *channels).collect();
        let pieces = pieces(&groups, &runs(&groups, id), &now);
        columns.push(BandColumn { name: node.name().to_owned(), pieces });
    }
    Ok(Bands { title: title.to_owned(), step: "layer".to_owned(), columns }.into())
}

/// The channels of a node's output: groups one after the other, with how many channels each.
fn runs(groups: &Groups, node: NodeId) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for group in groups.of_node(node).iter().filter_map(|unit| groups.group_of(*unit)) {
        match runs.last_mut() {
            Some((last, channels)) if *last == group => *channels += 1,
            Some(_) | None => runs.push((group, 1)),
        }
    }
    runs
}

/// Runs of channels with what is left of them, run by run. Where runs have merged, the first stands for all.
fn pieces(groups: &Groups, before: &[(usize, usize)], after: &[usize]) -> Vec<BandPiece> {
    let piece = |group: usize, before: usize, channels: usize| BandPiece {
        group,
        channels,
        removed: before.saturating_sub(channels),
        protected: groups.groups()[group].protected.as_ref().map(ToString::to_string),
    };
    if before.len() == after.len() || after.is_empty() {
        let after = after.iter().copied().chain(std::iter::repeat(0));
        return before.iter().zip(after).map(|(&(group, n), left)| piece(group, n, left)).collect();
    }
    let all = before.iter().map(|(_, channels)| channels).sum();
    let first = before.first().into_iter().map(|(group, _)| piece(*group, all, after.iter().sum()));
    first.collect()
}

#[cfg(test)]
mod tests {
    use taper_graph::{Bias, Conv, GraphBuilder};

    use super::*;

    #[test]
    fn what_is_left_stands_under_what_was_removed() {
        let graph = |n: usize, of: usize| {
            let mut b = GraphBuilder::new(3).unwrap();
            let a = b.conv("a", b.input(), Conv::dense(n, 3, 1), Bias::Without).unwrap();
            let c = b.conv("c", b.input(), Conv::dense(of, 3, 1), Bias::Without).unwrap();
            let both = b.concat("both", &[a, c]).unwrap();
            let end = b.conv("end", both, Conv::pointwise(4), Bias::Without).unwrap();
            b.output("features", end).unwrap();
            b.build().unwrap()
        };
        let (before, after) = (graph(8, 6), graph(3, 6));
        let chart = bands("left", &before, &after, &["c".to_owned()]).unwrap();
        let Chart::Bands(bands) = chart else { panic!("bands") };
        let seen = bands.columns.iter().map(|column| {
            let piece = &column.pieces[0];
            (column.name.as_str(), piece.channels, piece.removed, piece.protected.is_some())
        });
        let expected = [("a", 3, 5, false), ("c", 6, 0, true), ("end", 4, 0, true)];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let groups = Groups::of(&before, &Protect::default()).unwrap();
        let both = runs(&groups, before.find_node("both").unwrap());
        assert_eq!(both.iter().map(|run| run.1).collect::<Vec<_>>(), [8, 6]);
        let merged = pieces(&groups, &both, &[9]);
        assert_eq!((merged.len(), merged[0].channels, merged[0].removed), (1, 9, 5));
        let gone: Vec<usize> = pieces(&groups, &both, &[]).iter().map(|it| it.removed).collect();
        assert_eq!(gone, [8, 6]);
    }
}
